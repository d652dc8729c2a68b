"""Name features from a vocabulary: CLIP compares phrases with what lies under each feature's strongest patches."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import NeurratorError
from ..profiles import Profile
from ..vision.geometry import PatchGeometry
from .dictionary import Dictionary
from .gallery import TopPatches, apart_in, grids_key, index_of
from .names import Names
from .places import place_to_write
from .spotlights import Spotlights

OnProgress = Callable[[str, int, int], None]
# Fewer patches than this say nothing: half of them choose the name and half of them judge it.
LEAST_PATCHES = 4
# Pictures that a name is judged against.
_OTHERS = 2000
_BATCH = 32
METHOD = (
    "For each feature the patches that drive it most, at most one from each second of a movie, were shown to the profile's CLIP, "
    "the frame blurred but for a window of a third of the grid's side around the patch; it also read the phrases. Every second picture chooses: the name is the phrase whose "
    "similarity to these pictures lies farthest above its mean over all pictures, in standard deviations. The other pictures judge: the score is the chance that one of them "
    "is more similar to the name than a picture of any feature (0.5 is luck, 1 always). Names that score below the least score are left empty."
)


def read_vocabulary(file: str | Path) -> list[str]:
    """Read words or phrases, one a line; empty lines and those that begin with # are left out.

    Raises
    ------
    NeurratorError
        The file is missing, is not text, or holds fewer than two phrases.
    """
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NeurratorError(f"The vocabulary {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise NeurratorError(
            f"The vocabulary {path} is not text in UTF-8: give a file with one word or phrase a line."
        ) from error
    phrases = list(
        dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    )
    if len(phrases) < 2:
        raise NeurratorError(f"The vocabulary {path} holds {len(phrases)} phrases: give two or more, one a line.")
    return phrases


def name_features(
    dictionary: Dictionary,
    stimulus: Any,
    profile: Profile,
    vocabulary: list[str],
    template: str = "a photo of {}",
    n: int = 16,
    least_score: float = 0.8,
    on_progress: OnProgress | None = None,
) -> Names:
    """Name the features of a dictionary; see `METHOD`.

    Parameters
    ----------
    dictionary : Dictionary
        Whose features.
    stimulus : Stimulus
        Frames that are looked at.
    profile : Profile
        Whose CLIP.
    vocabulary : list of str
        What features may be called.
    template : str
        What CLIP is asked, with {} where the phrase stands.
    n : int
        Patches a feature.
    least_score : float
        Below this a feature has no name.
    on_progress : callable, optional
        Called with (stage, done, total).

    Raises
    ------
    NeurratorError
        The template has no {}, or the vision model cannot read phrases.
    """
    from ..vision.cache import patch_grids
    from ..vision.tower import VisionTower

    if "{}" not in template:
        raise NeurratorError(
            f"--template {template!r} has no {{}}, where the phrase is to stand: write for example 'a photo of {{}}'."
        )
    frames = np.arange(stimulus.n_frames)
    grids = patch_grids(stimulus, frames, profile, on_progress)
    index = index_of(dictionary, grids, grids_key(stimulus, frames, profile), n, apart_in(stimulus), on_progress)
    tower = VisionTower(profile)
    geometry = PatchGeometry.of(profile, *stimulus.frame_shape[:2])
    lights = Spotlights(geometry, stimulus.frame_shape)
    number_of, embedded = _embedded(index, stimulus, tower, lights, on_progress)
    phrases = _phrases(tower, [template.replace("{}", phrase) for phrase in vocabulary], profile)
    entries = choose_names(index, number_of, embedded, phrases, vocabulary, least_score, lights.place)
    digest = hashlib.sha256("\n".join(vocabulary).encode()).hexdigest()[:12]
    about = {
        "method": METHOD, "model": profile.vision.model, "layer": profile.vision.layer, "dictionary": dictionary.content_hash,
        "stimulus": stimulus.name, "frames": int(stimulus.n_frames), "vocabulary": {"phrases": len(vocabulary), "sha256": digest}, "template": template,
        "patches": n, "least_score": least_score,
    }  # fmt: skip
    return Names(entries, about)


def save_names(dictionary: Dictionary, names: Names, out: str | Path | None = None, replace: bool = False) -> Path:
    """Write names beside the dictionary, or among the user's data where its folder cannot be written; labels are not touched.

    Raises
    ------
    NeurratorError
        There are names already and they are not to be replaced.
    """
    file = Path(out).expanduser() if out else place_to_write(dictionary.source, dictionary.content_hash, "names")
    if file.exists() and not replace:
        raise NeurratorError(
            f"The features are named already in {file}: give --replace to name them anew, or another file with --out."
        )
    names.save(file)
    return file


def _embedded(
    index: TopPatches, stimulus: Any, tower: Any, lights: Spotlights, on_progress: OnProgress | None
) -> tuple[dict[tuple[int, int], int], torch.Tensor]:
    """Embed the pictures of all best patches, each once: their numbers by (row, place), and unit vectors (picture, projection)."""
    wanted = {
        (int(row), lights.place(int(patch)))
        for row, patch in zip(index.rows.ravel(), index.patches.ravel(), strict=True)
        if row >= 0
    }
    order = sorted(wanted)
    parts = []
    held, frame, blurred = -1, np.empty(0), np.empty(0)
    for start in range(0, len(order), _BATCH):
        lit = []
        for row, place in order[start : start + _BATCH]:
            if held != row:
                held, frame = row, stimulus.frame(row)
                blurred = lights.blurred(frame)
            lit.append(lights.on(frame, blurred, place))
        parts.append(tower.grids_and_embeddings(np.stack(lit))[1].float().cpu())
        if on_progress:
            on_progress("looking at patches", min(start + _BATCH, len(order)), len(order))
    if not parts:
        raise NeurratorError(
            "No feature of the dictionary is active on these frames, so there is nothing to name: look at other frames."
        )
    return {key: number for number, key in enumerate(order)}, torch.cat(parts)


def _phrases(tower: Any, texts: list[str], profile: Profile) -> torch.Tensor:
    if not hasattr(tower, "embed_phrases"):
        raise NeurratorError(
            f"The vision model {profile.vision.model!r} reads no text, so it cannot name features: choose a CLIP with both halves."
        )
    return torch.cat([tower.embed_phrases(texts[i : i + 256]).float().cpu() for i in range(0, len(texts), 256)])


def choose_names(
    index: TopPatches,
    number_of: dict[tuple[int, int], int],
    pictures: torch.Tensor,
    phrases: torch.Tensor,
    vocabulary: list[str],
    least_score: float,
    place: Callable[[int], int] | None = None,
) -> list[dict[str, Any]]:
    """Choose the name of every feature on half of its pictures, and judge it on the other half.

    Parameters
    ----------
    index : TopPatches
        Which patches.
    number_of : dict
        Number of the picture at (row, place).
    pictures : torch.Tensor
        Their embeddings, (picture, projection).
    phrases : torch.Tensor
        Those of the vocabulary, (phrase, projection).
    vocabulary : list of str
        The phrases.
    least_score : float
        Below this a feature has no name.
    place : callable, optional
        From patch to place; the patch itself by default.

    Returns
    -------
    list of dict
        For each feature ``name``, ``score``, and ``patches``, how many there were.
    """
    place = place or (lambda patch: patch)
    mean = pictures.mean(0)
    usual = phrases @ mean
    # The variance of a phrase's similarity over pictures, without the table of all similarities.
    spread = ((phrases @ torch.cov(pictures.T, correction=0)) * phrases).sum(1).clamp(min=1e-12).sqrt()
    generator = torch.Generator().manual_seed(0)
    others = pictures[torch.randperm(len(pictures), generator=generator)[:_OTHERS]]
    entries: list[dict[str, Any]] = []
    for feature in range(len(index.rows)):
        mine = [number_of[row, place(patch)] for row, patch, _ in index.of(feature)]
        if len(mine) < LEAST_PATCHES:
            entries.append({"name": "", "score": 0.0, "patches": len(mine)})
            continue
        chooses, judges = pictures[mine[0::2]], pictures[mine[1::2]]
        best = int(((phrases @ chooses.mean(0) - usual) / spread).argmax())
        against, own = others @ phrases[best], judges @ phrases[best]
        score = float((own[:, None] > against).float().mean() + 0.5 * (own[:, None] == against).float().mean())
        entries.append({
            "name": vocabulary[best] if score >= least_score else "", "score": round(score, 3), "patches": len(mine), "best": vocabulary[best],
        })  # fmt: skip
    return entries
