"""What a kernel offers the driver: commands over operands and results that lie at known places."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.records import Record
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import Command
from scriptc_runtime.cpu.tiles.parts import parts_of


class In(Record):
    """In `At`: where operand `index` begins."""

    index: int


class Out(Record):
    """In `At`: where result `index` begins."""

    index: int


class Packed(Record):
    """In `At`: where array `index` of `Native.pack` begins."""

    index: int


class Native:
    """A kernel as commands. `work`: multiplications or so of one call. `kernels`: those of the library that its commands name.

    `strided`: only the last dimension's elements need to be neighbours; else operands are copied until all are. `packs`: the operands that `pack`
    turns into other arrays, once for arrays that do not change; they must be known before the commands run.
    """

    work: int = 0
    kernels: tuple[str, ...] = ()
    strided: bool = False
    packs: tuple[int, ...] = ()

    def state(self, work: int = 0) -> str:
        """READY, WAITING while something is being compiled or not worth it yet, or NEVER; the plan has just done so much more `work`."""
        return library.state(parts_of(*self.kernels))

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """The commands; None if they cannot serve operands that lie like this. Arrays tell dtype, shape and strides: nothing may be read."""
        raise NotImplementedError

    def takes(self, index: int, operand: np.ndarray) -> bool:
        """True if operand `index` need not be copied first: its layout is one that the commands read."""
        if not self.strided:
            return operand.flags.c_contiguous
        return not operand.ndim or operand.shape[-1] == 1 or operand.strides[-1] == operand.itemsize

    def order(self, operands: Sequence[Any]) -> tuple[int, ...] | None:
        """How the only result may lie in memory: its dimensions, the one with the longest steps first. None: in their own order."""
        return None

    def pack(self, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """What is made of the operands named in `packs`."""
        return ()
