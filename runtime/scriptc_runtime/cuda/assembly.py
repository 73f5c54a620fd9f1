"""Tensors put together of others, and tensors made of numbers: copies into parts of a result, fills, and elements numbered by a kernel."""
from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import DTYPES, IntType, TensorType
from scriptc_runtime.cuda import views
from scriptc_runtime.cuda.composites import composite, op
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


@emits("cat", "stack")
def lower_joined(site: Site) -> Emit | str:
    """A copy per operand; `cat` leaves tensors of shape [0] out."""
    joins = site.op.name == "stack"
    result = site.result_types[0]
    assert isinstance(result, TensorType)
    rank = result.rank or 0
    dim = site.attributes["dim"] % max(rank, 1)
    for kind in site.operand_types:
        if not isinstance(kind, TensorType) or kind.dtype is not result.dtype or (kind.rank != rank - joins and static_shape(kind) != (0,)):
            return "operands of several kinds"
    if result.dtype.itemsize not in (1, 2, 4, 8):
        return f"no {result.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        target, at = results[0], 0
        for array in operands:
            if joins:
                work.copy(views.select(target, at, dim=dim), array)
                at += 1
            elif array.shape != (0,) or rank == 1:
                work.copy(views.slice_(target, at, at + array.shape[dim], 1, dim=dim), array)
                at += array.shape[dim]
    return emit


@emits("slice_scatter", "select_scatter")
def lower_written(site: Site) -> Emit | str:
    """A copy of x, and a copy of the source into a part of it."""
    kinds = site.operand_types
    if any(isinstance(k, IntType) and not isinstance(k.value, int) for k in kinds) or site.tensor(0).dtype is not site.tensor(1).dtype:
        return "places that arrive with the call"
    numbers = [k.value for k in kinds[2:] if isinstance(k, IntType)]
    dim = site.attributes["dim"]
    if site.op.name == "slice_scatter" and numbers[2] < 1:  # type: ignore[operator]
        return "a step that is not positive"
    size = static_shape(site.tensor(0))[dim]
    if site.op.name == "select_scatter" and not -size <= numbers[0] < size:
        return "a place outside"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, source = operands[:2]
        part = views.select(results[0], numbers[0], dim=dim) if site.op.name == "select_scatter" else \
            views.slice_(results[0], numbers[0], numbers[1], numbers[2], dim=dim)
        work.copy(results[0], x)
        if part.size:
            work.copy(part, source)
    part_shape = _part(site, numbers)
    return emit if part_shape == static_shape(site.tensor(1)) else "a source of another shape"


def _part(site: Site, numbers: Sequence[Any]) -> tuple[int, ...]:
    shape = list(static_shape(site.tensor(0)))
    dim = site.attributes["dim"] % len(shape)
    if site.op.name == "select_scatter":
        return (*shape[:dim], *shape[dim + 1:])
    shape[dim] = len(range(*slice(*numbers).indices(shape[dim])))
    return tuple(shape)


@emits("full")
def lower_full(site: Site) -> Emit | str:
    """One number everywhere."""
    kind = site.result_types[0]
    assert isinstance(kind, TensorType)
    if kind.dtype.name not in _FILLED or not str(site.operand_types[0]).startswith(("int", "float", "bool")):
        return f"no {kind.dtype}"
    if str(site.operand_types[0]).startswith("float") and kind.dtype.category < 2:
        return "a float among integers"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        work.fill(results[0], operands[0])
    return emit


_FILLED = frozenset(("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"))


@functools.cache
def _counting(dtype: str) -> Any:
    number = np.dtype(dtype).type

    @cuda.jit
    def number_elements(out: Any, count: Any, start: Any, step: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            out[i] = number(np.int64(i) * step + start)
    return number_elements


@emits("arange")
def lower_arange(site: Site) -> Emit | str:
    """Equally spaced integers."""
    kind = site.result_types[0]
    assert isinstance(kind, TensorType)
    if not all(isinstance(k, IntType) for k in site.operand_types) or kind.dtype.name not in ("int64", "int32", "float32", "float64"):
        return "numbers that are no ints"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        start, _, step = operands
        work.each(_counting(kind.dtype.name), results[0].size, results[0], np.int64(results[0].size), np.int64(start), np.int64(step))
    return emit


@functools.cache
def _diagonal(dtype: str) -> Any:
    number = np.dtype(dtype).type

    @cuda.jit
    def mark_diagonal(out: Any, count: Any, columns: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            out[i] = number(1) if i // columns == i % columns else number(0)
    return mark_diagonal


_NUMBERS = frozenset(("float32", "float64", "int64", "int32", "int16", "int8", "uint8"))      # dtypes that kernels write as they are


@emits("eye")
def lower_eye(site: Site) -> Emit | str:
    """Ones on the diagonal."""
    kind = site.result_types[0]
    assert isinstance(kind, TensorType)
    if kind.dtype.name not in _NUMBERS:
        return f"no {kind.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        out = results[0]
        work.each(_diagonal(kind.dtype.name), out.size, out, np.int64(out.size), np.int64(max(out.shape[1], 1)))
    return emit


@functools.cache
def _spacing(dtype: str) -> Any:
    number = np.dtype(dtype).type
    wide = np.dtype("float32" if dtype == "float32" else "float64").type

    @cuda.jit
    def space_evenly(out: Any, count: Any, start: Any, end: Any, step: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            if i < count // 2:
                out[i] = number(wide(start) + wide(wide(step) * wide(i)))
            else:
                out[i] = number(wide(end) - wide(wide(step) * wide(count - 1 - i)))
    return space_evenly


@emits("linspace")
def lower_linspace(site: Site) -> Emit | str:
    """From both ends, so that the last number is exact."""
    kind = site.result_types[0]
    assert isinstance(kind, TensorType)
    if kind.dtype.name not in _NUMBERS:
        return f"no {kind.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        start, end, count = operands
        if count == 1:
            work.fill(results[0], start)
            return
        if kind.dtype.category < 2:
            start, end = int(start), int(end)
        wide = np.dtype("float32" if kind.dtype.name == "float32" else "float64").type
        step = wide(wide(end) - wide(start)) / wide(max(count - 1, 1))
        work.each(_spacing(kind.dtype.name), results[0].size, results[0], np.int64(count), wide(start), wide(end), step)
    return emit


@emits("from_scalars")
def lower_from_scalars(site: Site) -> Emit | str:
    """Numbers of the host, moved."""
    dtype = site.attributes["dtype"]
    if dtype.itemsize not in (1, 2, 4, 8):
        return f"no {dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if results[0].size:
            work.copy(results[0], work.constant(np.asarray(operands).astype(dtype.numpy).reshape(results[0].shape)))
    return emit


@emits("diagonal_scatter")
def lower_diagonal_scatter(site: Site) -> Emit | str:
    """A copy of x, and a copy of the source onto its diagonal."""
    if site.tensor(0).dtype is not site.tensor(1).dtype or site.tensor(0).dtype.itemsize not in (1, 2, 4, 8):
        return "operands of several kinds"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, source = operands
        part = views.diagonal(results[0], **site.attributes)
        work.copy(results[0], x)
        if part.size:
            work.copy(part, source if source.shape == part.shape else views.expand(source, *part.shape))
    return emit


@composite("batch_norm_gradient", second=True)
def _batch_norm_gradient(g: Any, x: Any, mean: Any, var: Any, weight: Any, *, eps: float) -> Any:
    from scriptc_runtime.cuda.formulas import channelwise

    shape: Any = x.shape
    size = int(np.prod(shape))
    if size == 0:
        return "an empty tensor"
    over, rank, count = (0, *range(2, len(shape))), len(shape), float(size // max(shape[1], 1))
    inverse = 1.0 / op("sqrt", var + eps)
    normal = (x - channelwise(mean, rank)) * channelwise(inverse, rank)
    dweight, dbias = (g * normal).sum(over), g.sum(over)
    scale = inverse if weight is None else inverse * weight
    dx = channelwise(scale, rank) * (g - channelwise(dbias, rank) / count - normal * channelwise(dweight, rank) / count)
    return dx, dweight, dbias


@composite("bias_gradient")
def _bias_gradient(g: Any) -> Any:
    return g.sum((0, *range(2, len(g.shape)))) if int(np.prod(g.shape)) else "an empty tensor"


def _numbers(like: Any, count: int) -> Any:
    """int64[count]: 0, 1, ..."""
    (value,) = like.builder.emit(REGISTRY["arange"], [0, count, 1], {"dtype": DTYPES["int64"]})
    return Expr(value, like.builder)


def _above(x: Any, diagonal: int) -> Any:
    """bool[rows, columns]: column - row > diagonal."""
    rows, columns = x.shape[-2:]
    return _numbers(x, columns).unsqueeze(0) - _numbers(x, rows).unsqueeze(1) > diagonal


@composite("tril")
def _tril(x: Any, diagonal: int) -> Any:
    if x.dtype.name not in _FILLED or int(np.prod(x.shape)) == 0:
        return f"no {x.dtype}"
    return op("masked_fill", x, _above(x, diagonal), 0)


@composite("triu")
def _triu(x: Any, diagonal: int) -> Any:
    if x.dtype.name not in _FILLED or int(np.prod(x.shape)) == 0:
        return f"no {x.dtype}"
    return op("masked_fill", x, op("logical_not", _above(x, diagonal - 1)), 0)
