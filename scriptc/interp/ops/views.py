"""Parts of a tensor at regular places."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.interp.registry import reference, widened


def along(x: np.ndarray, dim: int, index: Any) -> tuple[Any, ...]:
    """The numpy index that applies `index` to dimension `dim`."""
    return (slice(None),) * (dim % x.ndim) + (index,)


def positioned(x: np.ndarray, dim: int, index: int) -> tuple[Any, ...]:
    """`along` for one position. IndexError if there is no such position."""
    size = x.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim % x.ndim} with size {size}")
    return along(x, dim, index)


def written(x: np.ndarray, place: Any, source: np.ndarray) -> np.ndarray:
    """A copy of x with x[place] = source. RuntimeError if the shapes do not fit."""
    result = np.array(x)
    try:
        result[place] = source
    except ValueError:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(source.shape)}, "
                           f"slice size = {list(result[place].shape)}") from None
    return result


@reference
def slice_(x: np.ndarray, start: int, stop: int, step: int, *, dim: int) -> np.ndarray:
    if step < 1:
        raise ValueError("slice step must be positive")
    return x[along(x, dim, slice(start, stop, step))]


@reference
def select(x: np.ndarray, index: int, *, dim: int) -> np.ndarray:
    return np.asarray(x[positioned(x, dim, index)])


@reference
def diagonal(x: np.ndarray, *, offset: int, dim1: int, dim2: int) -> np.ndarray:
    return np.diagonal(x, offset, dim1, dim2)


@reference
def unfold(x: np.ndarray, *, dim: int, size: int, step: int) -> np.ndarray:
    if size > x.shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim % x.ndim} is {x.shape[dim]} but size is {size}")
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim)
    return windows[along(x, dim, slice(None, None, step))]


@reference
@widened
def unfold_gradient(g: np.ndarray, x: np.ndarray, *, dim: int, size: int, step: int) -> np.ndarray:
    places = unfold(np.arange(x.size).reshape(x.shape), dim=dim, size=size, step=step)
    total = np.zeros(x.size, g.dtype)
    np.add.at(total, places.reshape(-1), g.reshape(-1))
    return total.reshape(x.shape)


@reference
def slice_scatter(x: np.ndarray, source: np.ndarray, start: int, stop: int, step: int, *, dim: int) -> np.ndarray:
    return written(x, along(x, dim, slice(start, stop, step)), source)


@reference
def select_scatter(x: np.ndarray, source: np.ndarray, index: int, *, dim: int) -> np.ndarray:
    return written(x, positioned(x, dim, index), source)


@reference
def diagonal_scatter(x: np.ndarray, source: np.ndarray, *, offset: int, dim1: int, dim2: int) -> np.ndarray:
    places = np.diagonal(np.arange(x.size).reshape(x.shape), offset, dim1, dim2)
    return written(x.reshape(-1), places, source).reshape(x.shape)


def places(x: np.ndarray, offset: int, numbers: tuple[int, ...]) -> np.ndarray:
    """The positions in the flattened x that sizes and strides name. RuntimeError beyond its end."""
    sizes, strides = numbers[:len(numbers) // 2], numbers[len(numbers) // 2:]
    found = np.full(sizes, offset, np.int64)
    for dim, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        found += (np.arange(size) * stride).reshape([size if d == dim else 1 for d in range(len(sizes))])
    if found.size and (found.min() < 0 or found.max() >= x.size):
        raise RuntimeError(f"setStorage: sizes {list(sizes)}, strides {list(strides)} and storage offset {offset} are out of bounds "
                           f"for a storage of {x.size} elements")
    return found


@reference
def as_strided(x: np.ndarray, offset: int, *numbers: int) -> np.ndarray:
    return np.asarray(x.reshape(-1)[places(x, offset, numbers)])


@reference
def as_strided_gradient(g: np.ndarray, x: np.ndarray, offset: int, *numbers: int) -> np.ndarray:
    total = np.zeros(x.size, g.dtype)
    np.add.at(total, places(x, offset, numbers).reshape(-1), g.reshape(-1))
    return total.reshape(x.shape)


@reference
def checkpointed(x: np.ndarray, after: np.ndarray) -> np.ndarray:
    return x
