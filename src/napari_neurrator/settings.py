"""What the program remembers of one user: how the window was set, which files were opened last. A small JSON file, written at once or not at all."""

import contextlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import NeurratorError
from .paths import config_folder
from .session_file import read_model
from .writing import write_text

FILE = "settings.json"
MOST_RECENT = 10


class Settings(BaseModel):
    """Settings of the window.

    What a newer version wrote and this one does not know is kept as it is.
    """

    model_config = ConfigDict(extra="allow", validate_assignment=True, allow_inf_nan=False)

    recent: list[str] = Field(default=[], description="sources opened last, the latest first")
    colour_by: str = "region"
    live: bool = True
    only_good: bool = False
    opacity: float = Field(default=0.8, ge=0.05, le=1)
    speed: float = Field(default=1.0, gt=0, le=16)
    loop: bool = True
    sentence_every_s: float = Field(default=1.0, gt=0, le=60, description="seconds of film between two sentences")
    toured: bool = Field(default=False, description="whether the tour was seen, or was not wanted")

    def opened(self, source: str) -> None:
        """Put a source first among those opened last."""
        self.recent = [source, *(other for other in self.recent if other != source)][:MOST_RECENT]


def settings_file() -> Path:
    """Return where the settings lie; the environment variable NEURRATOR_CONFIG moves the folder. It may not exist yet."""
    return config_folder() / FILE


def read_settings(path: str | Path | None = None) -> tuple[Settings, str]:
    """Read the settings.

    Parameters
    ----------
    path : path, optional
        By default `settings_file`.

    Returns
    -------
    settings : Settings
        Those of the file; without one, or where it is damaged, those of a new user.
    problem : str
        What was wrong, in one sentence, or nothing. A damaged file is kept beside, as ``settings.json.damaged``; of one that holds a value that cannot be,
        the others stay.
    """
    path = Path(path) if path is not None else settings_file()
    if not path.exists():
        return Settings(), ""
    try:
        return read_model(path, Settings, "the settings"), ""
    except NeurratorError as error:
        problem = str(error)
    damaged = path.with_name(path.name + ".damaged")
    with contextlib.suppress(OSError):
        damaged.write_bytes(path.read_bytes())
    return _what_is_right(path), f"{problem} Those settings are as for a new user; the file was kept as {damaged.name}."


def _what_is_right(path: Path) -> Settings:
    import json

    found = Settings()
    try:
        contents: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError):
        return found
    if isinstance(contents, dict):
        for name in Settings.model_fields:
            if name in contents:
                with contextlib.suppress(ValidationError):
                    setattr(found, name, contents[name])
    return found


def write_settings(settings: Settings, path: str | Path | None = None) -> None:
    """Write the settings, at once or not at all.

    Raises
    ------
    NeurratorError
        They cannot be written there.
    """
    path = Path(path) if path is not None else settings_file()
    try:
        write_text(path, settings.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise NeurratorError(f"The settings could not be written to {path}: {error.strerror or error}.") from error
