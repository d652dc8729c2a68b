"""The Ask back panel: who says a patch, a concept, a word; what to do with the answer, and what not to claim."""

from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QProgressBar, QWidget

from . import layer_styles as styles
from . import parts
from .asking import unit_words
from .findings import AskedBack, Lost
from .sentence_label import words_in
from .side_panels import place_beside
from .workspace import Workspace

LISTED = 8
HINT = (
    "Which units say it? Ask for a place on the frame, for a word of the sentence (click it in Narrate) or for a concept (in its menu ⋯). The units that are selected "
    "are asked; without a selection, all of them."
)


def share_words(asked: AskedBack) -> str:
    """Say how few units make up 80 % of the answer."""
    n, of = len(asked.explained), len(asked.units)
    if not n:
        return f"None of the {unit_words(of)} moved it."
    return f"{n:,} of {unit_words(of)} ({100 * n / of:.0f} %) make up 80 % of it; they are ringed."


def limits_words(asked: AskedBack, by_chance: bool) -> str:
    """Say what the answer does not show."""
    said = []
    if by_chance:
        said.append("The sentence of this moment is no better than chance, so who said it means little.")
    if asked.method == "leave-out":
        said.append("Each unit was left out in turn: what several say together shows in none of them.")
    elif abs(asked.remainder) > 0.1 * max(abs(asked.value), 1e-9):
        said.append(
            f"Contributions leave {100 * abs(asked.remainder) / max(abs(asked.value), 1e-9):.0f} % of it unexplained."
        )
    if asked.by_field:
        said.append("Weighed by how much each unit looks there, as far as its answers to the film tell.")
    if asked.kind == "word":
        said.append("The word is the language model’s; these units moved what was decoded to where it says so.")
    said.append("It is how this decoder used a few spikes at one moment, not what these cells cause.")
    return " ".join(said)


def loss_words(lost: Lost, patches: int | None) -> str:
    """Say what is lost without the units, and whether it is more than without as many random ones."""
    where = "the whole frame" if patches is None else "this patch" if patches == 1 else "these patches"
    random = float(np.mean(lost.random)) if len(lost.random) else 0.0
    before, after = f"{lost.whole:.3f}", f"{lost.rest:.3f}"
    change = (
        f"stays at {before}"
        if before == after
        else f"{'falls' if lost.rest < lost.whole else 'rises'} from {before} to {after}"
    )
    more = "more than" if lost.p <= 0.05 else "not clearly more than"
    words = (
        f"Without them, the match on {where} {change}: a loss of {lost.lost:+.3f}, {more} without as many random units "
        f"({random:+.3f} on average, p = {lost.p:.3f}, n = {len(lost.random)}). They alone reach {lost.alone:.3f}."
    )
    return words


class AskPanel(parts.Listener):
    """Shows ``session.asked``."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        layout = parts.column(parts.scrolled(self))
        self.hint = parts.text(HINT, quiet=True)
        layout.addWidget(self.hint)
        self.on_frame = parts.toggle(
            "Ask on the frame", "Click a patch, drag a rectangle, or drag a lasso with Shift held; press again to stop"
        )
        self.on_frame.toggled.connect(self._on_mode)
        self.words = QComboBox()
        parts.named(self.words, "Word of the sentence")
        parts.named(self.words.view(), "Words of the sentence")
        self.words.setToolTip("Ask who says a word of the sentence; in Narrate it can be clicked")
        self.words.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.words.setMinimumContentsLength(9)
        self.words.activated.connect(self._on_word)
        layout.addWidget(parts.row(self.on_frame, self.words))
        layout.addWidget(parts.line())
        self.title = parts.text(bold=True)
        self.note = parts.text(quiet=True, points=8.5)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        parts.named(self.progress, "Progress of asking back")
        self.share = parts.text()
        self.bars_holder = QWidget()
        self.bars = parts.column(self.bars_holder, margin=0, spacing=2)
        for widget in (self.title, self.note, self.progress, self.share):
            layout.addWidget(widget)
        asking = workspace.asking
        self.group = parts.button("Make a group", asking.make_group, "Keep the units that make up 80 % as a group")
        self.without = parts.button("Without them", asking.without, "Decode without these units: what is lost?")
        self.clear = parts.button("Clear", asking.clear, "Colour the units as before")
        layout.addWidget(parts.row(self.group, self.without, self.clear))
        self.made = parts.text(quiet=True, points=8.5)
        self.lost = parts.text()
        self.others = parts.text()
        self.limits = parts.text(quiet=True, points=8.5)
        for label in (self.made, self.lost, self.others, self.limits):
            layout.addWidget(label)
        layout.addWidget(self.bars_holder)
        layout.addStretch(1)
        events = self.session.events
        self._rows_of: Any = None
        self.listen(
            self._show,
            events.asked,
            events.groups,
            workspace.player.followed,
            events.repeat,
            events.result,
            events.dark,
        )
        self.listen(self._show_mode, events.on_frame, events.geometry)
        self.listen(self._show_words, events.result)

    # -- doing -----------------------------------------------------------------------------------------------------------------------
    def _on_mode(self, on: bool) -> None:
        if on:
            self.session.on_frame = "ask"
        elif self.session.on_frame == "ask":
            self.session.on_frame = ""

    def _on_word(self, place: int) -> None:
        if place > 0:
            self.workspace.asking.ask_word(place - 1)

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_mode(self) -> None:
        with QSignalBlocker(self.on_frame):
            self.on_frame.setChecked(self.session.on_frame == "ask")
        self.on_frame.setEnabled(self.session.geometry is not None)

    def _show_words(self) -> None:
        result = self.session.result
        words = words_in(result.text.strip()) if result is not None and result.spoken else []
        shown = ["a word …" if words else "no sentence yet", *words]
        if [self.words.itemText(i) for i in range(self.words.count())] != shown:
            with QSignalBlocker(self.words):
                self.words.clear()
                self.words.addItems(shown)
        self.words.setEnabled(bool(words))

    def _show(self) -> None:
        session, asked = self.session, self.session.asked
        for widget in (
            self.title,
            self.note,
            self.share,
            self.bars_holder,
            self.limits,
            self.group,
            self.without,
            self.clear,
        ):
            widget.setVisible(asked is not None)  # fmt: skip
        busy = asked is not None and bool(asked.stage)
        self.progress.setVisible(busy)
        if asked is None:
            for label in (self.made, self.lost, self.others):
                label.setVisible(False)
            self._rows_of = None
            return
        self.progress.setRange(0, asked.total)
        self.progress.setValue(asked.done)
        here = (asked.frame, asked.repeat) == (session.frame, session.repeat)
        these = "these " if asked.what[0].isdigit() else ""
        self.title.setText(f"Who says {these}{asked.what}?")
        moment = f"At frame {asked.frame + 1}, showing {asked.repeat + 1}"
        stage = f": {asked.stage.lower()} …" if busy else "" if here else ", which is not the moment on screen."
        self.note.setText(asked.problem or moment + stage + ("." if here and not busy else ""))
        self.share.setText(share_words(asked) if asked.known else "")
        self.share.setVisible(asked.known)
        self.group.setEnabled(bool(asked.explained))
        self.without.setEnabled(bool(asked.explained) and not busy)
        by_chance = here and session.result is not None and session.result.greyed
        self.limits.setText(limits_words(asked, by_chance) if asked.known else "")
        self.limits.setVisible(asked.known)
        if self._rows_of is not asked.carried or asked.carried is None:
            self._fill(asked)
        name = next((name for name, units in session.groups.items() if units == asked.explained), "")
        self.made.setText(f"They are the group “{name}” in Recording." if name else "")
        self.made.setVisible(bool(name))
        lost = asked.lost
        self.lost.setVisible(lost is not None)
        self.others.setVisible(lost is not None and lost.text is not None)
        if lost is not None:
            self.lost.setText(loss_words(lost, None if asked.patches is None else len(asked.patches)))
            self.others.setText(f"The others say: “{lost.text}”" if lost.text else "The others say nothing.")

    def _fill(self, asked: AskedBack) -> None:
        """List the units that say most, for and against."""
        parts.clear(self.bars)
        self._rows_of = asked.carried
        self.bars_holder.setVisible(asked.known)
        if asked.carried is None:
            return
        order = np.argsort(-np.abs(asked.carried), kind="stable")[:LISTED]
        most = styles.largest(asked.carried)
        units = self.session.recording.units
        for row in order:
            value = float(asked.carried[row])
            if not value:
                continue
            unit = asked.units[row]
            region = str(units.at[unit, "region"]) if "region" in units else ""
            colour = styles.hex_of(styles.signed(np.array([value]), abs(value), self.session.dark)[0])
            bar = parts.Bar(f"unit {unit}  {region}".strip(), abs(value) / most, f"{value:+.3g}", colour)
            bar.setCheckable(False)
            bar.setToolTip(f"{asked.unit}; click: select this unit")
            bar.clicked.connect(lambda *_, unit=unit: self.session.select([unit]))
            self.bars.addWidget(bar)


def show_asking(workspace: Workspace, front: bool = True) -> None:
    """Put the panel beside Narrate."""
    place_beside(workspace, "Ask back", AskPanel, front)
