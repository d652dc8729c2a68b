"""A patch lies where the image processor takes it from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.vision.geometry import PatchGeometry


@pytest.mark.parametrize("size", [(288, 384), (304, 608), (190, 240), (384, 288), (96, 96), (101, 333)])
def test_a_bright_square_lights_up_its_own_patch(tiny, tower, size):
    height, width = size
    geometry = PatchGeometry.of(tiny, height, width)
    for patch in (0, 5, 66, 143):
        row, column = divmod(patch, geometry.columns)
        top = geometry.crop[0] + row * geometry.scale[0]
        left = geometry.crop[1] + column * geometry.scale[1]
        frame = np.zeros((height, width, 3), dtype=np.uint8)
        frame[round(top) : round(top + geometry.scale[0]), round(left) : round(left + geometry.scale[1])] = 255
        light = tower.pixels(frame[None])[0].mean(0)
        side = light.shape[0] // geometry.rows
        by_patch = light.unfold(0, side, side).unfold(1, side, side).mean((-1, -2)).flatten()
        assert int(by_patch.argmax()) == patch
        assert geometry.patch_at(top + geometry.scale[0] / 2, left + geometry.scale[1] / 2) == patch


@given(height=st.integers(20, 2000), width=st.integers(20, 2000))
@settings(max_examples=60, deadline=None)
def test_the_grid_never_leaves_the_frame(tiny, height, width):
    geometry = PatchGeometry.of(tiny, height, width)
    top, left, crop_height, crop_width = geometry.crop
    # Whole resized pixels: at most one of them of slack.
    slack = max(height, width) / min(height, width) * max(1, min(height, width) / 96)
    assert top >= -slack
    assert left >= -slack
    assert top + crop_height <= height + slack
    assert left + crop_width <= width + slack


def test_whole_frames_are_covered_whole(tiny):
    whole = tiny.model_copy(update={"vision": tiny.vision.model_copy(update={"fit": "whole"})})
    assert PatchGeometry.of(whole, 304, 608).crop == pytest.approx((0, 0, 304, 608))


def test_outside_the_crop_there_is_no_patch(tiny):
    assert PatchGeometry.of(tiny, 304, 608).patch_at(100, 3) is None
