"""Ops that are formulas of others on the device: means, norms, softmax and the like."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.expressions import Expr
from scriptc_runtime.cuda.composites import composite, op

Dims = tuple[int, ...] | None


def count(x: Expr, dims: Dims) -> int:
    """How many elements one result of a reduction is made of."""
    shape: Any = x.shape
    return math.prod(shape) if not dims or not shape else math.prod(shape[d] for d in dims)


def _empty(x: Expr) -> bool:
    return math.prod(x.shape or ()) == 0  # type: ignore[arg-type]


@composite("var")
def _var(x: Expr, *, dims: Dims, correction: float, keepdim: bool) -> Any:
    if _empty(x) or x.dtype.name not in ("float32", "float64"):
        return "an empty tensor"
    centred = x - op("mean", x, dims=dims, keepdim=True) if x.rank else x - x
    total = op("sum", centred * centred, dims=dims, keepdim=keepdim)
    return total / float(max(count(x, dims) - correction, 0.0))


@composite("logsumexp")
def _logsumexp(x: Expr, *, dims: tuple[int, ...], keepdim: bool) -> Any:
    if _empty(x) or x.dtype.name not in ("float32", "float64") or not x.rank:
        return "an empty tensor"
    top = op("amax", x, dims=dims, keepdim=True)
    shift = op("where", op("isfinite", top), top, 0.0)
    total = op("log", op("sum", op("exp", x - shift), dims=dims, keepdim=True)) + shift
    if keepdim:
        return total
    return op("squeeze", total, dims=dims) if dims else op("reshape", total)


@composite("norm")
def _norm(x: Expr, *, p: float, dims: Dims, keepdim: bool) -> Any:
    if _empty(x) or x.dtype.name not in ("float32", "float64"):
        return "an empty tensor"
    size = op("abs", x)
    if math.isinf(p):
        return op("amax" if p > 0 else "amin", size, dims=dims, keepdim=keepdim)
    if p == 0:
        return op("sum", op("cast", op("ne", size, 0.0), dtype=x.dtype), dims=dims, keepdim=keepdim)
    if p == 2:
        return op("sqrt", op("sum", x * x, dims=dims, keepdim=keepdim))
    if p == 1:
        return op("sum", size, dims=dims, keepdim=keepdim)
    return op("sum", size ** p, dims=dims, keepdim=keepdim) ** (1 / p)


@composite("softmax", second=True)
def _softmax(x: Expr, *, dim: int) -> Any:
    if _empty(x) or not x.rank:
        return op("exp", x - x) if not _empty(x) else "an empty tensor"
    e = op("exp", x - op("amax", x, dims=(dim,), keepdim=True))
    return e / op("sum", e, dims=(dim,), keepdim=True)


@composite("log_softmax", second=True)
def _log_softmax(x: Expr, *, dim: int) -> Any:
    if _empty(x) or not x.rank:
        return x - x if not _empty(x) else "an empty tensor"
    shifted = x - op("amax", x, dims=(dim,), keepdim=True)
    return shifted - op("log", op("sum", op("exp", shifted), dims=(dim,), keepdim=True))


@composite("layer_norm", second=True)
def _layer_norm(x: Expr, weight: Expr | None, bias: Expr | None, *, axes: int, eps: float) -> Any:
    over = tuple(range(-axes, 0))
    if _empty(x):
        return "an empty tensor"
    centred = x - op("mean", x, dims=over, keepdim=True)
    result = centred / op("sqrt", op("mean", centred * centred, dims=over, keepdim=True) + eps)
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


@composite("rms_norm", second=True)
def _rms_norm(x: Expr, weight: Expr | None, *, axes: int, eps: float) -> Any:
    over = tuple(range(-axes, 0))
    if _empty(x):
        return "an empty tensor"
    result = x / op("sqrt", op("mean", x * x, dims=over, keepdim=True) + eps)
    return result if weight is None else result * weight


def channelwise(parameter: Expr, rank: int) -> Expr:
    """A parameter along dimension 1."""
    shape: Any = parameter.shape
    return op("reshape", parameter, 1, shape[0], *(1,) * (rank - 2))


@composite("batch_norm_train")
def _batch_norm_train(x: Expr, weight: Expr | None, bias: Expr | None, *, eps: float) -> Any:
    shape: Any = x.shape
    if _empty(x) or math.prod(shape) // max(shape[1], 1) <= 1:
        return "too few elements"
    over = (0, *range(2, len(shape)))
    mean = op("mean", x, dims=over, keepdim=False)
    centred = x - channelwise(mean, len(shape))
    var = op("mean", centred * centred, dims=over, keepdim=False)
    result = centred / op("sqrt", channelwise(var, len(shape)) + eps)
    result = result if weight is None else result * channelwise(weight, len(shape))
    return (result if bias is None else result + channelwise(bias, len(shape))), mean, var


@composite("batch_norm_gradient")
def _batch_norm_gradient(g: Expr, x: Expr, mean: Expr, var: Expr, weight: Expr | None, *, eps: float) -> Any:
    shape: Any = x.shape
    if _empty(x):
        return "an empty tensor"
    over, rank = (0, *range(2, len(shape))), len(shape)
    inverse = 1.0 / op("sqrt", channelwise(var, rank) + eps)
    normal = (x - channelwise(mean, rank)) * inverse
    dweight, dbias = op("sum", g * normal, dims=over, keepdim=False), op("sum", g, dims=over, keepdim=False)
    count = float(math.prod(shape) // shape[1])
    inner = g - channelwise(dbias, rank) / count - normal * (channelwise(dweight, rank) / count)
    scale = inverse if weight is None else inverse * channelwise(weight, rank)
    return inner * scale, dweight, dbias


@composite("group_norm")
def _group_norm(x: Expr, weight: Expr | None, bias: Expr | None, *, groups: int, eps: float) -> Any:
    shape: Any = x.shape
    if _empty(x):
        return "an empty tensor"
    grouped = op("reshape", x, shape[0], groups, math.prod(shape) // (shape[0] * groups))
    centred = grouped - op("mean", grouped, dims=(2,), keepdim=True)
    scaled = centred / op("sqrt", op("mean", centred * centred, dims=(2,), keepdim=True) + eps)
    result = op("reshape", scaled, *shape)
    result = result if weight is None else result * channelwise(weight, len(shape))
    return result if bias is None else result + channelwise(bias, len(shape))


@composite("pixel_shuffle")
def _pixel_shuffle(x: Expr, *, factor: int) -> Any:
    shape: Any = x.shape
    *lead, c, h, w = shape
    n = math.prod(lead)
    split = op("reshape", x, n, c // factor**2, factor, factor, h, w)
    return op("reshape", split.permute(0, 1, 4, 2, 5, 3), *lead, c // factor**2, h * factor, w * factor)


@composite("pixel_unshuffle")
def _pixel_unshuffle(x: Expr, *, factor: int) -> Any:
    shape: Any = x.shape
    *lead, c, h, w = shape
    n = math.prod(lead)
    split = op("reshape", x, n, c, h // factor, factor, w // factor, factor)
    return op("reshape", split.permute(0, 1, 3, 5, 2, 4), *lead, c * factor**2, h // factor, w // factor)


@composite("cdist")
def _cdist(a: Expr, b: Expr, *, p: float) -> Any:
    if _empty(a) or _empty(b):
        return "an empty tensor"
    difference = op("abs", a.unsqueeze(-2) - b.unsqueeze(-3))
    if p == 2:
        return op("sqrt", (difference * difference).sum(-1))
    if p == math.inf:
        return op("amax", difference, dims=(-1,), keepdim=False)
    if p == 0:
        return op("cast", op("ne", difference, 0.0), dtype=a.dtype).sum(-1)
    return (difference ** p).sum(-1) ** (1 / p)


@composite("scaled_dot_product_attention", second=True)
def _attention(q: Expr, k: Expr, v: Expr, mask: Expr | None, *, causal: bool, scale: float | None) -> Any:
    shape: Any = q.shape
    keys: Any = k.shape
    if _empty(q) or _empty(k) or _empty(v):
        return "an empty tensor"
    factor = 1 / math.sqrt(shape[-1]) if scale is None else scale
    scores = (q @ k.transpose(-2, -1)) * factor
    low = float("-inf")
    if causal:
        scores = op("where", _below(q, shape[-2], keys[-2]), scores, low)
    if mask is not None:
        scores = op("where", mask, scores, low) if mask.dtype.name == "bool" else scores + mask.cast(q.dtype)
    top = op("amax", scores, dims=(-1,), keepdim=True)
    e = op("exp", scores - top)
    weights = e / op("sum", e, dims=(-1,), keepdim=True)
    return op("where", op("eq", top, low), 0.0, weights) @ v


def _below(like: Expr, rows: int, columns: int) -> Expr:
    """bool[rows, columns]: not above the diagonal."""
    from scriptc.ir.registry import REGISTRY
    from scriptc.ir.types import DTYPES

    builder = like.builder
    integer = DTYPES["int64"]
    (r,) = builder.emit(REGISTRY["arange"], [0, rows, 1], {"dtype": integer})
    (c,) = builder.emit(REGISTRY["arange"], [0, columns, 1], {"dtype": integer})
    return Expr(c, builder).unsqueeze(0) <= Expr(r, builder).unsqueeze(1)
