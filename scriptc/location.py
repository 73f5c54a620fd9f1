"""Where a thing stands in a user's source: `Source`, `Span`, `Location`, and the excerpt with a caret.

Offsets count characters (code points) of the decoded text; lines and columns are computed when they are shown.
"""
from __future__ import annotations

import bisect
from functools import cached_property

from scriptc.records import Record


class Source(Record, eq=False, slots=False):
    """One file of source text.

    `name` is stored in archives: relative to the folder that imports are found in, so that it does not depend on where the file lies,
    or `<library>/...` for our own. `path` is how the user reaches the file from here, where that is known; messages show it.
    """

    name: str
    text: str
    path: str = ""

    @property
    def shown(self) -> str:
        return self.path or self.name

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of each line."""
        starts = [0]
        find = self.text.find
        position = find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = find("\n", position + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column), both from 1, of a character offset."""
        line = bisect.bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), without its newline."""
        starts = self.line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1]:end].rstrip("\r\n")


class Span(Record):
    """The characters [start, end) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.shown}:{line}:{column}"

    def excerpt(self) -> list[str]:
        """The source line and a line of carets under the span (up to the end of its first line)."""
        line, column = self.source.position(self.start)
        text = self.source.line(line)
        visible = printable(text).rstrip()
        if not visible.strip():
            return []
        width = max(1, min(self.end - self.start, len(text) - column + 1))
        pad = "".join("\t" if c == "\t" else " " for c in text[: column - 1])
        gutter = f"{line:>6} | "
        return [gutter + visible, " " * (len(gutter) - 2) + "| " + pad + "^" * width]


class CallSite(Record):
    """One link of a call chain: where the call stands and in which function."""

    span: Span
    function: str


class Location(Record):
    """A span, the module scope (`layer1.0.conv1`) and the calls through which the evaluator came, innermost first."""

    span: Span | None = None
    scope: str = ""
    chain: tuple[CallSite, ...] = ()

    def __str__(self) -> str:
        return str(self.span) if self.span is not None else "<unknown>"


UNKNOWN = Location()


def printable(text: str) -> str:
    """`text` with control characters escaped, so that a hostile name cannot drive the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
