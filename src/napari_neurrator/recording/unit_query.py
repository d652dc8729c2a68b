"""Select units by a pandas query that can only compare, never run anything else."""

import ast
import difflib
import re

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .regions import in_brain, is_within, known_within

# pandas calls any method that a query names (``region.to_pickle("file")`` writes a file), so what may stand in one is listed here.
_METHODS = frozenset(
    {"isin", "between", "isna", "notna", "isnull", "notnull", "abs"}
    | {"str", "startswith", "endswith", "contains", "match", "fullmatch", "lower", "upper", "strip"}
)
_FUNCTIONS = frozenset({"abs", "sqrt", "exp", "log", "log10", "floor", "ceil"})
_NODES: tuple[type[ast.AST], ...] = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.UAdd),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
    *(ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple, ast.Attribute, ast.Call, ast.keyword),
)
_QUOTED = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`([^`]*)`|([&|])""")
_LONGEST_QUERY = 2_000
_VALUES_SHOWN = 20


def select(units: pd.DataFrame, query: str) -> list:
    """Return the ids of the units that a query finds.

    Parameters
    ----------
    units : pandas.DataFrame
        Indexed by ``unit_id``, which a query may name like a column.
    query : str
        As for `pandas.DataFrame.query`: comparisons of columns (in backticks where a name holds spaces), arithmetic, ``and``, ``or``,
        ``not``, ``in``, and methods that look at values, such as ``region.str.startswith("VIS")`` and ``y_um.between(0, 500)``; and
        ``within("VIS")``, for units in a structure of the Allen mouse atlas or any part of it (``within("VISp", "LGd")``: in one of several).

    Raises
    ------
    NeurratorError
        The query cannot be read, names a column that is not there, does more than compare, or finds nothing.
    """
    names = ["unit_id", *map(str, units.columns)]
    columns = ", ".join(names)
    try:
        mask, used = _mask(units, query, names)
    except Exception as error:
        why = (
            error.msg
            if isinstance(error, SyntaxError)
            else (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        )
        raise NeurratorError(f"The units query {query!r} cannot be used: {why}; the columns are {columns}.") from error
    if not mask.any():
        values = "".join(f"; {_values(units, name)}" for name in used)
        raise NeurratorError(f"The units query {query!r} finds none of the {len(units)} units{values}.")
    return list(units.index[mask])


def _mask(units: pd.DataFrame, query: str, names: list[str]) -> tuple[np.ndarray, list[str]]:
    if len(query) > _LONGEST_QUERY:
        raise ValueError(f"it is longer than {_LONGEST_QUERY} characters")
    # Names in backticks become plain ones and & becomes "and" (pandas would do both), so that pandas reads exactly the text that was checked.
    aliases: dict[str, str] = {}

    def plain_name(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        if match[3] is not None:
            return " and " if match[3] == "&" else " or "
        return aliases.setdefault(match[2], f"backticked_{len(aliases)}")

    text = _QUOTED.sub(plain_name, query.replace("\n", " ").strip())
    for name in aliases:
        _known(name, names)
    real = {alias: name for name, alias in aliases.items()}
    tree = ast.parse(text, mode="eval")
    inside = _Within(units)
    # Each within(...) becomes a column of its own, worked out here: what pandas reads holds no call of it.
    tree = inside.visit(tree)
    text = ast.unparse(tree) if inside.columns else text
    real |= dict.fromkeys(inside.columns, "region")
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    used: list[str] = []
    for node in ast.walk(tree):
        _check(node, functions)
        if isinstance(node, ast.Name) and id(node) not in functions:
            name = real.get(node.id) or _known(node.id, names)
            if name not in used:
                used.append(name)
    table = units.set_axis([aliases.get(name, name) for name in names[1:]], axis=1)
    table = table.assign(**inside.columns)
    if "unit_id" in aliases:
        table.index.name = aliases["unit_id"]
    found = table.eval(text, engine="python", target=None)
    if isinstance(found, pd.Series):
        found = found.astype(object).where(found.notna(), False)
    mask = np.asarray(found)
    if mask.shape != (len(units),) or not all(isinstance(value, bool | np.bool_) for value in mask):
        raise TypeError("it does not say yes or no for each unit")
    return mask.astype(bool), used


class _Within(ast.NodeTransformer):
    """Replace ``within("VIS")`` by the name of a column that says so of each unit."""

    def __init__(self, units: pd.DataFrame):
        self.units = units
        self.columns: dict[str, np.ndarray] = {}

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace a call of ``within``; leave others."""
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id == "within"):
            return node
        given = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        wanted = [name for name in given if isinstance(name, str)]
        if not wanted or node.keywords or len(wanted) < len(node.args):
            raise ValueError('within() takes the acronyms of regions in quotes, as in within("VIS")')
        if "region" not in self.units:
            raise NameError("there is no column 'region'")
        # The first of its parents is the source's own acronym, which may name a layer.
        column = self.units["region"].astype(str)
        if "region_parents" in self.units:
            own = self.units["region_parents"].astype(str).str.partition(" < ")[0]
            column = own.where(own != "", column)
        names = [str(name) for name in column.unique()]
        for name in wanted:
            if not known_within([*names, *self.units["region"].astype(str).unique()], name):
                there = sorted(filter(in_brain, names))
                close = difflib.get_close_matches(name, there, n=1)
                raise NameError(
                    f"neither the atlas nor this recording has a region {name!r}"
                    + (f", did you mean {close[0]!r}?" if close else "")
                )
        found = {name: any(is_within(name, ancestor) for ancestor in wanted) for name in names}
        alias = f"within_{len(self.columns)}"
        while alias in self.units:
            alias += "_"
        self.columns[alias] = column.map(found).to_numpy(bool)
        return ast.copy_location(ast.Name(alias, ast.Load()), node)


def _known(name: str, names: list[str]) -> str:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise NameError(f"there is no column {name!r}" + (f", did you mean {close[0]!r}?" if close else ""))
    return name


def _check(node: ast.AST, functions: set[int]) -> None:
    if not isinstance(node, _NODES):
        raise ValueError("it may only compare columns of the units table")
    if isinstance(node, ast.Attribute) and node.attr not in _METHODS:
        raise ValueError(f"it may not use .{node.attr}")
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            if node.func.id not in _FUNCTIONS:
                raise ValueError(f"it may not call {node.func.id}()")
        elif not isinstance(node.func, ast.Attribute):
            raise ValueError("it may only call methods by name")
    if isinstance(node, ast.BinOp):
        # Repeated text or huge powers would fill the memory.
        for side in (node.left, node.right):
            if isinstance(side, ast.List | ast.Tuple) or (
                isinstance(side, ast.Constant) and not isinstance(side.value, int | float)
            ):
                raise ValueError("it may only calculate with numbers")
        if isinstance(node.op, ast.Pow) and not (
            isinstance(node.right, ast.Constant)
            and abs(node.right.value) <= 10  # type: ignore[operator, arg-type]
            and any(isinstance(part, ast.Name) and id(part) not in functions for part in ast.walk(node.left))
        ):
            raise ValueError("it may only raise columns to small powers")


def _values(units: pd.DataFrame, name: str) -> str:
    column = units.index.to_series() if name == "unit_id" and name not in units else units[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        known = column.dropna()
        return f"{name} runs from {known.min():g} to {known.max():g}" if len(known) else f"{name} is not known of any"
    values = sorted({str(value) for value in column})
    more = f" and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else ""
    return f"{name} is one of " + ", ".join(repr(value) for value in values[:_VALUES_SHOWN]) + more
