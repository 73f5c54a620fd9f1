"""Images sampled at places that a grid names: a thread for each result."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.mathematics import namespace
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


@functools.cache
def _place_function(dtype: str, padding: str, corners: bool) -> Any:
    """Where a number from -1 to 1 lies in a dimension of a size, in pixels, folded back or held at the edges."""
    number, _, _ = access.elements(dtype)
    floor: Any = namespace()["floor8" if dtype == "float64" else "floor4"]
    reflects, holds = padding == "reflection", padding != "zeros"
    low = number(0.0 if corners else -0.5)
    one, half = number(1), number(0.5)

    def place(where: Any, size: Any) -> Any:
        length = number(size)
        found = (where + one) * half * (length - one) if corners else ((where + one) * length - one) * half
        if reflects:
            span = length - one if corners else length
            if span > 0:
                distance = abs(found - low)
                turns = floor(number(distance / span))
                rest = distance - turns * span
                found = low + (span - rest if turns - number(2) * floor(number(turns * half)) == one else rest)
            else:
                found = low
        if holds:
            found = min(max(found, number(0)), length - one)
        return number(found)
    return access.device_function(place)


@functools.cache
def sampling_kernel(dtype: str, mode: str, padding: str, corners: bool) -> Any:
    """out[n, c, p] of x [N, C, H, W] at grid [N, P, (x, y)]: the nearest pixel, or the four around it by their distances."""
    number, load, store = access.elements(dtype)
    names = namespace()
    base: Any = names[("rint" if mode == "nearest" else "floor") + ("8" if dtype == "float64" else "4")]
    place = _place_function(dtype, padding, corners)
    around = 1 if mode == "nearest" else 2

    @cuda.jit
    def sample(x: Any, grid: Any, out: Any, count: Any, channels: Any, height: Any, width: Any, per: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            plane = i // per
            at = 2 * ((plane // channels) * per + i - plane * per)
            right, down = place(number(load(grid[at])), width), place(number(load(grid[at + 1])), height)
            left, top = number(base(right)), number(base(down))
            total = number(0)
            for dy in range(around):
                for dx in range(around):
                    column, row = left + number(dx), top + number(dy)
                    if column >= 0 and column < number(width) and row >= 0 and row < number(height):
                        weight = number(1)
                        if around == 2:
                            weight = ((right - left) if dx else number(1) - (right - left)) * ((down - top) if dy else number(1) - (down - top))
                        total += weight * number(load(x[(plane * height + np.int64(row)) * width + np.int64(column)]))
            out[i] = store(total)
    return sample


@emits("grid_sample")
def lower_grid_sample(site: Site) -> Emit | str:
    """Bilinear or nearest, with each padding."""
    shape, attributes = static_shape(site.tensor(0)), site.attributes
    if site.tensor(0).dtype.name not in access.FLOATS or math.prod(shape) == 0:
        return f"no {site.tensor(0)}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, grid = (work.contiguous(o) for o in operands)
        out = results[0]
        kernel = sampling_kernel(dtype_name(x), attributes["mode"], attributes["padding_mode"], attributes["align_corners"])
        work.each(kernel, out.size, x, grid, out, *map(np.int64, (out.size, *shape[1:], math.prod(out.shape[2:]))))
    return emit
