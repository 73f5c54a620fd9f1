"""Resampling of images."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.ops.creation import sizes_shape
from scriptc.ir.registry import Int, OpError, Tensor, floating, op, positive, rank_is, same_dtype, same_size, same_type
from scriptc.ir.types import IntType, TensorType

# Each mode with the numbers of dimensions that it resamples.
MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,),
         "trilinear": (3,)}
SECOND = "second derivatives of resampling are not needed by any model seen"


def interpolated(x: TensorType, sizes: tuple[IntType, ...], mode: str, scale_factors: tuple[float, ...] | None,
                 antialias: bool) -> TensorType:
    """The type of `interpolate`. OpError if mode, sizes or factors do not fit x."""
    if antialias and mode not in ("bilinear", "bicubic"):
        raise OpError("E0492", mode=f"{mode} with antialias", known="bilinear, bicubic")
    if len(sizes) not in MODES.get(mode, ()):
        known = ", ".join(name for name, counts in MODES.items() if len(sizes) in counts)
        raise OpError("E0492", mode=mode, known=f"{known} for {len(sizes)} dimensions")
    if scale_factors is not None:
        if len(scale_factors) != len(sizes):
            raise OpError("E0470", what="scale_factors", expected=len(sizes), found=len(scale_factors))
        for factor in scale_factors:
            if not 0.0 < factor < math.inf:
                raise OpError("E0420", message=f"a scale factor must be positive, found {factor}")
    for size in sizes:
        if isinstance(size.value, int):
            positive(size.value, "output size")
    floating(x, "x")
    rank_is(x, "x", len(sizes) + 2)
    return x.with_shape(None if x.shape is None else (*x.shape[:2], *sizes_shape(sizes)))


@op
def interpolate(x: Tensor, *sizes: Int, mode: str, align_corners: bool = False,
                scale_factors: tuple[float, ...] | None = None, antialias: bool = False) -> Tensor:
    """x [N, C, *S] resampled to `sizes` (torch interpolate); `scale_factors`, where given, fix the sampling positions.

    With `antialias` (bilinear and bicubic) the kernel is as wide as an output pixel where the image gets smaller.
    """
    return interpolated(x, sizes, mode, scale_factors, antialias)


def sampled(x: TensorType, grid: TensorType, mode: str, padding_mode: str) -> TensorType:
    """The type of `grid_sample`. OpError if modes or operands do not fit."""
    if mode not in ("bilinear", "nearest") or padding_mode not in ("zeros", "border", "reflection"):
        raise OpError("E0492", mode=f"{mode}, {padding_mode}", known="bilinear, nearest; zeros, border, reflection")
    floating(x, "x")
    same_dtype(x=x, grid=grid)
    rank_is(x, "x", 4)
    rank_is(grid, "grid", 4)
    if x.shape is None or grid.shape is None:
        return x.with_shape(None)
    batch = same_size(x.shape[0], grid.shape[0], "the batches of x and grid")
    same_size(grid.shape[3], 2, "the last size of grid and (x, y)")
    return x.with_shape((batch, x.shape[1], grid.shape[1], grid.shape[2]))


@op
def grid_sample(x: Tensor, grid: Tensor, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False) -> Tensor:
    """x [N, C, H, W] sampled at grid [N, H', W', 2] of (x, y) in [-1, 1] (torch grid_sample)."""
    return sampled(x, grid, mode, padding_mode)


@op(no_gradient=SECOND)
def interpolate_gradient(g: Tensor, x: Tensor, *sizes: Int, mode: str, align_corners: bool = False,
                         scale_factors: tuple[float, ...] | None = None, antialias: bool = False) -> Tensor:
    """The gradient of `interpolate` to x; of x only the shape is used."""
    same_type(g, interpolated(x, sizes, mode, scale_factors, antialias), "g")
    return x


@op(no_gradient=SECOND)
def grid_sample_gradient(g: Tensor, x: Tensor, grid: Tensor, *, mode: str = "bilinear", padding_mode: str = "zeros",
                         align_corners: bool = False) -> tuple[Tensor, Tensor]:
    """The gradients of `grid_sample` to x and to grid (zero for nearest, and where border padding holds a place back)."""
    same_type(g, sampled(x, grid, mode, padding_mode), "g")
    return x, grid


@interpolate.gradient
def _(g: Any, y: Any, x: Any, *sizes: Any, **attributes: Any) -> Any:
    return (interpolate_gradient(g, x, *sizes, **attributes), *(None,) * len(sizes))


@grid_sample.gradient
def _(g: Any, y: Any, x: Any, grid: Any, **attributes: Any) -> Any:
    return grid_sample_gradient(g, x, grid, **attributes)
