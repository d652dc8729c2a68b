"""The Narrate dock: go, stop, the sentence, and beside it what tells how far to trust it."""

from collections import Counter
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QLineEdit, QProgressBar, QSizePolicy, QSpinBox, QWidget

from ..evaluation.evidence import ALPHA, EvidenceTable
from . import parts
from .backend_light import BackendLight
from .export_button import ExportButton
from .findings import Result
from .fit_dialog import FitDialog
from .sentence_label import SentenceLabel
from .workspace import Workspace

SEEN = "The decoder was fitted on this showing, so that a match proves nothing."


def who(session: Any) -> str:
    """Say in a line which units are selected."""
    if session.recording is None:
        return "Open a recording to begin."
    if not session.selected:
        return "No units selected. Draw a lasso round some."
    n = len(session.selected)
    units = session.recording.units
    words = f"{n} unit{'s' if n != 1 else ''}"
    if "region" in units:
        counts = session.count_by("region", session.rows(session.selected))
        found = Counter({name: count for name, count in counts.items() if count}).most_common()
        listed = ", ".join(f"{name} {count}" for name, count in found[:4])
        words += f": {listed}" + (f" and {len(found) - 4} more regions" if len(found) > 4 else "")
    return words


def score_words(metrics: dict[str, float]) -> str:
    """Say in a few words how well a decoder did on showings it had not seen."""
    words = []
    if "patch_cosine" in metrics:
        words.append(f"held-out match {metrics['patch_cosine']:.2f}")
        if "prior_cosine" in metrics:
            words[-1] += f" (knowing nothing {metrics['prior_cosine']:.2f})"
    if "frame_accuracy" in metrics:
        words.append(f"names the frame in {metrics['frame_accuracy']:.0%}")
        if "chance" in metrics:
            words[-1] += f" (chance {metrics['chance']:.1%})"
    return "; ".join(words)


class NarrateDock(parts.Listener):
    """Which units, which decoder, go and stop, the sentence and its evidence."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self._shown_result: Result | None = None
        self.workspace = workspace
        session = self.session
        layout = parts.column(parts.scrolled(self))

        self.who = parts.text(bold=True)
        layout.addWidget(self.who)
        self.decoder = parts.text()
        self.score = parts.text(quiet=True, points=8.5)
        self.choose = parts.button("Choose…", self._choose, "Use the decoder in a folder")
        self.fit = parts.button(
            "Fit decoder…", self._fit, "Learn from this recording how units say what is on the frame"
        )
        layout.addWidget(parts.heading("Decoder"))
        layout.addWidget(self.decoder)
        layout.addWidget(self.score)
        self.light = BackendLight(workspace.link, session)
        layout.addWidget(parts.row(self.choose, self.fit, 1, self.light))

        self.repeat = QSpinBox()
        self.repeat.setMinimum(1)
        self.repeat.setMinimumWidth(140)
        self.repeat.setToolTip("Which showing of this frame the spikes are taken from")
        self.repeat.valueChanged.connect(self._on_repeat)
        self.held_out = parts.text(wrap=False)
        layout.addWidget(parts.row(parts.text("Showing", wrap=False), self.repeat, 1))
        # below, for beside it there is no room in a narrow dock
        layout.addWidget(parts.row(self.held_out, 1))
        self.prompt = QLineEdit()
        parts.named(self.prompt, "Prompt")
        parts.named(self.repeat, "Showing")
        self.prompt.setPlaceholderText("Ask in your own words (empty: the usual prompt)")
        self.prompt.editingFinished.connect(self._on_prompt)
        layout.addWidget(self.prompt)
        self.go = parts.button(
            "Narrate", workspace.narrator.narrate, "Say what the selected units saw at this frame", primary=True
        )
        self.stop = parts.button("Stop", self._stop, "Stop what runs")
        self.live = QCheckBox("live")
        parts.named(self.live, "Narrate live")
        self.live.setToolTip("Narrate by itself as the selection or the slider changes")
        self.live.toggled.connect(self._on_live)
        self.go.setMinimumWidth(110)
        self.stage = parts.text(quiet=True, points=8.5)
        self.go.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.stage.setMinimumWidth(80)
        layout.addWidget(parts.row(self.go, self.stop, self.live, self.stage))
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        parts.named(self.progress, "Progress")
        self.progress.setFixedHeight(6)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        layout.addWidget(self.progress)

        layout.addWidget(parts.line())
        self.asked = parts.text(quiet=True)
        self.sentence = SentenceLabel()
        self.sentence.word_clicked.connect(self._on_word)
        self.sentence.setStyleSheet("QLabel { font-size: 15pt; padding: 2px 0px 2px 0px; }")
        layout.addWidget(self.asked)
        layout.addWidget(self.sentence)

        self.evidence = QWidget()
        grid = QGridLayout(self.evidence)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(5)
        grid.setHorizontalSpacing(10)
        grid.setColumnStretch(1, 1)
        self.reference, self.prior = parts.text(), parts.text()
        for i, (words, tip, label) in enumerate(
            (
                (
                    "True frame",
                    "What the same language model says of the frame itself: the best these units could do",
                    self.reference,
                ),
                ("Of nothing", "What it says of the average frame: what knowing nothing sounds like", self.prior),
            )
        ):
            name = parts.text(words, quiet=True, wrap=False)
            name.setToolTip(tip)
            label.setToolTip(tip)
            grid.addWidget(name, i, 0)
            grid.addWidget(label, i, 1)
        layout.addWidget(parts.heading("How far to trust it"))
        self.verdict = parts.text(wrap=False)
        self.because = parts.text()
        for label in (self.verdict, self.because):
            label.setToolTip(
                "What was decoded is held against the frames that were shown. The neighbours of this frame in the film are among them and look much like it, so a "
                "few per cent is a good match. Units that know nothing of the film get 5 % or less in one sentence of twenty."
            )
        layout.addWidget(parts.row(self.verdict, 1))
        layout.addWidget(self.because)
        layout.addWidget(self.evidence)
        self.match = parts.Bar("These units", 0, "", parts.ACCENT)
        self.chance = parts.Bar("Knowing nothing", 0, "", "#9aa3ae")
        for bar in (self.match, self.chance):
            bar.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            bar.setCheckable(False)
        self.match_title = parts.text("Match of decoded and true patches (cosine)", quiet=True, points=8.5)
        layout.addWidget(self.match_title)
        layout.addWidget(self.match)
        layout.addWidget(self.chance)
        self.so_far = parts.text(quiet=True, points=8.5)
        layout.addWidget(self.so_far)
        self.export = ExportButton(workspace)
        layout.addWidget(parts.row(self.export, 1))
        self.status = parts.text(quiet=True, points=8.5)
        layout.addWidget(self.status)
        layout.addStretch(1)

        events = session.events
        self.listen(self._show_who, events.selected, session.scene_changed)
        self.listen(self._show_decoder, events.decoder, session.scene_changed)
        self.listen(self._show_repeat, events.repeat, events.decoder, session.scene_changed)
        self.listen(self._show_job, events.job, events.selected, events.decoder)
        self.listen(self._show_result, events.result, events.spoken, events.playing)
        self.listen(lambda: self.live.setChecked(session.live), events.live)
        self.listen(lambda: self.status.setText(session.status), events.status)

    def let_go(self) -> None:
        """Disconnect from the session, and ask no more how the backend is."""
        super().let_go()
        self.light.let_go()

    # -- doing -----------------------------------------------------------------------------------------------------------------------
    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of a fitted decoder")
        if folder:
            self.workspace.decoders.choose(folder)

    def _fit(self) -> None:
        session = self.session
        if session.recording is None or session.stimulus is None:
            session.fail("Open a recording and a stimulus with frames before fitting a decoder.")
            return
        dialog = FitDialog(session, self)
        if dialog.exec():
            self.workspace.decoders.fit(dialog.config(), dialog.out())

    def _stop(self) -> None:
        self.workspace.narrator.stop()
        self.workspace.decoders.stop()

    def _on_word(self, place: int) -> None:
        # of the sentence that is on screen only, and not while it is still being said
        if self.told is self.session.result and self.told is not None and self.told.spoken:
            self.workspace.who_said_word(place)

    def _on_repeat(self, value: int) -> None:
        self.session.repeat = value - 1

    def _on_prompt(self) -> None:
        self.session.prompt = self.prompt.text().strip()

    def _on_live(self, on: bool) -> None:
        self.session.live = on

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_who(self) -> None:
        self.who.setText(who(self.session))

    def _show_decoder(self) -> None:
        info = self.session.decoder
        if info is None:
            self.decoder.setText("None yet. Fit one on this recording, or choose a folder.")
            self.score.setText("")
        else:
            self.decoder.setText(f"{info.stimulus}, {len(info.unit_ids)} units, profile {info.profile}")
            self.decoder.setToolTip(self.session.decoder_folder)
            self.score.setText(score_words(info.metrics))
            self.score.setToolTip(EvidenceTable.model_validate(info.evidence).in_words() if info.evidence else "")
        self.score.setVisible(bool(self.score.text()))

    def _show_repeat(self) -> None:
        session = self.session
        n = 1 if session.moments is None else max(1, session.moments.n_repeats)
        self.repeat.blockSignals(True)
        self.repeat.setMaximum(n)
        self.repeat.setValue(session.repeat + 1)
        self.repeat.blockSignals(False)
        self.repeat.setSuffix(f" of {n}")
        held_out = session.held_out
        if held_out is None:
            parts.badge(self.held_out, "", "plain")
        elif held_out:
            parts.badge(self.held_out, "held out from fitting", "good")
        else:
            parts.badge(self.held_out, "seen in fitting", "warn")
        self.held_out.setToolTip(
            "Words for a showing that the decoder learned from prove nothing; choose one that was held out."
        )

    def _show_job(self) -> None:
        session, job = self.session, self.session.job
        self.go.setEnabled(job.kind in {"idle", "narrating"} and session.recording is not None)
        self.stop.setEnabled(job.kind in {"narrating", "fitting"})
        self.fit.setEnabled(not job.busy)
        self.choose.setEnabled(not job.busy)
        self.progress.setVisible(job.busy)
        self.progress.setRange(0, job.total)
        self.progress.setValue(job.done)
        words = " · ".join(part for part in (job.stage, job.detail) if part)
        self.stage.setText(words + (f" {100 * job.done // job.total} %" if job.total else ""))
        self.stage.setToolTip(words)
        self.asked_note()

    @property
    def told(self) -> Result | None:
        """What is shown here: of this moment, or while the film plays of the moment whose sentence is on the frame."""
        session = self.session
        return session.spoken if session.playing and session.spoken is not None else session.result

    def asked_note(self) -> None:
        """Say which moment the sentence is of."""
        result = self.told
        if result is None:
            self.asked.setText("The sentence appears here and on the frame.")
            return
        words = f"What {result.n_units} unit{'s' if result.n_units != 1 else ''} said at frame {result.frame + 1}, showing {result.repeat + 1}:"
        if result.n_unknown:
            words += f" ({result.n_unknown} selected units are unknown to the decoder and were left out)"
        if result.in_part and self.session.job.kind != "narrating":
            words = f"Of frame {result.frame + 1}, maps and evidence were worked out, and no sentence. Press Narrate for it."
        self.asked.setText(words)

    def _show_result(self) -> None:
        result, playing = self.told, self.session.playing
        if playing and result is self._shown_result:
            # while the film plays, results come more often than sentences
            return
        self._shown_result = result if playing else None
        self.asked_note()
        if result is None:
            for label in (self.sentence, self.reference, self.prior):
                label.setText("")
            self._show_match(None, None)
            self._show_evidence(None)
            return
        busy = self.session.job.kind == "narrating" and not result.spoken
        self.sentence.setText(result.text.strip() + (" ▍" if busy else ""))
        self.sentence.setToolTip("Click a word: which units say it?" if result.spoken else "")
        waits = "…" if not result.finished and (self.session.job.kind == "narrating" or self.session.ahead.busy) else ""
        self.reference.setText(result.reference or waits)
        self.prior.setText(result.prior or waits)
        self._show_match(result.mean_cosine, result.prior_cosine)
        self._show_evidence(result)

    def _show_evidence(self, result: Result | None) -> None:
        """Say whether the sentence is more than chance, and grey it where it is not."""
        evidence = None if result is None else result.evidence
        parts.grey(self.sentence, result is not None and result.greyed)
        if evidence is None or result is None:
            parts.badge(self.verdict, "", "plain")
            self.because.setText("" if result is None else result.problem)
        else:
            kind = "warn" if not (result.held_out or evidence.greyed) else "good" if evidence.better else "plain"
            tested = result.held_out or evidence.greyed
            parts.badge(self.verdict, evidence.verdict if tested else "Not a test", kind)
            because = evidence.because[0].upper() + evidence.because[1:]
            self.because.setText(because if result.held_out else f"{SEEN} {because}")
        self.because.setVisible(bool(self.because.text()))
        n, better = self.session.tested_so_far()
        self.so_far.setText(
            f"So far, at showings that were held out, {better} of {n} sentences of these units are more than chance; luck alone would bring about {ALPHA * n:.1f}."
            if n > 1
            else ""
        )
        self.so_far.setVisible(n > 1)

    def _show_match(self, cosine: float | None, prior: float | None) -> None:
        for bar, value in ((self.match, cosine), (self.chance, prior)):
            bar.share = 0.0 if value is None else value
            bar.number = "" if value is None else f"{value:.2f}"
            bar.update()


def narrate_dock(viewer: Any) -> NarrateDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = NarrateDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
