"""In both libraries, cropped or whole, the patch that changes is the one that the geometry names: held against real pixels and real grids."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.vision.geometry import PatchGeometry, centre
from napari_neurrator.vision.tower import VisionTower

from .models import open_clip_model_config, profile_of, save_clip, save_open_clip, save_siglip

FRAMES = [(304, 608), (90, 121), (121, 90), (70, 70), (333, 101), (41, 77)]


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Return a tower of each kind and fit; layer 0 is the patches themselves, before any of them looks at another."""
    folder = tmp_path_factory.mktemp("models")
    save_clip(folder / "clip")
    save_siglip(folder / "siglip")
    save_open_clip(folder / "open")
    save_open_clip(folder / "wide", open_clip_model_config(image_size=[70, 98]))
    made = {}
    for model, library in (
        ("clip", "transformers"),
        ("siglip", "transformers"),
        ("open", "open_clip"),
        ("wide", "open_clip"),
    ):
        for fit in ("crop", "whole"):
            made[model, fit] = VisionTower(profile_of(folder, model=model, library=library, fit=fit, layer=0))
    return made


@pytest.mark.parametrize("size", FRAMES)
@pytest.mark.parametrize("fit", ["crop", "whole"])
@pytest.mark.parametrize("model", ["clip", "siglip", "open", "wide"])
def test_a_square_on_the_frame_changes_its_own_patch_most(towers, model, fit, size):
    tower = towers[model, fit]
    height, width = size
    geometry = PatchGeometry.of(tower.profile, height, width)
    assert (geometry.rows, geometry.columns) == (tower.rows, tower.columns)
    rng = np.random.default_rng(0)
    patches = rng.choice(tower.n_patches, 6, replace=False)
    frames = np.full((len(patches) + 1, height, width, 3), 100, dtype=np.uint8)
    for number, patch in enumerate(patches):
        row, column = divmod(int(patch), geometry.columns)
        top = geometry.crop[0] + row * geometry.scale[0]
        left = geometry.crop[1] + column * geometry.scale[1]
        square = (
            slice(max(round(top), 0), max(round(top + geometry.scale[0]), 1)),
            slice(max(round(left), 0), max(round(left + geometry.scale[1]), 1)),
        )
        frames[number, *square] = 230
        y, x = top + geometry.scale[0] / 2 - 0.5, left + geometry.scale[1] / 2 - 0.5
        assert geometry.patch_at(y, x) == patch
    pixels = tower.pixels(frames).mean(1)
    changed = (pixels[:-1] - pixels[-1]).abs()
    side = tower._tower.shape.patch
    by_patch = changed[:, : tower.rows * side[0], : tower.columns * side[1]]
    by_patch = by_patch.unfold(1, side[0], side[0]).unfold(2, side[1], side[1]).mean((-1, -2)).flatten(1)
    assert by_patch.argmax(1).tolist() == patches.tolist()
    # Nothing much outside it: at most the borders, where resizing mixes neighbours.
    own = by_patch.gather(1, torch.from_numpy(patches)[:, None])[:, 0]
    assert (own > 0.6 * by_patch.sum(1)).all()
    grids = tower.grids(frames)
    moved = (grids[:-1] - grids[-1]).norm(dim=-1)
    assert moved.argmax(1).tolist() == patches.tolist()


@given(height=st.integers(30, 900), width=st.integers(30, 900))
@settings(max_examples=60, deadline=None)
def test_the_crop_lies_where_each_library_s_transform_takes_it(towers, height, width):
    """A frame whose grey level is its row, or its column, tells where each pixel of the input came from."""
    if not 0.2 < height / width < 5:
        return
    ramp = np.empty((2, height, width, 3), dtype=np.uint8)
    ramp[0] = np.round(np.linspace(0, 255, height))[:, None, None]
    ramp[1] = np.round(np.linspace(0, 255, width))[None, :, None]
    for model in ("clip", "open"):
        tower = towers[model, "crop"]
        geometry = PatchGeometry.of(tower.profile, height, width)
        pixels = tower.pixels(ramp)[:, 1].numpy()
        mean, std = {"clip": (0.4578275, 0.26130258), "open": (0.4578275, 0.26130258)}[model]
        level = (pixels * std + mean) * 255
        middle = level.shape[-1] // 2
        # The centre of the input is the centre of the crop: frame pixels by grey level, by place.
        y = level[0][middle - 1 : middle + 1].mean() / 255 * (height - 1)
        x = level[1][:, middle - 1 : middle + 1].mean() / 255 * (width - 1)
        expected_y = geometry.crop[0] + geometry.scale[0] / 14 * middle - 0.5
        expected_x = geometry.crop[1] + geometry.scale[1] / 14 * middle - 0.5
        # Grey levels are whole numbers.
        assert abs(y - expected_y) < 0.3 + height / 255
        assert abs(x - expected_x) < 0.3 + width / 255


@pytest.mark.parametrize(("size", "down", "even"), [(93, 11, 12), (95, 12, 12), (97, 13, 14), (94, 12, 12), (70, 0, 0)])
def test_libraries_round_the_middle_differently(size, down, even):
    assert centre(size, 70, even=False) == down
    assert centre(size, 70, even=True) == even
