"""Low-rank adapters beside linear layers and convolutions (LoRA, Hu et al. 2022): put in, found again, taken out.

    %1 = linear(%x, @fc.weight, @fc.bias)          %1 = linear(%x, @fc.weight, @fc.bias)
                                              =>   %2 = linear(%x, @fc.lora_A.weight, None)
                                                   %3 = linear(%2, @fc.lora_B.weight, None)
                                                   %4 = mul(%3, 2.0)
                                                   %5 = add(%1, %4)

Beside a convolution A is one of the same window, stride and padding, and B one of 1 x 1.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scriptc.errors import CompileError, diagnostic
from scriptc.ir.graph import EMPTY, Attribute, Function, Literal, Op, Program, StateEntry, Value, walk
from scriptc.ir.rewrite import RewriteBuilder, Rule
from scriptc.ir.surgery.surgeon import Operation, Surgeon, operate, readers, with_state
from scriptc.ir.types import DTYPES, TensorType
from scriptc.records import replace

A, B = ".lora_A.weight", ".lora_B.weight"
GENERATOR = "random.state"
_STATE = TensorType(DTYPES["uint64"], (2,))
LAYERS = ("linear", "convolution", "matmul")


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapted weight, with its adapter's entries."""

    weight: str
    a: StateEntry
    b: StateEntry
    scale: float
    dropout: float = 0.0


def base_of(weight: str) -> str:
    """`fc` of `fc.weight`: what an adapter's tensors are named after."""
    return weight.removesuffix(".weight")


def adapted(program: Program, adapters: Sequence[Adapter]) -> Program:
    """`program` with adapters; those with dropout draw from the model's random state when it trains.

    CompileError if dropout is asked for in a loop or branch, whose turns would have to hand the state on.
    """
    by_weight = {a.weight: a for a in adapters}
    functions = {key: _drawing(operate(function, _adding(key, by_weight))) for key, function in program.functions.items()}
    added = [entry for a in adapters for entry in (a.a, a.b)]
    drawn = any(GENERATOR in f.state for f in functions.values())
    if drawn and not any(e.name == GENERATOR for e in program.state):
        added.append(StateEntry(GENERATOR, _STATE, "hidden"))
    return with_state(program, functions, added=added)


def _adding(key: str, adapters: Mapping[str, Adapter]) -> Operation:
    training = key.partition(":")[2].startswith("train")

    def operation(walker: Surgeon, state: dict[str, Value]) -> Rule:
        weights = {value: adapters[name] for name, value in state.items() if name in adapters}
        current = state.get(GENERATOR)      # the random state where the walk is

        def dropped(x: Value, p: float, builder: RewriteBuilder) -> Value:
            nonlocal current
            if builder.depth:
                raise CompileError(diagnostic("R0162", builder.location, what="dropout of an adapter", why="it stands in a loop or branch"))
            if current is None:
                current = state.setdefault(GENERATOR, Value(_STATE, GENERATOR))
            before = current
            kept, current = builder.emit("dropout", [x, before], {"p": p, "feature": 0})
            walker.values[before] = current      # what follows draws from the state after
            return kept

        def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
            nonlocal current
            if not builder.depth:
                current = next((r for r in op.results if r.type == _STATE), current)
            adapter = weights.get(walker.origin(op.operands[1])) if op.name in LAYERS else None
            if adapter is None:
                return None
            builder.append(op)
            x = op.operands[0]
            if training and adapter.dropout:
                x = dropped(x, adapter.dropout, builder)
            a, b = (state.get(e.name) or state.setdefault(e.name, Value(e.type, e.name)) for e in (adapter.a, adapter.b))
            name, attributes, point = _kinds(op)
            low = builder.emit_one(name, [x, a, None], attributes)
            scaled = builder.emit_one("mul", [builder.emit_one(name, [low, b, None], point), adapter.scale])
            return builder.emit("add", [op.result, scaled])
        return rule
    return operation


def _kinds(op: Op) -> tuple[str, Mapping[str, Attribute], Mapping[str, Attribute]]:
    """The op of an adapter beside `op`, with the attributes of A and of B."""
    if op.name != "convolution":
        return "linear", EMPTY, EMPTY
    stride = op.attributes["stride"]
    assert isinstance(stride, tuple)
    ones, zeros = (1,) * len(stride), (0,) * len(stride)
    return "convolution", op.attributes, {"stride": ones, "padding": zeros, "dilation": ones, "groups": 1}


def _drawing(function: Function) -> Function:
    """`function` with its last random state written back."""
    if GENERATOR not in function.state or GENERATOR in function.updates:
        return function
    current = function.state[GENERATOR]
    for op in function.ops:
        if current in op.operands:
            current = next((r for r in op.results if r.type == _STATE), current)
    return replace(function, updates={**function.updates, GENERATOR: current})


def host(program: Program, entry: StateEntry) -> Op | None:
    """A layer that an adapter can stand beside, if all that reads `entry` are such with it as their weight.

    Linear layers, products x @ weight with weight [in, out], and convolutions that are not grouped.
    """
    tied = entry.alias is not None or any(e.alias == entry.name for e in program.state)
    if tied or entry.kind != "parameter" or entry.name.endswith((A, B)):
        return None
    found = readers(program, entry.name)
    ops = [r.op for r in found if r.op is not None and r.place == 1 and r.op.name in LAYERS]
    ranks = {"linear": (2,), "matmul": (2,), "convolution": (3, 4, 5)}
    if not ops or len(ops) < len(found) or len({op.name for op in ops}) > 1 or len(entry.type.shape or ()) not in ranks[ops[0].name]:
        return None
    return ops[0] if all(op.attributes.get("groups", 1) == 1 for op in ops) else None


def adapters_of(program: Program) -> list[Adapter]:
    """The adapters that `adapted` put in, as far as they are found again."""
    entries = {e.name: e for e in program.state}
    scales: dict[str, float] = {}
    for function in program.functions.values():
        b_values = {value: name for name, value in function.state.items() if name.endswith(B)}
        deltas: dict[Value, str] = {}
        for op in walk(function.ops):
            if len(op.operands) > 1 and op.operands[1] in b_values:
                deltas[op.result] = b_values[op.operands[1]]
            elif op.name == "mul" and op.operands[0] in deltas and isinstance(op.operands[1], Literal):
                scales[deltas[op.operands[0]]] = float(op.operands[1].data)  # type: ignore[arg-type]
    found = []
    for name, scale in scales.items():
        base = name.removesuffix(B)
        weight = base + ".weight" if base + ".weight" in entries else base
        if weight in entries and base + A in entries:
            found.append(Adapter(weight, entries[base + A], entries[name], scale))
    return found


def without(program: Program, adapters: Sequence[Adapter]) -> Program:
    """`program` without these adapters. CompileError R0162 if one is not found as `adapted` made it."""
    names = frozenset(n for a in adapters for n in (a.a.name, a.b.name))
    functions = {key: operate(function, _removing(function, names)) for key, function in program.functions.items()}
    left = sorted({n for f in functions.values() for n in f.state if n in names})
    if left:
        raise CompileError(diagnostic("R0162", what=f"removing {left[0]}", why="the program has been changed around it"))
    if not any(GENERATOR in f.state for f in functions.values()):
        names |= {GENERATOR}
    return with_state(program, functions, removed=names)


def _removing(function: Function, names: frozenset[str]) -> Operation:
    lows = {function.state[n] for n in names if n in function.state and n.endswith(A)}
    uses: dict[Value, list[Op]] = {}
    for op in walk(function.ops):
        for operand in op.operands:
            uses.setdefault(operand, []).append(op)
    drops = {op.results[0] for op in function.ops if op.name == "dropout" and uses.get(op.results[0])
             and all(len(u.operands) > 1 and u.operands[1] in lows for u in uses[op.results[0]])}

    def operation(walker: Surgeon, state: dict[str, Value]) -> Rule:
        highs = {state[n] for n in names if n in state and n.endswith(B)}

        def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
            if op.name == "dropout" and op.results[0] in drops:
                return op.operands
            if op.name != "add":
                return None
            scaled = builder.producer(op.operands[1], "mul")
            made = scaled and (builder.producer(scaled.operands[0], "linear") or builder.producer(scaled.operands[0], "convolution"))
            return [op.operands[0]] if made and made.operands[1] in highs else None
        return rule
    return operation
