"""Runs a function of the IR on numpy arrays, op by op, with the reference meanings."""
from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import scriptc.interp.ops  # noqa: F401  (registers the references)
from scriptc.interp.ops.scalar import format_value
from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Function, Literal, Op, Region, Value
from scriptc.ir.types import ListType, TensorType, Type

STEP_BUDGET = 10_000_000   # loop iterations of one call

_EXCEPTIONS = frozenset((
    "ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError", "NameError",
    "NotImplementedError", "OSError", "OverflowError", "RuntimeError", "StopIteration", "TypeError", "ValueError",
    "ZeroDivisionError", "ImportError", "FileNotFoundError", "UnicodeError",
))


def exception_class(name: str) -> type[Exception]:
    """The builtin exception called `name`; RuntimeError for any other name (names are data, never looked up freely)."""
    return getattr(builtins, name) if name in _EXCEPTIONS else RuntimeError  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gives: results in order, the state entries it replaces, the inputs it changes in place."""

    results: list[Any]
    updates: dict[str, np.ndarray]
    input_updates: dict[int, np.ndarray]


class Interpreter:
    """One run. Values live in a dictionary keyed by the IR value."""

    def __init__(self, budget: int = STEP_BUDGET) -> None:
        self.values: dict[Value, Any] = {}
        self.budget = budget

    def get(self, value: Value) -> Any:
        return value.data if isinstance(value, Literal) else self.values[value]

    def run(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self.step(op)

    def step(self, op: Op) -> None:
        operands = [self.get(o) for o in op.operands]
        if op.name == "if":
            results = self.branch(op.regions[0 if operands[0] else 1])
        elif op.name == "loop":
            results = self.loop(op.regions[0], operands)
        elif op.name == "check":
            check(operands, op.attributes)
            return
        elif op.name == "print":
            sys.stdout.write(str(op.attributes["pattern"]).format(*(format_value(v) for v in operands)))
            return
        elif op.name == "undefined":
            results = [placeholder(op.results[0].type)]
        else:
            with np.errstate(all="ignore"):
                result = REFERENCES[op.name](*operands, **op.attributes)
            results = list(result) if isinstance(result, tuple) else [result]
        for value, content in zip(op.results, results, strict=True):
            self.values[value] = content

    def branch(self, region: Region) -> list[Any]:
        self.run(region.ops)
        return [self.get(r) for r in region.results]

    def loop(self, body: Region, operands: list[Any]) -> list[Any]:
        count, go, *carried = operands
        index = 0
        while index < count and go:
            self.budget -= 1
            if self.budget < 0:
                raise RuntimeError(f"the program ran more than {STEP_BUDGET} loop iterations")
            self.values[body.params[0]] = index
            self.values.update(zip(body.params[1:], carried, strict=True))
            self.run(body.ops)
            go, *carried = [self.get(r) for r in body.results]
            index += 1
        return carried


def check(operands: list[Any], attributes: Mapping[str, Any]) -> None:
    """Raise the exception of a failed `check`."""
    if not operands[0]:
        message = str(attributes["message"]).format(*(format_value(v) for v in operands[1:]))
        raise exception_class(str(attributes["exception"]))(message)


def placeholder(kind: Type) -> Any:
    """Some value of a type, never read: what `undefined` gives."""
    if isinstance(kind, TensorType):
        return np.zeros(tuple(d if isinstance(d, int) else 0 for d in kind.shape or ()), kind.dtype.numpy)
    if isinstance(kind, ListType):
        return []
    return {"int": 0, "float": 0.0, "bool": False, "str": ""}.get(str(kind))


def run_function(function: Function, inputs: Sequence[Any], state: Mapping[str, np.ndarray], budget: int = STEP_BUDGET) -> Outcome:
    """Run `function`. Inputs are arrays and scalars in the order of `function.inputs`; `state` holds what it reads.

    Raises what the program raises; RuntimeError when the loop budget is spent.
    """
    interpreter = Interpreter(budget)
    interpreter.values.update(zip(function.inputs, inputs, strict=True))
    interpreter.values.update({value: state[name] for name, value in function.state.items()})
    interpreter.run(function.ops)
    return Outcome([interpreter.get(r) for r in function.results],
                   {name: interpreter.get(v) for name, v in function.updates.items()},
                   {index: interpreter.get(v) for index, v in function.input_updates.items()})


