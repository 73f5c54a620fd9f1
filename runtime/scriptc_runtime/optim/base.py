"""What all optimizers share: parameter groups, zero_grad, step, and state_dict in torch's form."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc_runtime.tensor import Tensor


class Optimizer:
    """Updates parameters from their gradients; a subclass says how one parameter changes.

    `params`: tensors, (name, tensor) pairs, or dicts with `params` and settings of their own for each group.
    `state[parameter]` holds the parameter's arrays by torch's names; `param_groups` the settings, which may be changed
    between steps (that is what schedulers do). CallError R0130, R0131 for settings or parameters that make no sense.
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state: dict[Tensor, dict[str, Any]] = {}
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
        tensors = [p[1] if isinstance(p, tuple) else p for p in listed]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for parameter in tensors:
            if not isinstance(parameter, Tensor):
                raise self.refused("params", "tensors", type(parameter).__name__)
            if id(parameter) in known:
                raise self.refused("params", "each in one group", f"{parameter.name or 'a parameter'} in two")
            known.add(id(parameter))
        settings = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}, "params": tensors}
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
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    gradient = parameter.grad.numpy()
                    if group.get("maximize"):
                        gradient = -gradient
                    with np.errstate(all="ignore"):
                        self.update(parameter._writable(), gradient, self.state.setdefault(parameter, {}), group)
        return loss

    def update(self, parameter: np.ndarray, gradient: np.ndarray, state: dict[str, Any], group: Mapping[str, Any]) -> None:
        """Change `parameter` in place. `gradient` must not be changed."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """`state` by parameter number and `param_groups` with numbers for parameters, as torch writes them."""
        numbers = self._numbers()
        groups = [{**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[id(p)] for p in group["params"]]}
                  for group in self.param_groups]
        return {"state": {numbers[id(p)]: dict(entries) for p, entries in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state. CallError R0132 if groups, numbers or shapes do not fit."""
        groups: Sequence[Mapping[str, Any]] = state_dict["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise CallError(diagnostic("R0132", problem=f"groups of {[len(g['params']) for g in groups]} parameters, expected "
                                                        f"{[len(g['params']) for g in self.param_groups]}"))
        parameters: dict[Any, Tensor] = {}
        for own, other in zip(self.param_groups, groups, strict=True):
            parameters.update(zip(other["params"], own["params"], strict=True))
        state: dict[Tensor, dict[str, Any]] = {}
        for number, entries in state_dict["state"].items():
            parameter = parameters.get(number)
            if parameter is None:
                raise CallError(diagnostic("R0132", problem=f"state of parameter {number}, which no group has"))
            state[parameter] = {name: self._restored(parameter, name, value) for name, value in entries.items()}
        for own, other in zip(self.param_groups, groups, strict=True):
            own.update({k: v for k, v in other.items() if k != "params"})
        self.state = state

    def _restored(self, parameter: Tensor, name: str, value: Any) -> Any:
        if name == "step" or value is None or isinstance(value, int | float):
            return value if value is None else float(np.asarray(value))
        array = np.array(value, dtype=parameter.numpy().dtype)
        if array.shape != parameter.shape:
            raise CallError(diagnostic("R0132", problem=f"{name} is {list(array.shape)}, the parameter {list(parameter.shape)}"))
        return array

    def _numbers(self) -> dict[int, int]:
        return {id(p): n for n, p in enumerate(p for g in self.param_groups for p in g["params"])}
