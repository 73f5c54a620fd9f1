"""Reads programs back from the text form that `printer` writes and explains: golden tests, bug reports, debugging.

Nothing is inferred: types stand in the text, so that a faulty program can be written down and given to the verifier.
Every refusal is a CompileError E0503 with a caret under the place in the text.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NoReturn, TypeVar

from scriptc.errors import CompileError, diagnostic
from scriptc.ir.graph import (
    EMPTY,
    Attribute,
    Fixed,
    Function,
    Group,
    Leaf,
    Literal,
    ModuleEntry,
    Op,
    Parameter,
    Program,
    Region,
    StateEntry,
    Structure,
    Value,
    literal,
)
from scriptc.ir.printer import usual_parameters, usual_structure
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import DTYPES, TensorType, Type
from scriptc.location import Location, Source, Span

MAX_DEPTH = 64

_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.:][A-Za-z0-9_]+)*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r'%(?:(?P<hint>[A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)*")(?:\.\d+)?|\d+)')
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)(?![A-Za-z0-9_.])")
_INDEX = re.compile(r"\$(\d{1,6})")
_OPEN, _CLOSE = "[(", "])"
_CONSTANTS = {"None": None, "True": True, "False": False, "nan": float("nan"), "inf": float("inf")}

T = TypeVar("T")


def parse_program(text: str, name: str = "<program>") -> Program:
    """The program written as `text`; `name` is what messages call it. CompileError E0503 where it is malformed."""
    return _Reader(Source(name, text)).program()


def parse_function(text: str, name: str = "<program>") -> Function:
    """The one function written as `text`. CompileError E0503 where it is malformed."""
    reader = _Reader(Source(name, text))
    _, function = reader.function()
    if not reader.at_end:
        reader.line.refuse("expected nothing after the function")
    return function


class _Line:
    """One line and how far it has been read."""

    def __init__(self, source: Source, text: str, start: int) -> None:
        self.source = source
        self.text = text
        self.start = start
        self.position = 0

    def refuse(self, message: str, at: int | None = None) -> NoReturn:
        """CompileError E0503 at the current position."""
        begin = self.start + (self.position if at is None else at)
        place = Location(Span(self.source, begin, begin + 1))
        raise CompileError(diagnostic("E0503", place, message=message))

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of `pattern` here, consumed; None (and nothing consumed) if there is none."""
        self.skip()
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        return match

    def need(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = self.find(pattern)
        if match is None:
            self.refuse(f"expected {what}")
        return match

    def sees(self, token: str) -> bool:
        """True if `token` comes next; nothing is consumed."""
        self.skip()
        return self.text.startswith(token, self.position)

    def take(self, token: str) -> bool:
        """Consume `token` if it comes next."""
        found = self.sees(token)
        if found:
            self.position += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            self.refuse(f"expected '{token}'")

    def keyword(self, word: str) -> bool:
        """Consume `word` if it comes next as a whole word."""
        self.skip()
        match = _WORD.match(self.text, self.position)
        if match is None or match[0] != word:
            return False
        self.position = match.end()
        return True

    @property
    def finished(self) -> bool:
        self.skip()
        return self.position >= len(self.text) or self.text[self.position] == "#"

    def end(self) -> None:
        if not self.finished:
            self.refuse("expected the end of the line")

    def string(self) -> str:
        at = self.position
        match = self.need(_STRING, "a string")
        try:
            return json.loads(match[0])
        except ValueError:
            self.refuse("not a string literal", at)

    def name(self) -> str:
        """A dotted name, bare or quoted."""
        return self.string() if self.sees('"') else self.need(_NAME, "a name")[0]

    def items(self, close: str, item: Callable[[], T]) -> list[T]:
        """What stands before `close`, separated by commas; a trailing comma is allowed."""
        found: list[T] = []
        while not self.take(close):
            found.append(item())
            if not self.take(","):
                self.expect(close)
                break
        return found

    def type(self) -> Type:
        """A type: up to a comma, bracket, word or comment outside its own brackets."""
        self.skip()
        level, at = 0, self.position
        while at < len(self.text):
            character = self.text[at]
            if character in _OPEN:
                level += 1
            elif character in _CLOSE and level:
                level -= 1
            elif level == 0 and character in ", )#":
                break
            at += 1
        try:
            kind = parse_type(self.text[self.position:at])
        except ValueError as error:
            self.refuse(str(error))
        self.position = at
        return kind

    def types(self) -> list[Type]:
        found = [self.type()]
        while self.take(","):
            found.append(self.type())
        return found

    def constant(self) -> int | float | bool | complex | str | None:
        """None, True, False, a number, a string or complex(real, imaginary)."""
        if self.sees('"'):
            return self.string()
        at = self.position
        number = self.find(_NUMBER)
        if number is not None:
            digits = number[0]
            if len(digits) > 400:
                self.refuse("number too long", at)
            return int(digits) if digits.lstrip("-").isdigit() else float(digits)
        if self.keyword("complex"):
            self.expect("(")
            real = float(self.need(_NUMBER, "a number")[0])
            self.expect(",")
            imaginary = float(self.need(_NUMBER, "a number")[0])
            self.expect(")")
            return complex(real, imaginary)
        word = self.need(_WORD, "a constant")[0]
        if word not in _CONSTANTS:
            self.refuse(f"{word} is no constant", at)
        return _CONSTANTS[word]

    def attribute(self, depth: int = 0) -> Attribute:
        """A constant, a dtype or a tuple of them."""
        if depth > MAX_DEPTH:
            self.refuse("nested too deeply")
        if self.take("("):
            return tuple(self.items(")", lambda: self.attribute(depth + 1)))
        self.skip()
        word = _WORD.match(self.text, self.position)
        if word is not None and word[0] in DTYPES:
            self.position = word.end()
            return DTYPES[word[0]]
        value = self.constant()
        if isinstance(value, complex):
            self.refuse("an attribute cannot be complex")
        return value

    def structure(self, depth: int = 0) -> Structure:
        """See `printer.structure_text`."""
        if depth > MAX_DEPTH:
            self.refuse("nested too deeply")
        index = self.find(_INDEX)
        if index is not None:
            return Leaf(int(index[1]))
        if self.take("("):
            return Group("tuple", tuple(self.items(")", lambda: self.structure(depth + 1))))
        if self.take("["):
            return Group("list", tuple(self.items("]", lambda: self.structure(depth + 1))))
        if self.sees("{"):
            return self.keyed("dict", "", depth)
        before = self.position
        word = self.find(_WORD)
        if word is not None and self.sees('"'):
            return self.keyed(word[0], self.string(), depth)
        self.position = before
        return Fixed(self.constant())

    def keyed(self, kind: str, label: str, depth: int) -> Group:
        self.expect("{")
        pairs = self.items("}", lambda: self.pair(depth + 1))
        return Group(kind, tuple(item for _, item in pairs), tuple(key for key, _ in pairs), label)

    def pair(self, depth: int) -> tuple[str | int, Structure]:
        key = self.constant()
        if not isinstance(key, str | int):
            self.refuse("a key is a string or an integer")
        self.expect(":")
        return key, self.structure(depth)


class _Reader:
    """Goes through the lines; `values` holds what the current function has defined."""

    def __init__(self, source: Source) -> None:
        self.lines: list[_Line] = []
        start = 0
        for text in source.text.split("\n"):
            line = _Line(source, text, start)
            if not line.finished:
                self.lines.append(line)
            start += len(text) + 1
        self.last = _Line(source, "", max(len(source.text) - 1, 0))
        self.next = 0
        self.values: dict[str, Value] = {}
        self.state: dict[str, Value] = {}

    @property
    def at_end(self) -> bool:
        return self.next >= len(self.lines)

    @property
    def line(self) -> _Line:
        """The current line; an empty one after the end."""
        return self.last if self.at_end else self.lines[self.next]

    def done(self) -> None:
        """Finish the current line."""
        self.line.end()
        self.next += 1

    def program(self) -> Program:
        if not self.line.keyword("program"):
            self.line.refuse("expected 'program'")
        entry = self.line.string()
        self.done()
        state: list[StateEntry] = []
        while self.line.keyword("state"):
            state.append(self.state_entry())
            self.done()
        modules: list[ModuleEntry] = []
        while self.line.keyword("module"):
            modules.append(self.module())
            self.done()
        functions: dict[str, Function] = {}
        while not self.at_end:
            line = self.line
            key, function = self.function()
            if key in functions:
                line.refuse(f"function {key} is written twice", 0)
            functions[key] = function
        return Program(MappingProxyType(functions), tuple(state), tuple(modules), (), entry)

    def state_entry(self) -> StateEntry:
        line = self.line
        line.expect("@")
        name = line.name()
        line.expect(":")
        kind = line.type()
        if not isinstance(kind, TensorType):
            line.refuse("state is made of tensors")
        role = line.name()
        grad = line.keyword("grad")
        alias = None
        if line.keyword("alias"):
            line.expect("@")
            alias = line.name()
        return StateEntry(name, kind, role, grad, alias)

    def module(self) -> ModuleEntry:
        line = self.line
        path = line.name()
        line.expect(":")
        class_name = line.name()
        return ModuleEntry(path, class_name, "" if line.finished else line.string())

    def function(self) -> tuple[str, Function]:
        """(the name the program has it under, the function)"""
        self.values, self.state = {}, {}
        line = self.line
        if not line.keyword("func"):
            line.refuse("expected 'func'")
        key = name = line.name()
        if line.take("="):
            name = line.name()
        line.expect("(")
        inputs = tuple(line.items(")", self.param))
        results = line.types() if line.take("->") else []
        self.done()
        parameters = usual_parameters(inputs)
        if self.line.keyword("args"):
            parameters = self.parameters()
            self.done()
        while self.line.keyword("state"):
            self.read_state()
            self.done()
        ops = self.ops(0, "update", "return")
        updates: dict[str, Value] = {}
        input_updates: dict[int, Value] = {}
        while self.line.keyword("update"):
            self.update(updates, input_updates)
            self.done()
        given, structure = self.returned(results)
        return key, Function(name, parameters, inputs, MappingProxyType(self.state), ops, given, structure,
                             MappingProxyType(updates), MappingProxyType(input_updates))

    def param(self) -> Value:
        """`%x: TYPE`"""
        line = self.line
        at, hint = self.new_name()
        line.expect(":")
        return self.define(line, at, hint, line.type())

    def new_name(self) -> tuple[int, re.Match[str]]:
        self.line.skip()
        return self.line.position, self.line.need(_VALUE, "a value, %name")

    def define(self, line: _Line, at: int, match: re.Match[str], kind: Type) -> Value:
        if match[0] in self.values:
            line.refuse(f"{match[0]} is defined twice", at)
        value = self.values[match[0]] = Value(kind, self.hint(match))
        return value

    def hint(self, match: re.Match[str]) -> str:
        hint = match["hint"] or ""
        if not hint.startswith('"'):
            return hint
        try:
            return json.loads(hint)
        except ValueError:
            self.line.refuse("not a string literal")

    def parameters(self) -> tuple[Parameter, ...]:
        line = self.line
        found: list[Parameter] = []
        while not line.finished:
            if found:
                line.expect(",")
            keyword_only = line.take("*")
            name = line.name()
            optional = line.take("?")
            line.expect(":")
            found.append(Parameter(name, line.structure(), keyword_only, optional))
        return tuple(found)

    def read_state(self) -> None:
        line = self.line
        line.expect("@")
        at = line.position
        name = line.name()
        if name in self.state:
            line.refuse(f"state {name} is listed twice", at)
        hint = self.hint(line.need(_VALUE, "a value, %name")) if line.sees("%") else name
        line.expect(":")
        self.state[name] = Value(line.type(), hint)

    def update(self, updates: dict[str, Value], input_updates: dict[int, Value]) -> None:
        line = self.line
        index = line.find(_INDEX)
        if index is None:
            line.expect("@")
            name = line.name()
            if name in updates:
                line.refuse(f"state {name} is updated twice")
            line.expect("=")
            updates[name] = self.operand()
            return
        if int(index[1]) in input_updates:
            line.refuse(f"input {index[1]} is updated twice")
        line.expect("=")
        input_updates[int(index[1])] = self.operand()

    def returned(self, declared: Sequence[Type]) -> tuple[tuple[Value, ...], Structure]:
        line = self.line
        if not line.keyword("return"):
            line.refuse("expected 'return'")
        results = self.operands()
        structure = line.structure() if line.take("->") else usual_structure(len(results))
        line.end()
        if [r.type for r in results] != list(declared):
            line.refuse(f"the function's head says {', '.join(map(str, declared)) or 'nothing'}, "
                        f"returned is {', '.join(str(r.type) for r in results) or 'nothing'}", 0)
        self.done()
        return results, structure

    def operands(self) -> tuple[Value, ...]:
        """Operands up to the end of the line or `->`."""
        line = self.line
        if line.finished or line.sees("->"):
            return ()
        found = [self.operand()]
        while line.take(","):
            found.append(self.operand())
        return tuple(found)

    def operand(self) -> Value:
        """A value, a state entry, or a constant (`as TYPE`)."""
        line = self.line
        line.skip()
        at = line.position
        if line.take("@"):
            name = line.name()
            if name not in self.state:
                line.refuse(f"the function reads no state called {name}", at)
            return self.state[name]
        if line.sees("%"):
            _, match = self.new_name()
            if match[0] not in self.values:
                line.refuse(f"{match[0]} is not defined here", at)
            return self.values[match[0]]
        made = literal(line.constant())
        return Literal(line.type(), "", made.data) if line.keyword("as") else made

    def ops(self, depth: int, *stops: str) -> tuple[Op, ...]:
        """The ops up to a line that begins with one of `stops`."""
        if depth > MAX_DEPTH:
            self.line.refuse(f"regions nested deeper than {MAX_DEPTH}")
        found: list[Op] = []
        while not self.at_end:
            self.line.skip()
            word = _WORD.match(self.line.text, self.line.position)
            if word is not None and word[0] in stops:
                break
            found.append(self.op(depth))
        return tuple(found)

    def op(self, depth: int) -> Op:
        line = self.line
        names: list[tuple[int, re.Match[str]]] = []
        if line.sees("%"):
            names.append(self.new_name())
            while line.take(","):
                names.append(self.new_name())
            line.expect("=")
        name = line.need(_WORD, "the name of an op")[0]
        version = int(line.need(re.compile(r"\d{1,6}"), "a version")[0]) if line.take("@") else 1
        line.expect("(")
        operands = tuple(line.items(")", self.operand))
        attributes = dict(line.items("}", self.attribute_pair)) if line.take("{") else EMPTY
        kinds = line.types() if line.take(":") else []
        if len(kinds) != len(names):
            line.refuse(f"{len(names)} results, but {len(kinds)} types")
        self.done()
        regions: list[Region] = []
        while self.line.keyword("region"):
            regions.append(self.region(depth + 1))
        results = tuple(self.define(line, at, match, kind) for (at, match), kind in zip(names, kinds, strict=True))
        return Op(name, operands, attributes, results, tuple(regions), version=version)

    def attribute_pair(self) -> tuple[str, Attribute]:
        name = self.line.need(_WORD, "the name of an attribute")[0]
        self.line.expect("=")
        return name, self.line.attribute()

    def region(self, depth: int) -> Region:
        line = self.line
        line.expect("(")
        params = tuple(line.items(")", self.param))
        self.done()
        ops = self.ops(depth, "yield")
        if not self.line.keyword("yield"):
            self.line.refuse("expected 'yield'")
        results = self.operands()
        self.done()
        return Region(params, ops, results)
