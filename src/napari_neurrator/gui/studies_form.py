"""A form made from a pydantic configuration: one row a field, its description as the tip, its default where nothing is said."""

import types
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from qtpy.QtWidgets import QComboBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from ..errors import NeurratorError
from . import parts

_LARGEST = 1_000_000
_ARROW = "→"


class ConfigForm(QWidget):
    """Rows for some fields of a configuration.

    Parameters
    ----------
    model : type of BaseModel
        The configuration.
    fields : sequence of str
        Its fields that are asked for.
    choices : dict
        Values to choose from, for fields that are words; others may be typed.
    """

    def __init__(
        self, model: type[BaseModel], fields: Sequence[str], choices: dict[str, Sequence[str]] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.rows: dict[str, QWidget] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(5)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in fields:
            row = self.rows[name] = _widget(model, name, (choices or {}).get(name))
            tip = model.model_fields[name].description or ""
            row.setToolTip(tip)
            label = parts.text(name.replace("_", " "), quiet=True, wrap=False)
            label.setToolTip(tip)
            layout.addRow(label, row)

    def values(self) -> dict[str, Any]:
        """Return what was filled in, by field; fields left empty are not among it.

        Raises
        ------
        NeurratorError
            A list of numbers or of pairs that cannot be read.
        """
        found = {name: _value(self.model, name, row) for name, row in self.rows.items()}
        return {name: value for name, value in found.items() if value is not None}


def _kind(model: type[BaseModel], name: str) -> Any:
    """Return the type of a field, less None."""
    kind = model.model_fields[name].annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return kind


def _is_optional(model: type[BaseModel], name: str) -> bool:
    return type(None) in get_args(model.model_fields[name].annotation)


def _widget(model: type[BaseModel], name: str, choices: Sequence[str] | None) -> QWidget:
    info = model.model_fields[name]
    default = None if info.is_required() else info.default
    if choices is not None:
        box = QComboBox()
        box.setEditable(True)
        box.addItems([*([""] if _is_optional(model, name) else []), *choices])
        box.setCurrentText("" if default is None else str(default))
        return box
    if _kind(model, name) is int:
        spin = QSpinBox()
        least = next((one.ge for one in info.metadata if hasattr(one, "ge")), 0)
        # The value below the least one stands for none.
        spin.setRange(int(least) - 1 if default is None else int(least), _LARGEST)
        if default is None:
            spin.setSpecialValueText("by itself")
        spin.setValue(spin.minimum() if default is None else int(default))
        return spin
    line = QLineEdit()
    line.setPlaceholderText(_hint(model, name, default))
    return line


def _hint(model: type[BaseModel], name: str, default: Any) -> str:
    if _is_pairs(_kind(model, name)):
        return f"a beach {_ARROW} a city; by day {_ARROW} by night"
    if default:
        return str(default)
    description = model.model_fields[name].description or ""
    return description.rpartition("by default ")[2] if "by default " in description else "none"


def _is_pairs(kind: Any) -> bool:
    return get_origin(kind) is list and get_origin(get_args(kind)[0]) is tuple


def _value(model: type[BaseModel], name: str, row: QWidget) -> Any:
    if isinstance(row, QSpinBox):
        return None if row.specialValueText() and row.value() == row.minimum() else row.value()
    text = (row.currentText() if isinstance(row, QComboBox) else row.text()).strip()  # type: ignore[attr-defined]
    kind = _kind(model, name)
    if not text:
        return None
    if _is_pairs(kind):
        pairs = [part.replace("->", _ARROW).split(_ARROW) for part in text.split(";") if part.strip()]
        if any(len(pair) != 2 or not all(end.strip() for end in pair) for pair in pairs):
            raise NeurratorError(
                f"{name} is read as pairs of phrases, such as “a beach {_ARROW} a city; by day {_ARROW} by night”."
            )
        return [[end.strip() for end in pair] for pair in pairs]
    if get_origin(kind) is list:
        items = [part.strip() for part in text.split(",") if part.strip()]
        if get_args(kind)[0] is not int:
            return items
        try:
            return [int(item) for item in items]
        except ValueError as error:
            raise NeurratorError(f"{name} is read as whole numbers with commas between, such as 1, 3, 10.") from error
    return text
