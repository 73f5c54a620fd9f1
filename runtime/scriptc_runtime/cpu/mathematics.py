"""What the names in a printed loop mean to numba, with float32 exp, log, log1p, tanh and erf that LLVM can vectorise.

The C library's functions are calls, one element at a time; these are straight-line polynomials. Errors, measured on
normal numbers: exp, log and tanh 2 ulp, log1p 3 ulp, erf 6 ulp; infinities and nan as in C.
"""
from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

LIBM = ("fabs exp expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc "
        "atan2 hypot copysign").split()

_f4 = np.float32
_ZERO, _ONE, _TWO, _HALF = _f4(0), _f4(1), _f4(2), _f4(0.5)
_NAN, _INF = _f4(math.nan), _f4(math.inf)
_ROUND = _f4(12582912.0)                     # 1.5 * 2**23: adding it rounds to an integer, kept in the low bits
_ROUND_BITS = np.int32(0x4B400000)
_LOG2E, _LN2_HIGH, _LN2_LOW = _f4(1.44269504), _f4(0.693359375), _f4(-2.12194440e-4)
# Polynomials of the Cephes library (Moshier 1989), and the rational erf of Eigen.
_E0, _E1, _E2, _E3, _E4, _E5 = map(_f4, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
                                         5.0000001201e-1))
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = map(_f4, (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
    -2.4999993993e-1, 3.3333331174e-1))
_T0, _T1, _T2, _T3, _T4 = map(_f4, (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1))
_A0, _A1, _A2, _A3, _A4, _A5, _A6 = map(_f4, (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
    -2.95459980854025e-03, -1.60960333262415e-02))
_B0, _B1, _B2, _B3, _B4 = map(_f4, (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
                                    -1.42647390514189e-02))
_EXP_HIGH, _EXP_LOW = _f4(89.0), _f4(-105.0)
_SMALLEST, _UP, _SQRT_HALF = _f4(1.17549435e-38), _f4(8388608.0), _f4(0.707106781186547524)
_TANH_SMALL, _ERF_END = _f4(0.625), _f4(4.0)
_BIAS, _SHIFT, _ONE_BIT = np.int32(127), np.int32(23), np.int32(1)
_MANTISSA, _HALF_BITS, _EXPONENT, _HALF_BIAS = np.int32(0x007FFFFF), np.int32(0x3F000000), np.int32(0xFF), np.int32(126)


@functools.cache
def _compiled() -> dict[str, Any]:
    """The float32 functions as numba dispatchers."""
    import numba
    from numba import extending, types

    intrinsic: Any = extending.intrinsic

    @intrinsic
    def bits(context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(types.int32))
        return types.int32(types.float32), generate

    @intrinsic
    def number(context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(types.float32))
        return types.float32(types.int32), generate

    compiled: Any = numba.njit(error_model="numpy")

    @compiled
    def power_of_two(n: Any) -> Any:
        return number(types.int32((n + _BIAS) << _SHIFT))

    @compiled
    def exp4(x: Any) -> Any:
        held = _EXP_HIGH if x > _EXP_HIGH else x
        held = _EXP_LOW if held < _EXP_LOW else held
        rounded = held * _LOG2E + _ROUND
        n = types.int32(bits(rounded) - _ROUND_BITS)
        whole = rounded - _ROUND
        r = held - whole * _LN2_HIGH - whole * _LN2_LOW
        p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
        value = p * (r * r) + r + _ONE
        first = types.int32(n >> _ONE_BIT)  # in two factors: 2**n alone may be beyond float32 where the product is not
        return value * power_of_two(first) * power_of_two(types.int32(n - first))

    @compiled
    def log4(x: Any) -> Any:
        tiny = x < _SMALLEST
        normal = x * _UP if tiny else x
        pattern = bits(normal)
        exponent = types.int32(((pattern >> _SHIFT) & _EXPONENT) - _HALF_BIAS)
        m = number(types.int32((pattern & _MANTISSA) | _HALF_BITS))
        low = m < _SQRT_HALF
        e = types.float32(exponent) - (_ONE if low else _ZERO) - (types.float32(23) if tiny else _ZERO)
        m = (m + m if low else m) - _ONE
        z = m * m
        p = (((((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5) * m + _L6) * m + _L7) * m + _L8
        value = m + (m * z * p + e * _LN2_LOW - _HALF * z) + e * _LN2_HIGH
        value = value if x > _ZERO else (-_INF if x == _ZERO else _NAN)
        return value if x < _INF else x

    @compiled
    def log1p4(x: Any) -> Any:
        # log(u) for u = 1 + x as rounded, times x over what u really adds: the error of the rounding cancels (Higham 2002, section 1.14.1).
        u = x + _ONE
        away = u - _ONE
        value = log4(u) * (x / away)
        return x if (away == _ZERO) | (u == _INF) else value

    @compiled
    def tanh4(x: Any) -> Any:
        size = -x if x < _ZERO else x
        z = x * x
        small = ((((_T0 * z + _T1) * z + _T2) * z + _T3) * z + _T4) * z * x + x
        large = _ONE - _TWO / (exp4(size + size) + _ONE)
        large = -large if x < _ZERO else large
        return small if size < _TANH_SMALL else large

    @compiled
    def erf4(x: Any) -> Any:
        held = _ERF_END if x > _ERF_END else x
        held = -_ERF_END if held < -_ERF_END else held
        z = held * held
        p = (((((_A0 * z + _A1) * z + _A2) * z + _A3) * z + _A4) * z + _A5) * z + _A6
        q = (((_B0 * z + _B1) * z + _B2) * z + _B3) * z + _B4
        return held * p / q

    return {"exp4": exp4, "log4": log4, "log1p4": log1p4, "tanh4": tanh4, "erf4": erf4}


def namespace() -> dict[str, Any]:
    """The globals of a printed loop: conversions, mathematics, `range`, and no builtins."""
    import numba

    return {
        "__builtins__": {}, "range": range, "inf": math.inf, **{name: getattr(math, name) for name in LIBM}, **_compiled(),
        "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,  # those of `math` give ints
        "f4": numba.float32, "f8": numba.float64, "i1": numba.int8, "i2": numba.int16, "i4": numba.int32, "i8": numba.int64,
        "u1": numba.uint8, "b1": numba.boolean,
    }
