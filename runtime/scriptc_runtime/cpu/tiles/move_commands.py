"""Commands of `moves`: copies between strided arrays, and calls of compiled functions."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scriptc_runtime.cpu.tiles.commands import Command, Word
from scriptc_runtime.cpu.tiles.geometry import COPY_DIMS, LANES, MOST_ARGUMENTS, ONLY, VECTOR_BYTES

FLOAT_BYTES = 4
TURNED = 4      # rows and columns from which turning squares pays


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
    if size == FLOAT_BYTES and source.size and (turned := _turned(merged, inner, read, written)) is not None:
        return turned
    if len(merged) > COPY_DIMS:
        return None
    outer = [(1, 0, 0)] * (COPY_DIMS - len(merged)) + merged
    if not source.size:
        outer[0], inner = (0, 0, 0), (1, size, size)
    words: list[Word] = [read, written, size, *inner, *(n for n, _, _ in outer), *(a for _, a, _ in outer), *(b for _, _, b in outer)]
    return Command("copy", words)


def _turned(outer: Sequence[tuple[int, int, int]], inner: tuple[int, int, int], read: Word, written: Word) -> Command | None:
    """Rows and columns exchanged, square by square: dimensions (count, step of source, step of target) of which one is neighbours in the source
    and another one in the target. None where that is not so, where they are too short to pay, or where more than two loops are left.
    """
    count, step, target_step = inner
    across = next((dim for dim in outer if dim[1] == FLOAT_BYTES and dim[0] >= TURNED), None)
    if across is None or target_step != FLOAT_BYTES or step == FLOAT_BYTES or count < TURNED or len(outer) > 3:
        return None
    (n1, a1, b1), (n2, a2, b2) = [(1, 0, 0)] * (3 - len(outer)) + [dim for dim in outer if dim is not across]
    groups = np.arange(-(-count // LANES), dtype=np.int64) * VECTOR_BYTES
    return Command("turn", [read, written, np.arange(count, dtype=np.int64) * step, count, groups, np.arange(across[0], dtype=np.int64) * across[2],
                            across[0], 0, n1, a1, b1, n2, a2, b2, n1 * n2 + 1, ONLY])


def call(function: int, parts: Sequence[Sequence[Word]]) -> Command | None:
    """`function` once for each part with that part's words; None if it takes more than the kernel can pass."""
    count = len(parts[0])
    if count > MOST_ARGUMENTS:
        return None
    return Command("call", [function, len(parts), count, *(word for part in parts for word in part)])
