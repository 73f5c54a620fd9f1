"""Kernels whose loops are written here as text, once for all sizes: compiled like the loops of elementwise groups, and called as commands."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cpu.driver.native import Native
from scriptc_runtime.cpu.jit import Code
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import Command, Fault, Word
from scriptc_runtime.cpu.tiles.move_commands import call
from scriptc_runtime.cpu.tiles.parts import parts_of
from scriptc_runtime.plan.plan import Kernel
from scriptc_runtime.plan.policy import NEVER, READY, WAITING

UNSIGNED = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}     # what elements are moved as, by their bytes
NO_FLOATS = np.zeros(1)


class Printed(Native):
    """A kernel that is one printed loop, for operands whose elements are neighbours."""

    def __init__(self, code: Code, work: int) -> None:
        self._code, self.work = code, work

    def state(self, work: int = 0) -> str:
        """That of the loop, for which the whole plan's work speaks, and of the library that calls it."""
        return min(self._code.state(work), library.state(parts_of("call"), self.work), key=(NEVER, WAITING, READY).index)

    def calls(self, parts: Sequence[Sequence[Word]], fault: Fault | None = None) -> Command | None:
        """The loop once for each part with that part's words."""
        command = call(self._code.address, parts)
        if command is not None:
            command.fault = fault
        return command


def kernel(name: str, run: Callable[..., Any], native: Native | None) -> Kernel:
    """A kernel that answers with arrays of its own; `run` is the reference."""
    def fill(*operands: Any, out: tuple[np.ndarray, ...]) -> None:
        made = run(*operands)
        for buffer, result in zip(out, made if isinstance(made, tuple) else (made,), strict=True):
            np.copyto(buffer, result)

    return Kernel(name, fill, writes_out=True, fresh=True, native=native)


def shares(count: int, threads: int, work: int, enough: int) -> list[tuple[int, int]]:
    """`count` turns from, and up to, for each thread that gets `enough` work."""
    parts = max(1, min(threads, count, work // enough))
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]

