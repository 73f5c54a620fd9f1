"""Attributes of builtin values that are no methods: `f.__name__`, `x.real`, `dtype.is_floating_point`, `slice.start`."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.frontend.values import (
    MISSING,
    BoundMethod,
    Builtin,
    Class,
    Device,
    Function,
    Instance,
    Partial,
    Property,
    PyDict,
    TypeForm,
)
from scriptc.ir.types import DType

_FUNCTION: dict[str, Callable[[Function], Any]] = {
    "__name__": lambda f: f.name,
    "__qualname__": lambda f: f.qualname,
    "__module__": lambda f: f.frame.globals.slots.get("__name__", ""),
    "__doc__": lambda f: None,
    "__wrapped__": lambda f: (f.attributes or {}).get("__wrapped__", MISSING),
    "__dict__": lambda f: PyDict(dict(f.attributes or {})),
    "__annotations__": lambda f: PyDict({}),
    "__defaults__": lambda f: f.defaults or None,
    "__code__": lambda f: _code(f),
    "__kwdefaults__": lambda f: PyDict(f.keyword_defaults) if f.keyword_defaults else None,
}


def _code(function: Function) -> Instance:
    """What is asked of a code object: the names of parameters and local variables, and how many arguments there are."""
    from scriptc.frontend.imports import bound_names
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    node: Any = function.node
    arguments = node.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    names = [*positional, *(a.arg for a in arguments.kwonlyargs), *(a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None)]
    body = node.body if isinstance(node.body, list) else []
    made = Instance(Class("code", (builtin_class("object"),), {}, "types"))
    made.slots.update(co_name=function.name, co_argcount=len(positional), co_kwonlyargcount=len(arguments.kwonlyargs),
                      co_posonlyargcount=len(arguments.posonlyargs),
                      co_varnames=tuple(dict.fromkeys([*names, *(n for statement in body for n in bound_names(statement))])))
    return made


def special_attribute(ev: Any, value: Any, name: str) -> Any:
    """The attribute, or MISSING where the type's methods are to be asked."""
    if name == "__class__":
        from scriptc.frontend.evaluator.objects import class_of

        return class_of(ev, value)
    if isinstance(value, Function):
        if value.attributes and name in value.attributes:
            return value.attributes[name]
        getter = _FUNCTION.get(name)
        return getter(value) if getter is not None else MISSING
    if isinstance(value, BoundMethod):
        if name == "__self__":
            return value.self
        if name == "__func__":
            return value.function
        return special_attribute(ev, value.function, name)
    if isinstance(value, Builtin):
        if name in ("__name__", "__qualname__"):
            return value.name
        return MISSING
    if isinstance(value, Partial):
        found = {"func": value.function, "args": value.arguments, "keywords": PyDict(dict(value.keywords))}
        return found.get(name, MISSING)
    if isinstance(value, DType):
        if name in ("is_floating_point", "is_complex", "is_signed", "itemsize"):
            return getattr(value, name)
        return MISSING
    if isinstance(value, Device) and name in ("type", "index"):
        return getattr(value, name)
    if isinstance(value, slice) and name in ("start", "stop", "step"):
        return getattr(value, name)
    if isinstance(value, int | float | complex) and name in ("real", "imag", "numerator", "denominator"):
        return getattr(value, name)
    if isinstance(value, Property):
        return _property_attribute(value, name)
    if isinstance(value, np.generic):
        from scriptc.frontend.pylib.numpylib.arrays import scalar_attribute

        return scalar_attribute(ev, value, name)
    if isinstance(value, TypeForm):
        if name == "__origin__":
            return value.origin
        return value.arguments if name == "__args__" else MISSING
    if isinstance(value, PyDict) and name == "default_factory":
        return value.factory
    return MISSING


def _property_attribute(value: Property, name: str) -> Any:
    if name == "setter":
        return Builtin("setter", lambda ev, a, k: Property(value.getter, a[0], value.deleter))
    if name == "deleter":
        return Builtin("deleter", lambda ev, a, k: Property(value.getter, value.setter, a[0]))
    if name == "getter":
        return Builtin("getter", lambda ev, a, k: Property(a[0], value.setter, value.deleter))
    return {"fget": value.getter, "fset": value.setter}.get(name, MISSING)


