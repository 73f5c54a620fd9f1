"""Elements read at places that tensors name. Kernels check every index; one that is out of range raises the engine's flag and touches nothing."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import NONE, TensorType
from scriptc_runtime.cuda import views
from scriptc_runtime.cuda.kernels.indices import reading_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.movement import MOST_32_BITS, bits
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


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


def is_index(kind: Any) -> bool:
    """True for a tensor of ints that kernels take as places."""
    return isinstance(kind, TensorType) and kind.dtype.name in ("int64", "int32", "int16", "uint8")


@emits("embedding")
def lower_embedding(site: Site) -> Emit | str:
    """Rows of a table."""
    if not is_index(site.operand_types[1]):
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
    if not is_index(site.operand_types[1]) or not shape:
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
    if not shape or not is_index(site.operand_types[1]) or len(shape) != len(places):
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


def index_loops(shape: Sequence[int], strides: Sequence[int], indices: Sequence[Any]) -> tuple[list[tuple[int, int]], list[tuple[int, int]],
                                                                                              list[tuple[int, int]]]:
    """Of x[indices], an index being None or not: (sizes and strides of kept dimensions before the index's own, those behind it, those indexed)."""
    places = [d for d, index in enumerate(indices) if index is not None]
    dims = list(zip(shape, strides, strict=True))
    split = places[0] if places[-1] - places[0] == len(places) - 1 else 0       # side by side: the result has them where they stood
    before = [dims[d] for d in range(split)]
    behind = [dims[d] for d in range(split, len(shape)) if d not in places]
    return before, behind, [dims[d] for d in places]


def joined_loops(loops: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """(size, strides...) of loops, neighbouring ones as one where all strides allow; none of size 1."""
    found: list[tuple[int, ...]] = []
    for size, *steps in loops:
        if size == 1:
            continue
        if found and all(old == new * size for old, new in zip(found[-1][1:], steps, strict=True)):
            found[-1] = (found[-1][0] * size, *steps)
        else:
            found.append((size, *steps))
    return found


def spread_indices(work: Work, indices: Sequence[DeviceArray]) -> tuple[list[DeviceArray], tuple[int, ...]]:
    """The indices in their common shape, contiguous."""
    shape = np.broadcast_shapes(*(i.shape for i in indices))
    return [work.contiguous(i if i.shape == shape else views.expand(i, *shape)) for i in indices], shape


def index_refusal(site: Site, first: int) -> str | None:
    """Why the indices from operand `first` on are none that kernels take; None if they are."""
    given = [k for k in site.operand_types[first:] if k != NONE]
    if not given or not all(is_index(k) for k in given):
        return "an index that is no tensor of ints"
    return None


@emits("index")
def lower_index(site: Site) -> Emit | str:
    """x[i, j, ...]: a thread for each element of the result."""
    shape = static_shape(site.tensor(0))
    refused = index_refusal(site, 1)
    if refused or site.tensor(0).dtype.itemsize not in (1, 2, 4, 8):
        return refused or f"no {site.tensor(0).dtype}"
    if 0 in shape:
        return "an empty tensor"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, *indices = operands
        if results[0].size:
            read_places(work, x, indices, results[0])
    return emit


@emits("take")
def lower_take(site: Site) -> Emit | str:
    """Elements of the flattened tensor."""
    shape = static_shape(site.tensor(0))
    if not is_index(site.operand_types[1]) or site.tensor(0).dtype.itemsize not in (1, 2, 4, 8) or 0 in shape:
        return "an index that is no tensor of ints"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if results[0].size:
            read_places(work, work.contiguous(operands[0]).reshape((math.prod(shape),)), [operands[1]], results[0])
    return emit


def read_places(work: Work, x: DeviceArray, indices: Sequence[DeviceArray | None], out: DeviceArray) -> None:
    """out (contiguous) = x[indices]."""
    *kept, indexed = index_loops(x.shape, x.strides, [*indices, *[None] * (x.ndim - len(indices))])
    given, shape = spread_indices(work, [i for i in indices if i is not None])
    before, behind = map(joined_loops, kept)
    wide = max(out.size, 1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True))) >= MOST_32_BITS
    number = np.int64 if wide else np.uint32
    numbers = [out.size, *(n for n, _ in before), math.prod(shape), *(n for n, _ in behind), *(s for _, s in (*before, *behind))]
    flag, refusal = work.refusals(outside)
    work.each(reading_kernel(len(before), len(behind), len(given), number.__name__), out.size, bits(x), bits(out), *given, flag, refusal,
              *map(number, numbers), *(np.int64(n) for loop in indexed for n in loop))
