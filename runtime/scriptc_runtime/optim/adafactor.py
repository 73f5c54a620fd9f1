"""Adafactor (Shazeer and Stern 2018) as torch.optim.Adafactor has it: second moments by row and column, steps relative to the weights."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc.ir.expressions import Expr
from scriptc.ir.types import dtype_of
from scriptc_runtime.device import ARRAYS
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.rules import Arrays, Form, Numbers, maximum, sqrt


class Adafactor(Optimizer):
    """p -= max(eps[1], rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d), with u = g / sqrt(v).

    v is the running mean of g² with weight t^beta2_decay for the newest; for matrices (the last two dimensions) the product of its means
    along columns and rows, which is all that is kept. eps[0], None for the dtype's own, is the least sqrt(v). `weight_decay` shrinks p.
    """

    scalars = ("step",)
    sums = True

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, beta2_decay: float = -0.8, eps: tuple[float | None, float] = (None, 1e-3),
                 d: float = 1.0, weight_decay: float = 0.0, *, maximize: bool = False, **switches: Any) -> None:
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": tuple(eps), "d": d, "weight_decay": weight_decay,
                                  "maximize": maximize}, switches)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check({**group, "eps": 0.0})
        least, relative = group["eps"]
        if (least is not None and not least >= 0) or not relative >= 0:
            raise self.refused("eps", "numbers that are not negative, or None and one", group["eps"])
        if not group["beta2_decay"] <= 0:
            raise self.refused("beta2_decay", "a number that is not positive", group["beta2_decay"])
        if not group["d"] >= 1:
            raise self.refused("d", "at least 1", group["d"])

    def initial(self, parameter: np.ndarray, group: Mapping[str, Any]) -> dict[str, Any]:
        shape, dtype = parameter.shape, parameter.dtype
        if len(shape) < 2:
            return {"step": 0.0, "variance": np.zeros(shape, dtype)}
        return {"step": 0.0, "row_var": np.zeros((*shape[:-1], 1), dtype), "col_var": np.zeros((*shape[:-2], 1, shape[-1]), dtype)}

    def numbers(self, entries: dict[str, Any], group: Mapping[str, Any], first: bool) -> dict[str, float]:
        entries["step"] += 1
        step = entries["step"]
        least, relative = group["eps"]
        if least is None:
            least = _epsilon(next(a.dtype for a in entries.values() if isinstance(a, ARRAYS)))
        return {"mix": step ** group["beta2_decay"], "rate": min(group["lr"], 1 / math.sqrt(step)), "least": least, "least_square": least * least,
                "relative": relative, "d": group["d"], "decay": 1 - group["lr"] * group["weight_decay"]}

    def form(self, group: Mapping[str, Any]) -> Form:
        return {"maximize": group["maximize"], "decay": group["weight_decay"] != 0}

    @staticmethod
    def rule(p: Expr, g: Expr, state: Arrays, numbers: Numbers, form: Form) -> tuple[Expr, Arrays]:
        g = -g if form["maximize"] else g
        rate = maximum(_rms(p), numbers["relative"]) * numbers["rate"]
        square = g * g
        if "variance" in state:
            variance = state["variance"] + numbers["mix"] * (square - state["variance"])
            changed = {"variance": variance}
        else:
            row = state["row_var"] + numbers["mix"] * (square.mean(-1, keepdim=True) - state["row_var"])
            column = state["col_var"] + numbers["mix"] * (square.mean(-2, keepdim=True) - state["col_var"])
            changed = {"row_var": row, "col_var": column}
            variance = row * column / maximum(row.mean(-2, keepdim=True), numbers["least"])
        update = g / sqrt(maximum(variance, numbers["least_square"]))
        size = maximum(_rms(update) / numbers["d"], 1.0)
        p = p * numbers["decay"] if form["decay"] else p
        return p - update * (rate / size), changed


def _rms(x: Expr) -> Expr:
    """The root of the mean square of all elements, 0-d."""
    return sqrt((x * x).mean()) if x.rank else sqrt(x * x)


def _epsilon(dtype: np.dtype) -> float:
    """The distance from 1 to the next number of a dtype."""
    if dtype_of(dtype).name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(dtype).eps)
