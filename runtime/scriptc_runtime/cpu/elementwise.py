"""Elementwise groups: one compiled loop where it is warm, a numpy function with `out=` or the references where it is not."""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Literal, Value
from scriptc.ir.types import TensorType
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.printer import Printed, Unprintable, print_group, printable
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.cpu.tiles.move_commands import call
from scriptc_runtime.cpu.tiles.parts import parts_of
from scriptc_runtime.plan.fusion import Group
from scriptc_runtime.plan.lowering import lowers_groups
from scriptc_runtime.plan.plan import Kernel
from scriptc_runtime.plan.policy import NEVER, READY, WAITING

PART_ELEMENTS = 16384     # that a thread must get for sharing to pay

# Ops that are one numpy loop with the very same results; alone in a group they need no compilation.
UFUNCS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "sqrt": np.sqrt,
    "maximum": np.maximum, "minimum": np.minimum, "square": np.square, "abs": np.abs, "exp": np.exp,
}


@lowers_groups("cpu", accepts=printable)
def lower_group(group: Group) -> Kernel:
    """The kernel of a group: it fills one buffer per output."""
    name = "+".join(m.name for m in group.ops)
    single = _single(group) if len(group.ops) == 1 else None
    fallback = single or _Fallback(group)
    try:
        printed = print_group(group)
    except Unprintable:
        return Kernel(name, fallback, writes_out=True, fresh=True)
    code = code_for(printed.source, printed.pointers)
    if code is None:
        return Kernel(name, fallback, writes_out=True, fresh=True)
    return Kernel(name, single or _Loop(group, printed, code, fallback), writes_out=True, fresh=True,
                  native=None if printed.scalars or 0 in group.shape else NativeLoop(group, printed, code))


def _single(group: Group) -> Callable[..., None] | None:
    """A numpy function that does a group of one op over tensors of one dtype."""
    bound = group.ops[0]
    kinds = [k for k in bound.operand_types if isinstance(k, TensorType)]
    if len(kinds) != len(bound.operands) or len(group.inputs) != len(kinds) or kinds[0].dtype.name not in ("float32", "float64"):
        return None
    if bound.name == "relu":
        zero = kinds[0].dtype.numpy.type(0)

        def relu(x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
            np.maximum(x, zero, out=out[0])
        return relu
    ufunc = UFUNCS.get(bound.name)
    if ufunc is None:
        return None

    def run(*operands: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        with np.errstate(all="ignore"):
            ufunc(*operands, out=out[0])
    return run


class _Fallback:
    """The members' references, one after the other."""

    def __init__(self, group: Group) -> None:
        place: dict[Value, int] = {value: index for index, value in enumerate(group.inputs)}
        self._steps: list[tuple[Callable[..., Any], tuple[tuple[bool, Any], ...]]] = []
        for member in group.ops:
            function = REFERENCES[member.name]
            run = functools.partial(function, **member.op.attributes) if member.op.attributes else function
            operands = tuple((True, v.data) if isinstance(v, Literal) else (False, place[v]) for v in member.operands)
            self._steps.append((run, operands))
            place[member.results[0]] = len(place)
        self._outputs = tuple(place[v] for v in group.outputs)

    def __call__(self, *operands: Any, out: tuple[np.ndarray, ...]) -> None:
        values = list(operands)
        for run, places in self._steps:
            values.append(run(*(content if known else values[content] for known, content in places)))
        results = [values[place] for place in self._outputs]
        if len(out) > 1:    # one may be memory that another is about to overwrite
            results = [r.copy() if any(np.may_share_memory(r, o) for o in out) else r for r in results]
        for buffer, result in zip(out, results, strict=True):
            np.copyto(buffer, result)


class _Loop:
    """A printed loop with its tables; the references answer until it is compiled."""

    def __init__(self, group: Group, printed: Printed, code: Code, fallback: Callable[..., None]) -> None:
        self._code = code
        self._fallback = fallback
        self._inputs = tuple(zip(printed.tensors, printed.shapes, strict=True))
        self._outputs = printed.outputs
        self._over = frozenset(index for _, index in group.over)
        self._scalars = printed.scalars
        self._integers = np.array([v or 0 for v in printed.integers], np.int64)
        self._floats = np.array([v or 0.0 for v in printed.floats] or [0.0], np.float64)
        self._tables = (self._integers.ctypes.data, self._floats.ctypes.data)
        self._work = len(group.ops) * int(np.prod(group.shape, dtype=np.int64))

    def __call__(self, *operands: Any, out: tuple[np.ndarray, ...]) -> None:
        function = self._code.ready(self._work)
        if function is None:
            self._fallback(*operands, out=out)
            return
        if self._work == 0:
            return
        arrays = []
        for index, shape in self._inputs:
            array = operands[index]
            if array.shape != shape:   # must never reach raw memory
                raise RuntimeError(f"a kernel for shape {tuple(shape)} was called with {array.shape}")
            flags = array.flags
            if not (flags.c_contiguous and flags.aligned):
                if index in self._over:
                    raise RuntimeError("an array that a kernel overwrites must be contiguous")
                array = np.ascontiguousarray(array)
            arrays.append(array)
        out = tuple(out[number] for number in self._outputs)
        if not self._scalars:
            function(*map(address, arrays), *map(address, out), *self._tables)
            return
        integers, floats = self._integers.copy(), self._floats.copy()
        for index, table, place in self._scalars:
            (floats if table == "c" else integers)[place] = operands[index]
        function(*map(address, arrays), *map(address, out), address(integers), address(floats))


class NativeLoop(Native):
    """A printed loop as a command; large ones are shared by their outermost loop."""

    def __init__(self, group: Group, printed: Printed, code: Code) -> None:
        self._printed, self._code = printed, code
        self._elements = int(np.prod(group.shape, dtype=np.int64))
        self.work = len(group.ops) * self._elements
        self._kinds = tuple(np.dtype(name) for name in printed.pointers)

    def state(self, work: int = 0) -> str:
        """That of the loop, for which the whole plan's work speaks, and of the library that calls it."""
        return min(self._code.state(work), library.state(parts_of("call"), self.work), key=(NEVER, WAITING, READY).index)

    def commands(self, operands: Sequence[np.ndarray], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One call, or one for each part of the outermost loop."""
        printed = self._printed
        turns = int(printed.integers[0] or 0)
        parts = max(1, min(threads, turns, self._elements // PART_ELEMENTS))
        floats = np.array([v or 0.0 for v in printed.floats] or [0.0], np.float64)
        places = (*(In(i) for i in printed.tensors), *(Out(i) for i in printed.outputs))
        made: list[list[Word]] = []
        for part in range(parts):
            first, last = turns * part // parts, turns * (part + 1) // parts
            integers = np.array([v or 0 for v in printed.integers], np.int64)
            integers[0] = last - first
            made.append([*(At(place, first * step * kind.itemsize) for place, step, kind in zip(places, printed.outer, self._kinds, strict=True)),
                         integers, floats])
        command = call(self._code.address, made)
        return None if command is None else [command]
