"""Which concepts stand out on a frame."""

from dataclasses import dataclass

import torch

from .dictionary import Dictionary, SparseActivations


@dataclass(frozen=True)
class ActiveConcept:
    """A concept on one frame.

    Attributes
    ----------
    feature : int
        Number of its strongest feature in the dictionary.
    name : str
        What it is called.
    strength : float
        How far that feature stands above what is usual in the session, in standard deviations over frames.
    heatmap : torch.Tensor
        Activation by patch, (patch,).
    """

    feature: int
    name: str
    strength: float
    heatmap: torch.Tensor


@dataclass(frozen=True)
class UsualActivation:
    """How active each feature usually is: mean and standard deviation, over frames, of its activation summed over patches; (feature,)."""

    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, totals: torch.Tensor) -> "UsualActivation":
        """Estimate it from summed activations (frame, feature).

        Features that hardly vary get the deviation of a typical one, lest a trifle counts as much.
        """
        deviation = totals.std(0) if len(totals) > 1 else torch.zeros(totals.shape[1])
        alive = deviation[deviation > 0]
        floor = alive.quantile(0.25) if len(alive) else torch.tensor(1.0)
        return cls(totals.mean(0), deviation.clamp(min=float(floor)))


def top_concepts(
    dictionary: Dictionary, activations: SparseActivations, n: int, usual: UsualActivation
) -> list[list[ActiveConcept]]:
    """Rank the named features of each frame by how far they stand above what is usual.

    Features of the same name are one concept: their heatmaps add up.

    Parameters
    ----------
    dictionary : Dictionary
        Gives the names; features without a name are left out.
    activations : SparseActivations
        Of the frames.
    n : int
        Concepts a frame at most.
    usual : UsualActivation
        What to compare with.

    Returns
    -------
    list of list of ActiveConcept
        Strongest first; fewer than `n` where fewer stand out.
    """
    named = torch.tensor([bool(entry["name"]) for entry in dictionary.names])
    totals = activations.totals()
    result = []
    for frame, excess in enumerate((totals - usual.mean) / usual.deviation):
        excess = torch.where(named & (totals[frame] > 0), excess, -torch.inf)
        order = torch.argsort(excess, descending=True)
        groups: dict[str, list[int]] = {}
        for feature in order[excess[order] > 0].tolist():
            name = dictionary.names[feature]["name"]
            if name in groups or len(groups) < n:
                groups.setdefault(name, []).append(feature)
        result.append(
            [
                ActiveConcept(
                    feature=features[0],
                    name=name,
                    strength=float(excess[features[0]]),
                    heatmap=torch.stack([activations.heatmap(frame, feature) for feature in features]).sum(0),
                )
                for name, features in groups.items()
            ]
        )
    return result
