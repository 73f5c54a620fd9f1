"""Matrix products by a plain kernel: any dtype, strides and broadcasting. It serves what the tensor cores do not: float64, integers, odd strides."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import NONE, TensorType
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.cuda.printer import broadcast_strides
from scriptc_runtime.device import DeviceArray, contiguous_strides
from scriptc_runtime.plan.lowering import Site


@functools.cache
def plain_kernel(dtype: str) -> Any:
    """c[z] = a[z] @ b[z] (+ bias): a thread for each element; any strides; where the matrices of z begin stands in tables."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def multiply(a: Any, b: Any, bias: Any, c: Any, a_places: Any, b_places: Any, count: Any, rows: Any, columns: Any, depth: Any, a_row: Any,
                 a_column: Any, b_row: Any, b_column: Any, with_bias: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            line = i // columns
            column = i - line * columns
            z = line // rows
            at = a_places[z] + (line - z * rows) * a_row
            to = b_places[z] + column * b_column
            total = number(0)
            for k in range(depth):
                total += number(load(a[at + k * a_column])) * number(load(b[to + k * b_row]))
            if with_bias:
                total += number(load(bias[column]))
            c[i] = store(total)
    return multiply


def multiply(work: Work, a: DeviceArray, b: DeviceArray, bias: DeviceArray | None, c: DeviceArray) -> None:
    """c [..., M, N] = a [..., M, K] @ b [..., K, N] (+ bias [N]); batches are broadcast, c is contiguous."""
    *batch, rows, columns = c.shape
    if c.size == 0:
        return
    a_places, b_places = (work.constant(_places(array, tuple(batch))) for array in (a, b))
    strides = [np.int64(s) for s in (*a.strides[-2:], *b.strides[-2:])]
    work.each(plain_kernel(dtype_name(c)), c.size, a, b, c if bias is None else bias, c, a_places, b_places, np.int64(c.size), np.int64(rows),
              np.int64(columns), np.int64(a.shape[-1]), *strides, np.int64(bias is not None))


def _places(array: DeviceArray, batch: tuple[int, ...]) -> np.ndarray:
    """Where each matrix of a broadcast batch begins."""
    own = array.shape[:-2]
    strides = broadcast_strides(own, array.strides[:-2], batch)
    found = np.zeros(batch, np.int64)
    for dim, (size, stride) in enumerate(zip(batch, strides, strict=True)):
        found += (np.arange(size) * stride).reshape([size if d == dim else 1 for d in range(len(batch))])
    return found.reshape(-1)


def computable(*kinds: Any) -> str | None:
    """Why tensors of these types are not multiplied here; None if they are."""
    for kind in kinds:
        if kind == NONE:
            continue
        if not isinstance(kind, TensorType) or kind.dtype.name not in (
                *access.FLOATS, "int64", "int32"):
            return f"no {kind}"
    return None


@emits("matmul", second=True)
def lower_matmul(site: Site) -> Emit | str:
    """numpy's matmul: vectors, matrices, batches."""
    refused = computable(*site.operand_types)
    if refused:
        return refused
    left, right = static_shape(site.tensor(0)), static_shape(site.tensor(1))
    flat = len(right) == 2 and len(left) > 2

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        a, b = operands
        c = results[0]
        if flat:      # many rows times one matrix
            a = a.view((math.prod(left[:-1]), left[-1]), (a.strides[-2], a.strides[-1])) if _even(a) else _rows(work, a)
            multiply(work, a, b, None, c.view((a.shape[0], right[-1]), (right[-1], 1)))
            return
        if len(left) == 1:
            a = a.view((1, *a.shape), (0, *a.strides))
        if len(right) == 1:
            b = b.view((*b.shape, 1), (*b.strides, 0))
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*batch, a.shape[-2], b.shape[-1])
        multiply(work, a, b, None, c.view(shape, contiguous_strides(shape)))
    return emit


def _even(array: DeviceArray) -> bool:
    """True if all rows of an array are the same distance apart."""
    return all(array.strides[i] == array.strides[i + 1] * array.shape[i + 1] for i in range(array.ndim - 2))


def _rows(work: Work, array: DeviceArray) -> DeviceArray:
    made = work.contiguous(array)
    return made.view((math.prod(array.shape[:-1]), array.shape[-1]), (array.shape[-1], 1))


@emits("linear", second=True)
def lower_linear(site: Site) -> Emit | str:
    """x @ weight.T + bias."""
    refused = computable(*site.operand_types)
    if refused or site.tensor(1).rank != 2:
        return refused or "a weight that is no matrix"
    shape = static_shape(site.tensor(0))

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, weight, bias = operands
        rows = x.view((math.prod(shape[:-1]), shape[-1]), (x.strides[-2] if x.ndim > 1 else 0, x.strides[-1])) if x.ndim < 2 or _even(x) \
            else _rows(work, x)
        turned = weight.view(weight.shape[::-1], weight.strides[::-1])
        flat = (rows.shape[0], weight.shape[0])
        multiply(work, rows, turned, None if bias is None else work.contiguous(bias), results[0].view(flat, contiguous_strides(flat)))
    return emit
