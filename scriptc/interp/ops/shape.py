"""Shape and size."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from scriptc.interp.ops.views import along
from scriptc.interp.registry import reference, widened


@reference
def reshape(x: np.ndarray, *sizes: int) -> np.ndarray:
    try:
        return np.ascontiguousarray(x).reshape(sizes) if x.ndim else x.reshape(sizes)
    except ValueError:
        raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {x.size}") from None


@reference
def reshape_as(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    return reshape(x, *like.shape)


@reference
def permute(x: np.ndarray, *, dims: tuple[int, ...]) -> np.ndarray:
    return x.transpose(dims)


@reference
def expand(x: np.ndarray, *sizes: int) -> np.ndarray:
    added = len(sizes) - x.ndim
    shape = tuple(x.shape[i - added] if s == -1 else s for i, s in enumerate(sizes))
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise RuntimeError(f"The expanded size of the tensor {shape} must match the existing size {x.shape}") from None


@reference
def expand_as(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    return expand(x, *like.shape)


@reference
@widened
def sum_to(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    added = x.ndim - like.ndim
    dims = tuple(range(added)) + tuple(i + added for i, s in enumerate(like.shape) if s == 1 and x.shape[i + added] != 1)
    return np.asarray(x.sum(axis=dims, dtype=x.dtype)).reshape(like.shape) if dims else x.reshape(like.shape)


@reference
def squeeze(x: np.ndarray, *, dims: tuple[int, ...]) -> np.ndarray:
    chosen = tuple(d % x.ndim for d in dims if x.ndim and x.shape[d] == 1)
    return np.asarray(x.squeeze(chosen)) if chosen else x


@reference
def unsqueeze(x: np.ndarray, *, dim: int) -> np.ndarray:
    return np.expand_dims(x, dim)


@reference
def cat(*xs: np.ndarray, dim: int) -> np.ndarray:
    kept = [x for x in xs if x.shape != (0,)] or list(xs[:1])
    try:
        return np.concatenate(kept, axis=dim)
    except ValueError as error:
        raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}: {error}") from None


@reference
def stack(*xs: np.ndarray, dim: int) -> np.ndarray:
    if any(x.shape != xs[0].shape for x in xs):
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {xs[0].shape} at entry 0")
    return np.stack(xs, axis=dim)


def cropped(x: np.ndarray, amounts: tuple[int, ...]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """x with negative amounts cut off, and what is left to add: (before, after) per dimension."""
    widths = [(0, 0)] * x.ndim
    for index in range(len(amounts) // 2):
        dim, before, after = x.ndim - 1 - index, amounts[2 * index], amounts[2 * index + 1]
        if before < 0 or after < 0:
            x = x[along(x, dim, slice(max(-before, 0), x.shape[dim] - max(-after, 0)))]
        widths[dim] = (max(before, 0), max(after, 0))
    return x, widths


_MODES = {"reflect": "reflect", "circular": "wrap"}


@reference
def pad(x: np.ndarray, value: Any, *amounts: int, mode: str) -> np.ndarray:
    if mode == "replicate":
        for index in range(len(amounts) // 2):
            dim, before, after = x.ndim - 1 - index, amounts[2 * index], amounts[2 * index + 1]
            x = np.take(x, np.clip(np.arange(-before, x.shape[dim] + after), 0, x.shape[dim] - 1), axis=dim)
        return x
    inner, widths = cropped(x, amounts)
    if mode == "constant":
        return np.pad(inner, widths, constant_values=np.asarray(value).astype(x.dtype))
    return np.pad(inner, widths, mode=_MODES[mode])  # type: ignore[call-overload]


@reference
def pad_gradient(g: np.ndarray, x: np.ndarray, *amounts: int, mode: str) -> np.ndarray:
    places = pad(np.arange(x.size).reshape(x.shape), 0, *amounts, mode=mode)
    total = np.zeros(x.size, g.dtype)
    np.add.at(total, places.reshape(-1), g.reshape(-1))
    return total.reshape(x.shape)


@reference
def flip(x: np.ndarray, *, dims: tuple[int, ...]) -> np.ndarray:
    return np.flip(x, dims) if x.ndim else x


@reference
def roll(x: np.ndarray, *shifts: int, dims: tuple[int, ...]) -> np.ndarray:
    return np.roll(x, shifts, dims) if dims else np.roll(x, shifts[0])


@reference
def repeat(x: np.ndarray, *repeats: int) -> np.ndarray:
    return np.tile(x, repeats)


@reference
def repeat_interleave(x: np.ndarray, repeats: int, *, dim: int) -> np.ndarray:
    return np.repeat(x, repeats, axis=dim)


@reference
def pixel_shuffle(x: np.ndarray, *, factor: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    split = x.reshape(math.prod(lead), c // factor**2, factor, factor, h, w).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(*lead, c // factor**2, h * factor, w * factor)


@reference
def pixel_unshuffle(x: np.ndarray, *, factor: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    split = x.reshape(math.prod(lead), c, h // factor, factor, w // factor, factor).transpose(0, 1, 3, 5, 2, 4)
    return split.reshape(*lead, c * factor**2, h // factor, w // factor)


@reference
def size(x: np.ndarray, *, dim: int) -> int:
    return x.shape[dim]


@reference
def rank(x: np.ndarray) -> int:
    return x.ndim


@reference
def numel(x: np.ndarray) -> int:
    return math.prod(x.shape)


@reference
def item(x: np.ndarray) -> Any:
    if x.size != 1:
        raise RuntimeError(f"a Tensor with {x.size} elements cannot be converted to Scalar")
    value = x.reshape(())[()]
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biuf" else float(value)
