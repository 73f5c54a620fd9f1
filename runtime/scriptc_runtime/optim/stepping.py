"""One optimizer step as one native call: the program of an update, planned once for the parameters that take part."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scriptc_runtime.device import ARRAYS, Device, beside, device_of, host, overwrite, target_of
from scriptc_runtime.optim.rules import Form, Member, Rule, update_of
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.runner import Runner
from scriptc_runtime.tensor import Tensor


@dataclass(frozen=True, slots=True)
class NumberSet:
    """The numbers of one step for parameters of one dtype, in the dtype the rule computes in, and the form of the rule that takes them."""

    dtype: np.dtype
    values: dict[str, float]
    form: Form


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that has begun: parameters with their states, and for each the index of its set of numbers.

    `before`: what the counters of each state stood at, None for a state that the step has made.
    """

    parameters: Sequence[Tensor]
    states: Sequence[dict[str, Any]]
    indices: Sequence[int]
    sets: Sequence[NumberSet]
    before: Sequence[dict[str, Any] | None] = ()

    def undo(self) -> None:
        """Set counters back and forget new states: the step has failed, and the next one begins where this one did."""
        for entries, counters in zip(self.states, self.before, strict=False):
            if counters is None:
                entries.clear()     # no entries: the next step makes them
            else:
                entries.update(counters)

    def layout(self) -> tuple[object, ...]:
        """What the program depends on, besides shapes, which parameters keep."""
        return (tuple(map(id, self.parameters)), tuple(self.indices), target_of(self.parameters[0]._array),
                tuple((s.dtype, tuple(s.values), tuple(s.form.items())) for s in self.sets))

    def settle(self) -> None:
        """Put states where their parameters are: new ones are made on the host, and a model may have moved since."""
        for parameter, entries in zip(self.parameters, self.states, strict=True):
            where = device_of(parameter._array)
            entries.update({n: beside(host(a), parameter._array, a.dtype) for n, a in entries.items()
                            if isinstance(a, ARRAYS) and device_of(a) is not where})

    def members(self) -> list[Member]:
        """The parameters as a program of the update takes them."""
        return [Member(p._array.dtype, p._array.shape, tuple((n, a.dtype, a.shape) for n, a in s.items() if isinstance(a, ARRAYS)), i)
                for p, s, i in zip(self.parameters, self.states, self.indices, strict=True)]


class Numbers:
    """The numbers of a program's steps as 0-d arrays, always the same ones, so that a plan knows where they are."""

    def __init__(self, sets: Sequence[NumberSet], device: Device | None = None) -> None:
        self.arrays: list[Any] = [np.zeros((), s.dtype) for s in sets for _ in s.values]
        self._uploaded: list[tuple[np.ndarray, Any]] = []     # by dtype: the numbers side by side, and the device's copy of them
        if device is not None:
            self._upload(sets, device)

    def _upload(self, sets: Sequence[NumberSet], device: Device) -> None:
        """Let the arrays be the device's, and fill them by one copy for each dtype."""
        for dtype in dict.fromkeys(a.dtype for a in self.arrays):
            places = [i for i, a in enumerate(self.arrays) if a.dtype == dtype]
            together = np.zeros(len(places), dtype)
            there = device.upload(together)
            self._uploaded.append((together, there))
            for index, place in enumerate(places):
                self.arrays[place] = there.view((), (), index)

    def fill(self, sets: Sequence[NumberSet]) -> None:
        """Put in those of the next step."""
        if self._uploaded:
            for together, there in self._uploaded:
                together[:] = [v for s in sets if s.dtype == together.dtype for v in s.values.values()]
                overwrite(there, together)
            return
        for array, value in zip(self.arrays, [v for s in sets for v in s.values.values()], strict=True):
            array[()] = value


class Stepper:
    """Runs the steps of an optimizer, given as `rule`."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._prepared: PlanCache[_Prepared] = PlanCache(capacity=8)

    def run(self, begun: Begun, gradients: Sequence[np.ndarray]) -> None:
        """Update the parameters and their states in place. `gradients` are not changed."""
        try:
            self._run(begun, gradients)
        except BaseException:
            begun.undo()
            raise

    def _run(self, begun: Begun, gradients: Sequence[np.ndarray]) -> None:
        arrays = [p._writable() for p in begun.parameters]
        contiguous = all(array.flags.c_contiguous for array in arrays)
        dtypes = tuple(g.dtype for g in gradients)
        prepared = self._prepared.get((begun.layout(), contiguous, dtypes),
                                      lambda: _Prepared(self._rule, begun, contiguous, device_of(arrays[0]), dtypes))
        prepared.run(begun, arrays, gradients)


class _Prepared:
    """The plan of steps of one layout."""

    def __init__(self, rule: Rule, begun: Begun, contiguous: bool, device: Device | None, gradients: Sequence[np.dtype]) -> None:
        begun.settle()
        self._members = [replace(m, gradient=dtype) for m, dtype in zip(begun.members(), gradients, strict=True)]
        self._update = update_of(rule, self._members, [(s.dtype, tuple(s.values), s.form) for s in begun.sets])
        self._numbers = Numbers(begun.sets, device)
        self._names = [tuple(name for name, _, _ in m.state) for m in self._members]
        first = len(self._numbers.arrays)
        place, incoming = first, set()
        for names in self._names:
            incoming.add(place + 1)
            place += 2 + len(names)
        over = dict(enumerate(self._update.writes)) if contiguous else {}
        target = "cpu" if device is None else device.target
        self._plan = Runner(self._update.function, target).plan_of_types(over=over, held=[i for i in range(place) if i not in incoming])

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
