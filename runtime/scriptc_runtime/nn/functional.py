"""Losses and activations on tensors, with torch's names and defaults (torch.nn.functional).

Every op of the registry that takes a tensor first is here too, by its own name.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import FLOAT_CATEGORY
from scriptc_runtime.eager import apply
from scriptc_runtime.tensor import Tensor


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    """`mean`, `sum` or `none` of the elements."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise CallError(diagnostic("R0120", message=f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'"))


def _like(target: Any, input: Tensor) -> Tensor:
    """The target in the dtype of the input. CallError if the shapes differ: broadcasting a loss is nearly always a bug."""
    tensor = _tensor(target)
    if tensor.shape != input.shape:
        raise CallError(diagnostic("R0120", message=f"input has shape {list(input.shape)} and target {list(tensor.shape)}"))
    return tensor.to(input.dtype)


def cross_entropy(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-log_softmax(input)[target]: input [N, C, *] or [C], target int classes or class probabilities."""
    classes = _tensor(target)
    if classes.dtype.category < FLOAT_CATEGORY:
        classes = classes.long()
    return apply(REGISTRY["cross_entropy"], (_tensor(input), classes, None if weight is None else _tensor(weight)),
                 {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction})


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-input[target] of log-probabilities [N, C, *] or [C]."""
    return apply(REGISTRY["nll_loss"], (_tensor(input), _tensor(target).long(), None if weight is None else _tensor(weight)),
                 {"ignore_index": ignore_index, "reduction": reduction})


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """(input - target)²"""
    x = _tensor(input)
    difference = x - _like(target, x)
    return _reduced(difference * difference, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """|input - target|"""
    x = _tensor(input)
    return _reduced((x - _like(target, x)).abs(), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d² / (2 beta) where d = |input - target| < beta, else d - beta / 2 (Girshick 2015)"""
    if beta == 0:
        return l1_loss(input, target, reduction)
    x = _tensor(input)
    d = (x - _like(target, x)).abs()
    return _reduced(apply(REGISTRY["where"], (d < beta, d * d * (0.5 / beta), d - 0.5 * beta), {}), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d² / 2 where d = |input - target| < delta, else delta (d - delta / 2)"""
    return smooth_l1_loss(input, target, reduction, delta) * delta


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """-(t log(p) + (1 - t) log(1 - p)), each logarithm held above -100 as in torch"""
    p = _tensor(input)
    t = _like(target, p)
    low = -100.0
    loss = -(t * p.log().clamp(low, None) + (1.0 - t) * (-p).log1p().clamp(low, None))
    return _reduced(loss if weight is None else loss * _tensor(weight), reduction)


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, reduction: str = "mean",
                                     pos_weight: Any = None) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target) without overflow"""
    x = _tensor(input)
    t = _like(target, x)
    if pos_weight is None:
        loss = (1.0 - t) * x - x.logsigmoid()
    else:
        loss = (1.0 - t) * x - (1.0 + (_tensor(pos_weight) - 1.0) * t) * x.logsigmoid()
    return _reduced(loss if weight is None else loss * _tensor(weight), reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log(target) - input) for log-probabilities `input`; reduction `batchmean` divides by the batch size"""
    x = _tensor(input)
    t = _like(target, x)
    if log_target:
        loss = t.exp() * (t - x)
    else:
        loss = apply(REGISTRY["where"], (t > 0.0, t * (t.clamp(float(np.finfo(np.float32).tiny), None).log() - x), t * 0.0), {})
    return loss.sum() / x.shape[0] if reduction == "batchmean" else _reduced(loss, reduction)


def softmax(input: Any, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`"""
    return apply(REGISTRY["softmax"], (_tensor(input),), {"dim": dim})


def log_softmax(input: Any, dim: int) -> Tensor:
    """log(softmax(x)) along `dim`"""
    return apply(REGISTRY["log_softmax"], (_tensor(input),), {"dim": dim})


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """input @ weight.T + bias"""
    return apply(REGISTRY["linear"], (_tensor(input), _tensor(weight), None if bias is None else _tensor(bias)), {})


def __getattr__(name: str) -> Callable[..., Tensor]:
    definition = REGISTRY.get(name)
    if definition is None or name.startswith("_") or not definition.operands:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def function(input: Any, *arguments: Any, **attributes: Any) -> Tensor:
        return apply(definition, (_tensor(input), *arguments), attributes)
    function.__name__ = name
    function.__doc__ = definition.doc
    return function
