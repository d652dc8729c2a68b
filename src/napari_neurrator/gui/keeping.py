"""From the window's state to a session file, and back."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ..config import NarrateConfig
from ..errors import NeurratorError
from ..session_file import SavedRecording, SavedSentence, SessionFile, read_session, write_session
from .decoders import Decoders
from .findings import Result, ResultKey
from .loader import Loader
from .narrator import N_CONCEPTS
from .state import COLOUR_BY, HEAT_COLOURS, INTERPOLATIONS, OpenRecording, Session


def in_order(results: Iterable[Result]) -> list[Result]:
    """Return results in the order in which they are saved and exported, so that replay writes the lines that were exported: of time, then of the number of units."""
    return sorted(results, key=lambda one: (one.key.moment, len(one.key.units), one.key.prompt))


def saved_sentences(results: dict[ResultKey, Result]) -> list[SavedSentence]:
    """Turn what was said into what is written."""
    return [
        SavedSentence(
            units=list(result.key.units),
            frame=result.frame,
            repeat=result.repeat,
            moment=result.key.moment,
            decoder=result.key.decoder,
            prompt=result.key.prompt,
            text=result.text,
            reference=result.reference,
            prior=result.prior,
            mean_cosine=result.mean_cosine,
            held_out=result.held_out,
            evidence=result.evidence,
            prior_cosine=result.prior_cosine,
            settings={} if NarrateConfig.model_fields["concepts"].default == N_CONCEPTS else {"concepts": N_CONCEPTS},
        )
        for result in in_order(one for one in results.values() if one.finished and one.text)
    ]


def saved_recording(entry: OpenRecording, kept: Any) -> SavedRecording:
    """Turn an open recording into what is written of it; `kept` gives the fields of the session by name.

    Raises
    ------
    NeurratorError
        It was handed over from Python, so that nobody could open it again.
    """
    if not entry.pooled and not is_source(entry.source):
        raise NeurratorError(
            f"{entry.recording.name} was not opened from a file, so that a session file could not find it again: save it as a SortingAnalyzer or NWB first."
        )
    for source in entry.pooled:
        if not is_source(source):
            raise NeurratorError(f"{source} in the pool was not opened from a file, so that it could not be opened again.")  # fmt: skip
    return SavedRecording(
        source=None if entry.pooled else entry.source,
        pool=list(entry.pooled) or None,
        pool_stimulus=entry.pooled_stimulus,
        presentations=entry.presentations,
        stimulus=kept("stimulus_name") or None,
        frames=kept("stimulus_file"),
        groups={name: list(units) for name, units in kept("groups").items()},
        selected=list(kept("selected")),
        frame=kept("frame"),
        repeat=kept("repeat"),
        decoder=kept("decoder_folder") or None,
        sentences=saved_sentences(kept("results")),
    )


def is_source(source: str) -> bool:
    """Whether a source can be opened again."""
    return source == "sample" or "://" in source or Path(source).exists()


_EMPTY: dict[str, Any] = {
    "stimulus_name": "", "stimulus_file": None, "groups": {}, "selected": (), "frame": 0, "repeat": 0, "decoder_folder": "", "results": {}
}  # fmt: skip


class Keeping:
    """Saves what is open and opens what was saved."""

    def __init__(self, session: Session, loader: Loader, decoders: Decoders) -> None:
        self.session, self.loader, self.decoders = session, loader, decoders

    def save(self, path: str | Path) -> Path | None:
        """Write the session file; what stands in the way is said to the user."""
        session = self.session
        try:
            if not session.opened:
                raise NeurratorError("Open a recording before saving the session.")
            saved, current = [], 0
            for i, entry in enumerate(session.opened):
                shown = entry.recording is session.recording
                current = i if shown else current
                saved.append(
                    saved_recording(
                        entry,
                        (lambda name: getattr(session, name))
                        if shown
                        else (lambda name, kept=entry.kept: kept.get(name, _EMPTY[name])),
                    )
                )
            written = write_session(
                path,
                SessionFile(
                    recordings=saved,
                    current=current,
                    colour_by=session.colour_by,
                    only_good=session.only_good,
                    prompt=session.prompt,
                    interpolation=session.interpolation,
                    heat_colours=session.heat_colours,
                    colour_bar=session.colour_bar,
                ),
            )
        except NeurratorError as error:
            session.fail(str(error))
            return None
        session.status = f"The session was saved as {written.name}."
        return written

    def open(self, path: str | Path) -> None:
        """Open a session file: its recordings one after the other, the one that was shown last."""
        session = self.session
        try:
            file = read_session(path)
        except NeurratorError as error:
            session.fail(str(error))
            return
        first = list(range(len(file.recordings)))
        first.remove(file.current)
        order = [*first, file.current]

        def step(left: list[int]) -> None:
            if not left:
                session.colour_by = file.colour_by if file.colour_by in COLOUR_BY else "region"
                session.only_good, session.prompt = file.only_good, file.prompt
                session.interpolation = file.interpolation if file.interpolation in INTERPOLATIONS else "linear"
                session.heat_colours = file.heat_colours if file.heat_colours in HEAT_COLOURS else HEAT_COLOURS[0]
                session.colour_bar = file.colour_bar
                session.status = f"{Path(path).name} is open."
                return
            saved = file.recordings[left[0]]
            go_on = partial(step, left[1:])
            self._open(saved, lambda: self._restore(saved, go_on), go_on)

        step(order)

    def _open(self, saved: SavedRecording, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Open a recording; one that cannot be does not keep the others from it."""
        if saved.pool is not None:
            self.loader.open_pool(saved.pool, saved.pool_stimulus, saved.frames, saved.stimulus, then, otherwise)
        else:
            assert saved.source is not None
            self.loader.open(saved.source, saved.frames, saved.stimulus, then, saved.presentations, otherwise)

    def _restore(self, saved: SavedRecording, then: Callable[[], None]) -> None:
        """Put a recording that has just been opened back into the state that was saved."""
        session = self.session
        known = set(session.unit_ids)
        lost = [unit for unit in saved.selected if unit not in known]
        groups = {name: tuple(unit for unit in units if unit in known) for name, units in saved.groups.items()}
        session.groups = {name: units for name, units in groups.items() if units}
        if saved.decoder and saved.decoder != session.decoder_folder:
            self.decoders.choose(saved.decoder)
        # sentences share their lists of units, and results their tuples
        shared = {id(sentence.units): sentence.units for sentence in saved.sentences}
        units = {number: tuple(some) for number, some in shared.items()}
        for sentence in saved.sentences:
            key = ResultKey(sentence.decoder, sentence.prompt, sentence.moment, units[id(sentence.units)])
            session.results[key] = Result(
                key=key, frame=sentence.frame, repeat=sentence.repeat, n_units=len(sentence.units), text=sentence.text, spoken=True,
                finished=True, reference=sentence.reference, prior=sentence.prior, mean_cosine=sentence.mean_cosine,
                prior_cosine=sentence.prior_cosine, held_out=sentence.held_out, evidence=sentence.evidence,
            )  # fmt: skip
        last = 0 if session.stimulus is None else session.stimulus.n_frames - 1
        session.frame = min(saved.frame, last)
        n_repeats = 1 if session.moments is None else session.moments.n_repeats
        session.repeat = min(saved.repeat, max(0, n_repeats - 1))
        session.select(saved.selected)
        if lost:
            session.warn(f"{len(lost)} of the units that were selected are not in {session.recording.name} any more.")
        then()
