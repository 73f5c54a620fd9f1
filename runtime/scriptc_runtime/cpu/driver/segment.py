"""Neighbouring steps of one frame as one native call: their tables are filled once, each call puts in what is new to it."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.ir.graph import Op
from scriptc.records import Record, field
from scriptc_runtime import versions
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import Native
from scriptc_runtime.cpu.driver.views import View
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import Command, Fault
from scriptc_runtime.plan.plan import annotate


class Edge(Record, frozen=False):
    """An array that is another one in each call, in `slot`: what it must be, and the words that its address and an offset go to.

    `held`: it is the same array in most calls, and may be kept alive. `written`: commands overwrite it.
    """

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype
    held: bool = False
    written: bool = False
    words: list[tuple[int, int]] = field(default_factory=list)


class Packing(Record, frozen=False):
    """Arrays made of operands: for each of these its slot (or the array itself) and the views that lead to it."""

    native: Native
    sources: list[tuple[int | np.ndarray | None, tuple[View, ...]]]
    words: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    packed: tuple[np.ndarray, ...] = ()


class Spot(Record):
    """Bytes from the beginning of a value: of memory at a known address (`edge` None), or of an array that comes with the call."""

    offset: int
    edge: list[tuple[int, int]] | None = None


class Draft(Record, frozen=False):
    """A segment while steps are being added to it."""

    commands: list[Command] = field(default_factory=list)
    places: list[dict[object, Spot]] = field(default_factory=list)     # per command: where what its words name lies
    entering: dict[int, Edge] = field(default_factory=dict)
    leaving: dict[int, Edge] = field(default_factory=dict)
    packing: list[Packing] = field(default_factory=list)
    seen: list[tuple[int, int, View]] = field(default_factory=list)     # slots that are views of other slots
    alive: list[object] = field(default_factory=list)                   # memory that words point to
    faults: list[tuple[Fault, Op | None]] = field(default_factory=list)
    work: int = 0


class Segment:
    """Commands with their words. Called with the slots of a running call, which it reads and fills."""

    def __init__(self, words: np.ndarray, calls: np.ndarray, draft: Draft, threads: int, kept: Sequence[tuple[int, np.ndarray]],
                 seen: Sequence[tuple[int, int, View]], dead: Sequence[int]) -> None:
        self._words = memoryview(words)  # type: ignore[arg-type]
        self._calls = address(calls)
        self._count = calls.size // 2
        self._entry = library.entry()
        self._entering = [(e.slot, e.shape, e.dtype, e.held, e.written, tuple(e.words)) for e in draft.entering.values()]
        self._last: list[np.ndarray | None] = [None] * len(self._entering)
        self._leaving = [(e.slot, e.shape, e.dtype, tuple(e.words)) for e in draft.leaving.values()]
        self._packing = draft.packing
        slots = [s for p in draft.packing for s, _ in p.sources if isinstance(s, int)]
        self._packed_slots = tuple(dict.fromkeys(slots))
        self._packed_last: list[Any] | None = None
        self._threads = threads
        self._work = draft.work
        self._kept = tuple(kept)
        self._seen = tuple(seen)
        self._dead = tuple(dead)
        self._faults = tuple((memoryview(fault.words), fault.error, op) for fault, op in draft.faults)  # type: ignore[arg-type]
        self._alive = words, calls, draft

    def __call__(self, slots: list[Any]) -> None:
        words, last = self._words, self._last
        held: list[np.ndarray] = []
        for index, (slot, shape, dtype, stays, written, places) in enumerate(self._entering):
            array = slots[slot]
            if array is last[index]:
                continue
            kept = self._checked(array, shape, dtype, written)
            start = address(kept)
            for place, offset in places:
                words[place] = start + offset
            held.append(kept)
            # Only what nobody can write is known again, or what stays anyway: it is no input that would be kept alive.
            last[index] = kept if kept is array and (stays or not kept.flags.writeable) else None
        if self._packing:
            self._pack(slots)
        for slot, shape, dtype, places in self._leaving:
            made = np.empty(shape, dtype)
            start = address(made)
            for place, offset in places:
                words[place] = start + offset
            slots[slot] = made
        if self._threads > 1:
            team.run_at(self._entry, self._calls, self._count, min(self._threads, team.get_num_threads()), self._work)
        else:
            self._entry(self._calls, self._count, 0, 1, 0)
        self._look()
        self._hand_over(slots)

    def steady(self, fixed: frozenset[int]) -> Callable[[list[Any]], None]:
        """The segment for calls that find the arrays of its last run in the slots of `fixed`: what nobody can write is not looked at again."""
        if self._packing and (self._packed_last is None or not fixed.issuperset(self._packed_slots)):
            return self
        moving = tuple(edge for edge, last in zip(self._entering, self._last, strict=True) if last is None or edge[0] not in fixed)
        words, leaving, follows = self._words, self._leaving, bool(self._kept or self._seen or self._dead or self._faults)
        entry, calls, count, work = self._entry, self._calls, self._count, self._work

        def run(slots: list[Any]) -> None:
            held: Any = None
            for slot, shape, dtype, _, written, places in moving:
                array = slots[slot]
                if array.shape != shape or array.dtype is not dtype or not array.flags.carray:
                    array = self._checked(array, shape, dtype, written)
                    held = held, array
                start = address(array)
                for place, offset in places:
                    words[place] = start + offset
            for slot, shape, dtype, places in leaving:
                made = np.empty(shape, dtype)
                start = address(made)
                for place, offset in places:
                    words[place] = start + offset
                slots[slot] = made
            if self._threads > 1:
                team.run_at(entry, calls, count, min(self._threads, team.get_num_threads()), work)
            else:
                entry(calls, count, 0, 1, 0)
            if follows:
                self._look()
                self._hand_over(slots)
        return run

    def _look(self) -> None:
        """Raise what a kernel found wrong."""
        for words, error, op in self._faults:
            if words[0]:
                words[0] = 0
                raised = error(words[1])
                annotate(raised, op)
                raise raised

    def _hand_over(self, slots: list[Any]) -> None:
        """Fill the slots that lie in known memory or are views, empty those that nobody reads any more."""
        for slot, array in self._kept:
            slots[slot] = array
        for slot, source, see in self._seen:
            slots[slot] = see(slots[source])
        for slot in self._dead:
            slots[slot] = None

    @staticmethod
    def _checked(array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, written: bool) -> np.ndarray:
        if array.shape != shape or array.dtype != dtype:   # must never reach raw memory
            raise RuntimeError(f"a kernel for {dtype}{list(shape)} was called with {array.dtype}{list(array.shape)}")
        flags = array.flags
        fits = flags.c_contiguous and flags.aligned
        if written and not (fits and flags.writeable):
            raise RuntimeError("an array that a kernel overwrites must be contiguous and writable")
        return array if fits else np.ascontiguousarray(array)

    def _pack(self, slots: list[Any]) -> None:
        arrays = [slots[s] for s in self._packed_slots]
        known = self._packed_last
        if known is not None and all(a is b for a, b in zip(arrays, known, strict=True)):
            return
        for packing in self._packing:
            operands = []
            for source, views in packing.sources:
                array: Any = slots[source] if isinstance(source, int) else source
                for view in views:
                    array = view(array)
                operands.append(array)
            packed = packing.native.pack(operands)
            for index, places in packing.words.items():
                if not packing.packed or packed[index] is not packing.packed[index]:
                    start = address(packed[index])
                    for place, offset in places:
                        self._words[place] = start + offset
            packing.packed = packed
        self._packed_last = arrays if all(map(versions.is_frozen, arrays)) else None
