"""Sums, products, extrema, any and all over any dimensions, by trees of fixed form: the same bits every time.

One run of neighbouring dimensions after the other is reduced, from the innermost out. Elements side by side are taken by a block for each row,
others by a thread for each column; long runs are shared by several blocks, whose results are reduced again.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc_runtime.cuda import access, movement
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda
from scriptc_runtime.device import DeviceArray, contiguous_strides
from scriptc_runtime.plan.lowering import Site

THREADS = 4 if SIMULATED else 256      # of a block that has a row
NARROW = 24 if SIMULATED else 64       # elements of a row that one thread takes alone
PART = 32 if SIMULATED else 8192       # elements of a row that a block takes at least
MOST_PARTS = 1024


def device_function(function: Callable[..., Any]) -> Any:
    """A function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)


def _add(a: Any, b: Any) -> Any:
    return a + b


def _multiply(a: Any, b: Any) -> Any:
    return a * b


def _larger(a: Any, b: Any) -> Any:
    return a if a > b or a != a else b


def _smaller(a: Any, b: Any) -> Any:
    return a if a < b or a != a else b


def _either(a: Any, b: Any) -> Any:
    return a | b


def _both(a: Any, b: Any) -> Any:
    return a & b


def _same(x: Any) -> Any:
    return x


def _truth(x: Any) -> Any:
    return np.uint8(1) if x != 0 else np.uint8(0)


def _count(x: Any) -> Any:
    return np.int64(1) if x != 0 else np.int64(0)


_JOINS: dict[str, Callable[..., Any]] = {"sum": _add, "prod": _multiply, "amax": _larger, "amin": _smaller, "any": _either, "all": _both,
                                         "count": _add}
_TAKES: dict[str, Callable[..., Any]] = {"any": _truth, "all": _truth, "count": _count}


def accumulator(name: str, dtype: str) -> str:
    """The dtype in which elements of `dtype` are gathered."""
    if name in ("any", "all"):
        return "bool"
    if name == "count":
        return "int64"
    if dtype in ("float16", "bfloat16"):
        return "float32"
    if name in ("sum", "prod") and not dtype.startswith("float"):
        return "int64"
    return dtype


def _start(name: str, dtype: str) -> Any:
    number = np.dtype("uint8" if dtype == "bool" else dtype).type
    if name in ("sum", "any", "count"):
        return number(0)
    if name in ("prod", "all"):
        return number(1)
    if dtype.startswith("float"):
        return number(-np.inf if name == "amax" else np.inf)
    limits = np.iinfo(number)
    return number(limits.min if name == "amax" else limits.max)


@functools.cache
def _parts(name: str, dtype: str, first: bool) -> tuple[Any, Any, Any, Any]:
    """(accumulator type, its start, what takes an element in memory, what joins two accumulators)."""
    kind = accumulator(name, dtype)
    number = np.dtype("uint8" if kind == "bool" else kind).type
    names = access.namespace()
    load = {"float16": names.get("h4"), "bfloat16": names.get("g4")}.get(dtype)
    take = device_function(_TAKES.get(name, _same) if first else _same)
    if load is not None:
        inner = take

        def loaded(x: Any) -> Any:
            return number(inner(load(x)))
    else:
        inner = take

        def loaded(x: Any) -> Any:
            return number(inner(x))
    return number, _start(name, kind), device_function(loaded), device_function(_JOINS[name])


@functools.cache
def row_kernel(name: str, dtype: str, first: bool) -> Any:
    """A block for each (row, part): y[row, part] of x[row, part * per : (part + 1) * per]."""
    number, start, take, join = _parts(name, dtype, first)

    @cuda.jit
    def reduce_rows(x: Any, y: Any, width: Any, per: Any, parts: Any) -> None:
        shared = cuda.shared.array(THREADS, number)
        t = cuda.threadIdx.x
        row = np.int64(cuda.blockIdx.x)
        part = np.int64(cuda.blockIdx.y)
        end = min(width, (part + 1) * per)
        total = start
        for j in range(part * per + t, end, THREADS):
            total = join(total, take(x[row * width + j]))
        shared[t] = total
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if t < half:
                shared[t] = join(shared[t], shared[t + half])
            half = half // 2
        if t == 0:
            y[row * parts + part] = shared[0]
    return reduce_rows


@functools.cache
def quad_kernel(name: str, dtype: str, first: bool) -> Any:
    """`row_kernel` for elements of 4 bytes in rows that begin at multiples of 16 bytes, four at a time."""
    number, start, take, join = _parts(name, dtype, first)
    load_4 = access.intrinsics.load_4

    @cuda.jit
    def reduce_quads(x: Any, y: Any, width: Any, per: Any, parts: Any) -> None:
        shared = cuda.shared.array(THREADS, number)
        t = cuda.threadIdx.x
        row = np.int64(cuda.blockIdx.x)
        part = np.int64(cuda.blockIdx.y)
        end = min(width, (part + 1) * per)
        total0 = start
        total1 = start
        total2 = start
        total3 = start
        for j in range(part * per + 4 * t, end, 4 * THREADS):
            a, b, c, d = load_4(x, row * width + j)
            total0 = join(total0, take(a))
            total1 = join(total1, take(b))
            total2 = join(total2, take(c))
            total3 = join(total3, take(d))
        shared[t] = join(join(total0, total1), join(total2, total3))
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if t < half:
                shared[t] = join(shared[t], shared[t + half])
            half = half // 2
        if t == 0:
            y[row * parts + part] = shared[0]
    return reduce_quads


@functools.cache
def narrow_kernel(name: str, dtype: str, first: bool) -> Any:
    """A thread for each of `rows` rows of `width` elements; elements are `inner` apart."""
    _, start, take, join = _parts(name, dtype, first)

    @cuda.jit
    def reduce_narrow(x: Any, y: Any, rows: Any, width: Any, inner: Any) -> None:
        for row in range(cuda.grid(1), rows, cuda.gridsize(1)):
            at = (row // inner) * width * inner + row % inner
            total = start
            for j in range(width):
                total = join(total, take(x[at + j * inner]))
            y[row] = total
    return reduce_narrow


@functools.cache
def column_kernel(name: str, dtype: str, first: bool) -> Any:
    """A thread for each (outer, part, column): y[outer, part, column] of x[outer, part * per : (part + 1) * per, column]."""
    _, start, take, join = _parts(name, dtype, first)

    @cuda.jit
    def reduce_columns(x: Any, y: Any, height: Any, columns: Any, per: Any, parts: Any) -> None:
        column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        part = np.int64(cuda.blockIdx.y)
        outer = np.int64(cuda.blockIdx.z)
        if column < columns:
            total = start
            for j in range(part * per, min(height, (part + 1) * per)):
                total = join(total, take(x[(outer * height + j) * columns + column]))
            y[(outer * parts + part) * columns + column] = total
    return reduce_columns


def _blocks(work: Work) -> int:
    return 4 * int(work.engine.properties.multiprocessors)


def _over_rows(work: Work, name: str, dtype: str, first: bool, x: DeviceArray, rows: int, width: int) -> DeviceArray:
    """[rows] of x [rows, width]."""
    kind = accumulator(name, dtype)
    if width <= NARROW:
        y = work.empty((rows,), _memory(kind))
        work.each(narrow_kernel(name, dtype, first), rows, x, y, np.int64(rows), np.int64(width), np.int64(1))
        return y
    parts = max(1, min(-(-width // PART), -(-2 * _blocks(work) // rows), MOST_PARTS))
    per = -(-width // parts)
    per += -per % 4
    parts = -(-width // per)
    y = work.empty((rows, parts), _memory(kind))
    quads = width % 4 == 0 and x.address % 16 == 0 and x.dtype.itemsize == 4
    kernel = quad_kernel(name, dtype, first) if quads else row_kernel(name, dtype, first)
    work.launch(kernel, (rows, parts), THREADS, x, y, np.int64(width), np.int64(per), np.int64(parts))
    return y if parts == 1 else _over_rows(work, name, kind, False, y, rows, parts)


def _over_columns(work: Work, name: str, dtype: str, first: bool, x: DeviceArray, outer: int, height: int, columns: int) -> DeviceArray:
    """[outer, columns] of x [outer, height, columns]."""
    kind = accumulator(name, dtype)
    if outer > 65535:
        y = work.empty((outer, columns), _memory(kind))
        work.each(narrow_kernel(name, dtype, first), outer * columns, x, y, np.int64(outer * columns), np.int64(height), np.int64(columns))
        return y
    threads = 2 if SIMULATED else 64
    across = -(-columns // threads)
    parts = max(1, min(-(-height // (4 if SIMULATED else 32)), -(-4 * _blocks(work) // (across * outer)), MOST_PARTS))
    per = -(-height // parts)
    parts = -(-height // per)
    y = work.empty((outer, parts, columns), _memory(kind))
    work.launch(column_kernel(name, dtype, first), (across, parts, outer), threads, x, y, np.int64(height), np.int64(columns), np.int64(per),
                np.int64(parts))
    return y if parts == 1 else _over_columns(work, name, kind, False, y, outer, parts, columns)


def _memory(kind: str) -> np.dtype:
    return np.dtype(kind)


def runs(shape: Sequence[int], reduced: Sequence[bool]) -> list[tuple[int, bool]]:
    """Neighbouring dimensions of one kind taken together; those of size 1 are left out."""
    found: list[tuple[int, bool]] = []
    for size, flag in zip(shape, reduced, strict=True):
        if size == 1:
            continue
        if found and found[-1][1] == flag:
            found[-1] = (found[-1][0] * size, flag)
        else:
            found.append((size, flag))
    return found


def reduce(work: Work, name: str, source: DeviceArray, dims: Sequence[int] | None) -> DeviceArray:
    """`source` reduced over `dims` (None: all), flat, in the accumulator's dtype; not empty."""
    rank = source.ndim
    chosen = set(range(rank)) if not dims else {d % rank for d in dims} if rank else set()
    x, dtype, first = work.contiguous(source), dtype_name(source), True
    left = runs(source.shape, [d in chosen for d in range(rank)])
    while any(flag for _, flag in left):
        index = max(i for i, (_, flag) in enumerate(left) if flag)
        outer, inner = math.prod(n for n, _ in left[:index]), math.prod(n for n, _ in left[index + 1:])
        size = left[index][0]
        x = _over_rows(work, name, dtype, first, x, outer, size) if inner == 1 else _over_columns(work, name, dtype, first, x, outer, size, inner)
        dtype, first = accumulator(name, dtype), False
        left = runs([n for i, (n, _) in enumerate(left) if i != index], [f for i, (_, f) in enumerate(left) if i != index])
    if first:      # nothing to reduce: every element by itself
        y = work.empty((source.size,), _memory(accumulator(name, dtype)))
        work.each(narrow_kernel(name, dtype, True), source.size, x, y, np.int64(source.size), np.int64(1), np.int64(1))
        x = y
    return x


def _flat(array: DeviceArray) -> DeviceArray:
    return array.view((array.size,), (1,))


def _shaped(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    return array.view(shape, contiguous_strides(shape))


@emits("sum", "prod", "amax", "amin", "any", "all", "count_nonzero")
def lower_reduction(site: Site) -> Emit | str:
    """Reductions of one tensor over dims."""
    name = {"count_nonzero": "count"}.get(site.op.name, site.op.name)
    dims = site.attributes["dims"]
    shape = static_shape(site.tensor(0))
    if math.prod(shape) == 0 and name in ("amax", "amin"):
        return "an empty tensor"
    if site.tensor(0).dtype.category == 3 or site.tensor(0).dtype.name.startswith(("complex", "float8", "uint16", "uint32", "uint64")):
        return f"no {site.tensor(0).dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if operands[0].size == 0:
            if results[0].size:
                work.fill(results[0], 1 if name in ("prod", "all") else 0)
            return
        found = reduce(work, name, operands[0], dims)
        target = results[0]
        if found.dtype == target.dtype:
            work.copy(_flat(target), _flat(found))
        else:
            movement.cast(work, _shaped(found, target.shape), target)
    return emit


@emits("sum_to")
def lower_sum_to(site: Site) -> Emit | str:
    """The sum over the dimensions along which a tensor was broadcast."""
    kind = site.tensor(0)
    shape, like = static_shape(kind), static_shape(site.tensor(1))
    added = len(shape) - len(like)
    dims = tuple(range(added)) + tuple(i + added for i, s in enumerate(like) if s == 1 and shape[i + added] != 1)
    if kind.dtype.name not in access.FLOATS:
        return f"no {kind.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, target = operands[0], results[0]
        if x.size == 0:
            work.fill(target, 0)
        elif not dims:
            work.copy(target, x.view(target.shape, x.strides[added:]) if added == 0 else x.reshape(target.shape))
        else:
            movement.cast(work, _shaped(reduce(work, "sum", x, dims), target.shape), target)
    return emit


def takes_floats(site: Site, *indices: int) -> str | None:
    """Why these operands are none that kernels of floats take; None if they are."""
    for index in indices:
        kind = site.operand_types[index]
        if isinstance(kind, TensorType) and kind.dtype.name not in access.FLOATS:
            return f"no {kind.dtype}"
    return None


# Reductions to a place: the first of the best, nan counting as best of all.

@functools.cache
def place_kernel(largest: bool, dtype: str) -> Any:
    """A thread for each of `rows` lines of `width` elements, `inner` apart: where the best is, and optionally what it is."""
    names = access.namespace()
    load = {"float16": names.get("h4"), "bfloat16": names.get("g4")}.get(dtype) or device_function(_same)

    @cuda.jit
    def find_places(x: Any, places: Any, values: Any, rows: Any, width: Any, inner: Any, with_values: Any) -> None:
        for row in range(cuda.grid(1), rows, cuda.gridsize(1)):
            at = (row // inner) * width * inner + row % inner
            best = load(x[at])
            place = np.int64(0)
            for j in range(1, width):
                value = load(x[at + j * inner])
                better = value > best if largest else value < best
                if (better or value != value) and best == best:
                    best = value
                    place = np.int64(j)
            places[row] = place
            if with_values:
                values[row] = x[at + place * inner]
    return find_places


@emits("argmax", "argmin", "max_with_index", "min_with_index")
def lower_places(site: Site) -> Emit | str:
    """The place (and value) of the largest or smallest element along a dimension, or of all."""
    kind, dim = site.tensor(0), site.attributes["dim"]
    shape = static_shape(kind)
    largest = site.op.name in ("argmax", "max_with_index")
    if math.prod(shape) == 0:
        return "an empty tensor"
    if kind.dtype.name not in (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool"):
        return f"no {kind.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        if dim is None or x.ndim == 0:
            rows, width, inner = 1, x.size, 1
        else:
            place = dim % x.ndim
            inner, width = math.prod(x.shape[place + 1:]), x.shape[place]
            rows = x.size // width
        values, places = (results[0], results[1]) if len(results) == 2 else (x, results[0])
        work.each(place_kernel(largest, dtype_name(x)), rows, x, places, values, np.int64(rows), np.int64(width), np.int64(inner),
                  np.int64(len(results) == 2))
    return emit
