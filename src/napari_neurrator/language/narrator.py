"""A frozen LLaVA that is given patch grids in place of its vision tower's output."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ..errors import NeurratorError, Stopped
from ..profiles import Profile
from ..vision.tower import loading
from .streaming import BatchStreamer, StopWhen

OnPiece = Callable[[int, str], None]


class LanguageModel:
    """LLaVA without its eyes.

    Parameters
    ----------
    profile : Profile
        Says which model and prompt.
    device : str
        Where it runs.

    Raises
    ------
    NeurratorError
        The model is missing, damaged, or not a LLaVA.
    """

    def __init__(self, profile: Profile, device: str = "cpu"):
        from transformers import AutoTokenizer, LlavaForConditionalGeneration

        self.profile, self.device = profile, torch.device(device)
        source = profile.locate(profile.language.model)
        with loading(profile, profile.language.model):
            config = profile.read_json(profile.language.model, "config.json")
            if config.get("model_type") != "llava":
                raise NeurratorError(
                    f"{profile.language.model!r} is a {config.get('model_type', 'model of no known type')!r}, not a LLaVA: name a LLaVA in the profile."
                )
            dtype = torch.float32 if self.device.type == "cpu" else torch.float16
            self.model = LlavaForConditionalGeneration.from_pretrained(source, dtype=dtype).eval().to(self.device)
            self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.tokenizer.padding_side = "left"

    @property
    def n_patches(self) -> int:
        """Patches that stand for one picture."""
        vision = self.model.config.vision_config
        return (vision.image_size // vision.patch_size) ** 2

    def prompt_ids(self, question: str | None, n: int) -> dict[str, torch.Tensor]:
        """Return the prompt's tokens, with one placeholder a patch, for `n` pictures: input_ids and attention_mask (n, token).

        Raises
        ------
        NeurratorError
            The profile's prompt has no place for the picture.
        """
        template = self.profile.language.prompt
        if template.count("{image}") != 1:
            raise NeurratorError(f"The prompt of the profile {self.profile.name!r} has to hold {{image}} exactly once.")
        before, after = template.format(image="\0", question=question or self.profile.language.question).split("\0")
        image = str(self.tokenizer.convert_ids_to_tokens(self.model.config.image_token_index))
        text = before + image * self.n_patches + after
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        ids = ids.expand(n, -1).to(self.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    @torch.inference_mode()
    def narrate(
        self,
        grids: torch.Tensor,
        question: str | None = None,
        max_new_tokens: int = 60,
        on_piece: OnPiece | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> list[str]:
        """Describe patch grids.

        Parameters
        ----------
        grids : torch.Tensor
            (batch, patches, width) in the space of the vision tower's chosen layer.
        question : str, optional
            What is asked; the profile's own question by default.
        max_new_tokens : int
            Length of an answer at most.
        on_piece : callable, optional
            Called with (number in the batch, next piece of its sentence) as the words come.
        should_stop : callable, optional
            Asked after each token.
        **options
            Passed to ``generate``, for example ``num_beams``.

        Returns
        -------
        list of str
            One sentence a grid.

        Raises
        ------
        NeurratorError
            The grids have another size than the model's.
        Stopped
            `should_stop` said so.
        """
        width = self.model.config.vision_config.hidden_size
        if grids.ndim != 3 or grids.shape[1:] != (self.n_patches, width):
            raise NeurratorError(
                f"The grids have shape {tuple(grids.shape[1:])}, and the language model of {self.profile.name!r} reads ({self.n_patches}, {width})."
            )
        prompt = self.prompt_ids(question, len(grids))
        projector = self.model.model.multi_modal_projector
        weight = next(projector.parameters())
        projected = projector(grids.to(weight.device, weight.dtype))
        arguments = {
            "max_new_tokens": max_new_tokens,
            "do_sample": False,
            "stopping_criteria": [StopWhen(should_stop)] if should_stop else None,
            "streamer": BatchStreamer(self.tokenizer, on_piece) if on_piece else None,
            **options,
        }
        tokens = generate(self.model, prompt, projected, **arguments)
        if should_stop and should_stop():
            raise Stopped
        return [text.strip() for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    @torch.inference_mode()
    def narrate_pixels(
        self, pixels: torch.Tensor, question: str | None = None, max_new_tokens: int = 60, **options: Any
    ) -> torch.Tensor:
        """Describe pictures by the model's own route, through its vision tower: the reference that injection is held against.

        Parameters
        ----------
        pixels : torch.Tensor
            (batch, 3, side, side), prepared by the image processor.

        Returns
        -------
        torch.Tensor
            New tokens, int64 (batch, token).
        """
        prompt = self.prompt_ids(question, len(pixels))
        out = self.model.generate(
            **prompt,
            pixel_values=pixels.to(self.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            **options,
        )
        return out[:, prompt["input_ids"].shape[1] :]


def generate(model: Any, prompt: dict[str, torch.Tensor], projected: torch.Tensor, **arguments: Any) -> torch.Tensor:
    """Generate from projected patches in place of pixels.

    Uses ``mm_encoder_outputs`` where transformers has it (5.18 and newer), else scatters the patches into ``inputs_embeds`` itself.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        The language model.
    prompt : dict
        input_ids and attention_mask, with a placeholder for every patch.
    projected : torch.Tensor
        (batch, patches, hidden), already through the multi-modal projector.
    **arguments
        Passed to ``generate``.

    Returns
    -------
    torch.Tensor
        New tokens, int64 (batch, token).
    """
    length = prompt["input_ids"].shape[1]
    if "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        features: Any = list(projected)
        encoded = {"image": BaseModelOutputWithPooling(pooler_output=features)}
        return model.generate(**prompt, mm_encoder_outputs=encoded, **arguments)[:, length:]
    return generate_from_embeddings(model, prompt, projected, **arguments)


def generate_from_embeddings(
    model: Any, prompt: dict[str, torch.Tensor], projected: torch.Tensor, **arguments: Any
) -> torch.Tensor:
    """Do what `generate` does, on any transformers: the patches are scattered into the prompt's embeddings."""
    ids = prompt["input_ids"]
    embedded = model.get_input_embeddings()(ids)
    mask = (ids == model.config.image_token_index).unsqueeze(-1)
    embedded = embedded.masked_scatter(mask, projected.to(embedded.dtype))
    # Given embeddings only, generate returns new tokens only.
    return model.generate(inputs_embeds=embedded, attention_mask=prompt["attention_mask"], **arguments)
