"""Conditions: what an `if`, `while` or `assert` asks is only whether a value is true."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.joins import branch
from scriptc.frontend.evaluator.narrowing import negation
from scriptc.frontend.evaluator.operators import truthy
from scriptc.frontend.values import Dynamic, Frame


def condition_of(ev: Evaluator, node: Any, frame: Frame) -> Any:
    """bool(node): a bool, or a dynamic bool. `a and b` needs no common type of a and b here."""
    kind = node.__class__.__name__
    if kind == "BoolOp":
        return chain(ev, node, frame, 0)
    if kind == "UnaryOp" and node.op.__class__.__name__ == "Not":
        inner = condition_of(ev, node.operand, frame)
        ev.at(node)
        return negation(ev, inner) if isinstance(inner, Dynamic) else not inner
    ev.at(node)
    value = ev.eval(node, frame)
    ev.at(node)
    return truthy(ev, value)


def chain(ev: Evaluator, node: Any, frame: Frame, index: int) -> Any:
    """The truth of an `and` or `or` from its operand `index` on, with short circuit."""
    truth = condition_of(ev, node.values[index], frame)
    if index == len(node.values) - 1:
        return truth
    is_and = node.op.__class__.__name__ == "And"
    if not isinstance(truth, Dynamic):
        return chain(ev, node, frame, index + 1) if truth == is_and else truth
    if is_and:
        return branch(ev, truth, lambda: chain(ev, node, frame, index + 1), lambda: False)
    return branch(ev, truth, lambda: True, lambda: chain(ev, node, frame, index + 1))
