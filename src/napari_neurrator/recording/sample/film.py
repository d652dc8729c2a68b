"""The film of the sample session: twelve scenes, cut hard, each at one place by day or by night."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from .captions import caption
from .objects import KINDS
from .scenery import Actor, Scenery, bounding_box

FRAME_SIZE = (384, 288)
FRAME_RATE_HZ = 30
SHOT_SECONDS = 2.5
# An object counts as visible once this share of it lies in the central square, which is what CLIP sees.
VISIBLE_SHARE = 0.6


@dataclass(frozen=True)
class Track:
    """How one object moves through a shot.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    x : tuple of float
        Where it begins and ends, share of the frame's width.
    y : tuple of float
        The same for the height: where it stands, or its centre in the air.
    size : float
        Multiplies the kind's usual height.
    span : tuple of float
        When it is there, share of the shot.
    gait : {"walk", "roll", "glide", "hop", "stand"}
        How it moves besides.
    """

    kind: str
    x: tuple[float, float]
    y: tuple[float, float]
    size: float = 1.0
    span: tuple[float, float] = (0.0, 1.0)
    gait: str = "walk"

    def at(self, share: float) -> Actor | None:
        """Return the object at a time of the shot (share), or None while it is not there."""
        start, stop = self.span
        if not start <= share <= stop:
            return None
        go = (share - start) / max(stop - start, 1e-9)
        seconds = (share - start) * SHOT_SECONDS
        x = self.x[0] + (self.x[1] - self.x[0]) * go
        y = self.y[0] + (self.y[1] - self.y[0]) * go
        tilt = 0.0
        if self.gait == "walk":
            y -= 0.012 * abs(np.sin(2 * np.pi * 1.6 * seconds))
            tilt = 1.5 * np.sin(2 * np.pi * 1.6 * seconds)
        elif self.gait == "hop":
            y -= 0.06 * abs(np.sin(2 * np.pi * 1.1 * seconds))
        elif self.gait == "roll":
            y -= 0.003 * abs(np.sin(2 * np.pi * 5 * seconds))
        elif self.gait == "glide":
            y += 0.03 * np.sin(2 * np.pi * 0.7 * seconds)
            tilt = 5 * np.sin(2 * np.pi * 0.7 * seconds)
        moving = np.sign(self.x[1] - self.x[0])
        faces = KINDS[self.kind].faces
        flip = bool(faces and moving and faces != moving)
        return Actor(self.kind, float(x), float(y), KINDS[self.kind].height * self.size, flip, float(tilt))


@dataclass(frozen=True)
class Shot:
    """One scene of the film: where, when, how the camera pans, and who is in it."""

    place: str
    night: bool
    camera: tuple[float, float]
    tracks: tuple[Track, ...]


def script() -> list[Shot]:
    """Return the shots of the film, in order."""
    T = Track
    return [
        Shot(
            "meadow",
            False,
            (0.1, 0.5),
            (T("cow", (0.68, 0.56), (0.9, 0.9)), T("butterfly", (0.24, 0.34), (0.45, 0.35), gait="glide")),
        ),
        Shot(
            "city",
            False,
            (0.2, 0.6),
            (
                T("bus", (1.3, 0.36), (0.86, 0.86), span=(0.0, 0.75), gait="roll"),
                T("bus", (0.36, 0.3), (0.86, 0.86), span=(0.7501, 1.0), gait="roll"),
                T("balloon", (0.7, 0.74), (0.62, 0.22), gait="glide"),
            ),
        ),
        Shot(
            "beach",
            False,
            (0.7, 0.3),
            (T("turtle", (0.26, 0.4), (0.95, 0.95)), T("umbrella", (0.72, 0.7), (0.86, 0.86), gait="stand")),
        ),
        Shot(
            "forest",
            True,
            (0.3, 0.45),
            (T("owl", (0.3, 0.3), (0.36, 0.36), gait="stand"), T("rabbit", (0.8, 0.56), (0.92, 0.92), gait="hop")),
        ),
        Shot(
            "mountains",
            False,
            (0.8, 0.4),
            (T("eagle", (0.75, 0.6), (0.25, 0.34), gait="glide"), T("tent", (0.32, 0.28), (0.86, 0.86), gait="stand")),
        ),
        Shot(
            "desert",
            False,
            (0.2, 0.6),
            (T("camel", (0.3, 0.45), (0.92, 0.92)), T("cactus", (0.75, 0.7), (0.84, 0.84), gait="stand")),
        ),
        Shot(
            "city",
            True,
            (0.6, 0.9),
            (
                T("motorcycle", (0.24, 0.62), (0.92, 0.9), gait="roll"),
                T("helicopter", (0.72, 0.4), (0.22, 0.3), gait="glide"),
            ),
        ),
        Shot(
            "beach",
            True,
            (0.1, 0.4),
            (
                T("flamingo", (0.3, 0.34), (0.9, 0.9)),
                T("rocket", (0.68, 0.72), (0.75, 0.2), gait="stand"),
            ),
        ),
        Shot(
            "meadow",
            True,
            (0.6, 0.3),
            (T("sheep", (0.36, 0.28), (0.93, 0.93)), T("house", (0.7, 0.73), (0.84, 0.84), gait="stand")),
        ),
        Shot(
            "forest",
            False,
            (0.9, 0.5),
            (
                T("tiger", (0.7, 0.55), (0.93, 0.93)),
                T("mushroom", (0.28, 0.26), (0.88, 0.88), span=(0.0, 0.5), gait="stand"),
                T("bee", (0.24, 0.34), (0.4, 0.5), span=(0.5001, 1.0), gait="glide"),
            ),
        ),
        Shot(
            "mountains",
            True,
            (0.2, 0.5),
            (
                T("penguin", (0.3, 0.42), (0.92, 0.92)),
                T("snowman", (0.72, 0.7), (0.88, 0.88), gait="stand"),
            ),
        ),
        Shot(
            "meadow",
            False,
            (0.9, 0.4),
            (
                T("horse", (0.28, 0.44), (0.94, 0.94)),
                T("kite", (0.7, 0.64), (0.3, 0.42), span=(0.0, 0.55), gait="glide"),
                T("tractor", (1.2, 0.72), (0.92, 0.92), span=(0.5501, 0.8), gait="roll"),
                T("tractor", (0.72, 0.69), (0.92, 0.92), span=(0.8001, 1.0), gait="roll"),
            ),
        ),
    ]


def n_frames_of_film() -> int:
    """Return the number of frames of the whole film."""
    return round(len(script()) * SHOT_SECONDS * FRAME_RATE_HZ)


def _moment(number: int) -> tuple[Shot, int, float]:
    shots = script()
    per_shot = round(SHOT_SECONDS * FRAME_RATE_HZ)
    index = min(number // per_shot, len(shots) - 1)
    return shots[index], index, (number - index * per_shot) / per_shot


def truth(number: int) -> dict:
    """Say what a frame shows.

    Returns
    -------
    dict
        ``place``, ``night``, ``caption`` and ``objects``: for each that is visible in the central square its ``kind`` and its box ``x, y, width,
        height`` in frame pixels (not clipped).
    """
    shot, index, share = _moment(number)
    width, height = FRAME_SIZE
    left = (width - height) / 2
    seen, boxes = [], []
    for actor in (track.at(share) for track in shot.tracks):
        if actor is None:
            continue
        x, y, w, h = bounding_box(actor, FRAME_SIZE)
        inside = max(0.0, min(x + w, left + height) - max(x, left)) * max(0.0, min(y + h, height) - max(y, 0)) / (w * h)
        if inside >= VISIBLE_SHARE:
            boxes.append(
                {"kind": actor.kind, "x": round(x, 1), "y": round(y, 1), "width": round(w, 1), "height": round(h, 1)}
            )
            seen.append(Actor(actor.kind, (actor.x * width - left) / height, actor.y, actor.height))
    return {
        "frame": number,
        "shot": index,
        "place": shot.place,
        "night": shot.night,
        "caption": caption(seen, shot.place, shot.night),
        "objects": boxes,
    }


def render_film(n_frames: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Render the film's first frames, one after another, uint8 (288, 384, 3)."""
    current, scenery = -1, None
    for number in range(n_frames):
        shot, index, share = _moment(number)
        if index != current:
            current, scenery = index, Scenery(shot.place, shot.night, seed * 100 + index, FRAME_SIZE)
        assert scenery is not None
        actors = [actor for actor in (track.at(share) for track in shot.tracks) if actor is not None]
        camera = shot.camera[0] + (shot.camera[1] - shot.camera[0]) * share
        yield scenery.render(camera, actors, share * SHOT_SECONDS)


def write_film(
    path: Path, n_frames: int, seed: int = 0, on_progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Render the film and write it as H.264; every fifth frame is a key frame, so that a slider finds any frame at once."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE_HZ)
        stream.width, stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p"
        # One thread and no B-frames: the same file each time, and frame numbers that are easy to find.
        stream.options = {"crf": "16", "preset": "veryfast", "g": "5", "bf": "0", "threads": "1"}
        for number, frame in enumerate(render_film(n_frames, seed)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            if on_progress and (number % 30 == 29 or number == n_frames - 1):
                on_progress("rendering the film (simulated session)", number + 1, n_frames)
        container.mux(stream.encode())
