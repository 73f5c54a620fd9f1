"""Sums, means and extrema: rows and columns of float32 by commands, the references for the rest."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import TensorType, float32
from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.tiles import row_commands
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.cpu.tiles.geometry import REDUCTIONS
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

KINDS = {"sum": "sum", "mean": "sum", "sum_to": "sum", "amax": "max", "amin": "min"}


@lowers(*KINDS, target="cpu")
def lower_reduction(site: Site) -> Kernel | None:
    """Over any dimensions of a float32 tensor that has elements."""
    x, result = site.tensor(0), site.result_types[0]
    if x.dtype is not float32 or not isinstance(result, TensorType) or not site.is_static or not x.shape or not all(x.shape):
        return None
    if any(not isinstance(size, int) for size in x.shape):
        return None
    dims = _summed(x, result) if site.op.name == "sum_to" else _chosen(site.attributes["dims"], len(x.shape))
    reference = functools.partial(REFERENCES[site.op.name], **site.attributes)

    def run(*operands: Any, out: tuple[np.ndarray, ...]) -> None:
        np.copyto(out[0], reference(*operands))

    count = math.prod(x.shape[dim] for dim in dims)  # type: ignore[misc]
    native = NativeReduction(KINDS[site.op.name], dims, 1 / count if site.op.name == "mean" else 1.0, math.prod(x.shape))  # type: ignore[arg-type]
    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=native)


def _chosen(dims: tuple[int, ...] | None, rank: int) -> frozenset[int]:
    return frozenset(dim % rank for dim in dims) if dims else frozenset(range(rank))


def _summed(x: TensorType, like: TensorType) -> frozenset[int]:
    """The dimensions of x along which `like` would be repeated."""
    assert x.shape is not None and like.shape is not None
    extra = len(x.shape) - len(like.shape)
    return frozenset((*range(extra), *(dim for dim, size in enumerate(like.shape, extra) if size == 1)))


class NativeReduction(Native):
    """A reduction as commands: rows first where the last dimensions go, then columns, with results in between where there are several."""

    kernels = "reduce_rows", "reduce_columns", "copy"
    strided = True

    def __init__(self, kind: str, dims: frozenset[int], factor: float, elements: int) -> None:
        self._which, self._dims, self._factor = REDUCTIONS.index(kind), dims, factor
        self.work = 2 * elements

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command for each run of reduced dimensions, after a copy of an operand that lies otherwise."""
        x: np.ndarray = operands[0]
        place: Word = At(In(0))
        goes = [dim in self._dims for dim in range(x.ndim) if x.shape[dim] != 1]
        x = x.reshape([size for size in x.shape if size != 1]) if x.flags.c_contiguous else x.squeeze()
        made: list[Command | None] = []
        if not any(goes):
            return _whole([copy(x, results[0].reshape(x.shape), place, At(Out(0)))])
        while any(goes):
            first, last = _last_run(goes)
            last_one = not any(goes[:first])
            y: np.ndarray = np.empty((*x.shape[:first], *x.shape[last:]), np.float32)
            factor = np.array([self._factor if last_one else 1.0])
            target: Word = At(Out(0)) if last_one else y
            command = row_commands.reduction(x, place, target, first, last, self._which, factor)
            if command is None:
                whole: np.ndarray = np.empty(x.shape, np.float32)
                made.append(copy(x, whole, place, whole))
                command = row_commands.reduction(whole, whole, target, first, last, self._which, factor)
                assert command is not None
            made.append(command)
            x, place = y, y
            del goes[first:last]
        return _whole(made)


def _whole(made: list[Command | None]) -> list[Command] | None:
    return None if None in made else made   # type: ignore[return-value]


def _last_run(goes: Sequence[bool]) -> tuple[int, int]:
    """The last neighbouring dimensions that are reduced: from, and up to."""
    last = max(index for index, flag in enumerate(goes) if flag) + 1
    first = last
    while first and goes[first - 1]:
        first -= 1
    return first, last
