"""Where the patch grid lies on the original frame."""

from dataclasses import dataclass

from ..errors import NeurratorError
from ..profiles import Profile


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
            The configuration is not on this machine or is not one of a CLIP.
        """
        config = profile.read_json(profile.vision.model, "config.json")
        vision = config.get("vision_config", config)
        if "patch_size" not in vision or "image_size" not in vision:
            raise NeurratorError(
                f"{profile.vision.model!r} is not a CLIP: its config.json has no patch_size and image_size."
            )
        side, patch = int(vision["image_size"]), int(vision["patch_size"])
        grid = side // patch
        if profile.vision.fit == "whole":
            scale = (frame_height / side * patch, frame_width / side * patch)
            return cls(grid, grid, scale, (0.0, 0.0, grid * scale[0], grid * scale[1]))
        preprocessor = profile.read_json(profile.vision.model, "preprocessor_config.json")
        size = preprocessor.get("size", side)
        shortest = int(size.get("shortest_edge", side)) if isinstance(size, dict) else int(size)
        # The image processor rounds the longer side down to whole pixels and the crop's offset to whole pixels of the resized frame.
        short, long = min(frame_height, frame_width), max(frame_height, frame_width)
        resized_long = int(shortest * long / short)
        resized = (shortest, resized_long) if frame_height <= frame_width else (resized_long, shortest)
        per_pixel = (frame_height / resized[0], frame_width / resized[1])
        offset = ((resized[0] - side) // 2, (resized[1] - side) // 2)
        scale = (per_pixel[0] * patch, per_pixel[1] * patch)
        return cls(
            grid,
            grid,
            scale,
            (offset[0] * per_pixel[0], offset[1] * per_pixel[1], grid * scale[0], grid * scale[1]),
        )
