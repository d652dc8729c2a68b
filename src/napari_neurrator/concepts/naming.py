"""Name the features of a dictionary with phrases, through CLIP's shared space of pictures and text."""

import numpy as np
import torch


def name_features(
    totals: torch.Tensor, pictures: torch.Tensor, phrases: torch.Tensor, vocabulary: list[str], top: int = 24
) -> list[dict]:
    """Choose for each feature the phrase that its strongest pictures share.

    The pictures on which a feature is most active are averaged (weighted by activation) in CLIP's picture space; what all pictures share is
    taken away; the phrase whose text embedding, less the mean phrase, lies closest by cosine is the name, and that cosine is its score.

    Parameters
    ----------
    totals : torch.Tensor
        Activation of each feature on each picture, (picture, feature).
    pictures, phrases : torch.Tensor
        Unit-length CLIP embeddings, (picture, d) and (phrase, d).
    vocabulary : list of str
        The phrases.
    top : int
        Pictures that are averaged.

    Returns
    -------
    list of dict
        ``name``, ``score`` (cosine) and ``margin`` (lead over the next phrase) for each feature; features that are never active are named "".
    """
    phrase_axes = torch.nn.functional.normalize(phrases - phrases.mean(0), dim=-1)
    centre = pictures.mean(0)
    names = []
    for feature in range(totals.shape[1]):
        value, index = totals[:, feature].topk(min(top, len(totals)))
        if float(value[0]) <= 0:
            names.append({"name": "", "score": 0.0, "margin": 0.0})
            continue
        mean = (pictures[index] * value[:, None]).sum(0) / value.sum() - centre
        score = phrase_axes @ torch.nn.functional.normalize(mean, dim=0)
        best = torch.argsort(score, descending=True)
        names.append(
            {
                "name": vocabulary[int(best[0])],
                "score": round(float(score[best[0]]), 4),
                "margin": round(float(score[best[0]] - score[best[1]]), 4) if len(vocabulary) > 1 else float(np.inf),
            }
        )
    return names
