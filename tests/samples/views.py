"""Reading and writing parts: clamped and empty slices, negative positions, diagonals off centre, windows that overlap."""
from __future__ import annotations

from typing import Any

import numpy as np

from tests.samples import Sample, normal

SLICES = ((0, 2, 1), (1, 2**63 - 1, 1), (-2, 2**63 - 1, 1), (0, -1, 1), (0, 2**63 - 1, 2), (1, 100, 3), (3, 1, 1), (-100, 2, 1), (4, 9, 1))


def samples() -> list[Sample]:
    x = normal(2, 3, 4)
    masked = np.where(x > 1.0, -np.inf, x)   # what lies beside a part must not reach its gradient
    found: list[Sample] = []

    def add(*parts: Any, **more: Any) -> None:
        found.append(Sample(*parts, **more))

    for dim in (0, -1):
        for start, stop, step in SLICES:
            place = (slice(start, stop, step),) if dim == 0 else (..., slice(start, stop, step))
            add("slice", (x, start, stop, step), {"dim": dim}, lambda x, *_, place=place: x[place], True)
            part = normal(*x[place].shape)
            add("slice_scatter", (x, part, start, stop, step), {"dim": dim},
                                lambda x, s, *r, dim=dim: x.slice_scatter(s, dim, *r), True)
    add("slice", (masked, 0, 1, 1), {"dim": 1}, lambda x, *_: x[:, :1], True, differences=False)
    for dim, index in ((0, 1), (1, -1), (-1, 0)):
        add("select", (x, index), {"dim": dim}, lambda x, i, dim=dim: x.select(dim, i), True)
        part = normal(*np.take(x, index, dim).shape)
        add("select_scatter", (x, part, index), {"dim": dim}, lambda x, s, i, dim=dim: x.select_scatter(s, dim, i), True)
    add("select", (masked, 0), {"dim": 2}, lambda x, i: x.select(2, i), True, differences=False)
    add("select", (np.arange(3), 1), {"dim": 0}, lambda x, i: x[i])
    for offset, dim1, dim2 in ((0, 0, 1), (1, 0, 2), (-1, -2, -1), (9, 1, 2)):
        attributes = {"offset": offset, "dim1": dim1, "dim2": dim2}
        add("diagonal", (x,), attributes, lambda x, a=attributes: x.diagonal(**a), True)
        part = normal(*np.diagonal(x, offset, dim1, dim2).shape)
        add("diagonal_scatter", (x, part), attributes, lambda x, s, a=attributes: x.diagonal_scatter(s, **a), True)
    for dim, size, step in ((2, 2, 1), (1, 3, 1), (-1, 3, 2), (2, 1, 3)):
        add("unfold", (x,), {"dim": dim, "size": size, "step": step}, lambda x, a=(dim, size, step): x.unfold(*a), True)
    for sizes, strides, offset in (((2, 2), (1, 3), 1), ((3,), (0,), 2), ((), (), 0), ((2, 2, 2), (2, 1, 1), 0)):
        add("as_strided", (x, offset, *sizes, *strides), {}, lambda x, *_, a=(sizes, strides, offset): x.as_strided(*a), True)
    add("checkpointed", (x, normal(2)), {}, lambda x, after: x, True, wrt=(0,))
    return found


SAMPLES = samples()
