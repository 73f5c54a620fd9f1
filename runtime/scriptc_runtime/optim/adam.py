"""Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in torch's form and order of operations."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc_runtime.optim.base import Optimizer


class Adam(Optimizer):
    """p -= lr m̂ / (sqrt(v̂) + eps) with m, v running means of g and g²; torch.optim.Adam.

    `weight_decay` adds weight_decay * p to the gradient; `amsgrad` (Reddi et al. 2018) divides by the largest v so far.
    """

    decoupled = False  # AdamW shrinks the parameter instead of changing the gradient

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
            raise self.refused("betas", "two numbers in [0, 1)", betas)

    def update(self, parameter: np.ndarray, gradient: np.ndarray, state: dict[str, Any], group: Mapping[str, Any]) -> None:
        number = parameter.dtype.type
        if not state:
            state.update(step=0.0, exp_avg=np.zeros_like(parameter), exp_avg_sq=np.zeros_like(parameter))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = np.zeros_like(parameter)
        state["step"] += 1
        step, lr, (beta1, beta2) = state["step"], group["lr"], group["betas"]
        if group["weight_decay"]:
            if self.decoupled:
                parameter *= number(1 - lr * group["weight_decay"])
            else:
                gradient = gradient + number(group["weight_decay"]) * parameter
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean += number(1 - beta1) * (gradient - mean)  # torch's lerp
        square *= number(beta2)
        square += number(1 - beta2) * gradient * gradient
        size = square
        if group["amsgrad"]:
            size = np.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        denominator = np.sqrt(size)
        denominator /= number((1 - beta2**step) ** 0.5)
        denominator += number(group["eps"])
        parameter -= number(lr / (1 - beta1**step)) * (mean / denominator)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself: p *= 1 - lr weight_decay; torch.optim.AdamW."""

    decoupled = True

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
