"""The versions that numbers depend on."""

import importlib.metadata

from .. import __version__

_LIBRARIES = ("torch", "transformers", "sentence-transformers", "sacrebleu", "rouge-score", "numpy", "scipy")


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries behind its scores, as far as they are installed."""
    versions = {"napari-neurrator": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
