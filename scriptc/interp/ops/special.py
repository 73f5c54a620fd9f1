"""Mathematical functions beyond the usual ones, in double precision and rounded once."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.ops.elementwise import inverse_error_function, keep, operands
from scriptc.interp.registry import REFERENCES, widened

# B(2k) / (2k)! of Euler and Maclaurin's formula, k = 1...12.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730)
_SHIFT = 10   # from here on the asymptotic series are exact in double precision
_LONGEST = 10_000   # steps towards it from a negative argument


def _log_gamma(value: float) -> float:
    try:
        return math.lgamma(value)
    except (ValueError, OverflowError):
        return math.inf


def zeta(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hurwitz's zeta by Euler and Maclaurin: terms up to ten, the integral, and the corrections (Abramowitz & Stegun 23.2)."""
    x, q = np.broadcast_arrays(x, q)
    total, w = np.zeros(x.shape), np.array(q)
    for _ in range(_LONGEST):
        low = w < _SHIFT
        if not low.any():
            break
        total += np.where(low, w**-x, 0)
        w = np.where(low, w + 1, w)
    total += w ** (1 - x) / (x - 1) + 0.5 * w**-x
    factor = x.copy()
    for k, number in enumerate(_BERNOULLI, start=1):
        total += number / math.factorial(2 * k) * factor * w ** (-x - 2 * k + 1)
        factor = factor * (x + 2 * k - 1) * (x + 2 * k)
    poles = (q <= 0) & (q == np.floor(q))
    total = np.where(poles, np.inf, np.where((q < 0) & (x != np.floor(x)), np.nan, total))
    return np.where(x == 1, np.inf, np.where(x < 1, np.nan, total))


def digamma(x: np.ndarray) -> np.ndarray:
    """By recurrence to large arguments and the asymptotic series; below 0 by reflection."""
    low = x < 0
    v = np.where(low, 1 - x, x)
    shift = np.zeros(v.shape)
    for _ in range(_SHIFT):
        small = v < _SHIFT
        shift -= np.where(small, 1 / v, 0)
        v = np.where(small, v + 1, v)
    series = sum(number / (2 * k) * v ** (-2 * k) for k, number in enumerate(_BERNOULLI, start=1))
    result = shift + np.log(v) - 0.5 / v - series
    # tan of the fraction: pi * x itself would lose digits for large x.
    result = np.where(low, result - np.pi / np.tan(np.pi * (x - np.floor(x))), result)
    result = np.where(low & (x == np.floor(x)), np.nan, result)
    result = np.where(x == 0, np.copysign(np.inf, -x), result)
    return np.where(x == np.inf, np.inf, np.where(x == -np.inf, np.nan, result))


def polygamma(x: np.ndarray, n: int) -> np.ndarray:
    if n == 0:
        return digamma(x)
    if n == 1:
        # By reflection below 1/2, where the series of zeta is far from its poles no more.
        low = x < 0.5
        v = np.where(low, 1 - x, x)
        value = zeta(np.full(v.shape, 2.0), v)
        return np.where(low, (np.pi / np.sin(np.pi * x)) ** 2 - value, value)
    return (-1.0) ** (n + 1) * math.factorial(n) * zeta(np.full(x.shape, n + 1.0), x)


def scaled_complement(x: np.ndarray) -> np.ndarray:
    """erfcx: the product while it is harmless, then Laplace's continued fraction (Abramowitz & Stegun 7.1.14)."""
    near = np.exp(np.minimum(x, 5.0) ** 2) * np.asarray(np.frompyfunc(math.erfc, 1, 1)(np.minimum(x, 5.0))).astype(np.float64)
    v, fraction = np.maximum(x, 1.0), np.zeros(x.shape)
    for k in range(60, 0, -1):
        fraction = k / 2 / (v + fraction)
    far = 1 / (math.sqrt(math.pi) * (v + fraction))
    return np.where(x < 5, np.where(x < -26.7, np.inf, near), far)


def normal_quantile(x: np.ndarray) -> np.ndarray:
    """ndtri: from erfinv, then Newton steps on the logarithm of the tail, which keep the digits of small probabilities."""
    tail = np.minimum(x, 1 - x)
    with np.errstate(all="ignore"):
        start = math.sqrt(2) * inverse_error_function(np.clip(2 * tail - 1, -1 + 1e-15, 0))
        y = np.where(tail < 1e-8, -np.sqrt(np.maximum(-2 * np.log(np.maximum(tail, 1e-300)), 0)), start)
        for _ in range(8):
            scaled = scaled_complement(-y / math.sqrt(2))
            logarithm = np.log(0.5 * scaled) - 0.5 * y * y
            y = y - (logarithm - np.log(tail)) * scaled * math.sqrt(math.pi / 2)
    y = np.where(x > 0.5, -y, y)
    y = np.where(x == 0, -np.inf, np.where(x == 1, np.inf, np.where(x == 0.5, 0.0, y)))
    return np.where((x < 0) | (x > 1) | (x != x), np.nan, y)


def bessel(order: int, x: np.ndarray) -> np.ndarray:
    """exp(-|x|) times the modified Bessel function of the first kind: its power series, and Hankel's expansion from 30 on."""
    size = np.abs(x)
    small, large = np.minimum(size, 30.0), np.maximum(size, 30.0)
    quarter = small * small / 4
    term = (small / 2) ** order / math.factorial(order)
    series = term.copy()
    for k in range(1, 80):
        term = term * quarter / (k * (k + order))
        series += term
    factor = np.ones(x.shape)
    expansion = np.ones(x.shape)
    for k in range(1, 18):
        factor = -factor * (4 * order * order - (2 * k - 1) ** 2) / (k * 8 * large)
        expansion += factor
    result = np.where(size < 30, series * np.exp(-small), expansion / np.sqrt(2 * np.pi * large))
    return np.copysign(1.0, x) * result if order % 2 else result


def _times_log(logarithm: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    return lambda a, b: np.where((a == 0) & (b == b), 0.0, a * logarithm(b))


_UNARY: dict[str, Callable[..., Any]] = {
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "lgamma": lambda x: np.asarray(np.frompyfunc(_log_gamma, 1, 1)(x)).astype(np.float64), "digamma": digamma, "polygamma": polygamma,
    "erfcx": scaled_complement, "ndtri": normal_quantile,
    "i0": lambda x: bessel(0, x) * np.exp(np.abs(x)), "i0e": lambda x: bessel(0, x),
    "i1": lambda x: bessel(1, x) * np.exp(np.abs(x)), "i1e": lambda x: bessel(1, x),
}
_BINARY: dict[str, Callable[..., Any]] = {
    "zeta": zeta, "hypot": np.hypot, "copysign": np.copysign, "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2,
    "xlogy": _times_log(np.log), "xlog1py": _times_log(np.log1p),
}
# In the operands' own precision: the neighbour of a number depends on it, integers are exact.
_EXACT: dict[str, Callable[..., Any]] = {"nextafter": np.nextafter, "gcd": np.gcd, "lcm": np.lcm}


def _double(function: Callable[..., Any]) -> Callable[..., Any]:
    def meaning(*given: Any, **attributes: Any) -> np.ndarray:
        arrays = operands(*given)
        with np.errstate(all="ignore"):
            return keep(function(*(a.astype(np.float64) for a in arrays), **attributes), arrays[0])
    return widened(meaning)


def _exact(function: Callable[..., Any]) -> Callable[..., Any]:
    def meaning(*given: Any) -> np.ndarray:
        arrays = operands(*given)
        return keep(function(*arrays), arrays[0])
    return meaning


for _table, _form in ((_UNARY, _double), (_BINARY, _double), (_EXACT, _exact)):
    for _name, _function in _table.items():
        REFERENCES[_name] = _form(_function)


def signbit(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.signbit(x) if x.dtype.kind == "f" else x < 0)


REFERENCES["signbit"] = widened(signbit)
