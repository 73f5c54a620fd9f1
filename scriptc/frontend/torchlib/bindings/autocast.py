"""torch.autocast on the processor: products in half precision, losses in float32, parameters where norms read them as they are."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.storage import TensorValue, dtype
from scriptc.frontend.torchlib.bindings.register import TORCH, torch_function
from scriptc.frontend.values import Builtin, Class, Function
from scriptc.ir.types import DTYPES, DType

FLOAT32 = DTYPES["float32"]
HALVES = (DTYPES["bfloat16"], DTYPES["float16"])
# The lists of torch's CPU: what is computed in half precision, and what in float32 whatever it is given.
LOWERED = frozenset(("matmul", "linear", "einsum", "convolution", "conv_transpose", "scaled_dot_product_attention"))
RAISED = frozenset(("cross_entropy", "nll_loss", "ctc_loss", "cdist", "prod"))
# These take float32 parameters beside half-precision inputs, compute in float32, and answer in the input's dtype.
NORMS = frozenset(("layer_norm", "group_norm", "batch_norm", "batch_norm_train", "rms_norm"))


def cast_all(ev: Evaluator, operands: tuple[Any, ...], wanted: DType) -> tuple[Any, ...]:
    """The operands with tensors of float32 and half precision in one of them."""
    return tuple(ev.op("cast", o, dtype=wanted) if isinstance(o, TensorValue) and dtype(o) is not wanted and dtype(o) in (FLOAT32, *HALVES)
                 else o for o in operands)


def casting(low: DType) -> Callable[..., Any]:
    """What `Evaluator.op` asks while autocast to `low` is on."""
    def apply(ev: Evaluator, name: str, operands: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        if name in LOWERED:
            return without(ev, lambda: ev.op(name, *cast_all(ev, operands, low), **attributes))
        if name in RAISED:
            return without(ev, lambda: ev.op(name, *cast_all(ev, operands, FLOAT32), **attributes))
        if name in NORMS and dtype(operands[0]) in HALVES:
            results = without(ev, lambda: ev.op(name, *cast_all(ev, operands, FLOAT32), **attributes))
            first, *rest = results if isinstance(results, tuple) else (results,)
            first = ev.op("cast", first, dtype=dtype(operands[0]))
            return (first, *rest) if rest else first
        return NotImplemented
    return apply


def without(ev: Evaluator, action: Callable[[], Any]) -> Any:
    """The result of an action with autocast off."""
    before, ev.autocast = ev.autocast, None
    try:
        return action()
    finally:
        ev.autocast = before


def chosen(device: Any, low: Any, enabled: Any) -> DType | None:
    """The dtype to cast to; None for what changes nothing on the processor: other devices, other dtypes."""
    low = DTYPES["bfloat16"] if low is None else low
    return low if enabled and str(device).partition(":")[0] == "cpu" and low in HALVES else None


def autocast_class(device: str | None = None) -> Class:
    """A context manager and decorator; with `device` the form that takes (enabled, dtype) alone."""
    cls = Class("autocast", (builtin_class("object"),), {}, "torch")
    names = ("enabled", "dtype", "cache_enabled") if device else ("device_type", "dtype", "enabled", "cache_enabled")

    def init(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        given = {**dict(zip(names, arguments[1:], strict=False)), **keywords}
        arguments[0].slots["low"] = chosen(device or given.get("device_type", "cpu"), given.get("dtype"), given.get("enabled", True))

    def enter(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        target = arguments[0]
        target.slots["before"] = ev.autocast
        ev.autocast = None if target.slots["low"] is None else casting(target.slots["low"])
        return target

    def leave(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        ev.autocast = arguments[0].slots["before"]

    def decorate(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        target, function = arguments[0], arguments[1]

        def run(ev: Evaluator, given: list[Any], named: dict[str, Any]) -> Any:
            enter(ev, [target], {})
            try:
                return call(ev, function, given, named)
            finally:
                leave(ev, [target], {})
        return Builtin(getattr(function, "name", "function"), run, as_method=isinstance(function, Function), function=function)
    cls.slots.update({name: Builtin(name, made, as_method=True) for name, made in (
        ("__init__", init), ("__enter__", enter), ("__exit__", leave), ("__call__", decorate))})
    return cls


TORCH["torch"]["autocast"] = autocast_class()
TORCH.setdefault("torch.amp", {})["autocast"] = autocast_class()
TORCH.setdefault("torch.cpu.amp", {})["autocast"] = autocast_class("cpu")
TORCH.setdefault("torch.cuda.amp", {})["autocast"] = autocast_class("cuda")


@torch_function("is_autocast_enabled")
def is_autocast_enabled(ev: Evaluator, device_type: Any = "cuda") -> bool:
    """Whether autocast is on for a device."""
    return ev.autocast is not None and device_type == "cpu"


@torch_function("in_float32", module="__stage__")
def in_float32(ev: Evaluator, function: Any) -> Builtin:
    """A decorator for library functions that autocast runs in float32."""
    def run(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if ev.autocast is None:
            return call(ev, function, arguments, keywords)
        given = list(cast_all(ev, tuple(arguments), FLOAT32))
        named = dict(zip(keywords, cast_all(ev, tuple(keywords.values()), FLOAT32), strict=True))
        return without(ev, lambda: call(ev, function, given, named))
    return Builtin(function.name, run, as_method=False, function=function)
