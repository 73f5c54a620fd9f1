"""Registration of bindings, and the modules and the Tensor class made from them."""
from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from scriptc.frontend.evaluator.core import Evaluator, did_you_mean
from scriptc.frontend.evaluator.operators import some
from scriptc.frontend.storage import TensorValue, dtype, read, shape_of, write
from scriptc.frontend.values import Builtin, Class, LanguageError, Property, Unavailable
from scriptc.ir.types import DTYPES

TORCH: dict[str, dict[str, Any]] = {"torch": {}}
METHODS: dict[str, Builtin] = {}
TENSOR_PROPERTIES: dict[str, Callable[[Evaluator, TensorValue], Any]] = {}
PYTHON_TYPES = {"float": "float64", "int": "int64", "bool": "bool", "complex": "complex128"}     # Python's own types as dtypes
_ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "self": "input", "a": "input", "tensor": "input"}


def builtin(name: str, function: Callable[..., Any]) -> Builtin:
    """A host function as a Builtin: torch's alternative keyword names are accepted, wrong arguments are a TypeError."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters)[1:]

    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        given: dict[str, Any] = {}
        out = None
        for value in (*arguments, *keywords.values()):
            if isinstance(value, Unavailable):
                ev.error("E0220", what=value.name, reason=value.reason, hint=value.hint)
        for key, value in keywords.items():
            if key not in parameters and _ALIASES.get(key) in parameters:
                key = _ALIASES[key]
            if key == "out" and "out" not in parameters:
                out = value
                continue
            if key in parameters and signature.parameters[key].kind is inspect.Parameter.VAR_POSITIONAL:
                arguments = [*arguments, value]   # zeros(size=(2, 2)) is zeros((2, 2))
                continue
            if key == "dtype" and isinstance(value, Class) and value.native in PYTHON_TYPES:
                value = DTYPES[PYTHON_TYPES[value.native]]
            given[key] = value
        arguments = [some(ev, argument) for argument in arguments]
        given = {key: some(ev, value) for key, value in given.items()}
        try:
            signature.bind(ev, *arguments, **given)
        except TypeError as error:
            unknown = next((k for k in given if k not in parameters), "")
            return ev.throw("TypeError", f"{name}() {error}", did_you_mean(unknown, parameters) if unknown else None)
        try:
            result = function(ev, *arguments, **given)
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
            return unfit(ev, name, arguments, given, error)
        return result if out is None else write_out(ev, name, result, out)
    return Builtin(name, invoke, as_method=False)


def unfit(ev: Evaluator, name: str, arguments: list[Any], keywords: dict[str, Any], error: Exception) -> Any:
    """TypeError of the language for arguments of kinds that a function was not written for; a fault of ours stays one."""
    from scriptc.frontend.evaluator.operators import type_name

    kinds = [*map(type_name, arguments), *(f"{k}={type_name(v)}" for k, v in keywords.items())]
    try:
        ev.throw("TypeError", f"{name}() does not take ({', '.join(kinds)})")
    except LanguageError as told:
        raise told from error


def write_out(ev: Evaluator, name: str, result: Any, out: Any) -> TensorValue:
    """The result written into the tensor given as `out=`, which must have its shape and dtype already."""
    if not isinstance(result, TensorValue) or not isinstance(out, TensorValue):
        ev.error("E0222", name=f"{name}(out=...) of a function with several results")
    if shape_of(ev, result) != shape_of(ev, out) or None in (shape_of(ev, out) or (None,)) or dtype(result) is not dtype(out):
        ev.error("E0222", name=f"{name}(out=...) into a tensor of another shape or dtype",
                 hint="use the result, or write it with copy_()")
    write(ev, out, read(ev, result))
    return out


def torch_function(*names: str, module: str = "torch") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register as a function of a torch module."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            TORCH.setdefault(module, {})[name] = builtin(name, function)
        return function
    return register


def tensor_method(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register as a method of Tensor."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            made = builtin(name, function)
            made.as_method = True
            METHODS[name] = made
        return function
    return register


def both(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register as torch.name and as Tensor.name."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        return torch_function(*names)(tensor_method(*names)(function))
    return register


def tensor_property(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register as an attribute of Tensor that is no method."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            TENSOR_PROPERTIES[name] = function
        return function
    return register


_FAMILIES = ("promotion", "creation", "elementwise", "reduction", "shape", "indexing", "linalg", "context", "random", "tensor",
             "dtypes", "special", "composites", "autocast")


def _load() -> None:
    for family in _FAMILIES:
        importlib.import_module(f"scriptc.frontend.torchlib.bindings.{family}")


def build_tensor_class(ev: Evaluator) -> Class:
    """torch.Tensor"""
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    _load()
    cls = Class("Tensor", (builtin_class("object"),), dict(METHODS), "torch", native="tensor")
    for name, getter in TENSOR_PROPERTIES.items():
        cls.slots[name] = Property(Builtin(name, _property(getter)))
    return cls


def _property(getter: Callable[[Evaluator, TensorValue], Any]) -> Any:
    return lambda ev, arguments, keywords: getter(ev, arguments[0])


def torch_modules(ev: Evaluator) -> dict[str, dict[str, Any]]:
    """Module name -> names bound here; the rest of each module is its file in `source`."""
    from scriptc.frontend.torchlib.bindings.dtypes import named_values
    from scriptc.frontend.torchlib.bindings.ops import op_module

    _load()
    tensor = ev.importer.tensor_class or build_tensor_class(ev)
    ev.importer.tensor_class = tensor
    return {**TORCH, "torch": {**TORCH["torch"], **named_values(), "Tensor": tensor},
            "torch.nn.parameter": {"Parameter": ev.importer.parameter_class(ev), **TORCH.get("torch.nn.parameter", {})},
            "__ops__": op_module()}
