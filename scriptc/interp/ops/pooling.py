"""Pooling over windows and to given sizes."""
from __future__ import annotations

import math

import numpy as np

from scriptc.interp.ops.convolution import windows
from scriptc.interp.registry import reference, widened
from scriptc.ir.ops.pooling import pooled

Ints = tuple[int, ...]


def batched(x: np.ndarray, spatial: int) -> np.ndarray:
    """x with a batch dimension."""
    return x if x.ndim == spatial + 2 else x[None]


def filled(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool, value: float) -> np.ndarray:
    """x padded with `value` so that every window is whole, and cut where windows end."""
    widths = [(0, 0), (0, 0)]
    for size, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        count = pooled(size, k, s, p, d, ceil_mode)
        assert isinstance(count, int)
        widths.append((p, max(0, (count - 1) * s + d * (k - 1) + 1 - size - p)))
    low = value if x.dtype.kind == "f" else np.iinfo(x.dtype).min if value else 0
    return np.pad(x, widths, constant_values=low)


def pooled_windows(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool, value: float) -> np.ndarray:
    """[N, C, *S', prod(K)]"""
    whole = filled(x, kernel, stride, padding, dilation, ceil_mode, value)
    seen = windows(whole, kernel, stride, dilation)
    counts = tuple(pooled(s, k, st, p, d, ceil_mode) for s, k, st, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True))
    seen = seen[(slice(None), slice(None), *(slice(0, c) for c in counts))]
    return seen.reshape(*seen.shape[:2 + len(kernel)], math.prod(kernel))


@reference
@widened
def max_pool(x: np.ndarray, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> np.ndarray:
    seen = pooled_windows(batched(x, len(kernel_size)), kernel_size, stride, padding, dilation, ceil_mode, -np.inf)
    result = seen.max(-1)
    return result if x.ndim == len(kernel_size) + 2 else result[0]


def positions(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> np.ndarray:
    """For each window's elements the place in the flattened plane, -1 for padding: [*S', prod(K)]."""
    plane = np.arange(math.prod(x.shape[2:])).reshape(1, 1, *x.shape[2:]) + 1.0
    return pooled_windows(plane, kernel, stride, padding, dilation, ceil_mode, 0.0)[0, 0].astype(np.int64) - 1


@reference
@widened
def max_pool_with_indices(x: np.ndarray, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints,
                          ceil_mode: bool) -> tuple[np.ndarray, np.ndarray]:
    whole = batched(x, len(kernel_size))
    seen = pooled_windows(whole, kernel_size, stride, padding, dilation, ceil_mode, -np.inf)
    places = positions(whole, kernel_size, stride, padding, dilation, ceil_mode)
    best = seen.argmax(-1)
    # Padding comes first where a window holds nothing larger than it (-inf): the first place inside is meant.
    inside = np.broadcast_to((places >= 0).argmax(-1), best.shape)
    best = np.where(np.take_along_axis(np.broadcast_to(places, seen.shape), best[..., None], -1)[..., 0] < 0, inside, best)
    indices = np.take_along_axis(np.broadcast_to(places, seen.shape), best[..., None], -1)[..., 0]
    values = np.take_along_axis(seen, best[..., None], -1)[..., 0]
    return (values, indices) if x.ndim == len(kernel_size) + 2 else (values[0], indices[0])


@reference
@widened
def max_pool_gradient(g: np.ndarray, x: np.ndarray, *, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints,
                      ceil_mode: bool) -> np.ndarray:
    _, indices = max_pool_with_indices(x, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    spatial = len(kernel_size)
    total = np.zeros((math.prod(x.shape[:-spatial]), math.prod(x.shape[-spatial:])), g.dtype)
    windows_of = (total.shape[0], math.prod(g.shape[-spatial:]))
    np.add.at(total, (np.arange(total.shape[0])[:, None], indices.reshape(windows_of)), g.reshape(windows_of))
    return total.reshape(x.shape)


def divisors(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_include_pad: bool,
             override: int | None) -> np.ndarray:
    """The divisor of each window."""
    if override is not None:
        return np.asarray(float(override))
    ones = np.ones((1, 1, *x.shape[2:]))
    if count_include_pad:
        ones = np.pad(ones, ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=1.0)
        return pooled_windows(ones, kernel, stride, (0,) * len(kernel), (1,) * len(kernel), ceil_mode, 0.0).sum(-1)
    return pooled_windows(ones, kernel, stride, padding, (1,) * len(kernel), ceil_mode, 0.0).sum(-1)


@reference
@widened
def avg_pool(x: np.ndarray, *, kernel_size: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_include_pad: bool,
             divisor_override: int | None) -> np.ndarray:
    whole = batched(x, len(kernel_size))
    total = pooled_windows(whole, kernel_size, stride, padding, (1,) * len(kernel_size), ceil_mode, 0.0).sum(-1)
    count = divisors(whole, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if count.ndim:
        count = count[(slice(None), slice(None), *(slice(0, s) for s in total.shape[2:]))]
    result = (total / count).astype(x.dtype)
    return result if x.ndim == len(kernel_size) + 2 else result[0]


@reference
@widened
def avg_pool_gradient(g: np.ndarray, x: np.ndarray, *, kernel_size: Ints, stride: Ints, padding: Ints, ceil_mode: bool,
                      count_include_pad: bool, divisor_override: int | None) -> np.ndarray:
    spatial = len(kernel_size)
    whole = batched(x, spatial)
    places = positions(whole, kernel_size, stride, padding, (1,) * spatial, ceil_mode)
    count = divisors(whole, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if count.ndim:
        count = count[(slice(None), slice(None), *(slice(0, s) for s in places.shape[:-1]))]
    share = batched(g, spatial) / count
    rows, count_of = math.prod(whole.shape[:2]), math.prod(places.shape[:-1])
    total = np.zeros((rows, math.prod(whole.shape[2:]) + 1), g.dtype)   # the last column takes what falls on padding
    flat = np.broadcast_to(share.reshape(rows, count_of, 1), (rows, count_of, places.shape[-1]))
    np.add.at(total, (np.arange(rows)[:, None], np.broadcast_to(places.reshape(1, -1), (rows, places.size))), flat.reshape(rows, places.size))
    return np.ascontiguousarray(total[:, :-1]).reshape(x.shape)


def bins(size: int, count: int) -> list[tuple[int, int]]:
    """The windows [floor(i n / m), ceil((i + 1) n / m))."""
    return [(i * size // count, -((-(i + 1) * size) // count)) for i in range(count)]


def adapted_mean(x: np.ndarray, sizes: Ints) -> np.ndarray:
    for index, count in enumerate(sizes):
        axis = x.ndim - len(sizes) + index
        parts = [x.take(range(a, b), axis).mean(axis, keepdims=True, dtype=x.dtype) for a, b in bins(x.shape[axis], count)]
        x = np.concatenate(parts, axis) if parts else x.take(range(0), axis)
    return x


@reference
@widened
def adaptive_avg_pool(x: np.ndarray, *sizes: int) -> np.ndarray:
    return np.asarray(adapted_mean(x, sizes))


@reference
@widened
def adaptive_avg_pool_gradient(g: np.ndarray, x: np.ndarray, *sizes: int) -> np.ndarray:
    for index in range(len(sizes)):
        axis = x.ndim - len(sizes) + index
        size = x.shape[axis]
        spread = np.zeros((sizes[index], size), g.dtype)
        for row, (a, b) in enumerate(bins(size, sizes[index])):
            spread[row, a:b] = 1.0 / (b - a)
        g = np.moveaxis(np.tensordot(g, spread, (axis, 0)), -1, axis)
    return np.ascontiguousarray(g).astype(x.dtype, copy=False)


@reference
@widened
def adaptive_max_pool(x: np.ndarray, *sizes: int) -> tuple[np.ndarray, np.ndarray]:
    spatial = len(sizes)
    plane = np.arange(math.prod(x.shape[-spatial:])).reshape(x.shape[-spatial:])
    values = np.empty((*x.shape[:-spatial], *sizes), x.dtype)
    indices = np.empty(values.shape, np.int64)
    for place in np.ndindex(*sizes):
        window = tuple(slice(*bins(x.shape[x.ndim - spatial + i], sizes[i])[p]) for i, p in enumerate(place))
        flat = x[(..., *window)]  # type: ignore[arg-type]
        flat = flat.reshape(*x.shape[:-spatial], math.prod(flat.shape[-spatial:]))
        best = flat.argmax(-1)
        values[(..., *place)] = np.take_along_axis(flat, best[..., None], -1)[..., 0]
        indices[(..., *place)] = plane[window].reshape(-1)[best]
    return values, indices
