"""Resampling of images, one dimension after another; sampling at given places; and their gradients."""
from __future__ import annotations

import numpy as np

from scriptc.interp.ops.pooling import adapted_mean, adaptive_avg_pool_gradient
from scriptc.interp.registry import reference, widened


def sources(size: int, count: int, scale: float | None, align_corners: bool) -> np.ndarray:
    """Where each output position samples the input (torch's area_pixel_compute_source_index)."""
    position = np.arange(count, dtype=np.float64)
    if align_corners:
        return position * ((size - 1) / (count - 1) if count > 1 else 0.0)
    ratio = 1 / scale if scale else size / count
    return (position + 0.5) * ratio - 0.5


def cubic(t: np.ndarray) -> list[np.ndarray]:
    """The four weights of cubic convolution with a = -0.75."""
    a = -0.75

    def near(x: np.ndarray) -> np.ndarray:
        return np.asarray(((a + 2) * x - (a + 3)) * x * x + 1)

    def far(x: np.ndarray) -> np.ndarray:
        return np.asarray(((a * x - 5 * a) * x + 8 * a) * x - 4 * a)
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def nearest_places(size: int, count: int, mode: str, scale: float | None) -> np.ndarray:
    """The input each output position is a copy of."""
    ratio = 1 / scale if scale else size / count
    offset = 0.5 if mode == "nearest-exact" else 0.0
    return np.minimum(np.floor((np.arange(count) + offset) * np.float32(ratio)).astype(int), size - 1)


def resampling_matrix(size: int, count: int, mode: str, scale: float | None, align_corners: bool) -> np.ndarray:
    """[count, size]: each output as a combination of inputs."""
    matrix = np.zeros((count, size))
    rows = np.arange(count)
    if mode in ("nearest", "nearest-exact"):
        matrix[rows, nearest_places(size, count, mode, scale)] = 1
        return matrix
    place = sources(size, count, scale, align_corners)
    if mode == "bicubic":
        base = np.floor(place).astype(int)
        for k, weight in enumerate(cubic(place - base)):
            np.add.at(matrix, (rows, np.clip(base - 1 + k, 0, size - 1)), weight)
        return matrix
    place = np.maximum(place, 0)
    low = np.minimum(np.floor(place).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = place - low
    np.add.at(matrix, (rows, low), 1 - part)
    np.add.at(matrix, (rows, high), part)
    return matrix


def wide_matrix(size: int, count: int, mode: str, scale: float | None, align_corners: bool) -> np.ndarray:
    """[count, size]: the triangle or cubic (a = -0.5) around each output's place, widened where the image gets smaller."""
    step = (size - 1) / (count - 1) if align_corners and count > 1 else 0.0 if align_corners else 1 / scale if scale else size / count
    widening = max(step, 1.0)
    centre = step * (np.arange(count)[:, None] + 0.5)
    reach = (2.0 if mode == "bicubic" else 1.0) * widening
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    last = np.minimum((centre + reach + 0.5).astype(int), size)
    place = np.arange(size)
    t = np.abs((place - centre + 0.5) / widening)
    if mode == "bicubic":
        near, far = (1.5 * t - 2.5) * t * t + 1, -0.5 * (((t - 5) * t + 8) * t - 4)
        weights = np.where(t < 1, near, np.where(t < 2, far, 0.0))
    else:
        weights = np.maximum(1 - t, 0)
    weights = np.where((place >= first) & (place < last), weights, 0.0)
    return np.asarray(weights / weights.sum(1, keepdims=True))


@reference
@widened
def interpolate(x: np.ndarray, *sizes: int, mode: str, align_corners: bool, scale_factors: tuple[float, ...] | None,
                antialias: bool) -> np.ndarray:
    if mode == "area":
        return np.asarray(adapted_mean(x, sizes))
    for index, count in enumerate(sizes):
        axis = index + 2
        scale = scale_factors[index] if scale_factors else None
        if mode in ("nearest", "nearest-exact"):   # chosen, not multiplied: an infinity must not make its neighbours nan
            x = np.take(x, nearest_places(x.shape[axis], count, mode, scale), axis)
            continue
        matrix = (wide_matrix if antialias else resampling_matrix)(x.shape[axis], count, mode, scale, align_corners)
        x = np.moveaxis(np.tensordot(x, matrix.astype(x.dtype), (axis, 1)), -1, axis)
    return np.ascontiguousarray(x)


@reference
@widened
def interpolate_gradient(g: np.ndarray, x: np.ndarray, *sizes: int, mode: str, align_corners: bool,
                         scale_factors: tuple[float, ...] | None, antialias: bool) -> np.ndarray:
    if mode == "area":
        return np.asarray(adaptive_avg_pool_gradient(g, x, *sizes))
    for index, count in enumerate(sizes):
        axis = index + 2
        scale = scale_factors[index] if scale_factors else None
        matrix = (wide_matrix if antialias else resampling_matrix)(x.shape[axis], count, mode, scale, align_corners)
        g = np.moveaxis(np.tensordot(g, matrix.astype(x.dtype), (axis, 0)), -1, axis)
    return np.ascontiguousarray(g)


def reflected(place: np.ndarray, sizes: np.ndarray, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """(places folded back at the edges, the sign of each one's slope): edges are pixel centres or, without align_corners, borders."""
    low = 0.0 if align_corners else -0.5
    span = sizes - 1 if align_corners else sizes
    distance = place - low
    with np.errstate(all="ignore"):
        turns = np.where(span > 0, np.floor(np.abs(distance) / span), 0)
        rest = np.where(span > 0, np.abs(distance) - turns * span, 0)
    odd = turns % 2 == 1
    return np.where(odd, span - rest, rest) + low, np.where(odd, -1.0, 1.0) * np.where(distance < 0, -1.0, 1.0) * (span > 0)


def sampling_places(shape: tuple[int, ...], grid: np.ndarray, padding_mode: str, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """(where [..., (x, y)] the input is sampled, in pixels; the slope of these places against the grid)."""
    sizes = np.array([shape[3], shape[2]], grid.dtype)
    slope = np.broadcast_to((sizes - 1) / 2 if align_corners else sizes / 2, grid.shape)
    place = (grid + 1) / 2 * (sizes - 1) if align_corners else ((grid + 1) * sizes - 1) / 2
    if padding_mode == "reflection":
        place, sign = reflected(place, sizes, align_corners)
        slope = slope * sign
    if padding_mode != "zeros":
        slope = slope * ((place > 0) & (place < sizes - 1))
        place = np.clip(place, 0, sizes - 1)
    return place.astype(grid.dtype, copy=False), slope.astype(grid.dtype, copy=False)


def corners_of(shape: tuple[int, ...], place: np.ndarray, mode: str) -> list[tuple[np.ndarray, ...]]:
    """For each pixel that takes part: (row, column, weight, the weight's slope along x, along y); weight 0 where it is outside."""
    nearest = mode == "nearest"
    base = np.round(place) if nearest else np.floor(place)
    part = place - base
    found: list[tuple[np.ndarray, ...]] = []
    for dx, dy in [(0, 0)] if nearest else [(dx, dy) for dx in (0, 1) for dy in (0, 1)]:
        column, row = base[..., 0] + dx, base[..., 1] + dy
        inside = (column >= 0) & (column < shape[3]) & (row >= 0) & (row < shape[2])
        across, down = (part[..., 0] if dx else 1 - part[..., 0]), (part[..., 1] if dy else 1 - part[..., 1])
        if nearest:
            across, down = np.ones_like(across), np.ones_like(down)
        r, c = np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)
        slopes = (inside * (2 * dx - 1) * down, inside * (2 * dy - 1) * across)
        found.append((r, c, inside * across * down, *slopes))
    return found


@reference
@widened
def grid_sample(x: np.ndarray, grid: np.ndarray, *, mode: str, padding_mode: str, align_corners: bool) -> np.ndarray:
    result = np.zeros((*x.shape[:2], *grid.shape[1:3]), x.dtype)
    batch = np.arange(len(x))[:, None, None]
    place, _ = sampling_places(x.shape, grid, padding_mode, align_corners)
    for r, c, weight, _, _ in corners_of(x.shape, place, mode):
        result += x[batch, :, r, c].transpose(0, 3, 1, 2) * weight[:, None]
    return result


@reference
@widened
def grid_sample_gradient(g: np.ndarray, x: np.ndarray, grid: np.ndarray, *, mode: str, padding_mode: str,
                         align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    dx, dplace = np.zeros_like(x), np.zeros_like(grid)
    batch = np.arange(len(x))[:, None, None]
    place, slope = sampling_places(x.shape, grid, padding_mode, align_corners)
    for r, c, weight, along_x, along_y in corners_of(x.shape, place, mode):
        np.add.at(dx.transpose(0, 2, 3, 1), (batch, r, c), (g * weight[:, None]).transpose(0, 2, 3, 1))
        if mode != "nearest":
            value = (x[batch, :, r, c].transpose(0, 3, 1, 2) * g).sum(1)
            dplace[..., 0] += value * along_x
            dplace[..., 1] += value * along_y
    return dx, dplace * slope
