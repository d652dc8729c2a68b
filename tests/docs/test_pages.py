"""Links, pictures and paths of the pages exist, and the site is built without a warning."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools import architecture_picture, docs_hook

import napari_neurrator

from .pages import DOCS, PAGES, ROOT, name_of, prose

PACKAGE = ROOT / "src" / "napari_neurrator"
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_exist(page):
    text = re.sub(r"`[^`\n]+`", "", prose(page.read_text(encoding="utf-8")))
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (page.parent / target.split("#")[0]).exists(), target


def test_every_page_and_picture_is_used():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS).as_posix()}\n" in nav, page
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (DOCS / "images").iterdir():
        assert f"images/{picture.name}" in shown, picture


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_was_left_to_be_filled_in(page):
    assert not re.search(r"\bTODO\b|\bTBD\b|\bFIXME\b|^FIGURES$", page.read_text(encoding="utf-8"), re.MULTILINE)


# -- the architecture page -------------------------------------------------------------------------------------------------------------
def _cells() -> list[str]:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    return [cell for row in text.splitlines() if row.startswith("|") for cell in row.strip("|").split("|")]


def _exists(path: str, near: Path | None) -> Path | None:
    pattern = path.replace("NAME", "*").rstrip("/")
    for folder in (PACKAGE, ROOT, near):
        if folder is not None and (found := sorted(folder.glob(pattern))):
            return found[0]
    return None


def test_paths_in_the_architecture_page_exist():
    seen = 0
    for cell in _cells():
        near = None
        for path in re.findall(r"`([\w./-]+(?:/|\.py|\.toml|\.yml|\.md))`", cell):
            found = _exists(path, near)
            assert found is not None, f"{path} in: {cell}"
            assert found.is_dir() == path.endswith("/"), path
            near = found if found.is_dir() else found.parent
            seen += 1
    assert seen > 100
    assert _exists("gui/no_such_file.py", PACKAGE) is None


def test_every_room_is_on_the_architecture_page_and_its_picture():
    cells = "".join(_cells())
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"profiles"}
    for room in rooms:
        assert f"`{room}/`" in cells, room
    assert rooms - {"profiles"} == {name.rstrip("/") for name in architecture_picture.ROOMS if name.endswith("/")} - {
        "profiles"
    }


def test_the_picture_of_the_architecture_is_up_to_date():
    assert architecture_picture.FILE.read_text(encoding="utf-8") == architecture_picture.svg()


# -- versions, formulas, the site ------------------------------------------------------------------------------------------------------
def test_the_version_is_the_same_everywhere():
    version = napari_neurrator.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == version
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in cited
    assert "arxiv.org/abs/2606.18667" in cited
    assert f"version = {{{version}}}" in (DOCS / "citation.md").read_text(encoding="utf-8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_page_on_installing_names_every_extra_and_library():
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in project["optional-dependencies"]:
        assert f"| `{extra}` |" in page, extra
    for python in re.findall(r"Python :: (3\.\d+)", "".join(project["classifiers"])):
        assert python in page
    libraries = re.search(r"^DEBIAN := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert libraries is not None
    assert set(libraries[1].split()) - {"xvfb"} <= set(page.split())
    assert "`xvfb`" in page


def test_the_citation_file_has_what_the_format_asks_for():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert all({"type", "title", "authors"} <= set(reference) for reference in cited["references"])


def test_formulas_are_drawn_by_the_browser():
    pytest.importorskip("latex2mathml")
    page = docs_hook.with_formulas(
        r'<p><span class="arithmatex">\(a &lt; b\)</span> and <div class="arithmatex">\[c\]</div></p>'
    )
    assert page.count("<math") == 2
    assert "arithmatex" not in page
    assert 'display="block"' in page
    assert docs_hook.with_formulas("<p>no formula</p>") == "<p>no formula</p>"


def test_a_picture_links_to_itself():
    page = docs_hook.with_large_pictures(
        '<p><img alt="a" src="../x.png"> <a href="y"><img alt="b" src="z.png"></a></p>'
    )
    assert (
        page == '<p><a href="../x.png"><img alt="a" src="../x.png"></a> <a href="y"><img alt="b" src="z.png"></a></p>'
    )


def test_the_site_is_built_without_a_warning(tmp_path):
    for library in ("mkdocs", "material", "mkdocstrings_handlers", "griffe_pydantic", "latex2mathml"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install --group docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    api = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    for name in napari_neurrator.__all__:
        assert name.startswith("__") or name in api
    # Nothing is fetched from elsewhere when a page is read.
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', page.read_text(encoding="utf-8")), page
        assert not re.search(
            r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', page.read_text(encoding="utf-8")
        ), page
