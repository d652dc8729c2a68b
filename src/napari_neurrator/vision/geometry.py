"""Where the patch grid lies on the original frame."""

from dataclasses import dataclass

from ..profiles import Profile
from .shape import TowerShape


@dataclass(frozen=True)
class PatchGeometry:
    """The patch grid on a frame, in the frame's own pixels (y down, the centre of the first pixel at 0).

    Attributes
    ----------
    rows, columns : int
        Size of the grid.
    scale : tuple of float
        Height and width of one patch, frame pixels.
    crop : tuple of float
        Top, left, height and width of the part of the frame that the tower sees, frame pixels.
    """

    rows: int
    columns: int
    scale: tuple[float, float]
    crop: tuple[float, float, float, float]

    @property
    def translate(self) -> tuple[float, float]:
        """Where the centre of the first patch lies: what an image layer of the grid is moved by."""
        return self.crop[0] + (self.scale[0] - 1) / 2, self.crop[1] + (self.scale[1] - 1) / 2

    def patch_at(self, y: float, x: float) -> int | None:
        """Return the number of the patch that covers a point of the frame, or None outside the crop."""
        row = (y + 0.5 - self.crop[0]) / self.scale[0]
        column = (x + 0.5 - self.crop[1]) / self.scale[1]
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        return int(row) * self.columns + int(column)

    @classmethod
    def of(cls, profile: Profile, frame_height: int, frame_width: int) -> "PatchGeometry":
        """Work out the geometry from the model's own configuration files, without loading the model.

        Raises
        ------
        NeurratorError
            The configuration is not on this machine or is not one of a CLIP or SigLIP.
        """
        shape = TowerShape.of(profile)
        if profile.vision.fit == "whole":
            resized, offset = (shape.height, shape.width), (0, 0)
        else:
            resized = resized_to_crop(frame_height, frame_width, shape)
            offset = (
                centre(resized[0], shape.height, shape.centred_up),
                centre(resized[1], shape.width, shape.centred_up),
            )
        per_pixel = (frame_height / resized[0], frame_width / resized[1])
        scale = (per_pixel[0] * shape.patch[0], per_pixel[1] * shape.patch[1])
        crop = (
            offset[0] * per_pixel[0],
            offset[1] * per_pixel[1],
            shape.rows * scale[0],
            shape.columns * scale[1],
        )
        return cls(shape.rows, shape.columns, scale, crop)


def resized_to_crop(height: int, width: int, shape: TowerShape) -> tuple[int, int]:
    """Return the size that a frame is resized to before its centre is cut out.

    The longer side is rounded down, as transformers and torchvision do; before inputs that are no square open_clip rounds both sides.
    """
    if shape.height != shape.width:
        ratio = min(height / shape.height, width / shape.width)
        return round(height / ratio), round(width / ratio)
    long = int(shape.shortest * max(height, width) / min(height, width))
    return (shape.shortest, long) if height <= width else (long, shape.shortest)


def centre(size: int, cut: int, even: bool) -> int:
    """Return where a centre crop begins: `even` says how halves are rounded, see `TowerShape`; below 0 where the frame is padded."""
    if cut > size:
        return -((cut - size + 1) // 2)
    return round((size - cut) / 2) if even else (size - cut) // 2
