"""``neurrator models``."""

from typing import Annotated

import typer

app = typer.Typer(help="The frozen models that can narrate.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_models() -> None:
    """List the profiles that come with the package, and whether their models are on this machine."""
    from ..backend.model_account import account
    from ..profiles import list_profiles, load_profile

    for name in list_profiles():
        profile = load_profile(name)
        print(f"{name:16} {account(profile, memory=False).state:20} {profile.description}")
    print("A profile of your own is a folder with a profile.toml: --profile takes it too.")


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="Name of a profile, or a folder that holds a profile.toml.")],
) -> None:
    """Say what a profile needs, which of it is on this machine, how much memory and disk it takes, and what fetches the rest."""
    from ..backend.model_account import account
    from ..profiles import load_profile

    told = account(load_profile(name))
    print(told.in_words())
    if told.problem:
        raise told.problem
