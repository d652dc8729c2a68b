"""The frames that tested moments are held against instead of their own."""

import numpy as np

from ..errors import NeurratorError
from .material import Material
from .nulls import circular_shifts, permuted_frames, unrelated_frames

_MATCHES = 100


class NullFrames:
    """All nulls of an evaluation, drawn once and used for every subset of units.

    Parameters
    ----------
    material : Material
        The tested moments.
    warnings : list of str
        What a reader of the report has to know is added to it.

    Attributes
    ----------
    frames : dict
        For ``circular_shift`` and ``shuffled``, the frame that each moment is held against, int64 (draw, moment).
    far : dict
        Which of these draws leave the gap, bool (draw,): they say what something unrelated scores; p-values count all.
    main : str
        The null that p-values rest on: circular shifts of a film, shuffled frames where presentations stand alone.
    unrelated : numpy.ndarray
        A frame that looks different and is no neighbour, for each frame, int64 (draw, frame); empty where there is none.
    """

    def __init__(self, material: Material, warnings: list[str]):
        config, course, n_frames = material.config, material.course, len(material.pool)
        n = config.n_permutations
        shifted, far = circular_shifts(course, n, np.random.default_rng([config.seed, 10]))
        shuffled = permuted_frames(course.frame, n_frames, n, np.random.default_rng([config.seed, 11]))
        self.frames = {"circular_shift": shifted, "shuffled": shuffled}
        self.far = {"circular_shift": far, "shuffled": np.ones(len(shuffled), dtype=bool)}
        self.main = "circular_shift" if material.film else "shuffled"
        try:
            rng = np.random.default_rng([config.seed, 12])
            self.unrelated = unrelated_frames(material.pool.picture, _MATCHES, rng, material.near)
        except NeurratorError as error:
            warnings.append(str(error))
            self.unrelated = np.empty((0, n_frames), dtype=np.int64)
        if material.film and not far.any():
            warnings.append(
                f"The tested film is too short to say what unrelated parts of it score: no circular shift leaves the gap of {config.gap_s:g} s."
            )
