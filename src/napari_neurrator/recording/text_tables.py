"""Tables in text files, as people and programs write them."""

import io
from pathlib import Path

import pandas as pd

from ..errors import NeurratorError

_MOST_BYTES = 2_000_000_000


def read_text_table(path: Path, header: bool | None) -> pd.DataFrame:
    """Read a table from text, every cell as it is written; the delimiter (comma, tab, semicolon, bar or blanks) is found by itself.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    header : bool or None
        Whether the first row names the columns; None where that is to be seen from whether it holds numbers.

    Returns
    -------
    pandas.DataFrame
        Of text, numbers with a point; empty cells are NaN. Its index is the number of the line in the file, from 1.

    Raises
    ------
    NeurratorError
        The file is missing, empty or no table.
    """
    text = _text_of(path)
    numbered = [
        (n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    lines = [line for _, line in numbered]
    if not lines:
        raise NeurratorError(f"{path} is empty: it has to hold a table, one presentation a row.")
    delimiter = _delimiter(lines)
    named = header if header is not None else not all(_is_number(cell) for cell in lines[0].split(delimiter))
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(lines)), sep=delimiter or r"\s+", header=0 if named else None, dtype=str, skipinitialspace=True,
            index_col=False, keep_default_na=False, engine="c",
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).strip().rsplit("error: ", 1)[-1].rstrip(".")
        raise NeurratorError(f"{path} cannot be read as a table: {reason}.") from error
    if table.empty:
        raise NeurratorError(f"{path} holds column names but no rows.")
    table.columns = [str(column).strip() for column in table.columns]
    table = table.map(str.strip, na_action="ignore")
    if delimiter == ";":
        table = table.replace(r"^([+-]?\d*),(\d+)$", r"\1.\2", regex=True)
    rows = [n for n, _ in numbered[named:]]
    # A cell with a line break in it makes more lines than rows.
    table.index = pd.Index(rows if len(rows) == len(table) else range(1, len(table) + 1))
    return table.where(table.notna() & (table != ""))


def numbers_of(column: pd.Series, path: Path) -> pd.Series:
    """Return a column of `read_text_table` as numbers; empty cells are NaN.

    Raises
    ------
    NeurratorError
        A cell is no number; says in which line.
    """
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    bad = numbers.isna() & column.notna() & ~column.fillna("").str.lower().isin(("nan", "na", "n/a", "none", "null"))
    if bad.any():
        row = bad.idxmax()
        raise NeurratorError(
            f"Line {row} of {path} has {str(column[row])[:40]!r} as {column.name}, which is not a number: mend that cell."
        )
    return numbers


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise NeurratorError(f"{path} is larger than {_MOST_BYTES // 10**9} GB: that is no table of presentations.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NeurratorError(f"There is no table at {path}: give a .csv, .tsv or .toml file.") from error
    except OSError as error:
        raise NeurratorError(f"{path} cannot be read: {error.strerror or error}.") from error
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    if not wide and b"\0" in data[:100_000]:
        raise NeurratorError(f"{path} is not a text file: give the table as .csv or .tsv.")
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "latin-1"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NeurratorError(f"{path} is not text that can be read: save it as UTF-8.")


def _delimiter(lines: list[str]) -> str | None:
    """Return the delimiter that the first lines have in common; None for blanks, or a single column."""
    first = lines[:20]
    counts = {mark: min(line.count(mark) for line in first) for mark in ("\t", ";", ",", "|")}
    # A semicolon goes before the comma, which may be a decimal mark between semicolons.
    best = max(counts, key=lambda mark: (counts[mark] > 0, mark in "\t;|", counts[mark]))
    if counts[best]:
        return best
    return None if len({len(line.split()) for line in first}) == 1 and len(lines[0].split()) > 1 else ","


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"'))
    except ValueError:
        return not text.strip()
    return True
