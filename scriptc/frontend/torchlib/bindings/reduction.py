"""Reductions, orders and scans."""
from __future__ import annotations

from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.promotion import converted, integral_to_float, promoted
from scriptc.frontend.torchlib.bindings.register import both, tensor_method
from scriptc.frontend.values import Class, PyList, StructTuple
from scriptc.ir.types import DTYPES, FLOAT_CATEGORY, int64, uint8

_RESULTS: dict[tuple[str, ...], Class] = {}


def named(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> StructTuple:
    """torch.return_types.name(fields)"""
    from scriptc.frontend.pylib.namedtuples import install

    cls = _RESULTS.get((name, *fields))
    if cls is None:
        cls = _RESULTS[(name, *fields)] = Class(name, (builtin_class("tuple"),), {}, "torch.return_types")
        install(cls, fields, {})
    return StructTuple(cls, values)


def dims_of(ev: Evaluator, dim: Any) -> tuple[int, ...] | None:
    """A dimension or several as a tuple; None for all."""
    if dim is None:
        return None
    if isinstance(dim, int):
        return (dim,)
    return tuple(items_of(ev, dim)) or None


def in_dtype(ev: Evaluator, input: Any, dtype: Any) -> Any:
    return input if dtype is None else converted(ev, input, dtype)


def _reduction(op: str, name: str, with_dtype: bool) -> None:
    def function(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> TensorValue:
        return in_dtype(ev, ev.op(op, in_dtype(ev, input, dtype), dims=dims_of(ev, dim), keepdim=bool(keepdim)), dtype)

    def plain(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False) -> TensorValue:
        return ev.op(op, input, dims=dims_of(ev, dim), keepdim=bool(keepdim))
    both(name)(function if with_dtype else plain)


_reduction("sum", "sum", True)
_reduction("prod", "prod", True)
_reduction("mean", "mean", True)
_reduction("amax", "amax", False)
_reduction("amin", "amin", False)


def _truth_reduction(name: str) -> None:
    def function(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False) -> TensorValue:
        result = ev.op(name, input, dims=dims_of(ev, dim), keepdim=bool(keepdim))
        # A uint8 tensor was torch's bool once, and its any() and all() still answer in uint8.
        return converted(ev, result, uint8) if storage.dtype(input) is uint8 else result
    both(name)(function)


_truth_reduction("any")
_truth_reduction("all")


@both("logsumexp")
def logsumexp(ev: Evaluator, input: Any, dim: Any, keepdim: Any = False) -> TensorValue:
    return ev.op("logsumexp", integral_to_float(ev, input), dims=dims_of(ev, dim), keepdim=bool(keepdim))


@both("nansum")
def nansum(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> TensorValue:
    input = in_dtype(ev, input, dtype)
    if storage.dtype(input).category < FLOAT_CATEGORY:
        return ev.op("sum", input, dims=dims_of(ev, dim), keepdim=bool(keepdim))
    return ev.op("sum", ev.op("masked_fill", input, ev.op("isnan", input), 0.0), dims=dims_of(ev, dim), keepdim=keepdim)


def _extreme(name: str) -> None:
    def function(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False, *, other: Any = None) -> Any:
        if isinstance(dim, TensorValue) or other is not None:
            left, right = promoted(ev, input, dim if other is None else other)
            return ev.op("maximum" if name == "max" else "minimum", left, right)
        if dim is None:
            return ev.op(f"a{name}", input, dims=None, keepdim=False)
        return named(name, ("values", "indices"), ev.op(f"{name}_with_index", input, dim=dim, keepdim=bool(keepdim)))
    both(name)(function)


_extreme("max")
_extreme("min")


def _position(name: str) -> None:
    def function(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False) -> TensorValue:
        return ev.op(name, input, dim=dim, keepdim=bool(keepdim))
    both(name)(function)


_position("argmax")
_position("argmin")


def variance(ev: Evaluator, input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: Any) -> TensorValue:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    amount = correction if correction is not None else (0 if unbiased is False else 1)
    return ev.op("var", input, dims=dims_of(ev, dim), correction=float(amount), keepdim=bool(keepdim))


@both("var")
def var(ev: Evaluator, input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> TensorValue:
    return variance(ev, input, dim, unbiased, correction, keepdim)


@both("std")
def std(ev: Evaluator, input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> TensorValue:
    return ev.op("sqrt", variance(ev, input, dim, unbiased, correction, keepdim))


@both("var_mean")
def var_mean(ev: Evaluator, input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return (variance(ev, input, dim, unbiased, correction, keepdim), ev.op("mean", input, dims=dims_of(ev, dim), keepdim=bool(keepdim)))


@both("std_mean")
def std_mean(ev: Evaluator, input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return (std(ev, input, dim, unbiased, keepdim, correction=correction),
            ev.op("mean", input, dims=dims_of(ev, dim), keepdim=bool(keepdim)))


@both("norm")
def norm(ev: Evaluator, input: Any, p: Any = "fro", dim: Any = None, keepdim: Any = False, dtype: Any = None) -> TensorValue:
    if p == "nuc":
        from scriptc.frontend.torchlib.bindings.composites import library_function

        return library_function("torch.linalg", "matrix_norm")(ev, in_dtype(ev, input, dtype), "nuc", (-2, -1) if dim is None else dim, keepdim)
    if isinstance(p, str) and p != "fro":
        ev.throw("RuntimeError", f"norm: order {p} is not supported")
    order = 2.0 if p in ("fro", None) else float(p)
    return ev.op("norm", in_dtype(ev, input, dtype), p=order, dims=dims_of(ev, dim), keepdim=bool(keepdim))


def _scan(name: str) -> None:
    def function(ev: Evaluator, input: Any, dim: Any, *, dtype: Any = None) -> TensorValue:
        return in_dtype(ev, ev.op(name, in_dtype(ev, input, dtype), dim=dim), dtype)
    both(name)(function)
    inplace(name, function)


_scan("cumsum")
_scan("cumprod")


@both("sort")
def sort(ev: Evaluator, input: Any, dim: Any = -1, descending: Any = False, *, stable: Any = False) -> Any:
    return named("sort", ("values", "indices"), ev.op("sort", input, dim=dim, descending=bool(descending), stable=bool(stable)))


@both("argsort")
def argsort(ev: Evaluator, input: Any, dim: Any = -1, descending: Any = False, *, stable: Any = False) -> Any:
    return ev.op("sort", input, dim=dim, descending=bool(descending), stable=bool(stable))[1]


@both("topk")
def topk(ev: Evaluator, input: Any, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Any:
    return named("topk", ("values", "indices"), ev.op("topk", input, k, dim=dim, largest=bool(largest), sorted=bool(sorted)))


@both("median")
def median(ev: Evaluator, input: Any, dim: Any = None, keepdim: Any = False) -> Any:
    if dim is not None and storage.shape_of(ev, input) == ():
        return named("median", ("values", "indices"), (input, ev.op("full", 0, dtype=int64)))
    flat = ev.op("reshape", input, -1) if dim is None else input
    axis = 0 if dim is None else dim
    values, indices = ev.op("sort", flat, dim=axis, descending=False, stable=True)
    count = ev.size((storage.shape_of(ev, flat) or (None,))[axis], flat, axis % max(len(storage.shape_of(ev, flat) or ()), 1))
    from scriptc.frontend.evaluator.operators import binary

    middle = binary(ev, "FloorDiv", binary(ev, "Sub", count, 1), 2)
    picked = [ev.op("select", v, middle, dim=axis) for v in (values, indices)]
    if storage.dtype(input).is_floating_point:
        # nan sorts last; the median of a row that holds one is the first of them.
        last = ev.op("select", values, -1, dim=axis)
        first = ev.op("argmax", flat, dim=axis, keepdim=False)
        picked = [ev.op("where", ev.op("isnan", last), nan, middle) for nan, middle in zip((last, first), picked, strict=True)]
    if dim is None:
        return picked[0]
    return named("median", ("values", "indices"), tuple(ev.op("unsqueeze", p, dim=dim) if keepdim else p for p in picked))


@both("count_nonzero")
def count_nonzero(ev: Evaluator, input: Any, dim: Any = None) -> TensorValue:
    return ev.op("count_nonzero", input, dims=dims_of(ev, dim))


@both("softmax")
def softmax(ev: Evaluator, input: Any, dim: Any, dtype: Any = None) -> TensorValue:
    return ev.op("softmax", in_dtype(ev, input, dtype), dim=dim)


@both("log_softmax")
def log_softmax(ev: Evaluator, input: Any, dim: Any, dtype: Any = None) -> TensorValue:
    return ev.op("log_softmax", in_dtype(ev, input, dtype), dim=dim)


@both("bincount")
def bincount(ev: Evaluator, input: Any, weights: Any = None, minlength: int = 0) -> TensorValue:
    if weights is not None:
        if storage.dtype(weights).name != "float32":
            weights = converted(ev, weights, DTYPES["float64"])
        return ev.op("weighted_bincount", input, weights, minlength=minlength)
    return ev.op("bincount", input, minlength=minlength)


@tensor_method("tolist")
def tolist(ev: Evaluator, input: Any) -> Any:
    shape = storage.shape_of(ev, input)
    if shape is None or any(not isinstance(s, int) for s in shape):
        ev.error("E0211", what="tolist() of a tensor whose sizes are only known at run time")
    if not shape:
        return ev.op("item", input)
    return PyList([tolist(ev, ev.op("select", input, i, dim=0)) for i in range(shape[0])])  # type: ignore[arg-type]


