"""A number on one path and a tensor on the other: `total = 0` before a loop that adds tensors to it.

Eager torch lets the variable change its kind. Here it is a tensor on both paths; the number becomes one filled with it, of the other's dtype
and sizes. What differs: where a loop makes no turn, or the path with the number is taken, the result is that tensor, not the number.
"""
from __future__ import annotations

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.ir.dims import Dim
from scriptc.ir.graph import Value
from scriptc.ir.types import BOOL, BOOL_CATEGORY, FLOAT, INT_CATEGORY, IntType, TensorType, Type


def filled_type(ev: Evaluator, first: Type | None, second: Type | None) -> TensorType | None:
    """The type of a tensor that may stand for a number of one type and a tensor of the other; None if there is none."""
    for number, tensor in ((first, second), (second, first)):
        if isinstance(tensor, TensorType) and number is not None and _holds(tensor, number) \
                and tensor.shape is not None and all(_source(ev, d) is not None for d in tensor.shape):
            return tensor
    return None


def filled(ev: Evaluator, number: Value, kind: TensorType) -> Value:
    """A tensor of type `kind`, one that `filled_type` gave, filled with a number."""
    sizes: list[int | Value] = []
    for dim in kind.shape or ():
        source = _source(ev, dim)
        assert source is not None
        sizes.append(ev.builder.emit_one("size", [source[0]], {"dim": source[1]}) if isinstance(source, tuple) else source)
    return ev.builder.emit_one("full", [number, *sizes], {"dtype": kind.dtype})


def _holds(tensor: TensorType, number: Type) -> bool:
    """Whether the dtype has room for the number's kind: torch, too, would not make an int64 tensor of 0.5."""
    category = tensor.dtype.category
    if number == FLOAT:
        return tensor.dtype.is_floating_point
    if isinstance(number, IntType):
        return tensor.dtype.is_floating_point or category == INT_CATEGORY
    return number == BOOL and category == BOOL_CATEGORY


def _source(ev: Evaluator, dim: Dim) -> int | Value | tuple[Value, int] | None:
    """Where a size can be had from before the tensor is there: itself, an argument, or a dimension of one."""
    if isinstance(dim, int):
        return dim
    if dim is None:
        return None
    for value in ev.arguments:
        if isinstance(value.type, IntType) and value.type.value == dim:
            return value
        if isinstance(value.type, TensorType) and value.type.shape is not None and dim in value.type.shape:
            return value, value.type.shape.index(dim)
    return None
