"""Pooling over windows and to given sizes."""
from __future__ import annotations

from typing import Any

from scriptc.ir import dims as sizes_of
from scriptc.ir.dims import Dim
from scriptc.ir.ops.convolution import check_windows
from scriptc.ir.registry import Int, OpError, Tensor, floating, op, rank_is, same_type, shape_text
from scriptc.ir.types import FLOAT_CATEGORY, INT_CATEGORY, Shape, TensorType, int64


def pooled(size: Dim, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Dim:
    """The number of windows; with ceil_mode the last one may reach past the end but must start inside.

    "Inside" is torch's: in the input or its left padding. Rounding up is adding stride - 1; a window that starts at
    size + padding or later is one too many, so of the two bounds on the last start the smaller one counts.
    """
    reach = dilation * (kernel - 1) + 1
    last = 2 * padding - reach
    if ceil_mode:
        last = min(last + stride - 1, padding - 1)
    return sizes_of.add(sizes_of.floor_divide(sizes_of.add(size, last), stride), 1)


def pooled_shape(x: TensorType, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
                 dilation: tuple[int, ...], ceil_mode: bool) -> Shape | None:
    """The shape after pooling the last dimensions. OpError if an attribute or a size does not fit."""
    spatial = len(kernel)
    check_windows(spatial, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    rank_is(x, "x", spatial + 1, spatial + 2)
    for k, p in zip(kernel, padding, strict=True):
        if 2 * p > k:
            raise OpError("E0474", padding=p, kernel=k)
    if x.shape is None:
        return None
    sizes = tuple(pooled(s, k, st, p, d, ceil_mode) for s, k, st, p, d in
                  zip(x.shape[-spatial:], kernel, stride, padding, dilation, strict=True))
    for index, size in enumerate(sizes):
        if isinstance(size, int) and size < 1:
            raise OpError("E0473", dim=len(x.shape) - spatial + index, x=shape_text(x.shape), kernel=shape_text(kernel))
    return (*x.shape[:-spatial], *sizes)


def max_pooled(x: TensorType, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
               dilation: tuple[int, ...], ceil_mode: bool) -> Shape | None:
    """`pooled_shape` for elements that have a maximum. OpError E0408 for bool and complex ones."""
    if x.dtype.category not in (INT_CATEGORY, FLOAT_CATEGORY):
        raise OpError("E0408", op="max_pool", expected="integer or floating", found=x.dtype)
    return pooled_shape(x, kernel, stride, padding, dilation, ceil_mode)


def avg_pooled(x: TensorType, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool,
               divisor_override: int | None) -> TensorType:
    """The type of `avg_pool`."""
    floating(x, "x")
    if divisor_override == 0:
        raise OpError("E0420", message="avg_pool: divisor_override must not be 0")
    return x.with_shape(pooled_shape(x, kernel, stride, padding, (1,) * len(kernel), ceil_mode))


@op
def max_pool(x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
             dilation: tuple[int, ...], ceil_mode: bool = False) -> Tensor:
    """The largest element of each window of the last dimensions; padding never wins; nan does (torch max_pool1d..3d)."""
    return x.with_shape(max_pooled(x, kernel_size, stride, padding, dilation, ceil_mode))


@op
def max_pool_with_indices(x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
                          dilation: tuple[int, ...], ceil_mode: bool = False) -> tuple[Tensor, Tensor]:
    """(max_pool, int64 position of each maximum in its flattened plane)."""
    shape = max_pooled(x, kernel_size, stride, padding, dilation, ceil_mode)
    return x.with_shape(shape), TensorType(int64, shape)


@op(no_gradient="second derivatives of pooling are zero almost everywhere")
def max_pool_gradient(g: Tensor, x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
                      dilation: tuple[int, ...], ceil_mode: bool = False) -> Tensor:
    """The gradient of `max_pool` to x: to the first maximum of each window."""
    same_type(g, x.with_shape(max_pooled(x, kernel_size, stride, padding, dilation, ceil_mode)), "g")
    return x


@op
def avg_pool(x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
             ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of the last dimensions (torch avg_pool1d..3d)."""
    return avg_pooled(x, kernel_size, stride, padding, ceil_mode, divisor_override)


@op(no_gradient="second derivatives of pooling are not needed by any model seen")
def avg_pool_gradient(g: Tensor, x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
                      ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The gradient of `avg_pool` to x; of x only the shape is used."""
    same_type(g, avg_pooled(x, kernel_size, stride, padding, ceil_mode, divisor_override), "g")
    return x


def adapted(x: TensorType, sizes: tuple[Any, ...]) -> Shape | None:
    """x's shape with its last dimensions replaced by `sizes`."""
    rank_is(x, "x", len(sizes) + 1, len(sizes) + 2)
    if x.shape is None:
        return None
    for size in sizes:
        if isinstance(size.value, int) and size.value < 0:
            raise OpError("E0418", what="output size", minimum=0, found=size.value)
    return (*x.shape[:len(x.shape) - len(sizes)], *(s.value for s in sizes))


@op
def adaptive_avg_pool(x: Tensor, *sizes: Int) -> Tensor:
    """Means over windows floor(i n / m) to ceil((i + 1) n / m), so that the last dimensions get `sizes`."""
    floating(x, "x")
    return x.with_shape(adapted(x, sizes))


@op
def adaptive_max_pool(x: Tensor, *sizes: Int) -> tuple[Tensor, Tensor]:
    """(maxima, int64 positions in the plane) over the windows of adaptive_avg_pool."""
    shape = adapted(x, sizes)
    return x.with_shape(shape), TensorType(int64, shape)


@op(no_gradient="second derivatives of pooling are not needed by any model seen")
def adaptive_avg_pool_gradient(g: Tensor, x: Tensor, *sizes: Int) -> Tensor:
    """The gradient of `adaptive_avg_pool` to x; of x only the shape is used."""
    floating(x, "x")
    same_type(g, x.with_shape(adapted(x, sizes)), "g")
    return x


@max_pool.gradient
def _(g: Any, y: Any, x: Any, **attributes: Any) -> Any:
    return max_pool_gradient(g, x, **attributes)


@max_pool_with_indices.gradient
def _(g: Any, y: Any, x: Any, **attributes: Any) -> Any:
    return max_pool_gradient(g[0], x, **attributes)


@avg_pool.gradient
def _(g: Any, y: Any, x: Any, **attributes: Any) -> Any:
    return avg_pool_gradient(g, x, **attributes)


@adaptive_avg_pool.gradient
def _(g: Any, y: Any, x: Any, *sizes: Any) -> Any:
    return (adaptive_avg_pool_gradient(g, x, *sizes), *(None,) * len(sizes))


@adaptive_max_pool.gradient
def _(g: Any, y: Any, x: Any, *sizes: Any) -> Any:
    from scriptc.ir.ops.indexing import scatter
    from scriptc.ir.ops.shape import reshape, reshape_as, size

    lead = [size(x, dim=i) for i in range(x.rank - len(sizes))]
    flat = reshape(x * 0.0, *lead, -1)
    put = scatter(flat, reshape(y[1], *lead, -1), reshape(g[0], *lead, -1), dim=-1, reduce="add")
    return (reshape_as(put, x), *(None,) * len(sizes))
