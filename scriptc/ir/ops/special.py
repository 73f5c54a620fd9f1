"""Mathematical functions beyond the usual ones, element by element."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.ops.elementwise import eq, exp, le, log, logical_and, masked_fill, reciprocal, rsqrt, sign, where
from scriptc.ir.registry import Elementwise, constant, elementwise, nondifferentiable

E = Elementwise


@elementwise(primitive=True, accepts="floating")
def asinh(x: E) -> E:
    """Inverse hyperbolic sine."""


@elementwise(primitive=True, accepts="floating")
def acosh(x: E) -> E:
    """Inverse hyperbolic cosine; nan below 1."""


@elementwise(primitive=True, accepts="floating")
def atanh(x: E) -> E:
    """Inverse hyperbolic tangent; infinite at -1 and 1, nan outside."""


@elementwise(primitive=True, accepts="floating")
def lgamma(x: E) -> E:
    """log |gamma(x)|; infinite at 0 and the negative integers."""


@elementwise(primitive=True, accepts="floating")
def digamma(x: E) -> E:
    """The derivative of log gamma; nan at the negative integers, minus infinity at 0 (torch.digamma)."""


@elementwise(primitive=True, accepts="floating")
def polygamma(x: E, *, n: int) -> E:
    """The n-th derivative of digamma, n >= 1."""


@elementwise(primitive=True, accepts="floating")
def zeta(x: E, q: E) -> E:
    """Hurwitz's zeta function: the sum over k >= 0 of (k + q) ** -x."""


@elementwise(primitive=True, accepts="floating")
def erfcx(x: E) -> E:
    """exp(x * x) * erfc(x), without overflow."""


@elementwise(primitive=True, accepts="floating")
def ndtri(x: E) -> E:
    """The inverse of the normal distribution function; infinite at 0 and 1, nan outside."""


@elementwise(primitive=True, accepts="floating")
def i0(x: E) -> E:
    """The modified Bessel function of the first kind of order 0."""


@elementwise(primitive=True, accepts="floating")
def i0e(x: E) -> E:
    """exp(-|x|) * i0(x)"""


@elementwise(primitive=True, accepts="floating")
def i1(x: E) -> E:
    """The modified Bessel function of the first kind of order 1."""


@elementwise(primitive=True, accepts="floating")
def i1e(x: E) -> E:
    """exp(-|x|) * i1(x)"""


@elementwise(primitive=True, accepts="floating")
def hypot(a: E, b: E) -> E:
    """sqrt(a * a + b * b), without overflow on the way."""


@elementwise(primitive=True, accepts="floating")
def copysign(a: E, b: E) -> E:
    """|a| with the sign of b, zeros' signs included."""


@elementwise(primitive=True, accepts="floating")
def nextafter(a: E, b: E) -> E:
    """The floating number after a in the direction of b."""


@elementwise(primitive=True, accepts="floating")
def logaddexp(a: E, b: E) -> E:
    """log(exp(a) + exp(b)), without overflow."""


@elementwise(primitive=True, accepts="floating")
def logaddexp2(a: E, b: E) -> E:
    """log2(2**a + 2**b), without overflow."""


@elementwise(primitive=True, accepts="floating")
def xlogy(a: E, b: E) -> E:
    """a * log(b), and 0 where a is 0 and b is no nan."""


@elementwise(primitive=True, accepts="floating")
def xlog1py(a: E, b: E) -> E:
    """a * log(1 + b), and 0 where a is 0 and b is no nan."""


@elementwise(primitive=True, result="bool")
def signbit(x: E) -> E:
    """True where the sign bit is set: negative numbers and -0.0."""


@elementwise(primitive=True, accepts="integer")
def gcd(a: E, b: E) -> E:
    """The greatest common divisor, not negative."""


@elementwise(primitive=True, accepts="integer")
def lcm(a: E, b: E) -> E:
    """The least common multiple, not negative."""


asinh.gradient(lambda g, y, x: g * rsqrt(x * x + 1.0))
acosh.gradient(lambda g, y, x: g * rsqrt(x * x - 1.0))
atanh.gradient(lambda g, y, x: g / (1.0 - x * x))
lgamma.gradient(lambda g, y, x: g * digamma(x))
digamma.gradient(lambda g, y, x: g * polygamma(x, n=1))
polygamma.gradient(lambda g, y, x, n: g * polygamma(x, n=n + 1))
erfcx.gradient(lambda g, y, x: g * (x * y * 2.0 - 2.0 / math.sqrt(math.pi)))
ndtri.gradient(lambda g, y, x: g * exp(y * y * 0.5) * math.sqrt(2.0 * math.pi))
i0.gradient(lambda g, y, x: g * i1(x))
i0e.gradient(lambda g, y, x: g * (i1e(x) - sign(x) * y))
hypot.gradient(lambda g, y, a, b: (g * a / y, g * b / y))
logaddexp2.gradient(lambda g, y, a, b: (g * reciprocal(exp((b - a) * math.log(2.0)) + 1.0), g * reciprocal(exp((a - b) * math.log(2.0)) + 1.0)))


def _ratio(x: Any, y: Any) -> Any:
    """y / x, and 1/2 at the origin: i1(x) / x there."""
    origin = eq(x, 0.0)
    return masked_fill(y / masked_fill(x, origin, 1.0), origin, 0.5)


i1.gradient(lambda g, y, x: g * (i0(x) - _ratio(x, y)))
i1e.gradient(lambda g, y, x: g * (i0e(x) - _ratio(x, y) - sign(x) * y))


@logaddexp.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * reciprocal(exp(b - a) + 1.0), g * reciprocal(exp(a - b) + 1.0)


@copysign.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    # y / a is 1 or -1; at a = 0 torch gives 0.
    return masked_fill(g * sign(a) * sign(y), eq(a, 0.0), 0.0) if not isinstance(a, int | float) else None, g * 0.0


@xlogy.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, int | float):
        return masked_fill(g * math.log(b), eq(a, 0.0), 0.0) if b <= 0 else g * math.log(b), None
    first = None if isinstance(a, int | float) else where(logical_and(eq(a, 0.0), le(b, 0.0)), g * 0.0, g * log(b))
    return first, g * a / b


@xlog1py.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    from scriptc.ir.ops.elementwise import log1p

    if isinstance(b, int | float):
        return (masked_fill(g * 0.0, eq(a, a), 0.0) if b <= -1 else g * math.log1p(b)), None
    first = None if isinstance(a, int | float) else where(logical_and(eq(a, 0.0), le(b, -1.0)), g * 0.0, g * log1p(b))
    return first, g * a / (b + 1.0)


constant("it is constant almost everywhere", signbit)
nondifferentiable("its derivative to its first operand has no closed form, and torch has none either", zeta)
nondifferentiable("its result is a neighbouring number, not a function to differentiate", nextafter)
nondifferentiable("its operands are integers", gcd, lcm)
