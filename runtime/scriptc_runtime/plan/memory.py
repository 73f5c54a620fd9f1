"""Where buffers lie in the arena: bytes are reused, whatever their dtype, once nobody reads them any more."""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.records import Record
from scriptc_runtime.plan.plan import ALIGNMENT


class Lifetime(Record):
    """A buffer of `size` bytes, written at step `start`, last read at step `end`."""

    size: int
    start: int
    end: int


def plan_arena(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """An offset for each buffer, and the size of the arena. `lifetimes` are in the order of their starts.

    Best fit in order of time: the smallest hole that is large enough, the end of the arena if there is none.
    """
    holes: list[tuple[int, int]] = []  # (offset, size), sorted, never adjacent
    living: list[tuple[int, int, int]] = []  # (end, offset, size)
    offsets: list[int] = []
    top = 0
    for lifetime in lifetimes:
        for dead in [item for item in living if item[0] < lifetime.start]:
            living.remove(dead)
            holes = _with_hole(holes, dead[1], dead[2])
        size = -(-max(lifetime.size, 1) // ALIGNMENT) * ALIGNMENT
        fitting = [hole for hole in holes if hole[1] >= size]
        if fitting:
            offset, space = min(fitting, key=lambda hole: hole[1])
            holes.remove((offset, space))
            if space > size:
                holes = _with_hole(holes, offset + size, space - size)
        elif holes and holes[-1][0] + holes[-1][1] == top:  # the last hole ends the arena: grow it
            offset, _ = holes.pop()
            top = offset + size
        else:
            offset, top = top, top + size
        living.append((lifetime.end, offset, size))
        offsets.append(offset)
    return offsets, top


def _with_hole(holes: list[tuple[int, int]], offset: int, size: int) -> list[tuple[int, int]]:
    """`holes` with one more, neighbours merged."""
    merged: list[tuple[int, int]] = []
    for start, space in sorted([*holes, (offset, size)]):
        if merged and merged[-1][0] + merged[-1][1] == start:
            merged[-1] = (merged[-1][0], merged[-1][1] + space)
        else:
            merged.append((start, space))
    return merged
