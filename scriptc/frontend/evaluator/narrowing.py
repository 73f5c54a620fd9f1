"""Tests against None: inside an arm of an `if` on `x is None` it is known which of the two `x` is."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.values import Dynamic
from scriptc.ir.graph import Value
from scriptc.ir.types import OptionalType


def is_none(ev: Evaluator, value: Dynamic) -> Any:
    """`value is None` for an optional: a bool where an enclosing branch decided it, else a dynamic bool."""
    for condition, holds in ev.assumptions:
        test = ev.none_tests.get(condition)
        if test is not None and test[0] is value.value:
            return test[1] == holds
    return noted(ev, ev.op("optional_is_none", value), value.value, True)


def negation(ev: Evaluator, condition: Dynamic) -> Any:
    """`not condition`, which remembers what a test against None says."""
    test = ev.none_tests.get(condition.value)
    result = ev.op("scalar_not", condition)
    return result if test is None else noted(ev, result, test[0], not test[1])


def noted(ev: Evaluator, condition: Any, optional: Value, when: bool) -> Any:
    """`condition`, of which it is known that `optional` is None exactly if it equals `when`."""
    if isinstance(condition, Dynamic):
        ev.none_tests[condition.value] = (optional, when)
    return condition


def decided(ev: Evaluator, value: Any, condition: Value, holds: bool) -> bool | None:
    """Whether `value` is None in the arm where `condition` is `holds`; None if that does not say."""
    test = ev.none_tests.get(condition)
    if test is None or not isinstance(value, Dynamic) or value.value is not test[0] or not isinstance(value.type, OptionalType):
        return None
    return test[1] == holds
