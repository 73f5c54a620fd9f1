"""Tensors from numbers, lists and sizes."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import is_number, type_name
from scriptc.frontend.pylib.iteration import Counted, items_of, iterate
from scriptc.frontend.pylib.numpylib.arrays import is_array
from scriptc.frontend.storage import TensorValue, tensor_of
from scriptc.frontend.torchlib.bindings.promotion import default_dtype, number_dtype, result_dtype
from scriptc.frontend.torchlib.bindings.register import tensor_method, torch_function
from scriptc.frontend.values import Dynamic, Instance, PyList
from scriptc.ir.types import BOOL_CATEGORY, FLOAT_CATEGORY, DType, float64, int64, promote_dtypes


def sizes(ev: Evaluator, arguments: tuple[Any, ...]) -> list[Any]:
    """Sizes given as numbers or as one sequence."""
    if len(arguments) == 1 and not is_number(arguments[0]) and not isinstance(arguments[0], TensorValue):
        arguments = tuple(items_of(ev, arguments[0]))
    out = []
    for value in arguments:
        if isinstance(value, TensorValue):
            value = ev.op("item", value)
        if isinstance(value, float):
            ev.throw("TypeError", f"sizes must be ints, not {type_name(value)}")
        out.append(value)
    return out


def finish(tensor: TensorValue, requires_grad: Any) -> TensorValue:
    if requires_grad:
        tensor.slots[("attribute", "requires_grad")] = True
    return tensor


def filled(ev: Evaluator, value: Any, shape: list[Any], dtype: DType | None, requires_grad: Any = False) -> TensorValue:
    made: TensorValue = ev.op("full", value, *shape, dtype=dtype or default_dtype(ev))
    return finish(made, requires_grad)


def _factory(name: str, value: float) -> None:
    def make(ev: Evaluator, *size: Any, dtype: Any = None, device: Any = None, layout: Any = None, requires_grad: Any = False,
             pin_memory: Any = False, memory_format: Any = None, generator: Any = None) -> TensorValue:
        return filled(ev, value, sizes(ev, size), dtype, requires_grad)

    def like(ev: Evaluator, input: Any, *, dtype: Any = None, device: Any = None, layout: Any = None, requires_grad: Any = False,
             memory_format: Any = None, pin_memory: Any = False) -> TensorValue:
        return filled(ev, value, shape_sizes(ev, input), dtype or storage.dtype(input), requires_grad)

    def new(ev: Evaluator, input: Any, *size: Any, dtype: Any = None, device: Any = None, layout: Any = None,
            requires_grad: Any = False) -> TensorValue:
        return filled(ev, value, sizes(ev, size), dtype or storage.dtype(input), requires_grad)
    torch_function(name)(make)
    torch_function(f"{name}_like")(like)
    tensor_method(f"new_{name}")(new)


def shape_sizes(ev: Evaluator, tensor: TensorValue) -> list[Any]:
    """The sizes of a tensor as values."""
    shape = storage.shape_of(ev, tensor)
    if shape is None:
        ev.error("E0253", what="this operation", hint="pass --input with the argument's rank, for example 'x:float32[N,C]'")
    return [ev.size(s, tensor, i) for i, s in enumerate(shape)]


_factory("zeros", 0.0)
_factory("ones", 1.0)
_factory("empty", 0.0)   # torch leaves the memory as it is; zeros are one such content


@torch_function("full")
def full(ev: Evaluator, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
         requires_grad: Any = False) -> TensorValue:
    if isinstance(fill_value, TensorValue):
        dtype = dtype or storage.dtype(fill_value)
        fill_value = ev.op("item", fill_value)
    return filled(ev, fill_value, sizes(ev, (size,)), dtype or number_dtype(ev, fill_value), requires_grad)


@torch_function("full_like")
def full_like(ev: Evaluator, input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
              requires_grad: Any = False, memory_format: Any = None) -> TensorValue:
    if isinstance(fill_value, TensorValue):
        fill_value = ev.op("item", fill_value)
    return filled(ev, fill_value, shape_sizes(ev, input), dtype or storage.dtype(input), requires_grad)


@tensor_method("new_full")
def new_full(ev: Evaluator, input: Any, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
             requires_grad: Any = False) -> TensorValue:
    return filled(ev, fill_value, sizes(ev, (size,)), dtype or storage.dtype(input), requires_grad)


@torch_function("arange", "range")
def arange(ev: Evaluator, *bounds: Any, start: Any = None, end: Any = None, step: Any = None, dtype: Any = None, device: Any = None,
           layout: Any = None, requires_grad: Any = False) -> TensorValue:
    values = [ev.op("item", b) if isinstance(b, TensorValue) else b for b in bounds]
    first, last, by = 0, end, step if step is not None else 1
    if len(values) == 1:
        last = values[0] if end is None else end
        first = 0 if end is None else values[0]
    elif values:
        first, last = values[0], values[1]
        by = values[2] if len(values) > 2 else by
    if start is not None:
        first = start
    if dtype is None:
        dtype = default_dtype(ev) if any(number_dtype(ev, v).category == FLOAT_CATEGORY for v in (first, last, by)) else int64
    if dtype.category < FLOAT_CATEGORY:
        # Bounds are truncated before the count is taken: arange(-0.9, 2.1, 2.0, dtype=torch.int64) has one element.
        first, last, by = (int(v) if isinstance(v, float) else v for v in (first, last, by))
    return finish(ev.op("arange", first, last, by, dtype=dtype), requires_grad)


@torch_function("linspace")
def linspace(ev: Evaluator, start: Any, end: Any, steps: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False,
             layout: Any = None) -> TensorValue:
    start, end = (ev.op("item", v) if isinstance(v, TensorValue) else v for v in (start, end))
    return finish(ev.op("linspace", start, end, steps, dtype=dtype or default_dtype(ev)), requires_grad)


@torch_function("eye")
def eye(ev: Evaluator, n: Any, m: Any = None, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> TensorValue:
    return finish(ev.op("eye", n, n if m is None else m, dtype=dtype or default_dtype(ev)), requires_grad)


@torch_function("tensor", "as_tensor", "asarray")
def tensor(ev: Evaluator, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False,
           pin_memory: Any = False) -> TensorValue:
    return finish(tensor_from(ev, data, dtype), requires_grad)


@torch_function("scalar_tensor")
def scalar_tensor(ev: Evaluator, data: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
                  requires_grad: Any = False, pin_memory: Any = False) -> TensorValue:
    return finish(tensor_from(ev, data, dtype or default_dtype(ev)), requires_grad)


@tensor_method("new_tensor")
def new_tensor(ev: Evaluator, input: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> TensorValue:
    return finish(tensor_from(ev, data, dtype or storage.dtype(input)), requires_grad)


def tensor_from(ev: Evaluator, data: Any, dtype: DType | None = None) -> TensorValue:
    """torch.tensor(data): a copy of a tensor, a number, or nested sequences of numbers and 0-d tensors."""
    if isinstance(data, Instance) and data.native is not None:
        data = data.native
    if isinstance(data, np.ndarray):
        return tensor_of(data.copy() if dtype is None else data.astype(dtype.numpy))
    if isinstance(data, TensorValue):
        copied = tensor_of(storage.read(ev, data))
        return copied if dtype is None or storage.dtype(data) is dtype else ev.op("cast", copied, dtype=dtype)
    if is_number(data) or isinstance(data, complex):
        return ev.op("full", data, dtype=dtype or data_dtype(ev, data))
    flat: list[Any] = []
    shape = flatten(ev, data, flat)
    if isinstance(shape, TensorValue):
        return shape if dtype is None else ev.op("cast", shape, dtype=dtype)
    if any(isinstance(v, TensorValue) for v in flat):
        wanted = dtype or result_dtype(ev, *flat)
        rows = [ev.op("cast", v, dtype=wanted) if isinstance(v, TensorValue) else ev.op("full", v, dtype=wanted) for v in flat]
        rows = [ev.op("reshape", r) if storage.shape_of(ev, r) != () else r for r in rows]
        stacked = ev.op("stack", *rows, dim=0)
        return stacked if len(shape) == 1 else ev.op("reshape", stacked, *shape)
    if dtype is None:
        dtype = default_dtype(ev) if not flat else data_dtype(ev, flat[0])
        for value in flat[1:]:
            other = data_dtype(ev, value)
            dtype = promote_dtypes(dtype, other) if other.category != dtype.category or other is not dtype else dtype
    if not any(isinstance(v, Dynamic) for v in flat):
        return tensor_of(np.asarray(flat).astype(dtype.numpy).reshape(shape))
    if dtype.category == BOOL_CATEGORY + 1:
        flat = [int(v) if isinstance(v, bool) else v for v in flat]
    return ev.op("from_scalars", *flat, shape=tuple(shape), dtype=dtype)


def data_dtype(ev: Evaluator, value: Any) -> DType:
    """The dtype torch.tensor gives a number: numpy's double keeps its width, Python's does not."""
    return float64 if isinstance(value, np.float64) else number_dtype(ev, value)


def flatten(ev: Evaluator, data: Any, out: list[Any]) -> Any:
    """The elements of nested sequences in `out`, and their shape; a tensor for a list of unknown length."""
    if isinstance(data, Instance) and isinstance(data.native, np.ndarray):
        data = data.native
    if isinstance(data, np.ndarray):
        out += [v if isinstance(v, np.float64) else v.item() for v in data.reshape(-1)]
        return list(data.shape)
    source = iterate(ev, data)
    if isinstance(source, Counted):
        if isinstance(data, PyList) and isinstance(data.content, Dynamic):
            ev.error("E0211", what="torch.tensor() of a list whose length is only known at run time",
                     hint="append tensors and use torch.stack")
        ev.error("E0211", what="torch.tensor() of a sequence whose length is only known at run time")
    items = list(source)
    if not items:
        return [0]
    if not (isinstance(items[0], PyList | tuple | range) or is_array(items[0])) or isinstance(items[0], TensorValue):
        for item in items:
            if isinstance(item, Instance) and item.native is not None:
                item = item.native
            if not (is_number(item) or isinstance(item, TensorValue | complex)):
                if isinstance(item, PyList | tuple):
                    ev.throw("ValueError", f"expected sequence of length {len(items)}")
                ev.throw("TypeError", f"new(): invalid data type '{type_name(item)}'")
            out.append(item)
        return [len(items)]
    shapes = [flatten(ev, item, out) for item in items]
    if any(s != shapes[0] for s in shapes):
        ev.throw("ValueError", f"expected sequence of length {shapes[0][0]} at dim 1 (got {next(s for s in shapes if s != shapes[0])[0]})")
    return [len(items), *shapes[0]]


@torch_function("from_numpy")
def from_numpy(ev: Evaluator, array: Any) -> TensorValue:
    return tensor_from(ev, array)


@torch_function("meshgrid")
def meshgrid(ev: Evaluator, *tensors: Any, indexing: str = "ij") -> tuple[TensorValue, ...]:
    if len(tensors) == 1 and not isinstance(tensors[0], TensorValue):
        tensors = tuple(items_of(ev, tensors[0]))
    order = list(tensors)
    swap = indexing == "xy" and len(order) >= 2
    if swap:
        order[0], order[1] = order[1], order[0]
    lengths = [shape_sizes(ev, t)[0] if storage.shape_of(ev, t) else 1 for t in order]
    grids = []
    for index, t in enumerate(order):
        shaped = ev.op("reshape", t, *[-1 if i == index else 1 for i in range(len(order))])
        grids.append(ev.op("expand", shaped, *lengths))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


