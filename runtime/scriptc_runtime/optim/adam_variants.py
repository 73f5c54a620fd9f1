"""Relatives of Adam in torch's form: Adamax (Kingma and Ba 2015), NAdam (Dozat 2016), RAdam (Liu et al. 2020), Lion (Chen et al. 2023)."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.adam import check_betas
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, absolute, decayed, maximum, sign, sqrt, where, zeros

Betas = tuple[float, float]


class Adamax(Optimizer):
    """u = max(beta2 u, |g| + eps);  p -= lr / (1 - beta1^t) m / u with m the running mean of g; torch.optim.Adamax."""

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0, *,
                 maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_betas(self, group)

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, **zeros(parameter, "exp_avg", "exp_inf")}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        beta1, beta2 = group["betas"]
        return {"mix": 1 - beta1, "keep": beta2, "eps": group["eps"], "decay": group["weight_decay"],
                "rate": group["lr"] / (1 - beta1 ** entries["step"])}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        mean = state["exp_avg"] + numbers["mix"] * (g - state["exp_avg"])
        largest = maximum(state["exp_inf"] * numbers["keep"], absolute(g) + numbers["eps"])
        return p - numbers["rate"] * (mean / largest), {"exp_avg": mean, "exp_inf": largest}


class NAdam(Optimizer):
    """Adam with Nesterov momentum whose weight mu grows towards beta1 at the pace of `momentum_decay`; torch.optim.NAdam.

    `weight_decay` adds weight_decay * p to the gradient, or with `decoupled_weight_decay` shrinks p by 1 - lr weight_decay.
    """

    scalars = ("step", "mu_product")

    def __init__(self, params: Iterable[Any], lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
                                  "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_betas(self, group)
        if not group["momentum_decay"] >= 0:
            raise self.refused("momentum_decay", "a number that is not negative", group["momentum_decay"])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, "mu_product": 1.0, **zeros(parameter, "exp_avg", "exp_avg_sq")}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        step, lr, (beta1, beta2) = entries["step"], group["lr"], group["betas"]
        mu, after = (beta1 * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        product = entries["mu_product"] = float(np.float32(entries["mu_product"]) * np.float32(mu))   # torch keeps it in float32
        decay = group["weight_decay"]
        return {"mix": 1 - beta1, "keep": beta2, "share": 1 - beta2, "unbias": 1 - beta2**step, "eps": group["eps"],
                "decay": 1 - lr * decay if group["decoupled_weight_decay"] else decay,
                "now": lr * (1.0 - mu) / (1.0 - product), "next": lr * after / (1.0 - product * after)}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0, "decoupled": group["decoupled_weight_decay"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        if form["decay"] and form["decoupled"]:
            p, g = p * numbers["decay"], -g if form["maximize"] else g
        else:
            g = decayed(p, g, numbers, form)
        mean = state["exp_avg"] + numbers["mix"] * (g - state["exp_avg"])
        square = state["exp_avg_sq"] * numbers["keep"] + numbers["share"] * g * g
        size = sqrt(square / numbers["unbias"]) + numbers["eps"]
        return p - numbers["now"] * (g / size) - numbers["next"] * (mean / size), {"exp_avg": mean, "exp_avg_sq": square}


class RAdam(Optimizer):
    """Adam whose adaptive rate is rectified, and left out while too few steps make its variance large; torch.optim.RAdam."""

    scalars = ("step",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 decoupled_weight_decay: bool = False, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                                  "decoupled_weight_decay": decoupled_weight_decay}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_betas(self, group)

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, **zeros(parameter, "exp_avg", "exp_avg_sq")}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        step, lr, (beta1, beta2) = entries["step"], group["lr"], group["betas"]
        unbias = 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / unbias
        adaptive = 0.0
        if length > 5.0:
            adaptive = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length) * unbias)
        decay = group["weight_decay"]
        return {"mix": 1 - beta1, "keep": beta2, "share": 1 - beta2, "eps": group["eps"], "rate": lr / (1 - beta1**step), "adaptive": adaptive,
                "decay": 1 - lr * decay if group["decoupled_weight_decay"] else decay}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0, "decoupled": group["decoupled_weight_decay"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        if form["decay"] and form["decoupled"]:
            p, g = p * numbers["decay"], -g if form["maximize"] else g
        else:
            g = decayed(p, g, numbers, form)
        mean = state["exp_avg"] + numbers["mix"] * (g - state["exp_avg"])
        square = state["exp_avg_sq"] * numbers["keep"] + numbers["share"] * g * g
        plain = mean * numbers["rate"]
        rectified = plain * (numbers["adaptive"] / (sqrt(square) + numbers["eps"]))
        return p - where(numbers["adaptive"] > 0.0, rectified, plain), {"exp_avg": mean, "exp_avg_sq": square}


class Lion(Optimizer):
    """p = (1 - lr weight_decay) p - lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g: one array of state, steps of one size."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-4, betas: Betas = (0.9, 0.99), weight_decay: float = 0.0, *,
                 maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_betas(self, group)

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return zeros(parameter, "exp_avg")

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        return {"shrink": 1 - group["lr"] * group["weight_decay"], "rate": group["lr"], "mix1": 1 - beta1, "mix2": 1 - beta2,
                "keep1": beta1, "keep2": beta2}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"]}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = -g if form["maximize"] else g
        m = state["exp_avg"]
        direction = sign(m * numbers["keep1"] + g * numbers["mix1"])
        return p * numbers["shrink"] - direction * numbers["rate"], {"exp_avg": m * numbers["keep2"] + g * numbers["mix2"]}
