"""Infix notation over ops: `Expr` for gradient rules and rewrite patterns, and the operator mixin it shares with `Tensor`.

    y * (g - (y * g).sum(dim, keepdim=True))

`Operators` needs one method from its class, `__apply_op__(definition, arguments, attributes)`; everything else follows.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Value
from scriptc.ir.registry import REGISTRY, OpDef
from scriptc.ir.types import DType, Shape, TensorType, Type


class Operators:
    """Arithmetic, comparison and the most used methods, each one application of an op."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __apply_op__(self, definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
        raise TypeError(f"{type(self).__name__} does not apply ops")

    def _apply(self, name: str, *arguments: Any, **attributes: Any) -> Any:
        return self.__apply_op__(REGISTRY[name], arguments, attributes)

    def __add__(self, other: Any) -> Any:
        return self._apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._apply("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._apply("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._apply("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._apply("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._apply("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._apply("div", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._apply("pow", self, other)

    def __neg__(self) -> Any:
        return self._apply("neg", self)

    def __matmul__(self, other: Any) -> Any:
        return self._apply("matmul", self, other)

    def __lt__(self, other: Any) -> Any:
        return self._apply("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return self._apply("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return self._apply("gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return self._apply("ge", self, other)


class Expr(Operators):
    """An IR value together with the builder that extends its program; operators emit ops of the registry."""

    __slots__ = ("builder", "value")

    def __init__(self, value: Value, builder: Builder) -> None:
        self.value = value
        self.builder = builder

    def __apply_op__(self, definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
        operands = [a.value if isinstance(a, Expr) else a for a in arguments]
        results = self.builder.emit(definition, operands, attributes)
        wrapped = tuple(Expr(r, self.builder) for r in results)
        return wrapped[0] if len(wrapped) == 1 else wrapped

    @property
    def type(self) -> Type:
        return self.value.type

    @property
    def tensor_type(self) -> TensorType:
        """The type, where a rule knows that its operand is a tensor."""
        assert isinstance(self.value.type, TensorType)
        return self.value.type

    @property
    def dtype(self) -> DType:
        return self.tensor_type.dtype

    @property
    def shape(self) -> Shape | None:
        return self.tensor_type.shape

    @property
    def rank(self) -> int | None:
        return self.tensor_type.rank

    def sum(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Expr:
        dims = (dim,) if isinstance(dim, int) else dim
        return self._apply("sum", self, dims=dims, keepdim=keepdim)

    def mean(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Expr:
        dims = (dim,) if isinstance(dim, int) else dim
        return self._apply("mean", self, dims=dims, keepdim=keepdim)

    def transpose(self, first: int, second: int) -> Expr:
        """Swap two dimensions; the rank must be known."""
        rank = self.rank
        assert rank is not None
        order = list(range(rank))
        order[first % rank], order[second % rank] = order[second % rank], order[first % rank]
        return self._apply("permute", self, dims=tuple(order))

    def permute(self, *dims: int) -> Expr:
        return self._apply("permute", self, dims=dims)

    def unsqueeze(self, dim: int) -> Expr:
        return self._apply("unsqueeze", self, dim=dim)

    def cast(self, dtype: DType) -> Expr:
        """This value in another dtype; itself if it has it already."""
        return self if self.dtype is dtype else self._apply("cast", self, dtype=dtype)
