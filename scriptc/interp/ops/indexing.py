"""Reading and writing at positions given by tensors."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from scriptc.interp.ops.views import along
from scriptc.interp.registry import reference, widened


def in_bounds(index: np.ndarray, size: int, negative: bool = False) -> np.ndarray:
    """The index as int64. IndexError if an element is out of range; with `negative`, -1 is the last."""
    index = index.astype(np.int64)
    low = -size if negative else 0
    if index.size and (index.min() < low or index.max() >= size):
        bad = int(index[(index < low) | (index >= size)].reshape(-1)[0])
        raise IndexError(f"index {bad} is out of bounds for dimension with size {size}")
    return np.where(index < 0, index + size, index) if negative else index


@reference
def gather(x: np.ndarray, index: np.ndarray, *, dim: int) -> np.ndarray:
    if x.ndim == 0:
        return np.asarray(x.reshape(1)[in_bounds(index, 1)])
    dim %= x.ndim
    places = in_bounds(index, x.shape[dim])
    trimmed = x[tuple(slice(None) if d == dim else slice(0, s) for d, s in enumerate(index.shape))]
    return np.take_along_axis(trimmed, places, dim)


@reference
def scatter(x: np.ndarray, index: np.ndarray, source: Any, *, dim: int, reduce: str) -> np.ndarray:
    if x.ndim == 0:
        return scatter(x.reshape(1), index.reshape(-1), np.reshape(source, -1) if isinstance(source, np.ndarray) else source,
                       dim=0, reduce=reduce).reshape(())
    dim %= x.ndim
    result = np.array(x)
    places = in_bounds(index, x.shape[dim])
    values = source[tuple(slice(0, s) for s in index.shape)] if isinstance(source, np.ndarray) else np.asarray(source).astype(x.dtype)
    grid: list[Any] = list(np.indices(index.shape, sparse=True))
    grid[dim] = places
    if reduce == "none":
        result[tuple(grid)] = values
    else:
        function = {"add": np.add, "multiply": np.multiply, "amax": np.maximum, "amin": np.minimum}[reduce]
        function.at(result, tuple(grid), values)
    return result


@reference
def index_select(x: np.ndarray, index: np.ndarray, *, dim: int) -> np.ndarray:
    if x.ndim == 0:
        return x.copy()
    return np.take(x, in_bounds(index.reshape(-1), x.shape[dim]), axis=dim)


@reference
def index_add(x: np.ndarray, index: np.ndarray, source: np.ndarray, *, dim: int, alpha: float) -> np.ndarray:
    result = np.array(x)
    places = in_bounds(index.reshape(-1), x.shape[dim])
    np.add.at(result, along(x, dim, places), source if alpha == 1 else source * x.dtype.type(alpha))
    return result


def numpy_index(x: np.ndarray, indices: tuple[np.ndarray | None, ...]) -> tuple[Any, ...]:
    """The indices as numpy takes them, checked."""
    out: list[Any] = []
    position = 0
    for index in indices:
        if index is None:
            out.append(slice(None))
            position += 1
        elif index.dtype == bool:
            if index.shape != x.shape[position:position + index.ndim]:
                raise IndexError(f"The shape of the mask {list(index.shape)} at index 0 does not match the shape of the indexed "
                                 f"tensor {list(x.shape)} at index 0")
            out += list(index.nonzero()) if index.ndim else [index]
            position += index.ndim
        else:
            out.append(in_bounds(index, x.shape[position], negative=True))
            position += 1
    return tuple(out)


@reference
def index_(x: np.ndarray, *indices: np.ndarray | None) -> np.ndarray:
    try:
        return np.asarray(x[numpy_index(x, indices)])
    except ValueError as error:
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together: {error}") from None


@reference
def index_put(x: np.ndarray, value: np.ndarray, *indices: np.ndarray | None, accumulate: bool) -> np.ndarray:
    result = np.array(x)
    places = numpy_index(x, indices)
    if accumulate:
        np.add.at(result, places, value)
    else:
        result[places] = value
    return result


@reference
def masked_select(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    both = np.broadcast_arrays(x, mask)
    return both[0][both[1]]


@reference
def nonzero(x: np.ndarray) -> np.ndarray:
    if x.ndim == 0:
        return np.zeros((int(bool(x)), 0), np.int64)
    return np.stack(x.nonzero(), axis=1).astype(np.int64)


@reference
def embedding(weight: np.ndarray, index: np.ndarray, *, padding_idx: int | None) -> np.ndarray:
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise IndexError("index out of range in self")
    return weight[index.astype(np.int64)]


@reference
@widened
def embedding_gradient(g: np.ndarray, weight: np.ndarray, index: np.ndarray, *, padding_idx: int | None) -> np.ndarray:
    total = np.zeros(weight.shape, g.dtype)
    np.add.at(total, index.reshape(-1), g.reshape(-1, weight.shape[1]))
    if padding_idx is not None:
        total[padding_idx] = 0
    return total


@reference
def take(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.asarray(x.reshape(-1)[in_bounds(index, x.size, negative=True)])


@reference
def searchsorted(sorted_sequence: np.ndarray, values: np.ndarray, *, right: bool) -> np.ndarray:
    side: Any = "right" if right else "left"
    if sorted_sequence.ndim == 1:
        return np.asarray(np.searchsorted(sorted_sequence, values, side), np.int64)
    if not values.size:
        return np.zeros(values.shape, np.int64)
    rows = sorted_sequence.reshape(math.prod(sorted_sequence.shape[:-1]), sorted_sequence.shape[-1])
    wanted = values.reshape(-1, values.shape[-1])
    return np.stack([np.searchsorted(r, v, side) for r, v in zip(rows, wanted, strict=True)]).reshape(values.shape).astype(np.int64)


@reference
def repeated_positions(repeats: np.ndarray) -> np.ndarray:
    if repeats.size and repeats.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return np.repeat(np.arange(repeats.size), repeats).astype(np.int64)


@reference
def bincount(x: np.ndarray, *, minlength: int) -> np.ndarray:
    if x.size and x.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    return np.bincount(x, minlength=minlength).astype(np.int64)
