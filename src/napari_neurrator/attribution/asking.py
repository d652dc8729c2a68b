r"""Ask back: by how much each unit moved what was decoded.

The decoder ``subset`` is a closed form: every unit votes for each known frame, with the share of the log-likelihood that is its own,

.. math:: v_u(s) = \mu_u(s)\, [\Sigma^{-1} (x - \tfrac12 \mu_s)]_u, \qquad \log p(s | x) = \tau \sum_u v_u(s) + \mathrm{const},

and a target's value can be followed back to the votes: integrated gradients (Sundararajan, Taly & Yan 2017, ICML; the Aumann-Shapley value of game theory) from
nobody's vote counting, which is the mean grid, to everybody's. The contributions add up to the value; where a network has its share, less what that says
when nobody does. For any decoder, a unit can be left out instead and the rest be decoded again, which for ``subset`` is the exact answer without it.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..decoding.interface import SubsetDecoder
from ..decoding.network import LatentNetwork
from ..decoding.subset import SubsetBayes
from ..errors import NeurratorError
from .fields import UnitFields
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["auto", "integrated-gradients", "leave-out", "shapley"]
_STEPS, _SAMPLES = 256, 25
_TENSORS = ("votes", "log_prior", "states", "slopes", "latents", "known", "pull")


@dataclass(frozen=True, eq=False)
class Contributions:
    """By how much each unit moved a target, signed.

    Attributes
    ----------
    target, unit : str
        What was asked for, and what the numbers are.
    method : str
        How it was worked out.
    unit_ids : list
        The units.
    contribution : numpy.ndarray
        Signed, (unit,): positive moved the decoded grid towards the target.
    value : float
        The target at what was decoded from all these units; 0 is the mean grid.
    remainder : float
        What the contributions leave of the value: for integrated gradients the steps' error, and what the decoder's network (if it has one) says when no unit
        does; for leaving out one by one, what units say together.
    covers : numpy.ndarray or None
        For patches: by how much they belong to each unit's field, 0 to 1, (unit,); None for words, or where fields are not known.
    """

    target: str
    unit: str
    method: str
    unit_ids: list
    contribution: np.ndarray
    value: float
    remainder: float
    covers: np.ndarray | None = None

    @property
    def carried(self) -> np.ndarray:
        """What is shown on the probe: contributions, of patches by units that look there, (unit,)."""
        return self.contribution if self.covers is None else self.contribution * self.covers

    def explain(self, share: float = 0.8) -> list:
        """Return the fewest units whose contributions (as `carried`, without their signs) make up a share of all, largest first."""
        size = np.abs(self.carried)
        order = np.argsort(-size, kind="stable")
        total = size.sum()
        if total <= 0:
            return []
        n = int(np.searchsorted(np.cumsum(size[order]), share * total * (1 - 1e-9))) + 1
        return [self.unit_ids[row] for row in order[:n]]

    def share_of_units(self, share: float = 0.8) -> float:
        """Return which share of the units makes up a share of all contributions."""
        return len(self.explain(share)) / len(self.unit_ids)

    def to_frame(self, units: "pd.DataFrame | None" = None) -> "pd.DataFrame":
        """Return a table indexed by ``unit_id``, largest first: ``contribution``, and ``covers`` and ``carried`` where fields are known.

        Parameters
        ----------
        units : pandas.DataFrame, optional
            The recording's units table: its ``probe``, ``region``, ``x_um``, ``y_um`` and ``cell_type`` come first.
        """
        import pandas as pd

        table = pd.DataFrame({"contribution": self.contribution}, index=pd.Index(self.unit_ids, name="unit_id"))
        if self.covers is not None:
            table["covers"], table["carried"] = self.covers, self.carried
        if units is not None:
            known = [name for name in ("probe", "region", "x_um", "y_um", "cell_type") if name in units]
            table = units.loc[self.unit_ids, known].join(table)
        return table.iloc[np.argsort(-np.abs(self.carried), kind="stable")]


def ask_back(
    decoder: SubsetDecoder,
    window: np.ndarray,
    unit_ids: list,
    target: Target,
    method: Method = "auto",
    fields: UnitFields | None = None,
    seed: int = 0,
) -> Contributions:
    """Say by how much each unit moved a target at one moment.

    Parameters
    ----------
    decoder : SubsetDecoder
        Decoded.
    window : numpy.ndarray
        Counts at the moment, (bin, unit) or (1, bin, unit).
    unit_ids : list
        The units of the last axis.
    target : Target
        What is asked for.
    method : {"auto", "integrated-gradients", "leave-out", "shapley"}
        Integrated gradients for the decoder ``subset``, else leaving out each unit, by default. ``shapley`` samples orders in which units join (Castro et al.
        2009), by captum: slow, and the yardstick for the others.
    fields : UnitFields, optional
        Where units look; of a target that is about patches it tells which units look there.
    seed : int
        Of the orders of ``shapley``.

    Raises
    ------
    NeurratorError
        Units that the decoder does not know, a window of another shape, or a method that this decoder does not have.
    """
    window = window[None] if window.ndim == 2 else window
    decoder.check_windows(window, unit_ids)
    decoder.positions(unit_ids)
    closed = isinstance(decoder, SubsetBayes)
    if method == "auto":
        method = "integrated-gradients" if closed else "leave-out"
    if method == "integrated-gradients":
        if not isinstance(decoder, SubsetBayes):
            raise NeurratorError(
                f"The decoder {decoder.kind!r} has no closed form to follow back: ask with method='leave-out' or 'shapley'."
            )
        found, value = _by_gradients(decoder, window, unit_ids, target)
    elif method in ("leave-out", "shapley"):
        found, value = _by_leaving_out(decoder, window, unit_ids, target, method, seed)
    else:
        raise NeurratorError(f"There is no method {method!r}: choose integrated-gradients, leave-out or shapley.")
    covers = None if fields is None or target.patches is None else fields.covers(target.patches, unit_ids).numpy()
    return Contributions(
        target.name, target.unit, method, list(unit_ids), found, value, value - float(found.sum()), covers
    )


def _by_gradients(decoder: SubsetBayes, window: np.ndarray, unit_ids: list, target: Target) -> tuple[np.ndarray, float]:
    from captum.attr import IntegratedGradients

    with torch.inference_mode():
        subset = decoder._subset(unit_ids)
        x = decoder._features(window, unit_ids, subset)[0]
        votes = _Votes.of(decoder, subset, x, target, len(unit_ids))
    # Copies: what was worked out in inference mode cannot be followed back.
    forward = replace(votes, **{name: getattr(votes, name).clone() for name in _TENSORS})
    everyone = torch.ones(1, len(unit_ids))
    # Nodes lie close together near nobody, where few votes already decide.
    parts = IntegratedGradients(forward).attribute(everyone, baselines=torch.zeros_like(everyone), n_steps=_STEPS)
    with torch.no_grad():
        value = float(forward(everyone))
    return parts[0].detach().double().numpy(), value


@dataclass(frozen=True, eq=False)
class _Votes:
    """A target's value as a function of how much each unit's vote counts, (batch, unit) to (batch,).

    Attributes
    ----------
    votes : torch.Tensor
        Tempered, (unit, state).
    log_prior : torch.Tensor
        Of the states, (state,).
    states : torch.Tensor
        The target's value at each known frame, weighed, (state,).
    slopes : torch.Tensor
        What each unit adds by the regression, weighed, (unit,).
    constant : float
        What remains.
    latents : torch.Tensor
        What each unit adds to the posterior mean of the latents, (unit, latent).
    known : torch.Tensor
        How much of each latent is known, (latent,).
    pull : torch.Tensor
        Of the network's coefficients on the target, weighed, (coefficient,).
    network : LatentNetwork or None
        From latents to coefficients.
    """

    votes: torch.Tensor
    log_prior: torch.Tensor
    states: torch.Tensor
    slopes: torch.Tensor
    constant: float
    latents: torch.Tensor
    known: torch.Tensor
    pull: torch.Tensor
    network: LatentNetwork | None

    @classmethod
    def of(cls, decoder: SubsetBayes, subset: Any, x: torch.Tensor, target: Target, n_units: int) -> "_Votes":
        basis, like = decoder.basis, subset.likelihood
        # One number a component of the grids is all that the target sees of them.
        along = basis.core.float().T @ (target.weights @ basis.channels.T).flatten()
        states, mean = basis.coefficients @ along, float(decoder._mean @ along)
        means = like.means[like.features]
        seen, expected = like.filtered(x[None])[0], like.filtered(means.T).T
        votes = (means * (seen[:, None] - 0.5 * expected)).view(decoder.blocks, n_units, -1).sum(0)
        temperature = decoder.posterior.temperature(n_units, like.energy.mean()) * subset.flattening
        known, regressed, share = subset.weights
        slopes, latents = torch.zeros(n_units), torch.zeros(n_units, 0)
        known_latents, pull = torch.zeros(0), torch.zeros_like(along)
        network = decoder.network if subset.latents is not None and share > 0 else None
        if subset.latents is not None:
            latents = (subset.latents.gain * x).view(-1, decoder.blocks, n_units).sum(1).T
            if subset.regression is not None:
                slopes = regressed * (latents @ (subset.regression.weights @ along))
            if network is not None:
                known_latents, pull = subset.latents.known, share * along
        offset = float(((basis.mean.view(*basis.shape) - target.prior) * target.weights).sum())
        return cls(
            temperature * votes, decoder.posterior.log_prior, known * (states - mean), slopes, offset + mean, latents, known_latents, pull,
            network,
        )  # fmt: skip

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(counts @ self.votes + self.log_prior, dim=1)
        value = p @ self.states + counts @ self.slopes + self.constant
        if self.network is not None:
            value = value + self.network(counts @ self.latents, self.known) @ self.pull
        return value


def _by_leaving_out(
    decoder: SubsetDecoder, window: np.ndarray, unit_ids: list, target: Target, method: str, seed: int
) -> tuple[np.ndarray, float]:
    from captum.attr import FeatureAblation, ShapleyValueSampling

    def decode(masks: torch.Tensor) -> torch.Tensor:
        return torch.tensor([_value_of(decoder, window, unit_ids, mask > 0.5, target) for mask in masks])

    everyone, nobody = torch.ones(1, len(unit_ids)), torch.zeros(1, len(unit_ids))
    if method == "leave-out":
        parts = FeatureAblation(decode).attribute(everyone, baselines=nobody)
    else:
        torch.manual_seed(seed)
        parts = ShapleyValueSampling(decode).attribute(everyone, baselines=nobody, n_samples=_SAMPLES)
    return parts[0].double().numpy(), float(decode(everyone)[0])


def _value_of(decoder: SubsetDecoder, window: np.ndarray, unit_ids: list, kept: torch.Tensor, target: Target) -> float:
    """Return the target's value when only some units are known; nobody known is the mean grid."""
    places = kept.nonzero()[:, 0].tolist()
    if not places:
        return float(target.value(decoder.prior_grid[None])[0])
    units = [unit_ids[place] for place in places]
    return float(target.value(decoder.predict(np.ascontiguousarray(window[:, :, places]), units))[0])
