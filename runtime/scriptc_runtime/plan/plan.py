"""The plan: a straight table of kernels over numbered slots, and the arena their buffers share."""
from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from scriptc.ir.graph import Op
from scriptc.ir.types import Type
from scriptc.records import Record, field

if TYPE_CHECKING:
    from scriptc_runtime.plan.bind import BoundOp

ALIGNMENT = 64  # a cache line, and the widest vector


class Kernel(Record):
    """What a lowering answers.

    `run(*operands)` returns the result (a tuple for several). Where `writes_out` is set it is called as
    `run(*operands, out=buffers)` instead, fills the buffers, and returns nothing. `fresh` promises that no result
    shares memory with an operand. `native` is what the engine's linker reads: how the kernel can be part of a longer native call.
    """

    name: str
    run: Callable[..., Any]
    writes_out: bool = False
    fresh: bool = False
    native: Any = None


class Buffer(Record):
    """Where a kernel writes one result: at `offset` of the arena, in the array of the slot `argument`, or (both None) in an array of its own."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    argument: int | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return "own" if self.offset is None and self.argument is None else f"%{self.argument}" if self.offset is None else str(self.offset)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Step(Record):
    """One kernel: the slots it reads and fills, its buffers, and the slots nobody reads after it."""

    kernel: Kernel
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    buffers: tuple[Buffer, ...] = ()
    dead: tuple[int, ...] = ()
    op: Op | None = None
    ops: tuple[BoundOp, ...] = ()     # all that the kernel computes


Item: TypeAlias = Callable[[list[Any]], None]      # runs on the slots of a call


@runtime_checkable
class Steady(Protocol):
    """An item that asks less of slots that hold the same arrays in each call."""

    def steady(self, fixed: frozenset[int]) -> Item:
        """The item for calls in which the slots of `fixed` hold the arrays of its last run."""
        ...


MakeItem: TypeAlias = Callable[[int, tuple[int, ...]], Item]    # a step by itself, with the slots to empty after it


Place: TypeAlias = "np.ndarray | int | None"   # of a result in a frame: a part of the arena, an argument's slot, or an array made for the call


class Linker(Protocol):
    """How an engine runs several steps as one."""

    def is_waiting(self, plan: Plan) -> bool:
        """True while kernels of the plan are being compiled."""
        ...

    def link(self, plan: Plan, item: MakeItem, places: Sequence[Sequence[Place]]) -> list[Item]:
        """The items of a frame; `places` are those of each step's results."""
        ...


class Memory(Protocol):
    """Where an engine's arrays lie."""

    def arena(self, size: int) -> Any:
        """`size` uninitialised bytes for a frame."""
        ...

    def view(self, arena: Any, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array over the bytes of an arena from `offset` on."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An uninitialised array of its own."""
        ...


class HostMemory:
    """numpy's arrays."""

    empty: Any = staticmethod(np.empty)

    def arena(self, size: int) -> np.ndarray:
        return aligned_bytes(size)

    def view(self, arena: np.ndarray, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        count = math.prod(shape) * dtype.itemsize
        return arena[offset:offset + count].view(dtype).reshape(shape)


HOST: Memory = HostMemory()


class Plan(Record, frozen=False, eq=False):
    """One function for one set of input shapes. `arguments` and `results` are slots; `fresh`: no result shares memory with an argument.

    `kinds` are the slots' types, `constants` those whose content is in the template. `written`: the results (by number) that are an argument's
    own memory, overwritten. `held`: slots of arguments that are the same arrays from call to call, which the plan may keep alive.
    """

    name: str
    steps: tuple[Step, ...]
    template: list[Any]                 # the slots before a run: constants in place, the rest None
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    result_types: tuple[Type, ...]
    arena_size: int
    fresh: bool = False
    kinds: tuple[Type | None, ...] = ()
    constants: frozenset[int] = frozenset()
    linker: Linker | None = None
    written: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    memory: Memory = HOST
    _frames: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        # One kernel that makes its own results needs neither slots nor memory.
        step = self.steps[0] if len(self.steps) == 1 else None
        self._only: Step | None = None
        if step is not None and step.kernel.native is None and step.outputs and step.outputs == self.results \
                and all(b.offset is None and b.argument is None for b in step.buffers):
            self._only = step
            self._made = tuple((b.shape, b.dtype) for b in step.buffers)
            place = {slot: index for index, slot in enumerate(self.arguments)}
            self._operands = tuple((place.get(slot, -1), self.template[slot]) for slot in step.inputs)

    @property
    def working_bytes(self) -> int:
        """Memory for what lies between the inputs and the results of one call: the arena, and those that kernels have of their own."""
        return self.arena_size + sum(getattr(step.kernel.run, "arena_size", 0) for step in self.steps)

    def run(self, arguments: Sequence[Any], state: list[Any] | None = None) -> list[Any]:
        """The results for `arguments`. Safe to call from many threads: each call has a frame of its own.

        `state`: the last of the arguments, in a list that is never changed. A frame that finds the same list again knows them.
        """
        if self._only is not None:
            try:
                operands = [known if index < 0 else arguments[index] for index, known in self._operands]
                if self._made:
                    out = tuple([self.memory.empty(shape, dtype) for shape, dtype in self._made])
                    self._only.kernel.run(*operands, out=out)
                    return list(out)
                result = self._only.kernel.run(*operands)
            except Exception as error:
                annotate(error, self._only.op)
                raise
            return [result] if len(self.results) == 1 else list(result)
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = Frame(self)
        try:
            return frame.run(self, arguments, state)
        finally:
            self._frames.append(frame)

    def __str__(self) -> str:
        lines = [f"plan {self.name}: {len(self.steps)} steps, arena {self.arena_size} bytes"]
        for index, step in enumerate(self.steps):
            place = " ".join(f"{b.dtype}{list(b.shape)}@{b.place}" for b in step.buffers)
            where = f"   # {step.op.location}" if step.op is not None and step.op.location.span is not None else ""
            lines.append(f"  {index:>4} {step.kernel.name}({', '.join(f'%{i}' for i in step.inputs)})"
                         f" -> {', '.join(f'%{o}' for o in step.outputs)} {place}".rstrip() + where)
        return "\n".join(lines)


class Frame:
    """The memory of one running call: an arena and, per step, what it needs to run."""

    __slots__ = ("_inputs", "_items", "_linker", "_memory", "_state", "_steady", "_steps", "_template", "arena")

    def __init__(self, plan: Plan) -> None:
        self._memory = plan.memory
        self.arena = plan.memory.arena(plan.arena_size)
        self._steps = tuple(self._prepared(step) for step in plan.steps)
        self._items: list[Item] = [functools.partial(_run, self._memory.empty, *step) for step in self._steps]
        self._linker = plan.linker if any(step.kernel.native is not None for step in plan.steps) else None
        self._state: list[Any] | None = None     # of the last call, if it was given; then the slots with it in place, and the items for it
        self._template: list[Any] = []
        self._inputs: tuple[int, ...] = ()
        self._steady: list[Item] = []

    def _prepared(self, step: Step) -> tuple[Any, ...]:
        """(run, inputs, outputs, where it writes, shapes and dtypes of the arrays it needs besides, dead slots, op)."""
        places: tuple[Place, ...] | None = None
        made: tuple[tuple[Any, ...], ...] = ()
        if step.buffers:
            places = tuple(b.argument if b.offset is None else self._view(b) for b in step.buffers)
            made = tuple((b.shape, b.dtype) for b in step.buffers if b.offset is None)
        return step.kernel.run, step.inputs, step.outputs, places, made, step.dead, step.op

    def _view(self, buffer: Buffer) -> np.ndarray:
        assert buffer.offset is not None
        view: np.ndarray = self._memory.view(self.arena, buffer.offset, buffer.shape, buffer.dtype)
        return view

    def _item(self, index: int, dead: tuple[int, ...]) -> Item:
        run, inputs, outputs, places, made, _, op = self._steps[index]
        return functools.partial(_run, self._memory.empty, run, inputs, outputs, places, made, dead, op)

    def run(self, plan: Plan, arguments: Sequence[Any], state: list[Any] | None = None) -> list[Any]:
        """Run every step in order; `state` as for `Plan.run`."""
        if state is not None and state is self._state:
            slots = self._template.copy()
            for slot, argument in zip(self._inputs, arguments):  # noqa: B905  (the state follows)
                slots[slot] = argument
            for item in self._steady:
                item(slots)
        else:
            self._state = None
            if self._linker is not None and not self._linker.is_waiting(plan):
                linker, self._linker = self._linker, None
                self._items = linker.link(plan, self._item, [places or () for _, _, _, places, _, _, _ in self._steps])
            slots = plan.template.copy()
            for slot, argument in zip(plan.arguments, arguments, strict=True):
                slots[slot] = argument
            for item in self._items:
                item(slots)
            if state is not None and self._linker is None:
                self._remember(plan, state)
        if len(plan.results) == 1:
            return [slots[plan.results[0]]]
        return [slots[i] for i in plan.results]

    def _remember(self, plan: Plan, state: list[Any]) -> None:
        """Prepare for more calls with the same state."""
        count = len(plan.arguments) - len(state)
        fixed = plan.arguments[count:]
        self._inputs = plan.arguments[:count]
        self._template = plan.template.copy()
        for slot, array in zip(fixed, state, strict=True):
            self._template[slot] = array
        self._steady = [item.steady(frozenset(fixed)) if isinstance(item, Steady) else item for item in self._items]
        self._state = state


def _run(empty: Callable[..., Any], run: Callable[..., Any], inputs: tuple[int, ...], outputs: tuple[int, ...],
         places: tuple[Place, ...] | None, made: tuple[tuple[Any, ...], ...], dead: tuple[int, ...], op: Op | None, slots: list[Any]) -> None:
    """One step on the slots of a call."""
    try:
        if places is not None:
            if not made:
                out: tuple[Any, ...] = places
            else:
                more = iter(made)
                out = tuple([_array(empty, slots, place, *next(more)) if place is None or type(place) is int else place for place in places])
            run(*[slots[i] for i in inputs], out=out)
            for slot, array in zip(outputs, out, strict=True):
                slots[slot] = array
        elif len(outputs) == 1:
            slots[outputs[0]] = run(*[slots[i] for i in inputs])
        else:
            for slot, value in zip(outputs, run(*[slots[i] for i in inputs]) or (), strict=True):
                slots[slot] = value
    except Exception as error:
        annotate(error, op)
        raise
    for slot in dead:
        slots[slot] = None


def _array(empty: Callable[..., Any], slots: list[Any], argument: int | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array to write a result to that has no place in the arena."""
    return empty(shape, dtype) if argument is None else slots[argument]


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
