"""Dead code elimination."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scriptc.ir.graph import Function, Op, Region, Value
from scriptc.ir.registry import REGISTRY


def eliminate_dead_code(function: Function) -> Function:
    """Remove ops whose results nobody uses; ops with effects stay, and so do branches and loops that hold one.

        %0 = exp(%x)
        %1 = relu(%x)        =>   %1 = relu(%x)
        return %1                 return %1
    """
    live: set[Value] = {*function.results, *function.updates.values(), *function.input_updates.values()}
    ops = kept(function.ops, live)
    state = {name: value for name, value in function.state.items() if value in live}
    return replace(function, ops=ops, state=state)


def kept(ops: Sequence[Op], live: set[Value]) -> tuple[Op, ...]:
    """The ops that are needed for `live`, which grows by what they use."""
    result: list[Op] = []
    for op in reversed(ops):
        if not any(r in live for r in op.results) and not has_effects(op):
            continue
        regions = []
        for region in op.regions:
            live.update(region.results)
            regions.append(Region(region.params, kept(region.ops, live), region.results))
        live.update(op.operands)
        result.append(Op(op.name, op.operands, op.attributes, op.results, tuple(regions), op.location, op.version) if regions else op)
    return tuple(reversed(result))


def has_effects(op: Op) -> bool:
    """True for an op that must stay even if nobody uses it."""
    return REGISTRY[op.name].effects or any(has_effects(inner) for region in op.regions for inner in region.ops)
