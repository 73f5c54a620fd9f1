"""Resampling of images."""
from __future__ import annotations

from scriptc.ir.ops.creation import sizes_shape
from scriptc.ir.registry import Int, OpError, Tensor, floating, op, rank_is, same_dtype

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
REASON = "gradients of resampling come with the training engine"


@op(no_gradient=REASON)
def interpolate(x: Tensor, *sizes: Int, mode: str, align_corners: bool = False,
                scale_factors: tuple[float, ...] | None = None) -> Tensor:
    """x [N, C, *S] resampled to `sizes` (torch interpolate); `scale_factors`, where given, fix the sampling positions."""
    if mode not in MODES:
        raise OpError("E0492", mode=mode, known=", ".join(MODES))
    floating(x, "x")
    rank_is(x, "x", len(sizes) + 2)
    return x.with_shape(None if x.shape is None else (*x.shape[:2], *sizes_shape(sizes)))


@op(no_gradient=REASON)
def grid_sample(x: Tensor, grid: Tensor, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False) -> Tensor:
    """x [N, C, H, W] sampled at grid [N, H', W', 2] of (x, y) in [-1, 1] (torch grid_sample)."""
    if mode not in ("bilinear", "nearest") or padding_mode not in ("zeros", "border"):
        raise OpError("E0492", mode=f"{mode}, {padding_mode}", known="bilinear, nearest; zeros, border")
    same_dtype(x=x, grid=grid)
    rank_is(x, "x", 4)
    rank_is(grid, "grid", 4)
    if x.shape is None or grid.shape is None:
        return x.with_shape(None)
    return x.with_shape((x.shape[0], x.shape[1], grid.shape[1], grid.shape[2]))
