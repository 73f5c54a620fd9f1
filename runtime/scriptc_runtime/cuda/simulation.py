"""The driver's part played on the host, for numba's simulator: memory is numpy's, kernels run thread by thread, graphs are lists of launches."""
from __future__ import annotations

import ctypes
import functools
import itertools
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda.driver import Properties

MOST_BLOCKS, MOST_THREADS = 2, 2     # of a kernel whose loops stride over the grid: enough to see that they do
SWITCH_S = 1e-5                      # between Python's threads: those that wait at a barrier look for each other's arrival


@functools.cache
def _mend() -> None:
    """Let all threads of a block get the same shared array: the simulator's own function may give two to threads that ask at once."""
    from numba.core import types
    from numba.cuda.simulator.kernelapi import FakeCUDAShared
    from numba.np import numpy_support

    original: Any = FakeCUDAShared.array
    allocating = threading.Lock()

    def array(self: Any, shape: Any, dtype: Any) -> Any:
        if shape == 0:      # dynamic shared memory is one array from the start
            return original(self, shape, dtype)
        frame = sys._getframe(1)
        caller = frame.f_code, frame.f_lineno
        with allocating:
            if caller not in self._allocations:
                self._allocations[caller] = np.empty(shape, numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
            return self._allocations[caller]
    FakeCUDAShared.array = array  # type: ignore[method-assign]


class Simulated:
    """A device without hardware; addresses are those of the host's memory."""

    simulated = True
    stream = 1
    properties = Properties("simulator", (9, 0), 2, 1 << 30)

    def __init__(self) -> None:
        _mend()
        self._memory: dict[int, np.ndarray] = {}
        self._captured: list[Callable[[], Any]] | None = None
        self._ticks = itertools.count()

    def enter(self) -> None:
        pass

    def allocate(self, size: int) -> int:
        block = np.full(size, 0xA5, np.uint8)      # what nobody wrote is seen at once
        address: int = block.__array_interface__["data"][0]
        self._memory[address] = block
        return address

    def free(self, address: int) -> None:
        del self._memory[address]

    def free_memory(self) -> int:
        return self.properties.total_memory - sum(block.nbytes for block in self._memory.values())

    def pinned(self, size: int) -> np.ndarray:
        return np.empty(size, np.uint8)

    def _do(self, act: Callable[[], Any]) -> None:
        if self._captured is None:
            act()
        else:
            self._captured.append(act)

    def upload(self, address: int, source: int, size: int) -> None:
        assert self._captured is None, "the host's memory is not read inside a graph"
        ctypes.memmove(address, source, size)

    def download(self, target: int, address: int, size: int) -> None:
        assert self._captured is None, "nothing is waited for inside a graph"
        ctypes.memmove(target, address, size)

    def move(self, target: int, source: int, size: int) -> None:
        self._do(functools.partial(ctypes.memmove, target, source, size))

    def clear(self, address: int, size: int) -> None:
        self._do(functools.partial(ctypes.memset, address, 0, size))

    def synchronize(self) -> None:
        assert self._captured is None, "nothing is waited for inside a graph"

    synchronize_all = synchronize

    def launch(self, kernel: Any, grid: Sequence[int], block: Sequence[int], shared: int, arguments: Sequence[Any]) -> None:
        """`arguments` are arrays over this memory and numpy scalars."""
        def act() -> None:
            with warnings.catch_warnings():     # numpy's, in threads that do not inherit `errstate`
                warnings.simplefilter("ignore", RuntimeWarning)
                before = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_S)
                try:
                    kernel[tuple(grid), tuple(block), 0, shared](*arguments)
                finally:
                    sys.setswitchinterval(before)
        self._do(act)

    def begin_capture(self) -> None:
        assert self._captured is None
        self._captured = []

    def end_capture(self) -> Any:
        found, self._captured = self._captured, None
        return found

    def abandon_capture(self) -> None:
        self._captured = None

    def launch_graph(self, graph: Any) -> None:
        for act in graph:
            act()

    def destroy_graph(self, graph: Any) -> None:
        graph.clear()

    def mark(self) -> Any:
        return next(self._ticks)

    def elapsed_ms(self, start: Any, end: Any) -> float:
        return float(end - start)

    def arrive(self, event: Any) -> bool:
        return True


def flat(address: int, count: int, dtype: np.dtype) -> Any:
    """An array over this memory as kernels get it."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    part = np.ctypeslib.as_array((ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address))
    return FakeCUDAArray(part.view(dtype))
