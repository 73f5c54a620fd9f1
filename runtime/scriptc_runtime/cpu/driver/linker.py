"""The items that a frame runs: neighbouring steps with native commands in segments, all others as they are."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc.records import Record
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import In, Native, Out, Packed
from scriptc_runtime.cpu.driver.segment import Draft, Edge, Packing, Segment, Spot
from scriptc_runtime.cpu.driver.views import VIEWS, View, lies_in, view_of
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import At, Command, Working
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import links
from scriptc_runtime.plan.plan import Item, MakeItem, Place, Plan, Step, aligned_bytes
from scriptc_runtime.plan.policy import NEVER, WAITING

PER_ELEMENT = 32      # multiplications of a product in the time that numpy takes for an operation on an element


class Known(Record):
    """What is known of a slot's array: its layout, by an array that lies like it, and where its memory is.

    `root`: the slot of the array whose memory it is, if that comes with the call; the array itself then only stands for it. `views` lead
    from there to here.
    """

    array: np.ndarray
    root: int | None = None
    stand_in: np.ndarray | None = None
    views: tuple[View, ...] = ()

    @property
    def offset(self) -> int:
        return address(self.array) - (0 if self.stand_in is None else address(self.stand_in))


class _Linker:
    def __init__(self, plan: Plan, item: MakeItem, results: Sequence[Sequence[Place]]) -> None:
        self.plan, self.item, self.results = plan, item, results
        self.known: dict[int, Known] = {}
        self.made: list[tuple[int, int, Draft | None]] = []
        self.draft = Draft()
        self.first = 0                    # the first step of the draft
        self.inside: set[int] = set()     # slots that steps of the draft fill
        self.threads = team.get_num_threads()
        self.last_use: dict[int, int] = {}      # of slots, by views of them too
        self.escaping = _escaping(plan)
        for slot, content in enumerate(plan.template):
            if isinstance(content, np.ndarray) and content.flags.aligned:
                self.known[slot] = Known(content)

    def items(self) -> list[Item]:
        for index, step in enumerate(self.plan.steps):
            if self.draft.faults and any(type(place) is int for place in self.results[index]):
                self._close(index)      # what a kernel finds wrong is raised before anything of the caller's is overwritten
            if self._looks(index, step) or self._joins(index, step):
                self.inside.update(step.outputs)
                continue
            self._close(index)
            self.made.append((index, index + 1, None))
            self.first = index + 1
            for slot, place in zip(step.outputs, self.results[index], strict=False):
                if isinstance(place, np.ndarray):
                    self.known[slot] = Known(place)
        self._close(len(self.plan.steps))
        return self._finished()

    def _uses(self, index: int, slot: int) -> None:
        self.last_use[slot] = index

    def _array(self, slot: int) -> Known | None:
        """What is known of a slot; one that comes with the call is known by its type."""
        found = self.known.get(slot)
        if found is None:
            kind = self.plan.kinds[slot]
            if not isinstance(kind, TensorType) or not is_static(kind) or slot in self.plan.constants:
                return None
            shape: Any = kind.shape
            stand_in: np.ndarray = np.empty(shape, kind.dtype.numpy)
            found = self.known[slot] = Known(stand_in, slot, stand_in)
        return found

    def _content(self, slot: int) -> Any:
        """The operand in a slot, as far as it is known: a constant, or what is known of an array. NotImplemented for anything else."""
        if slot in self.plan.constants and not isinstance(self.plan.template[slot], np.ndarray):
            return self.plan.template[slot]
        return self._array(slot) or NotImplemented

    def _looks(self, index: int, step: Step) -> bool:
        """Follow a step that is a view of its operand."""
        if step.op is None or step.op.name not in VIEWS or step.buffers:
            return False
        contents = [self._content(slot) for slot in step.inputs]
        if NotImplemented in contents or not isinstance(contents[0], Known):
            return False
        source = contents[0]
        see = view_of(step.op, [c.array if isinstance(c, Known) else c for c in contents])
        try:
            array = see(source.array)
        except Exception:   # the step itself tells what is wrong
            return False
        slot = step.outputs[0]
        if lies_in(array, source.array):
            self.known[slot] = Known(array, source.root, source.stand_in, (*source.views, see))
            self.draft.seen.append((slot, step.inputs[0], see))
            return True
        if array.size != source.array.size:
            return False
        if slot in self.escaping:
            return self._leaves(index, slot, source, array.shape)
        made = self._gathered(index, source, array.shape)
        if made is None:
            return False
        self.known[slot] = Known(made)
        return True

    def _leaves(self, index: int, slot: int, source: Known, shape: tuple[int, ...]) -> bool:
        """Copy an array's elements to one of their own that outlives the call."""
        target: np.ndarray = np.empty(source.array.shape, source.array.dtype)
        command = copy(source.array, target, At(In(0)), At(Out(0)))
        if command is None:
            return False
        place = self._place(index, source)
        edge = self.draft.leaving.setdefault(slot, Edge(slot, shape, target.dtype))
        self._add(command, {In(0): place, Out(0): Spot(0, edge.words)})
        stand_in = target.reshape(shape)
        self.known[slot] = Known(stand_in, slot, stand_in)
        return True

    def _gathered(self, index: int, source: Known, shape: tuple[int, ...]) -> np.ndarray | None:
        """Memory in which the elements of an array are neighbours, and the command that fills it."""
        target = _memory(source.array.shape, source.array.dtype)
        command = copy(source.array, target, At(In(0)), target)
        if command is None:
            return None
        self._add(command, {In(0): self._place(index, source)})
        return target.reshape(shape)

    def _joins(self, index: int, step: Step) -> bool:
        """Add a step's commands to the draft."""
        native: Native | None = step.kernel.native
        if native is None or native.state() == NEVER:
            return False
        contents = [self._content(slot) for slot in step.inputs]
        if NotImplemented in contents:
            return False
        sources = []
        for i in native.packs:
            source = self._packable(index, step.inputs[i], contents[i])
            if source is None:
                return False
            sources.append(source)
        before = len(self.draft.commands)
        places: dict[object, Spot] = {}
        operands: list[Any] = []
        for i, content in enumerate(contents):
            if not isinstance(content, Known) or i in native.packs:     # of a packed operand only the shape counts here
                operands.append(content.array if isinstance(content, Known) else content)
                continue
            if not native.takes(i, content.array):
                gathered = self._gathered(index, content, content.array.shape)
                if gathered is None:
                    return self._without(before)
                content = Known(gathered)
            operands.append(content.array)
            places[In(i)] = self._place(index, content)
        order = native.order(operands)
        results = []
        for buffer, place in zip(step.buffers, self.results[index], strict=True):
            made = place if isinstance(place, np.ndarray) else np.empty(buffer.shape, buffer.dtype)
            results.append(ordered(made, order) if order is not None and isinstance(place, np.ndarray) else made)
        commands = native.commands(operands, results, self.threads)
        if commands is None:
            return self._without(before)
        for i, (slot, buffer, place) in enumerate(zip(step.outputs, step.buffers, self.results[index], strict=True)):
            if place is None:
                edge = self.draft.leaving.setdefault(slot, Edge(slot, buffer.shape, buffer.dtype))
                places[Out(i)] = Spot(0, edge.words)
                self.known[slot] = Known(results[i], slot, results[i])
            elif isinstance(place, np.ndarray):
                places[Out(i)] = Spot(address(place))
                self.known[slot] = Known(results[i])
            else:
                places[Out(i)] = self._overwrites(index, slot, place, results[i])
        if native.packs:
            packing = Packing(native, sources)
            self.draft.packing.append(packing)
            for command in commands:
                for word in command.words:
                    if isinstance(word, At) and isinstance(word.value, Packed):
                        places[word.value] = Spot(0, packing.words.setdefault(word.value.index, []))
        for command in commands:
            self._add(command, places)
            if command.fault is not None:
                self.draft.faults.append((command.fault, step.op))
        self.draft.work += native.work
        return True

    def _overwrites(self, index: int, slot: int, argument: int, like: np.ndarray) -> Spot:
        """Where a result goes that takes an argument's place, which is its slot's content from now on."""
        known = self.known.setdefault(argument, Known(like, argument, like))
        place = self._place(index, known)
        self.draft.entering[argument].written = True
        self.known[slot] = known
        self.draft.seen.append((slot, argument, _same))
        self.inside.add(argument)       # whoever packs it must wait for the result
        return place

    def _without(self, first: int) -> bool:
        """Take back the commands from `first` on, of a step that does not join after all."""
        del self.draft.commands[first:], self.draft.places[first:]
        return False

    def _packable(self, index: int, slot: int, content: Any) -> tuple[int | np.ndarray | None, tuple[View, ...]] | None:
        """Where an operand comes from that must be there before the commands run. None if the commands make it."""
        if content is None or (isinstance(content, Known) and content.root is None and slot in self.plan.constants):
            return (None if content is None else content.array), ()
        if not isinstance(content, Known) or content.root is None or content.root in self.inside:
            return None
        self._uses(index, content.root)
        return content.root, content.views

    def _place(self, index: int, known: Known) -> Spot:
        if known.root is None:
            self.draft.alive.append(known.array)
            return Spot(address(known.array))
        self._uses(index, known.root)
        if known.root in self.draft.leaving:
            return Spot(known.offset, self.draft.leaving[known.root].words)
        assert known.stand_in is not None
        edge = self.draft.entering.setdefault(
            known.root, Edge(known.root, known.stand_in.shape, known.stand_in.dtype, known.root in self.plan.held))
        return Spot(known.offset, edge.words)

    def _add(self, command: Command, places: dict[object, Spot]) -> None:
        self.draft.commands.append(command)
        self.draft.places.append(places)

    def _close(self, end: int) -> None:
        """End the draft: its segment stands for the steps up to `end`, unless they are only views."""
        if self.draft.commands:
            self.made.append((self.first, end, self.draft))
        else:
            self.made += [(index, index + 1, None) for index in range(self.first, end)]
        self.draft, self.first, self.inside = Draft(), end, set()

    def _finished(self) -> list[Item]:
        """The items, now that it is known until when each slot is needed."""
        steps = self.plan.steps
        for index, step in enumerate(steps):
            for slot in step.inputs:
                self.last_use[slot] = max(self.last_use.get(slot, 0), index)
        for slot in self.plan.results:
            self.last_use[slot] = len(steps)
        ends = {slot: max(index, self.last_use.get(slot, 0)) for index, step in enumerate(steps) for slot in step.dead}
        items: list[Item] = []
        for first, end, draft in self.made:
            dead = tuple(slot for slot, index in ends.items() if first <= index < end)
            items.append(self.item(first, dead) if draft is None else self._segment(first, end, draft, dead))
        return items

    def _segment(self, first: int, end: int, draft: Draft, dead: tuple[int, ...]) -> Segment:
        working = aligned_bytes(max(command.working for command in draft.commands))
        draft.alive.append(working)
        table: list[int] = []
        starts: list[tuple[int, int]] = []
        for command, places in zip(draft.commands, draft.places, strict=True):
            starts.append((library.place(command.kernel), len(table)))
            for word in command.words:
                if isinstance(word, At):
                    place = Spot(address(working)) if isinstance(word.value, Working) else places[word.value]
                    if place.edge is not None:
                        place.edge.append((len(table), place.offset + word.offset))
                    table.append(place.offset + word.offset if place.edge is None else 0)
                else:
                    table.append(address(word) if isinstance(word, np.ndarray) else int(word or 0))
        words = np.array(table, np.int64)
        base = address(words)
        calls = np.array([(number, base + 8 * start) for number, start in starts], np.int64)
        outside = {slot for index in range(first, end) for slot in self.plan.steps[index].outputs if self.last_use.get(slot, -1) >= end}
        seen: list[tuple[int, int, View]] = []
        for slot, source, see in reversed(draft.seen):
            if slot in outside and self.known[slot].root is not None:
                seen.append((slot, source, see))
                outside.add(source)
        kept = [(slot, self.known[slot].array) for index in range(first, end) for slot in self.plan.steps[index].outputs
                if slot in outside and self.known[slot].root is None]
        threads = self.threads if draft.work >= team.LITTLE else 1
        return Segment(words, calls, draft, threads, kept, seen[::-1], dead)


def ordered(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The same memory as an array whose dimensions follow each other there in `order`."""
    back = sorted(range(len(order)), key=order.__getitem__)
    return array.reshape([array.shape[dim] for dim in order]).transpose(back)


def _escaping(plan: Plan) -> set[int]:
    """Slots whose memory may be that of a result."""
    found = set(plan.results)
    for step in reversed(plan.steps):
        if not step.kernel.writes_out and not step.kernel.fresh and not found.isdisjoint(step.outputs):
            found.update(step.inputs)
    return found


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _memory(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return aligned_bytes(size).view(dtype).reshape(shape)


class Driver:
    """The engine's linker."""

    def is_waiting(self, plan: Plan) -> bool:
        """True while a kernel of the plan is being compiled, or not worth it yet.

        The smallest loop holds up all the others: it is worth compiling when the plan as a whole has done enough.
        """
        natives: list[Native] = [step.kernel.native for step in plan.steps if step.kernel.native is not None]
        work = sum(native.work for native in natives) // PER_ELEMENT
        return WAITING in [native.state(work) for native in natives]      # all of them: each asks for its own code

    def link(self, plan: Plan, item: MakeItem, places: Sequence[Sequence[Place]]) -> list[Item]:
        """Neighbouring steps with native commands in segments, all others as they are."""
        return _Linker(plan, item, places).items()


links("cpu", Driver())
