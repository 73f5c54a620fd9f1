"""Enumerations: members made when the class is."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class, constructor
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Class,
    ClassMethod,
    Function,
    Instance,
    Property,
    StaticMethod,
)


class Auto:
    """The value of `enum.auto()` until its class is finished."""


def finish(ev: Evaluator, cls: Class) -> None:
    """Turn the class's plain values into members."""
    mixin = next((c.name for c in cls.mro if c.name in ("str", "int") and not c.module), "")
    members_: list[Instance] = []
    last = 0
    for name, value in list(cls.slots.items()):
        if name.startswith("_") or isinstance(value, Function | Builtin | Property | StaticMethod | ClassMethod | Class):
            continue
        if isinstance(value, Auto):
            value = name.lower() if mixin == "str" else last + 1
        if isinstance(value, int):
            last = value
        member = next((m for m in members_ if type(m.slots["value"]) is type(value) and m.slots["value"] == value), None)
        if member is None:
            member = Instance(cls, value if mixin and not isinstance(value, tuple) else None)
            member.slots.update(name=name, value=value, _name_=name, _value_=value)
            init = cls.lookup("__init__")
            if isinstance(init, Function):
                from scriptc.frontend.evaluator.calls import call

                call(ev, init, [member, *(value if isinstance(value, tuple) else (value,))], {})
            members_.append(member)
        cls.slots[name] = member
    cls.slots["%members"] = members_
    cls.native = "enum"


def members(cls: Class) -> list[Any]:
    """The members in order of definition."""
    return list(cls.slots.get("%members", ()))


def member_by_name(ev: Evaluator, cls: Class, name: Any) -> Any:
    """cls[name]"""
    for member in members(cls):
        if member.slots["name"] == name:
            return member
    return ev.throw("KeyError", repr(name))


@constructor("enum")
def member_by_value(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """cls(value)"""
    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.evaluator.operators import compare, truthy
    from scriptc.frontend.pylib.formatting import repr_of

    (value,) = arguments
    if isinstance(value, Instance) and value.cls is cls:
        return value
    for member in members(cls):
        if truthy(ev, compare(ev, "Eq", member.slots["value"], value)) is True:
            return member
    hook = cls.lookup("_missing_")
    if hook is not MISSING:
        found = call(ev, getattr(hook, "function", hook), [cls, value], {})
        if found is not None:
            return found
    return ev.throw("ValueError", f"{repr_of(ev, value)} is not a valid {cls.name}")


def enum_classes() -> dict[str, Class]:
    """Enum, IntEnum, StrEnum, Flag as the `enum` module exports them."""
    base = builtin_class("Enum")
    base.slots.setdefault("__str__", Builtin("__str__", lambda ev, a, k: f"{a[0].cls.name}.{a[0].slots['name']}", as_method=True))
    base.slots.setdefault("__repr__", Builtin("__repr__", _repr, as_method=True))
    int_enum = Class("IntEnum", (builtin_class("int"), base), {}, "enum")
    str_enum = Class("StrEnum", (builtin_class("str"), base), {}, "enum")
    for cls in (int_enum, str_enum):
        cls.native = "enum"
    return {"Enum": base, "IntEnum": int_enum, "StrEnum": str_enum, "Flag": base, "IntFlag": int_enum}


def _repr(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> str:
    from scriptc.frontend.pylib.formatting import repr_of

    member = arguments[0]
    return f"<{member.cls.name}.{member.slots['name']}: {repr_of(ev, member.slots['value'])}>"
