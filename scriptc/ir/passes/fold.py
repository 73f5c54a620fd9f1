"""Constant folding of scalars."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scriptc.ir.graph import Function, Literal, Op, Value, literal
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import RewriteBuilder, rewrite
from scriptc.ir.types import BOOL, FLOAT, STR, IntType

# (op, the contents of its operands) -> the contents of its results, or None where it refuses
Evaluate = Callable[[Op, Sequence[Any]], "Sequence[Any] | None"]

MAX_STRING = 10_000   # a folded string must not swell the program


def fold(function: Function, evaluate: Evaluate) -> Function:
    """Compute scalars of which everything is known; `evaluate` gives an op's meaning, None where it would fail.

        %0 = scalar_math(4.0) {function="sqrt"}     =>   %1 = mul(%x, 2.0)
        %1 = mul(%x, %0)
    """
    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        if op.regions or not op.results or not all(isinstance(o, Literal) for o in op.operands):
            return None
        if REGISTRY[op.name].effects or op.name == "undefined" or not all(is_plain(r) for r in op.results):
            return None
        found = evaluate(op, [o.data for o in op.operands if isinstance(o, Literal)])
        if found is None or any(isinstance(f, str) and len(f) > MAX_STRING for f in found):
            return None
        return [literal(f) for f in found]
    return rewrite(function, rule)


def is_plain(value: Value) -> bool:
    """True for what a literal can hold."""
    return isinstance(value.type, IntType) or value.type in (FLOAT, BOOL, STR)
