"""What the architecture page says of imports is so."""

import ast
from collections.abc import Iterator
from pathlib import Path

from .pages import ROOT

PACKAGE = ROOT / "src" / "napari_neurrator"
# A room imports rooms of its own row and of the rows above.
ROWS = [
    {"profiles", "recording"}, {"vision"}, {"decoding", "language", "concepts"}, {"evaluation", "attribution"}, {"backend"}, {"export"}, {"gui", "cli"},
]  # fmt: skip
PLACE = {room: number for number, row in enumerate(ROWS) for room in row}
WINDOW = {"napari", "qtpy", "magicgui", "superqt", "vispy"}


def imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, in full; what only a type checker sees is left out."""
    here = file.relative_to(PACKAGE.parent).with_suffix("").parts

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: -node.level]) if node.level else ""
            yield ".".join(part for part in (base, node.module) if part)
            if node.module is None:
                yield from (f"{base}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")))


def files(room: str = "") -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def test_rooms_import_what_lies_before_them_only():
    seen = 0
    for room, place in PLACE.items():
        for file in files(room):
            for module in imports(file):
                parts = module.split(".")
                if parts[0] == "napari_neurrator" and len(parts) > 1 and parts[1] in PLACE:
                    assert PLACE[parts[1]] <= place, f"{file.relative_to(PACKAGE)} imports {module}"
                    seen += parts[1] != room
    assert seen > 200


def test_recording_never_imports_torch():
    assert not [
        file
        for file in files("recording")
        for module in imports(file)
        if module.split(".")[0] in {"torch", "lightning", "transformers"}
    ]


def test_nothing_outside_the_window_imports_napari_or_qt():
    outside = [file for file in files() if file.relative_to(PACKAGE).parts[0] != "gui"]
    assert not [(file, module) for file in outside for module in imports(file) if module.split(".")[0] in WINDOW]
    assert any(module.split(".")[0] == "napari" for file in files("gui") for module in imports(file))
