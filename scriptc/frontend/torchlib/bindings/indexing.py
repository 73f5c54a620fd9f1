"""Reading and writing at positions given by tensors."""
from __future__ import annotations

import functools
from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.creation import shape_sizes
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.promotion import converted
from scriptc.frontend.torchlib.bindings.register import both
from scriptc.frontend.torchlib.bindings.shape import axis, rank_of
from scriptc.ir.types import bool_, int32


def lifted(function: Any) -> Any:
    """`function(ev, input, dim, index, ...)`, which for a 0-d input works on one element, as torch does."""
    @functools.wraps(function)
    def applied(ev: Evaluator, input: Any, dim: Any, index: Any, *arguments: Any, **keywords: Any) -> TensorValue:
        if rank_of(ev, input):
            return function(ev, input, dim, index, *arguments, **keywords)
        # What is selected by a 0-d index from one element is one element again; sources are 0-d too, or one element.
        row = ev.op("unsqueeze", input, dim=0)
        if not rank_of(ev, index):
            index = ev.op("unsqueeze", index, dim=0)
        arguments = tuple(ev.op("reshape", a, -1) if isinstance(a, TensorValue) else a for a in arguments)
        found = function(ev, row, dim, index, *arguments, **keywords)
        return ev.op("squeeze", found, dims=(0,))
    return applied


@both("gather")
def gather(ev: Evaluator, input: Any, dim: Any, index: Any, *, sparse_grad: Any = False) -> TensorValue:
    shape = storage.shape_of(ev, index)
    if shape is not None and 0 in shape:
        return ev.op("full", 0.0, *shape_sizes(ev, index), dtype=storage.dtype(input))
    return ev.op("gather", input, index, dim=dim)


@both("scatter")
def scatter(ev: Evaluator, input: Any, dim: Any, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None) -> TensorValue:
    source = value if src is None else src
    if isinstance(source, TensorValue):
        source = converted(ev, source, storage.dtype(input))
    mode = {None: "none", "add": "add", "multiply": "multiply", "sum": "add", "prod": "multiply"}[reduce]
    return ev.op("scatter", input, index, source, dim=dim, reduce=mode)


@both("scatter_add")
def scatter_add(ev: Evaluator, input: Any, dim: Any, index: Any, src: Any) -> TensorValue:
    return ev.op("scatter", input, index, src, dim=dim, reduce="add")


@both("index_select")
def index_select(ev: Evaluator, input: Any, dim: Any, index: Any) -> TensorValue:
    return ev.op("index_select", input, index, dim=axis(ev, input, dim))


@both("index_add")
@lifted
def index_add(ev: Evaluator, input: Any, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> TensorValue:
    return ev.op("index_add", input, index, source, dim=axis(ev, input, dim), alpha=float(alpha))


def spread_index(ev: Evaluator, input: Any, position: int, index: Any) -> list[Any]:
    return [None] * position + [index]


@both("index_copy")
@lifted
def index_copy(ev: Evaluator, input: Any, dim: Any, index: Any, source: Any) -> TensorValue:
    if not rank_of(ev, index):
        index = ev.op("unsqueeze", index, dim=0)
    if not rank_of(ev, source) and rank_of(ev, input) == 1:
        source = ev.op("unsqueeze", source, dim=0)
    return ev.op("index_put", input, source, *spread_index(ev, input, axis(ev, input, dim), index), accumulate=False)


@both("index_fill")
@lifted
def index_fill(ev: Evaluator, input: Any, dim: Any, index: Any, value: Any) -> TensorValue:
    value = converted(ev, value, storage.dtype(input)) if isinstance(value, TensorValue) else ev.op("full", value, dtype=storage.dtype(input))
    if rank_of(ev, value):
        value = ev.op("reshape", value)
    # By a mask: an index that comes twice counts once in the gradient of `value`.
    position, rank = axis(ev, input, dim), rank_of(ev, input)
    row = ev.op("full", False, shape_sizes(ev, input)[position], dtype=bool_)
    row = ev.op("index_put", row, ev.op("full", True, dtype=bool_), index, accumulate=False)
    return ev.op("masked_fill", input, ev.op("reshape", row, *[-1 if i == position else 1 for i in range(rank)]), value)


@both("index_put")
def index_put(ev: Evaluator, input: Any, indices: Any, values: Any, accumulate: Any = False) -> TensorValue:
    return ev.op("index_put", input, converted(ev, values, storage.dtype(input)), *items_of(ev, indices), accumulate=bool(accumulate))


for _name, _function in {"scatter": scatter, "scatter_add": scatter_add, "index_add": index_add, "index_copy": index_copy,
                         "index_fill": index_fill, "index_put": index_put}.items():
    inplace(_name, _function)


@both("masked_select")
def masked_select(ev: Evaluator, input: Any, mask: Any) -> TensorValue:
    return ev.op("masked_select", input, mask)


@both("nonzero")
def nonzero(ev: Evaluator, input: Any, *, as_tuple: Any = False) -> Any:
    if as_tuple and not rank_of(ev, input):
        input = ev.op("unsqueeze", input, dim=0)
    found = ev.op("nonzero", input)
    if not as_tuple:
        return found
    return tuple(ev.op("select", found, i, dim=1) for i in range(max(rank_of(ev, input), 1)))


@both("take")
def take(ev: Evaluator, input: Any, index: Any) -> TensorValue:
    return ev.op("take", input, index)


@both("bucketize")
def bucketize(ev: Evaluator, input: Any, boundaries: Any, *, out_int32: Any = False, right: Any = False) -> TensorValue:
    found = ev.op("searchsorted", boundaries, input, right=bool(right))
    return ev.op("cast", found, dtype=int32) if out_int32 else found
