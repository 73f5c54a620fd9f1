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


def labelled(target: np.ndarray, blank: int) -> np.ndarray:
    """The labels with blanks around each."""
    spread = np.full(2 * len(target) + 1, blank, np.int64)
    spread[1::2] = target
    return spread


def forward_scores(logs: np.ndarray, labels: np.ndarray, blank: int) -> np.ndarray:
    """log alpha [T, 2 S + 1]: the probability of the labels up to each one by each time. `logs` are those of one sequence."""
    skips = np.zeros(len(labels), bool)
    skips[2:] = (labels[2:] != blank) & (labels[2:] != labels[:-2])
    alpha = np.full((len(logs), len(labels)), -np.inf, logs.dtype)
    alpha[0, :2] = logs[0, labels[:2]]
    for t in range(1, len(logs)):
        stay = alpha[t - 1]
        step = np.concatenate([[-np.inf], stay[:-1]])
        jump = np.where(skips, np.concatenate([[-np.inf, -np.inf], stay])[:len(labels)], -np.inf)
        alpha[t] = np.logaddexp(np.logaddexp(stay, step), jump) + logs[t, labels]
    return alpha


def check_alignment(log_probs: np.ndarray, targets: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray) -> None:
    """RuntimeError for a length that the arrays do not have, IndexError for a label that is no class."""
    if np.any((input_lengths < 0) | (input_lengths > log_probs.shape[0])):
        raise RuntimeError(f"Expected input_lengths to have value at most {log_probs.shape[0]}, but got value {int(input_lengths.max())}")
    if np.any((target_lengths < 0) | (target_lengths > targets.shape[1])):
        raise RuntimeError(f"Expected target_lengths to have value at most {targets.shape[1]}, but got value {int(target_lengths.max())}")
    used = targets[np.arange(targets.shape[1]) < target_lengths[:, None]]
    bad = used[(used < 0) | (used >= log_probs.shape[2])]
    if bad.size:
        raise IndexError(f"Target {int(bad[0])} is out of bounds.")


@reference
@widened
def ctc_loss(log_probs: np.ndarray, targets: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray, *,
             blank: int) -> np.ndarray:
    check_alignment(log_probs, targets, input_lengths, target_lengths)
    losses = np.empty(log_probs.shape[1], log_probs.dtype)
    with np.errstate(all="ignore"):
        for n in range(len(losses)):
            labels = labelled(targets[n, :target_lengths[n]], blank)
            logs = log_probs[:input_lengths[n], n]
            if not len(logs):
                losses[n] = 0 if len(labels) == 1 else np.inf
                continue
            losses[n] = -np.logaddexp.reduce(forward_scores(logs, labels, blank)[-1, -2:])
    return losses


@reference
@widened
def ctc_loss_gradient(g: np.ndarray, log_probs: np.ndarray, targets: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray, *,
                      blank: int) -> np.ndarray:
    result = np.zeros_like(log_probs)
    with np.errstate(all="ignore"):
        for n in range(len(g)):
            labels = labelled(targets[n, :target_lengths[n]], blank)
            logs = log_probs[:input_lengths[n], n]
            if not len(logs) or g[n] == 0:
                continue
            alpha = forward_scores(logs, labels, blank)
            beta = forward_scores(logs[::-1], labels[::-1], blank)[::-1, ::-1]
            total = np.logaddexp.reduce(alpha[-1, -2:])
            posterior = np.zeros_like(logs)
            np.add.at(posterior.T, labels, np.exp(alpha + beta - logs[:, labels] - total).T)
            result[:input_lengths[n], n] = (np.exp(logs) - posterior) * g[n]
    return result
