"""The whole way on a small simulated session: visual units narrate held-out showings, CA1 does not."""

import json

import numpy as np
import pytest

from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.backend.narrations import choose_moments, narrate_moments
from napari_neurrator.config import NarrateConfig
from napari_neurrator.decoding import decoder_info
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.recording.sample.captions import named_objects


@pytest.fixture(scope="module")
def narrations_of(small_sample, small_decoder):
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    info = decoder_info(small_decoder)
    chosen = choose_moments(moments(recording, name, stimulus), info, None, held_out=True).iloc[::5]
    config = NarrateConfig(recording=str(small_sample), decoder=str(small_decoder), held_out=True)
    backend = InProcessBackend()

    def narrate(query):
        return list(narrate_moments(backend, recording, stimulus, chosen, info, recording.select_units(query), config))

    yield narrate
    backend.close()


def objects_right(lines, truth, shift=0):
    """Share of frames, of those whose true frame is narrated right, in which the decoded sentence names the same objects."""
    usable = [
        line for line in lines if named_objects(line.reference) == {o["kind"] for o in truth[line.frame]["objects"]}
    ]
    said = np.roll(np.array([line.text for line in usable], dtype=object), shift)
    return np.mean(
        [named_objects(text) == named_objects(line.reference) for text, line in zip(said, usable, strict=True)]
    )


def test_visual_units_name_the_objects_and_ca1_is_at_chance(narrations_of, small_sample):
    truth = json.loads((small_sample.parent / "truth.json").read_text())["frames"]
    visual, ca1 = narrations_of('region != "CA1"'), narrations_of('region == "CA1"')
    assert objects_right(visual, truth) >= 0.8
    # Three scenes: whoever knows nothing is right in at most about a third; shifted sentences say how much luck gives.
    luck = np.mean([objects_right(ca1, truth, shift) for shift in range(5, 40)])
    assert objects_right(ca1, truth) <= luck + 0.2
    assert np.mean([line.patch_cosine for line in visual]) > np.mean([line.prior_patch_cosine for line in visual]) + 0.1
    assert np.mean([line.patch_cosine for line in ca1]) < np.mean([line.prior_patch_cosine for line in ca1]) + 0.05
