"""Losses, activations and distances on tensors, with torch's names and defaults (torch.nn.functional).

Every op of the registry that takes a tensor first is here too, by its own name.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.ir.registry import REGISTRY
from scriptc_runtime.composite import composite
from scriptc_runtime.eager import apply
from scriptc_runtime.nn.distances import cosine_similarity, normalize, pairwise_distance
from scriptc_runtime.nn.losses import (
    as_tensor,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    ctc_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    refused,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from scriptc_runtime.tensor import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss",
    "elu", "gaussian_nll_loss", "gelu", "glu", "hardtanh", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "leaky_relu", "linear",
    "log_softmax", "logsigmoid", "margin_ranking_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss",
    "nll_loss", "normalize", "one_hot", "pairwise_distance", "poisson_nll_loss", "relu", "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss",
    "soft_margin_loss", "softmax", "softmin", "softplus", "tanh", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]


def _applied(name: str, input: Any, **attributes: Any) -> Tensor:
    made: Tensor = apply(REGISTRY[name], (as_tensor(input),), attributes)
    return made


def softmax(input: Any, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`"""
    return _applied("softmax", input, dim=dim)


def softmin(input: Any, dim: int) -> Tensor:
    """softmax(-x) along `dim`"""
    return _applied("softmax", -as_tensor(input), dim=dim)


def log_softmax(input: Any, dim: int) -> Tensor:
    """log(softmax(x)) along `dim`"""
    return _applied("log_softmax", input, dim=dim)


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """input @ weight.T + bias"""
    made: Tensor = apply(REGISTRY["linear"], (as_tensor(input), as_tensor(weight), None if bias is None else as_tensor(bias)), {})
    return made


def relu(input: Any) -> Tensor:
    """max(x, 0)"""
    return _applied("relu", input)


def relu6(input: Any) -> Tensor:
    """min(max(x, 0), 6)"""
    return _applied("hardtanh", input, min_value=0.0, max_value=6.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]"""
    return _applied("hardtanh", input, min_value=float(min_val), max_value=float(max_val))


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, else negative_slope x"""
    return _applied("leaky_relu", input, negative_slope=float(negative_slope))


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha (exp(x) - 1)"""
    return _applied("elu", input, alpha=float(alpha))


def celu(input: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha (exp(x / alpha) - 1)"""
    return _applied("elu", input, alpha=float(alpha), input_scale=1.0 / alpha)


def selu(input: Any) -> Tensor:
    """elu with the scales that keep mean and variance (Klambauer et al. 2017)"""
    return _applied("elu", input, alpha=1.6732632423543772, scale=1.0507009873554805)


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """x Phi(x); `approximate="tanh"` takes tanh for the normal distribution"""
    return _applied("gelu", input, approximate=approximate)


def silu(input: Any) -> Tensor:
    """x sigmoid(x)"""
    return _applied("silu", input)


def sigmoid(input: Any) -> Tensor:
    """1 / (1 + exp(-x))"""
    return _applied("sigmoid", input)


def logsigmoid(input: Any) -> Tensor:
    """log(sigmoid(x)) without underflow"""
    return _applied("logsigmoid", input)


def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent"""
    return _applied("tanh", input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold"""
    return _applied("softplus", input, beta=float(beta), threshold=float(threshold))


@composite("input")
def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second"""
    size = input.shape[dim]
    if size % 2:
        raise refused(f"glu halves dimension {dim}, which is of size {size}")
    before = (slice(None),) * (dim % input.ndim)
    made: Tensor = input[(*before, slice(0, size // 2))] * input[(*before, slice(size // 2, size))].sigmoid()
    return made


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """int64: 1 where the last new dimension's position equals the element; -1 takes the largest element + 1 classes"""
    classes = as_tensor(tensor).long()
    if num_classes == -1:
        num_classes = int(classes.numpy().max(initial=-1)) + 1
    made: Tensor = apply(REGISTRY["one_hot"], (classes, num_classes), {})
    return made


def __getattr__(name: str) -> Callable[..., Tensor]:
    definition = REGISTRY.get(name)
    if definition is None or name.startswith("_") or not definition.operands:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def function(input: Any, *arguments: Any, **attributes: Any) -> Tensor:
        made: Tensor = apply(definition, (as_tensor(input), *arguments), attributes)
        return made
    function.__name__ = name
    function.__doc__ = definition.doc
    return function
