"""Classification losses."""
from __future__ import annotations

import numpy as np

from scriptc.interp.ops.normalization import log_softmax, softmax
from scriptc.interp.registry import reference, widened


def rows_first(x: np.ndarray) -> np.ndarray:
    """Scores [N, C, *] (or [C]) as [rows, C]."""
    return x[None] if x.ndim == 1 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def back(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """[rows, C] in the shape of the scores."""
    if like.ndim == 1:
        return rows[0]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(like.shape[0], *like.shape[2:], like.shape[1]), -1, 1))


def class_weights(target: np.ndarray, classes: int, weight: np.ndarray | None, ignore_index: int,
                  dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(classes as indices, the weight of each row). IndexError for a class out of range."""
    flat = target.reshape(-1)
    taken = flat != ignore_index
    if np.any((flat[taken] < 0) | (flat[taken] >= classes)):
        bad = int(flat[taken][(flat[taken] < 0) | (flat[taken] >= classes)][0])
        raise IndexError(f"Target {bad} is out of bounds.")
    index = np.where(taken, flat, 0)
    per_row = taken.astype(dtype) if weight is None else weight[index] * taken
    return index, per_row


def reduce_rows(losses: np.ndarray, divisor: float, reduction: str, shape: tuple[int, ...]) -> np.ndarray:
    if reduction == "none":
        return losses.reshape(shape)
    with np.errstate(all="ignore"):
        return np.asarray(losses.sum() if reduction == "sum" else losses.sum() / losses.dtype.type(divisor))


def row_factors(g: np.ndarray, count: int, divisor: float, reduction: str, dtype: np.dtype) -> np.ndarray:
    """The gradient that reaches each row's loss."""
    if reduction == "none":
        return g.reshape(-1)
    return np.full(count, g.reshape(()) / (divisor if reduction == "mean" else 1), dtype)


@reference
@widened
def cross_entropy(x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, *, ignore_index: int, label_smoothing: float,
                  reduction: str) -> np.ndarray:
    logs = log_softmax(rows_first(x), dim=1)
    classes = logs.shape[1]
    shape = (*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else ()
    if target.dtype.kind == "f":
        wanted = rows_first(target) * (1 - label_smoothing) + label_smoothing / classes
        losses = -(logs * wanted * (1 if weight is None else weight)).sum(1)
        return reduce_rows(losses, len(losses), reduction, shape).astype(x.dtype)
    index, per_row = class_weights(target, classes, weight, ignore_index, x.dtype)
    picked = -logs[np.arange(len(index)), index] * per_row
    if label_smoothing:
        taken = (target.reshape(-1) != ignore_index).astype(x.dtype)
        spread = -(logs * (1 if weight is None else weight)).sum(1) * taken
        picked = picked * (1 - label_smoothing) + spread * (label_smoothing / classes)
    return reduce_rows(picked, per_row.sum(), reduction, shape).astype(x.dtype)


@reference
@widened
def cross_entropy_gradient(g: np.ndarray, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, *, ignore_index: int,
                           label_smoothing: float, reduction: str) -> np.ndarray:
    rows = rows_first(x)
    probabilities = softmax(rows, dim=1)
    count, classes = rows.shape
    if target.dtype.kind == "f":
        wanted = rows_first(target) * (1 - label_smoothing) + label_smoothing / classes
        if weight is not None:
            wanted = wanted * weight
        factors = row_factors(g, count, count, reduction, x.dtype)
    else:
        index, per_row = class_weights(target, classes, weight, ignore_index, x.dtype)
        taken = (target.reshape(-1) != ignore_index).astype(x.dtype)
        wanted = np.zeros_like(rows)
        wanted[np.arange(count), index] = per_row * (1 - label_smoothing)
        wanted += (label_smoothing / classes) * taken[:, None] * (1 if weight is None else weight)
        factors = row_factors(g, count, float(per_row.sum()), reduction, x.dtype)
    return back(((probabilities * wanted.sum(1, keepdims=True) - wanted) * factors[:, None]).astype(x.dtype), x)


@reference
@widened
def nll_loss(x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, *, ignore_index: int, reduction: str) -> np.ndarray:
    rows = rows_first(x)
    index, per_row = class_weights(target, rows.shape[1], weight, ignore_index, x.dtype)
    shape = (*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else ()
    picked = -rows[np.arange(len(index)), index] * per_row
    return reduce_rows(picked, per_row.sum(), reduction, shape).astype(x.dtype)


@reference
@widened
def nll_loss_gradient(g: np.ndarray, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, *, ignore_index: int,
                      reduction: str) -> np.ndarray:
    rows = rows_first(x)
    index, per_row = class_weights(target, rows.shape[1], weight, ignore_index, x.dtype)
    factors = row_factors(g, len(index), float(per_row.sum()), reduction, x.dtype)
    result = np.zeros_like(rows)
    result[np.arange(len(index)), index] = -per_row * factors
    return back(result, x)
