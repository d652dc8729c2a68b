"""The frozen CLIP: frames in, patch grids out; pictures and phrases in one space for naming concepts."""

import contextlib
import logging
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..errors import NeurratorError
from ..profiles import Profile
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
    """Turn every way in which loading a model fails into one sentence."""
    try:
        with quiet_transformers():
            yield
    except NeurratorError:
        raise
    except Exception as error:
        if profile.path_of(model) is None:
            raise NeurratorError(
                f"The profile {profile.name!r} needs the model {model!r}, which is not on this machine and could not be fetched: "
                f"run 'hf download {model}', or name its folder in the profile."
            ) from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NeurratorError(
            f"The model in {profile.path_of(model)} cannot be loaded ({first[:200]}): fetch it again, or check the profile {profile.name!r}."
        ) from error


class VisionTower:
    """A CLIP whose hidden state `profile.vision.layer`, CLS dropped, is the patch space.

    Parameters
    ----------
    profile : Profile
        Says which model, layer and fit.
    device : str
        Where it runs.

    Raises
    ------
    NeurratorError
        The model is missing, damaged, or not a CLIP.
    """

    def __init__(self, profile: Profile, device: str = "cpu"):
        from transformers import CLIPImageProcessor, CLIPModel

        self.profile, self.device = profile, torch.device(device)
        source = profile.locate(profile.vision.model)
        with loading(profile, profile.vision.model):
            self.clip = CLIPModel.from_pretrained(source, dtype=torch.float32).eval().to(self.device)
            self.processor = CLIPImageProcessor.from_pretrained(source)
        config = self.clip.config.vision_config
        self.rows = self.columns = config.image_size // config.patch_size
        self.width = config.hidden_size

    @property
    def n_patches(self) -> int:
        """Patches a frame."""
        return self.rows * self.columns

    def pixels(self, frames: np.ndarray) -> torch.Tensor:
        """Prepare frames as the model's own image processor does.

        Parameters
        ----------
        frames : numpy.ndarray
            uint8 (frame, height, width, 3).

        Returns
        -------
        torch.Tensor
            float32 (frame, 3, side, side).
        """
        options: dict[str, Any] = {}
        if self.profile.vision.fit == "whole":
            side = self.clip.config.vision_config.image_size
            options = {"size": {"height": side, "width": side}, "do_center_crop": False}
        return self.processor([np.array(frame) for frame in frames], return_tensors="pt", **options)["pixel_values"]

    @torch.inference_mode()
    def grids(self, frames: np.ndarray) -> torch.Tensor:
        """Return the patch grids of frames: float32 (frame, rows × columns, width)."""
        return self._encode(frames)[0]

    @torch.inference_mode()
    def grids_and_embeddings(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patch grids and the unit-length picture embeddings (frame, projection) of frames."""
        return self._encode(frames)

    def _encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.clip.vision_model(pixel_values=self.pixels(frames).to(self.device), output_hidden_states=True)
        embedding = torch.nn.functional.normalize(self.clip.visual_projection(out.pooler_output), dim=-1)
        return out.hidden_states[self.profile.vision.layer][:, 1:], embedding

    @torch.inference_mode()
    def embed_phrases(self, phrases: list[str]) -> torch.Tensor:
        """Return the unit-length embeddings of phrases: (phrase, projection)."""
        words = self._tokenizer(
            [phrase + self._closing for phrase in phrases],
            padding=True,
            truncation=True,
            padding_side="right",
            return_tensors="pt",
        )
        words = {key: words[key].to(self.device) for key in ("input_ids", "attention_mask")}
        return torch.nn.functional.normalize(
            self.clip.text_projection(self.clip.text_model(**words).pooler_output), dim=-1
        )

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with loading(self.profile, self.profile.vision.model):
            return AutoTokenizer.from_pretrained(self.profile.locate(self.profile.vision.model))

    @cached_property
    def _closing(self) -> str:
        # CLIP reads a phrase at its end-of-text token; some tokenizers add it themselves.
        tokenizer = self._tokenizer
        return "" if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id else tokenizer.eos_token
