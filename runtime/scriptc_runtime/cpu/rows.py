"""Kernels that work on rows, as commands: the operand's rows are read where they lie, or gathered first where no two loops reach them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.tiles import row_commands
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.cpu.tiles.row_commands import Rows, rows_of, width_of

NORMALIZE_WORK, SOFTMAX_WORK = 8, 20      # multiplications that take as long as one element


def gathered(array: np.ndarray, place: Word, axes: int) -> tuple[list[Command | None], Word, Rows]:
    """(commands that come first, where the rows begin, the rows) over the last `axes` dimensions of an operand."""
    rows = rows_of(array, axes)
    if rows is not None:
        return [], place, rows
    whole = np.empty(array.shape, array.dtype)
    found = rows_of(whole, axes)
    assert found is not None
    return [copy(array, whole, place, whole)], whole, found


class NativeNormalize(Native):
    """layer_norm and rms_norm over the last `axes` dimensions, or group_norm over `groups` of the channels in dimension 1."""

    kernels = "normalize", "copy"
    strided = True

    def __init__(self, shape: tuple[int, ...], axes: int, *, centred: bool, eps: float, groups: int = 0) -> None:
        self._axes, self._groups, self._centred, self._eps = axes, groups, centred, eps
        self.work = NORMALIZE_WORK * int(np.prod(shape, dtype=np.int64))

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command, after copies of what it could not read."""
        x = operands[0]
        channels = 0
        place: Word = At(In(0))
        if self._groups:
            made: list[Command | None] = []
            if not x.flags.c_contiguous:
                whole: np.ndarray = np.empty(x.shape, x.dtype)
                made, place, x = [copy(x, whole, place, whole)], whole, whole
            channels = x.shape[1] // self._groups
            width = width_of(x.shape, x.ndim - 1) // self._groups
            rows = Rows(1, x.shape[0] * self._groups, 0, width * x.itemsize)
            count = x.shape[1]
        else:
            made, place, rows = gathered(x, place, self._axes)
            count = width = width_of(x.shape, self._axes)
        weight, bias = (self._parameter(operands, index, count, made) for index in (1, 2))
        made.append(row_commands.normalize(place, At(Out(0)), weight, bias, rows, width, centred=self._centred, eps=self._eps, threads=threads,
                                           channels=channels, groups=max(self._groups, 1)))
        return None if None in made else made   # type: ignore[return-value]

    @staticmethod
    def _parameter(operands: Sequence[Any], index: int, count: int, made: list[Command | None]) -> Word:
        """Where a parameter's elements are neighbours; one that is not there is 1 or 0 everywhere."""
        parameter = operands[index] if index < len(operands) else None
        if parameter is None:
            return np.full(count, float(index == 1), np.float32)
        if parameter.flags.c_contiguous:
            return At(In(index))
        kept: np.ndarray = np.empty(parameter.shape, parameter.dtype)
        made.append(copy(parameter, kept, At(In(index)), kept))
        return kept


class NativeSoftmax(Native):
    """softmax and log_softmax over the last dimension."""

    kernels = "softmax", "copy"
    strided = True

    def __init__(self, shape: tuple[int, ...], *, logarithm: bool) -> None:
        self._logarithm = logarithm
        self.work = SOFTMAX_WORK * int(np.prod(shape, dtype=np.int64))

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command, after a copy of what it could not read."""
        made, place, rows = gathered(operands[0], At(In(0)), 1)
        made.append(row_commands.softmax(place, At(Out(0)), rows, operands[0].shape[-1], logarithm=self._logarithm))
        return None if None in made else made   # type: ignore[return-value]
