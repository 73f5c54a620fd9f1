"""The numpy meaning of each op, by name."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from scriptc.interp.blas import alone
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import DType, bfloat16, dtype_of, float16

WITHOUT = frozenset(("control",))     # families that the interpreter itself walks
BY_BLAS = frozenset(("linalg", "convolution", "attention", "recurrent", "decompositions"))      # families that call it


class References(dict[str, Callable[..., Any]]):
    """Op name to meaning. A family's file is imported when one of its ops is first asked for: most processes need few of them, or none."""

    def __missing__(self, name: str) -> Callable[..., Any]:
        definition = REGISTRY.get(name)
        if definition is None or definition.family in WITHOUT:
            raise KeyError(name)
        import_module(f"scriptc.interp.ops.{definition.family}")
        if not super().__contains__(name):
            raise KeyError(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The meaning of `name`, or `default` where it has none."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return self.get(str(name)) is not None


REFERENCES = References()


def reference(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function as the meaning of the op of its name (a trailing underscore is for Python)."""
    family = function.__module__.rpartition(".")[2]
    REFERENCES[function.__name__.rstrip("_")] = alone(function) if family in BY_BLAS else function
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
    wrapper.__name__, wrapper.__module__ = function.__name__, function.__module__
    wrapper.__doc__ = function.__doc__
    return wrapper
