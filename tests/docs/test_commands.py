"""Every command in the pages is one that the program takes, those included that no test runs (`not_run`)."""

import re
from pathlib import Path

import pytest
import typer
from tools import cli_reference

from napari_neurrator.cli.app import app

from .pages import PAGES, ROOT, blocks, commands, name_of

COMMANDS = commands()
PROGRAM = typer.main.get_command(app)


def found_command(words: list[str]):
    """Return the command that words name, its full name and the words that follow."""
    command, name, rest = PROGRAM, "neurrator", list(words)
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            raise ValueError(f"there is no command {name} {rest[0]}")
        command, name = command.commands[rest[0]], f"{name} {rest[0]}"
        rest = rest[1:]
    return command, name, rest


def spellings(command) -> set[str]:
    options = [one for one in command.params if one.param_type_name == "option"]
    return {spelling for one in options for spelling in (*one.opts, *one.secondary_opts)} | {"--help"}


def check(words: list[str], mention: bool) -> None:
    """Parse a command as the program does, without running it; of a mention only names are checked."""
    command, name, rest = found_command(words)
    if mention or "--help" in rest:
        known = spellings(command)
        unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
        if unknown:
            raise ValueError(f"{name} has no option {unknown[0]}")
    else:
        command.make_context(name, rest).close()


def test_there_are_commands_in_the_pages():
    assert len([one for one in COMMANDS if not one.mention]) > 40
    assert {one.words[0] for one in COMMANDS} >= set(PROGRAM.commands)
    assert "README.md" in {one.page for one in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.page}: {one.line[:60]}")
def test_a_command_is_one_that_the_program_takes(command):
    check(command.words, command.mention)


@pytest.mark.parametrize(
    ("words", "mention"),
    [
        (["fitt", "a.nwb"], True),
        (["fit", "--stimulos", "x"], True),
        (["fit", "a.nwb", "--stimulus", "x"], False),
        (["fit", "a.nwb", "b.nwb", "--stimulus", "x", "--out", "d"], False),
        (["serve", "--engine", "steam"], False),
        (["concepts", "gallery", "d", "s", "--out", "o", "--n", "99"], False),
        (["narrate", "a.nwb", "--decoder", "d", "--out", "n", "--repeat", "first"], False),
    ],
)
def test_wrong_commands_are_noticed(words, mention):
    with pytest.raises(
        Exception, match=r"no command|no option|[Mm]issing|unexpected|not one of|should be|not a valid|not in the range"
    ):
        check(words, mention)


def test_the_reference_of_the_command_line_is_up_to_date():
    assert cli_reference.FILE.read_text(encoding="utf-8") == cli_reference.text(), "run python -m tools.cli_reference"


def test_the_reference_names_what_the_program_takes():
    for name, function in cli_reference.commands():
        command, _, rest = found_command(name.split())
        assert not rest
        _, options = cli_reference.parameters(function)
        assert {spelling for one in options for spelling in one.spellings} | {"--help"} == spellings(command), name


def test_every_command_is_in_the_reference():
    named = {name for name, _ in cli_reference.commands()}
    known = set()
    for name, command in PROGRAM.commands.items():
        known |= {f"{name} {sub}" for sub in getattr(command, "commands", {})} or {name}
    assert named == known


def test_scripts_and_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    seen = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = "\n".join([*blocks(text), *re.findall(r"`([^`\n]+)`", text)])
        for module in re.findall(r"python -m (tools[\w.]+)", code):
            assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file(), (name_of(page), module)
            seen.add(module)
        for script in re.findall(r"python ((?:tools|benchmarks)/\S+\.py)", code):
            assert (ROOT / script).is_file(), (name_of(page), script)
            seen.add(script)
        for target in re.findall(r"^make ([a-z]+)", code, re.MULTILINE):
            assert target in targets, (name_of(page), target)
            seen.add(target)
    assert {"tools.cli_reference", "demo", "test", "benchmarks/backend.py"} <= seen
