"""Canonical forms: ops that change nothing, sizes that are known, scalars that can be computed now."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Literal, Op, Value, literal
from scriptc.ir.rewrite import rewrite
from scriptc.ir.types import IntType, TensorType


def canonicalize(function: Function) -> Function:
    """Drop what changes nothing and name what is known.

        %0 = reshape(%x, 2, 3) : float32[2, 3]     (x is float32[2, 3])
        %1 = size(%0) {dim=0} : int(2)        =>   scalar_add(2, 1)
        %2 = scalar_add(%1, 1)
    """
    return rewrite(function, simplify)


def simplify(op: Op, builder: Builder) -> Sequence[Value] | None:
    """The simpler values that stand for an op's results; None to keep it."""
    if op.regions or not op.results:
        return None
    known = [known_int(r) for r in op.results]
    if op.name.startswith(("scalar_", "size", "rank", "numel")) and all(k is not None for k in known):
        return [literal(k) for k in known]
    rule = RULES.get(op.name)
    if rule is None or len(op.results) != 1:
        return None
    found = rule(op)
    return None if found is None else [found]


def known_int(value: Value) -> int | None:
    return value.type.value if isinstance(value.type, IntType) and isinstance(value.type.value, int) else None


def same_type(op: Op) -> Value | None:
    """The operand itself where the result has its very type, all sizes known or the same symbols."""
    first = op.operands[0]
    kind = first.type
    if isinstance(kind, TensorType) and kind.shape is not None and None not in kind.shape and kind == op.result.type:
        return first
    return None


def identity_permutation(op: Op) -> Value | None:
    dims = op.attributes["dims"]
    assert isinstance(dims, tuple)
    return op.operands[0] if dims == tuple(range(len(dims))) else None


def is_number(value: Value, number: float) -> bool:
    return isinstance(value, Literal) and not isinstance(value.data, bool) and value.data == number


def neutral(number: float, right_only: bool) -> Callable[[Op], Value | None]:
    """x op number is x; the type must stay, so the tensor operand must have the result's."""
    def rule(op: Op) -> Value | None:
        a, b = op.operands
        if is_number(b, number) and a.type == op.result.type:
            return a
        if not right_only and is_number(a, number) and b.type == op.result.type:
            return b
        return None
    return rule


RULES: dict[str, Callable[[Op], Value | None]] = {
    "reshape": same_type, "expand": same_type, "cast": same_type, "reshape_as": same_type, "expand_as": same_type, "sum_to": same_type,
    "permute": identity_permutation,
    # x + 0 is not x for -0.0; x * 1 and x / 1 are.
    "mul": neutral(1, False), "div": neutral(1, True), "pow": neutral(1, True),
}
