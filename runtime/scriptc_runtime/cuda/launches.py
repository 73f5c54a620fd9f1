"""A launch as data, and the work of a step: launches in order with the arrays they read and write.

A lowering answers with an `Emit`: it is given the operands and the buffers of the results, and puts launches into a `Work`. What it does may
depend on types, shapes, strides and scalars, never on elements: the same work is done again, or captured in a graph, for other elements.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scriptc.ir.graph import Op
from scriptc_runtime.cuda.simulation import MOST_BLOCKS, MOST_THREADS
from scriptc_runtime.device import DeviceArray, Shape

if TYPE_CHECKING:
    from scriptc_runtime.cuda.engine import Engine

THREADS = 256               # of a block that strides over elements
BLOCKS_PER_MULTIPROCESSOR = 16


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel over a grid. `arguments` are device arrays and numpy scalars; `shared`: bytes of dynamic shared memory."""

    kernel: Any
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a number that a kernel refused becomes an error: `make(value, limit)`."""

    make: Callable[[int, int], Exception]
    op: Op | None = None


@dataclass(eq=False)
class Work:
    """The launches of one or more steps. `kept` are the arrays that must live while they may run; `checked`: some may refuse an element."""

    engine: Engine
    launches: list[Launch] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    checked: bool = False
    op: Op | None = None

    def launch(self, kernel: Any, grid: Sequence[int] | int, block: Sequence[int] | int, *arguments: Any, shared: int = 0) -> None:
        """Put one launch at the end. A grid with no blocks is no launch."""
        blocks = (grid, 1, 1) if isinstance(grid, int) else (*grid, 1, 1)[:3]
        threads = (block, 1, 1) if isinstance(block, int) else (*block, 1, 1)[:3]
        if math.prod(blocks):
            self.launches.append(Launch(kernel, blocks, threads, arguments, shared))

    def each(self, kernel: Any, count: int, *arguments: Any) -> None:
        """A kernel whose threads stride over `count` things."""
        if count:
            grid, block = self.engine.grid(count)
            self.launches.append(Launch(kernel, (grid, 1, 1), (block, 1, 1), arguments))

    def empty(self, shape: Shape, dtype: Any) -> DeviceArray:
        """An array that lives as long as this work."""
        made = self.engine.empty(tuple(shape), np.dtype(dtype))
        self.kept.append(made)
        return made

    def constant(self, array: np.ndarray) -> DeviceArray:
        """A table of the host's in the device's memory, which nothing writes to."""
        made = self.engine.constant(array)
        self.kept.append(made)
        return made

    def contiguous(self, array: DeviceArray) -> DeviceArray:
        """The array itself if it is contiguous, else a copy."""
        if array.is_contiguous:
            return array
        made = self.empty(array.shape, array.dtype)
        self.copy(made, array)
        return made

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """target = source, of one shape and dtype, at any strides."""
        from scriptc_runtime.cuda.movement import copy

        copy(self, target, source)

    def fill(self, target: DeviceArray, value: Any) -> None:
        """Every element of a contiguous array = value."""
        from scriptc_runtime.cuda.movement import fill

        fill(self, target, value)

    def refusals(self, make: Callable[[int, int], Exception]) -> tuple[DeviceArray, np.int64]:
        """(the flag that kernels raise, the number that tells this place from others)."""
        self.checked = True
        return self.engine.flag, np.int64(self.engine.refusal(Refusal(make, self.op)))

    def run(self) -> None:
        """Do it now."""
        self.engine.run(self)


Emit: TypeAlias = Callable[[Work, Sequence[Any], Sequence[DeviceArray]], None]


def simulated_grid(count: int) -> tuple[int, int]:
    """A few threads, so that kernels stride in the simulator too."""
    return min(MOST_BLOCKS, count), MOST_THREADS
