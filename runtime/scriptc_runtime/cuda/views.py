"""Ops that copy nothing: their result is the first operand's memory at other sizes and strides."""
from __future__ import annotations

import math
from typing import Any

from scriptc_runtime.cuda.lowering import reads_shapes, views
from scriptc_runtime.device import DeviceArray


@views("reshape", in_order=True)
def reshape(x: DeviceArray, *sizes: int) -> DeviceArray:
    shape = list(sizes)
    if shape.count(-1) == 1:
        rest = math.prod(s for s in shape if s != -1)
        if rest:
            shape[shape.index(-1)] = x.size // rest
    if math.prod(shape) != x.size or min(shape, default=0) < 0:
        raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {x.size}")
    return x.reshape(shape)


@views("reshape_as", in_order=True)
def reshape_as(x: DeviceArray, like: DeviceArray) -> DeviceArray:
    return reshape(x, *like.shape)


@views("checkpointed")
def checkpointed(x: DeviceArray, after: DeviceArray) -> DeviceArray:
    return x


@views("permute")
def permute(x: DeviceArray, *, dims: tuple[int, ...]) -> DeviceArray:
    return x.view([x.shape[d] for d in dims], [x.strides[d] for d in dims])


@views("expand")
def expand(x: DeviceArray, *sizes: int) -> DeviceArray:
    added = len(sizes) - x.ndim
    shape = [x.shape[i - added] if s == -1 else s for i, s in enumerate(sizes)]
    old = [1] * added + list(x.shape)
    if added < 0 or any(n not in (1, s) for n, s in zip(old, shape, strict=True)):
        raise RuntimeError(f"The expanded size of the tensor {tuple(shape)} must match the existing size {x.shape}")
    strides = [0] * added + list(x.strides)
    return x.view(shape, [0 if n == 1 else s for n, s in zip(old, strides, strict=True)])


@views("expand_as")
def expand_as(x: DeviceArray, like: DeviceArray) -> DeviceArray:
    return expand(x, *like.shape)


@views("squeeze")
def squeeze(x: DeviceArray, *, dims: tuple[int, ...]) -> DeviceArray:
    chosen = {d % x.ndim for d in dims if x.ndim and x.shape[d] == 1}
    kept = [d for d in range(x.ndim) if d not in chosen]
    return x.view([x.shape[d] for d in kept], [x.strides[d] for d in kept])


@views("unsqueeze")
def unsqueeze(x: DeviceArray, *, dim: int) -> DeviceArray:
    place = dim % (x.ndim + 1)
    return x.view((*x.shape[:place], 1, *x.shape[place:]), (*x.strides[:place], 0, *x.strides[place:]))


@views("slice")
def slice_(x: DeviceArray, start: int, stop: int, step: int, *, dim: int) -> DeviceArray:
    if step < 1:
        raise ValueError("slice step must be positive")
    dim %= x.ndim
    first, last, _ = slice(start, stop, step).indices(x.shape[dim])
    count = max(0, -(-(last - first) // step))
    shape, strides = list(x.shape), list(x.strides)
    offset = first * strides[dim] if count else 0
    shape[dim], strides[dim] = count, strides[dim] * step
    return x.view(shape, strides, offset)


@views("select")
def select(x: DeviceArray, index: int, *, dim: int) -> DeviceArray:
    size = x.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim % x.ndim} with size {size}")
    place = dim % x.ndim
    return x.view((*x.shape[:place], *x.shape[place + 1:]), (*x.strides[:place], *x.strides[place + 1:]), index % size * x.strides[place])


@views("diagonal")
def diagonal(x: DeviceArray, *, offset: int, dim1: int, dim2: int) -> DeviceArray:
    first, second = dim1 % x.ndim, dim2 % x.ndim
    rows, columns = x.shape[first], x.shape[second]
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = offset * x.strides[second] if offset >= 0 else -offset * x.strides[first]
    kept = [d for d in range(x.ndim) if d not in (first, second)]
    return x.view([*(x.shape[d] for d in kept), count], [*(x.strides[d] for d in kept), x.strides[first] + x.strides[second]],
                  start if count else 0)


@views("unfold")
def unfold(x: DeviceArray, *, dim: int, size: int, step: int) -> DeviceArray:
    if x.ndim == 0 or size > x.shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim % max(x.ndim, 1)} is {x.shape[dim] if x.ndim else 1} but size is {size}")
    place = dim % x.ndim
    shape, strides = list(x.shape), list(x.strides)
    shape[place], strides[place] = (shape[place] - size) // step + 1, strides[place] * step
    return x.view([*shape, size], [*strides, x.strides[place]])


@views("as_strided", in_order=True)
def as_strided(x: DeviceArray, offset: int, *numbers: int) -> DeviceArray:
    sizes, strides = numbers[:len(numbers) // 2], numbers[len(numbers) // 2:]
    reach = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    if math.prod(sizes) and (offset < 0 or reach >= x.size):
        raise RuntimeError(f"setStorage: sizes {list(sizes)}, strides {list(strides)} and storage offset {offset} are out of bounds "
                           f"for a storage of {x.size} elements")
    return x.reshape((x.size,)).view(sizes, strides, offset if math.prod(sizes) else 0)


@reads_shapes("size")
def size(x: Any, *, dim: int) -> int:
    return int(x.shape[dim])


@reads_shapes("rank")
def rank(x: Any) -> int:
    return len(x.shape)


@reads_shapes("numel")
def numel(x: Any) -> int:
    return math.prod(x.shape)
