"""Clusters of ops that an engine computes as one step, in a memory layout of its own between them.

A cluster is convex: no value leaves it and comes back, so it can run where its last op stood.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from scriptc.ir.graph import Literal, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import Type
from scriptc.records import Record
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.plan import Kernel


class Cluster(Record, eq=False):
    """Ops in order. `inputs` come from outside, `outputs` are read outside."""

    ops: tuple[BoundOp, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def reads(self) -> tuple[Value, ...]:
        return self.inputs

    @property
    def results(self) -> tuple[Value, ...]:
        return self.outputs


class Supports(Protocol):
    """Says of each op in order whether it can be in a cluster; it may remember what it said before."""

    def __call__(self, bound: BoundOp) -> bool: ...


Worth: TypeAlias = Callable[[Cluster], bool]
ClusterLowering: TypeAlias = Callable[[Cluster, Callable[[], Callable[..., list[object]]]], Kernel]
# The cluster, the types and known contents of all values around it, and what makes the ops one by one; None: not this cluster.
RoutineLowering: TypeAlias = Callable[
    [Cluster, Mapping[Value, Type], Mapping[Value, object], Callable[[], Callable[..., list[object]]]], "Kernel | None"]


def gather(ops: Sequence[BoundOp | Cluster], results: Sequence[Value], supports: Supports, worth: Worth, *,
           strictly: bool = False) -> list[BoundOp | Cluster]:
    """`ops` in an executable order, the supported ones in clusters where these are `worth` it.

    Ops get levels: an edge between a supported and another op goes up one level, so all ops of one kind on one level that
    hang together form a convex set. Effects keep their order; `strictly`: nothing moves over one, for it might raise first.
    """
    level: dict[Value, tuple[int, bool]] = {}
    placed: list[tuple[int, bool, int, BoundOp | Cluster]] = []
    effects = highest = 0
    for index, bound in enumerate(ops):
        kind = isinstance(bound, BoundOp) and supports(bound)
        own = 0
        for value in bound.reads:
            if value in level:
                depth, other = level[value]
                own = max(own, depth + (kind != other))
        own += own % 2 != kind   # supported ops stand on odd levels, the others on even ones
        has_effect = not kind and isinstance(bound, BoundOp) and REGISTRY[bound.name].effects
        if strictly:
            own = max(own, effects + kind, highest + highest % 2 if has_effect else 0)
            highest = max(highest, own)
        if has_effect:
            own = effects = max(own, effects)
        for value in bound.results:
            level[value] = own, kind
        placed.append((own, kind, index, bound))
    placed = _sunk(placed)
    reads = counted(ops, results)
    found: list[BoundOp | Cluster] = []
    for depth in sorted({p[0] for p in placed}):
        members = [bound for own, _, _, bound in placed if own == depth]
        if depth % 2 == 0:
            found += members
            continue
        for part in _components([m for m in members if isinstance(m, BoundOp)]):
            cluster = finish(part, reads)
            found += [cluster] if worth(cluster) else part
    return found


def _sunk(placed: list[tuple[int, bool, int, BoundOp | Cluster]]) -> list[tuple[int, bool, int, BoundOp | Cluster]]:
    """Supported ops that read nothing (an empty list) go where they are first read: they need no place of their own."""
    reads: dict[Value, tuple[int, bool]] = {}
    for own, kind, _, bound in placed:
        for value in bound.reads:
            reads[value] = min(reads.get(value, (own, kind)), (own, kind))
    found = []
    for own, kind, index, bound in placed:
        first = min((reads[v] for v in bound.results if v in reads), default=(own, kind))
        if kind and first[1] and all(isinstance(v, Literal) for v in bound.reads):
            own = first[0]
        found.append((own, kind, index, bound))
    return found


def _components(members: list[BoundOp]) -> list[list[BoundOp]]:
    """The members that hang together by the values one makes and another reads."""
    owner: dict[Value, list[BoundOp]] = {}
    groups: list[list[BoundOp]] = []
    for bound in members:
        joined = {id(owner[v]): owner[v] for v in bound.reads if v in owner}
        parts = sorted(joined.values(), key=lambda g: members.index(g[0]))
        group = parts[0] if parts else []
        if not parts:
            groups.append(group)
        for other in parts[1:]:
            group += other
            groups = [g for g in groups if g is not other]
            for member in other:
                owner.update((v, group) for v in member.results)
        group.append(bound)
        owner.update((v, group) for v in bound.results)
    for group in groups:
        group.sort(key=members.index)
    return groups


def counted(ops: Sequence[BoundOp | Cluster], results: Sequence[Value]) -> Counter[Value]:
    """How often each value is read: by the ops, and as a result."""
    reads: Counter[Value] = Counter(results)
    for bound in ops:
        reads.update(bound.reads)
    return reads


def finish(part: Sequence[BoundOp], reads: Mapping[Value, int]) -> Cluster:
    """Some ops as a cluster; `reads` as `counted` in all of them."""
    inside: Counter[Value] = Counter()
    for bound in part:
        inside.update(bound.reads)
    own = {v for bound in part for v in bound.results}
    inputs = [v for v in inside if v not in own and not isinstance(v, Literal)]
    return Cluster(tuple(part), tuple(inputs), tuple(v for bound in part for v in bound.results if reads[v] > inside[v]))
