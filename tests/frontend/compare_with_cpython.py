"""Our AST against CPython's, node for node, over every Python file below the given folders.

    python -m tests.frontend.compare_with_cpython DIR [DIR...]

Kinds, fields, constants and line/column positions must be equal. Positions inside f-strings are left out (CPython 3.11's
own are wrong there). Prints the files that differ, the number of files and lines, and the lines parsed per second.
"""
from __future__ import annotations

import ast
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from scriptc.errors import CompileError
from scriptc.frontend.parser import parse, read_source
from scriptc.frontend.syntax import Node
from scriptc.location import Source

NEWER = {"type_params"}   # fields that CPython 3.11 does not have


class Positions:
    """Character offsets to CPython's (line, UTF-8 column)."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True) if "\f" not in text and "\x1c" not in text and "\u2028" not in text else split_lines(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def of(self, offset: int, source: Source) -> tuple[int, int]:
        line, column = source.position(offset)
        text = source.text[offset - column + 1:offset]
        return line, len(text) if text.isascii() else len(text.encode())


def split_lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")]


def difference(ours: Any, theirs: Any, source: Source, positions: Positions, path: str, in_fstring: bool) -> str | None:
    """Where the trees first differ; None if they are equal."""
    if isinstance(theirs, ast.AST):
        if not isinstance(ours, Node) or type(ours).__name__ != type(theirs).__name__:
            return f"{path}: {type(ours).__name__} for {type(theirs).__name__} (line {getattr(theirs, 'lineno', '?')})"
        inside = in_fstring or isinstance(theirs, ast.JoinedStr)
        if hasattr(theirs, "lineno") and not in_fstring:
            expected = (theirs.lineno, theirs.col_offset, theirs.end_lineno, theirs.end_col_offset)
            found = (*positions.of(ours.start, source), *positions.of(ours.end, source)) if ours.start is not None else None
            if found != expected:
                return f"{path} {type(ours).__name__}: at {found}, expected {expected}"
        for field in ours._fields:
            if field in NEWER and not hasattr(theirs, field):
                if getattr(ours, field):
                    return f"{path}: newer field {field}"
                continue
            found_ = difference(getattr(ours, field), getattr(theirs, field, None), source, positions, f"{path}.{field}", inside)
            if found_ is not None:
                return found_
        return None
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return f"{path}: {len(ours) if isinstance(ours, list) else ours!r} items for {len(theirs)}"
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            found_ = difference(a, b, source, positions, f"{path}[{index}]", in_fstring)
            if found_ is not None:
                return found_
        return None
    same = type(ours) is type(theirs) and (ours == theirs or repr(ours) == repr(theirs))
    return None if same else f"{path}: {ours!r} for {theirs!r}"


def compare_file(path: Path) -> tuple[str | None, int, float]:
    """(difference or None, lines, our seconds); a file that CPython itself refuses counts no lines."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError):
            return None, 0, 0.0
    started = time.perf_counter()
    try:
        source = read_source(path)
        ours = parse(source)
    except CompileError as error:
        return str(error).split("\n")[0], data.count(b"\n"), 0.0
    seconds = time.perf_counter() - started
    return difference(ours, theirs, source, Positions(source.text), "Module", False), data.count(b"\n"), seconds


def main(folders: list[str]) -> int:
    sys.setrecursionlimit(20_000)
    files = sorted(f for folder in folders for f in Path(folder).rglob("*.py"))
    lines, seconds, wrong, compared = 0, 0.0, 0, 0
    for path in files:
        found, count, spent = compare_file(path)
        lines, seconds, compared = lines + count, seconds + spent, compared + (count > 0)
        if found is not None:
            wrong += 1
            print(f"{path}: {found}")
    print(f"{compared} files, {lines} lines, {wrong} differ, {lines / max(seconds, 1e-9):,.0f} lines/s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
