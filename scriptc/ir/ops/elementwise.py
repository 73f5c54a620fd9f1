"""Arithmetic, comparison, logic and mathematics, element by element."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.registry import Elementwise, OpError, Tensor, constant, elementwise, nondifferentiable, op
from scriptc.ir.registry import broadcast as broadcast_shapes
from scriptc.ir.types import BOOL_CATEGORY, DType, TensorType, Type, bool_, category_of

E = Elementwise


@elementwise(primitive=True, accepts="numeric")
def neg(x: E) -> E:
    """-x"""


@elementwise(primitive=True, accepts="real")
def abs_(x: E) -> E:
    """|x|; the most negative integer stays as it is, as in torch."""


@elementwise(primitive=True, accepts="real")
def sign(x: E) -> E:
    """-1, 0 or 1; 0 for nan, as in torch."""


@elementwise(primitive=True, accepts="floating")
def exp(x: E) -> E:
    """e**x"""


@elementwise(primitive=True, accepts="floating")
def exp2(x: E) -> E:
    """2**x"""


@elementwise(primitive=True, accepts="floating")
def expm1(x: E) -> E:
    """exp(x) - 1, accurate near 0"""


@elementwise(primitive=True, accepts="floating")
def log(x: E) -> E:
    """Natural logarithm; nan below 0, -inf at 0."""


@elementwise(primitive=True, accepts="floating")
def log2(x: E) -> E:
    """Logarithm to base 2."""


@elementwise(primitive=True, accepts="floating")
def log10(x: E) -> E:
    """Logarithm to base 10."""


@elementwise(primitive=True, accepts="floating")
def log1p(x: E) -> E:
    """log(1 + x), accurate near 0"""


@elementwise(primitive=True, accepts="floating")
def sqrt(x: E) -> E:
    """Square root; nan below 0."""


@elementwise(accepts="floating")
def rsqrt(x: E) -> Any:
    """1 / sqrt(x)"""
    return 1.0 / sqrt(x)


@elementwise(primitive=True, accepts="floating")
def sin(x: E) -> E:
    """Sine (radians)."""


@elementwise(primitive=True, accepts="floating")
def cos(x: E) -> E:
    """Cosine (radians)."""


@elementwise(primitive=True, accepts="floating")
def tan(x: E) -> E:
    """Tangent (radians)."""


@elementwise(primitive=True, accepts="floating")
def asin(x: E) -> E:
    """Inverse sine; nan outside [-1, 1]."""


@elementwise(primitive=True, accepts="floating")
def acos(x: E) -> E:
    """Inverse cosine; nan outside [-1, 1]."""


@elementwise(primitive=True, accepts="floating")
def atan(x: E) -> E:
    """Inverse tangent."""


@elementwise(primitive=True, accepts="floating")
def sinh(x: E) -> E:
    """Hyperbolic sine."""


@elementwise(primitive=True, accepts="floating")
def cosh(x: E) -> E:
    """Hyperbolic cosine."""


@elementwise(primitive=True, accepts="floating")
def tanh(x: E) -> E:
    """Hyperbolic tangent."""


@elementwise(primitive=True, accepts="floating")
def erf(x: E) -> E:
    """The error function."""


@elementwise(accepts="floating")
def erfc(x: E) -> Any:
    """1 - erf(x)"""
    return 1.0 - erf(x)


@elementwise(primitive=True, accepts="floating")
def erfinv(x: E) -> E:
    """The inverse of erf; infinite at -1 and 1, nan outside."""


@elementwise(primitive=True, accepts="real")
def floor(x: E) -> E:
    """Largest integer not above x; integers stay."""


@elementwise(primitive=True, accepts="real")
def ceil(x: E) -> E:
    """Smallest integer not below x; integers stay."""


@elementwise(primitive=True, accepts="real")
def round_(x: E, *, decimals: int = 0) -> E:
    """Nearest value with `decimals` decimals, halves to even (torch.round)."""


@elementwise(primitive=True, accepts="real")
def trunc(x: E) -> E:
    """x without its fraction."""


@elementwise(accepts="floating")
def frac(x: E) -> Any:
    """x - trunc(x): the sign is kept."""
    return x - trunc(x)


@elementwise(accepts="floating")
def reciprocal(x: E) -> Any:
    """1 / x"""
    return 1.0 / x


@elementwise
def square(x: E) -> Any:
    """x * x"""
    return x * x


@elementwise
def detach(x: E) -> Any:
    """x, through which no gradient flows (torch.Tensor.detach)."""
    return x


@elementwise(primitive=True, result="bool")
def logical_not(x: E) -> E:
    """True where x is zero."""


@elementwise(primitive=True, accepts="integral")
def bitwise_not(x: E) -> E:
    """~x; for bools, not x."""


@elementwise(primitive=True, result="bool")
def isnan(x: E) -> E:
    """True where x is nan."""


@elementwise(primitive=True, result="bool")
def isinf(x: E) -> E:
    """True where x is plus or minus infinity."""


@elementwise(primitive=True, result="bool")
def isfinite(x: E) -> E:
    """True where x is neither infinite nor nan."""


@elementwise(primitive=True)
def add(a: E, b: E) -> E:
    """a + b; for bools, or. Integers wrap."""


@elementwise(primitive=True, accepts="numeric")
def sub(a: E, b: E) -> E:
    """a - b; integers wrap."""


@elementwise(primitive=True)
def mul(a: E, b: E) -> E:
    """a * b; for bools, and. Integers wrap."""


@elementwise(primitive=True, accepts="floating")
def div(a: E, b: E) -> E:
    """a / b with IEEE results for division by zero."""


@elementwise(primitive=True)
def floor_divide(a: E, b: E) -> E:
    """a / b rounded down. RuntimeError for an integer division by zero, as in torch."""


@elementwise(primitive=True)
def remainder(a: E, b: E) -> E:
    """a - b * floor(a / b): the sign of b (torch.remainder, Python's %)."""


@elementwise(primitive=True)
def fmod(a: E, b: E) -> E:
    """a - b * trunc(a / b): the sign of a."""


@elementwise(primitive=True)
def pow_(a: E, b: E) -> E:
    """a ** b; integers to a negative power give 0 (1 and -1 their own powers), as in torch."""


@elementwise(primitive=True, accepts="floating")
def atan2(a: E, b: E) -> E:
    """The angle of the point (b, a)."""


@elementwise(primitive=True, accepts="real")
def maximum(a: E, b: E) -> E:
    """The larger; nan if either is nan."""


@elementwise(primitive=True, accepts="real")
def minimum(a: E, b: E) -> E:
    """The smaller; nan if either is nan."""


@elementwise(primitive=True, accepts="real")
def fmax(a: E, b: E) -> E:
    """The larger; a nan loses."""


@elementwise(primitive=True, accepts="real")
def fmin(a: E, b: E) -> E:
    """The smaller; a nan loses."""


@elementwise(primitive=True, result="bool")
def eq(a: E, b: E) -> E:
    """a == b"""


@elementwise(primitive=True, result="bool")
def ne(a: E, b: E) -> E:
    """a != b"""


@elementwise(primitive=True, result="bool", accepts="real")
def lt(a: E, b: E) -> E:
    """a < b"""


@elementwise(primitive=True, result="bool", accepts="real")
def le(a: E, b: E) -> E:
    """a <= b"""


@elementwise(primitive=True, result="bool", accepts="real")
def gt(a: E, b: E) -> E:
    """a > b"""


@elementwise(primitive=True, result="bool", accepts="real")
def ge(a: E, b: E) -> E:
    """a >= b"""


@elementwise(primitive=True, result="bool")
def logical_and(a: E, b: E) -> E:
    """True where both are nonzero."""


@elementwise(primitive=True, result="bool")
def logical_or(a: E, b: E) -> E:
    """True where either is nonzero."""


@elementwise(primitive=True, result="bool")
def logical_xor(a: E, b: E) -> E:
    """True where exactly one is nonzero."""


@elementwise(primitive=True, accepts="integral")
def bitwise_and(a: E, b: E) -> E:
    """a & b"""


@elementwise(primitive=True, accepts="integral")
def bitwise_or(a: E, b: E) -> E:
    """a | b"""


@elementwise(primitive=True, accepts="integral")
def bitwise_xor(a: E, b: E) -> E:
    """a ^ b"""


@elementwise(primitive=True, accepts="integral")
def shift_left(a: E, b: E) -> E:
    """a << b; 0 where b is not below the width."""


@elementwise(primitive=True, accepts="integral")
def shift_right(a: E, b: E) -> E:
    """a >> b, keeping the sign."""


def select_type(name: str, condition: TensorType, a: Type, b: Type) -> TensorType:
    """The type of `condition ? a : b`: the tensors' common dtype, all three broadcast."""
    if condition.dtype is not bool_:
        raise OpError("E0408", op=name, expected="bool conditions", found=condition.dtype)
    tensors = [t for t in (a, b) if isinstance(t, TensorType)]
    if not tensors:
        raise OpError("E0406", op=name)
    dtype = tensors[0].dtype
    for kind in (a, b):
        if isinstance(kind, TensorType) and kind.dtype is not dtype:
            raise OpError("E0407", op=name, left=dtype, right=kind.dtype)
        if not isinstance(kind, TensorType) and category_of(kind) > dtype.category:
            raise OpError("E0409", op=name, scalar=kind, dtype=dtype)
    return TensorType(dtype, broadcast_shapes(condition.shape, *(t.shape for t in tensors)))


@op
def where(condition: Tensor, a: Elementwise, b: Elementwise) -> Tensor:
    """`a` where `condition` (bool) holds, else `b`; at least one of them is a tensor, scalars take its dtype."""
    return select_type("where", condition, a, b)


@op
def masked_fill(x: Tensor, mask: Tensor, value: Elementwise) -> Tensor:
    """`value` (a scalar or a 0-d tensor) where `mask` (bool, broadcast to x) holds, else x."""
    return select_type("masked_fill", mask, value, x)


@elementwise(primitive=True, accepts="real")
def clamp(x: E, low: E | None, high: E | None) -> E:
    """x limited to [low, high], either of which may be None; nan stays; low > high gives high."""


@elementwise(accepts="floating")
def lerp(a: E, b: E, weight: E) -> Any:
    """a + weight * (b - a)"""
    return a + weight * (b - a)


@op
def cast(x: Tensor, *, dtype: DType) -> Tensor:
    """x in another dtype: floats to ints truncate, anything to bool is != 0."""
    return x.with_dtype(dtype)


# Gradients.

neg.gradient(lambda g, y, x: -g)
abs_.gradient(lambda g, y, x: g * sign(x))
exp.gradient(lambda g, y, x: g * y)
exp2.gradient(lambda g, y, x: g * y * math.log(2.0))
expm1.gradient(lambda g, y, x: g * (y + 1.0))
log.gradient(lambda g, y, x: g / x)
log2.gradient(lambda g, y, x: g / (x * math.log(2.0)))
log10.gradient(lambda g, y, x: g / (x * math.log(10.0)))
log1p.gradient(lambda g, y, x: g / (x + 1.0))
sqrt.gradient(lambda g, y, x: g / (y * 2.0))
rsqrt.gradient(lambda g, y, x: g * y * y * y * -0.5)
sin.gradient(lambda g, y, x: g * cos(x))
cos.gradient(lambda g, y, x: -g * sin(x))
tan.gradient(lambda g, y, x: g * (y * y + 1.0))
asin.gradient(lambda g, y, x: g * rsqrt(1.0 - x * x))
acos.gradient(lambda g, y, x: -g * rsqrt(1.0 - x * x))
atan.gradient(lambda g, y, x: g / (x * x + 1.0))
sinh.gradient(lambda g, y, x: g * cosh(x))
cosh.gradient(lambda g, y, x: g * sinh(x))
tanh.gradient(lambda g, y, x: g * (1.0 - y * y))
erf.gradient(lambda g, y, x: g * exp(-(x * x)) * (2.0 / math.sqrt(math.pi)))
erfc.gradient(lambda g, y, x: g * exp(-(x * x)) * (-2.0 / math.sqrt(math.pi)))
erfinv.gradient(lambda g, y, x: g * exp(y * y) * (math.sqrt(math.pi) / 2.0))
reciprocal.gradient(lambda g, y, x: -g * y * y)
square.gradient(lambda g, y, x: g * x * 2.0)
frac.gradient(lambda g, y, x: g)
add.gradient(lambda g, y, a, b: (g, g))
sub.gradient(lambda g, y, a, b: (g, -g))
mul.gradient(lambda g, y, a, b: (g * b, g * a))
div.gradient(lambda g, y, a, b: (g / b, -g * y / b))
remainder.gradient(lambda g, y, a, b: (g, -g * floor_divide(a, b)))
fmod.gradient(lambda g, y, a, b: (g, -g * trunc(div(a, b))))
atan2.gradient(lambda g, y, a, b: (g * b / (a * a + b * b), -g * a / (a * a + b * b)))
lerp.gradient(lambda g, y, a, b, weight: (g * (1.0 - weight), g * weight, g * (b - a)))
fmax.gradient(lambda g, y, a, b: (masked_fill(g, lt(a, b), 0.0), masked_fill(g, ge(a, b), 0.0)))
fmin.gradient(lambda g, y, a, b: (masked_fill(g, gt(a, b), 0.0), masked_fill(g, le(a, b), 0.0)))


@pow_.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, int | float):
        return (g * 0.0 if b == 0 else g * pow_(a, b - 1) * float(b)), None
    base = g * b * pow_(a, b - 1.0)
    if isinstance(a, int | float):
        return None, g * y * math.log(a)
    # d/db a**b = a**b log(a); at a = 0 torch gives 0 where b >= 0.
    return base, where(logical_and(eq(a, 0.0), ge(b, 0.0)), g * 0.0, g * y * log(a))


def _extremum(picks: Any) -> Any:
    def rule(g: Any, y: Any, a: Any, b: Any) -> Any:
        # Where both are equal each gets half, as in torch.
        half, first, second = eq(a, b), picks(a, b), picks(b, a)
        zero = g * 0.0
        return (where(half, g * 0.5, where(first, g, zero)), where(half, g * 0.5, where(second, g, zero)))
    return rule


maximum.gradient(_extremum(gt))
minimum.gradient(_extremum(lt))


@where.gradient
def _(g: Any, y: Any, condition: Any, a: Any, b: Any) -> Any:
    zero = g * 0.0
    return None, where(condition, g, zero), where(condition, zero, g)


@masked_fill.gradient
def _(g: Any, y: Any, x: Any, mask: Any, value: Any) -> Any:
    return masked_fill(g, mask, 0.0), None, where(mask, g, g * 0.0)


@clamp.gradient
def _(g: Any, y: Any, x: Any, low: Any, high: Any) -> Any:
    zero = g * 0.0
    inside = g
    below = above = None
    if low is not None:
        inside = where(ge(x, low), inside, zero)
        below = where(lt(x, low), g, zero)
    if high is not None:
        inside = where(le(x, high), inside, zero)
        above = where(gt(x, high), g, zero)
    if low is not None and high is not None:
        # Where the limits cross the result is `high`, whatever x is.
        crossed = low > high if isinstance(low, int | float) and isinstance(high, int | float) else gt(low, high)
        if isinstance(crossed, bool):
            below, above = (zero, g) if crossed else (below, above)
        else:
            below, above = where(crossed, zero, below), where(crossed, g, above)
    return inside, below, above


@cast.gradient
def _(g: Any, y: Any, x: Any, *, dtype: DType) -> Any:
    return g.cast(x.dtype) if x.dtype.category > BOOL_CATEGORY + 1 else None


constant("it is what stops gradients", detach)
constant("it is constant almost everywhere", sign, floor, ceil, round_, trunc, floor_divide)
nondifferentiable("its result is bool", logical_not, isnan, isinf, isfinite, eq, ne, lt, le, gt, ge, logical_and, logical_or,
                  logical_xor)
nondifferentiable("its operands are integers", bitwise_not, bitwise_and, bitwise_or, bitwise_xor, shift_left, shift_right)
