"""`inspect`: signatures of the language's functions."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.pylib.builtins import host_function
from scriptc.frontend.values import MISSING, BoundMethod, Class, Function, Instance, PyDict

_KINDS = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY", "VAR_KEYWORD")
_PARAMETER: list[Class] = []


def parameter_class() -> Class:
    """inspect.Parameter"""
    if not _PARAMETER:
        empty = Class("_empty", (builtin_class("object"),), {}, "inspect")
        _PARAMETER.append(Class("Parameter", (builtin_class("object"),), {**{k: i for i, k in enumerate(_KINDS)}, "empty": empty}, "inspect"))
    return _PARAMETER[0]


def module() -> dict[str, Any]:
    """The names of `inspect`."""
    return {
        "signature": host_function("signature", signature), "Parameter": parameter_class(),
        "isfunction": host_function("isfunction", lambda ev, f: isinstance(f, Function)),
        "ismethod": host_function("ismethod", lambda ev, f: isinstance(f, BoundMethod)),
        "isclass": host_function("isclass", lambda ev, c: isinstance(c, Class)),
    }


def signature(ev: Evaluator, function: Any) -> Instance:
    """inspect.signature: an object with `parameters`, in order."""
    skip = 0
    if isinstance(function, Class):
        function, skip = function.lookup("__init__"), 1
    if isinstance(function, BoundMethod):
        function, skip = function.function, 1
    if not isinstance(function, Function):
        ev.throw("ValueError", "no signature found")
    wrapped = (function.attributes or {}).get("__wrapped__")
    if isinstance(wrapped, Function):
        function = wrapped
    spec = function.node.args
    positional = [*((a.arg, 0) for a in spec.posonlyargs), *((a.arg, 1) for a in spec.args)]
    defaults = [MISSING] * (len(positional) - len(function.defaults)) + list(function.defaults)
    found: dict[str, Instance] = {}
    for (name, kind), default in list(zip(positional, defaults, strict=True))[skip:]:
        found[name] = parameter(name, kind, default)
    if spec.vararg is not None:
        found[spec.vararg.arg] = parameter(spec.vararg.arg, 2, MISSING)
    for argument in spec.kwonlyargs:
        found[argument.arg] = parameter(argument.arg, 3, function.keyword_defaults.get(argument.arg, MISSING))
    if spec.kwarg is not None:
        found[spec.kwarg.arg] = parameter(spec.kwarg.arg, 4, MISSING)
    made = Instance(Class("Signature", (builtin_class("object"),), {}, "inspect"))
    made.slots["parameters"] = PyDict(found)
    return made


def parameter(name: str, kind: int, default: Any) -> Instance:
    """One inspect.Parameter."""
    cls = parameter_class()
    made = Instance(cls)
    made.slots.update(name=name, kind=kind, default=cls.slots["empty"] if default is MISSING else default, annotation=cls.slots["empty"])
    return made
