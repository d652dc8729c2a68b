"""Requests for narrations of the small session."""

import pytest


@pytest.fixture(scope="session")
def request_of(small_sample, small_decoder):
    """Return a function that makes a request for some held-out moments."""
    from napari_neurrator.backend.narrations import choose_moments, narration_request
    from napari_neurrator.decoding import decoder_info
    from napari_neurrator.recording import moments, open_recording, open_stimulus

    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    info = decoder_info(small_decoder)
    table = choose_moments(moments(recording, name, stimulus), info, None, held_out=True)

    def make(n=2, units=None):
        units = units or recording.select_units('region != "CA1"')
        chosen = table.iloc[10 : 10 + 30 * n : 30]
        return narration_request(recording, stimulus, chosen, info, str(small_decoder), units)

    return make
