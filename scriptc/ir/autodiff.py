"""Reverse differentiation as a transformation: a function to its forward with saved values, and its backward.

Both are ordinary functions. Rules (kept with the ops) own the calculus; this driver owns accumulation, the sums that
undo broadcasting, dtypes, zero gradients, and control flow: a branch is run again inside the backward's branch, and a
loop saves what it carried into each iteration, then walks back through the iterations, running each again from there.

Backward is traced with the forward's values as free variables and optimised; what it still reads then is what is saved.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from scriptc.errors import CompileError, diagnostic
from scriptc.ir.builder import Builder
from scriptc.ir.contributions import Layer, Part, bias_gradient, can_join, joined, part_of, shared_weights, weight_gradient
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function, Literal, Op, Region, Value, literal, walk
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.passes.pipeline import optimize
from scriptc.ir.passes.recompute import segments
from scriptc.ir.printer import usual_parameters, usual_structure
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import RewriteBuilder, rewrite
from scriptc.ir.types import FLOAT_CATEGORY, INT, ListType, OptionalType, TensorType, TupleType, Type
from scriptc.location import Location
from scriptc.records import Record, replace


class Gradient(Record):
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


def differentiate(function: Function, *, wrt_inputs: Collection[int] = (), wrt_state: Collection[str] = ()) -> Gradient:
    """The forward and backward of `function` for the given inputs (by index) and state entries (by name).

    CompileError E0501 at the op's own place if an op on the way has no gradient.
    """
    inputs = tuple(sorted(wrt_inputs))
    entries = tuple(name for name in function.state if name in set(wrt_state))
    sources = [*(function.inputs[i] for i in inputs), *(function.state[n] for n in entries)]
    active = reached_from(function.ops, {s for s in sources if flows(s.type)})
    wanted = tuple(i for i, r in enumerate(function.results) if r in active and is_tensor(r.type))
    incoming = tuple(Value(function.results[i].type, f"gradient{i}") for i in wanted)

    forward_builder = Builder()
    loops: dict[Op, tuple[Value, ...]] = {}
    for item in segments(function.ops):
        for op in item if isinstance(item, list) else [item]:
            if op is item and op.name == "loop" and any(r in active for r in op.results):
                loops[op] = save_iterations(forward_builder, op)
            else:
                forward_builder.append(op)
    forward_ops = forward_builder.take()

    builder = Builder()
    adjoint = Adjoint(builder, active, loops, read_again=frozenset(sources))
    for index, value in zip(wanted, incoming, strict=True):
        adjoint.add(function.results[index], Expr(value, builder))
    adjoint.run(function.ops)
    outputs = tuple(adjoint.total(source) for source in sources)

    whole = (*function.inputs, *function.state.values(), *(r for op in forward_ops for r in op.results))
    backward = Function(f"{function.name}:backward", (), (*incoming, *whole), {}, builder.take(), outputs, usual_structure(len(outputs)),
                        location=function.location)
    sizes = _Sizes(whole)
    backward = optimize(sizes.named(backward))
    forward_ops += sizes.builder.take()

    used = values_used(backward)
    # An entry that the call itself changes is saved, because backward comes after the change.
    state = {n: v for n, v in function.state.items() if v in used and n not in function.updates}
    reread = set(state.values())
    saved = tuple(v for v in (*whole, *sizes.results) if v in used and v not in reread)
    inward = (*incoming, *saved)
    backward = replace(backward, parameters=usual_parameters(inward), inputs=inward, state=state)
    forward = eliminate_dead_code(replace(function, ops=forward_ops, results=(*function.results, *saved)))
    return Gradient(replace(forward, state=function.state), backward, wanted, saved, inputs, entries)


# Which values gradients flow through.

def is_tensor(kind: Type) -> bool:
    """True for floating and complex tensors."""
    return isinstance(kind, TensorType) and kind.dtype.category >= FLOAT_CATEGORY


def is_complex(kind: Type) -> bool:
    """True for complex tensors."""
    return isinstance(kind, TensorType) and kind.dtype.is_complex


def flows(kind: Type) -> bool:
    """True for floating tensors, and for containers of them."""
    if isinstance(kind, ListType | OptionalType):
        return flows(kind.element)
    return any(map(flows, kind.elements)) if isinstance(kind, TupleType) else is_tensor(kind)


def reached_from(ops: Sequence[Op], sources: set[Value]) -> set[Value]:
    """Every value that gradients flow through and that depends on `sources`, inside regions too."""
    active = set(sources)
    for op in ops:
        mark(op, active)
    return active


def mark(op: Op, active: set[Value]) -> None:
    """Add what `op` computes from active values."""
    if not op.regions:
        if not REGISTRY[op.name].zero_gradient and not active.isdisjoint(op.operands):
            active.update(r for r in op.results if flows(r.type))
        return
    begin, skip = (op.operands[2:], 1) if op.name == "loop" else ((), 0)
    before = -1
    while before != len(active):   # a loop carries activity from its end to its beginning
        before = len(active)
        for region in op.regions:
            carried = region.params[skip:]
            for param, start in zip(carried, begin, strict=True):
                if start in active:
                    active.add(param)
            for inner in region.ops:
                mark(inner, active)
            for index, end in enumerate(region.results[skip:]):
                if end in active:
                    active.add(op.results[index])
                    active.update(carried[index:index + 1])
        active.update(r for r, start in zip(op.results, begin, strict=False) if start in active)


def active_free(op: Op, active: set[Value]) -> list[Value]:
    """The active values that an op's regions read from outside, in order of first use."""
    return [v for v in free_values(op.regions) if v in active]


def free_values(regions: Sequence[Region]) -> list[Value]:
    """The values that regions read from outside, in order of first use."""
    found: dict[Value, None] = {}
    made: set[Value] = set()

    def visit(region: Region) -> None:
        made.update(region.params)
        for inner in region.ops:
            found.update(dict.fromkeys(inner.operands))
            for nested in inner.regions:
                visit(nested)
            made.update(inner.results)
        found.update(dict.fromkeys(region.results))
    for region in regions:
        visit(region)
    return [v for v in found if v not in made]


def values_used(function: Function) -> set[Value]:
    """Every value that the function reads anywhere."""
    used = set(function.results)
    for op in walk(function.ops):
        used.update(op.operands)
        for region in op.regions:
            used.update(region.results)
    return used


# What the forward keeps.

def save_iterations(builder: Builder, op: Op) -> tuple[Value, ...]:
    """Append the loop with one more carried list per carried value: what each iteration began with. The lists."""
    (body,) = op.regions
    carried = body.params[1:]
    with builder.at(op.location):
        empty = [builder.emit_one("list_new", (), {"element": str(p.type)}) for p in carried]
        params = [Value(ListType(p.type), "saved") for p in carried]
        builder.begin()
        grown = [builder.emit_one("list_append", [held, p]) for held, p in zip(params, carried, strict=True)]
        for inner in body.ops:
            builder.append(inner)
        region = builder.end((*body.params, *params), (*body.results, *grown))
    lists = tuple(Value(ListType(p.type), "saved") for p in carried)
    builder.append(Op("loop", (*op.operands, *empty), op.attributes, (*op.results, *lists), (region,), op.location, op.version))
    return lists


class _Sizes:
    """Lets backward read sizes of forward values instead of the values: those the forward computes and saves as ints."""

    def __init__(self, values: Sequence[Value]) -> None:
        self._forward = set(values)
        self.builder = Builder()   # what the forward computes besides
        self._known: dict[tuple[Value, int | None], Value] = {}

    @property
    def results(self) -> list[Value]:
        """The sizes that may have to be saved."""
        return list(self._known.values())

    def named(self, backward: Function) -> Function:
        """The backward, with sizes of forward values as values of their own."""
        renamed = rewrite(backward, self._rule)
        return replace(renamed, inputs=(*renamed.inputs, *self.results))

    def _rule(self, op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        if op.name in ("size", "numel") and op.operands[0] in self._forward:
            dim = op.attributes.get("dim")
            return [self._size(op.operands[0], dim if isinstance(dim, int) else None)]
        if op.name in ("expand_as", "reshape_as") and op.operands[1] in self._forward:
            x, like = op.operands
            kind = like.type
            if isinstance(kind, TensorType) and kind.shape is not None and kind == op.result.type:
                sizes = [s if isinstance(s, int) else self._size(like, d) for d, s in enumerate(kind.shape)]
                made = builder.emit(op.name.removesuffix("_as"), [x, *sizes])
                # Where a size is unknown the new type says less, which the rules of the ops behind it may not expect.
                return made if made[0].type == kind else None
        return None

    def _size(self, value: Value, dim: int | None) -> Value:
        """The size of a dimension, or with None the number of elements."""
        found = self._known.get((value, dim))
        if found is None:
            found = (self.builder.emit_one("numel", [value]) if dim is None
                     else self.builder.emit_one("size", [value], {"dim": dim}))
            self._known[value, dim] = found
        return found


# The walk backwards.

class Adjoint:
    """Accumulates gradients while ops are walked backwards.

    `rename` maps forward values to the copies that stand for them where a region is run again; `loops` holds the lists that
    each loop left.
    """

    def __init__(self, builder: Builder, active: set[Value], loops: Mapping[Op, tuple[Value, ...]],
                 rename: Mapping[Value, Value] | None = None, read_again: frozenset[Value] = frozenset()) -> None:
        self.builder = builder
        self.active = active
        self.loops = loops
        self.read_again = read_again    # what is there for the backward anyway: parameters
        self.rename = dict(rename or {})
        self.gradients: dict[Value, Expr] = {}
        self.parts: dict[Value, list[tuple[Op, Part]]] = {}        # gradients of values taken apart
        self.layers: dict[Value, list[tuple[Op, Layer]]] = {}      # uses of weights that several layers share
        self.biases: dict[Value, Value] = {}                       # of these layers, to their weights
        self.shared: frozenset[Value] = frozenset()

    def renamed(self, value: Value) -> Value:
        """What holds a forward value here."""
        return self.rename.get(value, value)

    def expr(self, value: Value) -> Any:
        """A forward value as a rule sees it: an expression, or the data of a literal."""
        return value.data if isinstance(value, Literal) else Expr(self.renamed(value), self.builder)

    def add(self, value: Value, gradient: Expr) -> None:
        """Add to the gradient of `value`, brought to its shape and dtype."""
        gradient = self.fitted(value, gradient)
        before = self.gradients.get(value)
        if before is not None:
            gradient = summed(before, gradient)
        self.gradients[value] = gradient

    def fitted(self, value: Value, gradient: Expr) -> Expr:
        """The gradient with broadcasting undone and in the dtype of `value`; of an optional's value where `value` is none."""
        kind = value.type
        if isinstance(gradient.type, OptionalType) and not isinstance(kind, OptionalType):
            return self.unwrapped(value, gradient)
        if isinstance(kind, OptionalType) and not isinstance(gradient.type, OptionalType):
            return Expr(self.builder.emit_one("optional_wrap", [gradient.value]), self.builder)
        if not isinstance(kind, TensorType):
            return gradient
        if gradient.shape is None or gradient.shape != kind.shape or None in gradient.shape:
            gradient = REGISTRY["sum_to"](gradient, self.expr(value))
        return gradient.cast(kind.dtype)

    def unwrapped(self, value: Value, gradient: Expr) -> Expr:
        """The content of an optional gradient, zeros where it is none."""
        builder = self.builder
        absent = builder.emit_one("optional_is_none", [gradient.value])
        builder.begin()
        none = builder.end((), (self.zeros(value).value,))
        builder.begin()
        content = self.fitted(value, Expr(builder.emit_one("optional_get", [gradient.value]), builder))
        some = builder.end((), (content.value,))
        return Expr(builder.emit_one("if", [absent], {}, (none, some)), builder)

    def zeros(self, value: Value) -> Expr:
        """A gradient of zeros for `value`. CompileError E0501 for a kind of container that none is known for."""
        kind = value.type
        if isinstance(kind, TensorType):
            zero = Expr(self.builder.emit_one("full", [0.0], {"dtype": kind.dtype}), self.builder)
            return REGISTRY["expand_as"](zero, self.expr(value))
        if isinstance(kind, OptionalType):
            return Expr(self.builder.emit_one("optional_none", (), {"element": str(kind.element)}), self.builder)
        if isinstance(kind, ListType) and is_tensor(kind.element):
            return REGISTRY["list_zeros_like"](self.expr(value))
        raise no_gradient(self.builder.location, str(kind), "gradients flow through tensors, lists of tensors and optionals")

    def total(self, value: Value) -> Value:
        """The gradient of `value`, zeros where none has arrived."""
        self.settle(value)
        found = self.gradients.get(value)
        return (found if found is not None else self.zeros(value)).value

    def run(self, ops: Sequence[Op]) -> None:
        """Walk `ops` backwards."""
        self.shared = shared_weights(ops)
        for item in reversed(segments(ops)):
            if isinstance(item, list):
                self.segment(item)
            else:
                self.step(item)

    def step(self, op: Op) -> None:
        """Back through one op."""
        for result in op.results:
            self.settle(result)
        if not any(r in self.gradients for r in op.results):
            return
        with self.builder.at(op.location):
            if op.name == "if":
                self.branch(op)
            elif op.name == "loop":
                self.loop(op)
            else:
                self.rule(op)

    def segment(self, ops: Sequence[Op]) -> None:
        """Back through ops of which the forward keeps nothing: they run again, from what they read, once their gradient is there."""
        results = [r for op in ops for r in op.results]
        for result in results:
            self.settle(result)
        arriving = [(r, self.gradients[r]) for r in results if r in self.gradients]
        after = next((g.value for _, g in arriving if isinstance(g.type, TensorType)), None)
        if after is None:       # lists of gradients: nothing to wait for
            for op in reversed(ops):
                self.step(op)
            return
        made = set(results)
        outer = [v for v in free_values((Region((), tuple(ops), ()),)) if v not in made and not isinstance(v, Literal)]
        with self.builder.at(ops[-1].location):
            again = {v: self.builder.emit_one("checkpointed", [self.renamed(v), after]) for v in outer
                     if isinstance(v.type, TensorType) and v not in self.read_again}
        inner = self.run_again(ops, again)
        for result, gradient in arriving:
            inner.add(result, gradient)
        inner.run(ops)
        for value in outer:
            if value in self.active:
                inner.settle(value)
                if value in inner.gradients:
                    self.add(value, inner.gradients[value])

    def rule(self, op: Op) -> None:
        """Back through one op, by its own rule."""
        definition = REGISTRY[op.name]
        wanted = [i for i, o in enumerate(op.operands) if o in self.active]
        if not wanted:
            return
        if any(is_complex(v.type) for v in (*op.operands, *op.results)):
            # Rules are written for real numbers: PyTorch's convention conjugates what they multiply by.
            raise no_gradient(op.location, op.name, "gradients through complex tensors are not supported")
        if definition.vjp is None:
            raise no_gradient(op.location, op.name, definition.no_gradient or "none is declared")
        wanted = self.kept(op, wanted)
        if not wanted:
            return
        gradients = tuple(self.gradients[r] if r in self.gradients else self.zeros(r) if flows(r.type) else None
                          for r in op.results)
        results = tuple(self.expr(r) for r in op.results)
        single = len(op.results) == 1
        found = self.applied(op, definition.vjp, gradients[0] if single else gradients, results[0] if single else results)
        if len(found) <= wanted[-1]:
            raise no_gradient(op.location, op.name, f"its rule gives none for operand {wanted[-1]}")
        for index in wanted:
            if isinstance(found[index], Expr):
                self.add(op.operands[index], found[index])

    def kept(self, op: Op, wanted: Sequence[int]) -> list[int]:
        """Remember gradients of operands that are better made together with others, by `settle`; the operands that are left."""
        part = part_of(op, self.gradients[op.result]) if op.name in ("select", "slice") else None
        if part is not None:
            self.parts.setdefault(op.operands[0], []).append((op, part))
            return []
        if op.name == "linear" and 1 in wanted and op.operands[1] in self.shared and can_join(op):
            self.layers.setdefault(op.operands[1], []).append((op, Layer(self.gradients[op.result], self.expr(op.operands[0]))))
            self.biases[op.operands[2]] = op.operands[1]
            return [i for i in wanted if i == 0]
        return list(wanted)

    def settle(self, value: Value) -> None:
        """Turn what was remembered for `value` into its gradient."""
        weight = self.biases.pop(value, None)
        if weight is not None:
            self.settle(weight)
        parts = self.parts.pop(value, [])
        if parts:
            assert isinstance(value.type, TensorType)
            whole = joined([part for _, part in parts], value.type) if len(parts) > 1 else None
            if whole is not None:
                self.add(value, whole)
            for op, part in parts if whole is None else ():
                vjp = REGISTRY[op.name].vjp
                assert vjp is not None
                with self.builder.at(op.location):
                    self.add(value, self.applied(op, vjp, part.gradient, self.expr(op.result))[0])
        layers = self.layers.pop(value, [])
        if layers:
            self.add(value, weight_gradient([layer for _, layer in layers]))
            for bias in dict.fromkeys(op.operands[2] for op, _ in layers):
                if bias in self.active:
                    self.add(bias, bias_gradient([layer for op, layer in layers if op.operands[2] is bias]))

    def applied(self, op: Op, vjp: Callable[..., Any], gradient: Any, result: Any) -> tuple[Any, ...]:
        """What the op's gradient rule gives, one per operand."""
        try:
            found = vjp(gradient, result, *(self.expr(o) for o in op.operands), **op.attributes)
        except (AssertionError, AttributeError, TypeError, ValueError) as error:
            kinds = ", ".join(str(o.type) for o in op.operands)
            raise no_gradient(op.location, op.name, f"its rule does not serve ({kinds}): {error}") from error
        return found if isinstance(found, tuple) else (found,)

    def branch(self, op: Op) -> None:
        """Each arm is run again inside the backward's arm, then walked backwards there."""
        outer = active_free(op, self.active)
        if not outer:
            return
        arriving = [(i, self.gradients[r]) for i, r in enumerate(op.results) if r in self.gradients]
        regions = []
        for region in op.regions:
            self.builder.begin()
            inner = self.run_again(region.ops, {})
            for index, gradient in arriving:
                end = region.results[index]
                if end in self.active:
                    inner.add(end, gradient)
            inner.run(region.ops)
            regions.append(self.builder.end((), [inner.total(v) for v in outer]))
        totals = self.builder.emit("if", [self.renamed(op.operands[0])], {}, tuple(regions))
        for value, total in zip(outer, totals, strict=True):
            self.add(value, Expr(total, self.builder))

    def run_again(self, ops: Sequence[Op], params: Mapping[Value, Value]) -> Adjoint:
        """Copy a region's forward ops into the open list (loops inside save their iterations), and an adjoint over them."""
        rename = {**self.rename, **params}
        loops: dict[Op, tuple[Value, ...]] = {}
        for op in ops:
            copy = copy_op(op, rename)
            if copy is None:
                continue
            if op.name == "loop" and any(r in self.active for r in op.results):
                loops[op] = save_iterations(self.builder, copy)
            else:
                self.builder.append(copy)
        return Adjoint(self.builder, self.active, loops, rename, self.read_again)

    def loop(self, op: Op) -> None:
        """Back through the iterations: restore what each began with, run it again, walk it backwards."""
        (body,) = op.regions
        lists = self.loops[op]
        carried = body.params[1:]
        moving = [i for i, p in enumerate(carried) if p in self.active]
        outer = active_free(op, self.active)
        start = [self.total(op.results[i]) for i in moving] + [self.zeros(v).value for v in outer]
        turns = self.builder.emit_one("list_length", [self.renamed(lists[0])])
        index = Value(INT, "i")
        gradients = [Value(carried[i].type, "gradient") for i in moving]
        sums = [Value(v.type, "gradient") for v in outer]
        self.builder.begin()
        last = self.builder.emit_one("scalar_sub", [turns, 1])
        turn = self.builder.emit_one("scalar_sub", [last, index])
        params = {body.params[0]: turn}
        for param, held in zip(carried, lists, strict=True):
            params[param] = self.builder.emit_one("list_get", [self.renamed(held), turn])
        inner = self.run_again(body.ops, params)
        for value, total in zip(outer, sums, strict=True):
            inner.gradients[value] = Expr(total, self.builder)
        for i, gradient in zip(moving, gradients, strict=True):
            end = body.results[1 + i]
            if end in self.active:
                inner.add(end, Expr(gradient, self.builder))
        inner.run(body.ops)
        ends = [inner.total(carried[i]) for i in moving]
        totals = [inner.total(v) for v in outer]
        region = self.builder.end((index, *gradients, *sums), (literal(True), *ends, *totals))
        results = self.builder.emit("loop", [turns, True, *start], {}, (region,))
        for value, result in zip([*(op.operands[2 + i] for i in moving), *outer], results, strict=True):
            if value in self.active:
                self.add(value, Expr(result, self.builder))


def summed(a: Expr, b: Expr) -> Expr:
    """a + b of two gradients: tensors, lists item by item, optionals where both are there."""
    builder = a.builder
    if isinstance(a.type, ListType):
        return REGISTRY["list_add"](a, b)
    if not isinstance(a.type, OptionalType):
        return a + b

    def content(x: Expr) -> Expr:
        return Expr(builder.emit_one("optional_get", [x.value]), builder)

    def choice(x: Expr, absent: Callable[[], Value], present: Callable[[], Value]) -> Value:
        condition = builder.emit_one("optional_is_none", [x.value])
        arms = []
        for arm in (absent, present):
            builder.begin()
            result = arm()
            arms.append(builder.end((), (result,)))
        return builder.emit_one("if", [condition], {}, tuple(arms))

    def both() -> Value:
        return builder.emit_one("optional_wrap", [summed(content(a), content(b)).value])
    return Expr(choice(a, lambda: b.value, lambda: choice(b, lambda: a.value, both)), builder)


def no_gradient(location: Location, op: str, reason: str) -> CompileError:
    """E0501 at the place of an op."""
    return CompileError(diagnostic("E0501", location, op=op, reason=reason))


def copy_op(op: Op, rename: dict[Value, Value]) -> Op | None:
    """A copy of `op` with fresh results, which `rename` learns; None for one with effects, which happened already."""
    if REGISTRY[op.name].effects:
        return None
    regions = tuple(copy_region(r, rename) for r in op.regions)
    operands = tuple(rename.get(o, o) for o in op.operands)
    results = tuple(Value(r.type, r.name) for r in op.results)
    rename.update(zip(op.results, results, strict=True))
    return Op(op.name, operands, op.attributes, results, regions, op.location, op.version)


def copy_region(region: Region, rename: dict[Value, Value]) -> Region:
    """The same for a region; its parameters are fresh too."""
    params = tuple(Value(p.type, p.name) for p in region.params)
    rename.update(zip(region.params, params, strict=True))
    copies = (copy_op(op, rename) for op in region.ops)
    ops = tuple(c for c in copies if c is not None)
    return Region(params, ops, tuple(rename.get(r, r) for r in region.results))
