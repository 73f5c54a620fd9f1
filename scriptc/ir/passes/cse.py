"""Common subexpression elimination."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scriptc.ir.graph import Function, Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY


def share_common_subexpressions(function: Function) -> Function:
    """Compute equal expressions once; ops are pure except those with effects, so equal name, operands and attributes suffice.

        %0 = size(%x) {dim=0}
        %1 = size(%x) {dim=0}     =>   %0 = size(%x) {dim=0}
        %2 = scalar_add(%0, %1)        %2 = scalar_add(%0, %0)
    """
    values: dict[Value, Value] = {}
    ops = shared(function.ops, values, {})
    return replace(function, ops=ops, results=tuple(values.get(r, r) for r in function.results),
                   updates={n: values.get(v, v) for n, v in function.updates.items()},
                   input_updates={i: values.get(v, v) for i, v in function.input_updates.items()})


def key_of(op: Op, operands: Sequence[Value]) -> Any:
    """What makes two ops equal."""
    parts = tuple(("literal", type(o.data).__name__, repr(o.data)) if isinstance(o, Literal) else o for o in operands)
    return op.name, parts, tuple((k, type(v).__name__, repr(v)) for k, v in op.attributes.items())


def shared(ops: Sequence[Op], values: dict[Value, Value], known: dict[Any, tuple[Value, ...]]) -> tuple[Op, ...]:
    """The ops with repetitions left out; what a region computes is not known outside it."""
    result: list[Op] = []
    for op in ops:
        operands = tuple(values.get(o, o) for o in op.operands)
        if op.regions:
            regions = []
            for region in op.regions:
                inner = shared(region.ops, values, dict(known))
                regions.append(Region(region.params, inner, tuple(values.get(r, r) for r in region.results)))
            result.append(Op(op.name, operands, op.attributes, op.results, tuple(regions), op.location, op.version))
            continue
        if REGISTRY[op.name].effects:
            result.append(replace(op, operands=operands))
            continue
        key = key_of(op, operands)
        found = known.get(key)
        if found is not None:
            values.update(zip(op.results, found, strict=True))
            continue
        known[key] = op.results
        result.append(op if operands == op.operands else replace(op, operands=operands))
    return tuple(result)
