"""Activation functions."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.ops.elementwise import error_function, keep
from scriptc.interp.registry import REFERENCES, reference, widened


@reference
@widened
def clamp_gradient(g: np.ndarray, x: np.ndarray, *, low: float, high: float | None) -> np.ndarray:
    beyond = x <= low
    return np.where(beyond if high is None else beyond | (x >= high), g.dtype.type(0), g)


def _register(name: str, function: Callable[..., Any]) -> None:
    def meaning(x: np.ndarray, **attributes: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            return keep(function(x, **attributes), x)
    meaning.__name__ = name
    REFERENCES[name] = widened(meaning)


def sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, threshold))) / beta)


def gelu(x: np.ndarray, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + error_function(x * x.dtype.type(math.sqrt(0.5))))


_register("relu", lambda x: np.maximum(x, x.dtype.type(0)))
_register("sigmoid", sigmoid)
_register("silu", lambda x: x * sigmoid(x))
_register("gelu", gelu)
_register("softplus", softplus)
_register("elu", lambda x, alpha, scale, input_scale: np.where(x > 0, x * scale, np.expm1(np.minimum(x, 0) * input_scale) * (alpha * scale)))
_register("leaky_relu", lambda x, negative_slope: np.where(x > 0, x, x * negative_slope))
_register("hardtanh", lambda x, min_value, max_value: np.minimum(np.maximum(x, min_value), max_value))
_register("hardsigmoid", lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6)
_register("hardswish", lambda x: x * (np.minimum(np.maximum(x + 3, 0), 6) / 6))
_register("mish", lambda x: x * np.tanh(softplus(x)))
_register("logsigmoid", lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))
_register("softsign", lambda x: x / (1 + np.abs(x)))
_register("hardshrink", lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x))
_register("softshrink", lambda x, lambd: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0)))
_register("threshold", lambda x, threshold, value: np.where(x <= threshold, value, x))
