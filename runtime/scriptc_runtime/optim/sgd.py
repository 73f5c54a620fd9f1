"""Stochastic gradient descent with momentum (Sutskever et al. 2013), in torch's form."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, decayed, zeros


class SGD(Optimizer):
    """b = momentum b + (1 - dampening) g;  p -= lr b  (nesterov: p -= lr (g + momentum b)); torch.optim.SGD.

    The first step sets b = g, without dampening. `weight_decay` adds weight_decay * p to g.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        if not group["momentum"] >= 0:
            raise self.refused("momentum", "a number that is not negative", group["momentum"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise self.refused("nesterov", "used with momentum and without dampening",
                               f"momentum {group['momentum']}, dampening {group['dampening']}")

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return zeros(parameter, "momentum_buffer") if group["momentum"] else {}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        # The buffer is zero before the first step, in which it becomes the gradient as it is.
        return {"lr": group["lr"], "momentum": group["momentum"], "share": 1.0 if first else 1 - group["dampening"],
                "decay": group["weight_decay"]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0, "momentum": group["momentum"] != 0,
                "dampening": group["dampening"] != 0, "nesterov": group["nesterov"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        if not form["momentum"]:
            return p - numbers["lr"] * g, {}
        b = state["momentum_buffer"] * numbers["momentum"] + (g * numbers["share"] if form["dampening"] else g)
        return p - numbers["lr"] * (g + numbers["momentum"] * b if form["nesterov"] else b), {"momentum_buffer": b}
