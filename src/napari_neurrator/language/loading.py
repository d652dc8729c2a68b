"""From a folder or a hub id to a LLaVA that is ready to speak, or one sentence that says why not."""

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import NeurratorError
from ..profiles import Profile
from ..profiles.profile import layer_number
from ..vision.tower import loading
from .devices import choose_dtype

# The architectures whose way from vision tower to words `injection` can follow.
_READ = ("LlavaForConditionalGeneration", "LlavaNextForConditionalGeneration")


@dataclass(frozen=True, eq=False)
class LoadedLanguage:
    """A LLaVA and its tokenizer.

    Attributes
    ----------
    model : PreTrainedModel
        On the CPU, unless it was quantised.
    tokenizer : PreTrainedTokenizerBase
        Of the model.
    quantised : bool
        Whether its weights are in 8 or 4 bits; they cannot be moved then.
    """

    model: Any
    tokenizer: Any
    quantised: bool = False


def load_language(profile: Profile, device: torch.device, dtype: str | None, quantise: str | None) -> LoadedLanguage:
    """Load a profile's language model.

    Parameters
    ----------
    profile : Profile
        Says which.
    device : torch.device
        Where it will run.
    dtype, quantise : str, optional
        As in `RunningConfig`.

    Raises
    ------
    NeurratorError
        The model is missing, damaged, incomplete, of an architecture that reads no patch grids, or cannot be loaded in this way.
    """
    name = profile.language.model
    source = profile.locate(name)
    config = profile.read_json(name, "config.json")
    architecture = _architecture(name, config)
    _check_patch_space(profile, config)
    folder = profile.path_of(name)
    if folder is not None and not any(folder.glob("*.safetensors*")):
        raise NeurratorError(f"The model in {folder} has no weights in safetensors: fetch it again.")
    options = {"dtype": choose_dtype(dtype, device, config.get("dtype") or config.get("torch_dtype"))}
    if quantise is not None:
        options |= _quantisation(quantise, device, options["dtype"])
    with loading(profile, name):
        import transformers

        # Never pickled weights. A weight that the files lack would be made up at random, with a warning only.
        model, report = getattr(transformers, architecture).from_pretrained(
            source, use_safetensors=True, output_loading_info=True, **options
        )
        # The vision tower's are not used.
        lost = sorted(name for name in report["missing_keys"] if "vision_tower." not in name)
        if lost:
            raise NeurratorError(
                f"The model {str(folder or name)!r} lacks {len(lost)} of its weights ({lost[0]}{', …' if len(lost) > 1 else ''}): fetch it again, or check the profile {profile.name!r}."
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    return LoadedLanguage(model.eval(), tokenizer, quantise is not None)


def _architecture(name: str, config: dict) -> str:
    named = config.get("architectures") or [
        {"llava": _READ[0], "llava_next": _READ[1]}.get(config.get("model_type", ""))
    ]
    if named[0] not in _READ:
        kind = named[0] or config.get("model_type", "model of no known type")
        raise NeurratorError(
            f"{name!r} is a {kind!r}, which cannot be given patch grids here: name a LLaVA-1.5 or LLaVA-NeXT in the profile ({' or '.join(_READ)})."
        )
    return named[0]


def _check_patch_space(profile: Profile, config: dict) -> None:
    """Make sure that the profile's grids are what this model would take from its own vision tower."""
    layer = config.get("vision_feature_layer", -2)
    depth = config.get("vision_config", {}).get("num_hidden_layers")
    if not isinstance(layer, int):
        raise NeurratorError(
            f"{profile.language.model!r} reads several layers of its vision tower at once ({layer}), and a patch grid is of one: name another LLaVA in the profile."
        )
    # Hidden states count the embeddings, too.
    wanted, given = (
        value + depth + 1 if depth and value < 0 else value for value in (layer, layer_number(profile.vision.layer))
    )
    if wanted != given:
        raise NeurratorError(
            f"{profile.language.model!r} reads hidden state {layer} of its vision tower, and the grids of the profile {profile.name!r} are hidden state {profile.vision.layer}: set layer = {layer}."
        )


def _quantisation(quantise: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    if device.type != "cuda":
        raise NeurratorError(
            f"Weights in {quantise.removesuffix('bit')} bits need an NVIDIA or AMD GPU, and this model runs on {str(device)!r}: leave quantise out."
        )
    try:
        import accelerate  # noqa: F401
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise NeurratorError(
            f"Weights in {quantise.removesuffix('bit')} bits need bitsandbytes and accelerate: pip install 'napari-neurrator[quantised]', or leave quantise out."
        ) from error
    from transformers import BitsAndBytesConfig

    # What turns patches into words stays whole: it is small, and every word depends on it.
    whole = ["vision_tower", "multi_modal_projector", "lm_head"]
    bits = BitsAndBytesConfig(
        load_in_8bit=quantise == "8bit",
        load_in_4bit=quantise == "4bit",
        llm_int8_skip_modules=whole,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
    )
    return {"quantization_config": bits, "device_map": {"": device}}
