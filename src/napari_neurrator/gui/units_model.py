"""The units table as Qt sees it: one model over the recording's table, and a proxy that sorts and hides rows. Fast at thousands of units."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap

from . import layer_styles as styles

Index = QModelIndex
DOT_PX = 14
SORT_ROLE = Qt.ItemDataRole.UserRole
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class Column:
    """One column: which of the recording's it shows, what its header and tooltip say, and how a value is written (None: as text)."""

    name: str
    header: str
    tip: str
    write: Callable[[float], str] | None = None


COLUMNS = (
    Column("unit_id", "unit", "Name of the unit"),
    Column("region", "region", "Brain region; hover over a row for what it is part of"),
    Column("layer", "layer", "Layer of cortex"),
    Column("y_um", "y (µm)", "Place along the probe, µm from the tip", "{:,.0f}".format),
    Column("depth_um", "depth (µm)", "Depth below the surface of the brain, µm", "{:,.0f}".format),
    Column("cell_type", "cell type", "From the source's labels, or by the unit's answer to light (optotagging)"),
    Column("waveform_class", "waveform", "Narrow or broad spikes, by the time from trough to peak"),
    Column("firing_rate_hz", "rate (Hz)", "Mean firing rate, spikes a second", "{:.1f}".format),
    Column("passes_qc", "QC", "Whether the unit passes quality control"),
    Column("probe", "probe", "Probe that recorded the unit"),
    Column("session", "session", "Session of the unit, where several are pooled"),
    Column("animal", "animal", "Animal of the unit, where several sessions are pooled"),
)
_ALWAYS = ("unit_id", "region", "y_um", "firing_rate_hz", "probe")
_SEARCHED = ("region", "region_parents", "layer", "cell_type", "waveform_class", "probe", "session", "animal")


def columns_of(units: pd.DataFrame) -> list[Column]:
    """Return the columns worth showing of a recording: those that hold something."""
    shown = []
    for column in COLUMNS:
        if column.name == "unit_id":
            shown.append(column)
        elif column.name in units:
            values = units[column.name]
            empty = values.isna().all() if column.write else values.fillna("").astype(str).isin(("", "nan")).all()
            if not empty or column.name in _ALWAYS:
                shown.append(column)
    return shown


def searched_text(units: pd.DataFrame) -> np.ndarray:
    """Return for each unit all words that the free text is looked for in, in lower case."""
    text = pd.Series([str(unit) for unit in units.index], dtype=object)
    for name in _SEARCHED:
        if name in units:
            text = text + " \n" + units[name].fillna("").astype(str).reset_index(drop=True)
    return text.str.lower().to_numpy()


class UnitsModel(QAbstractTableModel):
    """Rows are units in the order of the recording; sorting is by ranks that are computed once a column."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.ids: tuple[Any, ...] = ()
        self.columns: list[Column] = []
        self.passing = np.zeros(0, bool)
        self.searched: np.ndarray = np.zeros(0, object)
        self.last_is_high = True
        self._cells: list[list[str]] = []
        self._ranks: list[np.ndarray] = []
        self._tips: list[str] = []
        self._colours: list[QIcon] = []
        self._units: pd.DataFrame = pd.DataFrame()
        self._dark = True

    def show_theme(self, dark: bool) -> None:
        """Take colours for a dark or a light window."""
        if dark == self._dark:
            return
        self._dark = dark
        self._colours = _swatches(self._units, dark)
        if len(self.ids) and self.columns:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.ids) - 1, len(self.columns) - 1))

    def show(self, units: pd.DataFrame | None, ids: tuple[Any, ...], passing: np.ndarray) -> None:
        """Show another table."""
        self.beginResetModel()
        self.ids, self.passing = ids, passing
        units = pd.DataFrame(index=pd.Index(ids)) if units is None else units
        self.columns = columns_of(units) if len(ids) else []
        self.searched = searched_text(units)
        self._cells, self._ranks = [], []
        for column in self.columns:
            cells, ranks = _written(units, column)
            self._cells.append(cells)
            self._ranks.append(ranks)
        self._units = units
        self._tips, self._colours = _tips(units), _swatches(units, self._dark)
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """Return the number of units."""
        return 0 if parent is not None and parent.isValid() else len(self.ids)

    def columnCount(self, parent: Index | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows, or what it is sorted by."""
        row, column = index.row(), index.column()
        if role == SORT_ROLE:
            rank = int(self._ranks[column][row])
            # what is not known comes last, whichever way it is sorted
            return rank if rank >= 0 else (len(self.ids) if self.last_is_high else -1)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._cells[column][row]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if self.columns[column].write else LEFT
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tips[row]
        if role == Qt.ItemDataRole.DecorationRole and self._colours and self.columns[column].name == "region":
            return self._colours[row]
        if role == Qt.ItemDataRole.ForegroundRole and not self.passing[row]:
            return QColor(styles.scene(self._dark).quiet)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the header of a column, with its unit."""
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(self.columns):
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section].header
            if role == Qt.ItemDataRole.ToolTipRole:
                return self.columns[section].tip
        return None


class UnitsProxy(QSortFilterProxyModel):
    """Sorts by rank and hides units that lack a word of the free text, or fail quality control while only good ones are shown."""

    def __init__(self, model: UnitsModel) -> None:
        super().__init__(model)
        self._model = model
        self._words: tuple[str, ...] = ()
        self._only_good = False
        self._accepted = np.zeros(0, bool)
        self.setSourceModel(model)
        self.setSortRole(SORT_ROLE)
        model.modelAboutToBeReset.connect(self._forget)
        model.modelReset.connect(self._refilter)

    def find(self, text: str) -> None:
        """Show only rows that hold every word of `text`."""
        self._words = tuple(text.lower().split())
        self._refilter()

    def show_only_good(self, on: bool) -> None:
        """Show only rows that pass quality control, or all."""
        self._only_good = on
        self._refilter()

    @property
    def accepted(self) -> np.ndarray:
        """Whether each unit's row is shown, (unit,)."""
        return self._accepted

    def filterAcceptsRow(self, row: int, _parent: Index) -> bool:
        """Tell whether a row is shown."""
        # while the model is being replaced, Qt may ask of rows that have not been looked at
        return row >= len(self._accepted) or bool(self._accepted[row])

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        self._model.last_is_high = order == Qt.SortOrder.AscendingOrder
        if order != self.sortOrder() and column == self.sortColumn():
            # Qt would only turn the rows round, and so put first what is not known
            super().sort(-1, order)
        super().sort(column, order)

    def _forget(self) -> None:
        self._accepted = np.zeros(0, bool)

    def _refilter(self) -> None:
        model = self._model
        keep = model.passing.copy() if self._only_good else np.ones(len(model.ids), bool)
        for word in self._words:
            keep &= np.fromiter((word in text for text in model.searched), bool, len(keep))
        self._accepted = keep
        self.invalidateFilter()


def _written(units: pd.DataFrame, column: Column) -> tuple[list[str], np.ndarray]:
    """Return the cells of a column as text, and the rank of each row; −1 where the value is not known."""
    if column.name == "unit_id":
        values = pd.Series(units.index)
        cells = [str(value) for value in values]
    elif column.write is not None:
        values = pd.to_numeric(units[column.name], errors="coerce").reset_index(drop=True)
        cells = ["" if np.isnan(value) else column.write(value) for value in values.to_numpy(float)]
    elif column.name == "passes_qc":
        values = units[column.name].astype(bool).reset_index(drop=True)
        cells = ["pass" if value else "fail" for value in values]
    else:
        values = units[column.name].fillna("").astype(str).reset_index(drop=True)
        cells = ["" if value == "nan" else value for value in values]
        values = values.where(~values.isin(("", "nan")), None)
    known = values.notna().to_numpy()
    ranks = np.full(len(values), -1)
    try:
        codes = np.unique(values[known].to_numpy(), return_inverse=True)[1]
    except TypeError:  # names of several kinds
        codes = np.unique(values[known].astype(str).to_numpy(), return_inverse=True)[1]
    ranks[known] = codes
    return cells, ranks


def _tips(units: pd.DataFrame) -> list[str]:
    parents = (
        units["region_parents"].fillna("").astype(str) if "region_parents" in units else pd.Series("", units.index)
    )
    source = (
        units["cell_type_source"].fillna("").astype(str) if "cell_type_source" in units else pd.Series("", units.index)
    )
    tips = []
    for unit, line, kind in zip(units.index, parents, source, strict=True):
        words = [f"unit {unit}"]
        if line:
            words.append(line)
        if kind:
            words.append("cell type by " + ("the source's label" if kind == "label" else kind))
        tips.append("\n".join(words))
    return tips


def _swatches(units: pd.DataFrame, dark: bool) -> list[QIcon]:
    """Return a dot of its region's colour for each unit; one that is the same on a selected row."""
    if "region" not in units:
        return []
    icons = {name: _dot(colour) for name, colour in styles.categories(units["region"], dark).items()}
    return [icons[name] for name in units["region"].astype(str)]


def _dot(colour: str) -> QIcon:
    picture = QPixmap(2 * DOT_PX, 2 * DOT_PX)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(4, 4, 2 * DOT_PX - 8, 2 * DOT_PX - 8)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(picture, mode)
    return icon
