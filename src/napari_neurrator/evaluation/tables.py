"""The score tables of a subset of units: every score against every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .draws import Draw
from .labels import ClassNames, SameSentence
from .material import Material
from .scores import retrieval, two_way
from .text_scores import Overlap, SentenceEmbedder, cosine_tables

# What each score is called, and what it is; in the order of the report.
SCORES = {
    "label_accuracy": "named right",
    "patch_cosine": "patch cosine",
    "two_way": "two-way identification",
    "retrieval_top1": "retrieval, first of the pool",
    "retrieval_top5": "retrieval, among the first five",
    "sbert": "SBERT cosine, mean over references",
    "sbert_max": "SBERT cosine, best reference",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "unique_rate": "different sentences",
}
EXPLAINED = {
    "patch_cosine": "mean cosine of decoded and true patches",
    "two_way": "share of other pictures that are less like the decoded grid than the true one (similarity: cosine of the whole grids' deviations from the mean grid); chance 0.5",
    "retrieval_top1": "the true picture is the one most like the decoded grid, among all pictures tested; ties share",
    "retrieval_top5": "the true picture is among the five most like the decoded grid",
    "sbert": "cosine of the embeddings of the decoded sentence and each reference caption of the frame, mean over captions",
    "sbert_max": "the same with the nearest of the frame's captions",
    "bleu": "sentence BLEU (sacrebleu, effective order) against all references",
    "rouge_l": "F of the longest common subsequence (rouge-score), best reference",
    "unique_rate": "different sentences among those said; not compared with a null",
}


# Scores that are shares of moments, each right or wrong.
SHARES = ("label_accuracy", "retrieval_top1", "retrieval_top5")

# What other scores than those from 0 to 1 can be.
LIMITS = {"patch_cosine": (-1.0, 1.0), "sbert": (-1.0, 1.0), "sbert_max": (-1.0, 1.0)}


@dataclass(eq=False)
class Judge:
    """What sentences and grids are judged by.

    Attributes
    ----------
    material : Material
        Frames and moments.
    references : list of list of str
        Reference captions of each frame of the pool.
    labels : ClassNames or SameSentence
        Which class a sentence names.
    label_of : numpy.ndarray
        The class of each frame as a column of `labels.credit`, (frame,).
    embedder : SentenceEmbedder or None
        None where no sentence model is to be had.
    overlap : Overlap
        BLEU and ROUGE.
    """

    material: Material
    references: list[list[str]]
    labels: ClassNames | SameSentence
    label_of: np.ndarray
    embedder: SentenceEmbedder | None
    overlap: Overlap

    @property
    def several(self) -> bool:
        """Whether frames have more than one reference, so that mean and best differ."""
        return any(len(some) > 1 for some in self.references)

    @property
    def top_five(self) -> bool:
        """Whether there are enough pictures for the first five of them to say something."""
        return self.material.pool.n_pictures > 10

    def of_grids(self, patch: np.ndarray, centred: np.ndarray) -> dict[str, np.ndarray]:
        """Return the tables (moment, frame) of the scores of grids."""
        picture = self.material.pool.picture
        tables = {
            "patch_cosine": patch.astype(float),
            "two_way": two_way(centred, picture),
            "retrieval_top1": retrieval(centred, picture, 1),
        }
        if self.top_five:
            tables["retrieval_top5"] = retrieval(centred, picture, 5)
        return tables

    def of_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the tables (sentence, frame) of the scores of sentences."""
        tables = {"label_accuracy": self.labels.credit(texts)[:, self.label_of]}
        if self.embedder is not None:
            mean, best = cosine_tables(self.embedder, texts, self.references)
            tables["sbert"] = mean.astype(float)
            if self.several:
                tables["sbert_max"] = best.astype(float)
        return tables

    def overlaps(self, texts: Sequence[str], frames: np.ndarray) -> dict[str, float]:
        """Return BLEU and ROUGE-L of sentences against the references of one frame each."""
        bleu, rouge = self.overlap.mean(texts, [self.references[frame] for frame in frames])
        return {"bleu": bleu, "rouge_l": rouge}

    def tables(self, drawn: Draw) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the tables of a draw: of grids, over all moments, and of sentences, over the narrated ones."""
        return self.of_grids(drawn.patch, drawn.centred), self.of_texts(drawn.texts)

    def prior_tables(self, sentence: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the tables of the mean grid and of the `sentence` that is said of it, (1, frame) each."""
        pool = self.material.pool
        return self.of_grids(*pool.similarities(pool.prior[None])), self.of_texts([sentence])
