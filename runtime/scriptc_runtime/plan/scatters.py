"""Gradients of the parts of a tensor: parts put into zeros and added up are the parts next to each other.

    add(slice_scatter(0, a, 0, n), slice_scatter(0, b, n, m))  ->  cat(a, b)
    add(select_scatter(0, a, 0), select_scatter(0, b, 1))      ->  stack(a, b)

where the parts cover the whole dimension and do not overlap: what `chunk`, `split` and `unbind` leave behind.
"""
from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal, Op, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType
from scriptc.records import Record
from scriptc_runtime.plan.bind import Binding, BoundOp

JOINS = {"slice_scatter": "cat", "select_scatter": "stack"}


class _Placed(Record):
    """Parts in a tensor of zeros: which op put them there, along which dimension; each from, up to, and its value with its type."""

    name: str
    dim: int
    kind: TensorType
    parts: tuple[tuple[int, int, Value, Any], ...]


def join_parts(binding: Binding) -> Binding:
    """The binding with such sums as joins; the ops that put the parts into zeros are read by nobody any more."""
    reads = Counter(v for bound in binding.ops for v in bound.reads) + Counter(binding.results)
    placed: dict[Value, _Placed] = {}
    ops: list[BoundOp] = []
    for bound in binding.ops:
        found = _scattered(bound, binding) if bound.name in JOINS else _added(bound, placed, reads) if bound.name == "add" else None
        if found is not None:
            placed[bound.results[0]] = found
            if _covers(found):
                bound = _joined(bound, found)
        ops.append(bound)
    return Binding(tuple(ops), binding.types, binding.constants, binding.results)


def _known(value: Value, binding: Binding) -> Any:
    return value.data if isinstance(value, Literal) else binding.constants.get(value)


def _scattered(bound: BoundOp, binding: Binding) -> _Placed | None:
    base, kind = _known(bound.operands[0], binding), bound.result_types[0]
    numbers: list[Any] = [_known(v, binding) for v in bound.operands[2:]]
    if not isinstance(base, np.ndarray) or base.any() or not all(type(n) is int for n in numbers):
        return None
    if not isinstance(kind, TensorType) or not kind.shape:
        return None
    attributes: Any = bound.op.attributes
    dim: int = attributes["dim"] % len(kind.shape)
    size = kind.shape[dim]
    if not isinstance(size, int):
        return None
    if bound.name == "select_scatter":
        first, last = numbers[0] % size, numbers[0] % size + 1
    else:
        first, last, step = slice(*numbers).indices(size)
        if step != 1:
            return None
    part = (*kind.shape[:dim], *(() if bound.name == "select_scatter" else (last - first,)), *kind.shape[dim + 1:])
    if bound.operand_types[1] != kind.with_shape(part) or last <= first:
        return None     # what is put there is repeated, or nothing
    return _Placed(bound.name, dim, kind, ((first, last, bound.operands[1], bound.operand_types[1]),))


def _added(bound: BoundOp, placed: dict[Value, _Placed], reads: Counter[Value]) -> _Placed | None:
    first, second = (placed.get(v) if reads[v] == 1 else None for v in bound.operands)
    if first is None or second is None or (first.name, first.dim, first.kind) != (second.name, second.dim, second.kind):
        return None
    parts = sorted((*first.parts, *second.parts), key=lambda part: part[:2])
    if any(a[1] > b[0] for a, b in itertools.pairwise(parts)):
        return None
    return _Placed(first.name, first.dim, first.kind, tuple(parts))


def _covers(found: _Placed) -> bool:
    """True if the parts are the whole dimension."""
    ends = [0, *(last for _, last, _, _ in found.parts)]
    return len(found.parts) > 1 and [part[0] for part in found.parts] == ends[:-1] and ends[-1] == found.kind.shape[found.dim]  # type: ignore[index]


def _joined(bound: BoundOp, found: _Placed) -> BoundOp:
    name = JOINS[found.name]
    values, kinds = tuple(part[2] for part in found.parts), tuple(part[3] for part in found.parts)
    op = Op(name, values, REGISTRY[name].check_attributes({"dim": found.dim}), bound.op.results, (), bound.op.location, bound.op.version)
    return BoundOp(op, values, kinds, bound.result_types)
