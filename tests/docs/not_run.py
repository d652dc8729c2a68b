"""The commands of the pages that no test of the pages runs, and why. Everything else is run."""

import re

_INSTALLS = "installs from the network"
_DOWNLOADS = "downloads from the network, many GB"
_ELSEWHERE = "needs another machine"
_GPU = "needs a GPU"
_MEASURES = "measures: needs minutes and a machine with nothing else to do"
# Beginnings of commands. A test holds that each is in some page, and that it can be read as far as that goes without running it.
NOT_RUN = {
    r"(?:\S*bin/)?pip install\b": _INSTALLS,
    r"apt-get install ": _INSTALLS,
    r"python -m venv ": _INSTALLS,
    r"git clone ": _INSTALLS,
    r"cd napari-neurrator$": _INSTALLS,
    r"make (?:demo|test|lint|docs|benchmark)\b": _INSTALLS + "; what the targets run is the demonstration, these tests, the linters and the build of the site, which tests/docs/test_pages.py does",
    r"\.venv/bin/pre-commit install$": "changes the checkout that it is called in",
    r"\.venv/bin/python -m pytest ": "runs tests, as is going on",
    r"hf (?:download|auth login)": _DOWNLOADS,
    r"dandi download ": _DOWNLOADS,
    r"mv sub-": _DOWNLOADS,
    r"rsync ": _ELSEWHERE,
    r"ssh ": _ELSEWHERE,
    r"vllm serve ": _GPU,
    r"neurrator serve --engine ray": _GPU + ", and minutes; tests/backend/test_ray.py runs this engine without one",
    r"neurrator (?:fit|evaluate) SESSION ": "made a figure of the page from a real recording, which is not part of the tests",
    r"python benchmarks/": _MEASURES,
    r"python -m tools\.screenshots$": "drives the window through the whole sample, for minutes, for the pictures of these pages",
    r"(?:xvfb-run .* )?python -m tools\.recorded_run$": "the same; tests/gui/test_window_recorded_run.py runs it on a small session",
    r"python -m tools\.tiny\.": "trains the profile on 40,000 pictures, for more than an hour",
}  # fmt: skip
# A page whose block is run by a test of its own.
OWN_TEST = {"docs/allen.md": "tests/cli/test_allen_recipe.py"}


def reason(line: str) -> str | None:
    """Say why a command is not run; None if it is."""
    return next((why for begins, why in NOT_RUN.items() if re.match(begins, line)), None)
