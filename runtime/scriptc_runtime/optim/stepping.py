"""One optimizer step as one native call: the program of an update, planned once for the parameters that take part."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc_runtime.optim.rules import Form, Member, Rule, update_of
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.runner import Runner
from scriptc_runtime.tensor import Tensor


@dataclass(frozen=True, slots=True)
class NumberSet:
    """The numbers of one step for parameters of one dtype, and the form of the rule that takes them."""

    dtype: np.dtype
    values: dict[str, float]
    form: Form


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that has begun: parameters with their states, and for each the index of its set of numbers."""

    parameters: Sequence[Tensor]
    states: Sequence[dict[str, Any]]
    indices: Sequence[int]
    sets: Sequence[NumberSet]

    def layout(self) -> tuple[object, ...]:
        """What the program depends on, besides shapes, which parameters keep."""
        return (tuple(map(id, self.parameters)), tuple(self.indices),
                tuple((s.dtype, tuple(s.values), tuple(s.form.items())) for s in self.sets))

    def members(self) -> list[Member]:
        """The parameters as a program of the update takes them."""
        return [Member(p._array.dtype, p._array.shape, tuple((n, a.dtype, a.shape) for n, a in s.items() if isinstance(a, np.ndarray)), i)
                for p, s, i in zip(self.parameters, self.states, self.indices, strict=True)]


class Numbers:
    """The numbers of a program's steps as 0-d arrays, always the same ones, so that a plan knows where they are."""

    def __init__(self, sets: Sequence[NumberSet]) -> None:
        self.arrays = [np.zeros((), s.dtype) for s in sets for _ in s.values]

    def fill(self, sets: Sequence[NumberSet]) -> None:
        """Put in those of the next step."""
        for array, value in zip(self.arrays, [v for s in sets for v in s.values.values()], strict=True):
            array[()] = value


class Stepper:
    """Runs the steps of an optimizer, given as `rule`."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._prepared: PlanCache[_Prepared] = PlanCache(capacity=8)

    def run(self, begun: Begun, gradients: Sequence[np.ndarray]) -> None:
        """Update the parameters and their states in place. `gradients` are not changed."""
        arrays = [p._writable() for p in begun.parameters]
        contiguous = all(array.flags.c_contiguous for array in arrays)
        prepared = self._prepared.get((begun.layout(), contiguous), lambda: _Prepared(self._rule, begun, contiguous))
        prepared.run(begun, arrays, gradients)


class _Prepared:
    """The plan of steps of one layout."""

    def __init__(self, rule: Rule, begun: Begun, contiguous: bool) -> None:
        self._members = begun.members()
        self._update = update_of(rule, self._members, [(s.dtype, tuple(s.values), s.form) for s in begun.sets])
        self._numbers = Numbers(begun.sets)
        self._names = [tuple(name for name, _, _ in m.state) for m in self._members]
        first = len(self._numbers.arrays)
        place, gradients = first, set()
        for names in self._names:
            gradients.add(place + 1)
            place += 2 + len(names)
        over = dict(enumerate(self._update.writes)) if contiguous else {}
        self._plan = Runner(self._update.function).plan_of_types(over=over, held=[i for i in range(place) if i not in gradients])

    def run(self, begun: Begun, arrays: Sequence[np.ndarray], gradients: Sequence[np.ndarray]) -> None:
        self._numbers.fill(begun.sets)
        arguments: list[np.ndarray] = list(self._numbers.arrays)
        for member, array, gradient, names, entries in zip(self._members, arrays, gradients, self._names, begun.states, strict=True):
            if gradient.shape != member.shape:
                raise RuntimeError(f"a gradient has shape {list(gradient.shape)}, its parameter {list(member.shape)}")
            arguments += array, gradient, *[entries[name] for name in names]
        with np.errstate(all="ignore"):
            results = self._plan.run(arguments)
        for index, place in enumerate(self._update.writes):
            if index not in self._plan.written:
                np.copyto(arguments[place], results[index])
