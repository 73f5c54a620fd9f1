"""Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in torch's form and order of operations."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, maximum, sqrt, zeros


def check_betas(optimizer: Optimizer, group: Mapping[str, Any]) -> None:
    """CallError R0130 unless the running means forget at a rate that makes sense."""
    betas = group["betas"]
    if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
        raise optimizer.refused("betas", "two numbers in [0, 1)", betas)


class Adam(Optimizer):
    """p -= lr m̂ / (sqrt(v̂) + eps) with m, v running means of g and g²; torch.optim.Adam.

    `weight_decay` adds weight_decay * p to the gradient; `amsgrad` (Reddi et al. 2018) divides by the largest v so far.
    """

    scalars = ("step",)
    decoupled = False  # AdamW shrinks the parameter instead of changing the gradient

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_betas(self, group)

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, **zeros(parameter, *("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[:3 if group["amsgrad"] else 2])}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        step, lr, (beta1, beta2) = entries["step"], group["lr"], group["betas"]
        decay = group["weight_decay"]
        return {"decay": 1 - lr * decay if self.decoupled else decay, "mix": 1 - beta1, "keep": beta2, "share": 1 - beta2,
                "unbias": (1 - beta2**step) ** 0.5, "eps": group["eps"], "rate": lr / (1 - beta1**step)}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0, "decoupled": self.decoupled, "amsgrad": group["amsgrad"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = -g if form["maximize"] else g
        if form["decay"]:
            p, g = (p * numbers["decay"], g) if form["decoupled"] else (p, g + numbers["decay"] * p)
        mean = state["exp_avg"] + numbers["mix"] * (g - state["exp_avg"])  # torch's lerp
        square = state["exp_avg_sq"] * numbers["keep"] + numbers["share"] * g * g
        changed = {"exp_avg": mean, "exp_avg_sq": square}
        size = square
        if form["amsgrad"]:
            size = changed["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], square)
        return p - numbers["rate"] * (mean / (sqrt(size) / numbers["unbias"] + numbers["eps"])), changed


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself: p *= 1 - lr weight_decay; torch.optim.AdamW."""

    decoupled = True

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **switches)
