"""The hash of a model changes with any matrix, also in files that are too large to be read whole."""

import numpy as np
import pytest

from napari_neurrator.vision import fingerprint
from napari_neurrator.vision.fingerprint import weights_fingerprint

from .models import profile_of


@pytest.mark.parametrize("place", [0.0, 0.013, 0.37, 0.5, 0.86, 1.0])
def test_a_change_anywhere_in_a_large_file_is_seen(tmp_path, monkeypatch, place):
    """A change of one matrix: here 1 / 100 of the file, where that of a 7B model is 1 / 300 and blocks are ten times as many."""
    monkeypatch.setattr(fingerprint, "_WHOLE", 1 << 16)
    monkeypatch.setattr(fingerprint, "_BLOCKS", 128)
    monkeypatch.setattr(fingerprint, "_BLOCK", 512)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    numbers = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8)
    profile = profile_of(tmp_path, model="other")
    seen = set()
    for changed in (False, True):
        if changed:
            start = int(place * (len(numbers) - 10_000))
            numbers[start : start + 10_000] ^= 1
        (tmp_path / "m" / "model.safetensors").write_bytes(numbers.tobytes())
        fingerprint._content.cache_clear()
        seen.add(weights_fingerprint(profile, "m"))
    assert len(seen) == 2
