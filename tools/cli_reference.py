"""Write the reference of the command line to docs/cli.md from the commands themselves: ``python -m tools.cli_reference``."""

import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "docs" / "cli.md"
_HEAD = """# The command line

Written by `python -m tools.cli_reference` from the commands themselves; a test fails when it is out of date. `neurrator COMMAND --help` says the same.

`RECORDING` is any of the [sources](opening.md#sources), or the word `sample`. Exit codes: 0 is success, 2 is something you can mend, said in one sentence on stderr, 3 (`replay`) says that sentences came out
otherwise than they were saved, 130 that it was stopped, 1 a fault of the program (`NEURRATOR_DEBUG=1` shows where).

| environment variable | what it does |
|---|---|
| `NEURRATOR_CACHE` | moves the folder of what can be made again: patch grids, the sample, decoders of the window |
| `NEURRATOR_DATA` | moves the folder of what you made where nothing can be written beside the original: names and labels of dictionaries |
| `NEURRATOR_CONFIG` | moves the folder of the window's settings |
| `NEURRATOR_BACKEND`, `NEURRATOR_TOKEN` | the server that runs the models, and its token |
| `NEURRATOR_DEBUG` | shows where a fault of the program happened |

"""
_KINDS = {str: "text", int: "whole number", float: "number"}


class Parameter(typing.NamedTuple):
    """One argument or option: what is written for it, what it takes, its default, what it does; ``spellings`` are what a shell takes."""

    written: str
    takes: str
    default: str
    help: str
    spellings: list[str]


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command with its function, in the order of the program's help."""
    from napari_neurrator.cli.app import app

    for command in app.registered_commands:
        assert command.name is not None
        assert command.callback is not None
        yield command.name, command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            yield f"{group.name} {command.name}", command.callback


def parameters(function: Callable[..., Any]) -> tuple[list[Parameter], list[Parameter]]:
    """Return arguments and options of a command's function."""
    import typer

    arguments, options = [], []
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        required = parameter.default is inspect.Parameter.empty
        takes, optional = _takes(kind, info)
        none = parameter.default is None or parameter.default is False or parameter.default == ""
        default = "" if required or optional or none else _plain(parameter.default)
        about = (info.help or "").replace("\n", " ")
        if isinstance(info, typer.models.ArgumentInfo):
            shown = name.upper().replace("_", "-") + (" …" if optional else "")
            arguments.append(Parameter(shown if required else f"[{shown}]", takes, default, about, []))
        else:
            # typer keeps the first declared spelling apart from the others.
            declared = [info.default, *(info.param_decls or ())]
            spellings = [part for one in declared if isinstance(one, str) for part in one.split("/")]
            if not spellings:
                word = name.replace("_", "-")
                switch = bool in (kind, *typing.get_args(kind))
                spellings = [f"--{word}", f"--no-{word}"] if switch else [f"--{word}"]
            options.append(
                Parameter(", ".join(spellings), takes, "*needed*" if required else default, about, spellings)
            )
    return arguments, options


def _takes(kind: Any, info: Any) -> tuple[str, bool]:
    """Say what values a parameter has; and whether it shows no default because it is a list."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if typing.get_origin(kind) is list:
        return f"{_takes(typing.get_args(kind)[0], info)[0]}; several times", True
    if kind is bool:
        return "–", False
    if typing.get_origin(kind) is tuple:
        return " and ".join(_takes(one, info)[0] for one in typing.get_args(kind)), False
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{one}`" for one in typing.get_args(kind)), False
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{one.value}`" for one in kind), False
    words = f"`{info.metavar}`" if info.metavar else _KINDS.get(kind, "text")
    low, high = info.min, info.max
    if low is not None and high is not None:
        words += f", {low} to {high}"
    elif low is not None:
        words += f", from {low}"
    return words, False


def _plain(value: Any) -> str:
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def text() -> str:
    """Return the page as it is checked in."""
    parts = [_HEAD.rstrip() + "\n"]
    for name, function in commands():
        arguments, options = parameters(function)
        needed = [f"{one.spellings[0]} …" for one in options if one.default == "*needed*"]
        usage = " ".join(
            ["neurrator", name, *(one.written for one in arguments), *needed, *(["[options]"] if options else [])]
        )
        parts.append(f"## {name}\n\n{inspect.cleandoc(function.__doc__ or '')}\n\n```text\n{usage}\n```\n")
        if arguments:
            rows = "".join(f"| `{one.written}` | {_cell(one.help)} |\n" for one in arguments)
            parts.append(f"| argument | |\n|---|---|\n{rows}")
        if options:
            rows = "".join(
                f"| `{one.written}` | {_cell(one.takes)} | {one.default} | {_cell(one.help)} |\n" for one in options
            )
            parts.append(f"| option | takes | default | |\n|---|---|---|---|\n{rows}")
    return "\n".join(parts)


def main() -> None:
    """Write it."""
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
