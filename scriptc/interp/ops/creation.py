"""Tensors from numbers and sizes."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from scriptc.interp.registry import reference
from scriptc.ir.types import FLOAT_CATEGORY, DType


@reference
def full(value: Any, *sizes: int, dtype: DType) -> np.ndarray:
    if any(s < 0 for s in sizes):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {list(sizes)}")
    with np.errstate(all="ignore"):
        return np.full(sizes, np.asarray(value).astype(dtype.numpy), dtype.numpy)


@reference
def arange(start: Any, end: Any, step: Any, *, dtype: DType) -> np.ndarray:
    count = max(0, math.ceil((end - start) / step))
    return (np.arange(count) * step + start).astype(dtype.numpy)


@reference
def linspace(start: Any, end: Any, steps: int, *, dtype: DType) -> np.ndarray:
    # From both ends, as torch computes it: the last value is exact.
    if steps == 1:
        return np.full(1, start, dtype.numpy)
    if dtype.category < FLOAT_CATEGORY:
        start, end = int(start), int(end)
    work = np.float32 if dtype.category == FLOAT_CATEGORY and dtype.name != "float64" else np.float64
    step = work(work(end) - work(start)) / work(max(steps - 1, 1))
    position = np.arange(steps)
    rising = work(start) + step * position.astype(work)  # type: ignore[operator]
    falling = work(end) - step * (steps - 1 - position).astype(work)  # type: ignore[operator]
    return np.where(position < steps // 2, rising, falling).astype(dtype.numpy)


@reference
def eye(n: int, m: int, *, dtype: DType) -> np.ndarray:
    return np.eye(n, m).astype(dtype.numpy)


@reference
def from_scalars(*values: Any, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    return np.asarray(values).astype(dtype.numpy).reshape(shape)


@reference
def tril(x: np.ndarray, diagonal: int) -> np.ndarray:
    return np.where(np.tri(x.shape[-2], x.shape[-1], diagonal, dtype=bool), x, np.zeros((), x.dtype))


@reference
def triu(x: np.ndarray, diagonal: int) -> np.ndarray:
    return np.where(np.tri(x.shape[-2], x.shape[-1], diagonal - 1, dtype=bool), np.zeros((), x.dtype), x)


@reference
def one_hot(x: np.ndarray, classes: int) -> np.ndarray:
    count = classes if classes >= 0 else int(x.max()) + 1
    if x.size and (x.min() < 0 or x.max() >= count):
        raise RuntimeError("Class values must be smaller than num_classes." if x.min() >= 0 else "Class values must be non-negative.")
    return (x[..., None] == np.arange(count)).astype(np.int64)
