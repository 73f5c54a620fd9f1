"""Ops applied to tensors at once: each is a function of one op, planned, run and differentiated like a compiled one."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scriptc.errors import CallError, CompileError
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value
from scriptc.ir.registry import OpDef
from scriptc.ir.types import (
    COMPLEX_CATEGORY,
    FLOAT_CATEGORY,
    DType,
    TensorType,
    bool_,
    complex64,
    float32,
    int64,
    promote_dtypes,
)
from scriptc_runtime import tape
from scriptc_runtime.device import ARRAYS, Device, device_of
from scriptc_runtime.differentiation import Differentiable
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.recording import Recorded
from scriptc_runtime.tensor import Tensor

_functions: PlanCache[Differentiable] = PlanCache(capacity=512)
_SHARING = frozenset(("where", "matmul", "linear", "cat", "stack", "masked_fill"))  # tensor operands share one dtype
_TO_FLOAT = frozenset(("div",))


def apply(definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """The results of one op on tensors, arrays and Python scalars, recorded if one of them requires a gradient.

    Operands of different dtypes are promoted as in torch. CallError if the op refuses them.
    """
    operands = [Tensor(a) if isinstance(a, ARRAYS) else a for a in arguments]
    if definition.kind == "elementwise" or definition.name in _SHARING:
        operands = _promoted(definition, operands)
    tensors = [o for o in operands if isinstance(o, Tensor)]
    for tensor in tensors:
        if isinstance(tensor, Recorded):
            return _wrapped(tensor._recorder.emit(definition, operands, attributes))
    device = common_device(tensors)
    if device is not None:     # numbers of the host go where the others are
        operands = [o._moved(device) if isinstance(o, Tensor) else o for o in operands]
        tensors = [o for o in operands if isinstance(o, Tensor)]
    target = "cpu" if device is None else device.target
    key = (definition.name, target, tuple(_key(o) for o in operands), tuple(attributes.items()))
    compiled = _functions.get(key, lambda: Differentiable(_one_op(definition, operands, attributes), target))
    arrays = [t._array for t in tensors]
    wanted = [i for i, t in enumerate(tensors) if t.requires_grad] if tape.is_grad_enabled() else []
    if wanted:
        return _wrapped(compiled.call_recorded(arrays, tensors, wanted, {}))
    return _wrapped([Tensor(r) if isinstance(r, ARRAYS) else r for r in compiled.runner.run(arrays)])


def common_device(tensors: Sequence[Tensor]) -> Device | None:
    """Where the tensors are; 0-d ones of the host may stand beside others. RuntimeError, as torch's, if they are in different places."""
    found = {device_of(t._array): t for t in tensors if t.ndim or device_of(t._array) is not None}
    if len(found) > 1:
        names = sorted(t.device for t in found.values())
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(names)}!")
    return next(iter(found), None)


def _wrapped(results: Sequence[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


def _key(operand: Any) -> object:
    if isinstance(operand, Tensor):
        return operand._array.dtype, operand.shape
    return type(operand), operand, str(operand)  # 0.0 and -0.0, 1 and True are different literals


def _one_op(definition: OpDef, operands: Sequence[Any], attributes: Mapping[str, Any]) -> Function:
    """A function that applies the op to its tensor operands; the others are literals of it."""
    builder = Builder()
    values = [Value(TensorType(o.dtype, o.shape)) if isinstance(o, Tensor) else o for o in operands]
    try:
        results = builder.emit(definition, values, attributes)
    except CompileError as error:
        raise CallError(*error.diagnostics) from None
    inputs = tuple(v for v in values if isinstance(v, Value))
    parameters = tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs)))
    return Function(definition.name, parameters, inputs, {}, builder.take(), results,
                    Group("tuple", tuple(Leaf(i) for i in range(len(results)))))


def _promoted(definition: OpDef, operands: Sequence[Any]) -> list[Any]:
    """Tensor operands cast to one dtype: dimensioned tensors first, then 0-d ones, then Python scalars (torch's rule)."""
    picks = operands[1:] if definition.name == "where" else operands[:1] if definition.name == "masked_fill" else operands
    result: DType | None = None
    for rank in (1, 0):
        dtypes = [o.dtype for o in picks if isinstance(o, Tensor) and min(o.ndim, 1) == rank]
        for dtype in dtypes:
            higher = result is None or dtype.category > result.category
            if higher:
                result = dtype
            elif rank == 1 or result is None:
                result = promote_dtypes(result, dtype)  # type: ignore[arg-type]
            elif all(o.ndim == 0 for o in picks if isinstance(o, Tensor)):
                result = promote_dtypes(result, dtype)
    assert result is not None
    for scalar in picks:
        if isinstance(scalar, Tensor) or scalar is None:
            continue
        if isinstance(scalar, complex) and result.category < COMPLEX_CATEGORY:
            result = complex64
        elif isinstance(scalar, float) and result.category < FLOAT_CATEGORY:
            result = float32
        elif type(scalar) is int and result is bool_:
            result = int64
    if definition.name in _TO_FLOAT and result.category < FLOAT_CATEGORY:
        result = float32
    positions = {id(p) for p in picks}
    return [o.to(result) if isinstance(o, Tensor) and id(o) in positions else o for o in operands]
