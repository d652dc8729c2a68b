"""The fitted decoder: spike windows of any known units in, patch grids out; saved as safetensors and JSON."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import NeurratorError
from .basis import GridBasis
from .bayes import EncodingModel, SubsetPosterior, block_features
from .info import DecoderInfo, decoder_info


@dataclass
class Decoder:
    """A subset decoder.

    Attributes
    ----------
    info : DecoderInfo
        Units, profile, configuration, scores.
    posterior : SubsetPosterior
        The encoding model, inverted.
    basis : GridBasis
        The grids of the frames shown.
    """

    info: DecoderInfo
    posterior: SubsetPosterior
    basis: GridBasis

    @torch.inference_mode()
    def log_posterior(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return log p(frame | spikes) over the distinct frames of the fit: (moment, state).

        Parameters
        ----------
        windows : numpy.ndarray
            Counts (moment, bin, unit).
        unit_ids : list
            The units of the last axis: any subset of the decoder's.

        Raises
        ------
        NeurratorError
            Units that the decoder does not know, or windows of another length.
        """
        units = torch.tensor(self.info.positions(unit_ids))
        if windows.ndim != 3 or windows.shape[1:] != (self.info.window.n_bins, len(unit_ids)):
            raise NeurratorError(
                f"The spike windows have shape {tuple(windows.shape)}, and this decoder expects (moments, {self.info.window.n_bins}, {len(unit_ids)})."
            )
        features = block_features(torch.from_numpy(windows.astype(np.float32)), self.posterior.blocks)
        return self.posterior(features, units)

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded patch grids: float32 (moment, patches, width). Parameters and errors are those of `log_posterior`."""
        return self.basis.grids(self.log_posterior(windows, unit_ids).exp() @ self.basis.coefficients)

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean grid: what is decoded from nothing, float32 (patches, width)."""
        return self.basis.mean.unflatten(-1, self.basis.shape)

    def save(self, folder: str | Path) -> None:
        """Write ``decoder.safetensors`` and ``decoder.json``; a decoder that was there is replaced at once or not at all."""
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
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            tensors = {
                "means": self.posterior.means.half(),
                "grand_mean": self.posterior.grand_mean,
                "loadings": self.posterior.loadings,
                "noise": self.posterior.noise,
                "sharpness": self.posterior.sharpness.detach(),
                "grid_mean": self.basis.mean,
                "grid_components": self.basis.components.half(),
                "grid_coefficients": self.basis.coefficients,
            }
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, made / "decoder.safetensors")
            (made / "decoder.json").write_text(self.info.model_dump_json(indent=1), encoding="utf-8")
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
    def load(cls, folder: str | Path) -> "Decoder":
        """Read a decoder's folder.

        Raises
        ------
        NeurratorError
            There is none, or it is damaged.
        """
        info = decoder_info(folder)
        file = Path(folder).expanduser() / "decoder.safetensors"
        try:
            tensors = {name: tensor.float() for name, tensor in load_file(file).items()}
            model = EncodingModel(tensors["means"], tensors["grand_mean"], tensors["loadings"], tensors["noise"])
            basis = GridBasis(tensors["grid_mean"], tensors["grid_components"], tensors["grid_coefficients"], info.grid)
            posterior = SubsetPosterior(model)
            posterior.sharpness.data = tensors["sharpness"]
        except (OSError, SafetensorError, KeyError) as error:
            raise NeurratorError(
                f"The decoder in {folder} is damaged: decoder.safetensors cannot be read; fit it again."
            ) from error
        if model.noise.shape[1] != len(info.unit_ids):
            raise NeurratorError(
                f"The decoder in {folder} is damaged: its two files do not belong together; fit it again."
            )
        return cls(info, posterior.eval(), basis)
