"""Searching: places in sorted sequences, and classes as vectors."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import IntType
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.indexing import is_index
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


@functools.cache
def search_kernel(dtype: str, right: bool) -> Any:
    """out[i] = how many of line i // per's elements are smaller than (`right`: not larger than) value i; nan is larger than all."""
    _, load, _ = access.elements(dtype)

    @cuda.jit
    def search(line: Any, values: Any, out: Any, count: Any, per: Any, length: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            value = load(values[i])
            start = (i // per) * length
            low, high = np.int64(0), np.int64(length)
            while low < high:
                middle = (low + high) >> 1
                item = load(line[start + middle])
                if right:
                    before = item <= value or value != value
                else:
                    before = item < value or (value != value and item == item)
                if before:
                    low = middle + 1
                else:
                    high = middle
            out[i] = low
    return search


def positions(work: Work, line: DeviceArray, values: DeviceArray, out: DeviceArray, per: int, length: int, *, right: bool) -> None:
    """`search_kernel` over contiguous arrays."""
    work.each(search_kernel(dtype_name(line), right), values.size, line, values, out, np.int64(values.size), np.int64(per), np.int64(length))


@emits("searchsorted")
def lower_searchsorted(site: Site) -> Emit | str:
    """One sequence for all values, or one for each line of them."""
    line, values = site.tensor(0), site.tensor(1)
    if line.dtype is not values.dtype or line.dtype.name not in (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8"):
        return f"{values.dtype} in {line.dtype}"
    length, shape = static_shape(line)[-1], static_shape(values)
    per = max(math.prod(shape), 1) if line.rank == 1 else shape[-1]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if results[0].size:
            given, wanted = (work.contiguous(o) for o in operands)
            positions(work, given, wanted, results[0], per, length, right=site.attributes["right"])
    return emit


def _no_class(value: int, limit: int) -> Exception:
    return RuntimeError("Class values must be smaller than num_classes." if value >= 0 else "Class values must be non-negative.")


@cuda.jit
def spread_classes(x: Any, out: Any, count: Any, classes: Any, flag: Any, number: Any) -> None:
    """out[i, c] = x[i] == c."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        row = i // classes
        column = i - row * classes
        own = np.int64(x[row])
        if column == 0 and (own < 0 or own >= classes) and cuda.atomic.compare_and_swap(flag, 0, number) == 0:
            flag[1] = own
            flag[2] = classes
        out[i] = np.int64(1) if own == column else np.int64(0)


@emits("one_hot")
def lower_one_hot(site: Site) -> Emit | str:
    """1 where the class is."""
    count = site.operand_types[1]
    if not is_index(site.operand_types[0]) or not isinstance(count, IntType) or not isinstance(count.value, int) or count.value < 1:
        return "a number of classes that depends on elements"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        out = results[0]
        work.each(spread_classes, out.size, work.contiguous(operands[0]), out, np.int64(out.size), np.int64(out.shape[-1]), *work.refusals(_no_class))
    return emit
