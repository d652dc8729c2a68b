"""What a profile needs, what of it is on this machine, and how much memory and disk it takes, in words."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import NeurratorError
from ..profiles import Profile
from ..profiles.profile import is_hub_id
from ..profiles.weights import WeightFiles, check_weights, tensors
from ..vision.shape import OPEN_CLIP_CONFIG, TowerShape, hidden_state

_GPU, _CPU = "on a GPU", "on the CPU"
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What a prompt and an answer add to the patches, tokens; and narrations at a time.
_TOKENS, _BATCH = 128, 32
_MOVIE_FRAMES = 900
_TOKENIZERS = (["tokenizer.json"], ["vocab.json", "merges.txt"], ["tokenizer.model"], ["spiece.model"])


@dataclass
class PartAccount:
    """One of the models of a profile.

    Attributes
    ----------
    part, model : str
        What it is for, and its name.
    folder : Path or None
        Where its files lie on this machine.
    lines : list of str
        What is said of it.
    problem : NeurratorError or None
        Why it cannot be used as it lies there.
    command : str or None
        What fetches it.
    download_gb : float or None
        What that brings, GB.
    memory_gb : dict
        What it takes in memory → GB (on a GPU, on the CPU).
    """

    part: str
    model: str
    folder: Path | None = None
    lines: list[str] = field(default_factory=list)
    problem: NeurratorError | None = None
    command: str | None = None
    download_gb: float | None = None
    memory_gb: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass
class ProfileAccount:
    """All models of a profile."""

    profile: Profile
    parts: list[PartAccount]

    @property
    def problem(self) -> NeurratorError | None:
        """The first reason why the profile cannot be used as it lies there; what is only not fetched yet is none."""
        return next((part.problem for part in self.parts if part.problem), None)

    @property
    def commands(self) -> list[str]:
        """What fetches the parts that are not on this machine."""
        return list(dict.fromkeys(part.command for part in self.parts if part.command))

    @property
    def state(self) -> str:
        """In a word or two."""
        return "damaged" if self.problem else "not on this machine" if self.commands else "ready"

    def in_words(self) -> str:
        """Return the account as text."""
        lines = [f"{self.profile.name}: {self.profile.description}", ""]
        for part in self.parts:
            lines += [f"{part.part:11} {part.model}", *[f"{'':11} {line}" for line in part.lines], ""]
        lines += self._memory()
        lines += self._disk()
        if self.commands:
            lines += ["", "To fetch what is not on this machine:", *[f"  {command}" for command in self.commands]]
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on") and self.commands:
            lines.append(
                "HF_HUB_OFFLINE is set, so nothing is fetched: unset it, or copy the folders here and name them in a profile of your own."
            )
        return "\n".join(lines)

    def _memory(self) -> list[str]:
        rows = {name: size for part in self.parts for name, size in part.memory_gb.items()}
        if not rows:
            return [f"{'memory':11} known once the models' config.json are here"]
        total = tuple(sum(size[place] for size in rows.values()) for place in (0, 1))
        width = max(map(len, [*rows, "together"]))
        lines = [f"{'memory':11} {'GB':{width}} {_GPU:>10} {_CPU:>11}"]
        return (
            lines
            + [
                f"{'':11} {name:{width}} {gpu:10.3f} {cpu:11.3f}"
                for name, (gpu, cpu) in {**rows, "together": total}.items()
            ]
            + [""]
        )

    def _disk(self) -> list[str]:
        from ..paths import cache_folder

        lines = []
        needed = [part.download_gb for part in self.parts if part.command]
        if needed:
            folder = hub_cache()
            free = _free_gb(folder)
            known = [size for size in needed if size]
            lines.append(
                f"{'disk':11} {sum(known):.1f} GB to fetch{'' if len(known) == len(needed) else ' and more'}, {free:.1f} GB free in {folder}"
            )
            if sum(known) > free:
                lines.append(
                    f"{'':11} too little: free some, or fetch to another disk: HF_HOME=/path/on/it {self.commands[0]} (and set HF_HOME when you work)"
                )
        try:
            shape = TowerShape.of(self.profile)
            size = 2 * shape.rows * shape.columns * (shape.channels or 0) * _MOVIE_FRAMES / 1e9
            if size:
                folder = cache_folder("patches")
                lines.append(
                    f"{'disk' if not lines else '':11} {size:.2f} GB for the patch grids of a movie of {_MOVIE_FRAMES} frames, {_free_gb(folder):.1f} GB free in {folder}"
                )
        except NeurratorError:
            pass
        return lines


def account(profile: Profile, memory: bool = True) -> ProfileAccount:
    """Look at the files of a profile's models; none is loaded and nothing is fetched.

    Parameters
    ----------
    profile : Profile
        Which models.
    memory : bool
        Whether to work out what they take in memory, for which transformers is imported.
    """
    return ProfileAccount(profile, [_vision(profile, memory), _language(profile, memory), _dictionary(profile)])


def hub_cache() -> Path:
    """Return where the hub's files are kept on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _vision(profile: Profile, memory: bool) -> PartAccount:
    spec = profile.vision
    named = f"{spec.model}{f', weights {spec.weights}' if spec.weights else ''} ({spec.library})"
    part = PartAccount("vision", named)
    if spec.library == "open_clip":
        files = _open_clip_files(profile, part)
    else:
        files = _files(
            profile, part, spec.model, ["config.json", ["preprocessor_config.json"], ["processor_config.json"]]
        )
    try:
        shape = TowerShape.of(profile)
    except NeurratorError as error:
        if part.folder is not None:
            part.problem = part.problem or error
            part.lines.append(f"PROBLEM: {error}")
        part.lines.append(f"layer {spec.layer}; frames reach it by {spec.fit!r}")
        return part
    layer = f"layer {spec.layer}"
    if shape.depth is not None:
        try:
            layer = f"hidden state {hidden_state(spec.layer, shape.depth, spec.model)} of {shape.depth} (layer {spec.layer!r})"
        except NeurratorError as error:
            part.problem = part.problem or error
            part.lines.append(f"PROBLEM: {error}")
    part.lines.append(f"{layer}; frames reach it by {spec.fit!r}")
    wide = f", {shape.channels} numbers each" if shape.channels else ""
    part.lines.append(f"{shape.rows} × {shape.columns} patches of {shape.patch[0]} px{wide}")
    if files is not None and memory and not part.problem:
        _guarded(part, lambda: _vision_memory(profile, part, files, shape))
    return part


def _vision_memory(profile: Profile, part: PartAccount, files: WeightFiles, shape: TowerShape) -> None:
    import re

    kept = None if shape.depth is None else max(hidden_state(profile.vision.layer, shape.depth, ""), 1)
    block = re.compile(r"(?:encoder\.layers|resblocks|trunk\.blocks)\.(\d+)\.")

    def used(name: str) -> bool:
        name = name.removeprefix("clip.")
        mine = name.startswith(
            ("vision_model.", "visual.", "module.visual.", "embeddings.", "encoder.", "pre_layrnorm", "post_layernorm")
        )
        found = block.search(name)
        return mine and (kept is None or not found or int(found[1]) < kept)

    read = [file for file in files.present if file.suffix == ".safetensors"]
    if read:
        numbers = sum(tensor.numbers for file in read for tensor in tensors(file) if used(tensor.name))
    elif profile.vision.library == "transformers" and part.folder is not None:
        numbers = _numbers_of_config(part.folder, vision=True, layers=kept)
    else:
        return
    part.memory_gb["vision tower, to its layer"] = _sizes(numbers, profile.vision.precision)


def _language(profile: Profile, memory: bool) -> PartAccount:
    spec = profile.language
    part = PartAccount("language", spec.model)
    files = _files(profile, part, spec.model, ["config.json", *[list(names) for names in _TOKENIZERS]])
    part.lines.append(f"asks: {spec.question}")
    if files is not None and memory and not part.problem:
        _guarded(part, lambda: _language_memory(profile, part, files))
    return part


def _language_memory(profile: Profile, part: PartAccount, files: WeightFiles) -> None:
    assert part.folder is not None
    kind = profile.read_json(profile.language.model, "config.json").get("model_type")
    if not str(kind).startswith("llava"):
        raise NeurratorError(
            f"{profile.language.model!r} is a {kind or 'model of no known type'!r}, not a LLaVA: name a LLaVA in the profile."
        )
    precision = str(getattr(profile.language, "precision", "float16"))
    precision = precision if precision in _BYTES else "float16"
    read = [file for file in files.present if file.suffix == ".safetensors"]
    if read:
        counted: dict[str, int] = {}
        for file in read:
            for tensor in tensors(file):
                name = (
                    "language model's own vision tower" if "vision_tower" in tensor.name
                    else "projector" if "multi_modal_projector" in tensor.name else "language model"
                )  # fmt: skip
                counted[name] = counted.get(name, 0) + tensor.numbers
        for name in sorted(counted):
            part.memory_gb[name] = _sizes(counted[name], precision)
    else:
        part.memory_gb["language model"] = _sizes(_numbers_of_config(part.folder), precision)
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(part.folder)
    text, vision = config.get_text_config(), config.vision_config
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    tokens = (vision.image_size // vision.patch_size) ** 2 + _TOKENS
    # Keys and values of every layer.
    numbers = 2 * text.num_hidden_layers * heads * size * tokens
    one = _sizes(numbers, precision)
    part.lines.append(
        f"a narration holds keys and values of {tokens:,} tokens (the patches and {_TOKENS} of prompt and answer): {one[0]:.3f} GB {_GPU}"
    )
    part.memory_gb[f"keys and values of a batch of {_BATCH}"] = (_BATCH * one[0], _BATCH * one[1])


def _dictionary(profile: Profile) -> PartAccount:
    if profile.dictionary is None:
        return PartAccount("dictionary", "none", lines=["concepts are not named"])
    part = PartAccount("dictionary", profile.dictionary)
    part.folder = profile.folder_of(profile.dictionary)
    file = next(
        (f for f in (profile.folder / profile.dictionary, Path(profile.dictionary).expanduser()) if f.is_file()), None
    )
    if part.folder is not None:
        size = sum(one.stat().st_size for one in part.folder.rglob("*") if one.is_file())
        part.lines.append(f"present: {part.folder}, {_in_bytes(size)}")
        part.memory_gb["dictionary"] = (size / 1e9, size / 1e9)
    elif file is not None:
        part.lines.append(f"present: {file}, {_in_bytes(file.stat().st_size)}")
        part.memory_gb["dictionary"] = (file.stat().st_size / 1e9,) * 2
    else:
        _absent(profile, part, profile.dictionary)
    return part


def _files(profile: Profile, part: PartAccount, model: str, needed: list[str | list[str]]) -> WeightFiles | None:
    """Say which of a model's files are there. Of names in lists, the files of one list are enough."""
    part.folder = profile.folder_of(model)
    if part.folder is None:
        _absent(profile, part, model)
        return None
    folder = part.folder
    gone = [name for name in needed if isinstance(name, str) and not (folder / name).is_file()]
    either = [names for names in needed if isinstance(names, list)]
    if either and not any(all((folder / name).is_file() for name in names) for names in either):
        gone.append(" or ".join(" and ".join(names) for names in either))
    files: WeightFiles | None = None
    try:
        files = check_weights(folder, model)
        part.lines.append(
            f"present: {folder}, {len(files.names)} weight file{'s' if len(files.names) > 1 else ''}, {_in_bytes(files.size_bytes)}"
        )
    except NeurratorError as error:
        _trouble(profile, part, model, error)
    if gone and part.problem is None:
        _trouble(profile, part, model, profile.missing(model, " and ".join(gone)))
    return files


def _open_clip_files(profile: Profile, part: PartAccount) -> WeightFiles | None:
    from ..vision.open_clip_tower import tag_on_hub, weights_file

    spec = profile.vision
    source = spec.weights or spec.model
    folder = profile.folder_of(source)
    if folder is not None:
        needed: list[str | list[str]] = [OPEN_CLIP_CONFIG] if spec.weights is None else []
        return _files(profile, part, source, needed)
    local = next((file for file in (profile.folder / source, Path(source).expanduser()) if file.is_file()), None)
    try:
        if local is not None:
            file = weights_file(profile)
            part.folder = file.parent
            part.lines.append(f"present: {file}, {_in_bytes(file.stat().st_size)}")
            files = WeightFiles(file.parent, [file.name])
            if file.suffix == ".safetensors":
                tensors(file)
            return files
        hub = tag_on_hub(profile) or (source if is_hub_id(source) else None)
        if hub is None:
            raise profile.missing(source)
        cached = profile.folder_of(hub)
        if cached is not None:
            return _files(profile, part, hub, [])
        _absent(profile, part, hub)
    except NeurratorError as error:
        part.problem = error
        part.lines.append(f"PROBLEM: {error}")
    return None


def _absent(profile: Profile, part: PartAccount, model: str) -> None:
    sizes = {"vision": profile.vision.download_gb, "language": profile.language.download_gb}
    part.download_gb = sizes.get(part.part)
    if is_hub_id(model):
        part.command = profile.download_command(model)
        size = f" (about {part.download_gb:.1f} GB)" if part.download_gb else ""
        part.lines.append(f"not on this machine: {part.command}{size}")
    else:
        part.problem = profile.missing(model)
        part.lines.append(f"PROBLEM: {part.problem}")


def _trouble(profile: Profile, part: PartAccount, model: str, error: NeurratorError) -> None:
    """Note files that are missing or damaged: of a hub model they can be fetched again."""
    part.lines.append(f"PROBLEM: {error}")
    part.problem = error
    if profile.path_of(model) is None and is_hub_id(model):
        part.command = profile.download_command(model)


def _guarded(part: PartAccount, work: Callable[[], None]) -> None:
    try:
        work()
    except NeurratorError as error:
        part.problem = part.problem or error
        part.lines.append(f"PROBLEM: {error}")
    except (ValueError, OSError, AttributeError, TypeError, KeyError, ZeroDivisionError) as error:
        part.lines.append(f"how much memory it takes cannot be told from its config.json ({error})")


def _numbers_of_config(folder: Path, vision: bool = False, layers: int | None = None) -> int:
    """Count the numbers of a model from its configuration, where its weights are pickled and not to be opened for this."""
    import torch
    import transformers

    config: Any = transformers.AutoConfig.from_pretrained(folder)
    if vision:
        config = getattr(config, "vision_config", config)
        if layers is not None:
            config.num_hidden_layers = layers
    with torch.device("meta"):
        auto = transformers.AutoModel if vision else transformers.AutoModelForImageTextToText
        model = auto.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _sizes(numbers: int, precision: str) -> tuple[float, float]:
    return numbers * _BYTES[precision] / 1e9, numbers * _BYTES["float32"] / 1e9


def _free_gb(folder: Path) -> float:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free / 1e9


def _in_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


__all__ = ["PartAccount", "ProfileAccount", "account", "hub_cache"]
