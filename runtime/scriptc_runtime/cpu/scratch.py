"""Working memory of kernels, kept between calls: fresh pages cost more than the arithmetic of small layers."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Scratch:
    """Arrays of one shape and dtype, lent to one call at a time. A lent array holds what its last user left in it."""

    __slots__ = ("_dtype", "_fill", "_free", "_shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, fill: float | None = None) -> None:
        self._shape = shape
        self._dtype = dtype
        self._fill = fill
        self._free: list[np.ndarray] = []

    @contextmanager
    def lend(self) -> Iterator[np.ndarray]:
        """An array for the duration of the block; filled with `fill` when it is new."""
        try:
            array = self._free.pop()
        except IndexError:
            array = np.empty(self._shape, self._dtype) if self._fill is None else np.full(self._shape, self._fill, self._dtype)
        try:
            yield array
        finally:
            self._free.append(array)
