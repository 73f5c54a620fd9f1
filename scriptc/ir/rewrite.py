"""Rebuilding a function: one forward walk that offers every op to a rule.

What a rule emits is itself offered to the rule, so that one walk reaches a bottom-up fixpoint. Where a rule answers with
values of a more precise type, the types of what follows are inferred anew.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Op, Region, Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.records import replace

MAX_REWRITES = 16   # how often the answer to an answer is offered again


class RewriteBuilder(Builder):
    """A builder that remembers which op made a value."""

    def __init__(self) -> None:
        super().__init__()
        self.producers: dict[Value, Op] = {}

    def append(self, op: Op) -> None:
        super().append(op)
        for result in op.results:
            self.producers[result] = op

    def producer(self, value: Value, name: str) -> Op | None:
        """The op that made `value`, if it is one called `name`."""
        op = self.producers.get(value)
        return op if op is not None and op.name == name else None

    def mark(self) -> int:
        """How many ops the innermost list holds."""
        return len(self._lists[-1])

    def cut(self, mark: int) -> list[Op]:
        """Take the ops after `mark` off the innermost list."""
        ops = self._lists[-1][mark:]
        del self._lists[-1][mark:]
        return ops


# (op with its operands already rewritten, builder) -> the values that stand for its results, or None to keep it
Rule = Callable[[Op, RewriteBuilder], "Sequence[Value] | None"]


class Rewriter:
    """The walk: `values` maps what the old function computed to what the new one does."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.builder = RewriteBuilder()
        self.values: dict[Value, Value] = {}

    def map(self, value: Value) -> Value:
        """What stands for a value of the old function."""
        values = self.values
        while value in values:   # an answer may have been answered in turn
            value = values[value]
        return value

    def ops(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self.op(op, 0)

    def op(self, op: Op, depth: int) -> None:
        """Rebuild one op and offer it."""
        operands = tuple(map(self.map, op.operands)) if self.values else op.operands
        regions = tuple(map(self.region, op.regions)) if op.regions and depth == 0 else op.regions
        if operands != op.operands or regions != op.regions:
            op = self.rebuilt(op, operands, regions)
        mark = self.builder.mark()
        self.builder.location = op.location
        found = self.rule(op, self.builder) if depth < MAX_REWRITES else None
        if found is None:
            self.builder.append(op)
            return
        for emitted in self.builder.cut(mark):
            self.op(emitted, depth + 1)
        for result, answer in zip(op.results, found, strict=True):
            answer = self.map(answer)
            if answer is not result:
                self.values[result] = answer

    def rebuilt(self, op: Op, operands: tuple[Value, ...], regions: tuple[Region, ...]) -> Op:
        """`op` on new operands; its results are new values where their types have become more precise."""
        results = op.results
        changed = regions != op.regions or any(a.type != b.type for a, b in zip(operands, op.operands, strict=True))
        if changed and results:
            kinds = REGISTRY[op.name].infer([o.type for o in operands], op.attributes, regions)
            if kinds != tuple(r.type for r in results):
                results = tuple(r if r.type == k else Value(k, r.name) for r, k in zip(results, kinds, strict=True))
                self.values.update((old, new) for old, new in zip(op.results, results, strict=True) if old is not new)
        return Op(op.name, operands, op.attributes, results, regions, op.location, op.version)

    def region(self, region: Region) -> Region:
        self.builder.begin()
        self.ops(region.ops)
        results = tuple(map(self.map, region.results))
        made = self.builder.end(region.params, results)
        same = results == region.results and len(made.ops) == len(region.ops) and all(
            a is b for a, b in zip(made.ops, region.ops, strict=True))
        return region if same else made


def rewrite(function: Function, rule: Rule) -> Function:
    """`function` with every op that `rule` answers replaced by the answer."""
    walker = Rewriter(rule)
    try:
        walker.ops(function.ops)
    except OpError:
        # More precise types showed that an op must fail. Whether the program ever reaches it is not known here: the run
        # time reports it then, at the op's own place.
        return function
    return with_values(function, walker.builder.take(), walker.map)


def with_values(function: Function, ops: tuple[Op, ...], value_of: Callable[[Value], Value]) -> Function:
    """`function` with other ops, its results and updates replaced by what `value_of` says."""
    return replace(function, ops=ops, results=tuple(map(value_of, function.results)),
                   updates={n: value_of(v) for n, v in function.updates.items()},
                   input_updates={i: value_of(v) for i, v in function.input_updates.items()})


def copied(region: Region, builder: Builder, values: Mapping[Value, Value]) -> tuple[Value, ...]:
    """Append a copy of the region's ops, its parameters and what it reads replaced by `values`; the results' copies."""
    known = dict(values)
    for op in region.ops:
        builder.append(_copy_op(op, known))
    return tuple(known.get(r, r) for r in region.results)


def _copy_op(op: Op, known: dict[Value, Value]) -> Op:
    operands = tuple(known.get(o, o) for o in op.operands)
    regions = tuple(_copy_region(r, known) for r in op.regions)
    results = tuple(Value(r.type, r.name) for r in op.results)
    known.update(zip(op.results, results, strict=True))
    return Op(op.name, operands, op.attributes, results, regions, op.location, op.version)


def _copy_region(region: Region, known: dict[Value, Value]) -> Region:
    params = tuple(Value(p.type, p.name) for p in region.params)
    known.update(zip(region.params, params, strict=True))
    ops = tuple(_copy_op(op, known) for op in region.ops)
    return Region(params, ops, tuple(known.get(r, r) for r in region.results))
