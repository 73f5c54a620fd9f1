"""How each primitive op is spelled for one element: the table between the ops' formulas and the printed loops.

`{0}`, `{1}`... are the operands, `{T}` converts to the op's dtype. An op that is not in the table for a dtype's
kind is left to its numpy reference: integer divisions raise, and casts of nan to int have no defined result.
"""
from __future__ import annotations

FLOATS = {"float32": "f4", "float64": "f8"}
INTEGERS = {"int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "u1"}
CONVERSIONS = {**FLOATS, **INTEGERS, "bool": "b1"}

_COMPARISONS = {
    "eq": "({0} == {1})", "ne": "({0} != {1})", "lt": "({0} < {1})", "le": "({0} <= {1})", "gt": "({0} > {1})",
    "ge": "({0} >= {1})",
}
_LOGIC = {
    "logical_and": "(({0} != {T}(0)) & ({1} != {T}(0)))", "logical_or": "(({0} != {T}(0)) | ({1} != {T}(0)))",
    "logical_xor": "(({0} != {T}(0)) ^ ({1} != {T}(0)))", "logical_not": "({0} == {T}(0))",
}

FLOAT_OPS: dict[str, str] = {
    **_COMPARISONS, **_LOGIC,
    "neg": "(-{0})", "abs": "fabs({0})", "add": "({0} + {1})", "sub": "({0} - {1})", "mul": "({0} * {1})", "div": "({0} / {1})",
    "sign": "({T}(1) if {0} > {T}(0) else ({T}(-1) if {0} < {T}(0) else {T}(0)))",
    "exp": "exp({0})", "expm1": "expm1({0})", "log": "log({0})", "log2": "log2({0})", "log10": "log10({0})", "log1p": "log1p({0})",
    "sqrt": "sqrt({0})", "sin": "sin({0})", "cos": "cos({0})", "tan": "tan({0})", "asin": "asin({0})", "acos": "acos({0})",
    "atan": "atan({0})", "sinh": "sinh({0})", "cosh": "cosh({0})", "tanh": "tanh({0})", "asinh": "asinh({0})",
    "acosh": "acosh({0})", "atanh": "atanh({0})", "erf": "erf({0})", "erfc": "erfc({0})",
    "floor": "floor({0})", "ceil": "ceil({0})", "trunc": "trunc({0})",
    "atan2": "atan2({0}, {1})", "pow": "({0} ** {1})", "hypot": "hypot({0}, {1})",
    "maximum": "({0} if ({0} > {1}) | ({0} != {0}) else {1})", "minimum": "({0} if ({0} < {1}) | ({0} != {0}) else {1})",
    "fmax": "({0} if ({0} >= {1}) | ({1} != {1}) else {1})", "fmin": "({0} if ({0} <= {1}) | ({1} != {1}) else {1})",
    "isnan": "({0} != {0})", "isinf": "(fabs({0}) == inf)", "isfinite": "(fabs({0}) < inf)",
    "copysign": "copysign({0}, {1})",
}
# Where float32 has a spelling of its own that LLVM vectorises.
FLOAT32_OPS: dict[str, str] = {"exp": "exp4({0})", "log": "log4({0})", "log1p": "log1p4({0})", "tanh": "tanh4({0})", "erf": "erf4({0})"}
INTEGER_OPS: dict[str, str] = {
    **_COMPARISONS, **_LOGIC,
    "neg": "(-{0})", "add": "({0} + {1})", "sub": "({0} - {1})", "mul": "({0} * {1})", "square": "({0} * {0})",
    "abs": "({0} if {0} >= {T}(0) else -{0})",
    "maximum": "({0} if {0} > {1} else {1})", "minimum": "({0} if {0} < {1} else {1})",
    "bitwise_and": "({0} & {1})", "bitwise_or": "({0} | {1})", "bitwise_xor": "({0} ^ {1})", "bitwise_not": "(~{0})",
}
BOOL_OPS: dict[str, str] = {
    "logical_and": "({0} & {1})", "logical_or": "({0} | {1})", "logical_xor": "({0} ^ {1})", "logical_not": "({0} ^ b1(1))",
    "bitwise_and": "({0} & {1})", "bitwise_or": "({0} | {1})", "bitwise_xor": "({0} ^ {1})", "bitwise_not": "({0} ^ b1(1))",
    "eq": "({0} == {1})", "ne": "({0} != {1})",
}
BOOL_RESULTS = frozenset((*_COMPARISONS, *_LOGIC, "isnan", "isinf", "isfinite"))


def spelling(name: str, dtype: str) -> str | None:
    """The pattern for op `name` on elements of `dtype`; None if there is none."""
    if dtype == "float32" and name in FLOAT32_OPS:
        return FLOAT32_OPS[name]
    table = FLOAT_OPS if dtype in FLOATS else INTEGER_OPS if dtype in INTEGERS else BOOL_OPS if dtype == "bool" else {}
    return table.get(name)
