"""What calling a builtin class makes: `int(x)`, `list(x)`, `dict(x)`, `type(x)`, ..."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import binary, is_number, some, truthy, type_name, used
from scriptc.frontend.pylib import dicts, enums, namedtuples  # noqa: F401  (register their constructors)
from scriptc.frontend.pylib.builtin_classes import constructor
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    Class,
    ClassMethod,
    Device,
    Dynamic,
    Instance,
    Property,
    PyDict,
    PyList,
    PySet,
    Size,
    StaticMethod,
    Super,
)
from scriptc.ir.types import FLOAT, STR, IntType


def _number(ev: Evaluator, value: Any, name: str, host: Any) -> Any:
    """int(value) or float(value)"""
    value = some(ev, used(ev, value))
    if isinstance(value, TensorValue):
        value = ev.op("item", value)
    if isinstance(value, Instance):
        method = value.cls.lookup(f"__{name}__")
        if method is not MISSING:
            from scriptc.frontend.evaluator.calls import call

            return call(ev, method, [value], {})
        value = value.native
    if isinstance(value, Dynamic):
        if value.type == STR:
            return ev.op("text", value, function=name)
        if not is_number(value):
            ev.error("E0211", what=f"{name}() of a value of type {value.type}")
        if (name == "int" and isinstance(value.type, IntType)) or (name == "float" and value.type == FLOAT):
            return value
        return ev.op(f"scalar_{name}", value)
    try:
        return host(value)
    except (TypeError, ValueError, OverflowError) as error:
        return ev.throw(type(error).__name__, str(error))


@constructor("int")
def make_int(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    if not arguments:
        return 0
    if len(arguments) == 2 or keywords:
        if any(isinstance(a, Dynamic) for a in (*arguments, *keywords.values())):
            from scriptc.frontend.pylib import strings

            return strings.text(ev, "int", *arguments, *keywords.values())
        try:
            return int(*arguments, **keywords)
        except (TypeError, ValueError) as error:
            return ev.throw(type(error).__name__, str(error))
    return _number(ev, arguments[0], "int", int)


@constructor("float")
def make_float(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    return _number(ev, arguments[0], "float", float) if arguments else 0.0


@constructor("complex")
def make_complex(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    if any(isinstance(a, Dynamic) for a in (*arguments, *keywords.values())):
        ev.error("E0211", what="complex() of numbers that are only known at run time")
    try:
        return complex(*arguments, **keywords)
    except (TypeError, ValueError) as error:
        return ev.throw(type(error).__name__, str(error))


@constructor("bool")
def make_bool(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    return truthy(ev, arguments[0]) if arguments else False


@constructor("str")
def make_str(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    from scriptc.frontend.pylib.formatting import str_of

    if not arguments:
        return ""
    if isinstance(arguments[0], Dynamic) and arguments[0].type == STR:
        return arguments[0]
    return str_of(ev, arguments[0])


@constructor("bytes")
def make_bytes(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> bytes:
    return bytes(*arguments)


@constructor("list")
def make_list(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PyList:
    from scriptc.frontend.pylib import lists

    return lists.make_list(ev, arguments[0]) if arguments else PyList([])


@constructor("tuple")
def make_tuple(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    if arguments and isinstance(arguments[0], TensorValue):
        from scriptc.frontend.pylib.iteration import Counted, iterate

        source = iterate(ev, arguments[0])
        if isinstance(source, Counted):
            ev.error("E0211", what="tuple() of a tensor whose first size is only known at run time")
    return tuple(items_of(ev, arguments[0])) if arguments else ()


@constructor("Size")
def make_size(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Size:
    return Size(items_of(ev, arguments[0])) if arguments else Size()


def _make_dict(kind: str) -> None:
    @constructor(kind)
    def make(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PyDict:
        made = PyDict({}, kind)
        for argument in arguments:
            dicts.update(ev, made, argument)
        for name, value in keywords.items():
            dicts.set_item(ev, made, name, value)
        return made


_make_dict("dict")
_make_dict("OrderedDict")


@constructor("defaultdict")
def make_defaultdict(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PyDict:
    made = PyDict({}, "defaultdict", arguments[0] if arguments else None)
    for argument in arguments[1:]:
        dicts.update(ev, made, argument)
    for name, value in keywords.items():
        dicts.set_item(ev, made, name, value)
    return made


@constructor("Counter")
def make_counter(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PyDict:
    made = PyDict({}, "Counter")
    for argument in arguments:
        dicts.walked(ev, argument, lambda item: dicts.set_item(ev, made, item, binary(ev, "Add", dicts.get(ev, made, item, 0), 1)))
    return made


@constructor("set")
def make_set(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PySet:
    return dicts.add_all(ev, PySet(), arguments[0]) if arguments else PySet()


@constructor("frozenset")
def make_frozenset(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> PySet:
    return dicts.add_all(ev, PySet(frozen=True), arguments[0]) if arguments else PySet(frozen=True)


@constructor("slice")
def make_slice(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> slice:
    return slice(*arguments)


@constructor("object")
def make_object(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
    return Instance(cls)


@constructor("type")
def make_type(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    from scriptc.frontend.evaluator.classes import adopt, finish, make_class
    from scriptc.frontend.evaluator.objects import class_of

    if len(arguments) == 1:
        return class_of(ev, arguments[0])
    name, bases, namespace = arguments
    made = make_class(ev, name, tuple(items_of(ev, bases)), dict(namespace.content), ev.stack[-1].source.name)
    adopt(made)
    finish(ev, made, keywords)
    return made


@constructor("range")
def make_range(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    from scriptc.frontend.pylib.iteration import DynamicRange

    values = [_number(ev, a, "int", int) if not isinstance(a, int) else a for a in arguments]
    if any(isinstance(a, float) for a in arguments):
        ev.throw("TypeError", "'float' object cannot be interpreted as an integer")
    if any(isinstance(v, Dynamic) for v in values):
        start, stop, step = (0, values[0], 1) if len(values) == 1 else (values[0], values[1], values[2] if len(values) > 2 else 1)
        return DynamicRange(start, stop, step)
    try:
        return range(*values)
    except (TypeError, ValueError) as error:
        return ev.throw(type(error).__name__, str(error))


@constructor("device")
def make_device(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Device:
    return device_of(ev, arguments[0] if arguments else keywords["type"],
                     arguments[1] if len(arguments) > 1 else keywords.get("index"))


def device_of(ev: Evaluator, value: Any, index: int | None = None) -> Device:
    """A device from its text or from another device."""
    if isinstance(value, Device):
        return value
    if isinstance(value, int):
        return Device("cuda", value)
    if not isinstance(value, str):
        ev.throw("TypeError", f"device() cannot be made of a {type_name(value)}")
    kind, _, number = value.partition(":")
    return Device(kind, int(number) if number else index)


@constructor("property")
def make_property(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Property:
    parts = [*arguments, None, None][:2]
    return Property(keywords.get("fget", parts[0] if arguments else None), keywords.get("fset", parts[1]))


@constructor("super")
def make_super(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Super:
    if len(arguments) != 2 or keywords or not isinstance(arguments[0], Class) or not isinstance(arguments[1], Class | Instance):
        ev.throw("TypeError", "super() takes a class and an object of it here", hint="write super() inside a method, or super(Class, self)")
    start, owner = arguments
    return Super(start, owner if isinstance(owner, Class) else owner.cls, owner)


def static_method(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> StaticMethod:
    """@staticmethod"""
    return StaticMethod(arguments[0])


def class_method(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> ClassMethod:
    """@classmethod"""
    return ClassMethod(arguments[0])


