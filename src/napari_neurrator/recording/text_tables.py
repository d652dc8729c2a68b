"""Tables in text files, as people and programs write them."""

import csv
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
    lines = _text_of(path).removeprefix("\ufeff").splitlines()
    kept = [number for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    written = [lines[number - 1] for number in kept]
    if not written:
        raise NeurratorError(f"{path} is empty: it has to hold a table, one presentation a row.")
    delimiter = _delimiter(written)
    rows, numbers = _rows(written, kept, delimiter, path)
    named = header if header is not None else not all(_is_number(cell) for cell in rows[0])
    names = _distinct(rows[0]) if named else [str(k) for k in range(max(map(len, rows)))]
    rows, numbers = rows[named:], numbers[named:]
    if not rows:
        raise NeurratorError(f"{path} holds column names but no rows.")
    for row, number in zip(rows, numbers, strict=True):
        if len(row) > len(names):
            if any(row[len(names) :]):
                raise NeurratorError(
                    f"{path} cannot be read as a table: line {number} has {len(row)} cells, and there are {len(names)} columns."
                )
            del row[len(names) :]
        row.extend([""] * (len(names) - len(row)))
    table = pd.DataFrame(rows, columns=names, index=pd.Index(numbers), dtype=object)
    if delimiter == ";":
        table = table.replace(r"^([+-]?\d*),(\d+)$", r"\1.\2", regex=True)
    return table.where(table != "")


def _rows(lines: list[str], numbers: list[int], delimiter: str | None, path: Path) -> tuple[list[list[str]], list[int]]:
    """Return the cells of each row, and the line on which it ends."""
    if delimiter is None:
        return [line.split() for line in lines], numbers
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows, ends = [], []
    try:
        for row in reader:
            rows.append([cell.strip() for cell in row])
            ends.append(numbers[reader.line_num - 1])
    except csv.Error as error:
        raise NeurratorError(
            f"{path} cannot be read as a table: {error} (line {numbers[max(reader.line_num, 1) - 1]})."
        ) from error
    return rows, ends


def _distinct(names: list[str]) -> list[str]:
    """Return names of columns: what has none is called by its place, and a second of the same name too."""
    result: list[str] = []
    for place, name in enumerate(names):
        result.append(name if name and name not in result else f"{name or 'column'}.{place}")
    return result


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
        path = path.expanduser()
        if path.stat().st_size > _MOST_BYTES:
            raise NeurratorError(f"{path} is larger than {_MOST_BYTES // 10**9} GB: that is no table of presentations.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NeurratorError(f"There is no table at {path}: give a .csv, .tsv or .toml file.") from error
    except OSError as error:
        raise NeurratorError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RuntimeError) as error:
        raise NeurratorError(f"{str(path)!r} is no path to a file: {error}.") from error
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
