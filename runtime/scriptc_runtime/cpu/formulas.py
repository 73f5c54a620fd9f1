"""Ops that are formulas of others on the CPU: these have loops and commands, which are fused and joined with what stands around them."""
from __future__ import annotations

import functools
import math
from typing import Any

from scriptc.ir.expressions import Expr
from scriptc.ir.ops.convolution import conv_transpose, convolution_input_gradient
from scriptc.ir.ops.elementwise import abs_, eq, exp, ge, isfinite, le, log, logical_and, ne, sqrt, where
from scriptc.ir.ops.indexing import index_select
from scriptc.ir.ops.linalg import einsum, parse_equation
from scriptc.ir.ops.loss import nll_loss
from scriptc.ir.ops.normalization import log_softmax, softmax
from scriptc.ir.ops.reduction import amax, amin
from scriptc.ir.ops.shape import cat, expand, flip, permute, reshape
from scriptc.ir.ops.views import slice_
from scriptc.ir.types import DType, bool_, float32, int32, int64
from scriptc_runtime.cpu.indexing import NO_CLASS
from scriptc_runtime.plan.expansion import expands

on_cpu = functools.partial(expands, target="cpu")
Dims = tuple[int, ...] | None


def sizes(x: Expr) -> tuple[int, ...]:
    """The shape, which is known where a formula is asked."""
    return x.shape  # type: ignore[return-value]


def is_single(x: Any) -> bool:
    """True for a float32 tensor with dimensions and elements: what commands and loops are best at."""
    return x.dtype is float32 and bool(x.rank) and 0 not in sizes(x)


def reduced_count(x: Expr, dims: Dims) -> int:
    shape = sizes(x)
    return math.prod(shape[d] for d in dims) if dims else math.prod(shape)


def without(x: Expr, dims: Dims, keepdim: bool) -> Expr:
    """A result with its reduced dimensions of one element, or without them."""
    if keepdim:
        return x
    rank: int = x.rank  # type: ignore[assignment]
    gone = {d % rank for d in dims} if dims else set(range(rank))
    return reshape(x, *(size for d, size in enumerate(sizes(x)) if d not in gone))


# Reductions.


@on_cpu("var")
def _(x: Expr, *, dims: Dims, correction: float, keepdim: bool) -> Any:
    if not is_single(x):
        return None
    away = x - x.mean(dims, keepdim=True)
    return (away * away).sum(dims, keepdim=keepdim) / float(max(reduced_count(x, dims) - correction, 0.0))


@on_cpu("norm")
def _(x: Expr, *, p: float, dims: Dims, keepdim: bool) -> Any:
    if not is_single(x):
        return None
    if p == 2.0:
        return sqrt((x * x).sum(dims, keepdim=keepdim))
    if p == 1.0:
        return abs_(x).sum(dims, keepdim=keepdim)
    return amax(abs_(x), dims=dims, keepdim=keepdim) if p == math.inf else None


@on_cpu("logsumexp")
def _(x: Expr, *, dims: tuple[int, ...], keepdim: bool) -> Any:
    if not is_single(x):
        return None
    top = amax(x, dims=dims, keepdim=True)
    shift = where(isfinite(top), top, 0.0)
    return without(log(exp(x - shift).sum(dims, keepdim=True)) + shift, dims, keepdim)


@on_cpu("any")
def _(x: Expr, *, dims: Dims, keepdim: bool) -> Any:
    return None if not x.rank or 0 in sizes(x) else amax(_truth(x), dims=dims, keepdim=keepdim).cast(bool_)


@on_cpu("all")
def _(x: Expr, *, dims: Dims, keepdim: bool) -> Any:
    return None if not x.rank or 0 in sizes(x) else amin(_truth(x), dims=dims, keepdim=keepdim).cast(bool_)


def _truth(x: Expr) -> Expr:
    return (x if x.dtype is bool_ else ne(x, 0)).cast(float32)


# Normalisation.


def _along(function: Any, x: Expr, dim: int) -> Any:
    """Over rows, which the kernels know, with the dimension moved to the end and back."""
    rank: int = x.rank or 0
    if not is_single(x) or dim % rank == rank - 1:
        return None
    order = (*(d for d in range(rank) if d != dim % rank), dim % rank)
    return permute(function(permute(x, dims=order), dim=-1), dims=_inverse(order))


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))


on_cpu("softmax")(lambda x, *, dim: _along(softmax, x, dim))
on_cpu("log_softmax")(lambda x, *, dim: _along(log_softmax, x, dim))


@on_cpu("batch_norm_train")
def _(x: Expr, weight: Expr | None, bias: Expr | None, *, eps: float) -> Any:
    """Of features; images are for the blocked kernels."""
    if x.rank != 2 or not is_single(x) or sizes(x)[0] < 2:
        return None
    mean = x.mean(0)
    away = x - mean
    var = (away * away).mean(0)
    y = away * (1.0 / sqrt(var + eps))
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, var


@on_cpu("batch_norm_gradient")
def _(g: Expr, x: Expr, mean: Expr, var: Expr, weight: Expr | None, *, eps: float) -> Any:
    if x.rank != 2 or not is_single(x):
        return None
    inverse = 1.0 / sqrt(var + eps)
    normal = (x - mean) * inverse
    to_bias, to_weight = g.sum(0), (g * normal).sum(0)
    count = float(sizes(x)[0])
    dx = (g - to_bias / count - normal * (to_weight / count)) * inverse
    return (dx if weight is None else dx * weight), to_weight, to_bias


# Losses.


def _rows(x: Expr) -> Expr:
    """Scores [N, C, *] as [N, *, C]."""
    rank: int = x.rank or 0
    return x if rank == 2 else permute(x, dims=(0, *range(2, rank), 1))


def _back(rows: Expr) -> Expr:
    """[N, *, C] as [N, C, *]."""
    rank: int = rows.rank or 0
    return rows if rank == 2 else permute(rows, dims=(0, rank - 1, *range(1, rank - 1)))


def _classes(target: Expr, weight: Expr | None, ignore_index: int) -> tuple[Expr, Expr, Expr]:
    """(which rows count, as numbers; their classes; the weight of each row)"""
    target = target.cast(int64)
    taken = ne(target, ignore_index)
    index = where(taken, target, 0)
    counted = taken.cast(float32)
    if weight is None:
        return counted, index, counted
    return counted, index, reshape(index_select(weight, reshape(index, -1), dim=0), *sizes(target)) * counted


def _is_class_loss(x: Expr, target: Expr) -> bool:
    return is_single(x) and (x.rank or 0) >= 2 and not target.dtype.is_floating_point


def _total(losses: Expr, per_row: Expr, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / per_row.sum()


def _picked(rows: Expr, index: Expr) -> Expr:
    """The element of each row at its class."""
    flat = reshape(rows, -1, sizes(rows)[-1])
    return -reshape(nll_loss(flat, reshape(index, -1), None, ignore_index=NO_CLASS, reduction="none"), *sizes(index))


@on_cpu("cross_entropy")
def _(x: Expr, target: Expr, weight: Expr | None, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    if not _is_class_loss(x, target):
        return None
    logs = log_softmax(_rows(x), dim=-1)
    counted, index, per_row = _classes(target, weight, ignore_index)
    losses = -_picked(logs, index) * per_row
    if label_smoothing:
        spread = -(logs if weight is None else logs * weight).sum(-1) * counted
        losses = losses * (1.0 - label_smoothing) + spread * (label_smoothing / sizes(x)[1])
    return _total(losses, per_row, reduction)


@on_cpu("nll_loss")
def _(x: Expr, target: Expr, weight: Expr | None, *, ignore_index: int, reduction: str) -> Any:
    if not _is_class_loss(x, target) or ignore_index == NO_CLASS:
        return None
    _, index, per_row = _classes(target, weight, ignore_index)
    return _total(-_picked(_rows(x), index) * per_row, per_row, reduction)


def _per_row(g: Expr, per_row: Expr, reduction: str) -> Expr:
    """What reaches each row's loss of the gradient."""
    return g / per_row.sum() if reduction == "mean" else g


def _is_class(index: Expr, classes: int) -> Expr:
    """[..., C]: where the index is the class."""
    return eq(index.unsqueeze(-1), _op(index, "arange", 0, classes, 1, dtype=int64))


def _op(like: Expr, name: str, *operands: Any, **attributes: Any) -> Any:
    """An op without tensors among its operands."""
    return like._apply(name, *operands, **attributes)


@on_cpu("cross_entropy_gradient")
def _(g: Expr, x: Expr, target: Expr, weight: Expr | None, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    if not _is_class_loss(x, target):
        return None
    probabilities, classes = softmax(_rows(x), dim=-1), sizes(x)[1]
    counted, index, per_row = _classes(target, weight, ignore_index)
    arriving = _per_row(g, per_row, reduction)
    if not label_smoothing:
        factor = (per_row * arriving).unsqueeze(-1)
        return _back(probabilities * factor - where(_is_class(index, classes), factor, 0.0))
    each = (counted * (label_smoothing / classes)).unsqueeze(-1)
    wanted = where(_is_class(index, classes), (per_row * (1.0 - label_smoothing)).unsqueeze(-1), 0.0) + (each if weight is None else each * weight)
    spread = arriving.unsqueeze(-1) if reduction == "none" else arriving
    return _back((probabilities * wanted.sum(-1, keepdim=True) - wanted) * spread)


@on_cpu("nll_loss_gradient")
def _(g: Expr, x: Expr, target: Expr, weight: Expr | None, *, ignore_index: int, reduction: str) -> Any:
    if not _is_class_loss(x, target):
        return None
    _, index, per_row = _classes(target, weight, ignore_index)
    factor = -(per_row * _per_row(g, per_row, reduction)).unsqueeze(-1)
    return _back(where(_is_class(index, sizes(x)[1]), factor, 0.0))


# Positions.


@on_cpu("index")
def _(x: Expr, *indices: Expr | None) -> Any:
    """Two tensors of positions for dimensions next to each other, as one for both; -1 beyond what there is for a position out of range."""
    places = [place for place, index in enumerate(indices) if index is not None]
    if len(places) != 2 or places[1] != places[0] + 1 or 0 in sizes(x):
        return None
    first, second = (indices[place] for place in places)
    assert first is not None and second is not None
    if first.dtype not in (int64, int32) or second.dtype not in (int64, int32):
        return None
    shape, place = sizes(x), places[0]
    rows, columns = shape[place:place + 2]
    i, inside = _from_front(first, rows)
    j, inside_too = _from_front(second, columns)
    both = where(inside, i * columns + j, -1 - rows * columns)
    both = where(inside_too, both, -1 - rows * columns)
    return x._apply("index", reshape(x, *shape[:place], rows * columns, *shape[place + 2:]), *indices[:place], both)


def _from_front(index: Expr, size: int) -> tuple[Expr, Expr]:
    """Positions counted from the front, and which of them there are."""
    index = index.cast(int64)
    index = where(index < 0, index + size, index)
    return index, logical_and(index >= 0, index < size)


# Arrangement.


def _part(x: Expr, dim: int, first: int, last: int) -> Expr:
    return slice_(x, first, last, 1, dim=dim)


@on_cpu("pixel_shuffle")
def _(x: Expr, *, factor: int) -> Any:
    *lead, c, h, w = sizes(x)
    split = reshape(x, math.prod(lead), c // factor**2, factor, factor, h, w)
    return reshape(permute(split, dims=(0, 1, 4, 2, 5, 3)), *lead, c // factor**2, h * factor, w * factor)


@on_cpu("pixel_unshuffle")
def _(x: Expr, *, factor: int) -> Any:
    *lead, c, h, w = sizes(x)
    split = reshape(x, math.prod(lead), c, h // factor, factor, w // factor, factor)
    return reshape(permute(split, dims=(0, 1, 3, 5, 2, 4)), *lead, c * factor**2, h // factor, w // factor)


@on_cpu("repeat")
def _(x: Expr, *repeats: int) -> Any:
    shape = (*(1,) * (len(repeats) - (x.rank or 0)), *sizes(x))
    apart = [size for n in shape for size in (1, n)]
    wide = [size for n, r in zip(shape, repeats, strict=True) for size in (r, n)]
    return reshape(expand(reshape(x, *apart), *wide), *(n * r for n, r in zip(shape, repeats, strict=True)))


@on_cpu("repeat_interleave")
def _(x: Expr, repeats: int, *, dim: int) -> Any:
    if not x.rank:
        return None
    shape, place = sizes(x), dim % (x.rank or 1)
    wide = expand(x.unsqueeze(place + 1), *shape[:place + 1], repeats, *shape[place + 1:])
    return reshape(wide, *shape[:place], shape[place] * repeats, *shape[place + 1:])


@on_cpu("cat")
def _(*xs: Expr, dim: int) -> Any:
    """Without the tensors of shape [0] that torch skips: what a cache holds at first."""
    kept = [x for x in xs if sizes(x) != (0,)]
    if len(kept) == len(xs) or not kept:
        return None
    return reshape(kept[0], *sizes(kept[0])) if len(kept) == 1 else cat(*kept, dim=dim)


@on_cpu("roll")
def _(x: Expr, *shifts: int, dims: tuple[int, ...]) -> Any:
    if not dims or not x.rank or 0 in sizes(x):
        return None
    before = x
    for shift, dim in zip(shifts, dims, strict=True):
        size = sizes(x)[dim]
        cut = -shift % size
        if cut:
            x = cat(_part(x, dim, cut, size), _part(x, dim, 0, cut), dim=dim)
    return None if x is before else x


@on_cpu("pad")
def _(x: Expr, value: Any, *amounts: int, mode: str) -> Any:
    """The modes that repeat parts of x."""
    if mode == "constant" or 0 in sizes(x):
        return None
    before_all = x
    for index in range(len(amounts) // 2):
        dim, before, after = (x.rank or 0) - 1 - index, amounts[2 * index], amounts[2 * index + 1]
        size = sizes(x)[dim]
        if before < 0 or after < 0:
            return None
        parts = [x]
        if before:
            parts.insert(0, _border(x, dim, before, 0, size, mode))
        if after:
            parts.append(_border(x, dim, after, 1, size, mode))
        x = cat(*parts, dim=dim) if len(parts) > 1 else x
    return None if x is before_all else x


def _border(x: Expr, dim: int, count: int, end: int, size: int, mode: str) -> Expr:
    """What stands before (`end` 0) or behind x."""
    if mode == "replicate":
        edge = _part(x, dim, size - 1, size) if end else _part(x, dim, 0, 1)
        return expand(edge, *(count if d == dim else n for d, n in enumerate(sizes(x))))
    if mode == "reflect":
        return flip(_part(x, dim, size - 1 - count, size - 1) if end else _part(x, dim, 1, count + 1), dims=(dim,))
    return _part(x, dim, 0, count) if end else _part(x, dim, size - count, size)


@on_cpu("tril")
def _(x: Expr, diagonal: int) -> Any:
    return where(_diagonals(x, diagonal, ge), x, _zero(x.dtype))


@on_cpu("triu")
def _(x: Expr, diagonal: int) -> Any:
    return where(_diagonals(x, diagonal, le), x, _zero(x.dtype))


def _zero(dtype: DType) -> Any:
    return 0.0 if dtype.is_floating_point else False if dtype is bool_ else 0


def _diagonals(x: Expr, diagonal: int, compare: Any) -> Expr:
    """Where in the last two dimensions the row's number plus `diagonal` compares with the column's."""
    rows, columns = sizes(x)[-2:]
    down = _op(x, "arange", diagonal, diagonal + rows, 1, dtype=int64).unsqueeze(-1)
    return compare(down, _op(x, "arange", 0, columns, 1, dtype=int64))


# Products.


@on_cpu("conv_transpose")
def _(x: Expr, weight: Expr, bias: Expr | None, *, stride: tuple[int, ...], padding: tuple[int, ...], output_padding: tuple[int, ...],
      dilation: tuple[int, ...], groups: int) -> Any:
    """The input gradient of a convolution, which the blocked kernels know."""
    if not is_single(x) or x.rank not in (3, 4) or not (groups == 1 or sizes(weight)[:2] == (groups, 1)):
        return None
    made = conv_transpose.rule(x.type, weight.type, None, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation,
                               groups=groups)
    like = expand(_op(x, "full", 0.0, dtype=float32), *made.shape)
    y = convolution_input_gradient(x, weight, like, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return y if bias is None else y + reshape(bias, 1, -1, *(1,) * (x.rank - 2))


@on_cpu("einsum")
def _(*xs: Expr, equation: str) -> Any:
    """Three operands and more from left to right, two at a time; those with an ellipsis are the reference's."""
    if len(xs) < 3 or "..." in equation:
        return None
    inputs, output = parse_equation(equation, [x.rank for x in xs])
    result, have = xs[0], inputs[0]
    for index in range(1, len(xs)):
        kept = set(output).union(*inputs[index + 1:])
        wanted = output if index == len(xs) - 1 else "".join(dict.fromkeys(c for c in have + inputs[index] if c in kept))
        result, have = einsum(result, xs[index], equation=f"{have},{inputs[index]}->{wanted}"), wanted
    return result
