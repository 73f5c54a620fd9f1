"""Text to tokens: indentation, line joining, soft keywords, and f-strings as single tokens.

The lexer follows the "Lexical analysis" chapter of Python's reference; f-strings end where PEP 701 says, so nested quotes work.
"""
from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

from lark import Token
from lark.lexer import Lexer, LexerState

from scriptc.errors import CompileError, diagnostic
from scriptc.location import Location, Source, Span

KEYWORDS = frozenset("False None True and as assert async await break class continue def del elif else except finally for from global if "
                     "import in is lambda nonlocal not or pass raise return try while with yield".split())
_OPERATORS = ["**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=", "%=", "&=",
              "|=", "^=", "@=", ":=", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":",
              ".", ";", "=", "!"]
NAMES = {"**=": "POW_EQ", "//=": "FLOOR_EQ", ">>=": "SHR_EQ", "<<=": "SHL_EQ", "...": "ELLIPSIS", "**": "POW", "//": "FLOOR", ">>": "SHR",
         "<<": "SHL", "<=": "LE", ">=": "GE", "==": "EQ", "!=": "NE", "->": "ARROW", "+=": "ADD_EQ", "-=": "SUB_EQ", "*=": "MUL_EQ",
         "/=": "DIV_EQ", "%=": "MOD_EQ", "&=": "AND_EQ", "|=": "OR_EQ", "^=": "XOR_EQ", "@=": "MAT_EQ", ":=": "WALRUS", "+": "PLUS",
         "-": "MINUS", "*": "STAR", "/": "SLASH", "%": "PERCENT", "@": "AT", "&": "AMP", "|": "BAR", "^": "CARET", "~": "TILDE", "<": "LT",
         ">": "GT", "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", "{": "LBRACE", "}": "RBRACE", ",": "COMMA", ":": "COLON",
         ".": "DOT", ";": "SEMI", "=": "EQUAL", "!": "BANG"}
_STRING_PREFIX = r"(?:[rR][bBfF]?|[bB][rR]?|[uU]|[fF][rR]?)?"
_TOKEN = re.compile(
    r"(?P<space>[ \f\t]+|\\\r?\n)"
    rf"|(?P<string>{_STRING_PREFIX}(?:'''|\"\"\"|'|\"))"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+"
    r"|(?:(?:[0-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*|[0-9](?:_?[0-9])*\.?)(?:[eE][-+]?[0-9](?:_?[0-9])*)?[jJ]?)"
    r"|(?P<newline>\r?\n|\r)"
    r"|(?P<comment>#[^\r\n]*)"
    rf"|(?P<op>{'|'.join(re.escape(o) for o in _OPERATORS)})")
_INDENT = re.compile(r"[ \f\t]*")
_PLAIN = {"'": re.compile(r"(?:[^'\\\r\n]|\\(?:\r\n|[\s\S]))*'"), '"': re.compile(r'(?:[^"\\\r\n]|\\(?:\r\n|[\s\S]))*"'),
          "'''": re.compile(r"(?:[^'\\]|\\[\s\S]|'(?!''))*'''"), '"""': re.compile(r'(?:[^"\\]|\\[\s\S]|"(?!""))*"""')}
# CPython's own limits (MAXLEVEL, MAXINDENT); they also keep the tree shallow enough to be walked by recursion.
MOST_BRACKETS, MOST_INDENTS = 200, 100
_OPEN, _CLOSE = {"(": ")", "[": "]", "{": "}"}, ")]}"


def syntax_error(code: str, source: Source, start: int, end: int | None = None, **values: object) -> CompileError:
    """A located error of the E01xx range."""
    return CompileError(diagnostic(code, Location(Span(source, start, start + 1 if end is None else end)), **values))  # type: ignore[arg-type]


class Tokenizer:
    """One pass over a source, or over the part of it between `start` and `end` (an expression inside an f-string)."""

    def __init__(self, source: Source, start: int = 0, end: int | None = None, nested: bool = False) -> None:
        self.source = source
        self.text = source.text
        self.at = start
        self.end = len(self.text) if end is None else end
        self.nested = nested
        self.brackets: list[tuple[str, int]] = [("f", start)] if nested else []

    def tokens(self) -> Iterator[Token]:
        """The tokens with NEWLINE, INDENT and DEDENT; NEWLINE and blank lines inside brackets are left out."""
        indents = [0]
        self.narrow = [0]                 # the same with tabs one column wide: both must agree on which line is deeper
        fresh = not self.nested           # at the start of a logical line
        line: list[Token] = []
        text, end = self.text, self.end
        match = _TOKEN.match
        while True:
            if fresh and not self.brackets:
                column, blank = self.indentation()
                if blank:
                    if self.at >= end:
                        break
                    continue
                if column != indents[-1]:
                    yield from self.indent(indents, column)
                elif self.narrow_column != self.narrow[-1]:
                    raise syntax_error("E0128", self.source, self.at)
                fresh = False
            if self.at >= end:
                break
            found = match(text, self.at, end)
            if found is None:
                line.append(self.unknown())
                continue
            kind, start = found.lastgroup, self.at
            self.at = found.end()
            if kind == "space" or kind == "comment":
                continue
            if kind == "newline":
                if not self.brackets:
                    if line:
                        yield from logical_line(line)
                        yield self.token("NEWLINE", start, self.at)
                        line = []
                    fresh = True
                continue
            if kind == "name":
                word = found[0]
                if self.at < end and text[self.at] > "\x7f":
                    word = self.rest_of_name(start)
                if not word.isascii() and not word.isidentifier():
                    # `\w` takes in more than an identifier may hold: superscripts, fractions.
                    wrong = next(i for i in range(1, len(word) + 1) if not word[:i].isidentifier()) - 1
                    raise syntax_error("E0110", self.source, start + wrong, character=word[wrong])
                named = self.token(word.upper() if word in KEYWORDS else "NAME", start, self.at)
                # Python compares identifiers in NFKC form.
                line.append(named if word.isascii() else named.update(value=unicodedata.normalize("NFKC", word)))
            elif kind == "op":
                symbol = found[0]
                if symbol in _OPEN:
                    self.brackets.append((symbol, start))
                    if len(self.brackets) > MOST_BRACKETS:
                        raise syntax_error("E0126", self.source, start, what="brackets")
                elif symbol in _CLOSE:
                    self.close(symbol, start)
                line.append(self.token(NAMES[symbol], start, self.at))
            elif kind == "string":
                line.append(self.string(found[0], start))
            else:
                if self.at < end and (text[self.at].isalnum() or text[self.at] == "_") and not keyword_follows(text, self.at):
                    raise syntax_error("E0111", self.source, start, self.at + 1)
                digits = found[0].replace("_", "")
                if digits[0] == "0" and digits.isdigit() and digits.strip("0"):
                    raise syntax_error("E0123", self.source, start, self.at)
                limit = sys.get_int_max_str_digits()
                if digits.isdigit() and 0 < limit < len(digits):
                    raise syntax_error("E0127", self.source, start, self.at, limit=limit)
                line.append(self.token("NUMBER", start, self.at))
        if len(self.brackets) > self.nested:
            symbol, where = self.brackets[-1]
            # The parser sees what there is, as its fault may stand before the bracket.
            if line:
                yield from logical_line(line)
            raise syntax_error("E0101", self.source, where, bracket=symbol)
        if line:
            yield from logical_line(line)
            if not self.nested:
                yield self.token("NEWLINE", end, end)
        if not self.nested:
            for _ in indents[1:]:
                yield self.token("DEDENT", end, end)
        yield self.token("ENDMARKER", end, end)

    def unknown(self) -> Token:
        """A character that begins no token: the grammar refuses `$` where it stands, as CPython does; the others end the text."""
        start = self.at
        character = self.text[start]
        if character == "\\":
            raise syntax_error("E0124", self.source, start)
        if not character.isascii() or not character.isprintable():
            raise syntax_error("E0110", self.source, start, character=character)
        self.at += 1
        return self.token("UNKNOWN", start, self.at)

    def rest_of_name(self, start: int) -> str:
        """A name that goes on with combining marks, which `\\w` does not cover."""
        while self.at < self.end and self.text[start:self.at + 1].isidentifier():
            self.at += 1
        return self.text[start:self.at]

    def token(self, kind: str, start: int, end: int) -> Token:
        return Token(kind, self.text[start:end], start, None, None, None, None, end)

    def indentation(self) -> tuple[int, bool]:
        """(column, True for a blank line, which is skipped)"""
        found = _INDENT.match(self.text, self.at, self.end)
        assert found is not None
        column = 0
        self.narrow_column = len(found[0].rpartition("\f")[2])
        for character in found[0]:
            column = (column // 8 + 1) * 8 if character == "\t" else 0 if character == "\f" else column + 1
        self.at = found.end()
        if self.at >= self.end:
            return 0, True
        first = self.text[self.at]
        if first == "#":
            newline = re.compile(r"[^\r\n]*").match(self.text, self.at)
            assert newline is not None
            self.at = newline.end()
            first = self.text[self.at:self.at + 1]
        if first in ("\n", "\r", ""):
            self.at += 2 if self.text.startswith("\r\n", self.at) else 1
            return 0, True
        if first == "\\" and re.compile(r"\\\r?\n").match(self.text, self.at):
            return column, False
        return column, False

    def indent(self, indents: list[int], column: int) -> Iterator[Token]:
        if column > indents[-1]:
            if self.narrow_column <= self.narrow[-1]:
                raise syntax_error("E0128", self.source, self.at)
            indents.append(column)
            self.narrow.append(self.narrow_column)
            if len(indents) > MOST_INDENTS:
                raise syntax_error("E0126", self.source, self.at, what="indented blocks")
            yield self.token("INDENT", self.at, self.at)
            return
        while column < indents[-1]:
            indents.pop()
            self.narrow.pop()
            yield self.token("DEDENT", self.at, self.at)
        if column != indents[-1]:
            raise syntax_error("E0102", self.source, self.at)
        if self.narrow_column != self.narrow[-1]:
            raise syntax_error("E0128", self.source, self.at)

    def close(self, symbol: str, start: int) -> None:
        if len(self.brackets) <= self.nested:
            raise syntax_error("E0103", self.source, start, bracket=symbol)
        opened, where = self.brackets.pop()
        if _OPEN[opened] != symbol:
            line = self.source.position(where)[0]
            raise syntax_error("E0104", self.source, start, bracket=symbol, opened=opened, line=line)

    def string(self, opening: str, start: int) -> Token:
        quote = opening.lstrip("rRbBuUfF")
        prefix = opening[: len(opening) - len(quote)]
        if "f" in prefix or "F" in prefix:
            self.at = self.f_string(quote, "r" in prefix.lower(), start)
            return self.token("FSTRING", start, self.at)
        found = _PLAIN[quote].match(self.text, self.at)
        if found is None:
            raise self.unterminated(quote, start)
        self.at = found.end()
        return self.token("STRING", start, self.at)

    def unterminated(self, quote: str, start: int) -> CompileError:
        return syntax_error("E0105", self.source, start, what="triple-quoted string" if len(quote) == 3 else "string")

    def f_string(self, quote: str, raw: bool, start: int) -> int:
        """The end of an f-string whose text begins at `self.at`."""
        text, at = self.text, self.at
        while at < len(text):
            if text.startswith(quote, at):
                return at + len(quote)
            character = text[at]
            if character == "\\" and not (raw and text[at + 1:at + 2] in "{}"):
                if not raw and text.startswith("\\N{", at):
                    at = text.find("}", at) + 1 or len(text)
                else:
                    at += 1 if text[at + 1:at + 2] in "{}" else 2
            elif character == "{" and not text.startswith("{{", at):
                at = self.replacement(at + 1, quote, start)
            elif character == "{":
                at += 2
            elif character in "\r\n" and len(quote) == 1:
                break
            else:
                at += 1
        raise self.unterminated(quote, start)

    def replacement(self, at: int, quote: str, start: int) -> int:
        """The end of one `{...}` field, which may hold strings, brackets, and a format specification with fields."""
        text = self.text
        depth = 0
        string = re.compile(rf"{_STRING_PREFIX}('''|\"\"\"|'|\")")
        while at < len(text):
            character = text[at]
            if character in "'\"" or (character in "rRbBuUfF" and string.match(text, at) and not text[at - 1:at].isalnum()):
                found = string.match(text, at)
                assert found is not None
                if found[1] == quote and depth == 0 and not self.nested_quote(at, quote):
                    raise self.unterminated(quote, start)
                inner = Tokenizer(self.source, found.end())
                inner.at = found.end()
                inner.string(found[0], at)
                at = inner.at
            elif character in "([{":
                depth += 1
                at += 1
            elif character in ")]}" and depth:
                depth -= 1
                at += 1
            elif character == "}":
                return at + 1
            elif (character == ":" and depth == 0) or (character == "!" and depth == 0 and text[at + 1:at + 2] != "="):
                if character == ":":
                    return self.specification(at + 1, quote, start)
                at += 1
            else:
                at += 1
        raise self.unterminated(quote, start)

    def nested_quote(self, at: int, quote: str) -> bool:
        """True if a string with the outer quote can begin here (PEP 701): something must close it before the line ends."""
        return _PLAIN[quote].match(self.text, at + len(quote)) is not None

    def specification(self, at: int, quote: str, start: int) -> int:
        text = self.text
        while at < len(text):
            if text[at] == "{":
                at = self.replacement(at + 1, quote, start)
            elif text[at] == "}":
                return at + 1
            elif text.startswith(quote, at):
                break
            else:
                at += 1
        raise self.unterminated(quote, start)


def keyword_follows(text: str, at: int) -> bool:
    """True for `1if x`, `0or y`: a number run into a keyword, which Python still reads."""
    return re.compile(r"(?:and|else|for|if|in|is|not|or)\b").match(text, at) is not None


def logical_line(line: list[Token]) -> list[Token]:
    """One logical line with its soft keywords recognised: `match`, `case`, `type` at its start."""
    first = line[0]
    if first.type != "NAME" or len(line) < 3:
        return line
    word = first.value
    if word == "match" and line[-1].type == "COLON" and line[1].type not in ("EQUAL", "DOT", "COLON", "COMMA", "RPAR"):
        first.type = "MATCH"
    elif word == "case" and line[1].type not in ("EQUAL", "DOT", "COLON", "COMMA", "RPAR") and top_level_colon(line):
        first.type = "CASE"
    elif word == "type" and line[1].type == "NAME" and line[2].type in ("EQUAL", "LSQB"):
        first.type = "TYPE"
    return line


def top_level_colon(line: list[Token]) -> bool:
    depth = 0
    for token in line:
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            depth += 1
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            depth -= 1
        elif token.type == "COLON" and depth == 0:
            return True
    return False


class GrammarLexer(Lexer):
    """What Lark calls: it hands over a Tokenizer as its text."""

    def __init__(self, lexer_conf: Any) -> None:
        pass

    def lex(self, lexer_state: LexerState, parser_state: Any = None) -> Iterator[Token]:
        data: Any = lexer_state
        tokenizer = data if isinstance(data, Tokenizer) else getattr(data, "text", data)
        yield from tokenizer.tokens()
