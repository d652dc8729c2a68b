"""The units table in the window, linked both ways with the session's selection."""

from typing import Any, cast

import numpy as np
from qtpy.QtCore import QItemSelection, QItemSelectionModel, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QApplication, QFileDialog, QHeaderView, QLineEdit, QTableView

from . import parts
from .state import Session
from .units_model import UnitsModel, UnitsProxy

ROW_PX = 22


class UnitsTable(parts.Listener):
    """A box for free text, the table, and how many rows it shows."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        layout = parts.column(self, margin=0)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find region, layer, cell type, unit …")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip(
            "Show only units that hold these words; parents of a region count, so that VIS finds VISp"
        )
        self.shown = parts.text(quiet=True, points=8.5, wrap=False)
        layout.addWidget(self.search)
        self.model = UnitsModel(self)
        self.proxy = UnitsProxy(self.model)
        self.view = cast(Any, QTableView())  # only a type checker thinks that it may lack headers
        self.view.setModel(self.proxy)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setAlternatingRowColors(True)
        self.view.setShowGrid(False)
        self.view.setWordWrap(False)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setMinimumHeight(150)
        rows = self.view.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(ROW_PX)
        parts.named(self.view, "Table of units")
        parts.named(self.search, "Find units")
        layout.addWidget(self.view, 1)
        layout.addWidget(
            parts.row(
                self.shown, 1, parts.button("Save table…", self._save, "Write the rows shown, with all columns, as CSV")
            )
        )
        self._busy = False
        self._late = False
        self._units: Any = None
        self.search.textChanged.connect(self._find)
        self.view.selectionModel().selectionChanged.connect(self._on_selected)
        events = session.events
        self.listen(self._show_units, session.scene_changed, session.units_described, events.recording)
        self.listen(self._show_good, events.only_good)
        self.listen(self._show_selection, events.selected)
        self.listen(self._show_theme, events.dark)

    # -- from the session ------------------------------------------------------------------------------------------------------------
    def _show_units(self) -> None:
        session = self.session
        units = None if session.recording is None else session.recording.units
        if units is self._units:
            return
        self._units, self._busy = units, True
        self.model.show(units, session.unit_ids, session.passing)
        self._busy = False
        self._fit_columns()
        self._refresh()

    def _show_theme(self) -> None:
        back, other, chosen = (
            ("#20252c", "#262c34", "#2d5876") if self.session.dark else ("#ffffff", "#f1f4f7", "#2b6e9c")
        )
        self.view.setStyleSheet(
            f"QTableView {{ background: {back}; alternate-background-color: {other}; border: none; }}"
            f"QTableView::item:selected {{ background: {chosen}; color: #ffffff; }}"
            "QTableView::item { padding: 0px 7px 0px 4px; }"
            "QHeaderView::section { padding: 3px 5px; font-weight: bold; }"
        )
        self.model.show_theme(self.session.dark)

    def _fit_columns(self) -> None:
        # by the header and a screenful of rows: looking at thousands of them takes long
        header = self.view.horizontalHeader()
        header.setResizeContentsPrecision(60)
        self.view.resizeColumnsToContents()
        for section in range(self.model.columnCount()):
            header.resizeSection(section, min(header.sectionSize(section) + 8, 140))

    def _find(self, text: str) -> None:
        self._busy = True
        self.proxy.find(text)
        self._busy = False
        self._refresh()

    def _show_good(self) -> None:
        self._busy = True
        self.proxy.show_only_good(self.session.only_good)
        self._busy = False
        self._refresh()

    def _refresh(self) -> None:
        n, n_all = self.proxy.rowCount(), self.model.rowCount()
        self.shown.setText(f"{n:,} of {n_all:,} units" if n_all else "")
        self._show_selection()

    def _show_selection(self) -> None:
        """Mark the rows of the selected units and bring one of them into view."""
        if self._busy:
            return
        if not self.view.isVisible():
            # thousands of rows take long to mark; they are when the table is looked at
            self._late = True
            return
        self._late = False
        rows = self._proxy_rows(self.session.selected)
        now = {index.row() for index in self.view.selectionModel().selectedRows()}
        if now == set(rows.tolist()):
            return
        last = self.proxy.columnCount() - 1
        marked = QItemSelection()
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else ():
            marked.append(_range(self.proxy.index(int(run[0]), 0), self.proxy.index(int(run[-1]), last)))
        self._busy = True
        self.view.selectionModel().select(marked, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._busy = False
        if len(rows):
            top, bottom = self.view.rowAt(0), self.view.rowAt(self.view.viewport().height() - 1)
            bottom = self.proxy.rowCount() - 1 if bottom < 0 else bottom
            if not ((rows >= top) & (rows <= bottom)).any():
                self.view.scrollTo(self.proxy.index(int(rows[0]), 0), QAbstractItemView.ScrollHint.PositionAtCenter)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Mark what was selected while the table was hidden."""
        super().showEvent(event)
        if self._late:
            QTimer.singleShot(0, self._show_selection)

    def _proxy_rows(self, units: tuple[Any, ...]) -> np.ndarray:
        """Return the rows in which units stand now, ascending; those that are hidden are left out."""
        if not units:
            return np.zeros(0, int)
        chosen = set(units)
        rows = [
            self.proxy.mapFromSource(self.model.index(row, 0)).row()
            for row, unit in enumerate(self.model.ids)
            if unit in chosen and self.proxy.accepted[row]
        ]
        return np.sort(np.array(rows, int))

    # -- from the mouse and the keyboard ---------------------------------------------------------------------------------------------
    def _on_selected(self) -> None:
        if self._busy:
            return
        ids = self.model.ids
        rows = [self.proxy.mapToSource(index).row() for index in self.view.selectionModel().selectedRows()]
        units = [ids[row] for row in rows]
        held = QApplication.keyboardModifiers()
        if held & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier):
            # what the free text hides stays selected
            chosen = set(self.session.selected)
            units += [u for u, shown in zip(ids, self.proxy.accepted, strict=True) if u in chosen and not shown]
        self._busy = True
        self.session.select(units)
        self._busy = False

    def _save(self) -> None:
        if self.session.recording is None:
            self.session.fail("Open a recording before saving its table.")
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save the units table", "units.csv", "Table (*.csv)")
        if path:
            try:
                self.save(path)
            except OSError as error:
                self.session.fail(f"The table could not be written to {path}: {error.strerror or error}.")

    def save(self, path: str) -> None:
        """Write the units that are shown, in the order in which they stand, with all columns of the recording, as CSV."""
        from ..writing import write_text

        order = [self.proxy.mapToSource(self.proxy.index(row, 0)).row() for row in range(self.proxy.rowCount())]
        write_text(path, self.session.recording.units.iloc[order].to_csv())


def _range(first: Any, last: Any) -> Any:
    from qtpy.QtCore import QItemSelectionRange

    return QItemSelectionRange(first, last)
