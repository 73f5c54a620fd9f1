"""Type promotion: dimensioned tensors over 0-d tensors over Python numbers; lower ranks lift only the category."""
from __future__ import annotations

from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import is_number, some, type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import Dynamic, Instance
from scriptc.ir.types import (
    BOOL,
    BOOL_CATEGORY,
    COMPLEX_CATEGORY,
    DTYPES,
    FLOAT,
    FLOAT_CATEGORY,
    INT_CATEGORY,
    DType,
    bool_,
    complex64,
    int64,
    promote_dtypes,
)


def default_dtype(ev: Evaluator) -> DType:
    """torch.get_default_dtype()"""
    return DTYPES[ev.default_dtype_name]


def number_dtype(ev: Evaluator, value: Any) -> DType:
    """The dtype a Python number alone would have."""
    if isinstance(value, bool) or (isinstance(value, Dynamic) and value.type == BOOL):
        return bool_
    if isinstance(value, int) or (isinstance(value, Dynamic) and value.type != FLOAT):
        return int64
    return complex64 if isinstance(value, complex) else default_dtype(ev)


def operand(ev: Evaluator, value: Any, name: str = "operand") -> Any:
    """A tensor or a number; TypeError of the language for anything else."""
    value = some(ev, used(ev, value))
    if isinstance(value, Instance) and value.native is not None:
        value = value.native
    if isinstance(value, TensorValue) or is_number(value) or isinstance(value, complex):
        return value
    return ev.throw("TypeError", f"unsupported operand type(s): 'Tensor' and '{type_name(value)}'")


def result_dtype(ev: Evaluator, *values: Any) -> DType:
    """The common dtype of tensors and numbers (torch.result_type)."""
    dimensioned: DType | None = None
    scalars: DType | None = None
    numbers: DType | None = None
    for value in values:
        if isinstance(value, TensorValue):
            dtype = storage.dtype(value)
            if storage.shape_of(ev, value) == ():
                scalars = dtype if scalars is None else promote_dtypes(scalars, dtype)
            else:
                dimensioned = dtype if dimensioned is None else promote_dtypes(dimensioned, dtype)
        else:
            dtype = number_dtype(ev, value)
            numbers = dtype if numbers is None or dtype.category > numbers.category else numbers
    return combine(combine(dimensioned, scalars), numbers, ev) or default_dtype(ev)


def combine(higher: DType | None, lower: DType | None, ev: Evaluator | None = None) -> DType | None:
    """The lower rank counts only where its category is higher."""
    if higher is None or lower is None:
        return higher or lower
    if lower.category <= higher.category:
        return higher
    if lower.category == COMPLEX_CATEGORY and higher.name == "float64":
        return DTYPES["complex128"]
    return lower


def converted(ev: Evaluator, value: Any, dtype: DType) -> Any:
    """A tensor cast to `dtype`; numbers stay, they take the tensor's dtype."""
    if isinstance(value, TensorValue):
        return value if storage.dtype(value) is dtype else ev.op("cast", value, dtype=dtype)
    return value


def promoted(ev: Evaluator, *values: Any, floating: bool = False) -> list[Any]:
    """The operands in their common dtype; with `floating`, integers become the default float. One is made a tensor if need be."""
    plain = [operand(ev, v) for v in values]
    dtype = result_dtype(ev, *plain)
    if floating and dtype.category < FLOAT_CATEGORY:
        dtype = default_dtype(ev)
    out = [converted(ev, v, dtype) for v in plain]
    if not any(isinstance(v, TensorValue) for v in out):
        out[0] = ev.op("full", out[0], dtype=dtype)
    for index, value in enumerate(out):
        if isinstance(value, float) and dtype.category < FLOAT_CATEGORY:
            out[index] = int(value)
        if dtype.category == BOOL_CATEGORY and isinstance(value, int):
            out[index] = bool(value)
    return out


def integral_to_float(ev: Evaluator, value: TensorValue) -> TensorValue:
    """Integer tensors as the default float, others as they are."""
    return converted(ev, value, default_dtype(ev)) if storage.dtype(value).category <= INT_CATEGORY else value
