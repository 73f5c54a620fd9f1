"""Loops of a known number of turns as straight code, so that gradients need no lists and no turn is run twice.

Not part of the pipeline: an archive keeps its loops. A training step of known sizes is unrolled before it is differentiated.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scriptc.errors import CompileError
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Literal, Op, Region, Value, literal, walk
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import copied
from scriptc.ir.types import ListType
from scriptc.records import replace

BUDGET = 6000      # ops that all loops of a function may become

# (op, contents of its operands that are known) -> the contents of its results, or None where they are not known now
Evaluate = Callable[[Op, Sequence[object]], "Sequence[object] | None"]


def unroll(function: Function, evaluate: Evaluate, budget: int = BUDGET) -> Function:
    """`function` with its loops unrolled, as far as their numbers of turns are known and `budget` reaches; lists they fill become operands.

        %l = list_new()
        %r = loop(2, True, %l) { %i, %h: %y = exp(select(%x, %i)); yield True, list_append(%h, %y) }      =>    %r = stack(exp(...), exp(...))
        return stack_list(%r)
    """
    if not any(op.name == "loop" for op in function.ops):
        return function
    walker = _Unroller(evaluate, budget)
    try:
        walker.ops(function.ops)
    except CompileError:    # an op refuses the more precise types: it would fail when it runs, and then says where
        return function
    changed = replace(function, results=tuple(map(walker.whole, function.results)),
                      updates={n: walker.whole(v) for n, v in function.updates.items()},
                      input_updates={i: walker.whole(v) for i, v in function.input_updates.items()})
    return replace(changed, ops=walker.builder.take())


class _Unroller:
    """Emits the ops again; `values` maps the old ones, `lists` holds the items of lists that are known."""

    def __init__(self, evaluate: Evaluate, budget: int) -> None:
        self.builder = Builder()
        self.evaluate = evaluate
        self.budget = budget
        self.values: dict[Value, Value] = {}
        self.lists: dict[Value, tuple[Value, ...]] = {}
        self.real: set[Value] = set()       # those of them that are values of the new function

    def mapped(self, value: Value) -> Value:
        return self.values.get(value, value)

    def whole(self, value: Value) -> Value:
        """What stands for `value`, as a value that other ops can read."""
        found = self.mapped(value)
        items = self.lists.get(found)
        if items is None or found in self.real:
            return found
        assert isinstance(found.type, ListType)
        made = self.builder.emit_one("list_new", items, {"element": str(found.type.element)})
        for old, new in list(self.values.items()):
            if new is found:
                self.values[old] = made
        self.values[found] = made
        self.lists[made] = items
        self.real.add(made)
        return made

    def ops(self, ops: Sequence[Op]) -> None:
        for op in ops:
            with self.builder.at(op.location):
                self.op(op)

    def op(self, op: Op) -> None:
        operands = tuple(map(self.mapped, op.operands))
        if op.name == "loop" and self.turns(op, operands):
            return
        if op.name == "if" and isinstance(operands[0], Literal):
            taken = op.regions[0 if operands[0].data else 1]
            self.ops(taken.ops)
            self.values.update(zip(op.results, map(self.mapped, taken.results), strict=True))
            return
        if op.name == "check" and isinstance(operands[0], Literal) and operands[0].data:
            return
        if op.name in _LISTS and self.list_op(op, operands):
            return
        if op.regions:
            for value in _read(op):
                self.whole(value)
            region = Region((), (op,), op.results)
            self.values.update(zip(op.results, copied(region, self.builder, self.values), strict=True))
            return
        definition = REGISTRY[op.name]
        if definition.family == "scalar" and not definition.effects and all(isinstance(o, Literal) for o in operands):
            found = self.evaluate(replace(op, operands=operands), [o.data for o in operands if isinstance(o, Literal)])
            if found is not None and all(f is None or type(f) in (int, float, bool, str) for f in found):
                self.values.update((r, literal(f)) for r, f in zip(op.results, found, strict=True))  # type: ignore[arg-type]
                return
        results = self.builder.emit(definition, [self.whole(o) for o in op.operands], op.attributes, names=[r.name for r in op.results])
        self.values.update(zip(op.results, results, strict=True))

    def turns(self, op: Op, operands: Sequence[Value]) -> bool:
        """Unroll a loop. False if the number of its turns is not known, or is too large."""
        (body,) = op.regions
        count, begins, goes_on = operands[0], operands[1], body.results[0]
        if not all(isinstance(v, Literal) for v in (count, begins, goes_on)):
            return False
        assert isinstance(count, Literal) and isinstance(begins, Literal) and isinstance(goes_on, Literal)
        turns = count.data if begins.data else 0
        assert isinstance(turns, int)
        size = sum(1 for _ in walk(body.ops))
        if not goes_on.data or turns * size > self.budget:
            return False
        self.budget -= turns * size
        carried = list(operands[2:])
        for turn in range(turns):
            self.values[body.params[0]] = literal(turn)
            self.values.update(zip(body.params[1:], carried, strict=True))
            self.ops(body.ops)
            carried = [self.mapped(v) for v in body.results[1:]]
        self.values.update(zip(op.results, carried, strict=True))
        return True

    def list_op(self, op: Op, operands: Sequence[Value]) -> bool:
        """An op on a list whose items are known, without the list. False where that is not possible."""
        if op.name == "list_new":
            self.made(op.result, operands)
            return True
        items = self.lists.get(operands[0])
        if items is None:
            return False
        if op.name == "list_append":
            self.made(op.result, (*items, operands[1]))
        elif op.name == "list_length":
            self.values[op.result] = literal(len(items))
        elif op.name == "list_get":
            index = operands[1].data if isinstance(operands[1], Literal) else None
            if not isinstance(index, int) or not -len(items) <= index < len(items):
                return False
            self.values[op.result] = items[index]
        elif not items:
            return False
        else:
            self.values[op.result] = self.builder.emit_one(_LISTS[op.name], items, op.attributes)
        return True

    def made(self, result: Value, items: Sequence[Value]) -> None:
        """Let a new value stand for the list of these items."""
        self.values[result] = Value(result.type, result.name)
        self.lists[self.values[result]] = tuple(items)


_LISTS: Mapping[str, str] = {"list_new": "", "list_append": "", "list_get": "", "list_length": "", "stack_list": "stack", "cat_list": "cat"}


def _read(op: Op) -> list[Value]:
    """Everything that an op and its regions read, whoever made it."""
    found = dict.fromkeys(op.operands)
    for region in op.regions:
        for inner in walk(region.ops):
            found.update(dict.fromkeys(inner.operands))
            for nested in inner.regions:
                found.update(dict.fromkeys(nested.results))
        found.update(dict.fromkeys(region.results))
    return list(found)
