"""Ask back from a narration: what each unit contributed to what was written down."""

from typing import TYPE_CHECKING

import numpy as np

from ..decoding.store import StoredDecoder
from ..decoding.subset import SubsetBayes
from ..decoding.windows import spike_windows
from ..errors import NeurratorError
from ..profiles import load_profile
from ..vision.fingerprint import weights_fingerprint
from .asking import Contributions, ask_back
from .fields import UnitFields
from .targets import Target, concept_target, patch_target

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ..backend.narrations import Narration
    from ..profiles import Profile
    from ..recording import Recording


def contributions_of(
    narration: "Narration", recording: "Recording", moments: "pd.DataFrame", ask: str | None = None
) -> Contributions:
    """Return the contributions of a narration's units.

    Parameters
    ----------
    narration : Narration
        Names decoder, units and moment.
    recording : Recording
        Where the spikes come from.
    moments : pandas.DataFrame
        All moments of the stimulus.
    ask : str, optional
        ``patches:40,41``, ``concept:NAME``, ``concept:12`` (a feature's number) or ``word:WORD``; by default the whole frame.

    Raises
    ------
    NeurratorError
        What is asked cannot be read or is not there.
    """
    stored = StoredDecoder.load(narration.config.decoder)
    profile = load_profile(stored.info.profile)
    if stored.info.patch_space != weights_fingerprint(profile, profile.vision.model):
        raise NeurratorError(
            f"The decoder in {narration.config.decoder} was fitted on another version of the profile {profile.name!r}: fit it again."
        )
    row = moments[(moments["presentation"] == narration.presentation) & (moments["frame"] == narration.frame)].iloc[:1]
    if row.empty:
        raise NeurratorError(
            f"Frame {narration.frame} was not shown in showing {narration.repeat} of this recording: give the one that was narrated."
        )
    window = spike_windows(recording, row, stored.info.window, narration.unit_ids)
    decoder = stored.decoder
    grid, prior = decoder.predict(window, narration.unit_ids)[0].cpu(), decoder.prior_grid.cpu()
    target = _target(ask, narration, profile, grid, prior)
    fields = None
    if target.patches is not None and len(target.patches) < len(grid) and isinstance(decoder, SubsetBayes):
        side = round(len(grid) ** 0.5)
        fields = UnitFields.of(decoder, side, len(grid) // side)
    return ask_back(decoder, window, narration.unit_ids, target, fields=fields)


def _target(
    ask: str | None, narration: "Narration", profile: "Profile", grid: "torch.Tensor", prior: "torch.Tensor"
) -> Target:
    if not ask:
        return patch_target(grid, prior, np.arange(len(grid)))
    kind, _, what = ask.partition(":")
    if kind == "patches" and all(part.strip().isdecimal() for part in what.split(",")):
        return patch_target(grid, prior, [int(part) for part in what.split(",")])
    if kind == "concept" and what:
        from ..concepts.dictionary import load_dictionary

        dictionary = load_dictionary(profile)
        if dictionary is None:
            raise NeurratorError(
                f"The profile {profile.name!r} has no dictionary, so there are no concepts to ask for."
            )
        return concept_target(dictionary, int(what) if what.isdecimal() else what, grid, prior)
    if kind == "word" and what:
        from ..language.narrator import LanguageModel
        from .words import word_target

        return word_target(LanguageModel(profile), grid, prior, narration.text, what, narration.config.prompt)
    raise NeurratorError(f"--ask {ask!r} cannot be read: write patches:40,41 or concept:NAME or word:WORD.")
