"""Products of a loop's inputs, one for all turns: `x[i] @ w` in a loop over every `i` is a row of `x @ w` before it.

A product of many rows runs at the speed of arithmetic, one row after another at that of memory. Only loops that run to their end are changed,
one turn for each row: then nothing is computed that the loop would not have computed.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scriptc.ir.graph import EMPTY, Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, Type
from scriptc_runtime.plan.bind import Binding, BoundOp, captured, is_static

MOST_ELEMENTS = 1 << 24   # of all products of a loop together
PRODUCTS = ("linear", "matmul")


def hoist(binding: Binding) -> Binding:
    """The binding with such products before their loops."""
    types: dict[Value, Type] = dict(binding.types)
    ops: list[BoundOp] = []
    for bound in binding.ops:
        ops += _hoisted(bound, types, binding) if bound.name == "loop" else [bound]
    return Binding(tuple(ops), types, binding.constants, binding.results)


def _hoisted(bound: BoundOp, types: dict[Value, Type], binding: Binding) -> list[BoundOp]:
    """The loop, after the products that leave it."""
    body = bound.op.regions[0]
    trips = _known(bound.operands[0], binding)
    runs_through = _known(bound.operands[1], binding) is True and isinstance(body.results[0], Literal) and body.results[0].data is True
    if not runs_through or type(trips) is not int:
        return [bound]
    outside = dict(bound.captured)
    rows = {op.result: op for op in body.ops if op.name == "select" and op.operands[0] in outside and op.attributes["dim"] == 0
            and op.operands[1] in _turns(body)}
    before: list[BoundOp] = []
    replaced: dict[Op, Op] = {}
    for op in body.ops:
        if op.name not in PRODUCTS or op.operands[0] not in rows:
            continue
        row = rows[op.operands[0]]
        rest = [outside.get(v, v) for v in op.operands[1:]]
        if not all(v in outside or isinstance(v, Literal) for v in op.operands[1:]):
            continue
        product = _product(op, outside[row.operands[0]], rest, types, trips)
        if product is not None:
            before.append(product)
            replaced[op] = Op("select", (product.results[0], row.operands[1]), row.attributes, op.results, (), op.location)
    if not before:
        return [bound]
    types.update((p.results[0], p.result_types[0]) for p in before)
    region = Region(body.params, tuple(replaced.get(op, op) for op in body.ops), body.results)
    made = Op("loop", bound.op.operands, bound.op.attributes, bound.op.results, (region,), bound.op.location, bound.op.version)
    around = tuple((v, outside.get(v, v)) for v in captured(made) if v in outside or any(v is p.results[0] for p in before))
    return [*before, BoundOp(made, bound.operands, bound.operand_types, bound.result_types, around)]


def _known(value: Value, binding: Binding) -> Any:
    return value.data if isinstance(value, Literal) else binding.constants.get(value)


def _turns(body: Region) -> set[Value]:
    """The values that are the number of the turn."""
    found = {body.params[0]}
    for op in body.ops:
        if op.name in ("scalar_mul", "scalar_add") and op.operands[0] in found and isinstance(op.operands[1], Literal) \
                and op.operands[1].data == (1 if op.name == "scalar_mul" else 0):
            found.add(op.result)
    return found


def _product(op: Op, x: Value, rest: Sequence[Value], types: dict[Value, Type], trips: int) -> BoundOp | None:
    """The product of all rows of x; None if the turns and the rows are not the same, or it would be large."""
    kinds = [v.type if isinstance(v, Literal) else types.get(v) for v in (x, *rest)]
    first, weight = kinds[0], kinds[1]
    if not (isinstance(first, TensorType) and is_static(first) and isinstance(weight, TensorType) and is_static(weight)):
        return None
    shape = first.shape
    if shape is None or len(shape) < 2 or shape[0] != trips or trips < 2 or len(weight.shape or ()) != 2 or None in kinds:
        return None
    (kind,) = REGISTRY[op.name].infer(tuple(kinds), op.attributes)  # type: ignore[arg-type]
    if not isinstance(kind, TensorType) or not is_static(kind) or math.prod(kind.shape or ()) > MOST_ELEMENTS:  # type: ignore[arg-type]
        return None
    made = Op(op.name, (x, *rest), op.attributes or EMPTY, (Value(kind),), (), op.location, op.version)
    return BoundOp(made, made.operands, tuple(k for k in kinds if k is not None), (kind,))
