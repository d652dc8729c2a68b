"""``neurrator models``."""

from typing import Annotated

import typer

app = typer.Typer(help="The frozen models that can narrate.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_models() -> None:
    """List the profiles that come with the package."""
    from ..profiles import list_profiles, load_profile

    for name in list_profiles():
        print(f"{name:16} {load_profile(name).description}")


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="Name of a profile, or a folder that holds a profile.toml.")],
) -> None:
    """Say what a profile is made of, and which of its parts are on this machine."""
    from ..profiles import load_profile
    from ..profiles.account import account

    print(account(load_profile(name)))
