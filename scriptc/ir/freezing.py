"""Making a program smaller for good: `shrink` drops, folds and shares, together with the tensors.

    smaller = shrink(program, tensors, evaluate, drop_training=True)     # Shrunk: program, tensors, notes

What depends on parameters is only computed ahead when the training form goes: an archive that can still be trained must not hold values
that its new weights contradict.
"""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CompileError, diagnostic
from scriptc.ir.graph import Function, Literal, Op, Program, StateEntry, Value, literal, walk
from scriptc.ir.passes.fold import Evaluate
from scriptc.ir.passes.pipeline import optimize_program
from scriptc.ir.registry import REGISTRY
from scriptc.ir.rewrite import RewriteBuilder, rewrite, with_values
from scriptc.ir.types import TensorType, dtype_of
from scriptc.records import Record, replace

SMALL = 1 << 16             # bytes; a larger constant is only kept if it replaces as many
LAYERS = ("convolution", "linear")

Tensors = Mapping[str, np.ndarray]


class Shrunk(Record):
    """The program and its tensors, and what was done, a sentence each."""

    program: Program
    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...]


class Site(Record):
    """A layer and the normalisation behind it, by the names of their state."""

    bias: str | None
    mean: str
    var: str
    gamma: str | None
    beta: str | None
    eps: float


def shrink(program: Program, tensors: Tensors, evaluate: Evaluate, *, drop_training: bool) -> Shrunk:
    """`program` with the same results in evaluation; `evaluate` gives the meaning of an op on known operands.

    With `drop_training` the training forms go, and with them whatever only they need; batch norms are folded into the layers before them.
    CompileError R0162 if nothing would be left.
    """
    notes: list[str] = []
    arrays = dict(tensors)
    if drop_training:
        program = _without_training(program, notes)
    program = optimize_program(program, evaluate)
    if drop_training:
        program = _fold_batch_norms(program, arrays, notes)
    program = optimize_program(_fold_tensors(program, arrays, evaluate, drop_training, notes), evaluate)
    return Shrunk(*_without_unused(program, arrays, drop_training, notes), tuple(notes))


def is_training(key: str) -> bool:
    """True for the key of a function's training form."""
    return key.partition(":")[2].startswith("train")


def _without_training(program: Program, notes: list[str]) -> Program:
    kept = {key: f for key, f in program.functions.items() if not is_training(key)}
    if not kept:
        raise CompileError(diagnostic("R0162", what="dropping the training form", why="there is no other"))
    if len(kept) < len(program.functions):
        notes.append(f"dropped {', '.join(k for k in program.functions if k not in kept)}")
    return replace(program, functions=kept)


# Batch norms.

def _fold_batch_norms(program: Program, arrays: dict[str, np.ndarray], notes: list[str]) -> Program:
    """convolution or linear, then batch_norm  =>  the layer with other weights, where nothing else reads them."""
    tied = {e.alias for e in program.state if e.alias is not None} | {e.name for e in program.state if e.alias is not None}
    changed = {name for f in program.functions.values() for name in f.updates}
    found: dict[str, Site] = {}
    for name in {e.name for e in program.state} - tied - changed:
        sites = {_site(f, name) for f in program.functions.values() if name in f.state}
        site = sites.pop() if len(sites) == 1 else None
        names = set() if site is None else {site.bias, site.mean, site.var, site.gamma, site.beta} - {None}
        if site is not None and not names & (changed | tied) and _is_alone(program, name, site.bias):
            found[name] = site
    if not found:
        return program
    entries = {e.name: e for e in program.state}
    added: list[StateEntry] = []
    biases: dict[str, StateEntry] = {}
    for name, site in sorted(found.items()):
        weight, bias = _folded(arrays, name, site)
        entry = entries[site.bias] if site.bias is not None else _bias_entry(name, entries, bias)
        if site.bias is None:
            added.append(entry)
            entries[entry.name] = entry
        biases[name] = entry
        arrays[name], arrays[entry.name] = weight, bias
    notes.append(f"folded {len(found)} batch norm{'s' * (len(found) != 1)} into the layers before them")
    functions = {key: _with_folded(f, biases) for key, f in program.functions.items()}
    return replace(program, functions=functions, state=(*program.state, *added))


def _site(function: Function, weight: str) -> Site | None:
    """What follows the layer that reads `weight` in a function, if it is a batch norm and nothing else."""
    names = {value: name for name, value in function.state.items()}
    counts = _uses(function)
    readers = [op for op in walk(function.ops) if any(names.get(o) == weight for o in op.operands)]
    if len(readers) != 1 or counts[function.state[weight]] != 1 or readers[0].name not in LAYERS:
        return None
    layer = readers[0]
    kind = layer.result.type
    if names.get(layer.operands[1]) != weight or counts[layer.result] != 1 or not isinstance(kind, TensorType):
        return None
    if layer.name == "linear" and (kind.rank != 2 or function.state[weight].type.rank != 2):  # type: ignore[union-attr]
        return None     # channels of a batch norm are dimension 1
    norm = next((op for op in walk(function.ops) if layer.result in op.operands), None)
    if norm is None or norm.name != "batch_norm" or norm.operands[0] is not layer.result:
        return None
    parts = [layer.operands[2], *norm.operands[1:]]
    if not all((isinstance(p, Literal) and p.data is None) or p in names for p in parts):
        return None
    bias, mean, var, gamma, beta = [names.get(p) for p in parts]
    eps = norm.attributes["eps"]
    assert isinstance(eps, float)
    return None if mean is None or var is None else Site(bias, mean, var, gamma, beta, eps)


def _uses(function: Function) -> Counter[Value]:
    """How often each value is read."""
    counts = Counter(o for op in walk(function.ops) for o in op.operands)
    counts.update(r for op in walk(function.ops) for region in op.regions for r in region.results)
    counts.update((*function.results, *function.updates.values(), *function.input_updates.values()))
    return counts


def _is_alone(program: Program, weight: str, bias: str | None) -> bool:
    """True if a bias is read by nothing but the layer of `weight`, in every function."""
    if bias is None:
        return True
    return all(bias not in f.state or (weight in f.state and _uses(f)[f.state[bias]] == 1) for f in program.functions.values())


def _folded(arrays: Tensors, weight: str, site: Site) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the layer with the normalisation in them, calculated in float64."""
    def wide(name: str | None, otherwise: float) -> Any:
        return otherwise if name is None else arrays[name].astype(np.float64)

    old = arrays[weight]
    factor = wide(site.gamma, 1.0) / np.sqrt(wide(site.var, 1.0) + site.eps)
    bias = (wide(site.bias, 0.0) - wide(site.mean, 0.0)) * factor + wide(site.beta, 0.0)
    scaled = old.astype(np.float64) * factor.reshape(-1, *[1] * (old.ndim - 1))
    return scaled.astype(old.dtype), np.broadcast_to(bias, old.shape[:1]).astype(old.dtype)


def _bias_entry(weight: str, entries: Mapping[str, StateEntry], bias: np.ndarray) -> StateEntry:
    base = f"{weight.removesuffix('weight')}bias" if weight.endswith("weight") else f"{weight}.bias"
    name = _unused_name(base, entries)
    return StateEntry(name, TensorType(dtype_of(bias), bias.shape), entries[weight].kind, entries[weight].requires_grad)


def _unused_name(base: str, taken: Mapping[str, object]) -> str:
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def _with_folded(function: Function, biases: Mapping[str, StateEntry]) -> Function:
    read = [name for name in biases if name in function.state]
    state = {**function.state, **{biases[n].name: Value(biases[n].type, biases[n].name) for n in read if biases[n].name not in function.state}}
    wanted = {function.state[name]: state[biases[name].name] for name in read}

    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        if op.name in LAYERS and op.operands[1] in wanted and op.operands[2] is not wanted[op.operands[1]]:
            return [builder.emit_one(op.name, [*op.operands[:2], wanted[op.operands[1]]], op.attributes)]
        layer = builder.producers.get(op.operands[0]) if op.name == "batch_norm" else None
        return [op.operands[0]] if layer is not None and layer.name in LAYERS and layer.operands[1] in wanted else None
    return rewrite(replace(function, state=state), rule)


# Tensors that are known.

def _fold_tensors(program: Program, arrays: dict[str, np.ndarray], evaluate: Evaluate, frozen: bool, notes: list[str]) -> Program:
    """Ops of which every operand is known become constants; of parameters and buffers too where they are `frozen`."""
    changed = {name for f in program.functions.values() for name in f.updates}
    kinds = {e.name: e.kind for e in program.state}
    fixed = {n for n, kind in kinds.items() if n not in changed and (kind == "constant" or (frozen and kind in ("parameter", "buffer")))}
    taken: dict[str, StateEntry] = {e.name: e for e in program.state}
    owners = {e.name: e.alias or e.name for e in program.state}
    made: dict[tuple[object, ...], StateEntry] = {}
    count = 0

    def entry_of(array: np.ndarray) -> StateEntry:
        key = array.dtype.str, dtype_of(array).name, array.shape, array.tobytes()
        if key not in made:
            name = _unused_name("folded", taken)
            made[key] = taken[name] = StateEntry(name, TensorType(dtype_of(array), array.shape), "constant")
            arrays[name] = np.ascontiguousarray(array)
        return made[key]

    functions = {}
    for key, function in program.functions.items():
        contents = {v: arrays[owners[n]] for n, v in function.state.items() if n in fixed}
        functions[key], folded = _folded_ops(function, contents, evaluate, entry_of)
        count += folded
    if count:
        notes.append(f"computed {count} op{'s' * (count != 1)} on constants ahead")
    return replace(program, functions=functions, state=(*program.state, *made.values()))


def _folded_ops(function: Function, contents: Mapping[Value, np.ndarray], evaluate: Evaluate,
                entry_of: Callable[[np.ndarray], StateEntry]) -> tuple[Function, int]:
    known: dict[Value, Any] = dict(contents)
    kept: list[Op] = []
    for op in function.ops:
        results = _evaluated(op, known, evaluate)
        if results is None:
            kept.append(op)
        else:
            known.update(zip(op.results, results, strict=True))
    if len(kept) == len(function.ops):
        return function, 0
    read = {o for op in walk(tuple(kept)) for o in op.operands} | {r for op in walk(tuple(kept)) for g in op.regions for r in g.results}
    read |= {*function.results, *function.updates.values(), *function.input_updates.values()}
    state = dict(function.state)
    values: dict[Value, Value] = {}
    for op in function.ops:
        for result in op.results:
            if result not in known or result not in read:
                continue
            content = known[result]
            if isinstance(content, np.ndarray):
                entry = entry_of(content)
                values[result] = state.setdefault(entry.name, Value(entry.type, entry.name))
            else:
                values[result] = literal(content)
    before = replace(function, ops=tuple(kept), state=state)
    replaced = rewrite(with_values(before, before.ops, lambda v: values.get(v, v)), _substitution(values))
    return replaced, len(function.ops) - len(kept)


def _substitution(values: Mapping[Value, Value]) -> Callable[[Op, RewriteBuilder], Sequence[Value] | None]:
    """A rule that reads `values` instead of what they stand for, in regions too."""
    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        if not any(o in values for o in op.operands):
            return None
        operands = tuple(values.get(o, o) for o in op.operands)
        kinds = REGISTRY[op.name].infer([o.type for o in operands], op.attributes, op.regions)
        results = tuple(r if r.type == k else Value(k, r.name) for r, k in zip(op.results, kinds, strict=True))
        builder.append(Op(op.name, operands, op.attributes, results, op.regions, op.location, op.version))
        return results
    return rule


def _evaluated(op: Op, known: Mapping[Value, Any], evaluate: Evaluate) -> Sequence[Any] | None:
    """The results of an op, if everything it reads is known and keeping them costs no more than what they replace."""
    definition = REGISTRY[op.name]
    if op.regions or definition.effects or not op.results or op.name == "undefined" or definition.family == "random":
        return None
    if not all(isinstance(o, Literal) or o in known for o in op.operands):
        return None
    kinds = [r.type for r in op.results]
    if any(isinstance(k, TensorType) and (k.shape is None or not all(isinstance(d, int) for d in k.shape)) for k in kinds):
        return None
    operands = [o.data if isinstance(o, Literal) else known[o] for o in op.operands]
    given = sum(o.nbytes for o in operands if isinstance(o, np.ndarray))
    size = sum(math.prod(d for d in k.shape or () if isinstance(d, int)) * k.dtype.itemsize for k in kinds if isinstance(k, TensorType))
    if size > max(given, SMALL):
        return None
    found = evaluate(op, operands)
    if found is None or not all(_fits(content, kind) for content, kind in zip(found, kinds, strict=True)):
        return None
    return found


def _fits(content: Any, kind: Any) -> bool:
    if isinstance(kind, TensorType):
        return isinstance(content, np.ndarray) and content.shape == kind.shape and dtype_of(content) is kind.dtype
    return type(content) in (int, float, bool)


# State.

def _without_unused(program: Program, arrays: Tensors, everything: bool, notes: list[str]) -> tuple[Program, dict[str, np.ndarray]]:
    """Without constants that no function reads, or with `everything` any such state."""
    read = {name for f in program.functions.values() for name in (*f.state, *f.updates)}
    needed = read | {e.alias for e in program.state if e.name in read and e.alias is not None}
    kept = tuple(e for e in program.state if e.name in needed or not (everything or e.kind == "constant"))
    if dropped := len(program.state) - len(kept):
        notes.append(f"dropped {dropped} tensor{'s' * (dropped != 1)} that nothing reads")
    names = {e.name for e in kept}
    return replace(program, state=kept), {n: a for n, a in arrays.items() if n in names}
