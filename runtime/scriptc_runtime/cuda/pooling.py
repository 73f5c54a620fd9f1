"""Pooling over windows on the device."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc_runtime.cuda.kernels.windows import window_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.products import unread
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

SERVED = ("float32", "float64", "float16", "bfloat16", "int32", "int64")


def _sizes(x: Sequence[int], y: Sequence[int], attributes: Any) -> list[int]:
    """What the kernels want to know, in three dimensions."""
    spatial = len(attributes["kernel_size"])
    fill = 3 - spatial
    ones = (1,) * fill
    return [*ones, *x[-spatial:], *ones, *y[-spatial:], *ones, *attributes["kernel_size"], *ones, *attributes["stride"], *(0,) * fill,
            *attributes["padding"], *ones, *attributes.get("dilation", (1,) * spatial)]


def _refused(site: Site) -> str:
    kinds = [k for k in (*site.operand_types, site.result_types[0]) if isinstance(k, TensorType)]
    return next((f"windows of {k.dtype.name}" for k in kinds if k.dtype.name not in SERVED), "")


@emits("max_pool", "max_pool_with_indices")
def lower_max_pool(site: Site) -> Emit | str:
    """The first largest element of each window, and where it is."""
    indices = site.op.name == "max_pool_with_indices"
    sizes = _sizes(static_shape(site.operand_types[0]), static_shape(site.result_types[0]), site.attributes)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, y = work.contiguous(operands[0]), results[0]
        places = results[1] if indices else unread(work.engine, "int64")
        kernel = window_kernel("max", x.dtype.name, indices=indices)
        work.each(kernel, y.size, x, x, y, places, np.int64(y.size), np.float32(0), *map(np.int64, sizes))
    return _refused(site) or emit


@emits("avg_pool")
def lower_avg_pool(site: Site) -> Emit | str:
    """The mean of each window."""
    sizes = _sizes(static_shape(site.operand_types[0]), static_shape(site.result_types[0]), site.attributes)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, y = work.contiguous(operands[0]), results[0]
        kernel = window_kernel("mean", x.dtype.name, padded=site.attributes["count_include_pad"])
        work.each(kernel, y.size, x, x, y, unread(work.engine, "int64"), np.int64(y.size), _override(site), *map(np.int64, sizes))
    return _refused(site) or emit


@emits("max_pool_gradient", "avg_pool_gradient")
def lower_gradient(site: Site) -> Emit | str:
    """What each element of x gets from the windows that hold it."""
    shape, made = static_shape(site.operand_types[1]), static_shape(site.operand_types[0])
    sizes = _sizes(shape, made, site.attributes)
    largest = site.op.name == "max_pool_gradient"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, dx = work.contiguous(operands[0]), results[0]
        x = work.contiguous(operands[1]) if largest else g
        kernel = window_kernel("max_gradient" if largest else "mean_gradient", g.dtype.name,
                               padded=not largest and site.attributes["count_include_pad"])
        if not math.prod(made):
            work.fill(dx, 0)
            return
        work.each(kernel, dx.size, g, x, dx, unread(work.engine, "int64"), np.int64(dx.size), np.float32(0) if largest else _override(site),
                  *map(np.int64, sizes))
    return _refused(site) or emit


def _override(site: Site) -> np.float32:
    """The divisor that a user asked for; 0 if windows tell their own."""
    return np.float32(site.attributes["divisor_override"] or 0)


