"""Many gradients of one value brought together at once: parts side by side instead of sums of mostly zeros, one product for many.

A value that is taken apart (`select`, `slice`) gets a gradient per part: where these do not overlap, they are joined. A weight that many layers
share gets a product of each one's gradient and input: their rows in one product are the sum.
"""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Literal, Op, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType
from scriptc.records import Record


class Part(Record):
    """The gradient of [start, stop) along `dim` of a value; of a `select` without that dimension."""

    dim: int
    start: int
    stop: int
    gradient: Expr
    single: bool


def part_of(op: Op, gradient: Expr) -> Part | None:
    """What a gradient of a `select` or `slice` says about its operand; None if that depends on the data."""
    kind = op.operands[0].type
    if op.name not in ("select", "slice") or not isinstance(kind, TensorType) or kind.shape is None:
        return None
    dim: int = op.attributes["dim"] % len(kind.shape)  # type: ignore[operator, assignment]
    size = kind.shape[dim]
    positions = [o.data for o in op.operands[1:] if isinstance(o, Literal) and isinstance(o.data, int)]
    if not isinstance(size, int) or len(positions) != len(op.operands) - 1:
        return None
    if op.name == "select":
        start = positions[0] % size if size else 0
        return Part(dim, start, start + 1, gradient, True)
    chosen = range(size)[slice(*positions)]
    return Part(dim, chosen.start, chosen.stop, gradient, False) if chosen.step == 1 and chosen else None


def joined(parts: Sequence[Part], kind: TensorType) -> Expr | None:
    """The gradient of a value of type `kind` that these parts make up. None if they overlap or leave gaps."""
    assert kind.shape is not None
    ordered = sorted(parts, key=lambda p: p.start)
    size = kind.shape[ordered[0].dim]
    edges = [0, *(p.stop for p in ordered)]
    if any(p.dim != ordered[0].dim for p in ordered) or edges[-1] != size or [p.start for p in ordered] != edges[:-1]:
        return None
    dim = ordered[0].dim
    if all(p.single for p in ordered):
        found: Expr = REGISTRY["stack"](*(p.gradient for p in ordered), dim=dim)
        return found
    found = REGISTRY["cat"](*(p.gradient.unsqueeze(dim) if p.single else p.gradient for p in ordered), dim=dim)
    return found


class Layer(Record):
    """A use of a weight: the gradient of the layer's result, and its input."""

    gradient: Expr
    input: Expr


def rows_of(value: Expr) -> Expr | None:
    """A tensor as [rows, features]; None where the sizes are not known."""
    shape = value.shape
    if shape is None or not shape or not all(isinstance(s, int) for s in shape):
        return None
    if len(shape) == 2:
        return value
    count = 1
    for size in shape[:-1]:
        count *= size  # type: ignore[operator]
    found: Expr = REGISTRY["reshape"](value, count, shape[-1])
    return found


def can_join(op: Op) -> bool:
    """True if the weight's gradient can be computed for several such layers at once."""
    x, weight, result = op.operands[0].type, op.operands[1].type, op.result.type
    return isinstance(weight, TensorType) and weight.rank == 2 and all(
        isinstance(k, TensorType) and k.shape is not None and len(k.shape) > 0 and all(isinstance(s, int) for s in k.shape) for k in (x, result))


def weight_gradient(layers: Sequence[Layer]) -> Expr:
    """sum of gradient.T @ input over the layers"""
    gradients, inputs = _together([x.gradient for x in layers]), _together([x.input for x in layers])
    product: Expr = REGISTRY["matmul"](gradients.transpose(0, 1), inputs)
    return product


def bias_gradient(layers: Sequence[Layer]) -> Expr:
    """The sum over all rows of the gradients."""
    return _together([x.gradient for x in layers]).sum(0)


def _together(values: Sequence[Expr]) -> Expr:
    rows = [r for r in map(rows_of, values) if r is not None]
    assert len(rows) == len(values)
    found: Expr = rows[0] if len(rows) == 1 else REGISTRY["cat"](*rows, dim=0)
    return found


def shared_weights(ops: Sequence[Op]) -> frozenset[Value]:
    """The weights of more than one layer among `ops`."""
    seen: set[Value] = set()
    found: set[Value] = set()
    for op in ops:
        if op.name == "linear":
            (found if op.operands[1] in seen else seen).add(op.operands[1])
    return frozenset(found)
