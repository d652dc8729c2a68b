"""Where templates lie on the probe."""

import numpy as np

from napari_neurrator.recording.readers.templates import centres_of_mass


def test_a_template_lies_where_its_amplitudes_do_and_nowhere_where_that_is_not_known():
    channels = np.array([[0.0, 0.0], [0.0, 20.0], [np.nan, np.nan], [0.0, 2000.0]])
    templates = np.zeros((4, 5, 4))
    templates[0, 2] = [1, 1, 0, 1]
    templates[1, 2] = [1, 1, 3, 0]
    templates[3, 2] = [1, 0, 0, 5]
    centres = centres_of_mass(templates, channels)
    np.testing.assert_allclose(centres[[0, 3]], [[0, 10], [0, 2000]])
    # The largest on a channel without a place; flat.
    assert np.isnan(centres[[1, 2]]).all()
