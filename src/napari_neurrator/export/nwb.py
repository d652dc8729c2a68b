"""Narrations in NWB: a table of time intervals in a copy of the session's file, with what made them."""

import hashlib
import json
import shutil
import uuid
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..backend.narrations import Narration
from ..decoding.info import decoder_info
from ..errors import NeurratorError
from .files import written

if TYPE_CHECKING:
    from ..recording import Recording

TABLE, MODULE, PROVENANCE = "narrations", "neurrator", "narration_provenance"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Column: what it says, and of which type it is.
_COLUMNS: dict[str, tuple[str, type]] = {
    "text": ("What the units say, as a sentence of the language model.", str),
    "reference": ("What the language model says of the frame that was on screen.", str),
    "prior": ("What it says of the mean patch grid, that is of nothing.", str),
    "stimulus_name": ("Stimulus that was shown.", str),
    "frame": ("Number of its frame that was on screen.", int),
    "repeat": ("Showing of this frame; 0 is the first.", int),
    "presentation": ("Row of the presentations, in order of time.", int),
    "held_out": ("Whether the decoder was not fitted on this showing.", bool),
    "patch_cosine": ("Mean cosine of decoded and true patches.", float),
    "prior_patch_cosine": ("The same for the mean patch grid, which is what knowing nothing scores.", float),
    "p_value": ("Share of the frames shown that fit what was decoded at least as well as the frame on screen.", float),
    "better_than_chance": ("'yes', 'no', or 'untested' where the showing was not held out or too few frames were shown.", str),
    "evidence": ("How far to trust the sentence, in words.", str),
    "condition": ("What else the presentation says: name=value, divided by semicolons.", str),
    "simulated": ("Whether the spikes were made by a program.", bool),
    "provenance": ("Row of processing/neurrator/narration_provenance: what made the sentence.", int),
}  # fmt: skip


def decoder_hash(folder: str | Path) -> str:
    """Return the SHA-256 of a decoder's files (``decoder.json``, ``decoder.safetensors``); empty where there is none any more."""
    digest, folder = hashlib.sha256(), Path(folder).expanduser()
    for name in ("decoder.json", "decoder.safetensors"):
        if not (folder / name).is_file():
            return ""
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def write_nwb(path: str | Path, narrations: Sequence[Narration], recording: "Recording") -> Path:
    """Write narrations into a copy of the recording's NWB file; where that is no local HDF5 file, into a new one.

    The table ``intervals/narrations`` holds one row a sentence, ``processing/neurrator/narration_provenance`` what made them: the configuration, the version of this
    package, the decoder and its hash, the profile. A file that holds such tables already gets another pair, ``narrations_2`` and so on.

    Parameters
    ----------
    path : path-like
        File to write, at once or not at all; ends in ``.nwb``.
    narrations : sequence of Narration
        In any order; they are written in order of time.
    recording : Recording
        The session they are about. Its file is read and never written.

    Returns
    -------
    pathlib.Path
        Where it lies.

    Raises
    ------
    NeurratorError
        There are no narrations, they belong to another recording, `path` is the recording itself, or it cannot be written.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".nwb":
        raise NeurratorError(f"{path.name} has to end in .nwb.")
    if not narrations:
        raise NeurratorError("There are no narrations to write.")
    stops = _stop_times(narrations, recording)
    source = _hdf5_source(recording)
    if source is not None and path.exists() and path.resolve().samefile(source):
        raise NeurratorError(f"{path} is the recording itself, which is never changed: give another name.")
    with written(path) as part:
        if source is not None:
            shutil.copyfile(source, part)
            _append(part, narrations, stops, None)
        else:
            part.unlink()
            _append(part, narrations, stops, recording)
    return path


def _hdf5_source(recording: "Recording") -> Path | None:
    """Return the recording's own file where it is a local HDF5 one that holds NWB."""
    try:
        source = Path(recording.source).expanduser()
        if not source.is_file() or source.suffix.lower() != ".nwb":
            return None
        with source.open("rb") as file:
            return source if file.read(8) == _HDF5 else None
    except OSError:
        return None


def _stop_times(narrations: Sequence[Narration], recording: "Recording") -> np.ndarray:
    shown = recording.presentations
    stops = np.empty(len(narrations))
    for row, one in enumerate(narrations):
        known = one.presentation in shown.index
        if not known or abs(float(shown.at[one.presentation, "start_time"]) - one.start_time) > 1e-3:
            raise NeurratorError(
                f"The narration of frame {one.frame}, showing {one.repeat}, is not of {recording.name}: nothing was shown there at {one.start_time:.3f} s."
            )
        stops[row] = float(shown.at[one.presentation, "stop_time"])
    return stops


def _append(path: Path, narrations: Sequence[Narration], stops: np.ndarray, fresh: "Recording | None") -> None:
    from pynwb import NWBHDF5IO

    with warnings.catch_warnings():
        # Of namespaces that the session's file brings along.
        warnings.simplefilter("ignore")
        try:
            with NWBHDF5IO(str(path), "w" if fresh is not None else "r+", load_namespaces=fresh is None) as io:
                file = _new_file(fresh) if fresh is not None else io.read()
                _add(file, narrations, stops)
                io.write(file)
        except (OSError, ValueError, KeyError, TypeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NeurratorError(
                f"The narrations cannot be added to a copy of the session's file ({first[:200]})."
            ) from error


def _new_file(recording: "Recording") -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    about = f"Narrations of {recording.name}; times are seconds of that recording, whose date is not known here."
    file = NWBFile(
        session_description=about + (" Simulated." if recording.simulated else ""),
        identifier=str(uuid.uuid4()),
        # NWB asks for a date. This one, the zero of many clocks, claims nothing.
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC),
        keywords=["narration", *(["simulated"] if recording.simulated else [])],
    )
    told = {name: text for name, text in recording.subject.items() if text}
    file.subject = Subject(
        subject_id=told.get("subject_id", "unknown"),
        sex=told["sex"][0].upper() if told.get("sex", "")[:1].upper() in ("M", "F", "O") else "U",
        # Where nobody says how old: from birth on.
        age=told["age"] if told.get("age", "").startswith("P") else "P0D/",
        **{name: told[name] for name in ("species", "genotype", "description") if name in told},
    )
    return file


def _add(file: Any, narrations: Sequence[Narration], stops: np.ndarray) -> None:
    from hdmf.common import DynamicTable, VectorData
    from pynwb.epoch import TimeIntervals

    taken = set(file.intervals or {})
    module = file.processing.get(MODULE)
    taken |= {name.replace(PROVENANCE, TABLE) for name in (module.data_interfaces if module is not None else ())}
    suffix = next(end for end in ("", *(f"_{n}" for n in range(2, 10_000))) if TABLE + end not in taken)
    if module is None:
        module = file.create_processing_module(MODULE, "What made the sentences in intervals/narrations.")
    of, made_by = _provenance(narrations)
    module.add(
        DynamicTable(
            name=PROVENANCE + suffix,
            description="One row for each configuration: what is needed to make its sentences again with napari-neurrator.",
            columns=[
                VectorData(name=name, description=about, data=[row[name] for row in made_by])
                for name, about in _MADE_BY.items()
            ],
            id=np.arange(len(made_by)),
        )
    )
    order = np.argsort([one.start_time for one in narrations], kind="stable")
    rows = [_row(narrations[place], int(of[place])) for place in order]
    ordered = [narrations[place] for place in order]
    numbers = all(isinstance(unit, int) for one in ordered for unit in one.unit_ids)
    lists: list[tuple[str, str, list[list]]] = [
        ("unit_ids", "Units that speak, by their id." if numbers else "Units that speak, by their name.", [[unit if numbers else str(unit) for unit in one.unit_ids] for one in ordered]),
        ("concepts", "Concepts of the sparse dictionary, strongest first.", [[str(c["name"]) for c in one.concepts] for one in ordered]),
        ("concept_strengths", "How far they stand above what is usual in the session, standard deviations.", [[float(c["strength"]) for c in one.concepts] for one in ordered]),
        ("concept_features", "Number of the strongest feature of each in the dictionary.", [[int(c["feature"]) for c in one.concepts] for one in ordered]),
    ]  # fmt: skip
    columns = [
        VectorData(name="start_time", description="Start of the presentation, seconds.", data=np.array([narrations[place].start_time for place in order])),
        VectorData(name="stop_time", description="Stop of the presentation, seconds.", data=stops[order]),
        *[
            VectorData(name=name, description=about, data=np.array([row[name] for row in rows]) if kind is not str else [row[name] for row in rows])
            for name, (about, kind) in _COLUMNS.items()
        ],
    ]  # fmt: skip
    for name, about, values in lists:
        columns += _ragged(name, about, values)
    file.add_time_intervals(
        TimeIntervals(
            name=TABLE + suffix,
            description="Sentences that a frozen language model makes of what units' spikes say about the frame on screen (napari-neurrator). "
            "They describe a picture that fits the spikes; read them beside their evidence.",
            columns=columns,
            id=np.arange(len(rows)),
        )
    )


def _ragged(name: str, about: str, values: list[list]) -> list[Any]:
    """Return the two columns of a list a row; none where all lists are empty, which NWB cannot hold."""
    from hdmf.backends.hdf5.h5_utils import H5DataIO
    from hdmf.common import VectorData, VectorIndex

    flat = [value for one in values for value in one]
    if not flat:
        return []
    data = flat if isinstance(flat[0], str) else H5DataIO(np.array(flat), compression="gzip")
    column = VectorData(name=name, description=about, data=data)
    return [column, VectorIndex(name=f"{name}_index", target=column, data=np.cumsum([len(one) for one in values]))]


_MADE_BY = {
    "config": "Configuration of the job, as JSON.",
    "package": "Name and version of the package.",
    "profile": "Which frozen models went together.",
    "decoder_kind": "Kind of decoder.",
    "decoder_config": "Configuration of the decoder's fit, as JSON.",
    "decoder_sha256": "Hash of the decoder's files; empty where it was not there any more.",
}


def _provenance(narrations: Sequence[Narration]) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Return for each narration the row of what made it, and these rows."""
    place: dict[str, int] = {}
    of = np.array([place.setdefault(one.config.model_dump_json(), len(place)) for one in narrations])
    known: dict[str, dict[str, str]] = {}
    rows = []
    for config in place:
        folder = json.loads(config)["decoder"]
        if folder not in known:
            known[folder] = _decoder(folder)
        rows.append({"config": config, "package": f"napari-neurrator {__version__}", **known[folder]})
    return of, rows


def _decoder(folder: str) -> dict[str, str]:
    try:
        info = decoder_info(folder)
    except NeurratorError:
        return {"profile": "", "decoder_kind": "", "decoder_config": "", "decoder_sha256": ""}
    return {
        "profile": info.profile,
        "decoder_kind": info.kind,
        "decoder_config": info.config.model_dump_json(),
        "decoder_sha256": decoder_hash(folder),
    }


def _row(one: Narration, provenance: int) -> dict[str, Any]:
    evidence = one.evidence
    better = None if evidence is None else evidence.better
    values: dict[str, Any] = {
        **{name: getattr(one, name) for name in ("text", "reference", "prior", "frame", "repeat", "presentation", "held_out", "patch_cosine", "prior_patch_cosine", "simulated")},
        "stimulus_name": one.stimulus,
        "p_value": None if evidence is None else evidence.p,
        "better_than_chance": "untested" if better is None else "yes" if better else "no",
        "evidence": "" if evidence is None else evidence.in_words,
        "condition": "; ".join(f"{name}={value}" for name, value in one.condition.items()),
        "provenance": provenance,
    }  # fmt: skip
    empty: dict[type, Any] = {str: "", float: np.nan, int: -1, bool: False}
    return {name: empty[kind] if values[name] is None else kind(values[name]) for name, (_, kind) in _COLUMNS.items()}


def read_nwb_narrations(path: str | Path, table: str = TABLE) -> list[dict[str, Any]]:
    """Read the narrations back from a file that `write_nwb` made, one dictionary a sentence.

    Raises
    ------
    NeurratorError
        The file holds none.
    """
    from pynwb import NWBHDF5IO

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with NWBHDF5IO(str(path), "r", load_namespaces=True) as io:
                file = io.read()
                if table not in (file.intervals or {}):
                    raise NeurratorError(f"{path} holds no table of narrations named {table!r}.")
                read = file.intervals[table].to_dataframe()
    except (OSError, ValueError) as error:
        raise NeurratorError(f"{path} cannot be read as NWB.") from error
    found = []
    for row in read.to_dict("records"):
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for name in ("unit_ids", "concepts", "concept_strengths", "concept_features"):
            plain[name] = [one.item() if isinstance(one, np.generic) else one for one in row.get(name, [])]
        found.append(plain)
    return found
