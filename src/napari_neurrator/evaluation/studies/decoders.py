"""Decoders that a study fits itself."""

import hashlib
from pathlib import Path

from ... import __version__
from ...config import FitConfig
from ..material import OnProgress
from .config import Session


def decoder_of(session: Session, folder: Path, progress: OnProgress) -> str:
    """Return the folder of a session's decoder, fitted now if the study says how and it was not fitted before."""
    if session.fit is None:
        assert session.decoder is not None
        return session.decoder
    return fitted(session.fit, folder, progress)


def fitted(config: FitConfig, folder: Path, progress: OnProgress) -> str:
    """Return the folder, below `folder`, of a decoder that was fitted as told; one that is there is not fitted again."""
    from ...decoding.fit import fit

    name = hashlib.sha256(f"{__version__}\n{config.model_dump_json()}".encode()).hexdigest()[:16]
    place = folder / "decoders" / name
    if not (place / "decoder.json").is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        fit(config, progress).stored.save(place)
    return str(place)
