"""Sorting along a dimension, the largest elements, and the order of keys that others build on."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import IntType
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.kernels.sort import ELEMENTS, THREADS, exchange, key_kernel, pick_sorted, sort_blocks
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.movement import bits
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

SORTED = (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool")


def line_length(width: int) -> int:
    """The elements of a line that is sorted: a power of two."""
    return 1 << max(width - 1, 1).bit_length()


def sort_lines(work: Work, keys: DeviceArray, places: DeviceArray, length: int) -> None:
    """Sort each line of `length` (a power of two) of the keys, and the places with them; both have a multiple of ELEMENTS elements."""
    blocks, total = keys.size // ELEMENTS, np.int64(length)

    def in_blocks(first: int, last: int, longest: int) -> None:
        work.launch(sort_blocks, blocks, THREADS, keys, places, total, np.int64(first), np.int64(last), np.int64(longest))
    in_blocks(2, min(length, ELEMENTS), ELEMENTS)
    run = 2 * ELEMENTS
    while run <= length:
        distance = run // 2
        while distance >= ELEMENTS:
            work.each(exchange, keys.size // 2, keys, places, np.int64(keys.size // 2), total, np.int64(run), np.int64(distance))
            distance //= 2
        in_blocks(run, run, ELEMENTS // 2)
        run *= 2


def padded(count: int) -> int:
    """The elements that lines of `count` in all take in memory."""
    return -(-count // ELEMENTS) * ELEMENTS


def order_of_lines(work: Work, x: DeviceArray, outer: int, width: int, inner: int, descending: bool) -> tuple[DeviceArray, int]:
    """(int32 places in order, line by line; the elements of a line there) of contiguous x [outer, width, inner]; stable, nan as the largest."""
    length = line_length(width)
    total = padded(outer * inner * length)
    keys, places = work.empty((total,), np.int64), work.empty((total,), np.int32)
    dtype = dtype_name(x)
    work.each(key_kernel(dtype, descending), total, bits(x) if dtype in access.FLOATS else x, keys, places,
              *map(np.int64, (total, outer * inner, length, width, inner)))
    sort_lines(work, keys, places, length)
    return places, length


@emits("sort", "topk")
def lower_sort(site: Site) -> Emit | str:
    """Keys of the elements, sorted with their places; `topk` keeps the first."""
    kind, attributes = site.tensor(0), site.attributes
    shape = static_shape(kind)
    if kind.dtype.name not in SORTED or math.prod(shape) == 0:
        return f"no {kind}"
    descending = attributes["largest"] if site.op.name == "topk" else attributes["descending"]
    if site.op.name == "topk":
        count = site.operand_types[1]
        if not isinstance(count, IntType) or not isinstance(count.value, int) or not 0 <= count.value <= (shape[attributes["dim"]] if shape else 1):
            return "a number that arrives with the call"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, (values, to) = work.contiguous(operands[0]), results
        if not values.size:
            return
        dim = attributes["dim"] % max(x.ndim, 1)
        width, inner = (x.shape[dim], math.prod(x.shape[dim + 1:])) if shape else (1, 1)
        kept = values.shape[dim] if shape else 1
        outer = x.size // (width * inner)
        places, length = order_of_lines(work, x, outer, width, inner, descending)
        work.each(pick_sorted, values.size, bits(x), places, bits(values), to, *map(np.int64, (values.size, length, kept, width, inner)))
    return emit
