"""The walk that surgery rides on: one pass over a function, each op offered once, types inferred anew behind every change."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scriptc.errors import CompileError
from scriptc.ir.builder import located
from scriptc.ir.graph import Function, Op, Program, StateEntry, Value, walk
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.registry import OpError
from scriptc.ir.rewrite import Rewriter, Rule, with_values
from scriptc.records import replace


class Surgeon(Rewriter):
    """A rewriter whose answers are final, and to which an op that no longer fits is an error at the op's own place."""

    def op(self, op: Op, depth: int = 0) -> None:
        operands = tuple(map(self.map, op.operands)) if self.values else op.operands
        regions = tuple(map(self.region, op.regions)) if op.regions else op.regions
        if operands != op.operands or regions != op.regions:
            try:
                op = self.rebuilt(op, operands, regions)
            except OpError as error:
                raise CompileError(located(error, op.location, op.name, [o.type for o in operands])) from None
        self.builder.location = op.location
        found = self.rule(op, self.builder)
        if found is None:
            self.builder.append(op)
            return
        for result, answer in zip(op.results, found, strict=True):
            if answer is not result:
                self.values[result] = answer

    def origin(self, value: Value) -> Value:
        """The value behind casts: the state entry that a weight is read from, however it is stored."""
        while (made := self.builder.producer(value, "cast")) is not None:
            value = made.operands[0]
        return value


Operation = Callable[[Surgeon, dict[str, Value]], Rule]   # (walker, state by name, to be added to) -> what to do with each op


def operate(function: Function, operation: Operation, retyped: Mapping[str, StateEntry] | None = None) -> Function:
    """`function` after an operation; entries in `retyped` have their new types. CompileError if something does not fit any more."""
    walker = Surgeon(lambda op, builder: None)
    state = dict(function.state)
    for name, entry in (retyped or {}).items():
        if name in state:
            new = Value(entry.type, name)
            walker.values[state[name]] = new
            state[name] = new
    walker.rule = operation(walker, state)
    walker.ops(function.ops)
    made = with_values(replace(function, state=state), walker.builder.take(), walker.map)
    return eliminate_dead_code(_without_idle_updates(made))


def _without_idle_updates(function: Function) -> Function:
    """Without updates that write back what was read."""
    updates = {n: v for n, v in function.updates.items() if function.state.get(n) is not v}
    return function if len(updates) == len(function.updates) else replace(function, updates=updates)


def with_state(program: Program, functions: Mapping[str, Function], *, changed: Mapping[str, StateEntry] | None = None,
               added: Sequence[StateEntry] = (), removed: frozenset[str] = frozenset()) -> Program:
    """`program` with other functions and state entries."""
    kept = [(changed or {}).get(e.name, e) for e in program.state if e.name not in removed]
    return replace(program, functions=dict(functions), state=(*kept, *added))


@dataclass(frozen=True, slots=True)
class Reader:
    """An op that reads a state entry as operand number `place`; None for a result or update that is the entry itself."""

    op: Op | None
    place: int


def readers(program: Program, name: str) -> list[Reader]:
    """All that reads state entry `name`, or casts of it, in any function."""
    found: list[Reader] = []
    for function in program.functions.values():
        if name not in function.state:
            continue
        values = {function.state[name]}
        for op in walk(function.ops):
            if op.name == "cast" and op.operands[0] in values:
                values.add(op.result)
            else:
                found += [Reader(op, i) for i, operand in enumerate(op.operands) if operand in values]
            found += [Reader(None, 0) for region in op.regions for value in region.results if value in values]
        found += [Reader(None, 0) for value in (*function.results, *function.updates.values(), *function.input_updates.values())
                  if value in values]
    return found
