"""What the colours of the units mean: a list of categories to click on, or a scale with its ends named."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from qtpy.QtWidgets import QWidget

from . import layer_styles as styles
from . import parts
from .state import Session

MOST_ROWS = 12


@dataclass(frozen=True)
class Entry:
    """One category: its name, colour and how many of the shown units are of it."""

    name: str
    colour: str
    count: int


def entries(session: Session) -> list[Entry]:
    """Return the categories that the units are coloured by, the largest first; none where they are coloured by a number."""
    column = styles.COLUMNS.get(session.colour_by, "region" if session.colour_by == "region" else "")
    if session.recording is None or column not in session.recording.units:
        return []
    values = session.recording.units[column]
    counts = values.astype(str)[session.visible].value_counts()
    colours = styles.categories(values, session.dark)
    return [Entry(name, colour, int(counts.get(name, 0))) for name, colour in colours.items() if counts.get(name, 0)]


def scale(session: Session) -> tuple[np.ndarray, tuple[str, str, str]] | None:
    """Return the colours (n × rgba) and the words at the low end, the middle and the high end, where the units are coloured by a number."""
    if session.recording is None:
        return None
    along = np.linspace(0, 1, 33)
    if session.colour_by == "depth":
        depths = styles.depths(session.recording.units)
        if not np.isfinite(depths).any():
            return None
        low, high = styles.limits_of(depths)
        colours = styles.ramp(low + along * (high - low), (low, high), session.dark)
        return colours, (f"{low:,.0f} µm from the tip", "", f"{high:,.0f} µm")
    if session.colour_by == "firing now":
        colours = styles.firing(styles.MOST_SPIKES * along, session.dark)
        return colours, ("0 spikes now", "", f"{styles.MOST_SPIKES} or more")
    if session.colour_by == "contribution":
        if session.contribution is None or not np.isfinite(session.contribution).any():
            return None
        most = styles.largest(session.contribution)
        return styles.signed(2 * along - 1, 1.0, session.dark), (f"−{most:.2g} against", "0", f"+{most:.2g} for")
    return None


def missing(session: Session) -> str:
    """Say how many units have no value in what they are coloured by, and what is shown."""
    if session.recording is None:
        return ""
    if session.colour_by == "contribution":
        if session.contribution is None:
            return "Nothing has been attributed to units yet."
        unknown = int((~np.isfinite(session.contribution)).sum())
        words = f"Contribution to {session.contribution_of}." if session.contribution_of else ""
        return words + (f" Grey: {unknown:,} units of which it is not known." if unknown else "")
    if session.colour_by == "depth":
        unknown = int((~np.isfinite(styles.depths(session.recording.units))).sum())
        return f"Grey: {unknown:,} units whose depth is not known." if unknown else ""
    column = styles.COLUMNS.get(session.colour_by)
    if column is not None and column not in session.recording.units:
        return f"This recording does not say the {session.colour_by} of its units."
    return ""


class Legend(parts.Listener):
    """Below the choice of colours; clicking a category selects its units. Regions have a list of their own, so that they are left out here."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        layout = parts.column(self, margin=0, spacing=1)
        self.scale = parts.Scale()
        self.scale.setAccessibleName("What the colours of the units mean")
        self.holder = QWidget()
        self.rows = parts.column(self.holder, margin=0, spacing=1)
        self.more = parts.text(quiet=True, points=8.5)
        for widget in (self.scale, self.holder, self.more):
            layout.addWidget(widget)
        self._shown: list[Entry] = []
        events = session.events
        self.listen(
            self._show, events.colour_by, events.recording, events.contribution, events.dark, events.only_good, session.units_described
        )  # fmt: skip

    def _show(self) -> None:
        session = self.session
        found = [] if session.colour_by == "region" else entries(session)
        if found != self._shown:
            parts.clear(self.rows)
            self._shown = found
            for entry in found[:MOST_ROWS]:
                self.rows.addWidget(self._row(entry))
        self.holder.setVisible(bool(found))
        coloured = scale(session)
        self.scale.setVisible(coloured is not None)
        words = missing(session)
        if coloured is not None:
            self.scale.set(coloured[0], tuple(zip((0.0, 0.5, 1.0), coloured[1], strict=True)))
        if len(found) > MOST_ROWS:
            words = f"and {len(found) - MOST_ROWS} more. {words}".strip()
        self.more.setText(words)
        self.more.setVisible(bool(words))

    def _row(self, entry: Entry) -> parts.Bar:
        name = entry.name if entry.name not in styles.NO_REGION else "not known"
        bar = parts.Bar(name, 0.0, f"{entry.count:,}", entry.colour, swatch=True)
        bar.setCheckable(False)
        bar.setToolTip(f"Click: select the {entry.count:,} units")
        bar.clicked.connect(partial(self._select, entry.name))
        return bar

    def _select(self, name: str, *_: object) -> None:
        session = self.session
        column = styles.COLUMNS[session.colour_by]
        units = session.recording.units
        of = (units[column].astype(str) == name).to_numpy() & session.visible
        session.select(list(units.index[of]), session.select_mode)
