"""Ops as formulas of simpler ones, for engines that have kernels for these: then they are fused and joined as if the program said so.

    @expands("var", target="cpu")
    def _(x: Expr, *, dims, correction, keepdim) -> Expr | None: ...

A formula gets expressions for tensors, numbers for what is known, None for what is absent; it answers with the result (a tuple for several), or
with None for a case it does not serve.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Literal, Op, Value
from scriptc.ir.types import NONE, IntType, TensorType, Type
from scriptc_runtime.plan.bind import Binding, BoundOp, is_static

Formula: TypeAlias = Callable[..., Any]

FORMULAS: dict[tuple[str, str], Formula] = {}
_UNKNOWN = object()


def expands(*names: str, target: str) -> Callable[[Formula], Formula]:
    """Register the formula of the ops `names` for an engine."""
    def register(formula: Formula) -> Formula:
        for name in names:
            FORMULAS[target, name] = formula
        return formula
    return register


def expand(binding: Binding, target: str) -> Binding:
    """The binding with those ops as what they are made of, formulas of formulas too."""
    if not any((target, bound.name) in FORMULAS for bound in binding.ops):
        return binding
    types: dict[Value, Type] = dict(binding.types)
    ops: list[BoundOp] = []
    waiting = list(reversed(binding.ops))
    while waiting:
        bound = waiting.pop()
        made = _expanded(bound, FORMULAS.get((target, bound.name)), types, binding.constants)
        if made is None:
            ops.append(bound)
        else:
            waiting += reversed(made)
    return Binding(tuple(ops), types, binding.constants, binding.results)


def _expanded(bound: BoundOp, formula: Formula | None, types: dict[Value, Type], constants: Mapping[Value, Any]) -> list[BoundOp] | None:
    """What stands for an op; None where it stays as it is."""
    if formula is None or not all(map(is_static, bound.result_types)):
        return None
    builder = Builder()
    outside: dict[Value, Value] = {}
    given: list[Any] = []
    for value, kind in zip(bound.operands, bound.operand_types, strict=True):
        operand = _operand(value, kind, constants)
        if isinstance(operand, TensorType):
            if not is_static(operand):
                return None
            stand_in = Value(operand)
            outside[stand_in] = value
            operand = Expr(stand_in, builder)
        if operand is _UNKNOWN:
            return None
        given.append(operand)
    with builder.at(bound.op.location):
        made = formula(*given, **bound.op.attributes)
    if made is None:
        return None
    results = [part.value for part in (made if isinstance(made, tuple) else (made,))]
    if [r.type for r in results] != list(bound.result_types) or len(set(results)) < len(results) or any(r in outside for r in results):
        return None
    outside.update(zip(results, bound.results, strict=True))
    return [_bound(op, outside, types) for op in builder.take()]


def _operand(value: Value, kind: Type, constants: Mapping[Value, Any]) -> Any:
    """A tensor's type, or what is known of anything else."""
    if isinstance(kind, TensorType):
        return kind
    if isinstance(value, Literal):
        return value.data
    if value in constants:
        return constants[value]
    if isinstance(kind, IntType) and isinstance(kind.value, int):
        return kind.value
    return None if kind == NONE else _UNKNOWN


def _bound(op: Op, outside: Mapping[Value, Value], types: dict[Value, Type]) -> BoundOp:
    """An op of a formula in terms of the program's values."""
    operands = tuple(outside.get(v, v) for v in op.operands)
    results = tuple(outside.get(v, v) for v in op.results)
    kinds = tuple(v.type for v in op.results)
    types.update(zip(results, kinds, strict=True))
    return BoundOp(Op(op.name, operands, op.attributes, results, (), op.location, op.version), operands, tuple(v.type for v in op.operands), kinds)
