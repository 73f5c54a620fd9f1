"""Common subexpression elimination."""
from __future__ import annotations

from collections.abc import Hashable, Sequence

from scriptc.ir.dims import Symbolic
from scriptc.ir.graph import Attribute, Function, Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import with_values
from scriptc.ir.types import IntType


def share_common_subexpressions(function: Function) -> Function:
    """Compute equal expressions once, and ints known to be the same size expression.

        %0 = size(%x) {dim=0} : int(N)
        %1 = size(%y) {dim=1} : int(N)     =>   %0 = size(%x) {dim=0}
        %2 = scalar_add(%0, %1)                 %2 = scalar_add(%0, %0)

    Ops are pure except those with effects, so equal name, operands and attributes suffice; random ops name their state.
    """
    sharing = _Sharing()
    ops = sharing.ops(function.ops)
    return with_values(function, ops, sharing.map)


class _Sharing:
    """The walk: `known` holds the expressions that are visible, `values` what stands for those left out."""

    def __init__(self) -> None:
        self.values: dict[Value, Value] = {}
        self.known: dict[Hashable, tuple[Value, ...]] = {}

    def map(self, value: Value) -> Value:
        return self.values.get(value, value)

    def ops(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        """The ops with repetitions left out; what they compute is forgotten after the region they stand in."""
        kept: list[Op] = []
        added: list[Hashable] = []
        for op in ops:
            operands = tuple(map(self.map, op.operands))
            regions = tuple(map(self.region, op.regions))
            if operands != op.operands or regions:
                op = Op(op.name, operands, op.attributes, op.results, regions, op.location, op.version)
            if not regions and not REGISTRY[op.name].effects:
                key = key_of(op)
                found = self.known.get(key)
                if found is not None:
                    self.values.update(zip(op.results, found, strict=True))
                    continue
                self.known[key] = op.results
                added.append(key)
            kept.append(op)
        for key in added:
            del self.known[key]
        return tuple(kept)

    def region(self, region: Region) -> Region:
        ops = self.ops(region.ops)
        return Region(region.params, ops, tuple(map(self.map, region.results)))


def key_of(op: Op) -> Hashable:
    """What makes two ops equal."""
    if len(op.results) == 1:
        kind = op.results[0].type
        if isinstance(kind, IntType) and isinstance(kind.value, Symbolic):
            return kind.value
    operands = tuple(("literal", exact(o.data)) if isinstance(o, Literal) else o for o in op.operands)
    return op.name, operands, tuple((name, exact(value)) for name, value in op.attributes.items())


def exact(value: Attribute | complex) -> Hashable:
    """A key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    return type(value).__name__, repr(value) if isinstance(value, float | complex) else value
