"""Random tensors from a Philox state."""
from __future__ import annotations

import math

import numpy as np

from scriptc.interp.generators import blocks_for, philox, unit_floats
from scriptc.interp.registry import reference
from scriptc.ir.types import DType


def draw(state: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(`count` 32-bit words, the state after them)"""
    seed, offset = int(state[0]), int(state[1])
    return philox(seed, offset, count), np.array([seed, (offset + blocks_for(count)) % 2**64], np.uint64)


def mask_shape(shape: tuple[int, ...], feature: int) -> tuple[int, ...]:
    """One decision an element, or one for each [n, c]."""
    return (*shape[:2], *(1,) * (len(shape) - 2)) if feature and len(shape) > 2 else shape


def factors(x: np.ndarray, state: np.ndarray, p: float, feature: int) -> tuple[np.ndarray, np.ndarray]:
    """(0 or 1/(1-p) for each element of x, the next state)"""
    shape = mask_shape(x.shape, feature)
    words, after = draw(state, math.prod(shape))
    kept = unit_floats(words) >= np.float32(p)
    scale = 0.0 if p >= 1 else 1.0 / (1.0 - p)
    return np.broadcast_to((kept * scale).reshape(shape), x.shape).astype(x.dtype), after


@reference
def dropout(x: np.ndarray, state: np.ndarray, *, p: float, feature: int) -> tuple[np.ndarray, np.ndarray]:
    scale, after = factors(x, state, p, feature)
    return np.asarray(x * scale), after


@reference
def dropout_mask(x: np.ndarray, state: np.ndarray, *, p: float, feature: int) -> np.ndarray:
    return factors(x, state, p, feature)[0]


@reference
def uniform(state: np.ndarray, *sizes: int, low: float, high: float, dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    words, after = draw(state, math.prod(sizes))
    return np.asarray(unit_floats(words).reshape(sizes) * np.float32(high - low) + np.float32(low)).astype(dtype.numpy), after


@reference
def normal(state: np.ndarray, *sizes: int, mean: float, std: float, dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    count = math.prod(sizes)
    words, after = draw(state, 2 * count)
    u = unit_floats(words).astype(np.float64).reshape(-1, 2)
    values = np.sqrt(-2 * np.log1p(-u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
    return np.asarray(values.reshape(sizes) * std + mean).astype(dtype.numpy), after


@reference
def random_integers(state: np.ndarray, *sizes: int, low: int, high: int, dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    words, after = draw(state, math.prod(sizes))
    return np.asarray((words.astype(np.int64) % (high - low)) + low).reshape(sizes).astype(dtype.numpy), after


@reference
def bernoulli(p: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    words, after = draw(state, p.size)
    return np.asarray(unit_floats(words).reshape(p.shape) < p).astype(p.dtype), after


@reference
def random_permutation(state: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    words, after = draw(state, n)
    return np.argsort(words, kind="stable").astype(np.int64), after


@reference
def multinomial(p: np.ndarray, state: np.ndarray, n: int, *, replacement: bool) -> tuple[np.ndarray, np.ndarray]:
    rows = p.reshape(-1, p.shape[-1]).astype(np.float64)
    if np.any(rows < 0) or not np.all(np.isfinite(rows)):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if replacement:
        words, after = draw(state, len(rows) * n)
        u = unit_floats(words).reshape(len(rows), n)
        edges = np.cumsum(rows / rows.sum(1, keepdims=True), 1)
        picked = np.stack([np.searchsorted(e, v, "right") for e, v in zip(edges, u, strict=True)])
        return np.minimum(picked, rows.shape[1] - 1).reshape(*p.shape[:-1], n).astype(np.int64), after
    words, after = draw(state, rows.size)
    with np.errstate(divide="ignore"):
        # The n smallest exponential arrival times (Efraimidis and Spirakis 2006).
        keys = -np.log1p(-unit_floats(words).astype(np.float64)).reshape(rows.shape) / rows
    return np.argsort(keys, 1)[:, :n].reshape(*p.shape[:-1], n).astype(np.int64), after
