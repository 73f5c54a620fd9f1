"""Tables in CSV files: numbers and categories by column, with the line of every complaint."""
from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scriptc_runtime.trainer.settings import fail, unknown

Categories = Mapping[str, "tuple[str, ...] | None"]  # column -> its categories, None for numbers
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
_MOST_CATEGORIES = 1000  # a column of more different texts is an identifier or prose, not a category


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The cells of a file as text, by column, with the line each row ends on."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def bad(self, row: int, problem: str) -> Exception:
        """The error for one row."""
        return fail("R0205", path=self.path, line=self.lines[row], problem=problem)


def read_table(path: Path) -> Table:
    """The table in a CSV file: a header, then rows of as many cells. TrainingError R0204, R0205."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if not header or len(set(header)) != len(header) or "" in header:
                raise fail("R0205", path=path, line=1, problem="expected a header: one different name for each column, found "
                           + (", ".join(map(repr, header)) or "an empty file"))
            rows, lines = [], []
            for cells in reader:
                if not cells:
                    continue  # an empty line
                if len(cells) != len(header):
                    raise fail("R0205", path=path, line=reader.line_num,
                               problem=f"{len(cells)} cells, the header has {len(header)} columns")
                rows.append([cell.strip() for cell in cells])
                lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise fail("R0204", path=path, reason=error.strerror if isinstance(error, OSError) else error) from None
    if not rows:
        raise fail("R0220", what=str(path))
    return Table(path, {name: [row[i] for row in rows] for i, name in enumerate(header)}, lines)


def encode(table: Table, name: str, known: Categories | None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A column as float64 or int64 numbers, or as codes of its categories. `known`: what the training data had.

    TrainingError R0205 for a missing value, a text among numbers, or a category that the training data do not have.
    """
    cells = table.columns[name]
    for row, cell in enumerate(cells):
        if cell.lower() in _MISSING:
            raise table.bad(row, f"column {name!r} has no value ({cell!r}); fill it in or leave the row out")
    if known is None or known[name] is None:
        try:
            return _as_numbers(cells), None
        except ValueError:
            bad = next(row for row, cell in enumerate(cells) if not _is_number(cell))
            if known is not None or bad > 0:  # a column that begins with numbers is meant to be one of numbers
                raise table.bad(bad, f"column {name!r} holds numbers, found {cells[bad]!r}") from None
    categories = sorted(set(cells)) if known is None else list(known[name] or ())
    if len(categories) > _MOST_CATEGORIES:
        raise table.bad(0, f"column {name!r} has {len(categories)} different texts; leave it out with --features")
    codes = {category: code for code, category in enumerate(categories)}
    for row, cell in enumerate(cells):
        if cell not in codes:
            raise table.bad(row, f"column {name!r} has the category {cell!r}, which the training data do not have")
    return np.array([codes[cell] for cell in cells], np.int64), tuple(categories)


def _as_numbers(cells: Sequence[str]) -> np.ndarray:
    try:
        return np.array([int(cell) for cell in cells], np.int64)
    except (ValueError, OverflowError):
        return np.array([float(cell) for cell in cells], np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def columns_of(table: Table, target: str | None, features: Sequence[str], parameters: Sequence[str],
               known: Categories | None) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...] | None]]:
    """The arrays of a table, and the categories of its columns.

    Columns named like arguments of the model are arrays of their own, [N]. Otherwise the features make up one array `features`
    [N, F] float32, a category as one number of 0 or 1 for each of its values. TrainingError R0203 for a column that is not there.
    """
    for name in (*features, *((target,) if target else ())):
        if name not in table.columns:
            raise unknown("--target" if name == target else "--features", "column", name, table.columns)
    chosen = [n for n in (features or table.columns) if n != target]
    encoded = {name: encode(table, name, known) for name in (*chosen, *((target,) if target else ()))}
    categories = {name: found for name, (_, found) in encoded.items()}
    arrays = {target: encoded[target][0]} if target else {}
    single = [name for name in chosen if name in parameters]
    if single:
        return {**{name: encoded[name][0] for name in chosen}, **arrays}, categories
    parts = []
    for name in chosen:
        values, found = encoded[name]
        parts.append(values[:, None] if found is None else np.eye(len(found))[values])
    if not parts:
        raise fail("R0207", signature=", ".join(parameters), parameter=parameters[0] if parameters else "", arrays=", ".join(table.columns))
    return {"features": np.concatenate(parts, 1).astype(np.float32), **arrays}, categories
