"""Arithmetic, comparison, logic and mathematics."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES, reference, widened
from scriptc.ir.types import DType

_erf = np.frompyfunc(math.erf, 1, 1)


def operands(*values: Any) -> list[np.ndarray]:
    """Scalars as arrays of the tensors' dtype, so that numpy promotes nothing."""
    dtype = next(v.dtype for v in values if isinstance(v, np.ndarray))
    with np.errstate(all="ignore"):
        return [v if isinstance(v, np.ndarray) else np.asarray(v).astype(dtype) for v in values]


def keep(result: Any, like: np.ndarray) -> np.ndarray:
    """A numpy result as an array of the operand's dtype (0-d results become scalars in numpy)."""
    return np.asarray(result).astype(like.dtype, copy=False)


def error_function(x: np.ndarray) -> np.ndarray:
    """erf of every element, by the C library."""
    return np.asarray(_erf(x.astype(np.float64))).astype(x.dtype)


def inverse_error_function(x: np.ndarray) -> np.ndarray:
    """erfinv: Giles's approximation (2012), then two Newton steps in double precision."""
    v = x.astype(np.float64)
    w = -np.log((1 - v) * (1 + v))
    central, tail = w - 2.5, np.sqrt(np.maximum(w, 0)) - 3
    near = np.polyval([2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
                       0.246640727, 1.50140941], central)
    far = np.polyval([-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
                      1.00167406, 2.83297682], tail)
    y = np.where(w < 5, near, far) * v
    for _ in range(2):
        y = y - (error_function(np.where(np.isfinite(y), y, 0.0)) - v) * (math.sqrt(math.pi) / 2) * np.exp(y * y)
    y = np.where(np.abs(v) == 1, np.copysign(np.inf, v), y)
    return np.asarray(np.where(np.abs(v) > 1, np.nan, y)).astype(x.dtype)


def _unary(name: str, function: Callable[[np.ndarray], Any]) -> None:
    def meaning(x: np.ndarray, **attributes: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            return keep(function(x, **attributes), x)
    meaning.__name__ = name
    REFERENCES[name] = widened(meaning)


for _name, _function in {
    "neg": np.negative, "abs": np.abs, "sign": lambda x: np.where(x > 0, 1, np.where(x < 0, -1, 0)),
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log,
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "square": np.square, "detach": np.copy,
    "erf": error_function, "erfinv": inverse_error_function,
    "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "frac": lambda x: x - np.trunc(x),
    "erfc": lambda x: np.asarray(np.frompyfunc(math.erfc, 1, 1)(x.astype(np.float64))).astype(x.dtype),
    "round": lambda x, decimals: np.round(x, decimals) if x.dtype.kind not in "iub" else x,
}.items():
    _unary(_name, _function)  # type: ignore[arg-type]


def _binary(name: str, function: Callable[[np.ndarray, np.ndarray], Any], to_bool: bool = False) -> None:
    def meaning(a: Any, b: Any) -> np.ndarray:
        left, right = operands(a, b)
        with np.errstate(all="ignore"):
            result = np.asarray(function(left, right))
        return result.astype(bool, copy=False) if to_bool else keep(result, left)
    meaning.__name__ = name
    REFERENCES[name] = widened(meaning)


def _integer_divisor(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(a: np.ndarray, b: np.ndarray) -> Any:
        if a.dtype.kind in "iub" and not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        return function(a, b)
    return checked


def _floor_divide(a: np.ndarray, b: np.ndarray) -> Any:
    if a.dtype.kind in "iub":
        return np.floor_divide(a, b)
    quotient = np.floor_divide(a, b)
    return np.where(b == 0, a / b, quotient)


def _power(a: np.ndarray, b: np.ndarray) -> Any:
    if a.dtype.kind == "i" and np.any(b < 0):
        # Only 1 and -1 have integer reciprocals; torch gives 0 for all others.
        negative = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0))
        return np.where(b < 0, negative, np.power(a, np.maximum(b, 0)))
    return np.power(a, b) if a.dtype != bool else np.where(b, a, True)


def _shift_left(a: np.ndarray, b: np.ndarray) -> Any:
    bits = a.dtype.itemsize * 8
    return np.where((b >= 0) & (b < bits), np.left_shift(a, np.clip(b, 0, bits - 1)), 0)


def _shift_right(a: np.ndarray, b: np.ndarray) -> Any:
    return np.right_shift(a, np.clip(b, 0, a.dtype.itemsize * 8 - 1))


for _name, _pair in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "floor_divide": _integer_divisor(_floor_divide),
    "remainder": _integer_divisor(np.remainder), "fmod": _integer_divisor(np.fmod), "pow": _power, "atan2": np.arctan2,
    "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin, "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "shift_left": _shift_left, "shift_right": _shift_right,
}.items():
    _binary(_name, _pair)  # type: ignore[arg-type]
for _name, _pair in {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}.items():
    _binary(_name, _pair, to_bool=True)


@reference
def logical_not(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.logical_not(x))


@reference
def bitwise_not(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.invert(x))


@reference
def isnan(x: np.ndarray) -> np.ndarray:
    return np.asarray(x != x)


@reference
def isinf(x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape, bool) if x.dtype.kind in "iub" else np.asarray(np.abs(x) == np.inf)


@reference
def isfinite(x: np.ndarray) -> np.ndarray:
    return np.ones(x.shape, bool) if x.dtype.kind in "iub" else np.asarray((x == x) & (np.abs(x) != np.inf))


@reference
def where(condition: np.ndarray, a: Any, b: Any) -> np.ndarray:
    left, right = operands(a, b)
    return np.asarray(np.where(condition, left, right)).astype(left.dtype, copy=False)


@reference
def masked_fill(x: np.ndarray, mask: np.ndarray, value: Any) -> np.ndarray:
    left, right = operands(x, value)
    return np.asarray(np.where(mask, right, left)).astype(x.dtype, copy=False)


@reference
@widened
def clamp(x: Any, low: Any, high: Any) -> np.ndarray:
    dtype = next(v.dtype for v in (x, low, high) if isinstance(v, np.ndarray))
    result = np.asarray(x, dtype)
    if low is not None:
        result = np.maximum(result, np.asarray(low).astype(dtype))
    if high is not None:
        result = np.minimum(result, np.asarray(high).astype(dtype))
    return np.asarray(result)


@reference
@widened
def lerp(a: Any, b: Any, weight: Any) -> np.ndarray:
    x, y, w = operands(a, b, weight)
    return keep(x + w * (y - x), x)


@reference
def cast(x: np.ndarray, *, dtype: DType) -> np.ndarray:
    with np.errstate(all="ignore"):
        if dtype.name == "bool":
            return np.asarray(x != 0)
        if x.dtype.kind == "f" and dtype.category == 1 and dtype.name != "int64":
            return x.astype(np.int64).astype(dtype.numpy)  # through int64, as torch's casts wrap
        return x.astype(dtype.numpy)
