"""What the names in a printed kernel mean: conversions, the mathematics of libdevice, and a few functions of our own.

In the simulator numpy's functions stand for them, because those of `math` raise where a GPU gives an infinity or a nan.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc_runtime.cpu.mathematics import LIBM
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda

_NUMPY = {"fabs": np.abs, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
          "atan2": np.arctan2}
_INT64_MIN = -(2**63)


_fmod: Any = np.fmod if SIMULATED else math.fmod
_copysign: Any = np.copysign if SIMULATED else math.copysign


@functools.cache
def _roundings() -> dict[str, Any]:
    """floor4, floor8, ...: to whole numbers, as floats. Those of `math` give ints, which not all floats have."""
    names = ("floor", "ceil", "trunc", "rint")
    if SIMULATED:
        return {f"{name}{size}": getattr(np, name) for name in names for size in (4, 8)}
    from numba.cuda import libdevice

    return {f"{name}{size}": getattr(libdevice, name + ("f" if size == 4 else "")) for name in names for size in (4, 8)}


_floor: Any = _roundings()["floor8"]


def _device(function: Callable[..., Any]) -> Any:
    return function if SIMULATED else cuda.jit(device=True)(function)


@_device
def truncated(x: Any) -> Any:
    """A float as int64, towards zero; what has no such integer gives the smallest, as on x86."""
    if x >= -9.2233720368547758e18 and x < 9.2233720368547758e18:
        return np.int64(x)
    return np.int64(_INT64_MIN)


@_device
def power_of(a: Any, b: Any) -> Any:
    """a ** b of integers, wrapping; a negative exponent has a result for 1 and -1 only, else 0."""
    base, left, result = np.int64(a), np.int64(b), np.int64(1)
    if left < 0:
        odd = left & np.int64(1)
        return np.int64(1) if base == 1 else (np.int64(1) - np.int64(2) * odd if base == -1 else np.int64(0))
    while left > 0:
        if left & np.int64(1):
            result = np.int64(result * base)
        base = np.int64(base * base)
        left = np.int64(left >> np.int64(1))
    return result


@_device
def remainder_of(a: Any, b: Any) -> Any:
    """a modulo b with b's sign, as numpy computes it."""
    r = _fmod(a, b)
    if r != 0:
        return r + b if (b < 0) != (r < 0) else r
    return _copysign(r, b)


@_device
def floor_quotient(a: Any, b: Any) -> Any:
    """floor(a / b) as numpy computes it: from the remainder, because a / b may round up to an integer."""
    if b == 0:
        return a / b
    r = _fmod(a, b)
    q = (a - r) / b
    if r != 0 and (b < 0) != (r < 0):
        q = q - b / b
    if q == 0:
        return _copysign(q, a / b)
    f = _floor(np.float64(q))
    return f + b / b if q - f > b / b / 2 else f


_OWN: dict[str, Any] = {"whole": truncated, "ipow": power_of, "rem": remainder_of, "fdiv": floor_quotient, "fmod": _fmod}


@functools.cache
def _library() -> dict[str, Any]:
    return {name: (_NUMPY.get(name) or getattr(np, name, None) if SIMULATED else None) or getattr(math, name) for name in LIBM}


def namespace() -> dict[str, Any]:
    """The globals of a printed kernel, without builtins."""
    return {
        "__builtins__": {}, "range": range, "inf": math.inf, "cuda": cuda, **_library(), **_roundings(), **_OWN, **access.namespace(),
        "f4": np.float32, "f8": np.float64, "i1": np.int8, "i2": np.int16, "i4": np.int32, "i8": np.int64, "u1": np.uint8, "u2": np.uint16,
        "u4": np.uint32, "u8": np.uint64, "b1": np.bool_ if SIMULATED else bool,
    }
