"""What a profile is made of, in words."""

from pathlib import Path

from ..errors import NeurratorError
from .profile import Profile


def account(profile: Profile) -> str:
    """Describe a profile: its models, which of them are on this machine and how large they are."""
    lines = [f"{profile.name}: {profile.description}", ""]
    parts = {
        "vision": profile.vision.model,
        "language": profile.language.model,
        "dictionary": profile.dictionary,
    }
    for part, model in parts.items():
        lines.append(f"{part:11} {_part(profile, model)}")
    lines.append(
        f"{'patches':11} hidden state {profile.vision.layer} of the vision tower; frames reach it by {profile.vision.fit!r}"
    )
    try:
        config = profile.read_json(profile.vision.model, "config.json")
        vision = config.get("vision_config", config)
        side = vision["image_size"] // vision["patch_size"]
        lines.append(
            f"{'grid':11} {side} × {side} patches of {vision['patch_size']} px, {vision['hidden_size']} numbers each"
        )
    except (NeurratorError, KeyError):
        pass
    lines.append(f"{'question':11} {profile.language.question}")
    return "\n".join(lines)


def _part(profile: Profile, model: str | None) -> str:
    if model is None:
        return "none: concepts are not named"
    folder = profile.path_of(model)
    if folder is not None:
        return f"{folder} ({_megabytes(folder):.1f} MB, present)"
    from huggingface_hub import try_to_load_from_cache

    present = isinstance(try_to_load_from_cache(model, "config.json"), str)
    return f"{model} ({'in the hub cache' if present else f'not on this machine: hf download {model}'})"


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
