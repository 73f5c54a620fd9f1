"""Commands of `moves`: copies between strided arrays, and calls of compiled functions."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scriptc_runtime.cpu.tiles.commands import Command, Word
from scriptc_runtime.cpu.tiles.geometry import COPY_DIMS, MOST_ARGUMENTS


def copy(source: np.ndarray, target: np.ndarray, read: Word, written: Word) -> Command | None:
    """Elements of `source` to the same places of `target`, arrays of one shape and item size whose first elements are at `read` and `written`.

    None if there are more dimensions than the kernel has loops.
    """
    size = source.itemsize
    dims = [(n, a, b) for n, a, b in zip(source.shape, source.strides, target.strides, strict=True) if n != 1]
    # In the order of the target's memory, neighbours merged: the innermost loop is the longest run.
    dims.sort(key=lambda dim: -abs(dim[2]))
    merged: list[tuple[int, int, int]] = []
    for n, a, b in dims:
        if merged and merged[-1][1] == a * n and merged[-1][2] == b * n:
            merged[-1] = merged[-1][0] * n, a, b
        else:
            merged.append((n, a, b))
    inner = merged.pop() if merged else (1, size, size)
    if len(merged) > COPY_DIMS:
        return None
    outer = [(1, 0, 0)] * (COPY_DIMS - len(merged)) + merged
    if not source.size:
        outer[0], inner = (0, 0, 0), (1, size, size)
    words: list[Word] = [read, written, size, *inner, *(n for n, _, _ in outer), *(a for _, a, _ in outer), *(b for _, _, b in outer)]
    return Command("copy", words)


def call(function: int, parts: Sequence[Sequence[Word]]) -> Command | None:
    """`function` once for each part with that part's words; None if it takes more than the kernel can pass."""
    count = len(parts[0])
    if count > MOST_ARGUMENTS:
        return None
    return Command("call", [function, len(parts), count, *(word for part in parts for word in part)])
