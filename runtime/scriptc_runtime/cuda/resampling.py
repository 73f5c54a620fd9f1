"""Padding, turning, repeating and resampling: dimension by dimension, each result is a copy of an element or a weighted sum of a few."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from scriptc.interp.ops.pooling import bins
from scriptc.interp.ops.shape import pad
from scriptc.interp.ops.vision import nearest_places, resampling_matrix, wide_matrix
from scriptc.ir.types import IntType, TensorType
from scriptc_runtime.cuda import access, views
from scriptc_runtime.cuda.kernels.places import choosing_kernel, gathering_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.movement import MOST_32_BITS, bits
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """For each place along a dimension of a result those of the operand that it is made of: list c is first[c] : first[c + 1]."""

    first: np.ndarray
    places: np.ndarray
    weights: np.ndarray | None = None

    @property
    def size(self) -> int:
        return len(self.first) - 1


# Along one dimension of a result: a table of places, lists of them, or None for the same place.
Along: TypeAlias = "np.ndarray | Lists | None"


def _loops(shape: Sequence[int], along: Sequence[Along], strides: Sequence[int]) -> tuple[list[int], list[int], list[Along]]:
    """Sizes, strides and tables of a result's loops; neighbouring ones without tables are one where strides allow."""
    sizes: list[int] = []
    steps: list[int] = []
    found: list[Along] = []
    for size, table, step in zip(shape, along, strides, strict=True):
        if table is None and size == 1:
            continue
        if table is None and found and found[-1] is None and steps[-1] == step * size:
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
            found.append(table)
    return (sizes, steps, found) if sizes else ([1], [0], [None])


def _number(array: DeviceArray, target: DeviceArray) -> type[np.generic]:
    """The type in which places are counted."""
    reach = 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))
    return np.int64 if max(reach, target.size) >= MOST_32_BITS else np.uint32


def choose(work: Work, x: DeviceArray, target: DeviceArray, along: Sequence[np.ndarray | None], fill: Any = None) -> None:
    """target (contiguous, of x's rank) = the elements of x at `along`; with `fill` a place of -1 stands for that element."""
    if not target.size:
        return
    number = _number(x, target)
    sizes, steps, tables = _loops(target.shape, along, x.strides)
    signed = np.int64 if number is np.int64 else np.int32
    moved = [np.where(t >= 0, t * s, -1).astype(signed) for t, s in zip(tables, steps, strict=True) if isinstance(t, np.ndarray)]
    word = bits(target)
    value = np.zeros(1, word.dtype) if fill is None else np.asarray(fill).astype(target.dtype).reshape(1).view(word.dtype)
    work.each(choosing_kernel(tuple(t is not None for t in tables), number.__name__, fill is not None), target.size, bits(x), word,
              np.int64(value[0]), *map(work.constant, moved), *map(number, (target.size, *sizes)),
              *(number(s) for s, t in zip(steps, tables, strict=True) if t is None))


def gather(work: Work, x: DeviceArray, target: DeviceArray, along: Sequence[Lists | None], strides: Sequence[int]) -> None:
    """target (contiguous) = sums of elements of x over the lists, whose places count `strides` of x."""
    if not target.size:
        return
    number = _number(x, target)
    sizes, steps, lists = _loops(target.shape, along, strides)
    dtype = dtype_name(target)
    kept = [(found, step) for found, step in zip(lists, steps, strict=True) if isinstance(found, Lists)]
    weighted = any(found.weights is not None for found, _ in kept)
    tables: list[DeviceArray] = []
    for found, step in kept:
        tables += [work.constant(found.first.astype(np.int32)),
                   work.constant((found.places * step).astype(np.int64 if number is np.int64 else np.int32))]
        if weighted:
            weights = np.ones(len(found.places)) if found.weights is None else found.weights
            tables.append(work.constant(weights.astype(np.float64 if dtype == "float64" else np.float32)))
    work.each(gathering_kernel(tuple(found is not None for found in lists), number.__name__, dtype, weighted), target.size, x, target, *tables,
              *map(number, (target.size, *sizes)), *(number(s) for s, found in zip(steps, lists, strict=True) if found is None))


def _sized(site: Site, index: int = 0) -> str | None:
    """Why an operand's elements are none that are moved; None if they are."""
    size = site.tensor(index).dtype.itemsize
    return None if size in (1, 2, 4, 8) else f"no {site.tensor(index).dtype}"


@functools.lru_cache(maxsize=256)
def padding(size: int, before: int, after: int, mode: str) -> np.ndarray | None:
    """Which element of a dimension each place of the padded one is; -1: the constant. None if nothing is changed."""
    if before == after == 0:
        return None
    return np.asarray(pad(np.arange(size), -1, before, after, mode=mode))


@emits("pad")
def lower_pad(site: Site) -> Emit | str:
    """A table for each padded dimension."""
    mode = site.attributes["mode"]
    shape = static_shape(site.tensor(0))
    if mode != "constant" and math.prod(shape) == 0:
        return "an empty tensor"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, value, *amounts = operands
        tables = [padding(n, *_around(amounts, len(shape) - 1 - d), mode) for d, n in enumerate(shape)]
        if x.size == 0:
            work.fill(results[0], value)
        elif all(t is None for t in tables):
            work.copy(results[0], x)
        else:
            choose(work, x, results[0], tables, value if mode == "constant" else None)
    return _sized(site) or emit


def _around(amounts: Sequence[int], place: int) -> tuple[int, int]:
    """(before, after) of the dimension that is `place` from the last."""
    return (amounts[2 * place], amounts[2 * place + 1]) if 2 * place < len(amounts) else (0, 0)


def inverted(table: np.ndarray, size: int) -> Lists:
    """For each of `size` places where a table names it."""
    order = np.argsort(table, kind="stable")
    return Lists(np.searchsorted(table[order], np.arange(size + 1)), order)


@emits("pad_gradient")
def lower_pad_gradient(site: Site) -> Emit | str:
    """Each element collects from the places that copied it."""
    mode, shape = site.attributes["mode"], static_shape(site.tensor(1))
    if site.tensor(0).dtype.name not in access.FLOATS or math.prod(shape) == 0:
        return f"no {site.tensor(0)}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, _, *amounts = operands
        tables = [padding(n, *_around(amounts, len(shape) - 1 - d), mode) for d, n in enumerate(shape)]
        gather(work, g, results[0], [None if t is None else inverted(t, n) for t, n in zip(tables, shape, strict=True)], g.strides)
    return emit


@emits("flip")
def lower_flip(site: Site) -> Emit | str:
    """Dimensions read backwards."""
    shape = static_shape(site.tensor(0))
    turned = {d % len(shape) for d in site.attributes["dims"]} if shape else set()

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if turned:
            choose(work, operands[0], results[0], [np.arange(n)[::-1] if d in turned else None for d, n in enumerate(shape)])
        else:
            work.copy(results[0], operands[0])
    return _sized(site) or emit


@emits("roll")
def lower_roll(site: Site) -> Emit | str:
    """Dimensions read from another place on; without dims the whole tensor in order."""
    shape, dims = static_shape(site.tensor(0)), site.attributes["dims"]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, *shifts = operands
        target = results[0]
        if not x.size:
            return
        if not dims:
            x, target = (a.view((a.size,), (1,)) for a in (work.contiguous(x), target))
            by = shifts[0] % x.size
            for part, source in ((views.slice_(target, by, x.size, 1, dim=0), views.slice_(x, 0, x.size - by, 1, dim=0)),
                                 (views.slice_(target, 0, by, 1, dim=0), views.slice_(x, x.size - by, x.size, 1, dim=0))):
                work.copy(part, source)
            return
        by_dim: dict[int, int] = {}
        for dim, shift in zip(dims, shifts, strict=True):
            by_dim[dim % len(shape)] = by_dim.get(dim % len(shape), 0) + shift
        choose(work, x, target, [np.roll(np.arange(n), by_dim[d]) if d in by_dim else None for d, n in enumerate(shape)])
    return _sized(site) or emit


@emits("repeat", "repeat_interleave")
def lower_repeat(site: Site) -> Emit | str:
    """A copy of x spread over the dimensions that repeat it."""
    shape = static_shape(site.tensor(0))
    inside = site.op.name == "repeat_interleave"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, *times = operands
        target = results[0]
        if not target.size:
            return
        if inside:
            dim = site.attributes["dim"] % len(shape)
            times = [1] * (dim + 1) + [times[0]] + [1] * (len(shape) - dim - 1)     # behind the dimension
            sizes, steps = [*shape[:dim + 1], 1, *shape[dim + 1:]], [*x.strides[:dim + 1], 0, *x.strides[dim + 1:]]
            parts = [n * t for n, t in zip(sizes, times, strict=True)]
            work.copy(target.reshape(parts), x.view(parts, steps))
            return
        added = len(times) - len(shape)
        parts = [n for t, s in zip(times, (*(1,) * added, *shape), strict=True) for n in (t, s)]
        steps = [n for s in (*(0,) * added, *x.strides) for n in (0, s)]
        work.copy(target.reshape(parts), x.view(parts, steps))
    return _sized(site) or emit


@emits("unfold_gradient")
def lower_unfold_gradient(site: Site) -> Emit | str:
    """Each element collects from the windows that it lies in."""
    shape, attributes = static_shape(site.tensor(1)), site.attributes
    if site.tensor(0).dtype.name not in access.FLOATS or math.prod(shape) == 0:
        return f"no {site.tensor(0)}"
    dim, size, step = attributes["dim"] % len(shape), attributes["size"], attributes["step"]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g = operands[0]
        windows, inside = np.divmod(np.arange(g.shape[dim] * size), size)
        lists = inverted(windows * step + inside, shape[dim])
        moved = Lists(lists.first, windows[lists.places] * g.strides[dim] + inside[lists.places] * g.strides[-1])
        strides = [*g.strides[:-1]]
        strides[dim] = 1
        gather(work, g, results[0], [moved if d == dim else None for d in range(len(shape))], strides)
    return emit


@functools.lru_cache(maxsize=256)
def _weights(size: int, count: int, mode: str, scale: float | None, align_corners: bool, antialias: bool, back: bool) -> Lists:
    """The inputs of each output along a dimension, or `back` the outputs of each input."""
    if mode == "area":
        matrix = np.zeros((count, size))
        for row, (start, stop) in enumerate(bins(size, count)):
            matrix[row, start:stop] = 1 / (stop - start)
    else:
        matrix = (wide_matrix if antialias else resampling_matrix)(size, count, mode, scale, align_corners)
    matrix = matrix.T if back else matrix
    rows, places = np.nonzero(matrix)
    return Lists(np.searchsorted(rows, np.arange(len(matrix) + 1)), places, matrix[rows, places])


def _resampled(site: Site) -> tuple[str, list[float | None], bool, bool]:
    """(mode, the scale of each dimension, align_corners, antialias)"""
    attributes = site.attributes
    spatial = sum(not isinstance(k, TensorType) for k in site.operand_types)
    scales = attributes["scale_factors"]
    return attributes["mode"], list(scales) if scales else [None] * spatial, attributes["align_corners"], attributes["antialias"]


@emits("interpolate", "interpolate_gradient")
def lower_interpolate(site: Site) -> Emit | str:
    """Copies of the nearest elements, or weighted sums; gradients collect with the same weights."""
    back = site.op.name == "interpolate_gradient"
    mode, scales, corners, antialias = _resampled(site)
    first, second = static_shape(site.tensor(0)), static_shape(site.result_types[0])
    shape, out = (second, first) if back else (first, second)
    if site.tensor(0).dtype.name not in access.FLOATS or math.prod(shape) == 0:
        return f"no {site.tensor(0)}"
    if not all(isinstance(k, TensorType | IntType) for k in site.operand_types):
        return "sizes that are no ints"
    dims = list(zip(shape[2:], out[2:], scales, strict=True))

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = operands[0]
        if mode.startswith("nearest") and not back:
            choose(work, x, results[0], [None, None, *(nearest_places(size, count, mode, scale) for size, count, scale in dims)])
            return
        lists = [_weights(size, count, mode, scale, corners, antialias, back) for size, count, scale in dims]
        gather(work, x, results[0], [None, None, *lists], x.strides)
    return emit
