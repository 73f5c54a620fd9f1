"""Sums, extrema, orders and scans."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.interp.registry import reference, widened

Dims = tuple[int, ...] | None


def over(x: np.ndarray, dims: Dims) -> tuple[int, ...] | None:
    """numpy's axis for `dims`: None and () mean all; a 0-d tensor has nothing to name."""
    return None if not dims or x.ndim == 0 else dims


def integer_result(x: np.ndarray) -> Any:
    return np.int64 if x.dtype.kind in "iub" else x.dtype


@reference
@widened
def sum_(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return np.asarray(np.sum(x, axis=over(x, dims), keepdims=keepdim, dtype=integer_result(x)))


@reference
@widened
def prod(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return np.asarray(np.prod(x, axis=over(x, dims), keepdims=keepdim, dtype=integer_result(x)))


@reference
@widened
def mean(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    with np.errstate(all="ignore"):
        total = np.sum(x, axis=over(x, dims), keepdims=keepdim)
        axes = over(x, dims)
        count = x.size if axes is None else int(np.prod([x.shape[d] for d in axes]))
        return np.asarray(total / x.dtype.type(count)).astype(x.dtype)


def _extreme(x: np.ndarray, dims: Dims, keepdim: bool, function: Any, name: str) -> np.ndarray:
    axes = over(x, dims)
    if x.size == 0 and (axes is None or any(x.shape[d] == 0 for d in axes)):
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0")
    return np.asarray(function(x, axis=axes, keepdims=keepdim))


@reference
@widened
def amax(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return _extreme(x, dims, keepdim, np.max, "amax")


@reference
@widened
def amin(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return _extreme(x, dims, keepdim, np.min, "amin")


@reference
def any_(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return np.asarray(np.any(x != 0, axis=over(x, dims), keepdims=keepdim))


@reference
def all_(x: np.ndarray, *, dims: Dims, keepdim: bool) -> np.ndarray:
    return np.asarray(np.all(x != 0, axis=over(x, dims), keepdims=keepdim))


def _position(x: np.ndarray, dim: int | None, keepdim: bool, function: Any, name: str) -> np.ndarray:
    if x.size == 0 and (dim is None or x.shape[dim] == 0):
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    if dim is None or x.ndim == 0:
        result = np.asarray(function(x.reshape(-1)))
        return np.asarray(result.reshape((1,) * x.ndim) if keepdim else result, np.int64)
    return np.asarray(function(x, axis=dim, keepdims=keepdim), np.int64)


@reference
@widened
def argmax(x: np.ndarray, *, dim: int | None, keepdim: bool) -> np.ndarray:
    return _position(x, dim, keepdim, np.argmax, "argmax")


@reference
@widened
def argmin(x: np.ndarray, *, dim: int | None, keepdim: bool) -> np.ndarray:
    return _position(x, dim, keepdim, np.argmin, "argmin")


def _with_index(x: np.ndarray, dim: int, keepdim: bool, function: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 0:
        return x.copy(), np.asarray(0, np.int64)
    index = _position(x, dim, True, function, name)
    values = np.take_along_axis(x, index, dim)
    return (values, index) if keepdim else (np.asarray(values.squeeze(dim)), np.asarray(index.squeeze(dim)))


@reference
@widened
def max_with_index(x: np.ndarray, *, dim: int, keepdim: bool) -> tuple[np.ndarray, np.ndarray]:
    return _with_index(x, dim, keepdim, np.argmax, "max")


@reference
@widened
def min_with_index(x: np.ndarray, *, dim: int, keepdim: bool) -> tuple[np.ndarray, np.ndarray]:
    return _with_index(x, dim, keepdim, np.argmin, "min")


@reference
@widened
def var(x: np.ndarray, *, dims: Dims, correction: float, keepdim: bool) -> np.ndarray:
    axes = over(x, dims)
    with np.errstate(all="ignore"):
        count = x.size if axes is None else int(np.prod([x.shape[d] for d in axes]))
        centred = x - np.mean(x, axis=axes, keepdims=True, dtype=np.float64)
        total = np.sum(centred * centred, axis=axes, keepdims=keepdim)
        return np.asarray(total / np.float64(max(count - correction, 0.0))).astype(x.dtype)


@reference
@widened
def logsumexp(x: np.ndarray, *, dims: tuple[int, ...], keepdim: bool) -> np.ndarray:
    axes = over(x, dims)
    with np.errstate(all="ignore"):
        top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
        shift = np.where(np.isfinite(top), top, 0)
        total = np.log(np.sum(np.exp(x - shift), axis=axes, keepdims=True)) + shift
    return np.asarray(total if keepdim else total.squeeze(axes)).astype(x.dtype)


@reference
@widened
def norm(x: np.ndarray, *, p: float, dims: Dims, keepdim: bool) -> np.ndarray:
    axes, size = over(x, dims), np.abs(x)
    with np.errstate(all="ignore"):
        if p == np.inf or p == -np.inf:
            return np.asarray((np.max if p > 0 else np.min)(size, axis=axes, keepdims=keepdim))
        if p == 0:
            return np.asarray(np.sum(size != 0, axis=axes, keepdims=keepdim)).astype(x.dtype)
        if p == 2:
            return np.asarray(np.sqrt(np.sum(x * x, axis=axes, keepdims=keepdim)))
        return np.asarray(np.sum(size**p, axis=axes, keepdims=keepdim) ** (1 / p)).astype(x.dtype)


@reference
@widened
def cumsum(x: np.ndarray, *, dim: int) -> np.ndarray:
    return np.asarray(np.cumsum(x, axis=dim, dtype=integer_result(x)) if x.ndim else x.astype(integer_result(x)))


@reference
@widened
def cumprod(x: np.ndarray, *, dim: int) -> np.ndarray:
    return np.asarray(np.cumprod(x, axis=dim, dtype=integer_result(x)) if x.ndim else x.astype(integer_result(x)))


@reference
@widened
def products_of_others(x: np.ndarray, *, dim: int) -> np.ndarray:
    if x.ndim == 0:
        return np.ones_like(x)
    moved = np.moveaxis(x, dim, -1)
    before, after = np.ones_like(moved), np.ones_like(moved)
    before[..., 1:] = np.cumprod(moved[..., :-1], axis=-1)
    after[..., :-1] = np.cumprod(moved[..., :0:-1], axis=-1)[..., ::-1]
    return np.moveaxis(before * after, -1, dim)


@reference
@widened
def cumprod_gradient(g: np.ndarray, x: np.ndarray, *, dim: int) -> np.ndarray:
    if x.ndim == 0:
        return g
    along, values = np.moveaxis(g, dim, -1), np.moveaxis(x, dim, -1)
    result = np.zeros_like(values)
    for i in range(values.shape[-1]):
        rest = values[..., i:].copy()
        rest[..., 0] = np.prod(values[..., :i], axis=-1)
        result[..., i] = (along[..., i:] * np.cumprod(rest, axis=-1)).sum(-1)
    return np.moveaxis(result, -1, dim)


def order(x: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """The stable order along `dim`, nan as the largest."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    reversed_order = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.asarray(x.shape[dim] - 1 - np.flip(reversed_order, dim))


@reference
@widened
def sort(x: np.ndarray, *, dim: int, descending: bool, stable: bool) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 0:
        return x.copy(), np.asarray(0, np.int64)
    index = order(x, dim, descending)
    return np.take_along_axis(x, index, dim), index.astype(np.int64)


@reference
@widened
def topk(x: np.ndarray, k: int, *, dim: int, largest: bool, sorted: bool) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 0:
        return x.copy(), np.asarray(0, np.int64)
    if not 0 <= k <= x.shape[dim]:
        raise RuntimeError("selected index k out of range")
    index = np.take(order(x, dim, largest), np.arange(k), axis=dim)
    return np.take_along_axis(x, index, dim), index.astype(np.int64)


@reference
def count_nonzero(x: np.ndarray, *, dims: Dims) -> np.ndarray:
    return np.asarray(np.sum(x != 0, axis=over(x, dims)), np.int64)
