"""Source text to AST by our own Lark grammar: `parse`, `parse_expression`, `read_source`."""
from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from scriptc.errors import CompileError, diagnostic
from scriptc.frontend.builder import TreeBuilder
from scriptc.frontend.tokens import GrammarLexer, Tokenizer, syntax_error
from scriptc.location import Location, Source, Span

GRAMMAR = Path(__file__).with_name("grammar.lark")
STARTS = ["file_input", "eval_input", "fstring_input"]
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_local = threading.local()


class Parser:
    """One Lark parser with its tree builder; not shared between threads."""

    def __init__(self) -> None:
        self.builder = TreeBuilder(visit_tokens=False)
        self.lark = Lark(GRAMMAR.read_text(encoding="utf-8"), parser="lalr", lexer=GrammarLexer, start=STARTS, keep_all_tokens=True,
                         maybe_placeholders=False, transformer=self.builder)
        self.builder.nested = self.nested  # type: ignore[attr-defined]

    def run(self, tokenizer: Tokenizer, start: str) -> Any:
        """Parse; every failure becomes a CompileError at its place."""
        self.builder.source = tokenizer.source
        try:
            return self.lark.parse(tokenizer, start=start)
        except UnexpectedToken as error:
            raise unexpected(tokenizer.source, error.token) from None
        except UnexpectedInput:
            raise syntax_error("E0100", tokenizer.source, tokenizer.at, token="") from None
        except VisitError as error:
            raise error.orig_exc from None

    def nested(self, tokenizer: Tokenizer) -> Any:
        """An expression inside an f-string."""
        return self.run(tokenizer, "fstring_input")


def parser() -> Parser:
    """This thread's parser."""
    found: Parser | None = getattr(_local, "parser", None)
    if found is None:
        found = _local.parser = Parser()
    return found


def unexpected(source: Source, token: Token) -> CompileError:
    """What to say of a token that cannot stand where it does."""
    start, end = token.start_pos or 0, token.end_pos or 0
    if token.type == "INDENT":
        return syntax_error("E0119", source, start)
    if token.type == "DEDENT":
        return syntax_error("E0120", source, max(start - 1, 0) if start >= len(source.text) else start)
    if token.type in ("NEWLINE", "ENDMARKER"):
        line = source.line(source.position(start)[0])
        words = line.split()
        opener = words[0].rstrip(":(") if words else ""
        needs_colon = opener in ("if", "elif", "else", "for", "while", "def", "class", "try", "except", "finally", "with", "match", "case",
                                 "async") and not line.rstrip().endswith(":")
        return syntax_error("E0121" if needs_colon else "E0100", source, start, token="end of line")
    return syntax_error("E0100", source, start, end, token=str(token))


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
    except (UnicodeDecodeError, LookupError) as error:
        empty = Source(str(path), "")
        raise CompileError(diagnostic("E0122", Location(Span(empty, 0, 0)), encoding=encoding, reason=str(error))) from None
    if "\0" in text:
        raise syntax_error("E0110", Source(str(path), text), text.index("\0"), character="\\0")
    return Source(str(path), text)
