"""Tell one version of a model's weights, and one patch space, from another without loading them."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from ..profiles import Profile, layer_number
from ..profiles.weights import weight_files
from .shape import OPEN_CLIP_CONFIG, TowerShape

# Files up to this size are read whole; of larger ones so many blocks, evenly spread, which touch every matrix of a model.
_WHOLE = 64 << 20
_BLOCKS, _BLOCK = 1024, 64 << 10
_CONFIGURATIONS = ("config.json", "preprocessor_config.json", "processor_config.json", OPEN_CLIP_CONFIG)


def weights_fingerprint(profile: Profile, model: str) -> str:
    """Return a hash that changes when a model does: its weights, the configurations that say what they mean, and, of the vision model, layer and fit.

    Of a file beyond 64 MiB 1,024 blocks are read. Where a hub model is not on this machine its name stands for it.
    """
    digest = hashlib.sha256()
    sources = [model]
    if model == profile.vision.model:
        digest.update(json.dumps(_space(profile)).encode())
        sources += [profile.vision.weights] if profile.vision.weights else []
    for source in sources:
        _add(digest, profile, source)
    return digest.hexdigest()[:16]


def _space(profile: Profile) -> list[str | int]:
    """Return what decides, besides the weights, what a patch's vector says of a frame; the same for all spellings of a layer."""
    spec = profile.vision
    layer = layer_number(spec.layer)
    if layer < 0 and (profile.folder_of(spec.model) is not None or spec.library == "open_clip"):
        depth = TowerShape.of(profile).depth
        layer = depth + 1 + layer if depth is not None else layer
    return [spec.library, layer, spec.fit]


def _add(digest: "hashlib._Hash", profile: Profile, source: str) -> None:
    given = next((path for path in (profile.folder / source, Path(source).expanduser()) if path.is_file()), None)
    folder = profile.folder_of(source)
    if given is not None:
        files = [given]
    elif folder is not None:
        files = [folder / name for name in _CONFIGURATIONS if (folder / name).is_file()] + weight_files(folder).present
    else:
        digest.update(source.encode())
        return
    for file in files:
        digest.update(file.name.encode())
        stat = file.stat()
        digest.update(_content(file, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=256)
def _content(file: Path, size: int, mtime_ns: int) -> bytes:
    """Return the hash of a file's content; of one that was not changed since it is known."""
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        if size <= _WHOLE:
            digest.update(stream.read())
        else:
            for number in range(_BLOCKS):
                stream.seek(number * (size - _BLOCK) // (_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.digest()
