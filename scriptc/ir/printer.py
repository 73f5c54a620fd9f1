"""The text form of programs, for people, golden tests and bug reports; `reader` is its exact inverse.

    program "Net()"
    state @fc.weight: float32[10, 64] parameter grad
    module fc: Linear "in_features=64, out_features=10"

    func forward(%x: float32[N, 64]) -> float32[N, 10]
      state @fc.weight: float32[10, 64]
      %0 = linear(%x, @fc.weight, None) : float32[N, 10]   # model.py:18:13 fc
      %1 = if(%flag) : float32[N, 10]
        region()
          %2 = relu(%0) : float32[N, 10]
          yield %2
        region()
          yield %0
      return %1

One op a line: results, name (`name@2` where its version is not 1), operands, attributes in braces, the results' types, and
the place in the user's source as a comment. Literals stand inline (followed by `as TYPE` where they have another type than
Python gives them), state is read by its name. `args` says how arguments are built from the inputs `$0, $1, ...` where
that is not one plain argument per input, and `return ... -> ...` the same for what the caller gets. Places and source
files are not read back; all else is.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scriptc.ir.graph import (
    Attribute,
    Fixed,
    Function,
    Group,
    Leaf,
    Literal,
    Op,
    Parameter,
    Program,
    Region,
    Structure,
    Value,
    literal,
)
from scriptc.ir.types import DType
from scriptc.location import Location, printable

COMMENT_COLUMN = 100   # comments line up, but not further right than this
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"[A-Za-z0-9_]+(?:[.:][A-Za-z0-9_]+)*")


def print_program(program: Program, *, locations: bool = True) -> str:
    """The whole program as text, ending in a newline."""
    lines = [f"program {quoted(program.entry)}"]
    for entry in program.state:
        alias = f" alias @{name_text(entry.alias)}" if entry.alias is not None else ""
        grad = " grad" if entry.requires_grad else ""
        lines.append(f"state @{name_text(entry.name)}: {entry.type} {name_text(entry.kind)}{grad}{alias}")
    for module in program.modules:
        description = f" {quoted(module.description)}" if module.description else ""
        lines.append(f"module {name_text(module.path)}: {name_text(module.class_name)}{description}")
    text = "\n".join(lines) + "\n"
    for key, function in program.functions.items():
        text += "\n" + print_function(function, key=key, locations=locations)
    return text


def print_function(function: Function, *, key: str | None = None, locations: bool = True) -> str:
    """One function as text, ending in a newline. `key` is the name a program has it under, where that is another."""
    return _FunctionPrinter(function, locations).text(key)


def excerpt(function: Function, op: Op, around: int = 2) -> list[str]:
    """The line of `op` in the text of `function`, marked, with the lines around it."""
    printer = _FunctionPrinter(function, False)
    printer.text(None)
    at = next((i for i, line in enumerate(printer.lines) if line.op is op), None)
    if at is None:
        return []
    first = max(at - around, 0)
    return [f"{'>' if i == at else ' '} {line.text[:200]}"
            for i, line in enumerate(printer.lines[first:at + around + 1], first)]


def quoted(text: str) -> str:
    """A string literal of the text form: JSON's escapes, every unprintable character escaped."""
    plain = json.dumps(text, ensure_ascii=False)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in plain)


def name_text(name: str) -> str:
    """A dotted name bare, anything else quoted."""
    return name if _DOTTED.fullmatch(name) else quoted(name)


def constant_text(data: int | float | bool | complex | str | None) -> str:
    """A Python constant as the text form writes it."""
    if isinstance(data, str):
        return quoted(data)
    if isinstance(data, complex):
        return f"complex({data.real!r}, {data.imag!r})"
    return repr(data)


def attribute_text(value: Attribute) -> str:
    """An attribute's value: a constant, a dtype's bare name, or a tuple of them."""
    if isinstance(value, tuple):
        return f"({', '.join(attribute_text(v) for v in value)}{',' if len(value) == 1 else ''})"
    return value.name if isinstance(value, DType) else constant_text(value)


def structure_text(structure: Structure) -> str:
    """`$0` for a leaf, constants as they are, containers as in Python: `object "Output" {"logits": $0}`."""
    if isinstance(structure, Leaf):
        return f"${structure.index}"
    if isinstance(structure, Fixed):
        return constant_text(structure.value)
    items = [structure_text(item) for item in structure.items]
    if structure.kind == "tuple" and not structure.label:
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if structure.kind == "list" and not structure.label:
        return f"[{', '.join(items)}]"
    pairs = (f"{constant_text(k)}: {item}" for k, item in zip(structure.keys, items, strict=False))
    body = "{" + ", ".join(pairs) + "}"
    if structure.kind == "dict" and not structure.label:
        return body
    return f"{structure.kind} {quoted(structure.label)} {body}"


def usual_structure(count: int) -> Structure:
    """What a function with `count` results gives unless it says otherwise: None, the result, or a tuple."""
    if count == 0:
        return Fixed(None)
    return Leaf(0) if count == 1 else Group("tuple", tuple(Leaf(i) for i in range(count)))


def usual_parameters(inputs: Sequence[Value]) -> tuple[Parameter, ...]:
    """One plain argument for each input, under its name."""
    return tuple(Parameter(v.name, Leaf(i)) for i, v in enumerate(inputs))


def place_text(location: Location) -> str:
    """`model.py:18:13 layer1.0.conv1`, or nothing when the place is unknown."""
    parts = ([str(location.span)] if location.span is not None else []) + ([location.scope] if location.scope else [])
    return printable(" ".join(parts)).replace("\n", " ")


class _Line(NamedTuple):
    """One printed line, the place it tells, and the op it shows."""

    text: str
    place: str
    op: Op | None


class _FunctionPrinter:
    """Names the values of one function, in order of definition, and writes its lines."""

    def __init__(self, function: Function, locations: bool) -> None:
        self.function = function
        self.locations = locations
        self.names: dict[Value, str] = {}
        self.numbers = 0
        self.repeats: dict[str, int] = {}
        self.lines: list[_Line] = []
        for name, value in function.state.items():
            self.names[value] = f"@{name_text(name)}"
        self._define(function.inputs)
        self._define_ops(function.ops)

    def _define(self, values: Iterable[Value]) -> None:
        for value in values:
            if value not in self.names:
                self.names[value] = self._fresh(value.name)

    def _define_ops(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self._define(op.results)
            for region in op.regions:
                self._define(region.params)
                self._define_ops(region.ops)

    def _fresh(self, hint: str) -> str:
        if not hint:
            self.numbers += 1
            return f"%{self.numbers - 1}"
        base = f"%{hint if _BARE.fullmatch(hint) else quoted(hint)}"
        count = self.repeats.get(base, 0)
        self.repeats[base] = count + 1
        return f"{base}.{count}" if count else base

    def use(self, value: Value) -> str:
        """How an operand is written. A value that is never defined (a broken program) gets a name as well."""
        if isinstance(value, Literal):
            text = constant_text(value.data)
            usual = isinstance(value.data, int | float | complex | str | None) and literal(value.data).type == value.type
            return text if usual else f"{text} as {value.type}"
        if value not in self.names:
            self.names[value] = self._fresh(value.name)
        return self.names[value]

    def uses(self, values: Iterable[Value]) -> str:
        return ", ".join(map(self.use, values))

    def params(self, values: Iterable[Value]) -> str:
        return ", ".join(f"{self.use(v)}: {v.type}" for v in values)

    def text(self, key: str | None) -> str:
        """The whole function."""
        function = self.function
        name = name_text(function.name)
        if key is not None and key != function.name:
            name = f"{name_text(key)} = {name}"
        results = f" -> {', '.join(str(r.type) for r in function.results)}" if function.results else ""
        self.line(0, f"func {name}({self.params(function.inputs)}){results}", function.location)
        if function.parameters != usual_parameters(function.inputs):
            self.line(1, "args" + ",".join(f" {parameter_text(p)}" for p in function.parameters))
        for entry, value in function.state.items():
            hint = "" if value.name == entry else f" %{quoted(value.name)}"
            self.line(1, f"state @{name_text(entry)}{hint}: {value.type}")
        self.ops(function.ops, 1)
        for entry, value in function.updates.items():
            self.line(1, f"update @{name_text(entry)} = {self.use(value)}")
        for index, value in function.input_updates.items():
            self.line(1, f"update ${index} = {self.use(value)}")
        usual = function.structure == usual_structure(len(function.results))
        given = f" {self.uses(function.results)}" if function.results else ""
        self.line(1, f"return{given}{'' if usual else f' -> {structure_text(function.structure)}'}")
        return self.joined()

    def line(self, depth: int, text: str, location: Location | None = None, op: Op | None = None) -> None:
        place = place_text(location) if self.locations and location is not None else ""
        self.lines.append(_Line("  " * depth + text, place, op))

    def joined(self) -> str:
        widths = [len(text) for text, place, op in self.lines if place and op and len(text) <= COMMENT_COLUMN]
        column = max(widths, default=0)
        return "".join(f"{text.ljust(column if op else 0)}   # {place}\n" if place else f"{text}\n"
                       for text, place, op in self.lines)

    def ops(self, ops: Sequence[Op], depth: int) -> None:
        for op in ops:
            self.line(depth, self.op_text(op), op.location, op)
            for region in op.regions:
                self.region(region, depth + 1)

    def region(self, region: Region, depth: int) -> None:
        self.line(depth, f"region({self.params(region.params)})")
        self.ops(region.ops, depth + 1)
        self.line(depth + 1, f"yield {self.uses(region.results)}" if region.results else "yield")

    def op_text(self, op: Op) -> str:
        """The op's own line."""
        given = f"{self.uses(op.results)} = " if op.results else ""
        version = f"@{op.version}" if op.version != 1 else ""
        attributes = ", ".join(f"{k}={attribute_text(v)}" for k, v in op.attributes.items())
        types = ", ".join(str(r.type) for r in op.results)
        return (f"{given}{op.name}{version}({self.uses(op.operands)}){f' {{{attributes}}}' if attributes else ''}"
                f"{f' : {types}' if types else ''}")


def parameter_text(parameter: Parameter) -> str:
    """`x: $0`, with `*` before keyword-only arguments and `?` after optional ones."""
    star, mark = "*" if parameter.keyword_only else "", "?" if parameter.optional else ""
    return f"{star}{name_text(parameter.name)}{mark}: {structure_text(parameter.structure)}"
