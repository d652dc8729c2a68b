"""``neurrator concepts``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .stopping import stoppable

if TYPE_CHECKING:
    from ..concepts.dictionary import Dictionary
    from ..profiles import Profile

app = typer.Typer(
    help="Dictionaries of concepts: look into one, train, convert and name it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DICTIONARY = Annotated[
    str, typer.Argument(help="Folder or file of a dictionary, or the name of a profile for its own.")
]
_PROFILE = Annotated[
    str, typer.Option(help="Which frozen models: a name that 'neurrator models list' prints, or a folder.")
]
_SOURCE = Annotated[str, typer.Argument(help="A recording, or a movie, array or folder of pictures.")]
_STIMULUS = Annotated[
    str | None, typer.Option(help="A stimulus of the recording by name, or the file with its frames.")
]
_FRAMES = Annotated[str | None, typer.Option(help="File or folder with the frames of the stimulus.")]


@app.command("info")
def info(
    dictionary: _DICTIONARY,
    profile: Annotated[str | None, typer.Option(help="Check that it fits this profile.")] = None,
) -> None:
    """Say what a dictionary is, and whether it fits a profile."""
    from ..concepts.account import account

    opened, checked = _opened(dictionary, profile)
    print(account(opened, checked))


@app.command("convert")
def convert(
    dictionary: _DICTIONARY,
    out: Annotated[str, typer.Option(help="Folder to write.")],
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
) -> None:
    """Save a dictionary of any family in SAELens' format, which SAELens itself loads."""
    from ..concepts.store import save_dictionary

    opened, _ = _opened(dictionary, None)
    notes = save_dictionary(opened.described, out, dtype)
    given = opened.given_names
    if given is not None:
        given.save(Path(out).expanduser() / "names.json")
    _note(opened.warnings + notes)
    print(f"{opened.described.family} dictionary of {opened.n_features} features written to {out} in SAELens' format.")


@app.command("train")
@stoppable("what was learned is kept beside {out}, and the same command goes on from there")
def train(
    source: _SOURCE,
    out: Annotated[str, typer.Option(help="Folder to write the dictionary to.")],
    stimulus: _STIMULUS = None,
    frames: _FRAMES = None,
    profile: _PROFILE = "tiny",
    architecture: Annotated[str, typer.Option(help="topk or matryoshka (nested groups, batch top-k).")] = "topk",
    features: Annotated[int | None, typer.Option(help="Size of the dictionary; 8 times the width of a patch.")] = None,
    k: Annotated[int, typer.Option(help="Active features a patch.")] = 20,
    steps: Annotated[int, typer.Option(help="Steps of the training.")] = 5000,
    batch: Annotated[int, typer.Option(help="Patches a step.")] = 2048,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    held_out: Annotated[float, typer.Option(help="Share of the frames, the last ones, that is measured on.")] = 0.1,
    dead_after: Annotated[int, typer.Option(help="Steps of silence after which a feature counts as dead.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Train a dictionary on what CLIP sees in the frames of a stimulus; asked again, it goes on where it was stopped."""
    from ..concepts.config import TrainConceptsConfig
    from ..concepts.train import train_dictionary
    from ..config import validated
    from .progress import progress_bars, show_sample_being_made

    config = validated(
        TrainConceptsConfig, source=source, stimulus=stimulus, frames=frames, profile=profile, architecture=architecture, features=features, k=k,
        steps=steps, batch=batch, lr=lr, held_out=held_out, dead_after=dead_after, seed=seed,
    )  # fmt: skip
    show_sample_being_made(source)
    with progress_bars() as report:
        scores = train_dictionary(config, out, report)
    print(
        f"Dictionary written to {out}. On {scores.frames} frames that were held out (the last ones) it explains {scores.explained_variance:.1%} of the variance with "
        f"{scores.l0:.1f} active features a patch; {scores.dead:.1%} of its features are active nowhere there."
    )


@app.command("name")
def name(
    dictionary: _DICTIONARY,
    source: _SOURCE,
    vocabulary: Annotated[str, typer.Option(help="Text file with one word or phrase a line.")],
    stimulus: _STIMULUS = None,
    frames: _FRAMES = None,
    profile: _PROFILE = "tiny",
    template: Annotated[
        str, typer.Option(help="What CLIP is asked, with {} where the phrase stands.")
    ] = "a photo of {}",
    patches: Annotated[int, typer.Option(help="Patches a feature that are looked at.")] = 16,
    least_score: Annotated[float, typer.Option(help="Below this score a feature gets no name; 0.5 is luck.")] = 0.8,
    out: Annotated[str | None, typer.Option(help="File to write; names.json beside the dictionary by default.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace names that are there; labels stay.")] = False,
) -> None:
    """Name features from a vocabulary, by CLIP, from the patches that drive them most."""
    from ..concepts.naming import LEAST_PATCHES, name_features, read_vocabulary, save_names
    from ..concepts.places import place_to_write
    from ..concepts.sources import open_source
    from ..errors import NeurratorError
    from .progress import progress_bars, show_sample_being_made

    if patches < LEAST_PATCHES:
        raise NeurratorError(f"--patches {patches} is not possible: give {LEAST_PATCHES} or more.")
    if not 0 <= least_score <= 1:
        raise NeurratorError(f"--least-score {least_score} is not possible: give a number from 0 to 1.")
    opened, checked = _opened(dictionary, profile)
    assert checked is not None
    phrases = read_vocabulary(vocabulary)
    target = Path(out).expanduser() if out else place_to_write(opened.source, opened.content_hash, "names")
    if target.exists() and not replace:
        raise NeurratorError(
            f"The features are named already in {target}: give --replace to name them anew, or another file with --out."
        )
    show_sample_being_made(source)
    shown, _ = open_source(source, stimulus, frames)
    _note(opened.warnings)
    with progress_bars() as report:
        names = name_features(opened, shown, checked, phrases, template, patches, least_score, report)
    file = save_names(opened, names, out, replace)
    named = [entry for entry in names.entries if entry["name"]]
    silent = sum(entry["patches"] < LEAST_PATCHES for entry in names.entries)
    mean = sum(entry["score"] for entry in named) / max(len(named), 1)
    print(
        f"{len(named)} of {len(names.entries)} features named, with {len({entry['name'] for entry in named})} names, in {file}; mean score {mean:.2f} (0.5 is luck). "
        f"{silent} features are active in fewer than {LEAST_PATCHES} places of these frames and have no name."
    )


@app.command("gallery")
def gallery(
    dictionary: _DICTIONARY,
    source: _SOURCE,
    out: Annotated[str, typer.Option(help="HTML file to write.")],
    stimulus: _STIMULUS = None,
    frames: _FRAMES = None,
    profile: _PROFILE = "tiny",
    features: Annotated[
        str | None,
        typer.Option(help="Numbers of features, such as 3,17; by default those that are active in most frames."),
    ] = None,
    n: Annotated[int, typer.Option(help="Frames a feature, 16 at most.", min=1, max=16)] = 8,
    most: Annotated[int, typer.Option(help="Features shown where none are named.", min=1)] = 50,
) -> None:
    """Write a contact sheet: for each feature the frames that drive it most."""
    import numpy as np

    from ..concepts.gallery import apart_in, grids_key, index_of
    from ..concepts.sheet import contact_sheet
    from ..concepts.sources import open_source
    from ..vision.cache import patch_grids
    from ..vision.geometry import PatchGeometry
    from .progress import progress_bars, show_sample_being_made

    opened, checked = _opened(dictionary, profile)
    assert checked is not None
    chosen = _numbers(features, opened.n_features) if features else None
    show_sample_being_made(source)
    shown, _ = open_source(source, stimulus, frames)
    _note(opened.warnings)
    rows = np.arange(shown.n_frames)
    with progress_bars() as report:
        grids = patch_grids(shown, rows, checked, report)
        index = index_of(opened, grids, grids_key(shown, rows, checked), apart=apart_in(shown), on_progress=report)
    if chosen is None:
        order = np.argsort(-index.frames_active, kind="stable")[:most]
        chosen = [int(feature) for feature in order if index.frames_active[feature]]
    geometry = PatchGeometry.of(checked, *shown.frame_shape[:2])
    contact_sheet(opened, shown, geometry, {feature: index.of(feature, n) for feature in chosen}, out)
    print(f"{len(chosen)} features on {out}.")


@app.command("label")
def label(
    dictionary: _DICTIONARY,
    feature: Annotated[int, typer.Argument(help="Number of the feature.", min=0)],
    text: Annotated[str, typer.Argument(help="What to call it; an empty text takes the label away.")],
) -> None:
    """Call a feature what you like; your labels win over names, and naming never touches them."""
    from ..errors import NeurratorError

    opened, _ = _opened(dictionary, None)
    if feature >= opened.n_features:
        raise NeurratorError(f"There is no feature {feature}: the dictionary has {opened.n_features}, numbered from 0.")
    opened.labels.set(feature, text)
    opened.labels.save()
    print(f"Feature {feature} is {opened.labels.get(feature) or 'without a label'}, in {opened.labels.file}.")


def _opened(dictionary: str, profile: str | None) -> "tuple[Dictionary, Profile | None]":
    """Open a dictionary, or that of a profile, and check it against a profile where one is given."""
    from ..concepts.dictionary import Dictionary, find_dictionary
    from ..errors import NeurratorError
    from ..profiles import list_profiles, load_profile

    checked = load_profile(profile) if profile is not None else None
    path: str | Path = dictionary
    if not Path(dictionary).expanduser().exists() and dictionary in list_profiles():
        of = load_profile(dictionary)
        if of.dictionary is None:
            raise NeurratorError(f"The profile {dictionary!r} has no dictionary: give the folder or file of one.")
        path = find_dictionary(of.dictionary, of)
    opened = Dictionary(path)
    if checked is not None:
        opened.check(checked)
    return opened, checked


def _numbers(text: str, n_features: int) -> list[int]:
    from ..errors import NeurratorError

    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if not all(0 <= number < n_features for number in numbers):
        raise NeurratorError(
            f"--features {text!r} is not possible: give numbers from 0 to {n_features - 1}, such as 3,17."
        )
    return numbers


def _note(notes: list[str]) -> None:
    import sys

    for note in notes:
        print(f"Note: {note}.", file=sys.stderr)
