"""Writing at places that tensors name. What falls on one place is put together in the order of the source, whatever the grid: the same bits
every time. The places are sorted first; then a thread has all that falls on one."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda import access, views
from scriptc_runtime.cuda.composites import composite, op
from scriptc_runtime.cuda.indexing import index_loops, index_refusal, is_index, joined_loops, outside, outside_table, spread_indices
from scriptc_runtime.cuda.kernels.indices import element_place_kernel, joining_kernel, place_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.movement import bits
from scriptc_runtime.cuda.sorting import line_length, padded, sort_lines
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

_ADDED = (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8")


class _Places:
    """The places of `count` entries of a source, as sorted keys and where each stands in the source."""

    def __init__(self, work: Work, count: int) -> None:
        self.work, self.count, self.length = work, count, line_length(count)
        self.total = padded(self.length)
        self.keys, self.order = work.empty((self.total,), np.int64), work.empty((self.total,), np.int32)

    def named(self, indices: Sequence[DeviceArray], dims: Sequence[tuple[int, int]], *, refusal: Any = outside, skipped: int = -1,
              negative: bool = False) -> None:
        """By indices into dimensions of these sizes and strides, but for those that name the row `skipped` of the first."""
        numbers = (self.total, self.count, skipped, *(n for dim in dims for n in dim))
        self.work.each(place_kernel(len(indices), negative), self.total, self.keys, self.order, *indices, *self.work.refusals(refusal),
                       *map(np.int64, numbers))
        sort_lines(self.work, self.keys, self.order, self.length)

    def elements(self, index: DeviceArray, x: DeviceArray, dim: int) -> None:
        """By an index of x's rank."""
        numbers = (self.total, self.count, *index.shape, *x.strides, x.shape[dim])
        self.work.each(element_place_kernel(x.ndim, dim), self.total, self.keys, self.order, index, *self.work.refusals(outside),
                       *map(np.int64, numbers))
        sort_lines(self.work, self.keys, self.order, self.length)

    def join(self, join: str, out: DeviceArray, source: DeviceArray, step: int, kept: Sequence[tuple[int, ...]], alpha: float = 1) -> None:
        """Take the source in; `kept`: sizes, strides in out and in the source of what each place has."""
        dtype, loops = dtype_name(out), joined_loops(kept)
        if join == "last":
            out, source, number = bits(out), bits(source), np.dtype(np.int64)
        else:
            number = np.dtype(dtype if dtype in ("float64", "int64") else "float32" if dtype in access.FLOATS else "int32")
        rest = math.prod(n for n, *_ in loops)
        self.work.each(joining_kernel(join, dtype, len(loops)), self.count * rest, self.keys, self.order, source, out, number.type(alpha),
                       *map(np.int64, (self.count, rest, step, *(n for loop in loops for n in loop))))


def _even_step(array: DeviceArray, first: int, count: int) -> int | None:
    """Elements from one index to the next over `count` dimensions from `first` on, taken as one; None if they are not evenly spaced."""
    loops = joined_loops([(array.shape[d], array.strides[d]) for d in range(first, first + count)])
    return 0 if not loops else loops[0][1] if len(loops) == 1 else None


@emits("index_put")
def lower_index_put(site: Site) -> Emit | str:
    """x[i, j, ...] = value, or += value."""
    kind, accumulate = site.tensor(0), site.attributes["accumulate"]
    shape = static_shape(kind)
    refused = index_refusal(site, 2)
    if refused or kind.dtype.itemsize not in (1, 2, 4, 8) or (accumulate and kind.dtype.name not in _ADDED):
        return refused or f"no {kind.dtype}"
    if 0 in shape:
        return "an empty tensor"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, value, *indices = operands
        out = results[0]
        work.copy(out, x)
        before, behind, dims = index_loops(shape, out.strides, [*indices, *[None] * (len(shape) - len(indices))])
        given, places = spread_indices(work, [i for i in indices if i is not None])
        count = math.prod(places)
        whole = (*(n for n, _ in before), *places, *(n for n, _ in behind))
        if not count or 0 in whole:
            return
        source = value if value.shape == whole else views.expand(value, *whole)
        step = _even_step(source, len(before), len(places))
        if step is None:
            source = work.contiguous(source)
            step = source.strides[len(before) + len(places) - 1]
        put = _Places(work, count)
        put.named(given, dims, negative=True)
        strides = (*source.strides[:len(before)], *source.strides[len(before) + len(places):])
        put.join("add" if accumulate else "last", out, source, step, [(*loop, s) for loop, s in zip((*before, *behind), strides, strict=True)])
    return emit


@composite("index_put", second=True)
def _masked_put(x: Any, value: Any, *masks: Any, accumulate: bool) -> Any:
    """One mask, and a value that all its places share."""
    given = [d for d, mask in enumerate(masks) if mask is not None]
    if len(given) != 1 or masks[given[0]].dtype.name != "bool" or math.prod(value.shape) != 1 or 0 in x.shape or accumulate:
        return "a mask and a value for each of its places"
    mask, behind = masks[given[0]], x.rank - given[0] - masks[given[0]].rank
    if mask.shape != x.shape[given[0]:given[0] + mask.rank]:
        return "a mask of another shape"
    spread = op("reshape", mask, *mask.shape, *(1,) * behind)
    return op("where", spread, op("reshape", value, *(1,) * x.rank), x)


@emits("index_add")
def lower_index_add(site: Site) -> Emit | str:
    """alpha * source added to parts along one dimension."""
    kind = site.tensor(0)
    shape = static_shape(kind)
    if kind.dtype.name not in _ADDED or not is_index(site.operand_types[1]) or 0 in shape:
        return f"no {kind}"
    dim = site.attributes["dim"] % len(shape)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, index, source = operands
        out = results[0]
        work.copy(out, x)
        if index.size and source.size:
            added = _Places(work, index.size)
            added.named([work.contiguous(index)], [(shape[dim], out.strides[dim])])
            kept = [(n, out.strides[d], source.strides[d]) for d, n in enumerate(shape) if d != dim]
            added.join("add", out, source, source.strides[dim], kept, site.attributes["alpha"])
    return emit if float(site.attributes["alpha"]).is_integer() or kind.dtype.name in access.FLOATS else "a factor that is no int"


@emits("embedding_gradient")
def lower_embedding_gradient(site: Site) -> Emit | str:
    """The rows of g added up by table row."""
    if site.tensor(0).dtype.name not in access.FLOATS or not is_index(site.operand_types[2]):
        return f"no {site.operand_types[0]}"
    skipped = site.attributes["padding_idx"]
    size, width = static_shape(site.tensor(1))
    skipped = -1 if skipped is None else skipped % size

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, index, total = work.contiguous(operands[0]), work.contiguous(operands[2]), results[0]
        work.fill(total, 0)
        if index.size and width:
            added = _Places(work, index.size)
            added.named([index], [(size, width)], refusal=outside_table, skipped=skipped)
            added.join("add", total, g, width, [(width, 1, 1)])
    return emit


_JOINS = {"none": "last", "add": "add", "multiply": "multiply", "amax": "amax", "amin": "amin"}


@emits("scatter")
def lower_scatter(site: Site) -> Emit | str:
    """Elements of the source, or one number, at places along a dimension."""
    kind, reduce = site.tensor(0), site.attributes["reduce"]
    shape, places = static_shape(kind), static_shape(site.tensor(1))
    if not is_index(site.operand_types[1]) or len(shape) != len(places) or kind.dtype.itemsize not in (1, 2, 4, 8) or not shape:
        return f"no {kind}"
    if (reduce != "none" and kind.dtype.name not in _ADDED) or 0 in shape or kind.dtype.name.startswith(("uint1", "uint3", "uint6")):
        return f"no {kind}"
    dim = site.attributes["dim"] % len(shape)
    if any(p > s for d, (p, s) in enumerate(zip(places, shape, strict=True)) if d != dim):
        return "an index that is larger"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, index, source = operands
        out = results[0]
        work.copy(out, x)
        if not index.size:
            return
        written = _Places(work, index.size)
        written.elements(work.contiguous(index), out, dim)
        if isinstance(source, DeviceArray):
            written.join(_JOINS[reduce], out, work.contiguous(source.view(places, source.strides)), 1, [])
        else:
            number = work.empty((1,), out.dtype)
            work.fill(number, source)
            written.join(_JOINS[reduce], out, number, 0, [])
    return emit
