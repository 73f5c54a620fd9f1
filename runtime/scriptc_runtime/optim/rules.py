"""How optimizers change parameters, said once: an expression over IR ops, which becomes loops that read and write each element once.

    class Lion(Optimizer):
        def initial(self, parameter, group):                  # the state of a parameter before its first step
            return {"exp_avg": np.zeros_like(parameter)}

        def numbers(self, entries, group, first):             # what changes from step to step, as Python computes it
            beta1, beta2 = group["betas"]
            return {"shrink": 1 - group["lr"] * group["weight_decay"], "rate": group["lr"], "mix1": 1 - beta1, "mix2": 1 - beta2}

        @staticmethod
        def rule(p, g, state, numbers, form):                 # the new parameter and the new state
            m = state["exp_avg"]
            direction = sign(m + (g - m) * numbers["mix1"])
            return p * numbers["shrink"] - direction * numbers["rate"], {"exp_avg": m + (g - m) * numbers["mix2"]}

`Optimizer.step` runs the rule of all parameters as one native call; `train_step` puts the same rule behind the backward. A rule is elementwise
where it can be; ops that look further (`mean` over a dimension) cost a loop of their own. Use ops that IEEE 754 defines to the last bit (+ - * /,
sqrt, maximum, where): numpy answers while a loop is not compiled yet, and must answer the same.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

import scriptc.ir.ops  # noqa: F401  (fills the registry)
from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function, Group, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, dtype_of

Numbers: TypeAlias = Mapping[str, Expr]     # 0-d tensors of the dtype that the rule computes in
Arrays: TypeAlias = Mapping[str, Expr]
Form: TypeAlias = Mapping[str, Hashable]
Rule: TypeAlias = Callable[[Expr, Expr, Arrays, Numbers, Form], "tuple[Expr, Arrays]"]


def _op(name: str) -> Callable[..., Expr]:
    def apply(*arguments: Any, **attributes: Any) -> Expr:
        result: Expr = REGISTRY[name](*arguments, **attributes)
        return result
    apply.__name__ = name
    apply.__doc__ = f"The op `{name}` on expressions."
    return apply


sqrt, maximum, minimum, where, sign, absolute = map(_op, ("sqrt", "maximum", "minimum", "where", "sign", "abs"))


def zeros(parameter: Any, *names: str) -> dict[str, np.ndarray]:
    """Arrays of zeros like a parameter: the state of most rules before the first step."""
    return {name: np.zeros(parameter.shape, parameter.dtype) for name in names}


def decayed(p: Expr, g: Expr, numbers: Numbers, form: Form) -> Expr:
    """The gradient to follow: turned round with `maximize`, and with weight decay as the gradient of its penalty."""
    g = -g if form["maximize"] else g
    return g + numbers["decay"] * p if form["decay"] else g


def computed(dtype: np.dtype) -> np.dtype:
    """The dtype in which a rule computes: float32 for halves, whose numbers and sums would lose too much."""
    return np.dtype(np.float32) if dtype.itemsize < 4 else dtype


def applied(rule: Rule, p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
    """What `rule` gives, computed in float32 where the parameter is kept in half precision, and rounded once."""
    wide = dtype_of(computed(p.dtype.numpy))
    after, changed = rule(p.cast(wide), g.cast(wide), {n: s.cast(wide) for n, s in state.items()}, numbers, form)
    return after.cast(p.dtype), {n: e.cast(state[n].dtype) for n, e in changed.items()}


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter in an update: its arrays' dtype and shapes, and whose numbers apply to it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    state: tuple[tuple[str, np.dtype, tuple[int, ...]], ...]    # name, dtype and shape of each array
    numbers: int                                                # which set of numbers
    gradient: np.dtype | None = None                            # None: the parameter's


@dataclass(frozen=True, slots=True)
class Update:
    """The program of one step. Its inputs: all sets of numbers, then of each member the parameter, the gradient and the state.

    `writes`: the input that each result is the new content of.
    """

    function: Function
    writes: tuple[int, ...]


def update_of(rule: Rule, members: Sequence[Member], sets: Sequence[tuple[np.dtype, tuple[str, ...], Form]]) -> Update:
    """The program that applies `rule` to every member. `sets`: dtype, names and form of each set of numbers."""
    builder = Builder()
    inputs: list[Value] = []

    def new(dtype: np.dtype, shape: tuple[int, ...], name: str) -> Expr:
        inputs.append(Value(TensorType(dtype_of(dtype), shape), name))
        return Expr(inputs[-1], builder)

    numbers = [{name: new(dtype, (), name) for name in names} for dtype, names, _ in sets]
    results: list[Value] = []
    writes: list[int] = []
    for member in members:
        first = len(inputs)
        p, g = new(member.dtype, member.shape, "p"), new(member.gradient or member.dtype, member.shape, "g")
        state = {name: new(dtype, shape, name) for name, dtype, shape in member.state}
        after, changed = applied(rule, p, g, state, numbers[member.numbers], sets[member.numbers][2])
        results.append(after.value)
        writes.append(first)
        for place, name in enumerate(state, first + 2):
            if name in changed:
                results.append(changed[name].value)
                writes.append(place)
    function = Function("update", (), tuple(inputs), {}, builder.take(), tuple(results), Group("tuple", ()))
    return Update(function, tuple(writes))
