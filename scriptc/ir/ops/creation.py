"""Tensors from numbers and sizes."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.dims import Dim, Symbolic
from scriptc.ir.registry import Int, OpError, Scalar, Tensor, nondifferentiable, not_negative, op, rank_is
from scriptc.ir.types import DType, IntType, TensorType, int64


def sizes_shape(sizes: tuple[IntType, ...]) -> tuple[Dim, ...]:
    """The shape that size operands give. OpError E0418 for a negative one."""
    for index, size in enumerate(sizes):
        if isinstance(size.value, int):
            not_negative(size.value, f"size {index}")
    return tuple(s.value for s in sizes)


@op
def full(value: Scalar, *sizes: Int, dtype: DType) -> Tensor:
    """A tensor of the given sizes filled with `value` (torch.full); no sizes give a 0-d tensor."""
    return TensorType(dtype, sizes_shape(sizes))


@op
def arange(start: Scalar, end: Scalar, step: Scalar, *, dtype: DType) -> Tensor:
    """start, start + step, ... before `end`: ceil((end - start) / step) elements (torch.arange)."""
    size: Dim = None
    if isinstance(start, IntType) and isinstance(end, IntType) and isinstance(step, IntType):
        a, b, s = start.value, end.value, step.value
        if s == 0:
            raise OpError("E0420", message="arange: step must be nonzero")
        if isinstance(a, int) and isinstance(b, int) and isinstance(s, int):
            size = max(0, -((a - b) // s))
        elif a == 0 and s == 1 and isinstance(b, Symbolic):
            size = b
    return TensorType(dtype, (size,))


@op
def linspace(start: Scalar, end: Scalar, steps: Int, *, dtype: DType) -> Tensor:
    """`steps` evenly spaced values from start to end, both included (torch.linspace)."""
    return TensorType(dtype, sizes_shape((steps,)))


@op
def eye(n: Int, m: Int, *, dtype: DType) -> Tensor:
    """Ones on the diagonal of an n by m tensor."""
    return TensorType(dtype, sizes_shape((n, m)))


@op
def from_scalars(*values: Scalar, shape: tuple[int, ...], dtype: DType) -> Tensor:
    """The scalars, in C order, as a tensor of `shape`."""
    if math.prod(shape) != len(values):
        raise OpError("E0420", message=f"{len(values)} values do not fill shape {shape}")
    return TensorType(dtype, shape)


@op
def tril(x: Tensor, diagonal: Int) -> Tensor:
    """x with the elements above the `diagonal`-th diagonal of its last two dimensions set to 0."""
    matrix(x)
    return x


@op
def triu(x: Tensor, diagonal: Int) -> Tensor:
    """x with the elements below the `diagonal`-th diagonal of its last two dimensions set to 0."""
    matrix(x)
    return x


def matrix(x: TensorType) -> None:
    if x.rank is not None and x.rank < 2:
        rank_is(x, "x", 2)


@op
def one_hot(x: Tensor, classes: Int) -> Tensor:
    """int64: 1 where the last new dimension's position equals x; classes -1 takes the largest x + 1."""
    count = None if classes.value == -1 else classes.value
    return TensorType(int64, None if x.shape is None else (*x.shape, count))


@tril.gradient
def _(g: Any, y: Any, x: Any, diagonal: Any) -> Any:
    return tril(g, diagonal), None


@triu.gradient
def _(g: Any, y: Any, x: Any, diagonal: Any) -> Any:
    return triu(g, diagonal), None


nondifferentiable("it depends on no tensor", full, arange, linspace, eye)
nondifferentiable("scalars carry no gradient", from_scalars)
nondifferentiable("its result is integer", one_hot)

