"""A torchvision that does not fit torch is said to be so, and everything else works."""

import os
import subprocess
import sys

CODE = """
import numpy as np
from napari_neurrator.profiles import load_profile
from napari_neurrator.vision.tower import VisionTower
from napari_neurrator.language.narrator import LanguageModel
profile = load_profile("tiny")
print(LanguageModel(profile).narrate(VisionTower(profile).grids(np.full((1, 96, 96, 3), 127, np.uint8)))[0])
"""


def test_narration_works_beside_a_broken_torchvision(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "grey" in run.stdout
    assert "torchvision cannot be used" in run.stderr
