"""Rebuilding a function: one forward walk that offers every op to a rule."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Op, Region, Value

# (op with its operands already rewritten, builder) -> the values that stand for its results, or None to keep it
Rule = Callable[[Op, Builder], "Sequence[Value] | None"]


class Rewriter:
    """The walk: `values` maps what the old function computed to what the new one does."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.builder = Builder()
        self.values: dict[Value, Value] = {}

    def map(self, value: Value) -> Value:
        return self.values.get(value, value)

    def ops(self, ops: Sequence[Op]) -> None:
        for op in ops:
            operands = tuple(self.map(o) for o in op.operands)
            regions = tuple(self.region(r) for r in op.regions)
            if operands != op.operands or regions != op.regions:
                op_ = Op(op.name, operands, op.attributes, op.results, regions, op.location, op.version)
            else:
                op_ = op
            with self.builder.at(op.location):
                found = self.rule(op_, self.builder)
            if found is None:
                self.builder.append(op_)
            else:
                self.values.update(zip(op.results, found, strict=True))

    def region(self, region: Region) -> Region:
        self.builder.begin()
        self.ops(region.ops)
        results = tuple(self.map(r) for r in region.results)
        return self.builder.end(region.params, results)


def rewrite(function: Function, rule: Rule) -> Function:
    """`function` with every op that `rule` answers replaced by the answer."""
    walker = Rewriter(rule)
    walker.ops(function.ops)
    return replace(function, ops=walker.builder.take(), results=tuple(walker.map(r) for r in function.results),
                   updates={n: walker.map(v) for n, v in function.updates.items()},
                   input_updates={i: walker.map(v) for i, v in function.input_updates.items()})
