"""How the default decoder learns how far to trust posterior and regression: what is left out, and how the weights are fitted on it."""

import numpy as np
import torch

from .basis import GridBasis
from .bayes import EncodingModel, SubsetPosterior, features_of
from .calibration import positions_of_features
from .interface import OnProgress, TrainingData
from .latent import LatentModel
from .mixing import FLATTENINGS, Mixing, MixingFit, sizes_up_to

# Moments that are decoded of each stretch that is left out.
_TRIED = 400
_STAGE = "weighing known against new frames"


def parts_of_states(
    data: TrainingData, rows: np.ndarray, states: torch.Tensor, n_states: int, known: bool
) -> torch.Tensor:
    """Return the stretch of frames that each state belongs to: the split's own where it holds out frames, else fifths of the film."""
    if known:
        return torch.arange(n_states) * 5 // n_states
    parts = torch.zeros(n_states, dtype=torch.int64)
    parts[states[rows]] = torch.from_numpy(data.groups[rows])
    return parts


def fit_mixing(
    data: TrainingData,
    counts: np.ndarray,
    states: torch.Tensor,
    picture: torch.Tensor,
    basis: GridBasis,
    parts: torch.Tensor,
    both: np.ndarray,
    known: bool,
    sharpness: torch.Tensor,
    n_latents: int,
    draws: int,
    report: OnProgress,
) -> Mixing:
    """Fit the weights of posterior and regression, by population size, on moments left out as those are that will be asked for.

    Parameters
    ----------
    data : TrainingData
        Its groups are the stretches of frames that are left out, one at a time.
    counts : numpy.ndarray
        Spike counts of all moments, (moment, block, unit).
    states : torch.Tensor
        State shown at each moment, int64.
    picture : torch.Tensor
        Which states look the same, int64 (state,).
    basis : GridBasis
        Its coefficients are those of the states.
    parts : torch.Tensor
        The stretch of frames that each state belongs to, int64 (state,).
    both : numpy.ndarray
        The moments that are not tested.
    known : bool
        Whether the frames asked for are known, so that it is showings that are left out.
    sharpness : torch.Tensor
        Of the posterior over known frames.
    n_latents, draws : int
        Latents at most, and random subsets of each size.
    report : callable
        Called with (stage, done, total).
    """
    n_units = counts.shape[2]
    rng = np.random.default_rng([data.seed, 2])
    flattenings = (1.0,) if known else FLATTENINGS
    fit = MixingFit(sizes_up_to(n_units), flattenings)
    if known:
        folds = [(data.train, data.validation)]
    else:
        of = data.groups[both]
        folds = [(both[of != part], both[of == part]) for part in np.unique(of)]
    if data.new_film:
        folds = [(learn, _inner_half(left, data.frames)) for learn, left in folds]
    for number, (learn, left) in enumerate(folds):
        report(_STAGE, number, len(folds))
        model = EncodingModel.fit(counts, learn, states[learn], len(picture), picture)
        posterior = SubsetPosterior.of_model(model, picture, sharpness)
        latent = LatentModel.fit(model, basis.coefficients, parts, n_latents)
        mean = (model.shown / model.shown.sum()) @ basis.coefficients
        some = left[:: max(len(left) // _TRIED, 1)]
        true = basis.coefficients[states[some]] - mean
        for size in fit.sizes:
            for _ in range(1 if size == n_units else draws):
                units = np.sort(rng.choice(n_units, size, replace=False))
                features = positions_of_features(units, counts.shape[1], n_units)
                x = features_of(counts, some, units)
                x = x - model.grand_mean[features]
                with torch.inference_mode():
                    about = latent.posterior(features)
                    regressed = latent.regression(about)(about(x)) - mean
                    # What a film shows that shares no frame with this one is none of the known frames.
                    among = [torch.zeros_like(regressed)]
                    if not data.new_film:
                        likelihood = posterior.of(features)
                        log_p = (posterior.log_posterior(x, likelihood, size, factor) for factor in flattenings)
                        among = [one.exp() @ basis.coefficients - mean for one in log_p]
                    fit.add(size, among, regressed, true)
    report(_STAGE, len(folds), len(folds))
    return fit.result()


def thirds(data: TrainingData, shown: np.ndarray) -> np.ndarray:
    """Return the third of the film that each moment belongs to.

    Beyond its end a film is known on one side only: its frames are as far from what is known as those of a stretch among it that is twice as long.
    """
    return np.searchsorted(shown, data.frames) * 3 // len(shown)


def _inner_half(rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the moments of a stretch that lie farthest from its ends: they resemble the frames around it least."""
    low, high = np.quantile(np.unique(frames[rows]), [0.25, 0.75])
    return rows[(frames[rows] >= low) & (frames[rows] <= high)]
