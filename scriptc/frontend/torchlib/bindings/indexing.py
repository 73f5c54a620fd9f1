"""Reading and writing at positions given by tensors."""
from __future__ import annotations

from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.promotion import converted
from scriptc.frontend.torchlib.bindings.register import both, tensor_method
from scriptc.frontend.torchlib.bindings.shape import axis, rank_of
from scriptc.ir.types import bool_


@both("gather")
def gather(ev: Evaluator, input: Any, dim: Any, index: Any, *, sparse_grad: Any = False) -> TensorValue:
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
def index_add(ev: Evaluator, input: Any, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> TensorValue:
    return ev.op("index_add", input, index, source, dim=axis(ev, input, dim), alpha=float(alpha))


def spread_index(ev: Evaluator, input: Any, position: int, index: Any) -> list[Any]:
    return [None] * position + [index]


@both("index_copy")
def index_copy(ev: Evaluator, input: Any, dim: Any, index: Any, source: Any) -> TensorValue:
    return ev.op("index_put", input, source, *spread_index(ev, input, axis(ev, input, dim), index), accumulate=False)


@both("index_fill")
def index_fill(ev: Evaluator, input: Any, dim: Any, index: Any, value: Any) -> TensorValue:
    filled = value if isinstance(value, TensorValue) else ev.op("full", value, dtype=storage.dtype(input))
    return index_copy(ev, input, dim, index, filled)


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
    found = ev.op("nonzero", input)
    if not as_tuple:
        return found
    return tuple(ev.op("select", found, i, dim=1) for i in range(max(rank_of(ev, input), 1)))


@both("take")
def take(ev: Evaluator, input: Any, index: Any) -> TensorValue:
    return ev.op("take", input, index)


@both("take_along_dim")
def take_along_dim(ev: Evaluator, input: Any, indices: Any, dim: Any = None) -> TensorValue:
    if dim is None:
        return take(ev, input, indices)
    return gather(ev, input, dim, indices)


def _membership(name: str) -> None:
    def function(ev: Evaluator, elements: Any, test_elements: Any) -> TensorValue:
        same = ev.op("eq", ev.op("unsqueeze", elements, dim=-1), ev.op("reshape", test_elements, -1))
        return ev.op("any", same, dims=(-1,), keepdim=False)
    both(name)(function)


_membership("isin")


@both("bucketize")
def bucketize(ev: Evaluator, input: Any, boundaries: Any, *, out_int32: Any = False, right: Any = False) -> TensorValue:
    return ev.op("searchsorted", boundaries, input, right=bool(right))


@tensor_method("masked_scatter")
def masked_scatter(ev: Evaluator, input: Any, mask: Any, source: Any) -> TensorValue:
    mask = mask if storage.dtype(mask) is bool_ else ev.op("ne", mask, 0)
    count = ev.op("size", ev.op("masked_select", input, mask), dim=0)
    return ev.op("index_put", input, ev.op("slice", ev.op("reshape", source, -1), 0, count, 1, dim=0), mask, accumulate=False)
