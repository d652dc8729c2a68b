"""Load frozen models: quietly, and with one sentence where it fails."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from ..errors import NeurratorError
from ..profiles import Profile
from ..profiles.profile import HUB_PREFIX, is_hub_id
from ..profiles.weights import check_weights
from .torchvision_guard import shun_broken_torchvision

# Before anything imports transformers.
shun_broken_torchvision()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars and advice of transformers off the user's screen while models load."""
    from transformers.utils import logging as hf_logging

    level = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


@contextlib.contextmanager
def loading(profile: Profile, model: str) -> Iterator[None]:
    """Turn every way in which loading a model fails into one sentence.

    Where the model has a folder on this machine, its weight files are looked at first: shards that are missing or cut off are named.
    """
    folder = profile.path_of(model)
    if folder is not None and (folder / "config.json").is_file():
        check_weights(folder, model)
    try:
        with quiet_transformers():
            yield
    except NeurratorError:
        raise
    except Exception as error:
        raise explained(profile, model, error) from error


def fetch_configuration(profile: Profile, model: str, filenames: list[str]) -> None:
    """Fetch the small files that say what a model looks like, where it is on the hub and not yet on this machine.

    Raises
    ------
    NeurratorError
        It cannot be fetched; says what to do.
    """
    if profile.folder_of(model) is not None or not is_hub_id(model):
        return
    from huggingface_hub import hf_hub_download

    with loading(profile, model):
        for filename in filenames:
            hf_hub_download(model.removeprefix(HUB_PREFIX), filename)


def explained(profile: Profile, model: str, error: Exception) -> NeurratorError:
    """Return what went wrong in loading a model, as one sentence that says what to do."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    chain = _chain(error)
    folder = profile.folder_of(model)
    if any(isinstance(one, OSError) and one.errno in (28, 122) for one in chain):
        return NeurratorError(
            f"The disk is full: {model!r} could not be fetched. Free some space, or let HF_HOME name a folder on another disk, and run {profile.download_command(model)}."
        )
    if any("GatedRepo" in type(one).__name__ or " 401 " in f" {one} " for one in chain):
        return NeurratorError(
            f"The hub lets only those fetch {model!r} who have accepted its terms: do that on its page, run hf auth login, then {profile.download_command(model)}."
        )
    if any("nsupported" in str(one) and "pickle" in type(one).__name__.lower() for one in chain) or any(
        "weights_only" in str(one) or "UnpicklingError" in type(one).__name__ for one in chain
    ):
        return NeurratorError(
            f"The weights of {model!r} hold pickled Python objects and not only numbers, which may run anything when they are loaded: "
            "fetch the model as safetensors, or convert it where you trust it."
        )
    if profile.path_of(model) is None and (folder is None or not list(folder.glob("*model*"))):
        return profile.missing(model)
    if profile.path_of(model) is None:
        return NeurratorError(
            f"The model {model!r} in {folder} cannot be loaded ({first}): run {profile.download_command(model)} again."
        )
    return NeurratorError(
        f"The model in {folder} cannot be loaded ({first}): fetch it again, or check the profile {profile.name!r}."
    )


def check_complete(info: dict[str, Any], where: object) -> None:
    """Refuse weights that leave parts of a model to chance; `info` is what `from_pretrained` tells of the loading."""
    missing = sorted(str(key) for key in info.get("missing_keys", ()) if "position_ids" not in str(key))
    odd = [str(key[0] if isinstance(key, tuple) else key) for key in info.get("mismatched_keys", ())]
    if missing or odd:
        what = f"have no {missing[0]}" if missing else f"have another shape of {odd[0]}"
        raise NeurratorError(
            f"The weights in {where} {what} ({len(missing) + len(odd)} such tensors), so they do not belong to its config.json: fetch the model again."
        )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
