"""Tensor code recorded as IR: a loss written for tensors is called once with tensors that have no elements, only types.

The eager surface is one function per op, so whatever is said in it can be recorded; what asks for elements (an `if` on a tensor, `float()`, numpy)
cannot, and is refused.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, CompileError, diagnostic
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Value
from scriptc.ir.registry import REGISTRY, OpDef
from scriptc.ir.types import DType, TensorType, dtype_of
from scriptc_runtime import tape
from scriptc_runtime.tensor import Tensor


class Recorder:
    """Collects the ops; tensors with elements that take part become inputs of what is recorded, and are kept in `captured`."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.captured: dict[int, tuple[Tensor, Value]] = {}

    def tensor(self, value: Value) -> Recorded:
        """The tensor that stands for `value`."""
        made = object.__new__(Recorded)
        made._value, made._recorder, made.name = value, self, value.name
        made._grad = made._node = None
        made._index = 0
        made._requires_grad = made._retains_grad = False
        return made

    def emit(self, definition: OpDef, operands: Sequence[Any], attributes: Mapping[str, Any]) -> tuple[Any, ...]:
        """The op on tensors and Python scalars. CallError if it refuses them."""
        values = [self.value_of(o) if isinstance(o, Tensor) else o for o in operands]
        try:
            results = self.builder.emit(definition, values, attributes)
            if not tape.is_grad_enabled():
                results = tuple(self.builder.emit_one("detach", [r]) if isinstance(r.type, TensorType) else r for r in results)
        except CompileError as error:
            raise CallError(*error.diagnostics) from None
        return tuple(self.tensor(r) if isinstance(r.type, TensorType) else r for r in results)

    def value_of(self, tensor: Tensor) -> Value:
        """The value behind a tensor; one with elements becomes an input of what is recorded."""
        if isinstance(tensor, Recorded):
            if tensor._recorder is not self:
                raise CallError(diagnostic("R0150", what="a tensor of another recording"))
            return tensor._value
        found = self.captured.get(id(tensor))
        if found is None:
            found = self.captured[id(tensor)] = tensor, Value(TensorType(dtype_of(tensor._array.dtype), tensor._array.shape), tensor.name)
        return found[1]


class Recorded(Tensor):
    """A tensor whose elements exist only when what is being recorded runs."""

    __slots__ = ("_recorder", "_value")
    _recorder: Recorder
    _value: Value

    @property
    def _array(self) -> np.ndarray:
        raise CallError(diagnostic("R0150", what="the elements of a tensor"))

    @property
    def type(self) -> TensorType:
        kind = self._value.type
        assert isinstance(kind, TensorType)
        return kind

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = self.type.shape
        if sizes is None or not all(isinstance(s, int) for s in sizes):
            raise CallError(diagnostic("R0150", what="the sizes of a tensor that depend on its elements"))
        return sizes  # type: ignore[return-value]

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        sizes = self.type.shape
        return len(self.shape if sizes is None else sizes)

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property  # type: ignore[misc]
    def requires_grad(self) -> bool:
        return self.dtype.is_floating_point

    @property
    def is_leaf(self) -> bool:
        return False

    @property
    def data(self) -> Tensor:
        return self.detach()

    def detach(self) -> Tensor:
        result: Tensor = self._apply("detach", self)
        return result

    def clone(self) -> Tensor:
        return self

    def check(self, exception: str, message: str) -> None:
        """Raise a builtin exception when what is recorded runs, unless the only element is true then."""
        held = self._recorder.emit(REGISTRY["item"], [self], {})
        self._recorder.emit(REGISTRY["check"], held, {"exception": exception, "message": message})

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        raise CallError(diagnostic("R0150", what="the gradient of a tensor"))

    def __repr__(self) -> str:
        return f"tensor(..., {self.type})"
