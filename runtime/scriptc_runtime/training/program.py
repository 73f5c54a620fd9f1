"""The program of a training step: forward, loss, backward, accumulation, clipping and the optimizer's rule in one function."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scriptc.errors import CallError, CompileError, diagnostic
from scriptc.ir.autodiff import differentiate
from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function, Group, Op, Value
from scriptc.ir.passes.pipeline import optimize
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, dtype_of
from scriptc.records import replace
from scriptc_runtime.optim.rules import Member, Rule, applied, minimum, sqrt
from scriptc_runtime.optim.stepping import NumberSet
from scriptc_runtime.training.joint import Joint


@dataclass(frozen=True, slots=True)
class Options:
    """What is done with gradients on the way to the optimizer."""

    clip_norm: float | None = None
    clip_value: float | None = None
    scale: float = 1.0              # of every gradient: 1 / (batches that are accumulated)
    gathers: bool = False           # add what earlier batches left
    keeps: bool = False             # leave gradients for later batches; no update


@dataclass(frozen=True, slots=True)
class StepProgram:
    """One function to run. Its inputs: numbers, then gathered gradients, then the states of the parameters, then those of the joint.

    `writes`: the input whose new content each result after the loss is.
    """

    function: Function
    writes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Differentiated:
    """The joint with its backward: `gradients` has one value for each of the inputs `wrt` of the joint."""

    joint: Joint
    ops: tuple[Op, ...]
    wrt: tuple[int, ...]
    gradients: tuple[Value, ...]


def differentiated(joint: Joint, wrt: Sequence[int], scale: float) -> Differentiated:
    """Put the backward behind the joint; it begins with `scale`. CallError R0116, R0118 if there is no gradient."""
    try:
        gradient = differentiate(joint.function, wrt_inputs=tuple(wrt))
    except CompileError as error:
        raise CallError(diagnostic("R0116", what="the loss", reason="; ".join(d.message for d in error.diagnostics))) from None
    if not gradient.result_indices:
        raise CallError(diagnostic("R0118"))
    seed = gradient.backward.inputs[0]
    assert isinstance(seed.type, TensorType) and seed.type.shape is not None
    builder = Builder()
    made = builder.emit_one("full", [scale, *seed.type.shape], {"dtype": seed.type.dtype})  # type: ignore[list-item]
    begin = [replace(op, results=(seed,)) if op.results == (made,) else op for op in builder.take()]
    return Differentiated(joint, (*gradient.forward.ops, *begin, *gradient.backward.ops), gradient.wrt_inputs, gradient.backward.results)


def step_program(source: Differentiated, members: Sequence[Member], sets: Sequence[NumberSet], rule: Rule, options: Options) -> StepProgram:
    """The program for parameters (`source.wrt`, in order) as `members` of an update with these sets of numbers."""
    builder = Builder()
    for op in source.ops:
        builder.append(op)
    own = source.joint.function.inputs
    leading: list[Value] = []       # inputs before those of the joint

    def new(kind: TensorType, name: str) -> Value:
        leading.append(Value(kind, name))
        return leading[-1]

    numbers = [] if options.keeps else [{n: Expr(new(TensorType(dtype_of(s.dtype), ()), n), builder) for n in s.values} for s in sets]
    gradients = [Expr(g, builder) for g in source.gradients]
    changed: list[tuple[Value, Value]] = []
    gathered = [new(own[i].type, "gathered") for i in source.wrt] if options.gathers or options.keeps else []  # type: ignore[arg-type]
    if options.gathers:
        gradients = [Expr(held, builder) + g for held, g in zip(gathered, gradients, strict=True)]
    if options.keeps:
        changed += zip(gathered, [g.value for g in gradients], strict=True)
    else:
        gradients = clipped(gradients, options)
        for index, gradient, member in zip(source.wrt, gradients, members, strict=True):
            state = {n: new(TensorType(dtype_of(dtype), shape), n) for n, dtype, shape in member.state}
            after, states = applied(rule, Expr(own[index], builder), gradient, {n: Expr(v, builder) for n, v in state.items()},
                                 numbers[member.numbers], sets[member.numbers].form)
            changed += [(own[index], after.value), *((state[n], s.value) for n, s in states.items())]
    changed += [(own[int(place)], value) for place, value in source.joint.function.updates.items()]
    inputs = (*leading, *own)
    places = {value: i for i, value in enumerate(inputs)}
    function = Function("step", (), inputs, {}, builder.take(), (source.joint.function.results[0], *(v for _, v in changed)), Group("tuple", ()))
    return StepProgram(optimize(function), tuple(places[value] for value, _ in changed))


def clipped(gradients: Sequence[Expr], options: Options) -> list[Expr]:
    """Gradients limited element by element, then in their joint norm (Pascanu et al. 2013), as torch.nn.utils does."""
    found = list(gradients)
    if options.clip_value is not None:
        found = [REGISTRY["clamp"](g, -options.clip_value, options.clip_value) for g in found]
    if options.clip_norm is not None:
        total = None
        for g in found:
            square = (g * g).sum()
            total = square if total is None else total + square.cast(total.dtype)
        assert total is not None
        scale = minimum(options.clip_norm / (sqrt(total) + 1e-6), 1.0)
        found = [g * scale.cast(g.dtype) for g in found]
    return found
