"""Source text to AST by our own Lark grammar: `parse`, `parse_expression`, `read_source`."""
from __future__ import annotations

import re
import threading
from collections.abc import Container
from pathlib import Path
from typing import Any

from lark import Token
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from scriptc.errors import CompileError
from scriptc.frontend import tables
from scriptc.frontend.builder import TreeBuilder
from scriptc.frontend.tokens import Tokenizer, syntax_error
from scriptc.location import Source

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
# Keywords whose line ends in a colon.
OPENERS = frozenset("if elif else for while def class try except finally with match case async".split())
# Tokens that begin an expression and could not go on with one; tokens that end one.
BEGINS = frozenset("NAME NUMBER STRING FSTRING NONE TRUE FALSE LBRACE TILDE LAMBDA".split())
BRACKETS = {"LPAR": 1, "LSQB": 1, "LBRACE": 1, "RPAR": -1, "RSQB": -1, "RBRACE": -1}
ENDS = frozenset("NAME NUMBER STRING FSTRING NONE TRUE FALSE ELLIPSIS RPAR RSQB RBRACE".split())
# Faults of tokens that say nothing of an earlier place: a dedent, a stray backslash.
OWN_PLACE = frozenset(["E0102", "E0124"])
_local = threading.local()


class Parser:
    """One Lark parser with its tree builder; not shared between threads."""

    def __init__(self) -> None:
        self.builder = TreeBuilder(visit_tokens=False)
        self.lark = tables.load(self.builder)
        self.builder.nested = self.nested  # type: ignore[attr-defined]

    def run(self, tokenizer: Tokenizer, start: str) -> Any:
        """Parse; every failure becomes a CompileError at its place."""
        source = tokenizer.source
        self.builder.source = source
        try:
            return self.lark.parse(tokenizer, start=start)
        except UnexpectedToken as error:
            found = missing_comma(source, error) or unexpected(source, error.token, error.expected)
        except UnexpectedInput:
            found = syntax_error("E0100", source, tokenizer.at, token="")
        except VisitError as error:
            if isinstance(error.orig_exc, RecursionError):
                raise syntax_error("E0126", source, max(tokenizer.at - 1, 0), what="f-strings") from None
            if not isinstance(error.orig_exc, CompileError):
                raise
            found = error.orig_exc
        except RecursionError:
            raise syntax_error("E0126", source, max(tokenizer.at - 1, 0), what="f-strings") from None
        raise found if tokenizer.nested else lexical_fault(source, found) from None

    def nested(self, tokenizer: Tokenizer) -> Any:
        """An expression inside an f-string."""
        return self.run(tokenizer, "fstring_input")


def parser() -> Parser:
    """This thread's parser."""
    found: Parser | None = getattr(_local, "parser", None)
    if found is None:
        found = _local.parser = Parser()
    return found


def unexpected(source: Source, token: Token, expected: Container[str]) -> CompileError:
    """What to say of a token that cannot stand where it does."""
    start, end = token.start_pos or 0, token.end_pos or 0
    if start >= len(source.text) and source.text.endswith("\n"):
        start = end = start - 1           # the end of a file belongs to its last line
    if token.type == "UNKNOWN":
        return syntax_error("E0110", source, start, character=str(token))
    if "INDENT" in expected:
        return syntax_error("E0120", source, start)
    if token.type == "INDENT":
        return syntax_error("E0119", source, start)
    if token.type in ("NEWLINE", "DEDENT", "ENDMARKER"):
        words = source.line(source.position(start)[0]).split()
        needs_colon = token.type == "NEWLINE" and words and words[0].rstrip(":(") in OPENERS and not words[-1].endswith(":")
        return syntax_error("E0121" if needs_colon else "E0100", source, start, token="end of line")
    return syntax_error("E0100", source, start, end, token=str(token))


def missing_comma(source: Source, error: UnexpectedToken) -> CompileError | None:
    """Two expressions side by side in brackets, as CPython puts it: the fault is where the first of them stands."""
    values = error.state.value_stack if error.state is not None else []
    depth = sum(BRACKETS.get(v.type, 0) for v in values if isinstance(v, Token))
    # Where a binary operator may not follow either, this is no expression but a parameter's or an import's name.
    if depth <= 0 or error.token.type not in BEGINS or "BAR" not in error.expected:
        return None
    before = values[-1]
    if isinstance(before, Token) and (before.type not in ENDS or (before.type, error.token.type) == ("NAME", "STRING")):
        return None
    start, end = (before.start_pos, before.end_pos) if isinstance(before, Token) else (before.start, before.end)
    return None if start is None else syntax_error("E0125", source, start, end, token=str(error.token))


def lexical_fault(source: Source, found: CompileError) -> CompileError:
    """A fault of the text's tokens further on, which CPython reports before a fault of the grammar; else `found`.

    An unterminated string or bracket is the likelier cause: what stands after it is read as the wrong thing.
    """
    if found.code == "E0119":
        return found
    try:
        for _ in Tokenizer(source).tokens():
            pass
    except RecursionError:
        return found
    except CompileError as lexical:
        if lexical.code not in OWN_PLACE and (lexical.code != "E0101" or line_of(lexical) < line_of(found)):
            return lexical
    return found


def line_of(error: CompileError) -> int:
    """The line an error of this module is on."""
    location = error.diagnostics[0].location
    return location.span.line if location is not None and location.span is not None else 0


def parse(source: Source) -> Any:
    """The Module of a source. CompileError E01xx at the line CPython would name."""
    return parser().run(Tokenizer(source), "file_input")


def parse_expression(source: Source) -> Any:
    """The expression a source holds, as for `--entry`."""
    return parser().run(Tokenizer(source), "eval_input").body


def read_source(path: Path) -> Source:
    """A file decoded as Python does: byte-order mark, PEP 263 cookie in the first two lines, else UTF-8."""
    data = path.read_bytes()
    encoding = "utf-8"
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    else:
        for line in data.split(b"\n", 2)[:2]:
            found = _COOKIE.match(line)
            if found is not None:
                encoding = found[1].decode("ascii", "replace")
                break
            if line.strip() and not line.lstrip().startswith(b"#"):
                break
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        shown = Source(str(path), data.decode(encoding, "replace"))
        raise syntax_error("E0122", shown, len(data[:error.start].decode(encoding, "replace")), encoding=encoding, reason=error.reason) from None
    except (UnicodeError, LookupError) as error:
        raise syntax_error("E0122", Source(str(path), data.decode("latin-1")), 0, encoding=encoding, reason=str(error)) from None
    if "\0" in text:
        raise syntax_error("E0110", Source(str(path), text), text.index("\0"), character="\\0")
    return Source(str(path), text)
