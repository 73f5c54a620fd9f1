"""Sums, extrema, orders and scans along dimensions."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.dims import Dim
from scriptc.ir.ops.elementwise import eq, exp, masked_fill
from scriptc.ir.registry import Int, OpError, Tensor, axes, axis, floating, nondifferentiable, not_negative, op
from scriptc.ir.types import BOOL_CATEGORY, FLOAT_CATEGORY, Shape, TensorType, bool_, int64


def reduced(x: TensorType, dims: tuple[int, ...] | None, keepdim: bool) -> Shape | None:
    """The shape after reducing `dims` (None or empty: all)."""
    chosen = axes(dims, x) if dims else None
    if x.shape is None:
        return () if chosen is None and not keepdim else None
    if chosen is None:
        return (1,) * len(x.shape) if keepdim else ()
    kept: list[Dim] = []
    for index, size in enumerate(x.shape):
        if index not in chosen:
            kept.append(size)
        elif keepdim:
            kept.append(1)
    return tuple(kept)


def counted(x: Any, dims: tuple[int, ...] | None) -> Any:
    """How many elements are reduced into one."""
    from scriptc.ir.ops.scalar import scalar_mul
    from scriptc.ir.ops.shape import numel, size

    if not dims or x.rank == 0:
        return numel(x)
    count = size(x, dim=dims[0] % x.rank)
    for dim in dims[1:]:
        count = scalar_mul(count, size(x, dim=dim % x.rank))
    return count


def restored(g: Any, x: Any, dims: tuple[int, ...] | None, keepdim: bool) -> Any:
    """A reduced gradient with its reduced dimensions back as ones."""
    if keepdim or x.rank == 0:
        return g
    chosen = range(x.rank) if not dims else sorted(d % x.rank for d in dims)
    for dim in chosen:
        g = g.unsqueeze(dim)
    return g


def real(x: TensorType, name: str) -> None:
    """OpError E0408 for a complex tensor: complex numbers have no order, and what this op computes of them is not a number of their dtype."""
    if x.dtype.is_complex:
        raise OpError("E0408", op=name, expected="real", found=x.dtype)


@op
def sum_(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The sum over `dims` (None: all). Bools and integers accumulate and give int64; half types accumulate in float32."""
    dtype = int64 if x.dtype.category < FLOAT_CATEGORY else x.dtype
    return TensorType(dtype, reduced(x, dims, keepdim))


@op
def prod(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The product over `dims` (None: all); integers give int64."""
    dtype = int64 if x.dtype.category < FLOAT_CATEGORY else x.dtype
    return TensorType(dtype, reduced(x, dims, keepdim))


@op
def mean(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The mean over `dims` (None: all) of a floating tensor; nan for no elements."""
    floating(x, "x")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def amax(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The largest element over `dims` (None: all); nan wins. RuntimeError for no elements."""
    real(x, "amax")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def amin(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The smallest element over `dims` (None: all); nan wins. RuntimeError for no elements."""
    real(x, "amin")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def any_(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """True if any element over `dims` (None: all) is nonzero."""
    return TensorType(bool_, reduced(x, dims, keepdim))


@op
def all_(x: Tensor, *, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """True if every element over `dims` (None: all) is nonzero."""
    return TensorType(bool_, reduced(x, dims, keepdim))


@op
def argmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """int64 position of the largest element along `dim` (None: in the flattened tensor); the first of equals; nan wins."""
    real(x, "argmax")
    return TensorType(int64, reduced(x, None if dim is None else (dim,), keepdim))


@op
def argmin(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """int64 position of the smallest element along `dim` (None: in the flattened tensor)."""
    real(x, "argmin")
    return TensorType(int64, reduced(x, None if dim is None else (dim,), keepdim))


@op
def max_with_index(x: Tensor, *, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(values, int64 indices) of the largest elements along `dim` (torch.max with a dimension)."""
    real(x, "max_with_index")
    shape = reduced(x, (axis(dim, x),), keepdim) if x.rank else x.shape
    return x.with_shape(shape), TensorType(int64, shape)


@op
def min_with_index(x: Tensor, *, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(values, int64 indices) of the smallest elements along `dim`."""
    real(x, "min_with_index")
    shape = reduced(x, (axis(dim, x),), keepdim) if x.rank else x.shape
    return x.with_shape(shape), TensorType(int64, shape)


@op
def var(x: Tensor, *, dims: tuple[int, ...] | None = None, correction: float = 1.0, keepdim: bool = False) -> Tensor:
    """The variance over `dims` (None: all) with divisor n - correction; nan where that is not positive."""
    real(x, "var")
    floating(x, "x")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def logsumexp(x: Tensor, *, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over `dims`, shifted by the maximum."""
    real(x, "logsumexp")
    floating(x, "x")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def norm(x: Tensor, *, p: float = 2.0, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The p-norm over `dims` (None: all) of a floating tensor; p may be inf, -inf or 0 (torch.linalg.vector_norm)."""
    real(x, "norm")
    floating(x, "x")
    return x.with_shape(reduced(x, dims, keepdim))


@op
def cumsum(x: Tensor, *, dim: int) -> Tensor:
    """Running sums along `dim`; bools and integers give int64."""
    axis(dim, x)
    return x.with_dtype(int64) if x.dtype.category < FLOAT_CATEGORY else x


@op
def cumprod(x: Tensor, *, dim: int) -> Tensor:
    """Running products along `dim`; bools and integers give int64."""
    axis(dim, x)
    return x.with_dtype(int64) if x.dtype.category < FLOAT_CATEGORY else x


@op(no_gradient="it serves the gradient of prod, and second derivatives of gradient kernels are not given")
def products_of_others(x: Tensor, *, dim: int) -> Tensor:
    """For each element the product of all the others along `dim`."""
    axis(dim, x)
    return x


@op(no_gradient="it is the gradient of cumprod")
def cumprod_gradient(g: Tensor, x: Tensor, *, dim: int) -> Tensor:
    """The gradient of `cumprod`: sum over j >= i of g[j] times the product of x[k] for k <= j, k != i; exact where elements are 0."""
    axis(dim, x)
    return x


@op
def sort(x: Tensor, *, dim: int = -1, descending: bool = False, stable: bool = False) -> tuple[Tensor, Tensor]:
    """(values, int64 indices) in order along `dim`; nan counts as the largest; always stable here."""
    axis(dim, x)
    return x, x.with_dtype(int64)


@op
def topk(x: Tensor, k: Int, *, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """(values, int64 indices) of the k largest (or smallest) elements along `dim`, best first."""
    position = axis(dim, x)
    if x.shape is None:
        return x, x.with_dtype(int64)
    if isinstance(k.value, int):
        not_negative(k.value, "k")
        size = x.shape[position] if x.shape else 1
        if isinstance(size, int) and k.value > size:
            raise OpError("E0430", k=k.value, size=size)
    shape = tuple(k.value if i == position else s for i, s in enumerate(x.shape))
    return x.with_shape(shape), TensorType(int64, shape)


@op
def count_nonzero(x: Tensor, *, dims: tuple[int, ...] | None = None) -> Tensor:
    """How many elements over `dims` (None: all) are not zero, int64."""
    return TensorType(int64, reduced(x, dims, False))


# Gradients.

@sum_.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any, keepdim: bool) -> Any:
    from scriptc.ir.ops.shape import expand_as

    return expand_as(restored(g, x, dims, keepdim), x) if x.dtype.category > BOOL_CATEGORY + 1 else None


@mean.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any, keepdim: bool) -> Any:
    from scriptc.ir.ops.shape import expand_as

    return expand_as(restored(g, x, dims, keepdim) / counted(x, dims), x)


def _extremum(g: Any, y: Any, x: Any, *, dims: Any, keepdim: bool) -> Any:
    # Equal elements share the gradient evenly, as torch's amax and max() do.
    from scriptc.ir.ops.shape import expand_as

    picked = eq(x, restored(y, x, dims, keepdim)).cast(x.dtype)
    share = picked / picked.sum(dims, keepdim=True)
    return share * expand_as(restored(g, x, dims, keepdim), x)


amax.gradient(_extremum)
amin.gradient(_extremum)


def _indexed(g: Any, y: Any, x: Any, *, dim: int, keepdim: bool) -> Any:
    from scriptc.ir.ops.indexing import scatter

    picked = y[1] if keepdim else y[1].unsqueeze(dim)
    source = g[0] if keepdim else g[0].unsqueeze(dim)
    return scatter(x * 0.0, picked, source, dim=dim, reduce="none")


max_with_index.gradient(_indexed)
min_with_index.gradient(_indexed)


@var.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any, correction: float, keepdim: bool) -> Any:
    from scriptc.ir.ops.scalar import scalar_sub

    return restored(g, x, dims, keepdim) * (x - x.mean(dims, keepdim=True)) * 2.0 / scalar_sub(counted(x, dims), correction)


@logsumexp.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any, keepdim: bool) -> Any:
    return restored(g, x, dims, keepdim) * exp(x - restored(y, x, dims, keepdim))


@norm.gradient
def _(g: Any, y: Any, x: Any, *, p: float, dims: Any, keepdim: bool) -> Any:
    from scriptc.ir.ops.elementwise import abs_, pow_, sign

    g, y = restored(g, x, dims, keepdim), restored(y, x, dims, keepdim)
    if p == 2.0:
        # 0 / 0 at the origin: torch's subgradient there is 0.
        return masked_fill(g * x / y, eq(y, 0.0), 0.0)
    if p == 1.0:
        return g * sign(x)
    if p == 0.0:
        return g * x * 0.0
    if p in (math.inf, -math.inf):
        # Equal extremes share the gradient evenly.
        picked = eq(abs_(x), y).cast(x.dtype)
        return sign(x) * picked * (g / picked.sum(dims, keepdim=True))
    if p < 1.0:
        return masked_fill(g * sign(x) * masked_fill(pow_(abs_(x), p - 1.0), eq(x, 0.0), 0.0) * pow_(y, 1.0 - p), eq(y, 0.0), 0.0)
    return masked_fill(g * sign(x) * pow_(abs_(x), p - 1.0) / pow_(y, p - 1.0), eq(y, 0.0), 0.0)


@prod.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any, keepdim: bool) -> Any:
    from scriptc.ir.ops.shape import expand_as, reshape, reshape_as

    # The product of the others, so that zeros among the elements need no division.
    if x.rank == 0:
        return g
    if dims and len(dims) == 1:
        return expand_as(restored(g, x, dims, keepdim), x) * products_of_others(x, dim=dims[0])
    if not dims:
        return expand_as(restored(g, x, dims, keepdim), x) * reshape_as(products_of_others(reshape(x, -1), dim=0), x)
    return restored(g * y, x, dims, keepdim) / x


@cumsum.gradient
def _(g: Any, y: Any, x: Any, *, dim: int) -> Any:
    from scriptc.ir.ops.shape import flip

    return g if x.rank == 0 else flip(cumsum(flip(g, dims=(dim,)), dim=dim), dims=(dim,))


cumprod.gradient(lambda g, y, x, dim: cumprod_gradient(g, x, dim=dim))


def _ordered(g: Any, y: Any, x: Any, *rest: Any, dim: int, **attributes: Any) -> Any:
    from scriptc.ir.ops.indexing import scatter

    return (scatter(x * 0.0, y[1], g[0], dim=dim, reduce="none"), *([None] * len(rest)))


sort.gradient(_ordered)
topk.gradient(_ordered)

nondifferentiable("its result is bool or an index", any_, all_, argmax, argmin, count_nonzero)

