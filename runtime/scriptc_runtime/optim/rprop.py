"""Resilient backpropagation in torch's form: steps whose size depends on the signs of gradients alone (Riedmiller and Braun 1993)."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, maximum, minimum, sign, where, zeros


class Rprop(Optimizer):
    """p -= size sign(g); size grows by etas[1] while the sign stays and shrinks by etas[0] when it turns, which skips a step; torch.optim.Rprop.

    Sizes begin at `lr` and stay within `step_sizes`.
    """

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, etas: tuple[float, float] = (0.5, 1.2), step_sizes: tuple[float, float] = (1e-6, 50),
                 *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        if len(group["etas"]) != 2 or not 0 < group["etas"][0] < 1 < group["etas"][1]:
            raise self.refused("etas", "a number below 1 and one above", group["etas"])
        if len(group["step_sizes"]) != 2 or not 0 <= group["step_sizes"][0] <= group["step_sizes"][1]:
            raise self.refused("step_sizes", "the least and the largest size", group["step_sizes"])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, **zeros(parameter, "prev"), "step_size": np.full(parameter.shape, group["lr"], parameter.dtype)}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        return {"shrink": group["etas"][0], "grow": group["etas"][1], "least": group["step_sizes"][0], "largest": group["step_sizes"][1]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = -g if form["maximize"] else g
        agreement = g * state["prev"]
        turned = agreement < 0.0
        factor = where(agreement > 0.0, numbers["grow"], where(turned, numbers["shrink"], 1.0))
        size = minimum(maximum(state["step_size"] * factor, numbers["least"]), numbers["largest"])
        followed = where(turned, 0.0, g)
        return p - sign(followed) * size, {"prev": followed, "step_size": size}
