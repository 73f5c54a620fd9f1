"""Reverse differentiation as a transformation: a function to its forward with saved values, and its backward.

Both are ordinary functions. Rules (kept with the ops) own the calculus; this driver owns accumulation, the sums that
undo broadcasting, dtypes, and control flow: a branch is run again inside the backward's branch, and a loop saves what
it carried into each iteration, then walks back through the iterations.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scriptc.errors import CompileError, diagnostic
from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function, Literal, Op, Region, Value, literal
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import FLOAT_CATEGORY, INT, ListType, TensorType, Type


@dataclass(frozen=True, slots=True)
class Gradient:
    """A function made differentiable.

    forward: takes what the function took; gives its results, then `saved`.
    backward: takes one gradient for each result listed in `result_indices` (zeros where none flows), then `saved`;
    reads the same state; gives the gradients of the inputs `wrt_inputs`, then of the state entries `wrt_state`, each of the
    shape and dtype of what it belongs to.
    """

    forward: Function
    backward: Function
    result_indices: tuple[int, ...]
    saved: tuple[Value, ...]
    wrt_inputs: tuple[int, ...]
    wrt_state: tuple[str, ...]


def is_differentiable(kind: Type) -> bool:
    """True for floating tensors: what gradients flow through."""
    return isinstance(kind, TensorType) and kind.dtype.category >= FLOAT_CATEGORY


def differentiate(function: Function, *, wrt_inputs: Collection[int] = (), wrt_state: Collection[str] = ()) -> Gradient:
    """The forward and backward of `function` for the given inputs (by index) and state entries (by name).

    CompileError E0501 at the op's own place if an op on the way has no gradient.
    """
    inputs = tuple(sorted(wrt_inputs))
    entries = tuple(name for name in function.state if name in set(wrt_state))
    sources = [*(function.inputs[i] for i in inputs), *(function.state[n] for n in entries)]
    active = reached_from(function.ops, {s for s in sources if is_differentiable(s.type)})
    forward_ops, loops = with_saved_loops(function.ops, active)
    builder = Builder()
    wanted = tuple(i for i, r in enumerate(function.results) if is_differentiable(r.type) and r in active)
    incoming = [Value(function.results[i].type, f"gradient{i}") for i in wanted]
    adjoint = Adjoint(builder, active, loops)
    for index, value in zip(wanted, incoming, strict=True):
        adjoint.add(function.results[index], Expr(value, builder))
    adjoint.run(forward_ops)
    outputs = [adjoint.total(source) for source in sources]
    ops = builder.take()
    own = {*function.inputs, *function.state.values(), *defined(forward_ops)}
    changed = {value for name, value in function.state.items() if name in function.updates}
    free = free_values(ops, outputs) - set(incoming)
    state = {name: value for name, value in function.state.items() if value in free and value not in changed}
    saved = tuple(v for v in ordered(function, forward_ops) if v in free and v in own and v not in state.values())
    forward = replace(function, ops=forward_ops, results=(*function.results, *saved))
    backward = Function(f"{function.name}:backward", (), (*incoming, *saved), state, ops, tuple(outputs), function.structure,
                        location=function.location)
    return Gradient(forward, backward, wanted, saved, inputs, entries)


def reached_from(ops: Sequence[Op], sources: set[Value]) -> set[Value]:
    """Every floating value that depends on `sources`, inside regions too."""
    active = set(sources)
    for op in ops:
        mark(op, active)
    return active


def mark(op: Op, active: set[Value]) -> None:
    before = -1
    while before != len(active):
        before = len(active)
        for region in op.regions:
            if op.name == "loop":
                for param, start in zip(region.params[1:], op.operands[2:], strict=True):
                    if start in active and flows(param.type):
                        active.add(param)
                for param, end in zip(region.params[1:], region.results[1:], strict=True):
                    if end in active and flows(param.type):
                        active.add(param)
            for inner in region.ops:
                mark(inner, active)
            ends = region.results[1:] if op.name == "loop" else region.results
            for result, end in zip(op.results, ends, strict=True):
                if end in active and flows(result.type):
                    active.add(result)
        if not op.regions:
            if any(o in active for o in op.operands):
                active.update(r for r in op.results if flows(r.type))
            return
        if op.name == "loop":
            for result, start in zip(op.results, op.operands[2:], strict=True):
                if start in active and flows(result.type):
                    active.add(result)


def flows(kind: Type) -> bool:
    """True for floating tensors, and lists of them."""
    return is_differentiable(kind) or (isinstance(kind, ListType) and flows(kind.element))


def defined(ops: Sequence[Op]) -> list[Value]:
    return [result for op in ops for result in op.results]


def ordered(function: Function, ops: Sequence[Op]) -> list[Value]:
    """All values of the function's outermost level, in the order of their definition."""
    return [*function.inputs, *function.state.values(), *defined(ops)]


def free_values(ops: Sequence[Op], results: Sequence[Value]) -> set[Value]:
    """Values that are used but not defined in `ops`."""
    used: set[Value] = set(results)
    made: set[Value] = set()

    def visit(items: Sequence[Op]) -> None:
        for op in items:
            used.update(op.operands)
            made.update(op.results)
            for region in op.regions:
                made.update(region.params)
                used.update(region.results)
                visit(region.ops)
    visit(ops)
    return {v for v in used - made if not isinstance(v, Literal)}


# Loops: the forward keeps what each iteration began with.

def with_saved_loops(ops: Sequence[Op], active: set[Value]) -> tuple[tuple[Op, ...], dict[Op, tuple[Value, ...]]]:
    """The ops with every active loop extended by lists of its carried values; loop -> those lists."""
    builder = Builder()
    lists: dict[Op, tuple[Value, ...]] = {}
    for op in ops:
        if op.name == "loop" and any(r in active for r in op.results):
            extended, saved = save_iterations(builder, op)
            lists[extended] = saved
        else:
            builder.append(op)
    return builder.take(), lists


def save_iterations(builder: Builder, op: Op) -> tuple[Op, tuple[Value, ...]]:
    """The loop with one more carried list per carried value, holding its content at the start of each iteration."""
    body = op.regions[0]
    carried = body.params[1:]
    with builder.at(op.location):
        empty = [builder.emit_one("list_new", (), {"element": str(p.type)}) for p in carried]
        params = [Value(ListType(p.type), "saved") for p in carried]
        builder.begin()
        grown = [builder.emit_one("list_append", [held, p]) for held, p in zip(params, carried, strict=True)]
        for inner in body.ops:
            builder.append(inner)
        region = builder.end((*body.params, *params), (*body.results, *grown))
    saved = tuple(Value(ListType(p.type), "saved") for p in carried)
    extended = Op("loop", (*op.operands, *empty), op.attributes, (*op.results, *saved), (region,), op.location, op.version)
    builder.append(extended)
    return extended, saved


class Adjoint:
    """Accumulates gradients while ops are walked backwards."""

    def __init__(self, builder: Builder, active: set[Value], loops: Mapping[Op, tuple[Value, ...]],
                 rename: Mapping[Value, Value] | None = None) -> None:
        self.builder = builder
        self.active = active
        self.loops = loops
        self.rename = dict(rename or {})
        self.gradients: dict[Value, Expr] = {}

    def expr(self, value: Value) -> Any:
        """A forward value as a rule sees it: an expression, or the data of a literal."""
        if isinstance(value, Literal):
            return value.data
        return Expr(self.rename.get(value, value), self.builder)

    def add(self, value: Value, gradient: Any) -> None:
        """Add to the gradient of `value`, brought to its shape and dtype."""
        if not isinstance(gradient, Expr):
            return
        kind = value.type
        assert isinstance(kind, TensorType)
        if gradient.shape is None or gradient.shape != kind.shape or None in gradient.shape:
            gradient = REGISTRY["sum_to"](gradient, self.expr(value))
        gradient = gradient.cast(kind.dtype)
        before = self.gradients.get(value)
        self.gradients[value] = gradient if before is None else before + gradient

    def total(self, value: Value) -> Value:
        """The gradient of `value`, zeros where none has arrived."""
        found = self.gradients.get(value)
        return (found if found is not None else self.expr(value) * 0.0).value

    def run(self, ops: Sequence[Op]) -> None:
        """Walk `ops` backwards."""
        for op in reversed(ops):
            if not any(r in self.gradients for r in op.results):
                continue
            with self.builder.at(op.location):
                if op.name == "if":
                    self.branch(op)
                elif op.name == "loop":
                    self.loop(op)
                else:
                    self.rule(op)

    def rule(self, op: Op) -> None:
        definition = REGISTRY[op.name]
        if not any(o in self.active for o in op.operands):
            return
        if definition.vjp is None:
            raise CompileError(diagnostic("E0501", op.location, op=op.name, reason=definition.no_gradient or "none is declared"))
        gradients = [self.gradients.get(r) for r in op.results]
        whole = [g if g is not None else self.zeros(r) for g, r in zip(gradients, op.results, strict=True)]
        results = [self.expr(r) for r in op.results]
        single = len(op.results) == 1
        found = definition.vjp(whole[0] if single else tuple(whole), results[0] if single else tuple(results),
                               *(self.expr(o) for o in op.operands), **op.attributes)
        if not isinstance(found, tuple):
            found = (found,)
        for operand, gradient in zip(op.operands, found, strict=False):
            if operand in self.active and is_differentiable(operand.type):
                self.add(operand, gradient)

    def zeros(self, value: Value) -> Any:
        return self.expr(value) * 0.0 if is_differentiable(value.type) else None

    def branch(self, op: Op) -> None:
        """Each arm is run again inside the backward's arm, then walked backwards there."""
        outer = sorted_free(op, self.active)
        pairs = [(r, self.gradients[r]) for r in op.results if r in self.gradients]
        regions = []
        for region in op.regions:
            self.builder.begin()
            inner = self.inside(region.ops, {})
            for result, gradient in pairs:
                end = region.results[op.results.index(result)]
                if end in self.active:
                    inner.add(end, gradient)
            inner.run(region.ops)
            regions.append(self.builder.end((), [inner.total(v) for v in outer]))
        if outer:
            totals = self.builder.emit("if", [self.renamed(op.operands[0])], {}, tuple(regions))
            for value, total in zip(outer, totals, strict=True):
                self.add(value, Expr(total, self.builder))

    def renamed(self, value: Value) -> Value:
        return self.rename.get(value, value)

    def inside(self, ops: Sequence[Op], params: Mapping[Value, Value]) -> Adjoint:
        """Copy a region's forward ops into the open list, and an adjoint over the copies."""
        rename = {**self.rename, **params}
        for op in ops:
            copy_op(self.builder, op, rename)
        return Adjoint(self.builder, self.active, self.loops, rename)

    def loop(self, op: Op) -> None:
        """Back through the iterations: restore what each began with, run it again, walk it backwards."""
        if op not in self.loops:
            raise CompileError(diagnostic("E0501", op.location, op="loop", reason="a loop inside a loop or branch has no gradient yet"))
        body = op.regions[0]
        lists = self.loops[op]
        count = len(lists)
        carried = body.params[1:1 + count]
        moving = [i for i, p in enumerate(carried) if is_differentiable(p.type) and p in self.active]
        outer = sorted_free(op, self.active)
        start = [self.total(op.results[i]) for i in moving] + [self.total_zero(v) for v in outer]
        length = self.builder.emit_one("list_length", [self.renamed(lists[0])])
        index = Value(INT, "i")
        gradients = [Value(op.results[i].type, "gradient") for i in moving]
        sums = [Value(v.type, "gradient") for v in outer]
        self.builder.begin()
        back = self.builder.emit_one("scalar_sub", [self.builder.emit_one("scalar_sub", [length, 1]), index])
        params: dict[Value, Value] = {body.params[0]: back}
        for param, held in zip(carried, lists, strict=True):
            params[param] = self.builder.emit_one("list_get", [self.renamed(held), back])
        inner_ops = [o for o in body.ops if not (o.name == "list_append" and o.operands[0] in body.params[1 + count:])]
        inner = self.inside(inner_ops, params)
        for i, gradient in zip(moving, gradients, strict=True):
            end = body.results[1 + i]
            if end in self.active:
                inner.add(end, Expr(gradient, self.builder))
        inner.run(inner_ops)
        ends = [inner.total(carried[i]) for i in moving]
        totals = []
        for value, total in zip(outer, sums, strict=True):
            found = inner.gradients.get(value)
            totals.append(total if found is None else (Expr(total, self.builder) + found).value)
        region = self.builder.end((index, *gradients, *sums), (literal(True), *ends, *totals))
        results = self.builder.emit("loop", [length, True, *start], {}, (region,))
        for i, result in zip(moving, results[:len(moving)], strict=True):
            if op.operands[2 + i] in self.active:
                self.add(op.operands[2 + i], Expr(result, self.builder))
        for value, result in zip(outer, results[len(moving):], strict=True):
            self.add(value, Expr(result, self.builder))

    def total_zero(self, value: Value) -> Value:
        return (self.expr(value) * 0.0).value


def sorted_free(op: Op, active: set[Value]) -> list[Value]:
    """The active floating tensors that an op's regions read from outside, in order of first use."""
    found: dict[Value, None] = {}
    made: set[Value] = set()

    def visit(region: Region) -> None:
        made.update(region.params)
        for inner in region.ops:
            for operand in inner.operands:
                found.setdefault(operand)
            for nested in inner.regions:
                visit(nested)
            made.update(inner.results)
        for result in region.results:
            found.setdefault(result)
    for region in op.regions:
        visit(region)
    return [v for v in found if v not in made and v in active and is_differentiable(v.type)]


def copy_op(builder: Builder, op: Op, rename: dict[Value, Value]) -> None:
    """Append a copy of `op` with fresh results; `rename` learns them."""
    regions = tuple(copy_region(builder, r, rename) for r in op.regions)
    results = tuple(Value(r.type, r.name) for r in op.results)
    operands = tuple(rename.get(o, o) for o in op.operands)
    rename.update(zip(op.results, results, strict=True))
    builder.append(Op(op.name, operands, op.attributes, results, regions, op.location, op.version))


def copy_region(builder: Builder, region: Region, rename: dict[Value, Value]) -> Region:
    params = tuple(Value(p.type, p.name) for p in region.params)
    rename.update(zip(region.params, params, strict=True))
    builder.begin()
    for op in region.ops:
        copy_op(builder, op, rename)
    return builder.end(params, tuple(rename.get(r, r) for r in region.results))

