"""Averaged stochastic gradient descent in torch's form (Polyak and Juditsky 1992)."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, decayed, where, zeros


class ASGD(Optimizer):
    """p = (1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr t)^alpha; `ax` in the state averages p from step t0 on; torch.optim.ASGD."""

    scalars = ("step", "eta", "mu")

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0.0, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "maximize": maximize}, switches)

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"step": 0.0, "eta": _single(group["lr"]), "mu": 1.0, **zeros(parameter, "ax")}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        eta, mu = entries["eta"], entries["mu"]
        step = entries["step"] = entries["step"] + 1
        entries["eta"] = _single(group["lr"] / (1 + group["lambd"] * group["lr"] * step) ** group["alpha"])
        entries["mu"] = _single(1 / max(1.0, step - group["t0"]))
        return {"keep": 1 - group["lambd"] * eta, "rate": eta, "share": mu, "decay": group["weight_decay"]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = decayed(p, g, numbers, form)
        after = p * numbers["keep"] - g * numbers["rate"]
        average = state["ax"] + (after - state["ax"]) * numbers["share"]
        return after, {"ax": where(numbers["share"] >= 1.0, after, average)}


def _single(value: float) -> float:
    """torch keeps these numbers in float32."""
    return float(np.float32(value))
