"""Ints, floats, bools and strings of the program: Python's semantics, with checked 64-bit ints."""
from __future__ import annotations

import re
from typing import Any

from scriptc.ir import dims
from scriptc.ir.registry import AnyValue, Bool, Int, OpError, Scalar, nondifferentiable, op
from scriptc.ir.types import BOOL, FLOAT, INT, STR, IntType, Type, join

FUNCTIONS = frozenset("sqrt exp log log2 log10 log1p expm1 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc gamma "
                      "lgamma degrees radians fabs exp2 cbrt floor ceil trunc isnan isinf isfinite pow fmod copysign atan2 hypot ldexp "
                      "remainder gcd lcm comb perm dist isclose factorial isqrt powmod frexp_mantissa frexp_exponent "
                      "modf_fraction modf_whole".split())
_INT_FUNCTIONS = frozenset(("floor", "ceil", "trunc", "gcd", "lcm", "comb", "perm", "factorial", "isqrt", "powmod", "frexp_exponent"))
_BOOL_FUNCTIONS = frozenset(("isnan", "isinf", "isfinite", "isclose"))


def integer(kind: Type) -> Any:
    """What is known of a scalar as an int: its size expression; bools are ints of unknown value."""
    return kind.value if isinstance(kind, IntType) else None


def arithmetic(a: Type, b: Type, combine: Any) -> Type:
    """int op int is an int with what is known of its value; anything else is a float."""
    if FLOAT in (a, b):
        return FLOAT
    return IntType(combine(integer(a), integer(b)))


@op
def scalar_add(a: Scalar, b: Scalar) -> Scalar:
    """a + b. OverflowError beyond 64 bits."""
    return arithmetic(a, b, dims.add)  # type: ignore[arg-type, return-value]


@op
def scalar_sub(a: Scalar, b: Scalar) -> Scalar:
    """a - b. OverflowError beyond 64 bits."""
    return arithmetic(a, b, dims.subtract)  # type: ignore[arg-type, return-value]


@op
def scalar_mul(a: Scalar, b: Scalar) -> Scalar:
    """a * b. OverflowError beyond 64 bits."""
    return arithmetic(a, b, dims.multiply)  # type: ignore[arg-type, return-value]


@op
def scalar_div(a: Scalar, b: Scalar) -> Scalar:
    """a / b, always a float. ZeroDivisionError as in Python."""
    return FLOAT  # type: ignore[return-value]


@op
def scalar_floordiv(a: Scalar, b: Scalar) -> Scalar:
    """a // b rounded down. ZeroDivisionError as in Python."""
    return arithmetic(a, b, dims.floor_divide)  # type: ignore[arg-type, return-value]


@op
def scalar_mod(a: Scalar, b: Scalar) -> Scalar:
    """a % b with the sign of b. ZeroDivisionError as in Python."""
    return arithmetic(a, b, dims.modulo)  # type: ignore[arg-type, return-value]


@op
def scalar_pow(a: Scalar, b: Scalar) -> Scalar:
    """a ** b: an int for two ints (ValueError for a negative exponent, with which Python gives a float), else a float."""
    if FLOAT in (a, b):
        return FLOAT  # type: ignore[return-value]
    return INT  # type: ignore[return-value]


@op
def scalar_neg(x: Scalar) -> Scalar:
    """-x"""
    return arithmetic(x, IntType(-1), dims.multiply)  # type: ignore[arg-type, return-value]


@op
def scalar_abs(x: Scalar) -> Scalar:
    """abs(x)"""
    return FLOAT if x == FLOAT else INT  # type: ignore[return-value]


@op
def scalar_eq(a: AnyValue, b: AnyValue) -> Bool:
    """a == b, for numbers and strings"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_ne(a: AnyValue, b: AnyValue) -> Bool:
    """a != b, for numbers and strings"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_lt(a: AnyValue, b: AnyValue) -> Bool:
    """a < b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_le(a: AnyValue, b: AnyValue) -> Bool:
    """a <= b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_gt(a: AnyValue, b: AnyValue) -> Bool:
    """a > b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_ge(a: AnyValue, b: AnyValue) -> Bool:
    """a >= b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_and(a: Bool, b: Bool) -> Bool:
    """a and b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_or(a: Bool, b: Bool) -> Bool:
    """a or b"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_not(a: Bool) -> Bool:
    """not a"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_bitand(a: Scalar, b: Scalar) -> Scalar:
    """a & b; bools give a bool"""
    return BOOL if a == BOOL and b == BOOL else INT  # type: ignore[return-value]


@op
def scalar_bitor(a: Scalar, b: Scalar) -> Scalar:
    """a | b; bools give a bool"""
    return BOOL if a == BOOL and b == BOOL else INT  # type: ignore[return-value]


@op
def scalar_bitxor(a: Scalar, b: Scalar) -> Scalar:
    """a ^ b; bools give a bool"""
    return BOOL if a == BOOL and b == BOOL else INT  # type: ignore[return-value]


@op
def scalar_shift_left(a: Int, b: Int) -> Int:
    """a << b. OverflowError beyond 64 bits, ValueError for a negative b."""
    return INT


@op
def scalar_shift_right(a: Int, b: Int) -> Int:
    """a >> b. ValueError for a negative b."""
    return INT


@op
def scalar_min(a: Scalar, b: Scalar) -> Scalar:
    """min(a, b) for two ints or two floats: the first of equals"""
    return _both(a, b)  # type: ignore[arg-type, return-value]


@op
def scalar_max(a: Scalar, b: Scalar) -> Scalar:
    """max(a, b) for two ints or two floats: the first of equals"""
    return _both(a, b)  # type: ignore[arg-type, return-value]


def _both(a: Type, b: Type) -> Type:
    kind = join(INT if isinstance(a, IntType) else a, INT if isinstance(b, IntType) else b)
    if kind is None:
        raise OpError("E0420", message=f"{a} and {b} have no common type; convert one of them")
    return kind


@op
def scalar_int(x: AnyValue) -> Int:
    """int(x): truncates; ValueError for nan, OverflowError for infinity, as in Python"""
    return IntType(integer(x))  # type: ignore[arg-type]


@op
def scalar_float(x: AnyValue) -> Scalar:
    """float(x)"""
    return FLOAT  # type: ignore[return-value]


@op
def scalar_bool(x: AnyValue) -> Bool:
    """bool(x)"""
    return BOOL  # type: ignore[return-value]


@op
def scalar_round(x: Scalar, *, digits: int | None = None) -> Scalar:
    """round(x): an int, halves to even; with digits a float"""
    return INT if digits is None or isinstance(x, IntType) else FLOAT  # type: ignore[return-value]


@op
def scalar_math(x: Scalar, *rest: Scalar, function: str) -> Scalar:
    """math.<function>(x, *rest); raises ValueError and OverflowError as Python's does"""
    if function not in FUNCTIONS:
        raise OpError("E0420", message=f"math has no function {function!r}")
    if function in _INT_FUNCTIONS:
        return INT  # type: ignore[return-value]
    return BOOL if function in _BOOL_FUNCTIONS else FLOAT  # type: ignore[return-value]


@op
def scalar_format(*values: AnyValue, pattern: str) -> AnyValue:
    """`pattern.format(*values)`, where the pattern has only numbered or automatic fields"""
    plain_pattern(pattern, len(values))
    return STR  # type: ignore[return-value]


def plain_pattern(pattern: str, count: int) -> None:
    """OpError E0420 unless `pattern` has plain fields for `count` values: no names, attributes, conversions, huge widths."""
    try:
        import string  # 1 ms that few programs need

        fields = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
    except ValueError as error:
        raise OpError("E0420", message=f"bad pattern: {error}") from None
    numbered = [name for _, name, _, _ in fields if name]
    fits = all(n.isascii() and n.isdigit() and len(n) < 6 and int(n) < count for n in numbered) if numbered else len(fields) == count
    if not fits or (numbered and len(numbered) < len(fields)) or any(conversion for _, _, _, conversion in fields):
        raise OpError("E0420", message="a pattern has one plain field per value")
    for _, _, specification, _ in fields:
        # A hostile program must not ask for a text of a billion characters.
        if "{" in (specification or "") or re.search(r"\d{4}", specification or ""):
            raise OpError("E0420", message=f"the format specification {specification!r} is too large")


_ALL = [scalar_add, scalar_sub, scalar_mul, scalar_div, scalar_floordiv, scalar_mod, scalar_pow, scalar_neg, scalar_abs, scalar_eq,
        scalar_ne, scalar_lt, scalar_le, scalar_gt, scalar_ge, scalar_and, scalar_or, scalar_not, scalar_bitand, scalar_bitor,
        scalar_bitxor, scalar_shift_left, scalar_shift_right, scalar_min, scalar_max, scalar_int, scalar_float, scalar_bool,
        scalar_round, scalar_math, scalar_format]
nondifferentiable("scalars carry no gradient", *_ALL)
