"""Dead code elimination."""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.ir.graph import Function, Op, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.records import replace


def eliminate_dead_code(function: Function) -> Function:
    """Remove ops whose results nobody uses, and the results of branches and carried values of loops that nobody needs.

        %0 = exp(%x)
        %1 = relu(%x)        =>   %1 = relu(%x)
        return %1                 return %1

    Ops with effects stay, and so do branches and loops that hold one. An op that would have failed fails no more once
    nobody uses its result.
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
        if op.name == "if":
            op = kept_branch(op, live)
        elif op.name == "loop":
            op = kept_loop(op, live)
        live.update(op.operands)
        result.append(op)
    result.reverse()
    return tuple(result)


def kept_branch(op: Op, live: set[Value]) -> Op:
    """The `if` with the results that somebody uses."""
    used = [i for i, r in enumerate(op.results) if r in live]
    regions = []
    for region in op.regions:
        results = tuple(region.results[i] for i in used)
        live.update(results)
        regions.append(Region((), kept(region.ops, live), results))
    return Op(op.name, op.operands, op.attributes, tuple(op.results[i] for i in used), tuple(regions), op.location, op.version)


def kept_loop(op: Op, live: set[Value]) -> Op:
    """The loop with the carried values that are used after it, or needed to compute those that are."""
    (body,) = op.regions
    carried = body.params[1:]
    needed = {i for i, r in enumerate(op.results) if r in live}
    while True:
        inside = {*live, body.results[0], *(body.results[i + 1] for i in needed)}
        ops = kept(body.ops, inside)
        more = {i for i, p in enumerate(carried) if p in inside} - needed
        if not more:
            break
        needed |= more
    live |= inside
    order = sorted(needed)
    region = Region((body.params[0], *(carried[i] for i in order)), ops,
                    (body.results[0], *(body.results[i + 1] for i in order)))
    return Op(op.name, (*op.operands[:2], *(op.operands[i + 2] for i in order)), op.attributes,
              tuple(op.results[i] for i in order), (region,), op.location, op.version)


def has_effects(op: Op) -> bool:
    """True for an op that must stay even if nobody uses it."""
    return REGISTRY[op.name].effects or any(has_effects(inner) for region in op.regions for inner in region.ops)
