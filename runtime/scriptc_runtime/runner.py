"""A function of the IR as something to call: a plan per shapes of its arguments, made on first use."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

import scriptc.ir.ops  # noqa: F401  (fills the table that planning reads)
from scriptc.ir.graph import Function
from scriptc.ir.passes.recompute import unmarked
from scriptc.ir.types import IntType
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.bind import signature_of, type_of_value
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.plan import Plan
from scriptc_runtime.plan.schedule import make_plan

FEW = 4      # sets of ints for which arguments of the same shapes have plans of their own


class Runner:
    """Runs one `Function`. Arguments are its inputs, then its state, in order; safe to call from many threads.

    `counts`: ints among the arguments are mostly sizes, and plans may know them, for a few of each shape of the tensors.
    """

    def __init__(self, function: Function, target: str = "cpu", counts: bool = False) -> None:
        self.function = function
        self._target = target
        self._region = unmarked(function.body)
        self._plans: PlanCache[Plan] = PlanCache()
        self._counts: dict[object, set[object]] | None = {} if counts else None

    def plan(self, arguments: Sequence[Any]) -> Plan:
        """The plan for arguments of these shapes. CallError where they do not fit the program."""
        key: object = signature_of(arguments)
        ints = {i: a for i, a in enumerate(arguments) if type(a) is int} if self._counts is not None else {}
        if ints and self._counts is not None:
            numbers, seen = tuple(ints.values()), self._counts.setdefault(key, set())
            if numbers in seen or len(seen) < FEW:
                seen.add(numbers)
                return self._plans.get((key, numbers), lambda: self._make(arguments, ints))
        return self._plans.get(key, lambda: self._make(arguments, {}))

    def plan_of_types(self, over: Mapping[int, int], held: Collection[int], arguments: Sequence[Any] = ()) -> Plan:
        """A plan by the parameters' own types, those of the last ones by `arguments`; `over` and `held` as of `make_plan`. It is not kept."""
        params = self._region.params
        types = {value: value.type for value in params[:len(params) - len(arguments)]}
        types.update((value, type_of_value(a, value.type)) for value, a in zip(params[len(types):], arguments, strict=True))
        return make_plan(self._region, self._region.params, types, {}, name=self.function.name, target=self._target, routines=bool(arguments),
                         over=over, held=held)

    def run(self, arguments: Sequence[Any], sharing: range = range(0)) -> list[Any]:
        """Results, then state updates, then input updates. None of them shares memory with an argument.

        Results in `sharing` may share the memory of arguments that the function does not change: values saved for
        `backward`, which nobody sees.
        """
        results = self.plan(arguments).run(arguments)
        changed = self._changed(arguments) if sharing else ()
        return [detached(result, changed if index in sharing else arguments) for index, result in enumerate(results)]

    def _changed(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments whose memory is written when the call ends."""
        function = self.function
        count = len(function.inputs)
        return [arguments[i] for i in function.input_updates] + [
            array for name, array in zip(function.state, arguments[count:], strict=True) if name in function.updates]

    def _make(self, arguments: Sequence[Any], known: Mapping[int, int]) -> Plan:
        params = self._region.params
        types = {value: IntType(known[i]) if i in known else type_of_value(content, value.type)
                 for i, (value, content) in enumerate(zip(params, arguments, strict=True))}
        return make_plan(self._region, params, types, {params[i]: number for i, number in known.items()}, name=self.function.name,
                         target=self._target)


def detached(result: Any, arguments: Sequence[Any]) -> Any:
    """`result`, copied where it lies in the memory of an argument: what the caller changes later must not change it."""
    if isinstance(result, np.ndarray):
        if result.base is None and not any(result is a for a in arguments):
            return result
        shares = any(isinstance(a, np.ndarray) and np.may_share_memory(result, a) for a in arguments)
        return result.copy() if shares or not result.flags.writeable else result
    if isinstance(result, DeviceArray):
        blocks = {id(a.block) for a in arguments if isinstance(a, DeviceArray)}
        return result.copy() if id(result.block) in blocks else result
    if isinstance(result, list):
        return [detached(r, arguments) for r in result]
    if isinstance(result, tuple):
        return tuple(detached(r, arguments) for r in result)
    if isinstance(result, dict):
        return {k: detached(v, arguments) for k, v in result.items()}
    return result
