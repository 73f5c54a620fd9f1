"""Commands of `rows`: what each kernel reads, for arrays whose rows lie anywhere."""
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scriptc_runtime.cpu.tiles.commands import Command, Word
from scriptc_runtime.cpu.tiles.geometry import VECTOR_BYTES


class Rows(NamedTuple):
    """Where rows begin: `outer` times `inner` of them, and the bytes from one to the next in both loops."""

    outer: int
    inner: int
    outer_step: int
    inner_step: int

    @property
    def words(self) -> tuple[int, int, int, int]:
        """Count, inner count and steps, as the kernels read them."""
        return self.outer * self.inner, self.inner, self.outer_step, self.inner_step


def rows_of(array: np.ndarray, axes: int = 1) -> Rows | None:
    """The rows over the last `axes` dimensions; None if their elements are no neighbours or two loops do not reach them all."""
    if not array.size:
        return Rows(0, 1, 0, 0)
    step = array.itemsize
    for size, stride in zip(array.shape[:-axes - 1:-1], array.strides[:-axes - 1:-1], strict=True):
        if size != 1 and stride != step:
            return None
        step *= size
    loops: list[tuple[int, int]] = []
    lead = array.ndim - axes
    for size, stride in zip(array.shape[:lead], array.strides[:lead], strict=True):
        if size == 1:
            continue
        if loops and loops[-1][1] == size * stride:
            loops[-1] = loops[-1][0] * size, stride
        else:
            loops.append((size, stride))
    if len(loops) > 2:
        return None
    (outer, outer_step), (inner, inner_step) = [(1, 0)] * (2 - len(loops)) + loops
    return Rows(outer, inner, outer_step, inner_step)


def normalize(x: Word, y: Word, weight: Word, bias: Word, rows: Rows, width: int, *, centred: bool, eps: float, threads: int,
              channels: int = 0, groups: int = 1) -> Command:
    """Rows of `width` floats. `weight`, `bias`: per element, or with `channels` per channel, of which a row has so many."""
    run = width * 4 // channels if channels else 0
    scratch = np.zeros(threads * VECTOR_BYTES // 4, np.float32)
    return Command("normalize", [x, y, weight, bias, np.array([eps], np.float32), scratch, int(centred), width * 4, run, groups, *rows.words])


def softmax(x: Word, y: Word, rows: Rows, width: int, *, logarithm: bool) -> Command:
    """Along rows of `width` floats."""
    return Command("softmax", [x, y, int(logarithm), width * 4, *rows.words])


def width_of(shape: tuple[int, ...], axes: int) -> int:
    """Elements of a row over the last `axes` dimensions."""
    return math.prod(shape[len(shape) - axes:])


def reduction(x: np.ndarray, place: Word, target: Word, first: int, last: int, which: int, factor: np.ndarray) -> Command | None:
    """Dimensions `first` up to `last` of float32 x reduced into an array whose elements follow each other; None if x lies otherwise.

    `which`: one of REDUCTIONS; sums are times `factor` (float64[1]).
    """
    count = math.prod(x.shape[first:last])
    if last == x.ndim:
        rows = rows_of(x, x.ndim - first)
        return None if rows is None else Command("reduce_rows", [place, target, which, factor, count * x.itemsize, *rows.words])
    columns = rows_of(x[(0,) * last], x.ndim - last)
    down = rows_of(x[(0,) * first], x.ndim - last)
    lead = rows_of(x[(..., *(0,) * (x.ndim - first), None)], 1)
    if columns is None or down is None or lead is None or down.outer != 1:
        return None
    width = math.prod(x.shape[last:]) * x.itemsize
    return Command("reduce_columns", [place, target, which, factor, width, down.inner_step, count, *lead.words])
