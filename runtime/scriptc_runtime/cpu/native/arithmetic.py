"""Python's scalar arithmetic in a routine. Where Python would raise, or an int leaves 64 bits, the routine gives up."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.ir.graph import Attribute
from scriptc_runtime.cpu.native.writer import Writer
from scriptc_runtime.cpu.printer import Element, Unprintable

Scalar = Any   # an Element, or a Python number that is known
Operation = Callable[..., Scalar]
OPERATIONS: dict[str, Operation] = {}

_EXACT = 2**53     # ints up to here are floats without loss
_LARGEST = 2**63 - 1


def _operation(*names: str) -> Callable[[Operation], Operation]:
    def register(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function
    return register


def dtype_of(value: Scalar) -> str:
    """int64, float64 or bool."""
    if isinstance(value, Element):
        return value.dtype
    if type(value) in (bool, int, float):
        return {bool: "bool", int: "int64", float: "float64"}[type(value)]
    raise Unprintable("not a number")


def _float(w: Writer, value: Scalar) -> Element:
    """A number as a float that is exactly it."""
    if dtype_of(value) == "int64" and isinstance(value, Element):
        w.give_up(f"({value.name} > {_EXACT}) | ({value.name} < -{_EXACT})")
    return w.scalar(value, "float64")


def _pair(w: Writer, a: Scalar, b: Scalar) -> tuple[str, str, str]:
    """(dtype in which two numbers meet, and both in it)."""
    dtype = "float64" if "float64" in (dtype_of(a), dtype_of(b)) else "int64"
    if dtype == "float64":
        return dtype, _float(w, a).name, _float(w, b).name
    return dtype, w.scalar(a, dtype).name, w.scalar(b, dtype).name


@_operation("scalar_add", "scalar_sub")
def _sum(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    plus = name == "scalar_add"
    if type(b) is int and b == 0 and dtype_of(a) == "int64":
        return a
    if plus and type(a) is int and a == 0 and dtype_of(b) == "int64":
        return b
    dtype, x, y = _pair(w, a, b)
    if dtype == "int64":   # before the sum: LLVM takes it that sums of numba's ints stay within 64 bits
        w.give_up(f"{'addo' if plus else 'subo'}({x}, {y})")
    return w.assign(f"{x} {'+' if plus else '-'} {y}", dtype)


@_operation("scalar_mul")
def _product(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    if type(a) is int:
        a, b = b, a
    dtype, x, y = _pair(w, a, b)
    if dtype == "float64":
        return w.assign(f"{x} * {y}", dtype)
    if type(b) is int and b == 1:
        return a
    w.give_up(f"mulo({x}, {y})")
    return w.assign(f"{x} * {y}", dtype)


@_operation("scalar_div")
def _quotient(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    x, y = _float(w, a).name, _float(w, b).name
    w.give_up(f"{y} == f8(0)")
    return w.assign(f"{x} / {y}", "float64")


@_operation("scalar_floordiv", "scalar_mod")
def _floor(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    dtype, x, y = _pair(w, a, b)
    if dtype == "float64":
        raise Unprintable(name)
    if not (type(b) is int and b > 0):
        w.give_up(f"({y} == 0) | ({x} < -{_LARGEST})")
    return w.assign(f"{x} {'//' if name == 'scalar_floordiv' else '%'} {y}", dtype)


@_operation("scalar_neg", "scalar_abs")
def _signed(w: Writer, a: Scalar, *, name: str) -> Scalar:
    dtype = "float64" if dtype_of(a) == "float64" else "int64"
    x = w.scalar(a, dtype).name
    if dtype == "int64":
        w.give_up(f"{x} < -{_LARGEST}")
    if name == "scalar_neg":
        return w.assign(f"-{x}", dtype)
    return w.assign(f"fabs({x})" if dtype == "float64" else f"{x} if {x} >= 0 else -{x}", dtype)


def _comparison(sign: str) -> Operation:
    def compare(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
        _, x, y = _pair(w, a, b)
        return w.assign(f"{x} {sign} {y}", "bool")
    return compare


OPERATIONS.update({f"scalar_{name}": _comparison(sign) for name, sign in
                   (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))})


@_operation("scalar_and", "scalar_or", "scalar_bitand", "scalar_bitor", "scalar_bitxor")
def _logic(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    sign = {"and": "&", "or": "|", "bitand": "&", "bitor": "|", "bitxor": "^"}[name.removeprefix("scalar_")]
    kinds = {dtype_of(a), dtype_of(b)}
    if "float64" in kinds or (name in ("scalar_and", "scalar_or") and kinds != {"bool"}):
        raise Unprintable(name)
    dtype = "bool" if kinds == {"bool"} else "int64"
    return w.assign(f"{w.scalar(a, dtype).name} {sign} {w.scalar(b, dtype).name}", dtype)


@_operation("scalar_not")
def _not(w: Writer, a: Scalar, *, name: str) -> Scalar:
    return w.assign(f"{w.scalar(a, dtype_of(a)).name} == {w.scalar(0, dtype_of(a)).name}", "bool")


@_operation("scalar_shift_left", "scalar_shift_right")
def _shift(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    x, y = w.scalar(a, "int64").name, w.scalar(b, "int64").name
    w.give_up(f"({y} < 0) | ({y} > 62)")
    if name == "scalar_shift_right":
        return w.assign(f"{x} >> {y}", "int64")
    w.give_up(f"({x} > ({_LARGEST} >> {y})) | ({x} < (-{_LARGEST} >> {y}))")
    return w.assign(f"{x} << {y}", "int64")


@_operation("scalar_min", "scalar_max")
def _extreme(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    dtype, x, y = _pair(w, a, b)
    return w.assign(f"{y} if {y} {'<' if name == 'scalar_min' else '>'} {x} else {x}", dtype)


@_operation("scalar_pow")
def _power(w: Writer, a: Scalar, b: Scalar, *, name: str) -> Scalar:
    if type(b) is int and b in (1, 2, 3):
        return _product(w, a, a if b == 2 else _product(w, a, a, name=name), name=name) if b > 1 else a
    if "float64" not in (dtype_of(a), dtype_of(b)):
        raise Unprintable(name)
    x, y = _float(w, a).name, _float(w, b).name
    w.give_up(f"{x} <= f8(0)")
    result = w.assign(f"{x} ** {y}", "float64")
    w.give_up(f"({result.name} != {result.name}) | (fabs({result.name}) == inf)")
    return result


@_operation("scalar_int")
def _int(w: Writer, a: Scalar, *, name: str) -> Scalar:
    if dtype_of(a) != "float64":
        return w.scalar(a, "int64") if isinstance(a, Element) else int(a)
    x = w.scalar(a, "float64").name
    w.give_up(f"({x} != {x}) | (fabs({x}) >= f8({2**62}))")
    return w.assign(x, "int64")


@_operation("scalar_float")
def _to_float(w: Writer, a: Scalar, *, name: str) -> Scalar:
    return w.scalar(a, "float64")


@_operation("scalar_bool")
def _bool(w: Writer, a: Scalar, *, name: str) -> Scalar:
    return w.scalar(a, "bool") if isinstance(a, Element) else bool(a)


_UNARY = frozenset("sqrt exp log log2 log10 log1p expm1 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc fabs".split())


@_operation("scalar_math")
def _math(w: Writer, *operands: Scalar, function: Attribute = "", name: str) -> Scalar:
    x = _float(w, operands[0]).name
    if function in ("floor", "ceil", "trunc"):
        w.give_up(f"({x} != {x}) | (fabs({x}) >= f8({2**62}))")
        return w.assign(w.assign(f"{function}({x})", "float64").name, "int64")
    tests = {"isnan": f"{x} != {x}", "isinf": f"fabs({x}) == inf", "isfinite": f"fabs({x}) < inf"}
    if function in tests:
        return w.assign(tests[str(function)], "bool")
    if function in ("atan2", "hypot", "copysign") and len(operands) == 2:
        text = f"{function}({x}, {_float(w, operands[1]).name})"
    elif function in _UNARY:
        text = f"{function}({x})"
    else:
        raise Unprintable(str(function))
    result = w.assign(text, "float64")
    w.give_up(f"({result.name} != {result.name}) | (fabs({result.name}) == inf)")   # math raises there, unless the operand was no number
    return result
