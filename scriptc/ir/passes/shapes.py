"""Shape propagation: types as precise as the operands allow, through loops too."""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.ir.graph import Function, Op, Region, Value
from scriptc.ir.registry import OpError
from scriptc.ir.rewrite import RewriteBuilder, Rewriter, rewrite
from scriptc.ir.types import INT, IntType, TensorType, Type, join


def propagate_shapes(function: Function) -> Function:
    """Give every value the most precise type that follows from the inputs.

        %1 = loop(%n, True, %0) : float32[?, 4]          %1 = loop(%n, True, %0) : float32[2, 4]
          region(%i: int, %h: float32[?, 4])       =>      region(%i: int, %h: float32[2, 4])
            %2 = relu(%h) : float32[?, 4]                    %2 = relu(%h) : float32[2, 4]
            yield True, %2                                   yield True, %2

    A loop's carried values get the join of what they begin as and what an iteration makes of them.
    """
    return rewrite(function, refined)


def refined(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """A loop whose carried values are less precise than they need be, rebuilt; None for anything else."""
    if op.name != "loop":
        return None
    (body,) = op.regions
    current = tuple(p.type for p in body.params[1:])
    begin = tuple(o.type for o in op.operands[2:])
    wanted = tuple(map(refinement, begin, current))
    if wanted == current:
        return None
    found = fixpoint(body, wanted, current)
    if found is None:
        return None
    results = tuple(r if r.type == p.type else Value(p.type, r.name)
                    for r, p in zip(op.results, found.params[1:], strict=True))
    builder.append(Op(op.name, op.operands, op.attributes, results, (found,), op.location, op.version))
    return results


def refinement(begin: Type, declared: Type) -> Type:
    """The type to try for a carried value: what it begins as, where that is the declared type with more sizes known."""
    if isinstance(begin, TensorType) and isinstance(declared, TensorType) and begin.dtype is declared.dtype:
        return begin
    # A counter begins as a known number, and is not one after an iteration.
    return INT if isinstance(begin, IntType) and isinstance(declared, IntType) else declared


def fixpoint(body: Region, wanted: tuple[Type, ...], declared: tuple[Type, ...]) -> Region | None:
    """The body over parameters of the most precise types that an iteration keeps; None if only `declared` ones are.

    Every turn joins, which can only forget sizes, so it ends after at most as many turns as there are sizes.
    """
    while wanted != declared:
        params = (body.params[0], *(p if p.type == k else Value(k, p.name)
                                    for p, k in zip(body.params[1:], wanted, strict=True)))
        try:
            made = rebuilt(body, params)
        except OpError:
            return None
        ends = [r.type for r in made.results[1:]]
        joined = tuple(join(k, e) or d for k, e, d in zip(wanted, ends, declared, strict=True))
        if joined == wanted:
            return made
        wanted = joined
    return None


def rebuilt(body: Region, params: tuple[Value, ...]) -> Region:
    """The region over other parameters, types inferred anew. OpError if they do not fit."""
    walker = Rewriter(refined)
    walker.values.update((old, new) for old, new in zip(body.params, params, strict=True) if old is not new)
    walker.builder.begin()
    walker.ops(body.ops)
    return walker.builder.end(params, tuple(map(walker.map, body.results)))
