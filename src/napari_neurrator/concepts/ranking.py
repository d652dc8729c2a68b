"""Which concepts stand out on a frame."""

from dataclasses import dataclass

import torch

from .dictionary import Dictionary, SparseActivations


@dataclass(frozen=True)
class ActiveConcept:
    """A feature on one frame.

    Attributes
    ----------
    feature : int
        Number in the dictionary.
    name : str
        What it is called.
    strength : float
        Activation summed over patches, less the feature's mean over the dictionary's own corpus.
    heatmap : torch.Tensor
        Activation by patch, (patch,).
    """

    feature: int
    name: str
    strength: float
    heatmap: torch.Tensor


def top_concepts(
    dictionary: Dictionary, activations: SparseActivations, n: int, baseline: torch.Tensor | None = None
) -> list[list[ActiveConcept]]:
    """Rank the features of each frame by how far they stand above their mean.

    Features of the same name are one concept: their heatmaps add up.

    Parameters
    ----------
    dictionary : Dictionary
        Gives names, and means where no baseline is given.
    activations : SparseActivations
        Of the frames.
    n : int
        Concepts a frame at most.
    baseline : torch.Tensor, optional
        Summed activation of each feature (feature,) that counts as usual.

    Returns
    -------
    list of list of ActiveConcept
        Strongest first; fewer than `n` where fewer stand out.
    """
    usual = dictionary.mean_activation if baseline is None else baseline
    result = []
    for frame, excess in enumerate(activations.totals() - usual):
        order = torch.argsort(excess, descending=True)[: 4 * n]
        groups: dict[str, list[int]] = {}
        for feature in order[excess[order] > 0].tolist():
            groups.setdefault(dictionary.names[feature]["name"], []).append(feature)
        concepts = [
            ActiveConcept(
                feature=features[0],
                name=name,
                strength=float(excess[features].sum()),
                heatmap=torch.stack([activations.heatmap(frame, feature) for feature in features]).sum(0),
            )
            for name, features in groups.items()
        ]
        result.append(sorted(concepts, key=lambda concept: -concept.strength)[:n])
    return result
