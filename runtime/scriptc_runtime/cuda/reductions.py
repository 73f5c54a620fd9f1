"""Sums, products, extrema, their places, any and all over any dimensions: the same bits every time.

One run of neighbouring dimensions after the other is reduced, from the innermost out; long runs are shared by several blocks, whose results are
reduced again. The last stage writes what is asked for.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.kernels.reduce import Form, column_kernel, narrow_kernel, row_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import SIMULATED
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

BLOCK = 8 if SIMULATED else 256       # threads of a block
LOW = 4 if SIMULATED else 16          # elements on top of each other that a thread takes alone
AROUND = 8                            # blocks for each multiprocessor: as many as it holds at once
STRIP = 4 if SIMULATED else 32        # threads side by side over columns


def _power(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << max(number - 1, 0).bit_length()


def _ceil(number: int, step: int) -> int:
    return -(-number // step)


def _most_blocks(work: Work) -> int:
    return AROUND * int(work.engine.properties.multiprocessors)


def _vector(form: Form, size: int, array: DeviceArray, *, columns: bool) -> int:
    """Elements of an access: 16 bytes where every `size`-th element begins at such a place, else one; fewer where accumulators are wide."""
    count = 16 // array.dtype.itemsize
    count = min(count, (32 if columns or form.has_places else 64) // np.dtype(form.kind).itemsize, 4 if form.has_places else 16)
    return count if count > 1 and size % count == 0 and array.address % (count * array.dtype.itemsize) == 0 else 1


class _Stages:
    """The stages of one reduction; the last one writes to `y` (and `to`, the places)."""

    def __init__(self, work: Work, form: Form, y: DeviceArray, to: DeviceArray | None, divisor: float) -> None:
        self.work, self.form, self.y, self.to = work, form, y, to
        self._divisor = [np.dtype(form.kind).type(divisor)] if form.divided else []

    def _targets(self, count: int, last: bool) -> tuple[list[DeviceArray], Form]:
        """What a stage of `count` results writes to, and the form that says so."""
        if last:
            return [self.y] + ([] if self.to is None else [self.to]), self.form
        form = replace(self.form, result=self.form.kind, divided=False)
        made = self.work.empty((count,), np.dtype(form.kind))
        return [made] + ([self.work.empty((count,), np.int64)] if form.has_places else []), form

    def _launch(self, kernel: Any, form: Form, grid: Any, x: Sequence[DeviceArray], targets: Sequence[DeviceArray], *numbers: int) -> None:
        self.work.launch(kernel, grid, form.block, *x, *targets, *map(np.int64, numbers), *(self._divisor if form.divided else []))

    def _next(self, last: Form) -> None:
        """Later stages read accumulators."""
        self.form = replace(self.form, dtype=last.kind, first=False)

    def rows(self, x: Sequence[DeviceArray], rows: int, width: int, last: bool) -> Sequence[DeviceArray]:
        """[rows] of x [rows, width]; x is an array, later stages' places beside it."""
        vector = _vector(self.form, width if rows > 1 else 1 << 20, x[0], columns=False)
        pieces = _ceil(width, vector)
        threads = min(BLOCK, _power(pieces), max(32, _power(_ceil(pieces, 8))))
        while threads < BLOCK and 2 * threads <= pieces and rows * threads < BLOCK * _most_blocks(self.work) // 2:
            threads *= 2
        step = threads * vector * (4 if vector > 1 else 8)
        parts = 1 if threads < BLOCK else max(1, min(_ceil(width, 2 * step), _ceil(_most_blocks(self.work), rows)))
        per = _ceil(_ceil(width, parts), step) * step if parts > 1 else width + -width % vector
        parts = _ceil(width, per)
        targets, form = self._targets(rows * parts, last and parts == 1)
        form = replace(form, block=BLOCK, threads=threads, vector=vector, tail=width % vector > 0)
        self._launch(row_kernel(form), form, (_ceil(rows, form.groups), parts), x, targets, rows, width, per, parts)
        self._next(form)
        return targets if parts == 1 else self.rows(targets, rows, parts, last)

    def columns(self, x: Sequence[DeviceArray], outer: int, height: int, columns: int, last: bool) -> Sequence[DeviceArray]:
        """[outer, columns] of x [outer, height, columns]."""
        most = _most_blocks(self.work)
        if height <= LOW or self.form.has_places or (height <= 8 * LOW and outer * columns >= BLOCK * most // 2):
            targets, form = self._targets(outer * columns, last)
            form = replace(form, block=BLOCK, threads=1, vector=1, tail=False)
            self._launch(narrow_kernel(form), form, min(2 * most, _ceil(outer * columns, BLOCK)), x, targets, outer * columns, height, columns)
            self._next(form)
            return targets
        vector = _vector(self.form, columns, x[0], columns=True)
        threads = min(STRIP, _power(columns // vector))
        down = BLOCK // threads
        strips = _ceil(columns, threads * vector)
        parts = max(1, min(_ceil(height, 4 * down), _ceil(most, strips * outer)))
        per = _ceil(_ceil(height, parts), down) * down if parts > 1 else height
        parts = _ceil(height, per)
        targets, form = self._targets(outer * parts * columns, last and parts == 1)
        form = replace(form, block=BLOCK, threads=threads, vector=vector, tail=False)
        self._launch(column_kernel(form), form, (strips * outer, parts), x, targets, height, columns, strips, per, parts)
        self._next(form)
        return targets if parts == 1 else self.columns(targets, outer, parts, columns, last)


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


def _in_memory_order(work: Work, x: DeviceArray, chosen: set[int]) -> tuple[DeviceArray, list[bool]]:
    """x contiguous, and which of its dimensions are reduced. Dimensions that are reduced may change places, and so may all before one that is."""
    flags = [d in chosen for d in range(x.ndim)]
    if x.is_contiguous:
        return x, flags
    order = sorted(range(x.ndim), key=lambda d: -x.strides[d])
    turned = x.view([x.shape[d] for d in order], [x.strides[d] for d in order])
    kept = [d for d in order if d not in chosen and x.shape[d] != 1]
    if turned.is_contiguous and kept == sorted(kept):
        return turned, [flags[d] for d in order]
    return work.contiguous(x), flags


def reduce(work: Work, name: str, source: DeviceArray, dims: Sequence[int] | None, y: DeviceArray, *, divisor: float | None = None) -> None:
    """y (contiguous, of any shape with as many elements) = `source` reduced over `dims` (None: all), over `divisor` if given; not empty."""
    chosen = set(range(source.ndim)) if not dims else {d % source.ndim for d in dims} if source.ndim else set()
    x, flags = _in_memory_order(work, source, chosen)
    form = Form(name, dtype_name(source), dtype_name(y), True, divided=divisor is not None)
    stages = _Stages(work, form, y, None, 1.0 if divisor is None else divisor)
    left = runs(x.shape, flags)
    if not any(flag for _, flag in left):      # nothing to reduce: every element by itself
        stages.columns([x], 1, 1, x.size, True)
        return
    arrays: Sequence[DeviceArray] = [x]
    while any(flag for _, flag in left):
        index = max(i for i, (_, flag) in enumerate(left) if flag)
        outer, inner = math.prod(n for n, _ in left[:index]), math.prod(n for n, _ in left[index + 1:])
        last = sum(flag for _, flag in left) == 1
        arrays = stages.rows(arrays, outer, left[index][0], last) if inner == 1 else stages.columns(arrays, outer, left[index][0], inner, last)
        left = runs([n for i, (n, _) in enumerate(left) if i != index], [f for i, (_, f) in enumerate(left) if i != index])


@emits("sum", "prod", "amax", "amin", "any", "all", "count_nonzero", "mean")
def lower_reduction(site: Site) -> Emit | str:
    """Reductions of one tensor over dims."""
    name = {"count_nonzero": "count", "mean": "sum"}.get(site.op.name, site.op.name)
    kind, dims = site.tensor(0), site.attributes["dims"]
    shape = static_shape(kind)
    if math.prod(shape) == 0 and site.op.name in ("amax", "amin", "mean"):
        return "an empty tensor"
    if kind.dtype.category == 3 or kind.dtype.name.startswith(("complex", "float8", "uint16", "uint32", "uint64")):
        return f"no {kind.dtype}"
    divisor = None
    if site.op.name == "mean":
        if kind.dtype.name not in access.FLOATS:
            return f"no {kind.dtype}"
        divisor = float(math.prod(shape[d] for d in dims) if dims and shape else math.prod(shape))

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if operands[0].size == 0:
            if results[0].size:
                work.fill(results[0], 1 if name in ("prod", "all") else 0)
            return
        reduce(work, name, operands[0], dims, results[0], divisor=divisor)
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
            reduce(work, "sum", x, dims, target)
    return emit


MOST_LINES = 16 if SIMULATED else 1 << 14      # lines that do not lie side by side are moved so that they do, unless there are more
FEWEST = 8 if SIMULATED else 128               # or they are shorter


@emits("argmax", "argmin", "max_with_index", "min_with_index")
def lower_places(site: Site) -> Emit | str:
    """The place (and value) of the largest or smallest element along a dimension, or of all: the first of equals, nan before all."""
    kind, dim = site.tensor(0), site.attributes["dim"]
    shape = static_shape(kind)
    name = "argmax" if site.op.name in ("argmax", "max_with_index") else "argmin"
    if math.prod(shape) == 0:
        return "an empty tensor"
    if kind.dtype.name not in (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool"):
        return f"no {kind.dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = operands[0]
        if dim is None or x.ndim == 0:
            x = work.contiguous(x)
            rows, width, inner = 1, x.size, 1
        else:
            place = dim % x.ndim
            inner, width = math.prod(x.shape[place + 1:]), x.shape[place]
            rows = x.size // (width * inner)
            if inner > 1 and width >= FEWEST and rows * inner < MOST_LINES:
                order = [*(d for d in range(x.ndim) if d != place), place]
                x, rows, inner = x.view([x.shape[d] for d in order], [x.strides[d] for d in order]), rows * inner, 1
            x = work.contiguous(x)
        to = results[-1]
        form = Form(name, dtype_name(x), dtype_name(x) if len(results) == 2 else "", True)
        if len(results) == 1:      # the values are found too, and not read
            form = replace(form, result=form.kind)
        values = results[0] if len(results) == 2 else work.empty((rows * inner,), np.dtype(form.kind))
        stages = _Stages(work, form, values, to, 1.0)
        if inner == 1:
            stages.rows([x], rows, width, True)
        else:
            stages.columns([x], rows, width, inner, True)
    return emit
