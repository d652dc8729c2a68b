"""Decoders in folders: ``decoder.safetensors`` and ``decoder.json``."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ..errors import NeurratorError
from ..writing import check_writable, folder_beside, write_text, written
from .info import REFERENCES, TENSORS, DecoderInfo, check_tensor_files, decoder_info
from .interface import SubsetDecoder
from .kinds import decoder_class

_TYPICAL = "typical_grids"
# Share of true pictures that deviate less from the mean grid than what is put into words at the least, and the share of that length below which a
# deviation is taken for noise.
_FAINTEST, _NOISE = 0.05, 0.1
_DAMAGE = (OSError, SafetensorError, KeyError, ValueError, RuntimeError)


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
                read = load_file(self._folder / REFERENCES)
                _check_references(self.info, read["grids"].shape, read["weights"].shape)
            except _DAMAGE as error:
                raise _damaged(self._folder, REFERENCES) from error
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
        _check_free(folder)
        tensors, settings = self.decoder.state()
        references = self.references
        with folder_beside(folder) as made:
            hashes = {TENSORS: _write(made / TENSORS, {**tensors, _TYPICAL: self.typical_grids.half()})}
            if references is not None:
                hashes[REFERENCES] = _write(made / REFERENCES, references)
            info = self.info.model_copy(update={"settings": settings, "sha256": hashes})
            text = info.model_dump_json(indent=1)
            # What could not be read again takes no good decoder's place.
            DecoderInfo.model_validate_json(text)
            write_text(made / "decoder.json", text)
            if folder.exists():
                shutil.copymode(folder, made)
                with folder_beside(folder) as old:
                    try:
                        os.replace(folder, old / "decoder")
                        os.replace(made, folder)
                    except BaseException:
                        if not folder.exists():
                            os.replace(old / "decoder", folder)
                        raise
            else:
                os.replace(made, folder)

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
        check_tensor_files(folder, info)
        try:
            tensors = load_file(folder / TENSORS)
            typical = tensors.pop(_TYPICAL).float()
            decoder = decoder_class(info.kind).from_state(tensors, info.settings, info.unit_ids, info.window)
            if tuple(decoder.prior_grid.shape) != info.grid:
                raise ValueError("the grids have another shape")
        except _DAMAGE as error:
            raise _damaged(folder, TENSORS) from error
        if info.evidence is not None:
            try:
                # Its header says whether it is whole; it is large, and read when it is needed.
                with safe_open(folder / REFERENCES, framework="pt") as file:
                    shapes = [file.get_slice(name).get_shape() for name in ("grids", "weights")]
                _check_references(info, *shapes)
            except _DAMAGE as error:
                raise _damaged(folder, REFERENCES) from error
        return cls(info, decoder, typical, folder=folder)


def check_decoder_place(out: str | Path) -> None:
    """Find out before long work whether a decoder may be saved in a folder.

    Raises
    ------
    NeurratorError
        The folder holds something else than a decoder, or nothing can be written there.
    """
    folder = Path(out).expanduser()
    _check_free(folder)
    there = next((parent for parent in folder.absolute().parents if parent.exists()), None)
    if there is not None:
        check_writable(there, out)


def _check_free(folder: Path) -> None:
    if folder.exists() and not (folder / "decoder.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise NeurratorError(f"{folder} exists and holds something else than a decoder: give another place for --out.")


def _write(file: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write a file of tensors; returns its SHA-256."""
    with written(file) as part:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_references(info: DecoderInfo, grids: Sequence[int], weights: Sequence[int]) -> None:
    if tuple(grids[1:]) != info.grid or tuple(weights) != tuple(grids[:1]):
        raise ValueError("the grids have another shape")


def _damaged(folder: Path, name: str) -> NeurratorError:
    return NeurratorError(
        f"The decoder in {folder} is damaged: {name} cannot be read or does not belong to decoder.json; fit it again."
    )
