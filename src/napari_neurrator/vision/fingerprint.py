"""Tell one version of a model's weights from another, without loading them."""

import hashlib
from pathlib import Path

from ..profiles import Profile


def weights_fingerprint(profile: Profile, model: str) -> str:
    """Return a hash that changes when the weights of a model do: of its small files whole, and of each weight file's size and ends."""
    folder = profile.path_of(model)
    if folder is None:
        return hashlib.sha256(model.encode()).hexdigest()[:16]
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix in {".json", ".safetensors", ".bin"}:
            digest.update(file.name.encode())
            digest.update(_ends(file))
    return digest.hexdigest()[:16]


def _ends(file: Path, span: int = 1 << 20) -> bytes:
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(span)
        stream.seek(max(size - span, 0))
        return str(size).encode() + head + stream.read(span)
