"""Runs of steps as one CUDA graph: launched at once, a microsecond a kernel, where single launches cost ten times that.

A graph knows addresses. Those of a frame's arena are always the same, those of arguments and results are not: a graph is kept for each set of
addresses that came twice (blocks of the pool come back in turns, so that there are few), and steps are launched one by one for the others.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scriptc_runtime.cuda.engine import Engine, device
from scriptc_runtime.cuda.launches import Work
from scriptc_runtime.cuda.lowering import Emitted, Viewing
from scriptc_runtime.device import DeviceArray, placed
from scriptc_runtime.plan.plan import Item, MakeItem, Place, Plan, Step, annotate

FEWEST = 3          # launches that are worth a graph
MOST_GRAPHS = 12    # of one run of steps
MOST_SEEN = 64      # sets of addresses that are remembered


class Linker:
    """Makes items of runs of steps that only launch kernels or take views."""

    def is_waiting(self, plan: Plan) -> bool:
        return False

    def link(self, plan: Plan, item: MakeItem, places: Sequence[Sequence[Place]]) -> list[Item]:
        """The items of a frame."""
        items: list[Item] = []
        run: list[int] = []

        def end() -> None:
            if sum(isinstance(plan.steps[i].kernel.native, Emitted) for i in run) >= 2:
                items.append(Segment(plan, [plan.steps[i] for i in run], [places[i] for i in run], _outside(plan, run)))
            else:
                items.extend(item(i, plan.steps[i].dead) for i in run)
            run.clear()
        apart = _apart(plan)
        for index, step in enumerate(plan.steps):
            if isinstance(step.kernel.native, Emitted | Viewing) and index not in apart:
                run.append(index)
            else:
                end()
                items.append(item(index, step.dead))
        end()
        return items


def _outside(plan: Plan, run: Sequence[int]) -> frozenset[int]:
    """The slots that steps outside a run read, and the results."""
    inside = set(run)
    return frozenset(plan.results) | {i for index, step in enumerate(plan.steps) if index not in inside for i in step.inputs}


def _apart(plan: Plan) -> frozenset[int]:
    """Steps that may copy what a user of the plan gets to see: in a graph the copy would be the same memory in every call."""
    made = {slot: index for index, step in enumerate(plan.steps) for slot in step.outputs if isinstance(step.kernel.native, Viewing)}
    found: set[int] = set()
    pending = list(plan.results)
    for step in plan.steps:
        if not isinstance(step.kernel.native, Emitted | Viewing):
            pending += step.inputs
    seen: set[int] = set()
    while pending:
        slot = pending.pop()
        if slot in seen or slot not in made:
            continue
        seen.add(slot)
        step = plan.steps[made[slot]]
        if step.kernel.native.in_order:
            found.add(made[slot])
        pending.append(step.inputs[0])
    return frozenset(found)


@dataclass(slots=True)
class _Graph:
    """A captured run: `held` are the arrays it works in besides those of the call."""

    graph: Any
    held: list[Any]
    checked: bool
    launches: int


class Segment:
    """A run of steps on the slots of a call."""

    def __init__(self, plan: Plan, steps: Sequence[Step], places: Sequence[Sequence[Place]], outside: frozenset[int]) -> None:
        self._steps = steps
        self._places = places
        made = {slot for step in steps for slot in step.outputs}
        self._inputs = tuple(dict.fromkeys(i for step in steps for i in step.inputs if i not in made and plan.template[i] is None))
        self._own = tuple((slot, buffer.shape, buffer.dtype) for step, where in zip(steps, places, strict=True)
                          for slot, place, buffer in zip(step.outputs, where, step.buffers, strict=False) if place is None)
        self._arena = tuple((slot, place) for step, where in zip(steps, places, strict=True)
                            for slot, place in zip(step.outputs, where, strict=False) if isinstance(place, DeviceArray))
        self._over = tuple((slot, place) for step, where in zip(steps, places, strict=True)
                           for slot, place in zip(step.outputs, where, strict=False) if type(place) is int)
        self._views = _needed_views(steps, outside)
        dead = {slot for step in steps for slot in step.dead}
        self._dead = tuple(dead)
        self._graphs: OrderedDict[Any, _Graph] = OrderedDict()
        self._seen: OrderedDict[Any, None] = OrderedDict()
        self._engine: Engine = device()

    def __call__(self, slots: list[Any]) -> None:
        engine = self._engine
        for index in self._inputs:
            if type(slots[index]) is not DeviceArray:
                slots[index] = placed(slots[index], engine)
        for slot, shape, dtype in self._own:
            slots[slot] = engine.empty(shape, dtype)
        for slot, array in self._arena:
            slots[slot] = array
        for slot, argument in self._over:
            slots[slot] = slots[argument]
        key = (tuple([_identity(slots[i]) for i in self._inputs]), tuple([slots[s].block.address for s, _, _ in self._own]))
        with engine.lock:
            engine.driver.enter()
            graph = self._graphs.get(key)
            if graph is not None:
                self._graphs.move_to_end(key)
                engine.launch_graph(graph.graph, graph.checked)
                for step in self._views:
                    slots[step.outputs[0]] = step.kernel.native(*[slots[i] for i in step.inputs])
            else:
                work = self._collect(slots)
                if key in self._seen and len(work.launches) >= FEWEST:
                    self._keep(key, work)
                else:
                    engine.launch(work)
                    self._seen[key] = None
                    if len(self._seen) > MOST_SEEN:
                        self._seen.popitem(last=False)
        for slot in self._dead:
            slots[slot] = None

    def _collect(self, slots: list[Any]) -> Work:
        """The launches of every step."""
        work = Work(self._engine)
        for step in self._steps:
            native: Any = step.kernel.native
            try:
                if isinstance(native, Viewing):
                    slots[step.outputs[0]] = native.put(work, [slots[i] for i in step.inputs])
                else:
                    native.put(work, [slots[i] for i in step.inputs], [slots[i] for i in step.outputs])
            except Exception as error:
                annotate(error, step.op)
                raise
        return work

    def _keep(self, key: Any, work: Work) -> None:
        """Capture the work and launch it."""
        engine = self._engine
        engine.prepare(work)
        graph = _Graph(engine.capture(work), work.kept, work.checked, len(work.launches))
        self._graphs[key] = graph
        if len(self._graphs) > MOST_GRAPHS:
            engine.forget(self._graphs.popitem(last=False)[1].graph)
        engine.launch_graph(graph.graph, graph.checked)

    def __del__(self) -> None:
        for graph in getattr(self, "_graphs", {}).values():
            self._engine.forget(graph.graph)


def _needed_views(steps: Sequence[Step], outside: frozenset[int]) -> tuple[Step, ...]:
    """The steps that make views which are read outside the run, and those that these read."""
    wanted = set(outside)
    found = []
    for step in reversed(steps):
        if isinstance(step.kernel.native, Viewing) and step.outputs[0] in wanted:
            found.append(step)
            wanted.update(step.inputs)
    return tuple(reversed(found))


def _identity(value: Any) -> object:
    """What a graph depends on in an operand."""
    if type(value) is DeviceArray:
        return value._key or value.key
    if isinstance(value, list | tuple):
        return tuple(map(_identity, value))
    return type(value), value


LINKER = Linker()
