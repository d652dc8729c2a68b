"""The Compare panel: groups side by side at one moment."""

from html import escape

import numpy as np
from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QProgressBar, QWidget

from . import layer_styles as styles
from . import parts
from .asking import unit_words
from .comparing import candidates, difference_map, only_in
from .findings import Compared, PairDifference
from .side_panels import place_beside
from .state import PATCHES
from .workspace import Workspace

ROW_PX, MOST_ROWS = 20, 6
HINT = (
    "What do groups of units say of the same frame? Tick two or more: the selection, saved groups, regions, cell types."
)


def pair_words(pair: PairDifference, compared: Compared) -> str:
    """Say whether two groups differ by more than random ones; where one is part of the other, there is nothing to divide anew."""
    pairs, groups = len(compared.pairs), compared.groups
    for part, whole in ((pair.first, pair.second), (pair.second, pair.first)):
        if set(groups[part]) <= set(groups[whole]):
            return f"<b>{escape(part)}</b> is part of <b>{escape(whole)}</b>: distance {pair.distance:.3g}, and no random groups to hold it against."
    more = "differ by more than" if pair.p <= 0.05 else "do not differ by clearly more than"
    adjusted = f", for all {pairs} pairs" if pairs > 1 else ""
    return (
        f"<b>{escape(pair.first)}</b> and <b>{escape(pair.second)}</b> {more} random groups of the same sizes: distance {pair.distance:.3g}, random {float(np.mean(pair.random)):.3g}, "
        f"p = {pair.p:.3f}{adjusted}, n = {len(pair.random)} draws."
    )


class ComparePanel(parts.Listener):
    """Shows ``session.compared``."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        layout = parts.column(parts.scrolled(self))
        self.hint = parts.text(HINT, quiet=True)
        layout.addWidget(self.hint)
        self.groups = QListWidget()
        parts.named(self.groups, "Groups to compare")
        self.groups.setUniformItemSizes(True)
        layout.addWidget(self.groups)
        self.go = parts.button("Compare", self._compare, "Narrate the ticked groups at this frame, and compare them")
        self.clear = parts.button("Clear", self._clear, "Forget the comparison")
        layout.addWidget(parts.row(self.go, self.clear, 1))
        self.note = parts.text(quiet=True, points=8.5)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        parts.named(self.progress, "Progress of comparing")
        self.holder = QWidget()
        self.said = parts.column(self.holder, margin=0, spacing=3)
        self.pairs = parts.text()
        self.pairs.setTextFormat(Qt.TextFormat.RichText)
        for widget in (self.note, self.progress, self.holder, self.pairs):
            layout.addWidget(widget)
        self.on_frame = QWidget()
        inside = parts.column(self.on_frame, margin=0)
        inside.addWidget(parts.heading("Difference on the frame"))
        self.pair, self.what = QComboBox(), QComboBox()
        parts.named(self.pair, "Pair of groups on the frame")
        parts.named(self.what, "What of theirs is compared on the frame")
        for box in (self.pair, self.what):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
            box.activated.connect(lambda _: self._choose())
        # under each other: names of groups are long
        inside.addWidget(self.pair)
        inside.addWidget(self.what)
        self.scale = parts.Scale()
        self.scale.setAccessibleName("What the colours of the difference mean")
        inside.addWidget(self.scale)
        layout.addWidget(self.on_frame)
        self.limits = parts.text(
            "It is one moment: a few spikes of each group. Groups of more units say more, so that their match is no measure of a unit's worth.",
            quiet=True,
            points=8.5,
        )
        layout.addWidget(self.limits)
        layout.addStretch(1)
        events = self.session.events
        self.listen(self._show_groups, events.groups, events.selected, events.recording, self.session.units_described)
        self.listen(self._show, events.compared, workspace.player.followed, events.repeat, events.labels)
        self.listen(self._show_scale, events.difference, events.compared)

    # -- doing -----------------------------------------------------------------------------------------------------------------------
    def ticked(self) -> list[str]:
        """Return the names of the groups that are ticked."""
        items = [self.groups.item(row) for row in range(self.groups.count())]
        return [i.data(Qt.ItemDataRole.UserRole) for i in items if i is not None and i.checkState() == Qt.CheckState.Checked]  # fmt: skip

    def _compare(self) -> None:
        self.workspace.comparing.compare(self.ticked())

    def _clear(self) -> None:
        self.session.compared = None

    def _choose(self) -> None:
        pair, what = self.pair.currentData(), self.what.currentData()
        self.session.difference = None if pair is None or what is None else (*pair, what)

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_groups(self) -> None:
        found, ticked = candidates(self.session), set(self.ticked())
        shown = [(name, len(units)) for name, units in found.items()]
        if getattr(self, "_listed", None) == shown:
            return
        self._listed = shown
        self.groups.clear()
        for name, n in shown:
            item = QListWidgetItem(f"{name}   ({unit_words(n)})")
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            item.setCheckState(Qt.CheckState.Checked if name in ticked else Qt.CheckState.Unchecked)
            item.setSizeHint(QSize(0, ROW_PX))
            self.groups.addItem(item)
        # whole rows: half a name looks like a fault
        self.groups.setFixedHeight(ROW_PX * min(MOST_ROWS, max(1, len(shown))) + 2 * self.groups.frameWidth() + 2)

    def _show(self) -> None:
        session, compared = self.session, self.session.compared
        there = compared is not None
        for widget in (self.holder, self.pairs, self.note, self.limits):
            widget.setVisible(there)
        self.clear.setEnabled(there)
        self.hint.setVisible(not there)
        self.progress.setVisible(compared is not None and bool(compared.stage))
        parts.clear(self.said)
        self._show_choices(compared)
        if compared is None:
            return
        here = (compared.frame, compared.repeat) == (session.frame, session.repeat)
        moment = f"At frame {compared.frame + 1}, showing {compared.repeat + 1}"
        after = f": {compared.stage.lower()} …" if compared.stage else "." if here else ", which is not the moment on screen."  # fmt: skip
        self.note.setText(compared.problem or moment + after)
        self.progress.setRange(0, compared.total)
        self.progress.setValue(compared.done)
        self._fill(compared)
        self.pairs.setText("<br>".join(pair_words(pair, compared) for pair in compared.pairs))
        self.pairs.setVisible(bool(compared.pairs))

    def _fill(self, compared: Compared) -> None:
        spoken = {name: result.text.strip() for name, result in compared.said.items() if result.spoken}
        concepts = {name: [c.name for c in result.concepts] for name, result in compared.said.items()}
        for name, units in compared.groups.items():
            self.said.addWidget(parts.text(f"{name} · {unit_words(len(units))}", bold=True))
            result = compared.said.get(name)
            sentence = parts.text(result.text.strip() if result is not None and result.text else "…", points=12)
            parts.grey(sentence, result is not None and result.greyed)
            self.said.addWidget(sentence)
            if result is None:
                continue
            trust = []
            if result.evidence is not None:
                trust.append(result.evidence.verdict if result.held_out or result.greyed else "Not a test: the decoder was fitted on this showing")  # fmt: skip
                if "p =" not in trust[0]:
                    trust.append(f"p = {result.evidence.p:.3f}")
            elif result.problem:
                trust.append(result.problem)
            if result.mean_cosine is not None:
                trust.append(f"match {result.mean_cosine:.2f}")
            if trust:
                self.said.addWidget(parts.text(" · ".join(trust), quiet=True, points=8.5))
            if len(spoken) == len(compared.groups):
                own = only_in(name, spoken)
                others = {concept for other, listed in concepts.items() if other != name for concept in listed}
                mine = [self.session.called(concept) for concept in concepts[name] if concept not in others]
                words = [f"Only here – words: {', '.join(own)}" if own else "", f"concepts: {', '.join(mine)}" if mine else ""]  # fmt: skip
                said = "; ".join(part for part in words if part)
                if said:
                    self.said.addWidget(parts.text(said if own else f"Only here – {said}", quiet=True))

    def _show_choices(self, compared: Compared | None) -> None:
        names = (
            [] if compared is None else [name for name, result in compared.said.items() if result.cosine is not None]
        )
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        self.on_frame.setVisible(bool(pairs))
        if compared is None or not pairs:
            return
        pair = self.pair.currentData() if self.pair.currentData() in pairs else pairs[0]
        shared = [
            c.name
            for c in compared.said[pair[0]].concepts
            if difference_map(compared, pair[0], pair[1], c.name) is not None
        ]
        whats = [
            ("nothing", None),
            ("match with the true frame", PATCHES),
            *((self.session.called(c), c) for c in shared),
        ]
        what = self.what.currentData()
        with QSignalBlocker(self.pair), QSignalBlocker(self.what):
            self.pair.clear()
            for a, b in pairs:
                self.pair.addItem(f"{a} less {b}", (a, b))
            self.pair.setCurrentIndex(pairs.index(pair))
            self.what.clear()
            for words, data in whats:
                self.what.addItem(words, data)
            self.what.setCurrentIndex(
                max(0, [data for _, data in whats].index(what) if what in [d for _, d in whats] else 0)
            )

    def _show_scale(self) -> None:
        session = self.session
        compared, chosen = session.compared, session.difference
        values = None if compared is None or chosen is None else difference_map(compared, *chosen)
        self.scale.setVisible(values is not None)
        if values is None or chosen is None:
            return
        most = styles.largest(values.ravel())
        self.scale.set(styles.diverging(), ((0.0, f"more in {chosen[1]} −{most:.2g}"), (0.5, "0"), (1.0, f"+{most:.2g} more in {chosen[0]}")))  # fmt: skip


def show_comparing(workspace: Workspace, front: bool = True) -> None:
    """Put the panel beside Narrate."""
    place_beside(workspace, "Compare", ComparePanel, front)
