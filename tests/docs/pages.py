"""The pages of the documentation, and what is found in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# tiny.md is the model card, taken in by the site.
PAGES = [
    ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / ".napari-hub" / "DESCRIPTION.md", *sorted(DOCS.rglob("*.md")),
    ROOT / "src" / "napari_neurrator" / "profiles" / "tiny" / "MODEL_CARD.md",
]  # fmt: skip
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
# What a block is that a reader types into a shell; all others name their language.
_SHELL = ("", "neurrator")
_COMMAND = re.compile(r"^(?:\S*bin/|ExecStart=\S*/)?neurrator\s+(.+)$")


class Command(NamedTuple):
    """A ``neurrator`` command of a page: its words after the name, and whether it is only a mention, such as `neurrator serve`, that may leave things out."""

    page: str
    line: str
    words: list[str]
    mention: bool


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[str]:
    """Return the code of a page: fenced, or a paragraph that is indented by four."""
    fenced = [found[3] for found in _FENCE.finditer(text)]
    rest = _FENCE.sub("", text)
    indented = re.findall(r"(?:^ {4,}\S.*\n?)+", rest, re.MULTILINE)
    return fenced + indented


def _blank(found: re.Match) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def shell_blocks(text: str) -> list[tuple[int, str, bool]]:
    """Return the blocks that a reader types into a shell: place, text, and whether it is fenced; what is only indented may be a paragraph of a list."""
    fenced = [(found.start(), found[3], True) for found in _FENCE.finditer(text) if found[2].strip() in _SHELL]
    indented = [
        (found.start(), found[0], False) for found in re.finditer(r"(?:^ {4,}\S.*\n?)+", prose(text), re.MULTILINE)
    ]
    return fenced + indented


def prose(text: str) -> str:
    """Return a page with its blocks of code blanked out, each thing in its place."""
    return _FENCE.sub(_blank, text)


def lines_of(block: str) -> Iterator[str]:
    """Yield the lines of a shell block, those that end in a backslash joined."""
    yield from (line.strip() for line in re.sub(r"\\\n\s*", " ", block).splitlines() if line.strip())


def words_of(command: str) -> list[str]:
    """Split a command as a shell does, without its comment and what it is redirected to."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=">|&;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set(">|&;"):
            break
        words.append(word)
    return words


def commands() -> list[Command]:
    """Return every ``neurrator`` command in the pages."""
    found = []
    for page in PAGES:
        if page == DOCS / "cli.md":
            # Written from the program: a test of its own.
            continue
        text = page.read_text(encoding="utf-8")
        for block in blocks(text):
            for line in lines_of(block):
                if match := _COMMAND.match(line):
                    words = words_of(match[1])
                    found.append(Command(name_of(page), line, [word for word in words if word != "…"], "…" in words))
        for line in re.findall(r"`([^`\n]+)`", prose(text)):
            if match := _COMMAND.match(line):
                found.append(Command(name_of(page), line, [word for word in words_of(match[1]) if word != "…"], True))
    return [one for one in found if one.words]
