"""Elements at places that tensors name. Kernels check every index; one that is out of range raises the engine's flag and touches nothing.

Sums over repeated places are made in the order of the places, whatever the grid: the same bits every time.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.movement import _reinterpreted
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def bits(array: DeviceArray) -> DeviceArray:
    """The same memory as integers, which are moved without change."""
    return _reinterpreted(array, _BITS[array.dtype.itemsize])


def outside(value: int, limit: int) -> Exception:
    """The error of an index that is out of range."""
    return IndexError(f"index {value} is out of bounds for dimension with size {limit}")


def outside_table(value: int, limit: int) -> Exception:
    """The error of a row that an embedding has not."""
    return IndexError("index out of range in self")


@cuda.jit
def take_rows(x: Any, index: Any, out: Any, count: Any, places: Any, size: Any, inner: Any, flag: Any, number: Any) -> None:
    """out[outer, place, inner] = x[outer, index[place], inner]: a thread for each element of out."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        line = i // inner
        outer = line // places
        row = np.int64(index[line - outer * places])
        if row < 0 or row >= size:
            if cuda.atomic.compare_and_swap(flag, 0, number) == 0:
                flag[1] = row
                flag[2] = size
        else:
            out[i] = x[(outer * size + row) * inner + (i - line * inner)]


def _whole(kind: Any) -> bool:
    return (isinstance(kind, TensorType) and kind.dtype.name in ("int64", "int32")) or (isinstance(kind, TensorType) and kind.dtype.name == "uint8")


@emits("embedding")
def lower_embedding(site: Site) -> Emit | str:
    """Rows of a table."""
    if not _whole(site.operand_types[1]):
        return f"an index of {site.operand_types[1]}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        table, index = work.contiguous(operands[0]), work.contiguous(operands[1])
        flag, number = work.refusals(outside_table)
        out = results[0]
        work.each(take_rows, out.size, bits(table), index, bits(out), np.int64(out.size), np.int64(max(index.size, 1)), np.int64(table.shape[0]),
                  np.int64(table.shape[1]), flag, number)
    return emit


@emits("index_select")
def lower_index_select(site: Site) -> Emit | str:
    """Parts along one dimension."""
    shape = static_shape(site.tensor(0))
    if not _whole(site.operand_types[1]) or not shape:
        return "an index that is no tensor of ints"
    dim = site.attributes["dim"] % len(shape)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, index, out = work.contiguous(operands[0]), work.contiguous(operands[1]), results[0]
        flag, number = work.refusals(outside)
        work.each(take_rows, out.size, bits(x), index, bits(out), np.int64(out.size), np.int64(max(index.size, 1)), np.int64(shape[dim]),
                  np.int64(math.prod(shape[dim + 1:])), flag, number)
    return emit


@cuda.jit
def gather_elements(x: Any, index: Any, out: Any, count: Any, geometry: Any, rank: Any, dim: Any, size: Any, flag: Any, number: Any) -> None:
    """out[c] = x[c with c[dim] = index[c]]; geometry: the sizes of index, then the strides of x."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        left = np.int64(i)
        at = np.int64(0)
        for d in range(rank - 1, -1, -1):
            rest = left // geometry[d]
            if d != dim:
                at += (left - rest * geometry[d]) * geometry[rank + d]
            left = rest
        row = np.int64(index[i])
        if row < 0 or row >= size:
            if cuda.atomic.compare_and_swap(flag, 0, number) == 0:
                flag[1] = row
                flag[2] = size
        else:
            out[i] = x[at + row * geometry[rank + dim]]


@emits("gather")
def lower_gather(site: Site) -> Emit | str:
    """Elements of lines."""
    shape, places = static_shape(site.tensor(0)), static_shape(site.tensor(1))
    if not shape or not _whole(site.operand_types[1]) or len(shape) != len(places):
        return "an index of another kind"
    dim = site.attributes["dim"] % len(shape)
    if any(p > s for d, (p, s) in enumerate(zip(places, shape, strict=True)) if d != dim):
        return "an index that is larger"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, index, out = operands[0], work.contiguous(operands[1]), results[0]
        flag, number = work.refusals(outside)
        geometry = work.constant(np.array([*index.shape, *x.strides], np.int64))
        work.each(gather_elements, out.size, bits(x), index, bits(out), np.int64(out.size), geometry, np.int64(x.ndim), np.int64(dim),
                  np.int64(shape[dim]), flag, number)
    return emit


@cuda.jit
def chain_places(index: Any, first: Any, following: Any, count: Any) -> None:
    """first[i] = 1 if no earlier place is the same; following[i] = the next that is, or -1."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        own = index[i]
        begins = 1
        for j in range(i):
            if index[j] == own:
                begins = 0
        first[i] = begins
        after = -1
        j = i + 1
        while j < count and after < 0:
            if index[j] == own:
                after = j
            j += 1
        following[i] = after


@functools.cache
def sum_kernel(dtype: str) -> Any:
    """total[index[i]] = the sum of the rows of g at i and those chained to it: a thread for each element of the rows that begin a chain."""
    names = access.namespace()
    half = dtype in access.HALVES
    number = np.dtype("float32" if half else dtype).type
    from scriptc_runtime.cuda.reductions import _same, device_function

    load: Any = {"float16": names.get("h4"), "bfloat16": names.get("g4")}.get(dtype) or device_function(_same)
    store: Any = {"float16": names.get("h2"), "bfloat16": names.get("g2")}.get(dtype) or device_function(_same)

    @cuda.jit
    def sum_chains(g: Any, index: Any, first: Any, following: Any, total: Any, count: Any, width: Any, size: Any, skipped: Any) -> None:
        for e in range(cuda.grid(1), count * width, cuda.gridsize(1)):
            i = e // width
            column = e - i * width
            row = np.int64(index[i])
            if first[i] == 1 and row >= 0 and row < size and row != skipped:
                value = number(0)
                j = np.int64(i)
                while j >= 0:
                    value += number(load(g[j * width + column]))
                    j = np.int64(following[j])
                total[row * width + column] = store(value)
    return sum_chains


@emits("embedding_gradient")
def lower_embedding_gradient(site: Site) -> Emit | str:
    """The rows of g added up by table row."""
    if site.tensor(0).dtype.name not in access.FLOATS or not _whole(site.operand_types[2]):
        return f"no {site.operand_types[0]}"
    skipped = site.attributes["padding_idx"]
    size, width = static_shape(site.tensor(1))
    if skipped is not None and skipped < 0:
        skipped += size

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, index, total = work.contiguous(operands[0]), work.contiguous(operands[2]), results[0]
        work.fill(total, 0)
        count = index.size
        first, following = work.empty((count,), np.int32), work.empty((count,), np.int32)
        work.each(chain_places, count, index, first, following, np.int64(count))
        work.each(sum_kernel(dtype_name(total)), count * width, g, index, first, following, total, np.int64(count), np.int64(width), np.int64(size),
                  np.int64(-1 if skipped is None else skipped))
    return emit
