"""dataclasses: fields from annotations, and the methods they imply."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import all_equal
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.pylib.builtins import host_function
from scriptc.frontend.values import MISSING, Builtin, Class, Instance, PyDict, PyList, TypeForm


class Field:
    """One declared field."""

    __slots__ = ("default", "factory", "init", "keyword_only", "name")

    def __init__(self, default: Any = MISSING, factory: Any = MISSING, init: bool = True, keyword_only: bool = False) -> None:
        self.name = ""
        self.default = default
        self.factory = factory
        self.init = init
        self.keyword_only = keyword_only


def module() -> dict[str, Any]:
    """The names of `dataclasses`."""
    return {
        "dataclass": Builtin("dataclass", decorate),
        "field": host_function("field", make_field),
        "fields": host_function("fields", field_list),
        "asdict": host_function("asdict", as_dict),
        "astuple": host_function("astuple", lambda ev, value: tuple(value.slots[f.name] for f in fields_of(value.cls))),
        "replace": host_function("replace", replace),
        "is_dataclass": host_function("is_dataclass", lambda ev, value: (
            value if isinstance(value, Class) else getattr(value, "cls", builtin_class("object"))).lookup("%fields") is not MISSING),
        "MISSING": NOT_GIVEN, "InitVar": TypeForm("InitVar"), "KW_ONLY": TypeForm("KW_ONLY"),
    }


NOT_GIVEN = Instance(Class("_MISSING_TYPE", (), {}, "dataclasses"))   # dataclasses.MISSING as the language sees it


def make_field(ev: Evaluator, *, default: Any = NOT_GIVEN, default_factory: Any = NOT_GIVEN, init: bool = True, repr: bool = True,
               compare: bool = True, hash: Any = None, metadata: Any = None, kw_only: bool = False) -> Field:
    """dataclasses.field"""
    return Field(MISSING if default is NOT_GIVEN else default, MISSING if default_factory is NOT_GIVEN else default_factory, init, kw_only)


def fields_of(cls: Class) -> list[Field]:
    """The fields in order, inherited ones first."""
    found = cls.lookup("%fields")
    return list(found) if found is not MISSING else []


def decorate(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """@dataclass or @dataclass(...)"""
    if not arguments:
        return Builtin("dataclass", lambda ev, a, k: install(a[0], keywords))
    return install(arguments[0], keywords)


def install(cls: Class, options: dict[str, Any]) -> Class:
    """Collect the fields and give the class its methods."""
    merged: dict[str, Field] = {}
    for base in reversed(cls.mro[1:]):
        for inherited in base.slots.get("%fields", ()):
            merged[inherited.name] = inherited
    for name, (annotation, _) in cls.annotations.items():
        if is_class_variable(annotation):
            continue
        value = cls.slots.get(name, MISSING)
        declared = value if isinstance(value, Field) else Field(value)
        declared.name = name
        declared.keyword_only = declared.keyword_only or bool(options.get("kw_only"))
        if isinstance(value, Field):
            if value.default is MISSING:
                del cls.slots[name]
            else:
                cls.slots[name] = value.default
        merged[name] = declared
    cls.slots["%fields"] = list(merged.values())
    cls.slots.setdefault("__match_args__", tuple(f.name for f in merged.values() if f.init and not f.keyword_only))
    if options.get("init", True) and "__init__" not in cls.slots:
        cls.slots["__init__"] = Builtin("__init__", initialize, as_method=True)
    if options.get("repr", True) and "__repr__" not in cls.slots:
        cls.slots["__repr__"] = Builtin("__repr__", represent, as_method=True)
    if options.get("eq", True) and "__eq__" not in cls.slots:
        cls.slots["__eq__"] = Builtin("__eq__", equal, as_method=True)
    return cls


def is_class_variable(annotation: Any) -> bool:
    node = annotation.value if annotation.__class__.__name__ == "Subscript" else annotation
    return getattr(node, "attr", getattr(node, "id", "")) == "ClassVar"


def initialize(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
    """The generated __init__."""
    target, values = arguments[0], arguments[1:]
    fields = [f for f in fields_of(target.cls) if f.init]
    positional = [f for f in fields if not f.keyword_only]
    if len(values) > len(positional):
        ev.throw("TypeError", f"{target.cls.name}.__init__() takes {len(positional) + 1} positional arguments but {len(values) + 1} were given")
    given = {f.name: v for f, v in zip(positional, values, strict=False)}
    known = {f.name for f in fields}
    for name, value in keywords.items():
        if name not in known:
            ev.throw("TypeError", f"{target.cls.name}.__init__() got an unexpected keyword argument '{name}'")
        given[name] = value
    for declared in fields_of(target.cls):
        if declared.name in given:
            value = given[declared.name]
        elif declared.factory is not MISSING:
            value = call(ev, declared.factory, [], {})
        elif declared.default is not MISSING:
            value = declared.default
        elif declared.init:
            ev.throw("TypeError", f"{target.cls.name}.__init__() missing 1 required positional argument: '{declared.name}'")
        else:
            continue
        target.write(declared.name, value)
    hook = target.cls.lookup("__post_init__")
    if hook is not MISSING:
        call(ev, hook, [target], {})


def represent(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """The generated __repr__."""
    from scriptc.frontend.pylib.formatting import _Pieces, put

    target = arguments[0]
    out = _Pieces()
    out.text(f"{target.cls.name}(")
    for index, declared in enumerate(fields_of(target.cls)):
        out.text(f"{', ' if index else ''}{declared.name}=")
        put(ev, out, target.slots.get(declared.name), True)
    out.text(")")
    return out.result(ev)


def equal(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """The generated __eq__."""
    left, right = arguments
    if not isinstance(right, Instance) or right.cls is not left.cls:
        return NotImplemented
    return all_equal(ev, [(left.slots[f.name], right.slots[f.name]) for f in fields_of(left.cls)])


def field_list(ev: Evaluator, value: Any) -> tuple[Any, ...]:
    """dataclasses.fields"""
    cls = value if isinstance(value, Class) else value.cls
    kind = Class("Field", (builtin_class("object"),), {}, "dataclasses")
    result = []
    for declared in fields_of(cls):
        made = Instance(kind)
        made.slots.update(name=declared.name, default=NOT_GIVEN if declared.default is MISSING else declared.default,
                          default_factory=NOT_GIVEN if declared.factory is MISSING else declared.factory, init=declared.init,
                          kw_only=declared.keyword_only, metadata=PyDict({}), type=None)
        result.append(made)
    return tuple(result)


def as_dict(ev: Evaluator, value: Any) -> Any:
    """dataclasses.asdict"""
    if isinstance(value, Instance) and fields_of(value.cls):
        return PyDict({f.name: as_dict(ev, value.slots[f.name]) for f in fields_of(value.cls)})
    if isinstance(value, PyList):
        return PyList([as_dict(ev, v) for v in value.content])
    return value


def replace(ev: Evaluator, value: Any, **changes: Any) -> Any:
    """dataclasses.replace"""
    given = {f.name: value.slots[f.name] for f in fields_of(value.cls) if f.init}
    return call(ev, value.cls, [], {**given, **changes})


def namespace_class() -> Class:
    """types.SimpleNamespace"""
    cls = Class("SimpleNamespace", (builtin_class("object"),), {}, "types")

    def init(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        for name, value in keywords.items():
            arguments[0].write(name, value)
    cls.slots["__init__"] = Builtin("__init__", init, as_method=True)
    return cls
