"""What was open in the window, as a small JSON or TOML file: sources, stimuli, groups, selections, sentences. Nothing of a recording itself is copied into it.

Both spellings hold the same fields; ``neurrator replay`` takes either. Sets of units that several sentences share are written once.
"""

import json
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_json

from .errors import NeurratorError
from .evaluation.evidence import Evidence
from .writing import write_text

SUFFIX, TOML_SUFFIX = ".neurrator.json", ".neurrator.toml"
_Unit = StrictInt | StrictStr
_Model = TypeVar("_Model", bound=BaseModel)
# A session file holds names and sentences; what is larger is something else.
_LARGEST = 50_000_000


class SavedSentence(BaseModel):
    """What some units said of one moment."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    units: list[_Unit] = Field(min_length=1)
    frame: int = Field(ge=0)
    repeat: int = Field(ge=0)
    moment: int = Field(ge=0, description="row of the table of moments")
    decoder: str
    prompt: str = ""
    text: str
    reference: str | None = Field(default=None, description="what the language model says of the true frame")
    prior: str | None = Field(default=None, description="what it says of the average frame")
    mean_cosine: float | None = None
    prior_cosine: float | None = None
    held_out: bool = False
    evidence: Evidence | None = None
    settings: dict[str, Any] = Field(
        default={}, description="further fields of the NarrateConfig, where they were not the defaults"
    )


class SavedRecording(BaseModel):
    """One open recording, and how the window showed it."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(default=None, min_length=1, description="path, address or the word sample")
    pool: list[str] | None = Field(default=None, min_length=2, description="sources of the sessions that are pooled")
    pool_stimulus: str | None = None
    presentations: str | None = Field(default=None, description="file of presentations in place of the source's own")
    stimulus: str | None = None
    frames: str | None = Field(default=None, description="file or folder with the frames of the stimulus")
    groups: dict[str, list[_Unit]] = {}
    selected: list[_Unit] = []
    frame: int = Field(default=0, ge=0)
    repeat: int = Field(default=0, ge=0)
    decoder: str | None = Field(default=None, description="folder of the fitted decoder")
    sentences: list[SavedSentence] = []

    @model_validator(mode="after")
    def _one_source(self) -> "SavedRecording":
        if (self.source is None) == (self.pool is None):
            raise ValueError("a recording has either a source or a pool of sources")
        return self


class SessionFile(BaseModel):
    """The contents of a session file."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["neurrator session"] = "neurrator session"
    format: Literal[1, 2] = 2
    recordings: list[SavedRecording] = Field(min_length=1)
    current: int = Field(default=0, ge=0, description="which of the recordings is shown")
    colour_by: str = "region"
    only_good: bool = False
    prompt: str = ""
    interpolation: str = "linear"
    heat_colours: str = "inferno"
    colour_bar: bool = True

    @model_validator(mode="after")
    def _current_is_there(self) -> "SessionFile":
        if self.current >= len(self.recordings):
            raise ValueError(f"current is {self.current}, but there are {len(self.recordings)} recordings")
        return self


def is_session_file(path: str | Path) -> bool:
    """Tell by its name whether a path is a session file."""
    return str(path).lower().endswith((SUFFIX, TOML_SUFFIX))


def read_session(path: str | Path) -> SessionFile:
    """Read a session file, TOML where its name says so, else JSON; paths in it that are relative are taken from its folder.

    Raises
    ------
    NeurratorError
        There is no such file, or it is not a session file.
    """
    path = Path(path).expanduser()
    contents = read_contents(path, "a session file")
    sets = _take_unit_sets(contents, path)
    session = validated_contents(contents, path, SessionFile, "a session file")
    session.format = 2
    for recording, known in zip(session.recordings, sets, strict=True):
        for sentence in recording.sentences if known is not None else ():
            # Lists are shared: ten thousand sentences of a thousand units are not ten million numbers.
            sentence.units = known[sentence.units[0]]  # type: ignore[index]
    return _with_paths(session, path.parent, _absolute)


def write_session(path: str | Path, session: SessionFile) -> Path:
    """Write a session file, at once or not at all; paths below its folder are written relative to it.

    Parameters
    ----------
    path : path-like
        Ends in ``.neurrator.json`` or ``.neurrator.toml``; ``x.toml`` becomes ``x.neurrator.toml``, and all else gets ``.neurrator.json``.
    session : SessionFile
        What is written.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    NeurratorError
        It cannot be written there.
    """
    path = Path(path).expanduser()
    if not is_session_file(path):
        ending = TOML_SUFFIX if path.suffix.lower() == ".toml" else SUFFIX
        path = path.with_name(path.name.removesuffix(".json").removesuffix(".toml") + ending)
    document = _with_paths(session, path.parent, _relative).model_dump(mode="json")
    document["format"] = 2
    for recording in document["recordings"]:
        place: dict[tuple, int] = {}
        for sentence in recording["sentences"]:
            # 1 and "1" are different units.
            key = tuple((type(unit), unit) for unit in sentence["units"])
            sentence["units"] = place.setdefault(key, len(place))
        recording["unit_sets"] = [[unit for _, unit in key] for key in place]
    try:
        write_text(
            path,
            _toml(document) if path.suffix.lower() == ".toml" else to_json(document, indent=1).decode() + "\n",
        )
    except OSError as error:
        raise NeurratorError(f"The session could not be written to {path}: {error.strerror or error}.") from error
    return path


def _toml(document: dict[str, Any]) -> str:
    import rtoml

    def without_none(value: Any) -> Any:
        # TOML has no null: what is not there is None.
        if isinstance(value, dict):
            return {key: without_none(item) for key, item in value.items() if item is not None}
        return [without_none(item) for item in value] if isinstance(value, list) else value

    return rtoml.dumps(without_none(document))


def _take_unit_sets(contents: Any, path: Path) -> list[list[list[int | str]] | None]:
    """Take the sets of units out of a file's contents; sentences then hold the number of theirs, for the time of checking. None where it has none."""
    recordings = contents.get("recordings") if isinstance(contents, dict) else None
    if not isinstance(recordings, list):
        return []
    found: list[list[list[int | str]] | None] = []
    for recording in recordings:
        sets = recording.pop("unit_sets", None) if isinstance(recording, dict) and contents.get("format") == 2 else None
        if sets is None:
            found.append(None)
            continue
        try:
            known = _UNIT_SETS.validate_python(sets)
        except ValidationError as error:
            raise NeurratorError(f"{path} is not a session file: its unit_sets are no lists of unit names.") from error
        sentences = recording.get("sentences", [])
        for sentence in sentences if isinstance(sentences, list) else ():
            number = sentence.get("units") if isinstance(sentence, dict) else None
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(known):
                raise NeurratorError(
                    f"{path} is not a session file: a sentence names the set of units {number!r}, and there are {len(known)}."
                )
            sentence["units"] = [number]
        found.append(known)
    return found


_UNIT_SETS = TypeAdapter(list[Annotated[list[_Unit], Field(min_length=1)]])


def read_model(path: Path, model: type[_Model], what: str) -> _Model:
    """Read a JSON file into a pydantic model.

    Raises
    ------
    NeurratorError
        In one sentence: there is none, it is not JSON, or where it is not as it should be.
    """
    return validated_contents(read_contents(path, what), path, model, what)


def read_contents(path: Path, what: str) -> Any:
    """Read a JSON file, or a TOML one, into plain values.

    Raises
    ------
    NeurratorError
        In one sentence: there is none, or it is not JSON or TOML.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise NeurratorError(f"{path} is too large to be {what}: it has {path.stat().st_size / 1e6:,.0f} MB.")
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() != ".toml":
            return json.loads(text)
        import rtoml

        # tomllib takes seconds for ten thousand sentences
        return rtoml.loads(text)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        why = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise NeurratorError(f"{path} cannot be read as {what}: {why}.") from error


def validated_contents(contents: Any, path: Path, model: type[_Model], what: str) -> _Model:
    """Turn plain values that were read from `path` into a pydantic model.

    Raises
    ------
    NeurratorError
        In one sentence: where it is not as it should be.
    """
    try:
        return model.model_validate(contents)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        message = first["msg"].removeprefix("Value error, ")
        raise NeurratorError(f"{path} is not {what}: {where}: {message[:1].lower()}{message[1:]}.") from error


def _with_paths(session: SessionFile, folder: Path, change: Any) -> SessionFile:
    # thousands of sentences name the same decoder
    changed = cache(partial(change, folder=folder))

    def each(recording: SavedRecording) -> SavedRecording:
        one = {
            name: None if getattr(recording, name) is None else changed(getattr(recording, name))
            for name in ("source", "presentations", "frames", "decoder")
        }
        pool = None if recording.pool is None else [changed(source) for source in recording.pool]
        sentences = [
            sentence.model_copy(update={"decoder": changed(sentence.decoder)})
            if changed(sentence.decoder) != sentence.decoder
            else sentence
            for sentence in recording.sentences
        ]
        return recording.model_copy(update={**one, "pool": pool, "sentences": sentences})

    return session.model_copy(update={"recordings": [each(recording) for recording in session.recordings]})


def _is_path(source: str) -> bool:
    return source not in ("", "sample") and "://" not in source


def _relative(source: str, folder: Path) -> str:
    if not _is_path(source):
        return source
    path, folder = Path(source).expanduser().resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _absolute(source: str, folder: Path) -> str:
    return str(folder / Path(source).expanduser()) if _is_path(source) else source
