"""What all optimizers share: parameter groups, zero_grad, step, and state_dict in torch's form."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.expressions import Expr
from scriptc_runtime.device import beside, host
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, computed
from scriptc_runtime.optim.stepping import Begun, NumberSet, Stepper
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.tensor import Tensor

# How torch is told to run a step, and whether that can be granted: a step is always one fused pass here.
SWITCHES = {"foreach": True, "fused": True, "capturable": False, "differentiable": False}


class Optimizer:
    """Updates parameters from their gradients; a subclass says how one parameter changes (`initial`, `numbers`, `form`, `rule`).

    `scalars` names the entries of a parameter's state that are numbers: counters, equal for all that began together.

    `params`: tensors, (name, tensor) pairs, or dicts with `params` and settings of their own for each group.
    `state[parameter]` holds the parameter's arrays by torch's names; `param_groups` the settings, which may be changed
    between steps (that is what schedulers do). CallError R0130, R0131 for settings or parameters that make no sense.
    """

    scalars: ClassVar[tuple[str, ...]] = ()
    sums: ClassVar[bool] = False    # the rule adds elements up, in another order than numpy does: steps wait for compiled loops

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any], switches: Mapping[str, Any] = MappingProxyType({})) -> None:
        for name, value in switches.items():
            if name not in SWITCHES:
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {name!r}")
            if value and not SWITCHES[name]:
                raise self.refused(name, "False", value)
        self.defaults = dict(defaults)
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._stepper = Stepper(self.rule)
        self.param_groups: list[dict[str, Any]] = []
        given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        if not given:
            raise CallError(diagnostic("R0131", optimizer=type(self).__name__))
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """One more group: `params` and the settings that differ from the defaults."""
        given = group["params"]
        listed = [given] if isinstance(given, Tensor) else list(given)
        names = [p[0] for p in listed if isinstance(p, tuple)]
        if len(names) not in (0, len(listed)):
            raise self.refused("params", "all named or none", f"{len(names)} of {len(listed)} named")
        tensors = [p[1] if isinstance(p, tuple) else p for p in listed]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for parameter in tensors:
            if not isinstance(parameter, Tensor):
                raise self.refused("params", "tensors", type(parameter).__name__)
            if id(parameter) in known:
                raise self.refused("params", "each in one group", f"{parameter.name or 'a parameter'} in two")
            known.add(id(parameter))
        settings = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}, "params": tensors}
        if names:
            settings["param_names"] = names
        self.check(settings)
        self.param_groups.append(settings)

    def refused(self, what: str, expected: str, found: object) -> CallError:
        """The error for a setting that makes no sense."""
        return CallError(diagnostic("R0130", optimizer=type(self).__name__, what=what, expected=expected, found=found))

    def check(self, group: Mapping[str, Any]) -> None:
        """CallError R0130 unless the settings of `group` make sense; the learning rate here, the rest in subclasses."""
        for name in ("lr", "weight_decay", "eps"):
            value = group.get(name, 0.0)
            if not isinstance(value, int | float) or not value >= 0 or math.isinf(value):
                raise self.refused(name, "a number that is not negative", value)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; the loss of `closure`, if one is given."""
        loss = closure() if closure is not None else None
        given = [(p, p._grad._array, group) for group in self.param_groups for p in group["params"] if p._grad is not None]
        if given:
            with waiting(self.sums):
                self._stepper.run(self.begin([p for p, _, _ in given], [group for _, _, group in given]), [g for _, g, _ in given])
        return loss

    def begin(self, parameters: Sequence[Tensor], groups: Sequence[Mapping[str, Any]]) -> Begun:
        """Begin a step of `parameters`, each with the settings of its group: states that are not there are made, counters go on."""
        found: dict[tuple[object, ...], tuple[int, dict[str, Any]]] = {}
        sets: list[NumberSet] = []
        indices: list[int] = []
        before: list[dict[str, Any] | None] = []
        for parameter, group in zip(parameters, groups, strict=True):
            entries = self.state.get(parameter)
            first = not entries
            if not entries:
                entries = self.state[parameter] = self.initial(parameter._array, group)
            dtype = parameter._array.dtype
            counters = {name: entries[name] for name in self.scalars}
            before.append(None if first else counters)
            key = (id(group), dtype, first, *counters.values())
            leader = found.get(key)
            if leader is None:
                found[key] = len(sets), entries
                indices.append(len(sets))
                sets.append(NumberSet(computed(dtype), self.numbers(entries, group, first), self.form(group)))
                continue
            indices.append(leader[0])
            for name in self.scalars:
                entries[name] = leader[1][name]
        return Begun(parameters, [self.state[p] for p in parameters], indices, sets, before)

    # What a subclass says.

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        """The state of a parameter before its first step: arrays by torch's names, and the counters named in `scalars`."""
        return {}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        """The numbers of one step, which differ from step to step, for parameters whose counters stand as in `entries`; moves these on."""
        raise NotImplementedError

    def form(self, group: Mapping[str, Any]) -> Form:
        """The settings that decide what the rule is, not with which numbers."""
        return {}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        """The new parameter and those entries of its state that change; see `optim.rules`."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """`state` by parameter number and `param_groups` with numbers for parameters, as torch writes them."""
        numbers = self._numbers()
        groups = [{**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[id(p)] for p in group["params"]]}
                  for group in self.param_groups]
        return {"state": {numbers[id(p)]: {n: host(v) for n, v in entries.items()} for p, entries in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state. CallError R0132 if groups, numbers or shapes do not fit."""
        groups: Sequence[Mapping[str, Any]] = state_dict["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise CallError(diagnostic("R0132", problem=f"groups of {[len(g['params']) for g in groups]} parameters, expected "
                                                        f"{[len(g['params']) for g in self.param_groups]}"))
        settings = [{**own, **{k: v for k, v in other.items() if k != "params"}} for own, other in zip(self.param_groups, groups, strict=True)]
        for group in settings:
            self.check(group)
        parameters: dict[Any, tuple[Tensor, dict[str, Any]]] = {}
        for group, other in zip(settings, groups, strict=True):
            parameters.update((number, (p, group)) for number, p in zip(other["params"], group["params"], strict=True))
        state: dict[Tensor, dict[str, Any]] = {}
        for number, entries in state_dict["state"].items():
            if number not in parameters:
                raise CallError(diagnostic("R0132", problem=f"state of parameter {number}, which no group has"))
            parameter, group = parameters[number]
            given = {name: value for name, value in entries.items() if value is not None}
            expected = self.initial(parameter._array, group) if given else {}
            state[parameter] = {**expected, **{n: self._restored(parameter, n, v, expected) for n, v in given.items()}}
        for own, group in zip(self.param_groups, settings, strict=True):
            own.update(group)
        self.state = state

    def _restored(self, parameter: Tensor, name: str, value: Any, expected: Mapping[str, Any]) -> Any:
        """A saved entry as this optimizer keeps it. CallError R0132 for an array of another shape than `expected`."""
        if name in self.scalars or isinstance(value, int | float):
            return float(np.asarray(value))
        array = np.array(host(value), dtype=parameter._array.dtype, order="C")
        shape = expected[name].shape if name in expected else parameter.shape
        if array.shape != shape:
            raise CallError(diagnostic("R0132", problem=f"{name} is {list(array.shape)}, expected {list(shape)}"))
        return beside(array, parameter._array)

    def _numbers(self) -> dict[int, int]:
        return {id(p): n for n, p in enumerate(p for g in self.param_groups for p in g["params"])}
