"""Groups of elementwise ops that one loop computes, so that what stands between them never reaches memory.

A group runs where its last op stood. An op joins the group of an operand while nothing outside has read a value of that
group: then no cycle can arise, and no member is computed twice.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from scriptc.ir.graph import Literal, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType
from scriptc.records import Record, field
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.clusters import Cluster

MAX_OPS = 48  # beyond it a loop's registers spill and compilation time grows faster than the gain

# Element by element too, though their type rules are their own.
POINTWISE = frozenset(("where", "masked_fill", "cast", "batch_norm"))


class Group(Record):
    """Elementwise ops over one shape. `inputs` come from outside, `outputs` are read outside.

    `over`: outputs whose elements take the place of an input's (numbers of outputs to numbers of inputs).
    """

    ops: tuple[BoundOp, ...]
    shape: tuple[int, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    over: tuple[tuple[int, int], ...] = ()


Unit: TypeAlias = "BoundOp | Cluster | Group"
Accepts: TypeAlias = Callable[[BoundOp], bool]


class _Open(Record, frozen=False, eq=False):
    """A group that may still grow."""

    shape: tuple[int, ...]
    ops: list[BoundOp] = field(default_factory=list)
    closed: bool = False


def is_pointwise(bound: BoundOp) -> bool:
    """True for ops that compute each element from the elements at the same place."""
    return REGISTRY[bound.name].kind == "elementwise" or bound.name in POINTWISE


def has_sizes(bound: BoundOp) -> bool:
    """True if every tensor's sizes are known: a result's may be by broadcasting where an operand's are not."""
    return is_static(bound.result_types[0]) and all(is_static(kind) for kind in bound.operand_types if isinstance(kind, TensorType))


def fuse(ops: Sequence[BoundOp | Cluster], results: Sequence[Value], accepts: Accepts) -> list[Unit]:
    """`ops` in an executable order, those the engine `accepts` gathered in groups."""
    owner: dict[Value, _Open] = {}
    place: dict[BoundOp | Cluster | _Open, None] = {}  # in order, and cheap to remove from
    for bound in ops:
        if isinstance(bound, BoundOp) and is_pointwise(bound) and has_sizes(bound) and accepts(bound):
            group = _join(bound, owner, place)
            owner[bound.results[0]] = group
        else:
            place[bound] = None
            for value in bound.reads:
                if value in owner:
                    owner[value].closed = True
    read_outside = {v for item in place for v in _outside_reads(item, owner)} | set(results)
    return [item if isinstance(item, BoundOp | Cluster) else _finish(item, read_outside) for item in place]


def _join(bound: BoundOp, owner: dict[Value, _Open], place: dict[BoundOp | Cluster | _Open, None]) -> _Open:
    """Add an op to the open groups its operands come from, merged into one that now stands last."""
    kind = bound.result_types[0]
    assert isinstance(kind, TensorType)
    shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
    joined = _Open(shape)
    for value in bound.operands:
        group = owner.get(value)
        if group is None or group is joined:
            continue
        if group.closed or group.shape != shape or len(group.ops) + len(joined.ops) >= MAX_OPS:
            group.closed = True
            continue
        del place[group]
        joined.ops += group.ops
        for member in group.ops:
            owner[member.results[0]] = joined
    joined.ops.append(bound)
    place[joined] = None
    return joined


def _outside_reads(item: BoundOp | Cluster | _Open, owner: dict[Value, _Open]) -> set[Value]:
    """The values an item reads that are not its own."""
    if isinstance(item, BoundOp | Cluster):
        return set(item.reads)
    return {v for member in item.ops for v in member.operands if owner.get(v) is not item}


def _finish(group: _Open, read_outside: set[Value]) -> Group:
    own = {member.results[0] for member in group.ops}
    inputs = dict.fromkeys(v for member in group.ops for v in member.operands
                           if v not in own and not isinstance(v, Literal))
    return Group(tuple(group.ops), group.shape, tuple(inputs),
                 tuple(member.results[0] for member in group.ops if member.results[0] in read_outside))
