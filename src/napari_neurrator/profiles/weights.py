"""The weight files of a model: which there are, whether they are whole, and how large what they hold is. Nothing is loaded."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import NeurratorError

# In the order in which libraries look for them.
_WHOLE = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "sae_weights.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


@dataclass
class WeightFiles:
    """The weight files of one model.

    Attributes
    ----------
    folder : Path
        Where they lie.
    names : list of str
        Files that the model needs, relative to the folder.
    missing : list of str
        Those of them that are not there.
    index : str or None
        The file that names them, where they are shards.
    """

    folder: Path
    names: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    index: str | None = None

    @property
    def present(self) -> list[Path]:
        """Those that are there."""
        return [self.folder / name for name in self.names if name not in self.missing]

    @property
    def size_bytes(self) -> int:
        """What those that are there take on disk, bytes."""
        return sum(file.stat().st_size for file in self.present)


@dataclass(frozen=True)
class Tensor:
    """One tensor in a file: its name, type (as safetensors spells it) and numbers."""

    name: str
    dtype: str
    numbers: int

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self.numbers * _BYTES.get(self.dtype, 1)


def weight_files(folder: Path) -> WeightFiles:
    """Find the weight files of a model's folder, those that an index names among them.

    Raises
    ------
    NeurratorError
        The index is damaged, or names files outside the folder.
    """
    for whole in _WHOLE:
        if (folder / whole).is_file():
            return WeightFiles(folder, [whole])
        index = folder / f"{whole}.index.json"
        if index.is_file():
            try:
                names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise NeurratorError(f"{index} is damaged: fetch the model again.") from error
            outside = [name for name in names if not isinstance(name, str) or Path(name).name != name]
            if outside or not names:
                raise NeurratorError(f"{index} names no files beside it: fetch the model again.")
            return WeightFiles(folder, names, [name for name in names if not (folder / name).is_file()], index.name)
    # Shards without their index: one of them tells how many there are.
    shards = [
        re.fullmatch(r"(.+)-(\d+)-of-(\d+)(\.safetensors|\.bin)", file.name) for file in sorted(folder.glob("*-of-*"))
    ]
    found = next((shard for shard in shards if shard), None)
    if found:
        name, _, total, ending = found.groups()
        names = [f"{name}-{number:0{len(total)}d}-of-{total}{ending}" for number in range(1, int(total) + 1)]
        index_name = f"{name}{ending}.index.json"
        return WeightFiles(folder, names, [n for n in names if not (folder / n).is_file()] + [index_name], index_name)
    others = sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin", ".pt", ".pth"))
    return WeightFiles(folder, others[:1])


def tensors(file: Path) -> list[Tensor]:
    """List what a safetensors file holds, from its header.

    Raises
    ------
    NeurratorError
        It is no such file, or cut off.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            parts = [(name, opened.get_slice(name)) for name in opened.keys()]  # noqa: SIM118
            return [Tensor(name, part.get_dtype(), _product(part.get_shape())) for name, part in parts]
    except (SafetensorError, OSError) as error:
        if not file.is_file():
            raise NeurratorError(f"{file} is not there: fetch the model again.") from error
        raise NeurratorError(
            f"{file} is cut off or damaged ({file.stat().st_size:,} bytes; {error}): delete it and fetch the model again."
        ) from error


def check_weights(folder: Path, name: str) -> WeightFiles:
    """Refuse a folder whose weights are not all there and whole; returns its files.

    Parameters
    ----------
    folder : Path
        The model's folder.
    name : str
        What the model is called in the message.

    Raises
    ------
    NeurratorError
        Shards are missing, a file is cut off, or there are no weights.
    """
    files = weight_files(folder)
    if not files.names:
        raise NeurratorError(
            f"There are no weights of {name!r} in {folder} (model.safetensors, or shards and model.safetensors.index.json): fetch the model again."
        )
    if files.missing:
        some = ", ".join(files.missing[:3]) + (", …" if len(files.missing) > 3 else "")
        raise NeurratorError(
            f"{len(files.missing)} of the {len(files.names)} weight files of {name!r} are not in {folder} ({some}): fetch the model again, what is there is kept."
        )
    for file in files.present:
        if file.suffix == ".safetensors":
            tensors(file)
        elif not file.stat().st_size:
            raise NeurratorError(f"{file} is empty: delete it and fetch the model again.")
    return files


def numbers_by_part(files: WeightFiles, part_of: "dict[str, str]") -> Counter[str]:
    """Count the numbers of a model's tensors by part.

    Parameters
    ----------
    files : WeightFiles
        Its files; those that are not safetensors are left out.
    part_of : dict
        Regular expression of a tensor's name → part; the first that fits counts, and names that fit none count as ``other``.

    Returns
    -------
    Counter
        Part → numbers.
    """
    counted: Counter[str] = Counter()
    patterns = [(re.compile(pattern), part) for pattern, part in part_of.items()]
    for file in files.present:
        if file.suffix == ".safetensors":
            for tensor in tensors(file):
                part = next((part for pattern, part in patterns if pattern.search(tensor.name)), "other")
                counted[part] += tensor.numbers
    return counted


def _product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
