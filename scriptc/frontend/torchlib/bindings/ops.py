"""`import __ops__`: the ops themselves, for library code written in the language."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.values import Builtin
from scriptc.ir.registry import REGISTRY


def op_module() -> dict[str, Any]:
    """Every op that is not control flow, under its name: operands positional, attributes by keyword."""
    return {name: Builtin(name, _call(name)) for name, definition in REGISTRY.items() if definition.kind != "control"}


def _call(name: str) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        from scriptc.frontend.values import PyList

        attributes = {k: tuple(v.content) if isinstance(v, PyList) else v for k, v in keywords.items()}
        return ev.op(name, *arguments, **attributes)
    return invoke
