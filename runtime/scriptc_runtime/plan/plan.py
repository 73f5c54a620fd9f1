"""The plan: a straight table of kernels over numbered slots, and the arena their buffers share."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scriptc.ir.graph import Op
from scriptc.ir.types import Type

ALIGNMENT = 64  # a cache line, and the widest vector


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a lowering answers.

    `run(*operands)` returns the result (a tuple for several). Where `writes_out` is set it is called as
    `run(*operands, out=buffers)` instead, fills the buffers, and returns nothing. `fresh` promises that no result
    shares memory with an operand.
    """

    name: str
    run: Callable[..., Any]
    writes_out: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Buffer:
    """Where a kernel writes one result: at `offset` of the arena, or (offset None) in an array of its own."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel: the slots it reads and fills, its buffers, and the slots nobody reads after it."""

    kernel: Kernel
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    buffers: tuple[Buffer, ...] = ()
    dead: tuple[int, ...] = ()
    op: Op | None = None


@dataclass(eq=False)
class Plan:
    """One function for one set of input shapes. `arguments` and `results` are slots."""

    name: str
    steps: tuple[Step, ...]
    template: list[Any]                 # the slots before a run: constants in place, the rest None
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    result_types: tuple[Type, ...]
    arena_size: int
    _frames: list[Frame] = field(default_factory=list)

    def run(self, arguments: Sequence[Any]) -> list[Any]:
        """The results for `arguments`. Safe to call from many threads: each call has a frame of its own."""
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = Frame(self)
        try:
            return frame.run(self, arguments)
        finally:
            self._frames.append(frame)

    def __str__(self) -> str:
        lines = [f"plan {self.name}: {len(self.steps)} steps, arena {self.arena_size} bytes"]
        for index, step in enumerate(self.steps):
            place = " ".join(f"{b.dtype}{list(b.shape)}@{'own' if b.offset is None else b.offset}" for b in step.buffers)
            where = f"   # {step.op.location}" if step.op is not None and step.op.location.span is not None else ""
            lines.append(f"  {index:>4} {step.kernel.name}({', '.join(f'%{i}' for i in step.inputs)})"
                         f" -> {', '.join(f'%{o}' for o in step.outputs)} {place}".rstrip() + where)
        return "\n".join(lines)


class Frame:
    """The memory of one running call: an arena and, per step, the views its kernel writes to."""

    __slots__ = ("arena", "views")

    def __init__(self, plan: Plan) -> None:
        self.arena = aligned_bytes(plan.arena_size)
        self.views: list[tuple[np.ndarray, ...] | None] = []
        for step in plan.steps:
            if step.buffers and all(b.offset is not None for b in step.buffers):
                self.views.append(tuple(self._view(b) for b in step.buffers))
            else:
                self.views.append(None)

    def _view(self, buffer: Buffer) -> np.ndarray:
        assert buffer.offset is not None
        part = self.arena[buffer.offset:buffer.offset + buffer.nbytes]
        return part.view(buffer.dtype).reshape(buffer.shape)

    def run(self, plan: Plan, arguments: Sequence[Any]) -> list[Any]:
        """Run every step in order."""
        slots = plan.template.copy()
        for slot, argument in zip(plan.arguments, arguments, strict=True):
            slots[slot] = argument
        for step, views in zip(plan.steps, self.views, strict=True):
            operands = [slots[i] for i in step.inputs]
            try:
                if step.buffers:
                    out = views if views is not None else tuple(
                        np.empty(b.shape, b.dtype) if b.offset is None else self._view(b) for b in step.buffers)
                    step.kernel.run(*operands, out=out)
                    for slot, array in zip(step.outputs, out, strict=True):
                        slots[slot] = array
                else:
                    result = step.kernel.run(*operands)
                    if len(step.outputs) == 1:
                        slots[step.outputs[0]] = result
                    else:
                        for slot, value in zip(step.outputs, result or (), strict=True):
                            slots[slot] = value
            except Exception as error:
                annotate(error, step.op)
                raise
            for slot in step.dead:
                slots[slot] = None
        return [slots[i] for i in plan.results]


def annotate(error: Exception, op: Op | None) -> None:
    """Tell, once, which op of the user's source an exception came from."""
    if op is None or getattr(error, "__notes__", None):
        return
    span = op.location.span
    error.add_note(f"in {op.name}" + (f" at {span}" if span is not None else "")
                   + (f" (module {op.location.scope})" if op.location.scope else ""))
    if span is not None:
        for line in span.excerpt():
            error.add_note(line)


def aligned_bytes(size: int) -> np.ndarray:
    """`size` uninitialised bytes that begin at a multiple of `ALIGNMENT`."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start:start + size]


def debugging(what: str) -> bool:
    """True if SCRIPTC_DEBUG lists `what`."""
    return what in os.environ.get("SCRIPTC_DEBUG", "").split(",")
