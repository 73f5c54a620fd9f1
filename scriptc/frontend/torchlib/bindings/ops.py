"""`import __ops__`: the ops themselves, for library code written in the language."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import Builtin
from scriptc.ir.registry import REGISTRY, Int


def op_module() -> dict[str, Any]:
    """Every op that is not control flow, under its name: operands positional, attributes by keyword."""
    return {name: Builtin(name, _call(name)) for name, definition in REGISTRY.items() if definition.kind != "control"}


def _call(name: str) -> Any:
    takes_int = [operand.annotation is Int for operand in REGISTRY[name].operands]
    rest = bool(takes_int) and REGISTRY[name].operands[-1].variadic and takes_int[-1]

    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        from scriptc.frontend.values import PyList

        wanted = takes_int + [rest] * len(arguments)
        arguments = [ev.op("item", a) if takes and isinstance(a, TensorValue) else a for a, takes in zip(arguments, wanted, strict=False)]

        attributes = {k: tuple(v.content) if isinstance(v, PyList) else v for k, v in keywords.items()}
        return ev.op(name, *arguments, **attributes)
    return invoke
