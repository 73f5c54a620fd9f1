"""Running extrema, groups of equal elements, and counts: what orders or compares elements with each other."""
from __future__ import annotations

from typing import Any

from scriptc.ir.ops.indexing import scatter
from scriptc.ir.ops.reduction import reduced
from scriptc.ir.ops.views import zeros_for
from scriptc.ir.registry import OpError, Tensor, axis, floating, nondifferentiable, op
from scriptc.ir.types import TensorType, int32, int64


@op
def cummax(x: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """(running maxima along `dim`, int64 positions of the last element that gave each); nan wins."""
    axis(dim, x)
    return x, x.with_dtype(int64)


@op
def cummin(x: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """(running minima along `dim`, int64 positions of the last element that gave each); nan wins."""
    axis(dim, x)
    return x, x.with_dtype(int64)


@op
def logcumsumexp(x: Tensor, *, dim: int) -> Tensor:
    """log of the running sums of exp(x) along `dim`, without overflow."""
    floating(x, "x")
    axis(dim, x)
    return x


@op(no_gradient="it is the gradient of logcumsumexp")
def logcumsumexp_gradient(g: Tensor, y: Tensor, x: Tensor, *, dim: int) -> Tensor:
    """The sum over j >= i of g[j] exp(x[i] - y[j]) along `dim`."""
    return x


@op
def mode(x: Tensor, *, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(the most frequent value along `dim`, the smallest of equally frequent ones; int64 position of its last occurrence)."""
    shape = reduced(x, (axis(dim, x),), keepdim) if x.rank else x.shape
    return x.with_shape(shape), TensorType(int64, shape)


@op
def unique(x: Tensor, *, dim: int | None = None, consecutive: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(distinct elements, int64 place of each element among them, int64 counts).

    Sorted, or with `consecutive` in the order found, where only neighbours are compared. With `dim`, slices along it are compared
    as wholes. How many there are is known only at run time.
    """
    if dim is None:
        return x.with_shape((None,)), x.with_dtype(int64), TensorType(int64, (None,))
    position = axis(dim, x)
    if x.shape is None:
        return x, TensorType(int64, (None,)), TensorType(int64, (None,))
    slices = tuple(None if i == position else s for i, s in enumerate(x.shape))
    return x.with_shape(slices), TensorType(int64, (x.shape[position],)), TensorType(int64, (None,))


@op
def histc(x: Tensor, *, bins: int, low: float, high: float) -> Tensor:
    """How many elements fall in each of `bins` equal intervals of [low, high], in x's dtype; low == high means [min, max] of x."""
    if bins < 1:
        raise OpError("E0418", what="bins", minimum=1, found=bins)
    return x.with_shape((bins,))


@op
def weighted_bincount(x: Tensor, weights: Tensor, *, minlength: int = 0) -> Tensor:
    """The sums of `weights` over equal values of the 1-d integers x (torch.bincount)."""
    return weights.with_shape((None,))


@op
def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """(mantissa in [0.5, 1), int32 exponent) with x = mantissa * 2**exponent."""
    floating(x, "x")
    return x, x.with_dtype(int32)


def _running(g: Any, y: Any, x: Any, *, dim: int) -> Any:
    return g[0] if x.rank == 0 else scatter(zeros_for(x), y[1], g[0], dim=dim, reduce="add")


cummax.gradient(_running)
cummin.gradient(_running)
logcumsumexp.gradient(lambda g, y, x, dim: logcumsumexp_gradient(g, y, x, dim=dim))


@mode.gradient
def _(g: Any, y: Any, x: Any, *, dim: int, keepdim: bool) -> Any:
    if x.rank == 0:
        return g[0]
    source, place = (g[0], y[1]) if keepdim else (g[0].unsqueeze(dim), y[1].unsqueeze(dim))
    return scatter(zeros_for(x), place, source, dim=dim, reduce="none")


@frexp.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    from scriptc.ir.ops.elementwise import exp2

    return g[0] * exp2(-y[1].cast(x.dtype))


nondifferentiable("which elements are equal changes by jumps, and torch has no gradient either", unique)
nondifferentiable("its result counts", histc)
nondifferentiable("torch has none; index_add gives the same sums with one", weighted_bincount)
