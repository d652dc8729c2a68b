"""``neurrator export``."""

from typing import Annotated, Any

import typer

from ..errors import NeurratorError


def export(
    narrations: Annotated[
        str,
        typer.Argument(
            help="JSON lines that 'neurrator narrate' or 'neurrator replay' wrote, or a session saved by the window (.neurrator.json or .toml)."
        ),
    ],
    recording: Annotated[
        str | None, typer.Argument(help="The recording, where it has moved; by default the one that the file names.")
    ] = None,
    csv: Annotated[str | None, typer.Option(help="Write a table.", metavar="OUT.csv")] = None,
    nwb: Annotated[
        str | None,
        typer.Option(help="Write a copy of the session's NWB file with the narrations in it.", metavar="OUT.nwb"),
    ] = None,
    mp4: Annotated[
        str | None, typer.Option(help="Write the movie with the sentences as subtitles.", metavar="OUT.mp4")
    ] = None,
    figure: Annotated[
        str | None, typer.Option(help="Write a figure of one narration (.png, .svg or .pdf).", metavar="OUT.png")
    ] = None,
    units_csv: Annotated[
        str | None,
        typer.Option(help="Write what each unit contributed to one narration (see --ask).", metavar="OUT.csv"),
    ] = None,
    line: Annotated[
        int,
        typer.Option(
            help="Which narration, for --figure and --units-csv, and whose units, for --mp4; the first is 1.", min=1
        ),
    ] = 1,
    ask: Annotated[
        str | None,
        typer.Option(
            help="What units contributed to: patches:40,41,52 or concept:NAME or word:WORD; by default the whole frame."
        ),
    ] = None,
    heatmap: Annotated[
        str | None,
        typer.Option(help="On movie and figure: the name of a concept, or 'match' for decoded against true."),
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(help="Which showing the movie is of, where there are several; the first is 0.", min=0)
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="File or folder with the frames, where they do not lie beside the recording.")
    ] = None,
) -> None:
    """Take narrations home: a table, NWB, a captioned movie, a figure, contributions by unit."""
    if not any((csv, nwb, mp4, figure, units_csv)):
        raise NeurratorError("Say what to write: --csv, --nwb, --mp4, --figure or --units-csv.")
    lines, saved = _read(narrations, recording, frames)
    if line > len(lines):
        raise NeurratorError(f"--line {line} is not there: {narrations} holds {len(lines)} narrations.")
    if csv:
        from ..export.table import write_csv

        _done(write_csv(csv, lines), f"{len(lines)} narrations")
    if not any((nwb, mp4, figure, units_csv)):
        return
    source = _Source(lines, lines[line - 1], recording, frames, saved)
    try:
        if nwb:
            from ..export.nwb import write_nwb

            _done(write_nwb(nwb, lines, source.recording), f"{len(lines)} narrations")
        if mp4:
            _movie(mp4, lines[line - 1], lines, source, heatmap, repeat)
        asked = source.contributions(ask) if units_csv or (figure and ask) else None
        if units_csv:
            from ..export.table import write_table

            assert asked is not None
            _done(
                write_table(units_csv, asked.to_frame(source.recording.units)),
                f"{len(asked.unit_ids)} units; {asked.share_of_units():.0%} of them explain 80 % of {asked.target}",
            )
        if figure:
            from ..export.figure import write_figure

            one = lines[line - 1]
            overlay = source.overlays([one], heatmap).get(one.frame) if heatmap else None
            shown = dict(zip(asked.unit_ids, asked.carried, strict=True)) if asked is not None and ask else None
            _done(write_figure(figure, one, source.recording, source.stimulus, overlay, shown), f"frame {one.frame}")
    finally:
        source.close()


def _read(path: str, recording: str | None, frames: str | None) -> tuple[list, Any]:
    """Return narrations, and the session that they are from."""
    from ..export.saved import is_saved_session, narrations_of_session

    if not is_saved_session(path):
        from ..export.files import read_narrations

        return read_narrations(path), None
    from .progress import progress_bars

    with progress_bars() as report:
        saved = narrations_of_session(path, recording, frames, report)
    if saved.others:
        print(f"Of {saved.recording.name}; the session holds sentences of other recordings, too: {', '.join(saved.others)}.")  # fmt: skip
    return saved.lines, saved


def _done(path: Any, what: str) -> None:
    print(f"{path}: {what}.")


def _movie(out: str, of: Any, lines: list, source: "_Source", heatmap: str | None, repeat: int | None) -> None:
    from ..export.movie import write_movie
    from .progress import progress_bars

    lines = [one for one in lines if (one.stimulus, one.unit_ids) == (of.stimulus, of.unit_ids)]
    repeat = of.repeat if repeat is None else repeat
    chosen = [one for one in lines if one.repeat == repeat]
    overlays = source.overlays(chosen, heatmap) if heatmap and chosen else None
    with progress_bars() as report:
        write_movie(out, lines, source.stimulus, overlays, repeat, on_progress=report)
    _done(out, f"{len(chosen)} sentences as subtitles")


class _Source:
    """What the lines are about, opened when it is asked for."""

    def __init__(self, lines: list, one: Any, recording: str | None, frames: str | None, saved: Any = None):
        from ..decoding import decoder_info
        from ..recording import open_recording
        from .progress import show_sample_being_made

        self.lines, self.one, self.config = lines, one, one.config
        name = recording or self.config.recording
        show_sample_being_made(name)
        self.info: Any = None
        try:
            self.info = decoder_info(self.config.decoder)
        except NeurratorError:
            # Tables and movies need no decoder.
            self.info = None
        if saved is None:
            presentations = self.config.presentations or (self.info.config.presentations if self.info else None)
            self.recording = open_recording(name, presentations=presentations)
        else:
            self.recording, frames = saved.recording, frames or saved.frames
        self.frames = frames or (self.info.config.frames if self.info else None)
        self._opened: Any = None
        self._backend: Any = None

    @property
    def stimulus(self) -> Any:
        if self._opened is None:
            from ..recording import open_stimulus

            self._opened = open_stimulus(self.recording, self.one.stimulus, frames=self.frames)
        return self._opened[0]

    def _decoder_info(self) -> Any:
        from ..decoding import decoder_info

        return self.info or decoder_info(self.config.decoder)

    def _moments(self) -> Any:
        from ..recording import moments

        stimulus = self.stimulus
        return moments(self.recording, self._opened[1], stimulus)

    def overlays(self, lines: list, show: str) -> dict:
        from ..backend.local import InProcessBackend
        from ..export.heatmaps import overlays_of
        from .progress import progress_bars

        if self._backend is None:
            self._backend = InProcessBackend()
        with progress_bars() as report:
            return overlays_of(
                self._backend, self.recording, self.stimulus, self._moments(), self._decoder_info(), lines, show, report
            )

    def contributions(self, ask: str | None) -> Any:
        from ..attribution.narrated import contributions_of

        return contributions_of(self.one, self.recording, self._moments(), ask)

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
