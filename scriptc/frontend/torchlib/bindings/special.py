"""Special functions: torch's names for them, with integers as the default float."""
from __future__ import annotations

from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.promotion import default_dtype, integral_to_float, operand, promoted
from scriptc.frontend.torchlib.bindings.register import both, tensor_method, torch_function
from scriptc.ir.types import FLOAT_CATEGORY

# op -> (names in torch and Tensor, names in torch.special)
_UNARY = {
    "asinh": ("asinh arcsinh", ""), "acosh": ("acosh arccosh", ""), "atanh": ("atanh arctanh", ""), "lgamma": ("lgamma", "gammaln"),
    "digamma": ("digamma", "digamma psi"), "erfcx": ("", "erfcx"), "ndtri": ("", "ndtri"), "i0": ("i0", "i0"), "i0e": ("", "i0e"),
    "i1": ("", "i1"), "i1e": ("", "i1e"),
}
_BINARY = {
    "hypot": ("hypot", ""), "copysign": ("copysign", ""), "xlogy": ("xlogy", "xlogy"), "xlog1py": ("", "xlog1py"), "zeta": ("", "zeta"),
    "logaddexp": ("logaddexp", ""), "logaddexp2": ("logaddexp2", ""), "nextafter": ("nextafter", ""),
}


def _register(function: Any, names: tuple[str, str]) -> None:
    both(*names[0].split())(function)
    torch_function(*names[1].split(), module="torch.special")(function)
    for name in names[0].split():
        inplace(name, function)


def _unary(op: str, names: tuple[str, str]) -> None:
    _register(lambda ev, input: ev.op(op, integral_to_float(ev, input)), names)


def _binary(op: str, names: tuple[str, str]) -> None:
    _register(lambda ev, input, other: ev.op(op, *promoted(ev, input, other, floating=True)), names)


for _op, _names in _UNARY.items():
    _unary(_op, _names)
for _op, _names in _BINARY.items():
    _binary(_op, _names)


@both("signbit")
def signbit(ev: Evaluator, input: Any) -> TensorValue:
    return ev.op("signbit", input)


def polygamma(ev: Evaluator, n: Any, input: Any) -> TensorValue:
    if not isinstance(n, int):
        ev.error("E0211", what="polygamma of an order that is only known at run time")
    if n < 0:
        ev.throw("RuntimeError", "polygamma(n, x) does not support negative n.")
    value = integral_to_float(ev, input)
    return ev.op("digamma", value) if n == 0 else ev.op("polygamma", value, n=n)


torch_function("polygamma")(polygamma)
tensor_method("polygamma")(lambda ev, input, n: polygamma(ev, n, input))
inplace("polygamma", lambda ev, input, n: polygamma(ev, n, input))
torch_function("polygamma", module="torch.special")(polygamma)


def _divisors(name: str) -> None:
    def function(ev: Evaluator, input: Any, other: Any) -> TensorValue:
        left, right = promoted(ev, input, other)
        return ev.op(name, left, right)
    both(name)(function)
    inplace(name, function)


_divisors("gcd")
_divisors("lcm")


@both("float_power")
def float_power(ev: Evaluator, input: Any, exponent: Any) -> TensorValue:
    """Both in double precision, then pow."""
    from scriptc.ir.types import DTYPES

    values = [operand(ev, v) for v in (input, exponent)]
    wide = [ev.op("cast", v, dtype=DTYPES["float64"]) if isinstance(v, TensorValue) else float(v) for v in values]
    if not any(isinstance(v, TensorValue) for v in wide):
        wide[0] = ev.op("full", wide[0], dtype=DTYPES["float64"])
    return ev.op("pow", *wide)


inplace("float_power", float_power)


@both("frexp")
def frexp(ev: Evaluator, input: Any) -> Any:
    from scriptc.frontend.torchlib.bindings.reduction import named

    return named("frexp", ("mantissa", "exponent"), ev.op("frexp", input))


@both("ldexp")
def ldexp(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    """input * 2**other"""
    base = default_dtype(ev) if storage.dtype(other).category < FLOAT_CATEGORY else storage.dtype(other)
    if isinstance(input, TensorValue) and storage.dtype(input).category >= FLOAT_CATEGORY and storage.dtype(other).category < FLOAT_CATEGORY:
        base = storage.dtype(input)
    power = ev.op("exp2", other if storage.dtype(other) is base else ev.op("cast", other, dtype=base))
    return ev.op("mul", *promoted(ev, input, power))


inplace("ldexp", ldexp)
