"""The whole way from a region to its plan: bind, drop what nobody reads, fuse, lower, lay out memory, number the slots."""
from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, Type
from scriptc.records import Record
from scriptc_runtime.plan.bind import Binding, BoundOp, bind
from scriptc_runtime.plan.chains import chains
from scriptc_runtime.plan.clusters import Cluster, counted, finish, gather
from scriptc_runtime.plan.control import branch_kernel, loop_kernel
from scriptc_runtime.plan.expansion import expand
from scriptc_runtime.plan.fusion import Group, Unit, fuse
from scriptc_runtime.plan.hoisting import hoist
from scriptc_runtime.plan.known import evaluate
from scriptc_runtime.plan.lowering import ACCEPTS, CHAINS, CLUSTERS, GROUP_LOWERINGS, LINKERS, MEMORIES, ROUTINES, load_engine, lower
from scriptc_runtime.plan.memory import Lifetime, plan_arena
from scriptc_runtime.plan.overwriting import overwriting
from scriptc_runtime.plan.plan import HOST, Buffer, Kernel, Plan, Step, debugging
from scriptc_runtime.plan.scatters import join_parts

NOTHING: Mapping[Any, Any] = MappingProxyType({})
FEW_OPS = 48   # of a program without control flow that may be so small as a whole that it should be one call


class _Lowered(Record):
    """A unit with its kernel and the values it reads and makes."""

    unit: Unit
    kernel: Kernel
    reads: tuple[Value, ...]
    makes: tuple[Value, ...]
    types: tuple[Type, ...]


def make_plan(region: Region, arguments: Sequence[Value], types: Mapping[Value, Type], constants: Mapping[Value, Any],
              *, name: str = "", target: str = "cpu", routines: bool = True, over: Mapping[int, int] = NOTHING,
              held: Collection[int] = ()) -> Plan:
    """The plan that computes `region.results` from `arguments` of these `types`.

    Without `routines` control flow is walked by Python, whatever the engine can do. `over`: results (by number) that should take an argument's
    place, which nobody reads after the call; `Plan.written` says which do. `held`: arguments that are the same arrays from call to call.
    CallError if the types do not fit the program, or an op has no implementation.
    """
    load_engine(target)
    binding = hoist(bind(region, types, constants))
    if target == "cpu":     # elsewhere constants would have to be moved there
        binding = join_parts(evaluate(expand(binding, target)))

    def nested(inner: Region, values: Sequence[Value], kinds: Mapping[Value, Type], known: Mapping[Value, Any]) -> Plan:
        return make_plan(inner, values, kinds, known, name=f"{name}/region", target=target, routines=routines)

    native: dict[Cluster, Kernel] = {}
    needed: Sequence[BoundOp | Cluster] = _needed(binding)
    if routines:
        needed = _routines(_needed(binding), binding, target, native)
    items = list(needed)
    if target in CLUSTERS:
        supports, worth, _ = CLUSTERS[target]
        items = gather(needed, binding.results, supports(), worth)
    if target in CHAINS:
        items = _chains(items, binding, target, native, nested)
    units = fuse(items, binding.results, ACCEPTS[target])
    lowered = {unit: _lowered_cluster(unit, native[unit], binding) if isinstance(unit, Cluster) and unit in native
               else _lower(unit, binding, nested, target) for unit in units if not isinstance(unit, Group)}
    overwritten: dict[Value, Value] = {}
    if over:
        units, overwritten = overwriting(units, lambda unit: lowered[unit].kernel.fresh or lowered[unit].kernel.writes_out, binding,
                                         [(binding.results[r], arguments[a]) for r, a in over.items()])
    plan = _number(name, [lowered[unit] if unit in lowered else _lower(unit, binding, nested, target) for unit in units], arguments, binding,
                   target, overwritten, {arguments[index] for index in held})
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


def _routines(ops: Sequence[BoundOp], binding: Binding, target: str, native: dict[Cluster, Kernel]) -> list[BoundOp | Cluster]:
    """`ops` with control flow in clusters for which the engine has one kernel, which is put in `native`."""
    if target not in ROUTINES or (len(ops) > FEW_OPS and not any(b.op.regions for b in ops)) or any(_prints(b.op) for b in ops):
        return list(ops)     # what is written between two effects stays between them
    supports, worth, lowering = ROUTINES[target]

    def walked(inner: Region, values: Sequence[Value], kinds: Mapping[Value, Type], known: Mapping[Value, Any]) -> Plan:
        return make_plan(inner, values, kinds, known, target=target, routines=False)

    def made(cluster: Cluster) -> bool:
        kernel = lowering(cluster, binding.types, binding.constants, lambda: _plain(cluster, binding, target, walked))
        if kernel is not None:
            native[cluster] = kernel
        return kernel is not None

    reads = counted(ops, binding.results)
    found: list[BoundOp | Cluster] = []
    for item in gather(ops, binding.results, supports(), worth, strictly=True):
        if isinstance(item, BoundOp) or made(item):
            found.append(item)
            continue
        for bound in item.ops:   # together they do not fit; the control flow alone may
            single = finish([bound], reads)
            found.append(single if bound.op.regions and len(item.ops) > 1 and made(single) else bound)
    return found


def _chains(items: Sequence[BoundOp | Cluster], binding: Binding, target: str, native: dict[Cluster, Kernel],
            nested: Any) -> list[BoundOp | Cluster]:
    """`items` with chains in clusters, whose kernels are put in `native`."""
    heads, continues, lowering = CHAINS[target]
    known = set(map(id, items))
    found = chains(items, binding.results, heads, continues)
    for item in found:
        if isinstance(item, Cluster) and id(item) not in known:
            native[item] = lowering(item, functools.partial(_plain, item, binding, target, nested))
    return found


def _prints(op: Op) -> bool:
    return op.name == "print" or any(_prints(inner) for region in op.regions for inner in region.ops)


def _lowered_cluster(cluster: Cluster, kernel: Kernel, binding: Binding) -> _Lowered:
    return _Lowered(cluster, kernel, cluster.inputs, cluster.outputs, tuple(binding.types[v] for v in cluster.outputs))


def _lower(unit: Unit, binding: Binding, nested: Any, target: str) -> _Lowered:
    if isinstance(unit, Cluster):
        return _lowered_cluster(unit, CLUSTERS[target][2](unit, lambda: _plain(unit, binding, target, nested)), binding)
    if isinstance(unit, Group):
        kernel = GROUP_LOWERINGS[target](unit)
        kinds = {member.results[0]: member.result_types[0] for member in unit.ops}
        return _Lowered(unit, kernel, unit.inputs, unit.outputs, tuple(kinds[v] for v in unit.outputs))
    if unit.op.regions:
        make = branch_kernel if unit.name == "if" else loop_kernel
        return _Lowered(unit, make(unit, binding.types, binding.constants, nested), unit.reads, unit.results, unit.result_types)
    return _Lowered(unit, lower(unit, target), unit.operands, unit.results, unit.result_types)


def _plain(cluster: Cluster, binding: Binding, target: str, nested: Any) -> Callable[..., list[Any]]:
    """The cluster op by op, in plain memory."""
    part = Binding(cluster.ops, binding.types, binding.constants, cluster.outputs)
    lowered = [_lower(unit, part, nested, target) for unit in fuse(cluster.ops, cluster.outputs, ACCEPTS[target])]
    plan = _number("cluster", lowered, cluster.inputs, part, target)
    return lambda *operands: plan.run(operands)


def _number(name: str, lowered: Sequence[_Lowered], arguments: Sequence[Value], binding: Binding, target: str,
            overwritten: Mapping[Value, Value] = NOTHING, held: Collection[Value] = ()) -> Plan:
    """Give every value a slot and every written result a buffer; `overwritten`: those that go to an argument's memory."""
    slots: dict[Value, int] = {}
    template: list[Any] = []

    def slot(value: Value) -> int:
        if value not in slots:
            slots[value] = len(template)
            template.append(value.data if isinstance(value, Literal) else binding.constants.get(value))
        return slots[value]

    argument_slots = tuple(slot(v) for v in arguments)
    last_read, escaping = _liveness(lowered, binding.results)
    buffers = _buffers(lowered, last_read, escaping, {value: slot(argument) for value, argument in overwritten.items()})
    arena_size = buffers.pop(None, 0)
    kept = set(map(slot, binding.results)) | {slot(v) for v in slots if isinstance(v, Literal) or v in binding.constants}
    final: dict[int, int] = {}
    for index, item in enumerate(lowered):
        for value in item.reads:
            final[slot(value)] = index
        for value in item.makes:
            final.setdefault(slot(value), index)
            if value in overwritten:
                final[slot(overwritten[value])] = index
    dead: dict[int, list[int]] = {}
    for number, index in final.items():
        if number not in kept and template[number] is None:
            dead.setdefault(index, []).append(number)
    steps = tuple(
        Step(item.kernel, tuple(map(slot, item.reads)), tuple(map(slot, item.makes)),
             tuple(buffers[v] for v in item.makes) if item.kernel.writes_out else (), tuple(dead.get(index, ())),
             item.unit.op if isinstance(item.unit, BoundOp) else item.unit.ops[-1].op,
             (item.unit,) if isinstance(item.unit, BoundOp) else tuple(item.unit.ops))
        for index, item in enumerate(lowered))
    kinds = tuple(v.type if isinstance(v, Literal) else binding.types[v] for v in binding.results)
    owned = {v for v in buffers if buffers[v].offset is None and v not in overwritten}
    owned |= {v for item in lowered if item.kernel.fresh and not item.kernel.writes_out for v in item.makes}
    values = sorted(slots, key=slots.__getitem__)
    return Plan(name, steps, template, argument_slots, tuple(map(slot, binding.results)), kinds, arena_size,
                all(v in owned for v in binding.results), tuple(v.type if isinstance(v, Literal) else binding.types.get(v) for v in values),
                frozenset(slots[v] for v in values if isinstance(v, Literal) or v in binding.constants), LINKERS.get(target),
                frozenset(i for i, v in enumerate(binding.results) if v in overwritten), frozenset(slots[v] for v in held if v in slots),
                MEMORIES.get(target, HOST))


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


def _buffers(lowered: Sequence[_Lowered], last_read: Mapping[Value, int], escaping: set[Value], taken: Mapping[Value, int]) -> dict[Any, Any]:
    """A Buffer per written value, in the slot of an argument for those `taken`; under None the size of the arena."""
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
    found: dict[Any, Any] = {value: Buffer(*shapes[value], placed.get(value), taken.get(value)) for value in shapes}
    found[None] = size
    return found
