"""Text of values: str, repr, f-strings, `str.format`, `%`; dynamic parts are filled in when the program runs."""
from __future__ import annotations

import string
from typing import Any

import numpy as np

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import some
from scriptc.frontend.storage import TensorValue, read
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Class,
    Dynamic,
    Instance,
    PyDict,
    PyList,
    PySet,
    Size,
    StructTuple,
)
from scriptc.ir.graph import Value
from scriptc.ir.types import STR, DType


class _Pieces:
    """A text under construction: a `str.format` pattern and its dynamic operands."""

    def __init__(self) -> None:
        self.pattern = ""
        self.operands: list[Any] = []

    def text(self, value: str) -> None:
        self.pattern += value.replace("{", "{{").replace("}", "}}")

    def operand(self, value: Any, specification: str = "") -> None:
        self.pattern += "{:" + specification + "}" if specification else "{}"
        self.operands.append(value)

    def result(self, ev: Evaluator) -> Any:
        if not self.operands:
            return self.pattern.format()
        return ev.op("scalar_format", *self.operands, pattern=self.pattern)


def put(ev: Evaluator, out: _Pieces, value: Any, as_repr: bool = False) -> None:
    """Append str(value), or repr(value), to the text."""
    if isinstance(value, str) and not as_repr:
        out.text(value)
    elif isinstance(value, Dynamic):
        value = some(ev, value)
        out.operand(ev.op("text", value, function="repr") if as_repr and value.type == STR else value)
    elif isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            out.operand(value.content)
            return
        _sequence(ev, out, "[", value.content, "]")
    elif isinstance(value, Size):
        out.text("torch.Size(")
        _sequence(ev, out, "[", value, "])")
    elif isinstance(value, StructTuple):
        out.text(f"{value.cls.name}(")
        for index, (field, item) in enumerate(zip(value.cls.lookup("_fields"), value, strict=True)):
            out.text(f"{', ' if index else ''}{field}=")
            put(ev, out, item, True)
        out.text(")")
    elif isinstance(value, tuple):
        _sequence(ev, out, "(", value, ",)" if len(value) == 1 else ")")
    elif isinstance(value, PyDict):
        prefix = "" if value.kind == "dict" else f"{value.kind}("
        out.text(prefix + "{")
        for index, (key, item) in enumerate(value.content.items()):
            out.text(", " if index else "")
            put(ev, out, key, True)
            out.text(": ")
            put(ev, out, item, True)
        out.text("}" + (")" if prefix else ""))
    elif isinstance(value, PySet):
        if value.content:
            _sequence(ev, out, "{", list(value.content), "}")
        else:
            out.text("set()")
    elif isinstance(value, Instance):
        _instance(ev, out, value, as_repr)
    elif isinstance(value, TensorValue):
        _tensor(ev, out, value)
    else:
        out.text(plain_text(value, as_repr))


def _sequence(ev: Evaluator, out: _Pieces, start: str, items: Any, end: str) -> None:
    out.text(start)
    for index, item in enumerate(items):
        out.text(", " if index else "")
        put(ev, out, item, True)
    out.text(end)


def _instance(ev: Evaluator, out: _Pieces, value: Instance, as_repr: bool) -> None:
    from scriptc.frontend.evaluator.calls import call

    for name in ("__repr__",) if as_repr else ("__str__", "__repr__"):
        method = value.cls.lookup(name)
        if method is not MISSING and not (isinstance(method, Builtin) and value.native is not None):
            if isinstance(method, Builtin) and name == "__repr__" and value.cls.native == "exception":
                out.text(f"{value.cls.name}(")
                _sequence(ev, out, "", value.slots.get("args", ()), ")")
                return
            put(ev, out, call(ev, method, [value], {}))
            return
    if value.native is not None:
        put(ev, out, value.native, as_repr)
    else:
        out.text(repr(value))


def _tensor(ev: Evaluator, out: _Pieces, value: TensorValue) -> None:
    content = read(ev, value)
    if isinstance(content, Value):
        out.operand(Dynamic(content))
    else:
        out.text(f"tensor({np.array2string(content, separator=', ')})")


def plain_text(value: Any, as_repr: bool) -> str:
    """str or repr of a host value."""
    if isinstance(value, Class):
        return f"<class '{value.module + '.' if value.module and value.module != 'builtins' else ''}{value.name}'>"
    if isinstance(value, DType):
        return f"torch.{value.name}"
    return repr(value) if as_repr else str(value)


def str_of(ev: Evaluator, value: Any) -> Any:
    """str(value): a string, or a dynamic one."""
    if isinstance(value, str):
        return value
    out = _Pieces()
    put(ev, out, value)
    return out.result(ev)


def repr_of(ev: Evaluator, value: Any) -> Any:
    """repr(value)"""
    out = _Pieces()
    put(ev, out, value, True)
    return out.result(ev)


def put_formatted(ev: Evaluator, out: _Pieces, value: Any, conversion: str, specification: str) -> None:
    """One replacement field."""
    if conversion in ("r", "a"):
        value = repr_of(ev, value)
    elif conversion == "s":
        value = str_of(ev, value)
    if isinstance(specification, Dynamic):
        ev.error("E0211", what="a format specification that is only known at run time")
    if not specification:
        put(ev, out, value)
        return
    if isinstance(value, TensorValue):
        value = ev.op("item", value)
    value = some(ev, value)
    if isinstance(value, Dynamic):
        out.operand(value, specification.replace("{", "").replace("}", ""))
        return
    if isinstance(value, Instance):
        method = value.cls.lookup("__format__")
        if method is not MISSING:
            from scriptc.frontend.evaluator.calls import call

            out.text(call(ev, method, [value, specification], {}))
            return
        value = value.native if value.native is not None else str_of(ev, value)
    try:
        out.text(format(value, specification))
    except (TypeError, ValueError) as error:
        ev.throw(type(error).__name__, str(error))


def joined(ev: Evaluator, parts: list[Any]) -> Any:
    """The value of an f-string."""
    out = _Pieces()
    for part in parts:
        if not isinstance(part, tuple):
            out.text(part.value)
            continue
        node, frame = part
        specification = ev.eval(node.format_spec, frame) if node.format_spec is not None else ""
        value = ev.eval(node.value, frame)
        conversion = chr(node.conversion) if node.conversion >= 0 else ""
        put_formatted(ev, out, value, conversion, specification)
    return out.result(ev)


def format_method(ev: Evaluator, pattern: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """pattern.format(*arguments, **keywords)"""
    from scriptc.frontend.evaluator.objects import get_attribute
    from scriptc.frontend.evaluator.subscripts import get_item

    out = _Pieces()
    automatic = 0
    try:
        fields = list(string.Formatter().parse(pattern))
    except ValueError as error:
        return ev.throw("ValueError", str(error))
    for text, field, specification, conversion in fields:
        out.text(text)
        if field is None:
            continue
        first, rest = _first_name(field)
        if first == "":
            first, automatic = automatic, automatic + 1
        if isinstance(first, int):
            if first >= len(arguments):
                ev.throw("IndexError", f"Replacement index {first} out of range for positional args tuple")
            value = arguments[first]
        else:
            if first not in keywords:
                ev.throw("KeyError", repr(first))
            value = keywords[first]
        for is_attribute, name in rest:
            value = get_attribute(ev, value, name) if is_attribute else get_item(ev, value, name)
        inner = format_method(ev, specification, arguments[automatic:], keywords) if specification else ""
        put_formatted(ev, out, value, conversion or "", inner)
    return out.result(ev)


def _first_name(field: str) -> tuple[Any, list[tuple[bool, Any]]]:
    import _string  # type: ignore[import-not-found]  # the host's own parser of field names, a builtin module without effects

    first, rest = _string.formatter_field_name_split(field)
    return first, list(rest)


def percent_format(ev: Evaluator, pattern: str, arguments: Any) -> Any:
    """pattern % arguments"""
    values = arguments if isinstance(arguments, tuple) and not isinstance(arguments, StructTuple) else (arguments,)
    if isinstance(arguments, PyDict):
        return _host_percent(ev, pattern, {k: _percent_value(ev, v) for k, v in arguments.content.items()})
    if any(isinstance(v, Dynamic) for v in values):
        return _dynamic_percent(ev, pattern, list(values))
    return _host_percent(ev, pattern, tuple(_percent_value(ev, v) for v in values))


def _host_percent(ev: Evaluator, pattern: str, values: Any) -> str:
    try:
        return pattern % values
    except (TypeError, ValueError, KeyError) as error:
        return ev.throw(type(error).__name__, str(error))


def _percent_value(ev: Evaluator, value: Any) -> Any:
    return value if isinstance(value, int | float | str | complex) else str_of(ev, value)


def _dynamic_percent(ev: Evaluator, pattern: str, values: list[Any]) -> Any:
    import re

    out = _Pieces()
    position = 0
    for match in re.finditer(r"%([-+ 0#]*\d*(?:\.\d+)?)([sdifgeGEFrxX%])", pattern):
        out.text(pattern[position:match.start()])
        position = match.end()
        if match[2] == "%":
            out.text("%")
            continue
        value = values.pop(0)
        specification = match[1] + (match[2] if match[2] not in "sri" else "")
        put_formatted(ev, out, value, "", specification.replace("-", "<") if match[2] != "s" else match[1])
    out.text(pattern[position:])
    return out.result(ev)
