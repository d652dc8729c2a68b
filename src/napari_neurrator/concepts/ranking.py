"""Which concepts stand out on a frame."""

from dataclasses import dataclass

import torch

from .dictionary import Dictionary, SparseActivations

# Standard deviations above usual from which on a concept is listed.
STANDS_OUT = 0.5


@dataclass(frozen=True)
class ActiveConcept:
    """A concept on one frame: all features of one name.

    Attributes
    ----------
    feature : int
        Number of its strongest feature in the dictionary.
    name : str
        What it is called.
    strength : float
        How far its activation, summed over patches, stands above what is usual in the session, in standard deviations over frames.
    heatmap : torch.Tensor
        Activation by patch, (patch,).
    """

    feature: int
    name: str
    strength: float
    heatmap: torch.Tensor


def concept_totals(dictionary: Dictionary, activations: SparseActivations) -> torch.Tensor:
    """Sum the activation of each concept over its features and over patches: (frame, concept)."""
    return activations.totals_of(dictionary.concept_of_feature, len(dictionary.concepts)).cpu()


@dataclass(frozen=True)
class UsualActivation:
    """How active each concept usually is: mean and standard deviation over frames of `concept_totals`; (concept,)."""

    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, totals: torch.Tensor) -> "UsualActivation":
        """Estimate it from concept totals (frame, concept).

        Concepts that vary less than a typical one get the deviation of that one, lest a trifle counts as much as a sight.
        """
        deviation = totals.std(0) if len(totals) > 1 else torch.zeros(totals.shape[1])
        alive = deviation[deviation > 0]
        typical = float(alive.median()) if len(alive) else 1.0
        return cls(totals.mean(0), deviation.clamp(min=typical))


def top_concepts(
    dictionary: Dictionary, activations: SparseActivations, n: int, usual: UsualActivation
) -> list[list[ActiveConcept]]:
    """Rank the concepts of each frame by how far they stand above what is usual.

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
    result = []
    for frame, excess in enumerate((concept_totals(dictionary, activations) - usual.mean) / usual.deviation):
        active = activations.frame(frame)
        features, values, rows = active.features.cpu(), active.values.cpu(), active.rows.cpu()
        concept_of_active = dictionary.concept_of_feature[features]
        ranked = []
        best = excess.topk(min(n, len(excess)))
        for concept, strength in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            mine = concept_of_active == concept
            # A concept that is usually less than absent can stand out by absence alone; there is nothing to show of it.
            if strength < STANDS_OUT or not bool(mine.any()):
                break
            heatmap = torch.zeros(activations.n_patches).index_add_(0, rows[mine], values[mine])
            ranked.append(
                ActiveConcept(
                    feature=int(features[mine][values[mine].argmax()]),
                    name=dictionary.concepts[concept],
                    strength=strength,
                    heatmap=heatmap,
                )
            )
        result.append(ranked)
    return result
