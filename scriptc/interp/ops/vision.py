"""Resampling of images, one dimension after another."""
from __future__ import annotations

import numpy as np

from scriptc.interp.ops.pooling import adapted_mean
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


def resampling_matrix(size: int, count: int, mode: str, scale: float | None, align_corners: bool) -> np.ndarray:
    """[count, size]: each output as a combination of inputs."""
    matrix = np.zeros((count, size))
    rows = np.arange(count)
    if mode in ("nearest", "nearest-exact"):
        ratio = 1 / scale if scale else size / count
        offset = 0.5 if mode == "nearest-exact" else 0.0
        index = np.minimum(np.floor((rows + offset) * np.float32(ratio)).astype(int), size - 1)
        matrix[rows, index] = 1
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


@reference
@widened
def interpolate(x: np.ndarray, *sizes: int, mode: str, align_corners: bool, scale_factors: tuple[float, ...] | None) -> np.ndarray:
    if mode == "area":
        return np.asarray(adapted_mean(x, sizes))
    for index, count in enumerate(sizes):
        axis = index + 2
        scale = scale_factors[index] if scale_factors else None
        matrix = resampling_matrix(x.shape[axis], count, mode, scale, align_corners)
        x = np.moveaxis(np.tensordot(x, matrix.astype(x.dtype), (axis, 1)), -1, axis)
    return np.ascontiguousarray(x)


@reference
@widened
def grid_sample(x: np.ndarray, grid: np.ndarray, *, mode: str, padding_mode: str, align_corners: bool) -> np.ndarray:
    n, channels, height, width = x.shape
    sizes = np.array([width, height], x.dtype)
    place = (grid + 1) / 2 * (sizes - 1) if align_corners else ((grid + 1) * sizes - 1) / 2
    if padding_mode == "border":
        place = np.clip(place, 0, sizes - 1)
    result = np.zeros((n, channels, *grid.shape[1:3]), x.dtype)
    rows = np.arange(n)[:, None, None]
    corners = [(0.0, 0.0)] if mode == "nearest" else [(dx, dy) for dx in (0, 1) for dy in (0, 1)]
    base = np.round(place) if mode == "nearest" else np.floor(place)
    part = place - base
    for dx, dy in corners:
        column, row = base[..., 0] + dx, base[..., 1] + dy
        weight = np.ones_like(part[..., 0]) if mode == "nearest" else \
            (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        r, c = np.clip(row, 0, height - 1).astype(int), np.clip(column, 0, width - 1).astype(int)
        picked = x[rows, :, r, c].transpose(0, 3, 1, 2)
        result += picked * (weight * inside)[:, None]
    return result


