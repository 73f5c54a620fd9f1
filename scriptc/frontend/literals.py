"""Numbers, strings and f-strings: from their text to values and nodes."""
from __future__ import annotations

import re
import unicodedata
from typing import Any

from scriptc.frontend.syntax import KINDS
from scriptc.frontend.tokens import Tokenizer, syntax_error

_SIMPLE = {"\n": "", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def number(text: str) -> int | float | complex:
    """The value of a number token."""
    plain = text.replace("_", "")
    last = plain[-1]
    if last in "jJ":
        return complex(0.0, float(plain[:-1]))
    if plain[:2].lower() in ("0x", "0b", "0o"):
        return int(plain, 0)
    if "." in plain or "e" in plain or "E" in plain:
        return float(plain)
    return int(plain)


def strings(builder: Any, tokens: list[Any]) -> Any:
    """Adjacent string tokens as one Constant, or as one JoinedStr if any is an f-string."""
    start, end = tokens[0].start_pos, tokens[-1].end_pos
    if all(t.type == "STRING" for t in tokens):
        values = [plain_string(builder, t) for t in tokens]
        if len({isinstance(v, bytes) for v in values}) > 1:
            raise syntax_error("E0112", builder.source, start, end)
        kind = "u" if tokens[0].value[0] in "uU" else None
        joined: Any = values[0] if len(values) == 1 else (b"" if isinstance(values[0], bytes) else "").join(values)  # type: ignore[arg-type]
        return KINDS["Constant"](joined, kind).at(start, end)
    parts: list[Any] = []
    kind = "u" if tokens[0].value[0] in "uU" else None
    for token in tokens:
        if token.type == "STRING":
            value = plain_string(builder, token)
            if isinstance(value, bytes):
                raise syntax_error("E0112", builder.source, start, end)
            parts.append(value)
        else:
            parts += Field(builder, token).parts()
    return KINDS["JoinedStr"](merged(parts, start, end, kind)).at(start, end)


def merged(parts: list[Any], start: int, end: int, kind: str | None = None) -> list[Any]:
    """Neighbouring texts as one Constant, empty ones left out."""
    values: list[Any] = []
    text: list[str] = []

    def flush() -> None:
        if any(text):
            values.append(KINDS["Constant"]("".join(text), kind).at(start, end))
        text.clear()
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            flush()
            values.append(part)
    flush()
    return values


def plain_string(builder: Any, token: Any) -> str | bytes:
    """The value of a string or bytes token."""
    text = token.value
    quote_at = min(i for i in (text.find("'"), text.find('"')) if i >= 0)
    prefix = text[:quote_at].lower()
    quotes = 3 if text[quote_at:quote_at + 3] in ("'''", '"""') and len(text) - quote_at >= 6 else 1
    body = text[quote_at + quotes:len(text) - quotes]
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    if "b" in prefix:
        if not body.isascii():
            raise syntax_error("E0113", builder.source, token.start_pos, token.end_pos)
        return (body if "r" in prefix or "\\" not in body else unescape(builder, body, token, True)).encode("latin-1")
    return body if "r" in prefix or "\\" not in body else unescape(builder, body, token, False)


def unescape(builder: Any, body: str, token: Any, is_bytes: bool) -> str:
    """The text with its escapes replaced; unknown ones stay, as in Python."""
    out: list[str] = []
    at = 0
    while True:
        slash = body.find("\\", at)
        if slash < 0:
            out.append(body[at:])
            return "".join(out)
        out.append(body[at:slash])
        letter = body[slash + 1:slash + 2]
        at = slash + 2
        if letter in _SIMPLE and letter:
            out.append(_SIMPLE[letter])
        elif letter in "01234567" and letter:
            found = re.compile("[0-7]{1,3}").match(body, slash + 1)
            assert found is not None
            out.append(chr(int(found[0], 8) & (0xFF if is_bytes else 0x1FF)))
            at = found.end()
        elif letter == "x" or (letter in ("u", "U") and not is_bytes and letter):
            width = {"x": 2, "u": 4, "U": 8}[letter]
            digits = body[at:at + width]
            if len(digits) < width or not all(d in "0123456789abcdefABCDEF" for d in digits) or int(digits, 16) > 0x10FFFF:
                raise syntax_error("E0114", builder.source, token.start_pos, token.end_pos, escape=f"\\{letter}")
            out.append(chr(int(digits, 16)))
            at += width
        elif letter == "N" and not is_bytes:
            close = body.find("}", at)
            try:
                out.append(unicodedata.lookup(body[at + 1:close]))
            except KeyError:
                raise syntax_error("E0114", builder.source, token.start_pos, token.end_pos, escape="\\N") from None
            at = close + 1
        else:
            out.append("\\" + letter)


class Field:
    """The pieces of one f-string token."""

    def __init__(self, builder: Any, token: Any) -> None:
        text = token.value
        quote_at = min(i for i in (text.find("'"), text.find('"')) if i >= 0)
        self.builder = builder
        self.token = token
        self.raw = "r" in text[:quote_at].lower()
        quotes = 3 if text[quote_at:quote_at + 3] in ("'''", '"""') and len(text) - quote_at >= 6 else 1
        self.text = builder.source.text
        self.at = token.start_pos + quote_at + quotes
        self.stop = token.end_pos - quotes

    def parts(self) -> list[Any]:
        return self.literal(in_specification=False)

    def literal(self, in_specification: bool) -> list[Any]:
        """Text and fields up to the end of the string, or of a format specification."""
        out: list[Any] = []
        text = self.text
        while self.at < self.stop:
            character = text[self.at]
            if character == "{" and text[self.at + 1:self.at + 2] == "{" and not in_specification:
                out.append("{")
                self.at += 2
            elif character == "{":
                out += self.field()
            elif character == "}" and in_specification:
                return out
            elif character == "}":
                if text[self.at + 1:self.at + 2] != "}":
                    raise syntax_error("E0115", self.builder.source, self.at)
                out.append("}")
                self.at += 2
            else:
                out.append(self.run())
        return out

    def run(self) -> str:
        """Plain text up to the next brace."""
        start = self.at
        text = self.text
        while self.at < self.stop and text[self.at] not in "{}":
            if text[self.at] == "\\" and not self.raw:
                if text.startswith("\\N{", self.at):
                    self.at = text.find("}", self.at) + 1
                else:
                    self.at += 1 if text[self.at + 1] in "{}" else 2
            else:
                self.at += 1
        piece = text[start:self.at]
        if "\r" in piece:
            piece = piece.replace("\r\n", "\n").replace("\r", "\n")
        return piece if self.raw or "\\" not in piece else unescape(self.builder, piece, self.token, False)

    def field(self) -> list[Any]:
        """One `{expression=!conversion:specification}`."""
        start = self.at
        self.at += 1
        begin = self.at
        self.skip_expression()
        expression_end = self.at
        debug = ""
        text = self.text
        if text[self.at] == "=":
            self.at += 1
            while text[self.at] in " \t\n\f":
                self.at += 1
            debug = text[begin:self.at]
        conversion = -1
        if text[self.at] == "!":
            conversion = ord(text[self.at + 1])
            if text[self.at + 1] not in "sra":
                raise syntax_error("E0116", self.builder.source, self.at)
            self.at += 2
            while text[self.at] == " ":
                self.at += 1
        specification = None
        if text[self.at] == ":":
            self.at += 1
            values = merged(self.literal(in_specification=True), self.token.start_pos, self.token.end_pos)
            specification = KINDS["JoinedStr"](values).at(self.token.start_pos, self.token.end_pos)
        if self.at >= self.stop or text[self.at] != "}":
            raise syntax_error("E0117", self.builder.source, start)
        self.at += 1
        if debug and conversion == -1 and specification is None:
            conversion = ord("r")
        if not text[begin:expression_end].strip():
            raise syntax_error("E0118", self.builder.source, start)
        value = self.builder.nested(Tokenizer(self.builder.source, begin, expression_end, nested=True))
        made = KINDS["FormattedValue"](value, conversion, specification).at(self.token.start_pos, self.token.end_pos)
        return [debug, made] if debug else [made]

    def ends_expression(self, character: str, previous: str) -> bool:
        """True for `}`, `:`, a conversion's `!`, and a debugging `=` that is part of no comparison."""
        following = self.text[self.at + 1]
        if character == "=":
            return previous not in "=!<>" and following != "="
        return character in "}:" or (character == "!" and following != "=")

    def skip_expression(self) -> None:
        """Move to what ends the expression: `}`, `!`, `:` or a debugging `=`, outside brackets and strings."""
        text = self.text
        depth = 0
        scanner = Tokenizer(self.builder.source, self.at)
        opening = re.compile(r"(?:[rR][bBfF]?|[bB][rR]?|[uU]|[fF][rR]?)?('''|\"\"\"|'|\")")
        previous = ""
        while self.at < self.stop:
            character = text[self.at]
            found = opening.match(text, self.at) if character in "'\"rRbBuUfF" and not (previous.isalnum() or previous == "_") else None
            if found is not None:
                scanner.at = found.end()
                scanner.string(found[0], self.at)
                self.at = scanner.at
                previous = "'"
                continue
            if character in "([{":
                depth += 1
            elif character in ")]}" and depth:
                depth -= 1
            elif depth == 0 and self.ends_expression(character, previous):
                return
            previous = character
            self.at += 1
        raise syntax_error("E0117", self.builder.source, self.token.start_pos, self.token.end_pos)
