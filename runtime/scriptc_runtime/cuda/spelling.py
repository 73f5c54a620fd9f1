"""How each primitive op is spelled for one element on the device: the CPU's table, and what a device can say besides."""
from __future__ import annotations

from scriptc_runtime.cpu.scalars import BOOL_OPS, FLOAT_OPS, FLOATS, INTEGER_OPS, INTEGERS

HALVES = ("float16", "bfloat16")     # 16 bits in memory, float32 in formulas

_FLOATS: dict[str, str] = {
    **FLOAT_OPS, "fmod": "fmod({0}, {1})", "remainder": "rem({0}, {1})", "floor_divide": "fdiv({0}, {1})",
    "floor": "floor{size}({0})", "ceil": "ceil{size}({0})", "trunc": "trunc{size}({0})", "round": "rint{size}({0})",
}
_INTEGERS: dict[str, str] = {
    **INTEGER_OPS, "sign": "({T}(1) if {0} > {T}(0) else ({T}(-1) if {0} < {T}(0) else {T}(0)))",
    "shift_left": "({0} << {1} if ({1} >= {T}(0)) & ({1} < {T}({bits})) else {T}(0))",
    "shift_right": "({0} >> ({1} if ({1} >= {T}(0)) & ({1} < {T}({bits})) else ({T}(0) if {1} < {T}(0) else {T}({last}))))",
    "pow": "ipow({0}, {1})", "fmax": "({0} if {0} > {1} else {1})", "fmin": "({0} if {0} < {1} else {1})",
    "isnan": "({0} != {0})", "isinf": "({0} != {0})", "isfinite": "({0} == {0})",
    "floor": "{0}", "ceil": "{0}", "trunc": "{0}", "round": "{0}",
}
_BOOLS: dict[str, str] = {
    **BOOL_OPS, "mul": "({0} & {1})", "add": "({0} | {1})", "maximum": "({0} | {1})", "minimum": "({0} & {1})", "fmax": "({0} | {1})",
    "fmin": "({0} & {1})", "lt": "((not {0}) & {1})", "le": "((not {0}) | {1})", "gt": "({0} & (not {1}))", "ge": "({0} | (not {1}))",
    "isnan": "({0} != {0})", "isinf": "({0} != {0})", "isfinite": "({0} == {0})", "abs": "{0}", "pow": "({0} | (not {1}))",
}
_BITS = {"int8": 8, "uint8": 8, "int16": 16, "int32": 32, "int64": 64}


def spelling(name: str, dtype: str) -> str | None:
    """The pattern for op `name` on elements of `dtype`; None if there is none."""
    table = _FLOATS if dtype in FLOATS else _INTEGERS if dtype in INTEGERS else _BOOLS if dtype == "bool" else {}
    pattern = table.get(name)
    if pattern is not None and dtype in _BITS:
        pattern = pattern.replace("{bits}", str(_BITS[dtype])).replace("{last}", str(_BITS[dtype] - 1))
    return None if pattern is None else pattern.replace("{size}", "4" if dtype == "float32" else "8")
