"""Python's own arithmetic, with ints held to 64 bits."""
from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES, reference


def checked(value: Any) -> Any:
    """OverflowError for an int that does not fit 64 bits."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise OverflowError("Python int too large to convert to C long")
    return value


def _register(name: str, function: Callable[..., Any]) -> None:
    def meaning(*values: Any) -> Any:
        return checked(function(*values))
    meaning.__name__ = name
    REFERENCES[name] = meaning


for _name, _function in {
    "scalar_add": operator.add, "scalar_sub": operator.sub, "scalar_mul": operator.mul, "scalar_div": operator.truediv,
    "scalar_floordiv": operator.floordiv, "scalar_mod": operator.mod, "scalar_neg": operator.neg,
    "scalar_abs": abs, "scalar_eq": operator.eq, "scalar_ne": operator.ne, "scalar_lt": operator.lt, "scalar_le": operator.le,
    "scalar_gt": operator.gt, "scalar_ge": operator.ge, "scalar_and": lambda a, b: bool(a and b),
    "scalar_or": lambda a, b: bool(a or b), "scalar_not": operator.not_, "scalar_bitand": operator.and_,
    "scalar_bitor": operator.or_, "scalar_bitxor": operator.xor, "scalar_shift_right": operator.rshift,
    "scalar_min": min, "scalar_max": max, "scalar_int": int, "scalar_float": float, "scalar_bool": bool,
}.items():
    _register(_name, _function)  # type: ignore[arg-type]


@reference
def scalar_pow(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b >= 0 and abs(a) > 1 and b > 63:
        raise OverflowError("Python int too large to convert to C long")
    if isinstance(a, int) and isinstance(b, int) and b < 0:
        raise ValueError(f"{a} ** {b} is a float where the program was compiled for an int: convert one of them with float()")
    result = a**b
    if isinstance(result, complex):
        raise ValueError(f"{a} ** {b} is complex, which the program was not compiled for")
    return checked(result)


@reference
def scalar_shift_left(a: int, b: int) -> int:
    if b > 63 and a:
        raise OverflowError("Python int too large to convert to C long")
    return int(checked(a << b))


@reference
def scalar_round(x: Any, *, digits: int | None) -> Any:
    return checked(round(x)) if digits is None else round(x, digits)


@reference
def scalar_math(x: Any, *rest: Any, function: str) -> Any:
    meaning = _MATH.get(function)
    return checked(meaning(x, *rest) if meaning is not None else getattr(math, function)(x, *rest))


def factorial(n: int) -> int:
    """math.factorial. OverflowError beyond 64 bits, before the product is made."""
    if n > 20:
        raise OverflowError("Python int too large to convert to C long")
    return math.factorial(n)


# What math does not have under one name, or not with one result.
_MATH: dict[str, Callable[..., Any]] = {
    "isclose": lambda a, b, relative, absolute: math.isclose(a, b, rel_tol=relative, abs_tol=absolute),
    "factorial": factorial, "powmod": pow, "frexp_mantissa": lambda x: math.frexp(x)[0], "frexp_exponent": lambda x: math.frexp(x)[1],
    "modf_fraction": lambda x: math.modf(x)[0], "modf_whole": lambda x: math.modf(x)[1],
}


@reference
def scalar_format(*values: Any, pattern: str) -> str:
    return pattern.format(*(format_value(v) for v in values))


def format_value(value: Any) -> Any:
    """A value as torch and Python print it."""
    if isinstance(value, np.ndarray):
        return f"tensor({np.array2string(value, separator=', ')})" if value.ndim else f"tensor({value.item()})"
    return value
