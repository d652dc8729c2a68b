"""The movie with its narration: sentences as subtitles, in the picture and as a track of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend.narrations import Narration
from ..errors import NeurratorError
from .files import written
from .pictures import Overlay, captioned

if TYPE_CHECKING:
    import pandas as pd

    from ..recording.stimulus import Stimulus

# How long a sentence stays where no other follows, and how long a picture of no movie is shown, seconds; ticks a second of the subtitles.
_HOLD_S, _PICTURE_S, _TICKS = 2.0, 2.0, 1000
_STILL_RATE = 10
# What ffmpeg's encoder of mov_text asks for before it opens.
_SUBTITLE_STYLE = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Caption:
    """A sentence and when it is shown, seconds from the start of the film."""

    start_s: float
    stop_s: float
    narration: Narration


def captions(narrations: Sequence[Narration], frame_rate_hz: float) -> tuple[list[Caption], int, int]:
    """Say when each sentence of one showing is shown.

    Parameters
    ----------
    narrations : sequence of Narration
        Of one showing of a movie.
    frame_rate_hz : float
        Its rate.

    Returns
    -------
    captions : list of Caption
        In order of frames. A sentence stays until the next one, for two seconds at most.
    first, last : int
        The frames of the film: from the first that was narrated until the last sentence has gone.
    """
    ordered = sorted(narrations, key=lambda one: one.frame)
    first = ordered[0].frame
    starts = [(one.frame - first) / frame_rate_hz for one in ordered]
    stops = [*starts[1:], starts[-1] + _HOLD_S]
    found = [
        Caption(start, min(stop, start + _HOLD_S), one) for start, stop, one in zip(starts, stops, ordered, strict=True)
    ]
    return found, first, first + max(int(np.ceil(found[-1].stop_s * frame_rate_hz - 1e-6)), 1) - 1


def write_movie(
    path: str | Path,
    narrations: Sequence[Narration],
    stimulus: "Stimulus",
    overlays: Mapping[int, Overlay] | None = None,
    repeat: int | None = None,
    height: int = 480,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write a captioned MP4: H.264, the movie's own rate, and the sentences also as a subtitle track (mov_text).

    Parameters
    ----------
    path : path-like
        File to write, at once or not at all; ends in ``.mp4``.
    narrations : sequence of Narration
        Of one stimulus and the same units.
    stimulus : Stimulus
        Its frames. Pictures that do not follow each other are shown for two seconds each.
    overlays : mapping, optional
        From frame to the heatmap that lies on it; a frame without one shows that of the last narrated frame before it.
    repeat : int, optional
        Which showing, where the narrations are of several; by default the first of them.
    height : int
        Height of the picture at least, pixels; small frames are enlarged.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.

    Raises
    ------
    NeurratorError
        Nothing was narrated, or it cannot be written there.
    """
    import av

    path = Path(path).expanduser()
    if path.suffix.lower() != ".mp4":
        raise NeurratorError(f"{path.name} has to end in .mp4.")
    chosen = _one_showing(narrations, repeat)
    beyond = next((one.frame for one in chosen if one.frame >= stimulus.n_frames), None)
    if beyond is not None:
        raise NeurratorError(
            f"Frame {beyond} was narrated, and {stimulus.name} has {stimulus.n_frames}: give the frames that were shown."
        )
    rate = stimulus.frame_rate_hz
    if rate:
        shown, first, last = captions(chosen, rate)
        frames = np.minimum(np.arange(first, last + 1), stimulus.n_frames - 1)
        fraction = Fraction(rate).limit_denominator(100_000)
    else:
        shown = [Caption(i * _PICTURE_S, (i + 1) * _PICTURE_S, one) for i, one in enumerate(chosen)]
        frames = np.repeat([one.frame for one in chosen], round(_PICTURE_S * _STILL_RATE))
        fraction = Fraction(_STILL_RATE)
    with written(path) as part, av.open(str(part), "w") as container:
        video = container.add_stream("libx264", rate=fraction)
        subtitles = container.add_stream("mov_text")
        subtitles.codec_context.subtitle_header = _SUBTITLE_STYLE.encode()
        subtitles.time_base = Fraction(1, _TICKS)
        # The first packet opens all codecs, so the picture's size comes before.
        picture = captioned(stimulus.frame(int(frames[0])), None, None, height)
        video.height, video.width = picture.shape[:2]
        video.pix_fmt = "yuv420p"
        video.options = {"crf": "18", "preset": "veryfast"}
        for packet in _subtitle_packets(shown, subtitles):
            container.mux(packet)
        place = 0
        for number, frame in enumerate(frames):
            now = float(number / fraction)
            while place + 1 < len(shown) and shown[place + 1].start_s <= now + 1e-9:
                place += 1
            caption = shown[place] if shown[place].start_s - 1e-9 <= now < shown[place].stop_s - 1e-9 else None
            overlay = None if not overlays or caption is None else overlays.get(caption.narration.frame)
            picture = captioned(
                stimulus.frame(int(frame)), None if caption is None else caption.narration, overlay, height
            )
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if on_progress and number % 10 == 9:
                on_progress("writing the movie", number + 1, len(frames))
        container.mux(video.encode())
        if on_progress:
            on_progress("writing the movie", len(frames), len(frames))
    return path


def read_subtitles(path: str | Path) -> "pd.DataFrame":
    """Read the subtitle track of a movie back: ``start_s``, ``stop_s``, ``text``."""
    import av
    import pandas as pd

    rows = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.subtitles[0]):
            # Two bytes say how long the text is; without text it is a pause.
            raw = bytes(packet)
            text = raw[2 : 2 + int.from_bytes(raw[:2], "big")].decode("utf-8")
            if packet.pts is not None and text:
                start = float(packet.pts * packet.time_base)
                rows.append((start, start + float((packet.duration or 0) * packet.time_base), text))
    return pd.DataFrame(rows, columns=["start_s", "stop_s", "text"])


def _one_showing(narrations: Sequence[Narration], repeat: int | None) -> list[Narration]:
    if not narrations:
        raise NeurratorError("There are no narrations to show.")
    repeat = narrations[0].repeat if repeat is None else repeat
    stimulus, units = narrations[0].stimulus, narrations[0].unit_ids
    by_frame = {
        one.frame: one
        for one in reversed(narrations)
        if (one.repeat, one.stimulus, one.unit_ids) == (repeat, stimulus, units)
    }
    if not by_frame:
        raise NeurratorError(
            f"Nothing was narrated of showing {repeat}: choose one of {sorted({one.repeat for one in narrations})}."
        )
    return [by_frame[frame] for frame in sorted(by_frame)]


def _subtitle_packets(shown: list[Caption], stream: Any) -> list:
    import av

    packets = []
    for caption in shown:
        raw = caption.narration.text.encode("utf-8")[:65_535]
        packet = av.Packet(len(raw).to_bytes(2, "big") + raw)
        packet.pts = packet.dts = round(caption.start_s * _TICKS)
        packet.duration = max(round(caption.stop_s * _TICKS) - packet.pts, 1)
        packet.time_base, packet.stream = Fraction(1, _TICKS), stream
        packets.append(packet)
    return packets
