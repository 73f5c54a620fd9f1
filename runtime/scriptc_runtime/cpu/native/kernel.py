"""The kernel of a routine: its tables filled, its statuses understood."""
from __future__ import annotations

import ctypes
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError
from scriptc.ir.graph import Op, Value
from scriptc.ir.types import DTYPES, ListType, TensorType, Type
from scriptc.records import Record
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.jit import ROUTINE, Code, code_for
from scriptc_runtime.cpu.native import arithmetic, tensors
from scriptc_runtime.cpu.native.routine import Answer, Routine, print_routine
from scriptc_runtime.cpu.native.writer import BUDGET, ELSEWHERE, FUEL, FULL, LIMIT, POLL, SCRATCH, STOPPED
from scriptc_runtime.cpu.printer import Unprintable, printable
from scriptc_runtime.plan import control
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.clusters import Cluster
from scriptc_runtime.plan.fusion import is_pointwise
from scriptc_runtime.plan.lowering import lowers_routines
from scriptc_runtime.plan.plan import Kernel, aligned_bytes
from scriptc_runtime.plan.policy import memory_limit

PATIENCE = 20_000_000    # element operations (some ten milliseconds) between two looks at whether the caller was interrupted
FIRST_ROOM = 128         # items for which a list has room at first
MOST_ELEMENTS = 1 << 16  # of a tensor that a routine computes: larger ones are worth kernels of their own
FEW_ROWS = 2             # of activations: with more, packed weights are read less often
FEW_MULTIPLICATIONS = 200_000   # of all layers: from there on packed weights and threads pay
NANOSECOND = 1           # of the slow path, counted as an element operation when the routine is cold

_WITHOUT_RESULT = frozenset(("check", "undefined"))
_VIEWS = frozenset(("permute", "select", "slice", "squeeze", "unsqueeze", "expand", "expand_as"))


class _Interruption:
    """How a routine lets the handlers of signals run now and then: CPython's functions for it, and where they leave what a handler raised."""

    __slots__ = ("address", "words")

    def __init__(self) -> None:
        self.words = np.array([*_signal_functions(), 0, 0, 0], np.int64)
        self.address = address(self.words) if self.words[0] else 0

    def take(self) -> BaseException:
        """The exception that stopped the routine."""
        kind: Any
        kind, value = (ctypes.cast(int(w), ctypes.py_object).value if w else None for w in self.words[-3:-1])
        self.words[-3:] = 0
        if isinstance(value, BaseException):
            return value
        return kind() if value is None else kind(value)


@functools.cache
def _signal_functions() -> tuple[int, ...]:
    """What takes the interpreter's lock, runs handlers, fetches the exception and gives the lock back; zeros where there is no CPython."""
    names = ("PyGILState_Ensure", "PyErr_CheckSignals", "PyErr_Fetch", "PyGILState_Release")
    try:
        return tuple(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in names)
    except AttributeError:
        return (0,) * len(names)


class _Frame:
    """The tables and the memory of one running call."""

    __slots__ = ("arguments", "floats_view", "interruption", "keep", "rooms", "words")

    def __init__(self, routine: Routine, capacities: Sequence[int]) -> None:
        integers = np.array([v or 0 for v in routine.words], np.int64)
        floats = np.array([v or 0.0 for v in routine.floats] or [0.0], np.float64)
        scratch = aligned_bytes(routine.scratch)
        self.keep = integers, floats, scratch
        self.words: Any = memoryview(integers.data)
        self.floats_view: Any = memoryview(floats.data)
        self.arguments = address(integers), address(floats)
        self.interruption = _Interruption()
        self.words[POLL] = self.interruption.address
        self.words[FUEL] = PATIENCE
        self.words[SCRATCH] = address(scratch)
        self.rooms: list[np.ndarray] = []
        for (where, capacity, dtype, shape), room in zip(routine.rooms, capacities, strict=True):
            self.rooms.append(np.empty((room, *shape), DTYPES[dtype].numpy))
            self.words[where], self.words[capacity] = address(self.rooms[-1]), room


class _Run(Record, frozen=False, eq=False):
    """A routine with its code. The ops one by one answer while it is cold, and where it gives up."""

    routine: Routine
    code: Code
    make_plain: Callable[[], Callable[..., list[object]]]

    @functools.cached_property
    def plain(self) -> Callable[..., list[object]]:
        return self.make_plain()

    def __post_init__(self) -> None:
        given, answers = self.routine.given, self.routine.answers
        self._frames: list[_Frame] = []
        self._capacities = [FIRST_ROOM] * len(self.routine.rooms)
        self._arrays = tuple((i, g.place[1], g.shape) for i, g in enumerate(given) if g.shape is not None)
        self._scalars = tuple((i, *g.place) for i, g in enumerate(given) if g.shape is None)
        self._made = tuple((a.place[1], a.shape, DTYPES[a.dtype].numpy) for a in answers if a.shape is not None and a.buffer is None)
        self._read = tuple(a for a in answers if a.shape is None or a.buffer is not None)
        # Where the answers stand among the arrays made for them and the others.
        order = [i for i, a in enumerate(answers) if a not in self._read] + [i for i, a in enumerate(answers) if a in self._read]
        self._order = None if order == sorted(order) else [order.index(i) for i in range(len(answers))]

    def __call__(self, *operands: Any) -> Any:
        function = self.code.function or self.code.ready(0)
        if function is None:
            return self._slowly(operands)
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self.routine, self._capacities)
        words, arguments = frame.words, frame.arguments
        for index, word, shape in self._arrays:
            array = operands[index]
            if array.shape != shape:   # must never reach raw memory
                raise RuntimeError(f"a kernel for shape {shape} was called with {array.shape}")
            if not array.flags.carray and not (array.flags.c_contiguous and array.flags.aligned):
                operands = (*operands[:index], np.ascontiguousarray(array), *operands[index + 1:])
                array = operands[index]
            words[word] = address(array)
        for index, table, place in self._scalars:
            if table == "n":
                words[place] = int(operands[index])
            else:
                frame.floats_view[place] = float(operands[index])
        answers: list[Any] = []
        for word, shape, dtype in self._made:
            array = np.empty(shape, dtype)
            words[word] = address(array)
            answers.append(array)
        words[LIMIT] = control.STEP_BUDGET
        status = function(*arguments)
        if status:
            if status == FULL:
                self._grow(frame)
                return self(*operands)
            self._frames.append(frame)
            return self._otherwise(status, frame, operands)
        if self._read:
            answers += [_content(frame, answer) for answer in self._read]
            if self._order is not None:
                answers = [answers[i] for i in self._order]
        self._frames.append(frame)
        return answers[0] if len(answers) == 1 else answers

    def _grow(self, frame: _Frame) -> None:
        """More room for the list that was full. MemoryError beyond what one value may take."""
        for position, (_, capacity, dtype, shape) in enumerate(self.routine.rooms):
            wanted = frame.words[capacity]
            if wanted * math.prod(shape) * DTYPES[dtype].itemsize > memory_limit():
                raise MemoryError(f"a list of {wanted} items would take more memory than a call may use")
            self._capacities[position] = max(self._capacities[position], wanted)
        self._frames = []   # they have less room

    def _slowly(self, operands: Sequence[Any]) -> Any:
        begin = time.perf_counter_ns()
        results = self.plain(*operands)
        self.code.ready((time.perf_counter_ns() - begin) // NANOSECOND)
        return results[0] if len(results) == 1 else tuple(results)

    def _otherwise(self, status: int, frame: _Frame, operands: Sequence[Any]) -> Any:
        if status == STOPPED:
            raise frame.interruption.take()
        if status >= BUDGET:
            raise control.budget_error(self.routine.loops[status - BUDGET])
        assert status == ELSEWHERE
        results = self.plain(*operands)
        return results[0] if len(results) == 1 else tuple(results)


def _content(frame: _Frame, answer: Answer) -> Any:
    """An output that is no array of a known size."""
    table, place = answer.place
    value = frame.words[place] if table == "n" else frame.floats_view[place]
    if answer.buffer is None:
        return bool(value) if answer.dtype == "bool" else value
    items = frame.rooms[answer.buffer][:value].copy()
    if answer.stacked:
        return items
    return items.tolist() if answer.shape is None else [np.array(item) for item in items]


class Supports:
    """Which ops a routine takes: by their names and types; lists only from ops that are in it too."""

    def __init__(self) -> None:
        self._lists: set[Value] = set()

    def __call__(self, bound: BoundOp) -> bool:
        if bound.name == "check" or not _supported(bound.op):   # outside of regions effects keep their order
            return False
        lists = [v for v in bound.reads if isinstance(v.type, ListType)]
        if any(v not in self._lists for v in lists):
            return False
        if bound.name not in _VIEWS and not bound.op.regions and any(map(_is_large, bound.result_types)):
            return False
        if is_pointwise(bound) and not (is_static(bound.result_types[0]) and printable(bound)):
            return False
        self._lists.update(v for v in bound.results if isinstance(v.type, ListType))
        return True


def _is_large(kind: Type) -> bool:
    return isinstance(kind, TensorType) and is_static(kind) and math.prod(kind.shape or ()) > MOST_ELEMENTS  # type: ignore[arg-type]


def _supported(op: Op) -> bool:
    """True if a routine has a form for the op, and for everything in its regions."""
    from scriptc.ir.registry import REGISTRY
    from scriptc_runtime.plan.fusion import POINTWISE

    if op.regions:
        return all(_supported(inner) for region in op.regions for inner in region.ops)
    return (op.name in arithmetic.OPERATIONS or op.name in tensors.OPERATIONS or op.name in _WITHOUT_RESULT
            or REGISTRY[op.name].kind == "elementwise" or op.name in POINTWISE)


def pays(cluster: Cluster) -> bool:
    """A routine pays where Python would walk through branches and turns, or through layers that take less time than to call them."""
    if any(bound.op.regions for bound in cluster.ops):
        return True
    products = [bound for bound in cluster.ops if bound.name in ("linear", "matmul")]
    return len(products) > 1 and sum(map(_multiplications, products)) < FEW_MULTIPLICATIONS


def _multiplications(bound: BoundOp) -> int:
    """Of a product of few rows with a matrix; more than a routine is good for otherwise."""
    x, weight = bound.operand_types[:2]
    if not (isinstance(x, TensorType) and is_static(x) and isinstance(weight, TensorType) and is_static(weight)) or x.dtype.name != "float32":
        return FEW_MULTIPLICATIONS
    rows = math.prod((x.shape or ())[:-1])  # type: ignore[arg-type]
    return rows * math.prod(weight.shape or ()) if rows <= FEW_ROWS else FEW_MULTIPLICATIONS  # type: ignore[arg-type]


@lowers_routines("cpu", Supports, pays)
def lower_routine(cluster: Cluster, types: Mapping[Value, Type], constants: Mapping[Value, Any],
                  plain: Callable[[], Callable[..., list[object]]]) -> Kernel | None:
    """The kernel of a cluster with control flow; None where something in it has no native form."""
    try:
        routine = print_routine(cluster, types, constants)
    except (Unprintable, CallError):
        return None
    code = code_for(routine.source, ROUTINE)
    return None if code is None else Kernel("routine", _Run(routine, code, plain), fresh=True)
