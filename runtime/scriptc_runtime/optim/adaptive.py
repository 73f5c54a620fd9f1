"""Rates by the sizes of past gradients, in torch's form: Adagrad (Duchi et al. 2011), RMSprop (Graves 2013), Adadelta (Zeiler 2012)."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, decayed, sqrt, zeros


class RMSprop(Optimizer):
    """p -= lr g / (sqrt(v) + eps) with v the running mean of g²; torch.optim.RMSprop.

    `centered` takes the variance, v - mean(g)², instead of v; `momentum` gathers the quotients in a buffer.
    """

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
                 momentum: float = 0.0, centered: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay,
                                  "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        for name in ("momentum", "alpha"):
            if not group[name] >= 0:
                raise self.refused(name, "a number that is not negative", group[name])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        names = ["square_avg", *["momentum_buffer"][:group["momentum"] > 0], *["grad_avg"][:group["centered"]]]
        return {"step": 0.0, **zeros(parameter, *names)}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        return {"keep": group["alpha"], "share": 1 - group["alpha"], "eps": group["eps"], "decay": group["weight_decay"],
                "momentum": group["momentum"], "rate": group["lr"]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0, "centered": group["centered"], "momentum": group["momentum"] > 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        square = state["square_avg"] * numbers["keep"] + numbers["share"] * g * g
        changed = {"square_avg": square}
        variance = square
        if form["centered"]:
            mean = changed["grad_avg"] = state["grad_avg"] + numbers["share"] * (g - state["grad_avg"])
            variance = square - mean * mean
        quotient = g / (sqrt(variance) + numbers["eps"])
        if form["momentum"]:
            quotient = changed["momentum_buffer"] = state["momentum_buffer"] * numbers["momentum"] + quotient
        return p - numbers["rate"] * quotient, changed


class Adagrad(Optimizer):
    """p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps) with s the sum of g², which begins at `initial_accumulator_value`; torch.optim.Adagrad."""

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
                 initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                                  "initial_accumulator_value": initial_accumulator_value, "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        for name in ("lr_decay", "initial_accumulator_value"):
            if not group[name] >= 0:
                raise self.refused(name, "a number that is not negative", group[name])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, "sum": np.full(parameter.shape, group["initial_accumulator_value"], parameter.dtype)}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        return {"eps": group["eps"], "decay": group["weight_decay"], "rate": group["lr"] / (1 + (entries["step"] - 1) * group["lr_decay"])}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        total = state["sum"] + g * g
        return p - numbers["rate"] * (g / (sqrt(total) + numbers["eps"])), {"sum": total}


class Adadelta(Optimizer):
    """p -= lr d with d = sqrt(u + eps) / sqrt(v + eps) g, v and u running means of g² and d²; torch.optim.Adadelta."""

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, *,
                 maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        if not 0 <= group["rho"] <= 1:
            raise self.refused("rho", "between 0 and 1", group["rho"])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, **zeros(parameter, "square_avg", "acc_delta")}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        return {"keep": group["rho"], "share": 1 - group["rho"], "eps": group["eps"], "decay": group["weight_decay"], "rate": group["lr"]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        square = state["square_avg"] * numbers["keep"] + numbers["share"] * g * g
        delta = sqrt(state["acc_delta"] + numbers["eps"]) / sqrt(square + numbers["eps"]) * g
        changes = state["acc_delta"] * numbers["keep"] + numbers["share"] * delta * delta
        return p - numbers["rate"] * delta, {"square_avg": square, "acc_delta": changes}
