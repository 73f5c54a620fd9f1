"""Named tuples: `typing.NamedTuple` classes and `collections.namedtuple`."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class, constructor
from scriptc.frontend.values import Builtin, Class, ClassMethod, Property, PyDict, StructTuple


def finish(ev: Evaluator, cls: Class) -> None:
    """A `class P(NamedTuple)` body: annotated names are the fields, assigned ones have defaults."""
    fields = tuple(cls.annotations)
    defaults = {name: cls.slots[name] for name in fields if name in cls.slots}
    install(cls, fields, defaults)


def install(cls: Class, fields: tuple[str, ...], defaults: dict[str, Any]) -> None:
    """Give `cls` the fields and methods of a named tuple."""
    cls.native = "namedtuple"
    cls.slots["_fields"] = fields
    cls.slots["_field_defaults"] = PyDict(dict(defaults))
    for index, name in enumerate(fields):
        cls.slots[name] = Property(Builtin(name, _getter(index)))
    cls.slots["_replace"] = Builtin("_replace", _replace, as_method=True)
    cls.slots["_asdict"] = Builtin("_asdict", lambda ev, a, k: PyDict(dict(zip(fields, a[0], strict=True))), as_method=True)
    cls.slots["_make"] = ClassMethod(Builtin("_make", _make))


def _getter(index: int) -> Any:
    return lambda ev, arguments, keywords: tuple.__getitem__(arguments[0], index)


def _replace(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> StructTuple:
    value = arguments[0]
    fields = value.cls.lookup("_fields")
    unknown = [k for k in keywords if k not in fields]
    if unknown:
        ev.throw("ValueError", f"Got unexpected field names: {unknown!r}")
    return StructTuple(value.cls, [keywords.get(f, v) for f, v in zip(fields, value, strict=True)])


def _make(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    from scriptc.frontend.pylib.iteration import items_of

    return construct(ev, arguments[0], items_of(ev, arguments[1]), {})


@constructor("namedtuple")
def construct(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """cls(*arguments, **keywords)"""
    if cls is builtin_class("namedtuple"):
        return make_namedtuple(ev, arguments, keywords)
    fields = cls.lookup("_fields")
    defaults = cls.lookup("_field_defaults").content
    if len(arguments) > len(fields):
        ev.throw("TypeError", f"{cls.name}.__new__() takes {len(fields) + 1} positional arguments but {len(arguments) + 1} were given")
    given = dict(zip(fields, arguments, strict=False))
    for name, value in keywords.items():
        if name not in fields or name in given:
            ev.throw("TypeError", f"{cls.name}.__new__() got an unexpected keyword argument '{name}'")
        given[name] = value
    missing = [f for f in fields if f not in given and f not in defaults]
    if missing:
        ev.throw("TypeError", f"{cls.name}.__new__() missing {len(missing)} required positional argument"
                              f"{'s' if len(missing) > 1 else ''}: {' and '.join(map(repr, missing))}")
    return StructTuple(cls, [given[f] if f in given else defaults[f] for f in fields])


def make_namedtuple(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Class:
    """collections.namedtuple(name, fields, defaults=...) and the functional form of typing.NamedTuple"""
    from scriptc.frontend.pylib.iteration import items_of

    name, fields = arguments[0], arguments[1] if len(arguments) > 1 else keywords.get("field_names", ())
    names = fields.replace(",", " ").split() if isinstance(fields, str) else \
        [f if isinstance(f, str) else f[0] for f in items_of(ev, fields)]
    values = items_of(ev, keywords["defaults"]) if keywords.get("defaults") is not None else []
    cls = Class(name, (builtin_class("tuple"),), {}, ev.stack[-1].source.name)
    install(cls, tuple(names), dict(zip(names[len(names) - len(values):], values, strict=True)))
    return cls
