"""Running sums, products and extrema, and the gradients of those that are not running sums themselves."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.kernels.scan import Scan, block_kernel, line_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

BLOCK = 8 if SIMULATED else 256
FEW = 4 if SIMULATED else 4096      # lines side by side below which a block for each is faster than a thread


def _lines(x: DeviceArray, dim: int) -> tuple[int, int, int]:
    """(outer, width, inner) of a dimension."""
    if not x.ndim:
        return 1, 1, 1
    place = dim % x.ndim
    return math.prod(x.shape[:place]), x.shape[place], math.prod(x.shape[place + 1:])


@emits("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
def lower_scan(site: Site) -> Emit | str:
    """Along one dimension."""
    kind, name = site.tensor(0), site.op.name
    shape = static_shape(kind)
    if kind.dtype.name not in (*access.FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool") or math.prod(shape) == 0:
        return f"no {kind}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        _scan(work, name, x, results, _lines(x, site.attributes["dim"]))
    return emit


def _scan(work: Work, name: str, x: DeviceArray, results: Sequence[DeviceArray], lines: tuple[int, int, int]) -> None:
    outer, width, inner = lines
    scan = Scan(name, dtype_name(x), dtype_name(results[0]))
    numbers = map(np.int64, (outer * inner, width, inner))
    if inner == 1 and outer < FEW and width > 1:
        work.launch(block_kernel(scan, BLOCK), outer, BLOCK, x, *results, *numbers)
    else:
        work.each(line_kernel(scan), outer * inner, x, *results, *numbers)


def scan_rows(work: Work, x: DeviceArray, y: DeviceArray) -> None:
    """y = the running sums of each row of contiguous x [rows, width]."""
    _scan(work, "cumsum", x, [y], (*x.shape, 1))  # type: ignore[arg-type]


@functools.cache
def _gradient_kernel(name: str, dtype: str) -> Any:
    """A thread for each element i of a line: what reaches it from those behind it (or, for products_of_others, the product of the others)."""
    number, load, store = access.elements(dtype)
    others = name == "products_of_others"
    _exp: Any = np.exp if SIMULATED else math.exp

    @cuda.jit
    def of_products(g: Any, y: Any, x: Any, out: Any, count: Any, width: Any, inner: Any) -> None:
        for e in range(cuda.grid(1), count, cuda.gridsize(1)):
            row = e // inner
            i = row % width
            at = (row - i) * inner + e - row * inner
            product = number(1)
            for j in range(i):
                product *= number(load(x[at + j * inner]))
            total = number(load(g[at + i * inner])) * product
            for j in range(i + 1, width):
                product *= number(load(x[at + j * inner]))
                total += number(load(g[at + j * inner])) * product
            out[e] = store(product if others else total)

    @cuda.jit
    def of_exponentials(g: Any, y: Any, x: Any, out: Any, count: Any, width: Any, inner: Any) -> None:
        for e in range(cuda.grid(1), count, cuda.gridsize(1)):
            row = e // inner
            i = row % width
            at = (row - i) * inner + e - row * inner
            own = number(load(x[e]))
            total = number(0)
            for j in range(i, width):
                total += number(load(g[at + j * inner])) * number(_exp(own - number(load(y[at + j * inner]))))
            out[e] = store(total)
    return of_exponentials if name == "logcumsumexp_gradient" else of_products


def _gradient(name: str) -> Callable[[Site], Emit | str]:
    def lower(site: Site) -> Emit | str:
        kind = site.tensor(0)
        if kind.dtype.name not in access.FLOATS or math.prod(static_shape(kind)) == 0:
            return f"no {kind}"

        def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
            given = [work.contiguous(o) for o in operands]
            g, y, x = {1: [given[0]] * 3, 2: [given[0], given[-1], given[-1]], 3: given}[len(given)]
            _, width, inner = _lines(x, site.attributes["dim"])
            work.each(_gradient_kernel(name, dtype_name(x)), x.size, g, y, x, results[0], *map(np.int64, (x.size, width, inner)))
        return emit
    return lower


for _name in ("products_of_others", "cumprod_gradient", "logcumsumexp_gradient"):
    emits(_name)(_gradient(_name))
