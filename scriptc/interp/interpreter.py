"""Runs a function of the IR on numpy arrays, op by op, with the reference meanings."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import InternalError, diagnostic
from scriptc.interp.ops.container import Packed
from scriptc.interp.ops.scalar import format_value
from scriptc.interp.registry import REFERENCES
from scriptc.ir.exceptions import exception_class
from scriptc.ir.graph import Function, Literal, Op, Region, Value
from scriptc.ir.types import BOOL, FLOAT, STR, DictType, IntType, ListType, TensorType, TupleType, Type
from scriptc.location import Location, printable
from scriptc.records import Record

STEP_BUDGET = 10_000_000   # loop iterations of one call

class Outcome(Record):
    """What a call gives: results in order, the state entries it replaces, the inputs it changes in place."""

    results: list[Any]
    updates: dict[str, np.ndarray]
    input_updates: dict[int, np.ndarray]


def run_function(function: Function, inputs: Sequence[Any], state: Mapping[str, np.ndarray],
                 budget: int = STEP_BUDGET) -> Outcome:
    """Run `function`. Inputs are arrays and scalars in the order of `function.inputs`; `state` holds what it reads.

    Raises what the program raises, with the place in the user's source as a note on the exception; RuntimeError when
    more than `budget` loop iterations have run; ValueError for inputs or state that are too few or too many.
    """
    if len(inputs) != len(function.inputs):
        raise ValueError(f"{function.name} takes {len(function.inputs)} inputs, found {len(inputs)}")
    missing = [name for name in function.state if name not in state]
    if missing:
        raise ValueError(f"{function.name} reads state {', '.join(missing)}, which is not given")
    interpreter = Interpreter(budget)
    interpreter.values.update(zip(function.inputs, inputs, strict=True))
    interpreter.values.update({value: state[name] for name, value in function.state.items()})
    with np.errstate(all="ignore"):
        interpreter.run(function.ops)
    return Outcome([interpreter.get(r) for r in function.results],
                   {name: interpreter.get(v) for name, v in function.updates.items()},
                   {index: interpreter.get(v) for index, v in function.input_updates.items()})


class Interpreter:
    """One run. Values live in a dictionary keyed by the IR value."""

    def __init__(self, budget: int = STEP_BUDGET) -> None:
        self.values: dict[Value, Any] = {}
        self.budget = self.left = budget

    def get(self, value: Value) -> Any:
        """The content of a value that has been computed."""
        return value.data if isinstance(value, Literal) else self.values[value]

    def run(self, ops: Sequence[Op]) -> None:
        """Run `ops` in order. An exception gets the place of the innermost op it came from as a note."""
        for op in ops:
            try:
                results = self.step(op)
            except Exception as error:
                note_place(error, op.location)
                raise
            self.values.update(zip(op.results, results, strict=True))

    def step(self, op: Op) -> Sequence[Any]:
        """The results of one op."""
        operands = [self.get(o) for o in op.operands]
        control = _CONTROL.get(op.name)
        if control is not None:
            return control(self, op, operands)
        meaning = REFERENCES.get(op.name)
        if meaning is None:
            raise InternalError(diagnostic("E0502", op.location, message=f"{op.name} has no reference meaning"))
        result = meaning(*operands, **op.attributes)
        return result if type(result) is tuple else (result,)

    def branch(self, op: Op, operands: list[Any]) -> list[Any]:
        """`if`: the region that the condition picks."""
        region = op.regions[0 if operands[0] else 1]
        self.run(region.ops)
        return [self.get(r) for r in region.results]

    def loop(self, op: Op, operands: list[Any]) -> list[Any]:
        """`loop`: the region again and again; see the op's specification."""
        body: Region = op.regions[0]
        count, go, *carried = operands
        index = 0
        while index < count and go:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError(f"the program ran more than {self.budget} loop iterations")
            self.values[body.params[0]] = index
            self.values.update(zip(body.params[1:], carried, strict=True))
            self.run(body.ops)
            go, *carried = [self.get(r) for r in body.results]
            index += 1
        return carried

    def check(self, op: Op, operands: list[Any]) -> list[Any]:
        """`check`: raise the exception it names unless the condition holds."""
        if not operands[0]:
            message = str(op.attributes["message"]).format(*(format_value(v) for v in operands[1:]))
            raise exception_class(str(op.attributes["exception"]))(message)
        return []

    def show(self, op: Op, operands: list[Any]) -> list[Any]:
        """`print`"""
        sys.stdout.write(str(op.attributes["pattern"]).format(*(format_value(v) for v in operands)))
        return []

    def undefined(self, op: Op, operands: list[Any]) -> list[Any]:
        """`undefined`"""
        return [placeholder(op.result.type)]


_CONTROL: dict[str, Callable[[Interpreter, Op, list[Any]], Sequence[Any]]] = {
    "if": Interpreter.branch, "loop": Interpreter.loop, "check": Interpreter.check, "print": Interpreter.show,
    "undefined": Interpreter.undefined, "checkpoint": lambda interpreter, op, operands: (),
}


def placeholder(kind: Type) -> Any:
    """Some value of a type, never read: what `undefined` gives."""
    if isinstance(kind, TensorType):
        return np.zeros(tuple(d if isinstance(d, int) else 0 for d in kind.shape or ()), kind.dtype.numpy)
    if isinstance(kind, ListType):
        return []
    if isinstance(kind, DictType):
        return {}
    if isinstance(kind, TupleType):
        return Packed(tuple(placeholder(e) for e in kind.elements))
    if isinstance(kind, IntType):
        return 0
    return {FLOAT: 0.0, BOOL: False, STR: ""}.get(kind)  # type: ignore[arg-type]


def note_place(error: Exception, location: Location) -> None:
    """Add the place to an exception that has none yet: `at model.py:18:13` and the line it names."""
    if location.span is None or getattr(error, "__notes__", None):
        return
    scope = f" in {printable(location.scope)}" if location.scope else ""
    error.add_note("\n".join([f"at {printable(str(location.span))}{scope}", *location.span.excerpt()]))


def evaluate(op: Op, operands: Sequence[Any]) -> Sequence[Any] | None:
    """The results of one pure op on known contents, for folding; None where it would raise, which is left to the run time."""
    try:
        with np.errstate(all="ignore"):
            result = REFERENCES[op.name](*operands, **op.attributes)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
        return None
    return result if type(result) is tuple else (result,)
