"""Classification losses as formulas: log_softmax, the entry of each row's class, weights and their mean."""
from __future__ import annotations

from typing import Any

from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import DTYPES
from scriptc_runtime.cuda.composites import composite, op


def rows_first(x: Any) -> Any:
    """Scores [N, C, *] (or [C]) as [rows, C]."""
    shape = x.shape
    if len(shape) == 1:
        return op("reshape", x, 1, shape[0])
    if len(shape) == 2:
        return x
    order = (0, *range(2, len(shape)), 1)
    return op("reshape", x.permute(*order), _count(shape) // shape[1], shape[1])


def back(rows: Any, like: Any) -> Any:
    """[rows, C] in the shape of the scores."""
    shape = like.shape
    if len(shape) == 1:
        return op("reshape", rows, shape[0])
    if len(shape) == 2:
        return rows
    rank = len(shape)
    return op("reshape", rows, shape[0], *shape[2:], shape[1]).permute(0, rank - 1, *range(1, rank - 1))


def _count(shape: Any) -> int:
    found = 1
    for size in shape:
        found *= size
    return found


def _places(target: Any, weight: Any, ignore_index: int, dtype: Any) -> tuple[Any, Any, Any]:
    """(classes, 0 where they are ignored; which are not, as numbers; the weight of each row)."""
    flat = op("reshape", target, _count(target.shape))
    taken = op("ne", flat, ignore_index)
    index = op("where", taken, flat, 0)
    kept = taken.cast(dtype)
    return index, kept, kept if weight is None else kept * op("index_select", weight, index, dim=0)


def _reduced(losses: Any, divisor: Any, reduction: str, shape: tuple[int, ...]) -> Any:
    if reduction == "none":
        return op("reshape", losses, *shape)
    total = losses.sum()
    return total if reduction == "sum" else total / divisor


def _supported(x: Any, target: Any) -> str | None:
    if _count(x.shape) == 0 or _count(target.shape) == 0:
        return "an empty tensor"
    return None if x.dtype.name in ("float32", "float64") and target.dtype.name in ("int64", "float32", "float64") else f"no {x.dtype}"


@composite("cross_entropy", second=True)
def _cross_entropy(x: Any, target: Any, weight: Any, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    refused = _supported(x, target)
    if refused:
        return refused
    logs = op("log_softmax", rows_first(x), dim=1)
    classes = logs.shape[1]
    shape = (*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ()
    if target.dtype.is_floating_point:
        wanted = rows_first(target) * (1 - label_smoothing) + label_smoothing / classes
        product = logs * wanted
        losses = -(product if weight is None else product * weight).sum(1)
        return _reduced(losses, float(_count(losses.shape)), reduction, shape)
    index, kept, per_row = _places(target, weight, ignore_index, x.dtype)
    losses = -op("reshape", op("gather", logs, index.unsqueeze(1), dim=1), index.shape[0]) * per_row
    if label_smoothing:
        spread = -(logs if weight is None else logs * weight).sum(1) * kept
        losses = losses * (1 - label_smoothing) + spread * (label_smoothing / classes)
    return _reduced(losses, per_row.sum(), reduction, shape)


def _columns(like: Any, count: int) -> Any:
    """int64[count]: 0, 1, ..."""
    from scriptc.ir.expressions import Expr

    (value,) = like.builder.emit(REGISTRY["arange"], [0, count, 1], {"dtype": DTYPES["int64"]})
    return Expr(value, like.builder)


def _factors(g: Any, divisor: Any, reduction: str) -> Any:
    """The gradient that reaches each row's loss, [rows, 1] or a number."""
    if reduction == "none":
        return op("reshape", g, _count(g.shape), 1)
    return g / divisor if reduction == "mean" else g


@composite("cross_entropy_gradient", second=True)
def _cross_entropy_gradient(g: Any, x: Any, target: Any, weight: Any, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    refused = _supported(x, target)
    if refused:
        return refused
    rows = rows_first(x)
    probabilities = op("softmax", rows, dim=1)
    count, classes = rows.shape
    if target.dtype.is_floating_point:
        wanted = rows_first(target) * (1 - label_smoothing) + label_smoothing / classes
        wanted = wanted if weight is None else wanted * weight
        total, factors = wanted.sum(1, keepdim=True), _factors(g, float(count), reduction)
    else:
        index, kept, per_row = _places(target, weight, ignore_index, x.dtype)
        hit = op("eq", index.unsqueeze(1), _columns(x, classes).unsqueeze(0))
        wanted = op("where", hit, (per_row * (1 - label_smoothing)).unsqueeze(1), 0.0)
        if label_smoothing:
            even = kept.unsqueeze(1) * (label_smoothing / classes)
            wanted = wanted + (even if weight is None else even * weight)
            total = wanted.sum(1, keepdim=True)
        else:
            total = per_row.unsqueeze(1)
        factors = _factors(g, per_row.sum(), reduction)
    return back((probabilities * total - wanted) * factors, x)


@composite("nll_loss", second=True)
def _nll_loss(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    refused = _supported(x, target)
    if refused:
        return refused
    rows = rows_first(x)
    shape = (*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ()
    index, _, per_row = _places(target, weight, ignore_index, x.dtype)
    losses = -op("reshape", op("gather", rows, index.unsqueeze(1), dim=1), index.shape[0]) * per_row
    return _reduced(losses, per_row.sum(), reduction, shape)


@composite("nll_loss_gradient", second=True)
def _nll_loss_gradient(g: Any, x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    refused = _supported(x, target)
    if refused:
        return refused
    rows = rows_first(x)
    index, _, per_row = _places(target, weight, ignore_index, x.dtype)
    hit = op("eq", index.unsqueeze(1), _columns(x, rows.shape[1]).unsqueeze(0))
    made = op("where", hit, -per_row.unsqueeze(1), 0.0) * _factors(g, per_row.sum(), reduction)
    return back(made, x)
