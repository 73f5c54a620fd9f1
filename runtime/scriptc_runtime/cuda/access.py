"""How kernels reach memory: several elements at a time, and half types, which are 16 bits outside and float32 inside."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc_runtime.cuda import intrinsics
from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)


def namespace() -> dict[str, Any]:
    """The names of these functions in printed kernels."""
    return {**{f"{act}{count}": getattr(intrinsics, f"{act}_{count}") for act in ("load", "store") for count in (2, 4, 8, 16)},
            "h4": intrinsics.from_float16, "g4": intrinsics.from_bfloat16, "h2": intrinsics.to_float16, "g2": intrinsics.to_bfloat16}


def device_function(function: Callable[..., Any]) -> Any:
    """A function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)


def _same(x: Any) -> Any:
    return x


@functools.cache
def elements(dtype: str) -> tuple[Any, Any, Any]:
    """(the type that is computed in, what loads an element, what stores one)."""
    load: Any = {"float16": intrinsics.from_float16, "bfloat16": intrinsics.from_bfloat16}.get(dtype) or device_function(_same)
    store: Any = {"float16": intrinsics.to_float16, "bfloat16": intrinsics.to_bfloat16}.get(dtype) or device_function(_same)
    return np.dtype("float32" if dtype in HALVES else "uint8" if dtype == "bool" else dtype).type, load, store
