"""Where the package keeps what it can make again, and what a user made."""

import os
from pathlib import Path

import platformdirs


def cache_folder(part: str = "") -> Path:
    """Return the cache's folder, or one inside it; the environment variable NEURRATOR_CACHE moves it. It may not exist yet."""
    root = os.environ.get("NEURRATOR_CACHE") or platformdirs.user_cache_dir("napari-neurrator", appauthor=False)
    return Path(root).expanduser() / part


def data_folder(part: str = "") -> Path:
    """Return the folder of what a user made, or one inside it; the environment variable NEURRATOR_DATA moves it. It may not exist yet."""
    root = os.environ.get("NEURRATOR_DATA") or platformdirs.user_data_dir("napari-neurrator", appauthor=False)
    return Path(root).expanduser() / part


def config_folder() -> Path:
    """Return the folder of the user's settings; the environment variable NEURRATOR_CONFIG moves it. It may not exist yet."""
    root = os.environ.get("NEURRATOR_CONFIG") or platformdirs.user_config_dir("napari-neurrator", appauthor=False)
    return Path(root).expanduser()
