"""The whole way from a region to its plan: bind, drop what nobody reads, fuse, lower, lay out memory, number the slots."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, Type
from scriptc_runtime.plan.bind import Binding, BoundOp, bind
from scriptc_runtime.plan.clusters import Cluster, gather
from scriptc_runtime.plan.control import branch_kernel, loop_kernel
from scriptc_runtime.plan.fusion import Group, Unit, fuse
from scriptc_runtime.plan.lowering import ACCEPTS, CLUSTERS, GROUP_LOWERINGS, load_engine, lower
from scriptc_runtime.plan.memory import Lifetime, plan_arena
from scriptc_runtime.plan.plan import Buffer, Kernel, Plan, Step, debugging


@dataclass(frozen=True, slots=True)
class _Lowered:
    """A unit with its kernel and the values it reads and makes."""

    unit: Unit
    kernel: Kernel
    reads: tuple[Value, ...]
    makes: tuple[Value, ...]
    types: tuple[Type, ...]


def make_plan(region: Region, arguments: Sequence[Value], types: Mapping[Value, Type], constants: Mapping[Value, Any],
              *, name: str = "", target: str = "cpu") -> Plan:
    """The plan that computes `region.results` from `arguments` of these `types`.

    CallError if the types do not fit the program, or an op has no implementation.
    """
    load_engine(target)
    binding = bind(region, types, constants)
    supports, worth, _ = CLUSTERS[target]
    needed = gather(_needed(binding), binding.results, supports(), worth)
    units = fuse(needed, binding.results, ACCEPTS[target])

    def nested(inner: Region, values: Sequence[Value], kinds: Mapping[Value, Type], known: Mapping[Value, Any]) -> Plan:
        return make_plan(inner, values, kinds, known, name=f"{name}/region", target=target)

    lowered = [_lower(unit, binding, nested, target) for unit in units]
    plan = _number(name, lowered, arguments, binding)
    if debugging("plan"):
        print(plan, file=sys.stderr)
    return plan


def _needed(binding: Binding) -> list[BoundOp]:
    """The ops whose results somebody reads, or that have effects."""
    live: set[Value] = set(binding.results)
    kept: list[BoundOp] = []
    for bound in reversed(binding.ops):
        if bound.op.regions or REGISTRY[bound.name].effects or any(r in live for r in bound.results):
            kept.append(bound)
            live.update(bound.reads)
    return kept[::-1]


def _lower(unit: Unit, binding: Binding, nested: Any, target: str) -> _Lowered:
    if isinstance(unit, Cluster):
        kernel = CLUSTERS[target][2](unit, lambda: _plain(unit, binding, target))
        return _Lowered(unit, kernel, unit.inputs, unit.outputs, tuple(binding.types[v] for v in unit.outputs))
    if isinstance(unit, Group):
        kernel = GROUP_LOWERINGS[target](unit)
        kinds = {member.results[0]: member.result_types[0] for member in unit.ops}
        return _Lowered(unit, kernel, unit.inputs, unit.outputs, tuple(kinds[v] for v in unit.outputs))
    if unit.op.regions:
        names = [name for name, _ in unit.captured]
        make = branch_kernel if unit.name == "if" else loop_kernel
        return _Lowered(unit, make(unit, names, binding.constants, nested), unit.reads, unit.results,
                        unit.result_types)
    return _Lowered(unit, lower(unit, target), unit.operands, unit.results, unit.result_types)


def _plain(cluster: Cluster, binding: Binding, target: str) -> Callable[..., list[Any]]:
    """The cluster op by op, in plain memory."""
    part = Binding(cluster.ops, binding.types, binding.constants, cluster.outputs)
    lowered = [_lower(unit, part, None, target) for unit in fuse(cluster.ops, cluster.outputs, ACCEPTS[target])]
    plan = _number("cluster", lowered, cluster.inputs, part)
    return lambda *operands: plan.run(operands)


def _number(name: str, lowered: Sequence[_Lowered], arguments: Sequence[Value], binding: Binding) -> Plan:
    """Give every value a slot and every written result a buffer."""
    slots: dict[Value, int] = {}
    template: list[Any] = []

    def slot(value: Value) -> int:
        if value not in slots:
            slots[value] = len(template)
            template.append(value.data if isinstance(value, Literal) else binding.constants.get(value))
        return slots[value]

    argument_slots = tuple(slot(v) for v in arguments)
    last_read, escaping = _liveness(lowered, binding.results)
    buffers = _buffers(lowered, last_read, escaping)
    arena_size = buffers.pop(None, 0)
    kept = set(map(slot, binding.results)) | {slot(v) for v in slots if isinstance(v, Literal) or v in binding.constants}
    final: dict[int, int] = {}
    for index, item in enumerate(lowered):
        for value in item.reads:
            final[slot(value)] = index
        for value in item.makes:
            final.setdefault(slot(value), index)
    dead: dict[int, list[int]] = {}
    for number, index in final.items():
        if number not in kept and template[number] is None:
            dead.setdefault(index, []).append(number)
    steps = tuple(
        Step(item.kernel, tuple(map(slot, item.reads)), tuple(map(slot, item.makes)),
             tuple(buffers[v] for v in item.makes) if item.kernel.writes_out else (), tuple(dead.get(index, ())),
             item.unit.op if isinstance(item.unit, BoundOp) else item.unit.ops[-1].op)
        for index, item in enumerate(lowered))
    kinds = tuple(v.type if isinstance(v, Literal) else binding.types[v] for v in binding.results)
    owned = {v for v in buffers if buffers[v].offset is None} | {v for item in lowered if item.kernel.fresh and not item.kernel.writes_out
                                                                  for v in item.makes}
    return Plan(name, steps, template, argument_slots, tuple(map(slot, binding.results)), kinds, arena_size,
                all(v in owned for v in binding.results))


def _liveness(lowered: Sequence[_Lowered], results: Iterable[Value]) -> tuple[dict[Value, int], set[Value]]:
    """For each buffer the last step that may read it, through views too; and those that leave the plan."""
    storage: dict[Value, frozenset[Value]] = {}
    last: dict[Value, int] = {}
    nothing: frozenset[Value] = frozenset()
    for index, item in enumerate(lowered):
        behind = nothing.union(*(storage.get(v, nothing) for v in item.reads))
        for root in behind:
            last[root] = index
        for value in item.makes:
            if item.kernel.writes_out:
                storage[value] = frozenset((value,))
                last[value] = index
            else:
                storage[value] = nothing if item.kernel.fresh else behind
    return last, set(nothing.union(*(storage.get(v, nothing) for v in results)))


def _buffers(lowered: Sequence[_Lowered], last_read: Mapping[Value, int], escaping: set[Value]) -> dict[Any, Any]:
    """A Buffer per written value; under None the size of the arena."""
    values: list[Value] = []
    lifetimes: list[Lifetime] = []
    shapes: dict[Value, tuple[tuple[int, ...], np.dtype]] = {}
    for index, item in enumerate(lowered):
        if not item.kernel.writes_out:
            continue
        for value, kind in zip(item.makes, item.types, strict=True):
            assert isinstance(kind, TensorType) and kind.shape is not None
            shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
            shapes[value] = shape, kind.dtype.numpy
            if value not in escaping:
                values.append(value)
                size = int(np.prod(shape, dtype=np.int64)) * kind.dtype.itemsize
                lifetimes.append(Lifetime(size, index, last_read[value]))
    offsets, size = plan_arena(lifetimes)
    placed = dict(zip(values, offsets, strict=True))
    found: dict[Any, Any] = {value: Buffer(*shapes[value], placed.get(value)) for value in shapes}
    found[None] = size
    return found
