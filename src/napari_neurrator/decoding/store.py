"""Decoders in folders: ``decoder.safetensors`` and ``decoder.json``."""

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import NeurratorError
from .info import DecoderInfo, decoder_info
from .interface import SubsetDecoder
from .kinds import decoder_class

_TYPICAL = "typical_grids"
_REFERENCES = "references.safetensors"
# Share of true pictures that deviate less from the mean grid than what is put into words at the least, and the share of that length below which a
# deviation is taken for noise.
_FAINTEST, _NOISE = 0.05, 0.1


class StoredDecoder:
    """A decoder with its description.

    Attributes
    ----------
    info : DecoderInfo
        Units, profile, configuration, split, scores.
    decoder : SubsetDecoder
        Decodes.
    typical_grids : torch.Tensor
        True grids of some frames that it was fitted on, evenly chosen: what concepts are usual. float32 (frame, patches, width).
    references : dict of torch.Tensor or None
        What sentences are held against, read when it is first asked for: ``grids``, float16 (frame, patches, width), and ``weights``, (frame,). None where
        nothing was held out, and in decoders of older versions.
    """

    def __init__(
        self,
        info: DecoderInfo,
        decoder: SubsetDecoder,
        typical_grids: torch.Tensor,
        references: dict[str, torch.Tensor] | None = None,
        folder: Path | None = None,
    ):
        self.info, self.decoder, self.typical_grids = info, decoder, typical_grids
        self._references, self._folder = references, folder

    @property
    def references(self) -> dict[str, torch.Tensor] | None:
        """See the class; NeurratorError where the file is damaged."""
        if self._references is None and self._folder is not None and self.info.evidence is not None:
            try:
                read = load_file(self._folder / _REFERENCES)
                if tuple(read["grids"].shape[1:]) != self.info.grid or len(read["weights"]) != len(read["grids"]):
                    raise ValueError("the grids have another shape")
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                raise NeurratorError(
                    f"The decoder in {self._folder} is damaged: {_REFERENCES} cannot be read or does not belong to decoder.json; fit it again."
                ) from error
            self._references = read
        return self._references

    @references.setter
    def references(self, references: dict[str, torch.Tensor]) -> None:
        self._references = references

    @cached_property
    def _contrast(self) -> float:
        """How far the faintest true pictures lie from the mean grid."""
        away = (self.typical_grids.float() - self.decoder.prior_grid.float().cpu()).flatten(1)
        return float(away.norm(dim=1).quantile(_FAINTEST))

    def spoken(self, grids: torch.Tensor) -> torch.Tensor:
        """Return what a language model is to be given of decoded grids: the same pictures, as clear as true ones.

        The best estimate from few units lies near the mean grid, nearer than any true picture: how far it deviates says how much is known, and in which
        direction says what. A language model has seen true pictures only, and a sentence cannot say "perhaps". So the direction is put into words at the
        contrast of the faintest true pictures, and how much is known is left to the evidence. What hardly deviates stays faint, and what is as clear as true
        pictures stays as it is.

        Parameters
        ----------
        grids : torch.Tensor
            Decoded grids, (moment, patches, width).
        """
        prior = self.decoder.prior_grid.to(grids)
        away = grids - prior
        length = away.flatten(1).norm(dim=1)
        louder = self._contrast / (length.square() + (_NOISE * self._contrast) ** 2).sqrt().clamp(min=1e-12)
        return torch.where((louder > 1)[:, None, None], prior + away * louder[:, None, None], grids)

    def save(self, folder: str | Path) -> None:
        """Write the folder; a decoder that was there is replaced at once or not at all.

        Raises
        ------
        NeurratorError
            The folder holds something else than a decoder.
        """
        folder = Path(folder).expanduser()
        folder.parent.mkdir(parents=True, exist_ok=True)
        if (
            folder.exists()
            and not (folder / "decoder.json").is_file()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise NeurratorError(
                f"{folder} exists and holds something else than a decoder: give another place for --out."
            )
        tensors, settings = self.decoder.state()
        references = self.references
        info = self.info.model_copy(update={"settings": settings})
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            tensors = {**tensors, _TYPICAL: self.typical_grids.half()}
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, made / "decoder.safetensors")
            if references is not None:
                save_file({name: tensor.contiguous() for name, tensor in references.items()}, made / _REFERENCES)
            (made / "decoder.json").write_text(info.model_dump_json(indent=1), encoding="utf-8")
            made.chmod(0o755)
            if folder.exists():
                old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-old-"))
                os.replace(folder, old / "decoder")
                os.replace(made, folder)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> "StoredDecoder":
        """Read a decoder's folder.

        Raises
        ------
        NeurratorError
            There is none, or it is damaged.
        """
        info = decoder_info(folder)
        folder = Path(folder).expanduser()
        file = folder / "decoder.safetensors"
        try:
            tensors = load_file(file)
            typical = tensors.pop(_TYPICAL).float()
            decoder = decoder_class(info.kind).from_state(tensors, info.settings, info.unit_ids, info.window)
            if tuple(decoder.prior_grid.shape) != info.grid:
                raise ValueError("the grids have another shape")
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise NeurratorError(
                f"The decoder in {folder} is damaged: decoder.safetensors cannot be read or does not belong to decoder.json; fit it again."
            ) from error
        return cls(info, decoder, typical, folder=folder)
