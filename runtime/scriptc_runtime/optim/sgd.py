"""Stochastic gradient descent with momentum (Sutskever et al. 2013), in torch's form."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc_runtime.optim.base import Optimizer


class SGD(Optimizer):
    """b = momentum b + (1 - dampening) g;  p -= lr b  (nesterov: p -= lr (g + momentum b)); torch.optim.SGD.

    The first step sets b = g, without dampening. `weight_decay` adds weight_decay * p to g.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        if not group["momentum"] >= 0:
            raise self.refused("momentum", "a number that is not negative", group["momentum"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise self.refused("nesterov", "used with momentum and without dampening",
                               f"momentum {group['momentum']}, dampening {group['dampening']}")

    def update(self, parameter: np.ndarray, gradient: np.ndarray, state: dict[str, Any], group: Mapping[str, Any]) -> None:
        number = parameter.dtype.type
        if group["weight_decay"]:
            gradient = gradient + number(group["weight_decay"]) * parameter
        momentum = group["momentum"]
        if momentum:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = gradient.copy()
            else:
                buffer *= number(momentum)
                buffer += number(1 - group["dampening"]) * gradient
            gradient = gradient + number(momentum) * buffer if group["nesterov"] else buffer
        parameter -= number(group["lr"]) * gradient
