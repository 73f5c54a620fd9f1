"""str: the host's own methods over known strings, the op `text` over those that are only known at run time."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.joins import either
from scriptc.frontend.evaluator.operators import is_dynamic_list, is_number, is_string, some, type_name
from scriptc.frontend.pylib.methods import METHODS, method
from scriptc.frontend.values import Builtin, Dynamic, PyDict, PyList, StaticMethod
from scriptc.ir.graph import Value
from scriptc.ir.ops.text import FUNCTIONS
from scriptc.ir.types import FLOAT, STR, ListType

# The parameters that may be given by name, after those that may not.
_NAMED = {"split": (0, ("sep", "maxsplit")), "rsplit": (0, ("sep", "maxsplit")), "splitlines": (0, ("keepends",)),
          "expandtabs": (0, ("tabsize",))}
_DEFAULTS = {"sep": None, "maxsplit": -1}
_PARTS = ("partition", "rpartition")


def is_text(value: Any) -> bool:
    """True for a string that is only known at run time."""
    return isinstance(value, Dynamic) and value.type == STR


def text(ev: Evaluator, function: str, *operands: Any) -> Any:
    """The op `text`, its list of strings a list of the language. A TypeError where Python raises one."""
    values = [some(ev, o) for o in operands]
    letters = FUNCTIONS[function][0].replace("?", "")
    for letter, value in zip(letters, values, strict=False):
        if letter in "sn" and not is_string(value) and not (letter == "n" and value is None):
            ev.throw("TypeError", f"must be str, not {type_name(value)}")
        if letter in "imb" and not (letter == "m" and value is None) and \
                (not is_number(value) or isinstance(value, float) or (isinstance(value, Dynamic) and value.type == FLOAT)):
            ev.throw("TypeError", f"'{type_name(value)}' object cannot be interpreted as an integer")
    result = ev.raw("text", values, {"function": function})
    if not isinstance(result, Value):
        return result
    return PyList(Dynamic(result)) if isinstance(result.type, ListType) else Dynamic(result)


def length(ev: Evaluator, value: Dynamic) -> Any:
    """len(value)"""
    return text(ev, "length", value)


def item(ev: Evaluator, value: Any, index: Any) -> Any:
    """value[index], by an int or a slice"""
    if isinstance(index, slice):
        if index.step == 0:
            ev.throw("ValueError", "slice step cannot be zero")
        return text(ev, "slice", value, index.start, index.stop, index.step)
    if not is_number(index) or isinstance(index, float):
        ev.throw("TypeError", f"string indices must be integers, not '{type_name(index)}'")
    return text(ev, "item", value, index)


def contains(ev: Evaluator, container: Any, part: Any) -> Any:
    """part in container"""
    if not is_string(part):
        ev.throw("TypeError", f"'in <string>' requires string as left operand, not {type_name(part)}")
    return text(ev, "contains", container, part)


def repeat(ev: Evaluator, left: Any, right: Any) -> Any:
    """left * right, one of them a string"""
    return text(ev, "repeat", left, right) if is_string(left) else text(ev, "repeat", right, left)


def _ordered(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
    """The arguments by position, keywords in their places."""
    _, names = _NAMED.get(name, (0, ()))
    values = list(arguments)
    for parameter in names[len(values):]:
        if parameter in keywords:
            values.append(keywords.pop(parameter))
        elif keywords:
            values.append(_DEFAULTS[parameter])
    return values


def _string_method(name: str) -> None:
    def call(ev: Evaluator, self: Any, *arguments: Any, **keywords: Any) -> Any:
        if not any(isinstance(a, Dynamic) for a in (self, *arguments, *keywords.values())):
            try:
                result = getattr(self, name)(*arguments, **keywords)
            except (TypeError, ValueError) as error:
                return ev.throw(type(error).__name__, str(error))
            return PyList(result) if isinstance(result, list) else result
        if name in ("startswith", "endswith") and arguments and isinstance(arguments[0], tuple):
            found: Any = False
            for part in arguments[0]:
                found = either(ev, found, call(ev, self, part, *arguments[1:]))
            return found
        values = [self, *_ordered(name, arguments, keywords)]
        required, _, optional = FUNCTIONS[name][0].partition("?")
        if keywords or not len(required) <= len(values) <= len(required) + len(optional):
            ev.throw("TypeError", f"{name}() takes {len(required) - 1} to {len(required + optional) - 1} arguments ({len(values) - 1} given)")
        result = text(ev, name, *values)
        return tuple(Dynamic(ev.raw("list_get", [result.content, i], {})) for i in range(3)) if name in _PARTS else result
    call.__name__ = name
    method("str", name)(call)


for _name in FUNCTIONS:
    if hasattr(str, _name) and _name != "join":
        _string_method(_name)


@method("str", "join")
def string_join(ev: Evaluator, self: Any, items: Any) -> Any:
    from scriptc.frontend.pylib.iteration import items_of

    if is_dynamic_list(items) or is_text(items):
        characters = text(ev, "characters", items) if is_text(items) else items
        if characters.content.type != ListType(STR):
            ev.throw("TypeError", "sequence item 0: expected str instance")
        return Dynamic(ev.raw("text", [self, characters.content], {"function": "join"}))
    parts = items_of(ev, items)
    for index, part in enumerate(parts):
        if not is_string(part):
            ev.throw("TypeError", f"sequence item {index}: expected str instance, {type_name(part)} found")
    if is_text(self):
        between = [p for part in parts for p in (self, part)][1:]
        return ev.op("scalar_format", *between, pattern="{}" * len(between)) if between else ""
    if any(isinstance(p, Dynamic) for p in parts):
        return ev.op("scalar_format", *parts, pattern=self.replace("{", "{{").replace("}", "}}").join(["{}"] * len(parts)))
    return self.join(parts)


@method("str", "format")
def string_format(ev: Evaluator, self: Any, *arguments: Any, **keywords: Any) -> Any:
    from scriptc.frontend.pylib.formatting import format_method

    if isinstance(self, Dynamic):
        ev.error("E0211", what="str.format of a pattern that is only known at run time")
    return format_method(ev, self, list(arguments), keywords)


@method("str", "encode")
def string_encode(ev: Evaluator, self: Any, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    if isinstance(self, Dynamic):
        ev.error("E0211", what="str.encode of a string that is only known at run time")
    return encoded(ev, self.encode, encoding, errors)


@method("bytes", "decode")
def bytes_decode(ev: Evaluator, self: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    return str(encoded(ev, self.decode, encoding, errors))


def encoded(ev: Evaluator, convert: Callable[..., Any], encoding: str, errors: str) -> Any:
    try:
        return convert(encoding, errors)
    except (LookupError, UnicodeError) as error:
        return ev.throw("LookupError" if isinstance(error, LookupError) else "ValueError", str(error))


@method("str", "translate")
def string_translate(ev: Evaluator, self: Any, table: Any) -> Any:
    entries = table.content if isinstance(table, PyDict) else None
    if entries is None or any(isinstance(v, Dynamic) for v in entries.values()):
        ev.error("E0211", what="str.translate by a table that is only known at run time")
    if not isinstance(self, Dynamic):
        return self.translate(entries)
    if any(isinstance(new, str) and any(ord(c) in entries for c in new) for new in entries.values()):
        ev.error("E0211", what="str.translate of a string that is only known at run time, by a table whose results it maps again,")
    for old, new in entries.items():
        made = "" if new is None else chr(new) if isinstance(new, int) else new
        self = text(ev, "replace", self, chr(old), made)
    return self


def maketrans(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> PyDict:
    """str.maketrans"""
    values = [a.content if isinstance(a, PyDict) else a for a in arguments]
    if any(isinstance(v, Dynamic) for v in values):
        ev.error("E0211", what="str.maketrans of a string that is only known at run time")
    try:
        return PyDict(dict(str.maketrans(*values)))
    except (TypeError, ValueError) as error:
        return ev.throw(type(error).__name__, str(error))


METHODS["str"]["maketrans"] = StaticMethod(Builtin("maketrans", maketrans))
