"""Loop-invariant code motion."""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.ir.graph import Function, Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import with_values
from scriptc.ir.types import FLOAT_CATEGORY, TensorType

# Ops that cannot fail on operands their rule accepted, whatever the sizes are.
ALWAYS_SAFE = frozenset(("size", "rank", "numel", "permute", "unsqueeze", "cast"))
# Ops that cannot fail where every size is a number: the rule has compared them all.
SAFE_WHERE_SIZES_ARE_KNOWN = frozenset((
    "matmul", "linear", "softmax", "log_softmax", "sum", "mean", "reshape", "expand", "expand_as", "where", "cat", "stack",
))


def hoist(function: Function) -> Function:
    """Compute once, before a loop, what each of its iterations would compute alike.

        %0 = loop(%n, True, %x)                            %1 = permute(@w) {dims=(1, 0)}
          region(%i: int, %h: float32[4])           =>     %0 = loop(%n, True, %x)
            %1 = permute(@w) {dims=(1, 0)}                   region(%i: int, %h: float32[4])
            %2 = matmul(%h, %1)                                %2 = matmul(%h, %1)

    Only ops that cannot fail are moved: a loop that never runs must not fail for them.
    """
    return with_values(function, moved(function.ops), lambda value: value)


def moved(ops: Sequence[Op]) -> tuple[Op, ...]:
    """The ops, each loop preceded by what was moved out of it."""
    result: list[Op] = []
    for op in ops:
        if op.regions:
            regions = tuple(Region(r.params, moved(r.ops), r.results) for r in op.regions)
            op = Op(op.name, op.operands, op.attributes, op.results, regions, op.location, op.version)
        if op.name == "loop":
            before, body = split(op.regions[0])
            result += before
            op = Op(op.name, op.operands, op.attributes, op.results, (body,), op.location, op.version)
        result.append(op)
    return tuple(result)


def split(body: Region) -> tuple[list[Op], Region]:
    """(the ops that do not depend on the iteration, the body without them)"""
    inside: set[Value] = set(body.params)
    before: list[Op] = []
    kept: list[Op] = []
    for op in body.ops:
        if cannot_fail(op) and not any(o in inside for o in op.operands):
            before.append(op)
        else:
            inside.update(op.results)
            kept.append(op)
    return before, Region(body.params, tuple(kept), body.results)


def cannot_fail(op: Op) -> bool:
    """True for a pure op of which it is certain that it gives a result."""
    if op.regions:
        return False
    if op.name in ALWAYS_SAFE:
        return True
    known = all(isinstance(o, Literal) or not isinstance(o.type, TensorType) or sizes_are_known(o.type) for o in op.operands)
    if REGISTRY[op.name].kind == "elementwise":
        kind = op.results[0].type
        # Integer division and powers fail on some values.
        return known and isinstance(kind, TensorType) and kind.dtype.category >= FLOAT_CATEGORY
    return known and op.name in SAFE_WHERE_SIZES_ARE_KNOWN


def sizes_are_known(kind: TensorType) -> bool:
    return kind.shape is not None and all(isinstance(size, int) for size in kind.shape)
