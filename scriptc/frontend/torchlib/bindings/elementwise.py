"""Elementwise functions, methods, operators and their in-place forms."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.promotion import (
    converted,
    default_dtype,
    integral_to_float,
    operand,
    promoted,
    result_dtype,
)
from scriptc.frontend.torchlib.bindings.register import both, tensor_method, torch_function
from scriptc.ir.types import (
    DTYPES,
    FLOAT_CATEGORY,
    INT_CATEGORY,
    bool_,
    int64,
)


def store(ev: Evaluator, target: TensorValue, result: TensorValue) -> TensorValue:
    """The result of an in-place operation written into its target, whose shape and dtype stay."""
    wanted, found = storage.dtype(target), storage.dtype(result)
    if wanted is not found:
        if found.category > wanted.category:
            ev.throw("RuntimeError", f"result type {torch_name(found.name)} can't be cast to the desired output type {torch_name(wanted.name)}")
        result = ev.op("cast", result, dtype=wanted)
    before, after = storage.shape_of(ev, target), storage.shape_of(ev, result)
    if before is not None and after is not None and before != after:
        if len(before) != len(after) or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(before, after, strict=True)):
            ev.throw("RuntimeError", f"output with shape {list(before)} doesn't match the broadcast shape {list(after)}")
    storage.write(ev, target, storage.unread(ev, result))
    return target


def torch_name(name: str) -> str:
    return {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "bool": "Bool", "float16": "Half",
            "bfloat16": "BFloat16", "uint8": "Byte", "int8": "Char", "int16": "Short"}.get(name, name)


def inplace(name: str, function: Callable[..., Any]) -> None:
    """Tensor.name_: the function's result written back."""
    def method(ev: Evaluator, input: Any, *arguments: Any, **keywords: Any) -> TensorValue:
        return store(ev, input, function(ev, input, *arguments, **keywords))
    tensor_method(name + "_")(method)


# One operand.

def _unary(op: str, *names: str, floating: bool = False, bools: bool = False) -> None:
    def function(ev: Evaluator, input: Any) -> TensorValue:
        value = operand(ev, input)
        if not isinstance(value, TensorValue):
            value = ev.op("full", value, dtype=default_dtype(ev))
        if floating:
            value = integral_to_float(ev, value)
        return ev.op(op, value)
    both(*names)(function)
    torch_function(*names, module="torch.special")(function)
    if not bools or op == "logical_not":
        for name in names:
            inplace(name, function)


for _op, _names in {
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10", "log1p": "log1p", "sqrt": "sqrt",
    "rsqrt": "rsqrt", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin arcsin", "acos": "acos arccos", "atan": "atan arctan",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "sigmoid": "sigmoid expit",
    "reciprocal": "reciprocal",
}.items():
    _unary(_op, *_names.split(), floating=True)
for _op, _names in {"neg": "neg negative", "abs": "abs absolute", "sign": "sign sgn", "floor": "floor", "ceil": "ceil", "trunc": "trunc fix",
                    "frac": "frac", "relu": "relu", "bitwise_not": "bitwise_not"}.items():
    _unary(_op, *_names.split())
for _op in ("isnan", "isinf", "isfinite", "logical_not"):
    _unary(_op, _op, bools=True)


@both("round")
def round_(ev: Evaluator, input: Any, *, decimals: int = 0) -> TensorValue:
    return ev.op("round", input, decimals=decimals)


inplace("round", round_)
tensor_method("__neg__")(lambda ev, input: ev.op("neg", input))
tensor_method("__pos__")(lambda ev, input: input)
tensor_method("__abs__")(lambda ev, input: ev.op("abs", input))
tensor_method("__invert__")(lambda ev, input: ev.op("bitwise_not", input))


@both("nan_to_num")
def nan_to_num(ev: Evaluator, input: Any, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> TensorValue:
    import numpy as np

    if storage.dtype(input).category < FLOAT_CATEGORY:
        return storage.tensor_of(storage.read(ev, input))
    limits = np.finfo(storage.dtype(input).numpy if storage.dtype(input).name != "bfloat16" else np.float32)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    clean = ev.op("masked_fill", input, ev.op("isnan", input), float(nan))
    clean = ev.op("masked_fill", clean, ev.op("eq", clean, float("inf")), float(high))
    return ev.op("masked_fill", clean, ev.op("eq", clean, float("-inf")), float(low))


inplace("nan_to_num", nan_to_num)


# Two operands.

def _binary(op: str, names: str, *, floating: bool = False, operators: str = "", alpha: bool = False, to_bool: bool = False) -> None:
    def function(ev: Evaluator, input: Any, other: Any) -> TensorValue:
        left, right = promoted(ev, input, other, floating=floating)
        return ev.op(op, left, right)

    def scaled(ev: Evaluator, input: Any, other: Any, *, alpha: Any = 1) -> TensorValue:
        if alpha != 1:
            other = function_mul(ev, other, alpha) if isinstance(other, TensorValue) else other * alpha
        return function(ev, input, other)
    public = scaled if alpha else function
    both(*names.split())(public)
    for name in names.split():
        inplace(name, public)
    for name in operators.split():
        tensor_method(f"__{name}__")(function)
        tensor_method(f"__r{name}__")(lambda ev, input, other: function(ev, other, input))
        if not to_bool:
            tensor_method(f"__i{name}__")(lambda ev, input, other: store(ev, input, function(ev, input, other)))


def function_mul(ev: Evaluator, a: Any, b: Any) -> TensorValue:
    left, right = promoted(ev, a, b)
    return ev.op("mul", left, right)


_binary("add", "add", operators="add", alpha=True)
_binary("sub", "sub subtract", operators="sub", alpha=True)
_binary("mul", "mul multiply", operators="mul")
_binary("floor_divide", "floor_divide", operators="floordiv")
_binary("remainder", "remainder", operators="mod")
_binary("fmod", "fmod")
_binary("atan2", "atan2 arctan2", floating=True)
_binary("maximum", "maximum")
_binary("minimum", "minimum")
_binary("fmax", "fmax")
_binary("fmin", "fmin")
_binary("bitwise_and", "bitwise_and", operators="and")
_binary("bitwise_or", "bitwise_or", operators="or")
_binary("bitwise_xor", "bitwise_xor", operators="xor")
_binary("shift_left", "bitwise_left_shift", operators="lshift")
_binary("shift_right", "bitwise_right_shift", operators="rshift")
for _name, _alias in {"eq": "eq", "ne": "ne not_equal", "lt": "lt less", "le": "le less_equal", "gt": "gt greater",
                      "ge": "ge greater_equal"}.items():
    _binary(_name, _alias, operators=_name, to_bool=True)


def _logical(op: str) -> None:
    def function(ev: Evaluator, input: Any, other: Any) -> TensorValue:
        return ev.op(op, ev.op("ne", input, 0) if storage.dtype(input) is not bool_ else input,
                     ev.op("ne", other, 0) if storage.dtype(other) is not bool_ else other)
    both(op)(function)
    inplace(op, function)


for _name in ("logical_and", "logical_or", "logical_xor"):
    _logical(_name)


@both("div", "divide", "true_divide")
def div(ev: Evaluator, input: Any, other: Any, *, rounding_mode: Any = None) -> TensorValue:
    if rounding_mode is None:
        left, right = promoted(ev, input, other, floating=True)
        return ev.op("div", left, right)
    left, right = promoted(ev, input, other)
    if rounding_mode == "floor":
        return ev.op("floor_divide", left, right)
    if storage.dtype(left if isinstance(left, TensorValue) else right).category >= FLOAT_CATEGORY:
        return ev.op("trunc", ev.op("div", left, right))
    return ev.op("floor_divide", ev.op("sub", left, ev.op("fmod", left, right)), right)


for _name in ("div", "divide", "true_divide"):
    inplace(_name, div)
tensor_method("__truediv__")(lambda ev, input, other: div(ev, input, other))
tensor_method("__rtruediv__")(lambda ev, input, other: div(ev, other, input))
tensor_method("__itruediv__")(lambda ev, input, other: store(ev, input, div(ev, input, other)))


@both("rsub")
def rsub(ev: Evaluator, input: Any, other: Any, *, alpha: Any = 1) -> TensorValue:
    left, right = promoted(ev, other, input if alpha == 1 else function_mul(ev, input, alpha))
    return ev.op("sub", left, right)


@both("pow")
def power(ev: Evaluator, input: Any, exponent: Any) -> TensorValue:
    left, right = promoted(ev, input, exponent)
    if isinstance(right, int) and right < 0 and storage.dtype(left).category == INT_CATEGORY:
        ev.throw("RuntimeError", "Integers to negative integer powers are not allowed.")
    return ev.op("pow", left, right)


inplace("pow", power)
tensor_method("__pow__")(lambda ev, input, other: power(ev, input, other))
tensor_method("__rpow__")(lambda ev, input, other: power(ev, other, input))
tensor_method("__ipow__")(lambda ev, input, other: store(ev, input, power(ev, input, other)))


@both("square")
def square(ev: Evaluator, input: Any) -> TensorValue:
    return ev.op("square", converted(ev, input, int64) if storage.dtype(input) is bool_ else input)


inplace("square", square)


# Three operands and conditions.

@both("clamp", "clip")
def clamp(ev: Evaluator, input: Any, min: Any = None, max: Any = None) -> TensorValue:
    given = [v for v in (input, min, max) if v is not None]
    dtype = result_dtype(ev, *[operand(ev, v) for v in given])
    values = [None if v is None else converted(ev, operand(ev, v), dtype) for v in (input, min, max)]
    return ev.op("clamp", *values)


@both("clamp_min")
def clamp_min(ev: Evaluator, input: Any, min: Any) -> TensorValue:
    return clamp(ev, input, min)


@both("clamp_max")
def clamp_max(ev: Evaluator, input: Any, max: Any) -> TensorValue:
    return clamp(ev, input, None, max)


for _name, _function in {"clamp": clamp, "clip": clamp, "clamp_min": clamp_min, "clamp_max": clamp_max}.items():
    inplace(_name, _function)


@both("lerp")
def lerp(ev: Evaluator, input: Any, end: Any, weight: Any) -> TensorValue:
    return ev.op("lerp", input, end, weight)


inplace("lerp", lerp)


@torch_function("where")
def where(ev: Evaluator, condition: Any, input: Any = None, other: Any = None) -> Any:
    if input is None:
        from scriptc.frontend.torchlib.bindings.indexing import nonzero

        return nonzero(ev, condition, as_tuple=True)
    if not isinstance(condition, TensorValue):
        condition = ev.op("full", condition, dtype=bool_)
    if storage.dtype(condition) is not bool_:
        condition = ev.op("ne", condition, 0)
    left, right = promoted(ev, input, other)
    return ev.op("where", condition, left, right)


@tensor_method("where")
def where_method(ev: Evaluator, input: Any, condition: Any, other: Any) -> Any:
    return where(ev, condition, input, other)


@both("masked_fill")
def masked_fill(ev: Evaluator, input: Any, mask: Any, value: Any) -> TensorValue:
    if storage.dtype(mask) is not bool_:
        mask = ev.op("ne", mask, 0)
    dtype = storage.dtype(input)
    if isinstance(value, TensorValue):
        value = converted(ev, value, dtype)
    elif dtype.category == INT_CATEGORY and isinstance(value, float):
        value = int(value)
    elif dtype is bool_ and isinstance(value, int | float):
        value = bool(value)
    return ev.op("masked_fill", input, mask, value)


inplace("masked_fill", masked_fill)


@both("addcmul")
def addcmul(ev: Evaluator, input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> TensorValue:
    product = ev.op("mul", tensor1, tensor2)
    return ev.op("add", input, product if value == 1 else ev.op("mul", product, value))


@both("addcdiv")
def addcdiv(ev: Evaluator, input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> TensorValue:
    return ev.op("add", input, ev.op("mul", ev.op("div", tensor1, tensor2), value))


inplace("addcmul", addcmul)
inplace("addcdiv", addcdiv)


@tensor_method("fill_")
def fill(ev: Evaluator, input: Any, value: Any) -> TensorValue:
    from scriptc.frontend.evaluator.subscripts import copy_into

    copy_into(ev, input, value)
    return input


@tensor_method("zero_")
def zero(ev: Evaluator, input: Any) -> TensorValue:
    return fill(ev, input, 0)


@tensor_method("copy_")
def copy(ev: Evaluator, input: Any, src: Any, non_blocking: Any = False) -> TensorValue:
    return fill(ev, input, src)


@both("isclose")
def isclose(ev: Evaluator, input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-8, equal_nan: bool = False) -> TensorValue:
    same = ev.op("eq", input, other)
    if storage.dtype(input).category < FLOAT_CATEGORY:
        input, other = (ev.op("cast", v, dtype=DTYPES["float64"]) for v in (input, other))
    elif equal_nan:
        same = ev.op("logical_or", same, ev.op("logical_and", ev.op("isnan", input), ev.op("isnan", other)))
    gap = ev.op("abs", ev.op("sub", input, other))
    near = ev.op("le", gap, ev.op("add", ev.op("mul", ev.op("abs", other), rtol), atol))
    return ev.op("logical_or", same, ev.op("logical_and", ev.op("isfinite", gap), near))


@both("allclose")
def allclose(ev: Evaluator, input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return ev.op("item", ev.op("all", isclose(ev, input, other, rtol, atol), dims=None, keepdim=False))


@both("equal")
def equal(ev: Evaluator, input: Any, other: Any) -> Any:
    return ev.op("item", ev.op("all", ev.op("eq", input, other), dims=None, keepdim=False))


