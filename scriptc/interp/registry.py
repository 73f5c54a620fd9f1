"""The numpy meaning of each op, by name."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.ir.types import DType, bfloat16, dtype_of, float16

REFERENCES: dict[str, Callable[..., Any]] = {}


def reference(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function as the meaning of the op of its name (a trailing underscore is for Python)."""
    REFERENCES[function.__name__.rstrip("_")] = function
    return function


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute half-precision arrays in float32 and round the results once, as torch does on a CPU."""
    def wrapper(*operands: Any, **attributes: Any) -> Any:
        half: DType | None = None
        for operand in operands:
            if isinstance(operand, np.ndarray):
                dtype = dtype_of(operand)
                if dtype is float16 or dtype is bfloat16:
                    half = dtype
                    break
        if half is None:
            return function(*operands, **attributes)
        target = half.numpy
        wide = [o.astype(np.float32) if isinstance(o, np.ndarray) and o.dtype == target else o for o in operands]
        result = function(*wide, **attributes)

        def back(value: Any) -> Any:
            return value.astype(target) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value
        return tuple(back(r) for r in result) if type(result) is tuple else back(result)
    wrapper.__name__ = function.__name__
    wrapper.__doc__ = function.__doc__
    return wrapper
