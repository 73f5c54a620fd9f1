"""Running extrema, groups of equal elements, and counts."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.registry import reference, widened


def _running(x: np.ndarray, dim: int, better: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 0:
        return x.copy(), np.asarray(0, np.int64)
    moved = np.moveaxis(x, dim, -1)
    values, places = np.array(moved), np.zeros(moved.shape, np.int64)
    for i in range(1, moved.shape[-1]):
        before, now = values[..., i - 1], moved[..., i]
        takes = better(now, before) | (now != now)
        values[..., i] = np.where(takes & ~((before != before) & (now == now)), now, before)
        places[..., i] = np.where(takes & ~((before != before) & (now == now)), i, places[..., i - 1])
    return np.moveaxis(values, -1, dim), np.moveaxis(places, -1, dim)


@reference
@widened
def cummax(x: np.ndarray, *, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return _running(x, dim, np.greater_equal)


@reference
@widened
def cummin(x: np.ndarray, *, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return _running(x, dim, np.less_equal)


@reference
@widened
def logcumsumexp(x: np.ndarray, *, dim: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(np.logaddexp.accumulate(x, axis=dim)).astype(x.dtype) if x.ndim else x.copy()


@reference
@widened
def logcumsumexp_gradient(g: np.ndarray, y: np.ndarray, x: np.ndarray, *, dim: int) -> np.ndarray:
    if x.ndim == 0:
        return g
    along, sums, values = (np.moveaxis(v, dim, -1) for v in (g, y, x))
    result = np.zeros_like(values)
    with np.errstate(all="ignore"):
        for i in range(values.shape[-1]):
            result[..., i] = (along[..., i:] * np.exp(values[..., i, None] - sums[..., i:])).sum(-1)
    return np.moveaxis(result, -1, dim)


@reference
@widened
def mode(x: np.ndarray, *, dim: int, keepdim: bool) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 0:
        return x.copy(), np.asarray(0, np.int64)
    moved = np.moveaxis(x, dim, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    values, places = np.zeros(len(rows), x.dtype), np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        distinct, counts = np.unique(row, return_counts=True)
        values[i] = distinct[np.argmax(counts)]
        places[i] = np.nonzero((row == values[i]) | ((row != row) & (values[i] != values[i])))[0][-1]
    found = (values.reshape(moved.shape[:-1]), places.reshape(moved.shape[:-1]))
    return (np.expand_dims(found[0], dim), np.expand_dims(found[1], dim)) if keepdim else found


@reference
def unique(x: np.ndarray, *, dim: int | None, consecutive: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if dim is None:
        rows = x.reshape(-1, 1)
    else:
        moved = np.moveaxis(np.atleast_1d(x), dim, 0)
        rows = moved.reshape(moved.shape[0], math.prod(moved.shape[1:]))
    order = np.arange(len(rows)) if consecutive else np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(len(rows))
    ordered = rows[order]
    starts = np.ones(len(rows), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    groups = np.cumsum(starts) - 1
    inverse = np.zeros(len(rows), np.int64)
    inverse[order] = groups
    counts = np.bincount(groups, minlength=0).astype(np.int64)
    kept = ordered[starts]
    if dim is None:
        return kept.reshape(-1), inverse.reshape(x.shape), counts
    return np.moveaxis(kept.reshape(len(kept), *moved.shape[1:]), 0, dim), inverse, counts


@reference
@widened
def histc(x: np.ndarray, *, bins: int, low: float, high: float) -> np.ndarray:
    values = x.reshape(-1)
    if low == high and values.size:
        low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 1, high + 1
    inside = values[(values >= low) & (values <= high)].astype(np.float64)
    places = np.minimum(((inside - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return np.bincount(places, minlength=bins).astype(x.dtype)


@reference
def weighted_bincount(x: np.ndarray, weights: np.ndarray, *, minlength: int) -> np.ndarray:
    if x.size and x.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    return np.bincount(x, weights, minlength).astype(weights.dtype)


@reference
@widened
def frexp(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mantissa, exponent = np.frexp(x)
    return np.asarray(mantissa), np.asarray(exponent, np.int32)
