"""Losses with torch's names, defaults and gradients (torch.nn.functional); each runs as one program.

`reduction` is `mean`, `sum` or `none`. CallError R0120 for shapes or settings that make no sense.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import FLOAT_CATEGORY
from scriptc_runtime.composite import composite
from scriptc_runtime.eager import apply
from scriptc_runtime.nn.distances import pairwise_distance
from scriptc_runtime.tensor import Tensor


def refused(message: str) -> CallError:
    """The error for arguments that make no sense."""
    return CallError(diagnostic("R0120", message=message))


def as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """`a` where the condition holds, else `b`."""
    made: Tensor = apply(REGISTRY["where"], (condition, a, b), {})
    return made


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise refused(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")


def _like(target: Tensor, input: Tensor) -> Tensor:
    """The target in the dtype of the input. CallError if the shapes differ: broadcasting a loss is nearly always a bug."""
    if target.shape != input.shape:
        raise refused(f"input has shape {list(input.shape)} and target {list(target.shape)}")
    return target.to(input.dtype)


def _positive(value: Tensor) -> Tensor:
    """The value where it is above 0, else 0."""
    made: Tensor = value.clamp(0.0, None)
    return made


def cross_entropy(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-log_softmax(input)[target]: input [N, C, *] or [C], target int classes or class probabilities."""
    classes = as_tensor(target)
    if classes.dtype.category < FLOAT_CATEGORY:
        classes = classes.long()
    made: Tensor = apply(REGISTRY["cross_entropy"], (as_tensor(input), classes, None if weight is None else as_tensor(weight)),
                         {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction})
    return made


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-input[target] of log-probabilities [N, C, *] or [C]."""
    made: Tensor = apply(REGISTRY["nll_loss"], (as_tensor(input), as_tensor(target).long(), None if weight is None else as_tensor(weight)),
                         {"ignore_index": ignore_index, "reduction": reduction})
    return made


def _weighted(losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Losses times weights; their mean is over the sum of the weights."""
    if weight is None:
        return _reduced(losses, reduction)
    weighted = losses * weight
    return weighted.sum() / (losses * 0.0 + weight).sum() if reduction == "mean" else _reduced(weighted, reduction)


@composite("input", "target", "weight")
def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """(input - target)²; the mean of weighted ones is over the sum of the weights"""
    difference = input - _like(target, input)
    return _weighted(difference * difference, weight, reduction)


@composite("input", "target", "weight")
def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """|input - target|"""
    return _weighted((input - _like(target, input)).abs(), weight, reduction)


@composite("input", "target")
def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d² / (2 beta) where d = |input - target| < beta, else d - beta / 2 (Girshick 2015)"""
    if beta < 0:
        raise refused(f"beta is {beta}, expected a number that is not negative")
    d = (input - _like(target, input)).abs()
    return _reduced(d if beta == 0 else where(d < beta, d * d * 0.5 / beta, d - 0.5 * beta), reduction)


@composite("input", "target", "weight")
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """d² / 2 where d = |input - target| <= delta, else delta (d - delta / 2)"""
    if delta <= 0:
        raise refused(f"delta is {delta}, expected a positive number")
    d = (input - _like(target, input)).abs()
    losses = where(d <= delta, d * d * 0.5, (d - 0.5 * delta) * delta)
    return _reduced(losses if weight is None else losses * weight, reduction)


@composite("input", "target", "weight")
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """-(t log(p) + (1 - t) log(1 - p)), each logarithm held above -100 and p (1 - p) in the gradient above 1e-12, as in torch."""
    p, t = input, _like(target, input)
    inside: Any = apply(REGISTRY["all"], (apply(REGISTRY["logical_and"], (p >= 0.0, p <= 1.0), {}),), {"dims": None, "keepdim": False})
    inside.check("RuntimeError", "all elements of input should be between 0 and 1")
    yes, no = p.log().clamp(-100.0, None), (-p).log1p().clamp(-100.0, None)
    # torch's own gradient, which does not vanish where the logarithms are held: a product with 0 that only the gradient sees.
    slope = ((p - t) / (p * (1.0 - p)).clamp(1e-12, None)).detach()
    losses = (-(t * yes + (1.0 - t) * no)).detach() + (p - p.detach()) * slope + (t - t.detach()) * (no - yes).detach()
    return _reduced(losses if weight is None else losses * weight, reduction)


@composite("input", "target", "weight", "pos_weight")
def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, reduction: str = "mean",
                                     pos_weight: Any = None) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target) without overflow; `pos_weight` multiplies the part of positive targets."""
    t = _like(target, input)
    part = input.logsigmoid()
    losses = (1.0 - t) * input - (part if pos_weight is None else ((pos_weight - 1.0) * t + 1.0) * part)
    return _reduced(losses if weight is None else losses * weight, reduction)


@composite("input", "target")
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log(target) - input) for log-probabilities `input`; reduction `batchmean` divides by the batch size"""
    t = _like(target, input)
    # 0 log 0 is 0: the logarithm of 1 stands for that of 0.
    losses = t.exp() * (t - input) if log_target else t * where(t == 0.0, t * 0.0 + 1.0, t).log() - t * input
    if reduction == "batchmean":
        return losses.sum() / input.shape[0] if input.ndim else losses.sum()
    return _reduced(losses, reduction)


@composite("input", "target")
def poisson_nll_loss(input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> Tensor:
    """exp(input) - target input, or without `log_input` input - target log(input + eps); `full` adds Stirling's log(target!)"""
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + (target * (2 * math.pi)).log() * 0.5
        losses = losses + where(target > 1, stirling, target * 0.0)
    return _reduced(losses, reduction)


@composite("input", "target", "var")
def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """(log(var) + (input - target)² / var) / 2, var held above eps without its gradient seeing it; `full` adds log(2 pi) / 2"""
    if var.ndim and var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif input.ndim != var.ndim or sum(b for a, b in zip(input.shape, var.shape, strict=True) if a != b) != 1:
            raise refused(f"var has shape {list(var.shape)}, which does not fit input {list(input.shape)}")
    bounded = var + (var.clamp(eps, None) - var).detach()
    difference = input - target
    losses = (bounded.log() + difference * difference / bounded) * 0.5
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@composite("input", "target")
def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target input)) for targets 1 and -1"""
    return _reduced((-target * input).exp().log1p(), reduction)


@composite("input", "target")
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1"""
    zero = input * 0.0
    return _reduced(where(target != 1, _positive(margin - input), zero) + where(target != -1, input, zero), reduction)


@composite("input", "target", "weight")
def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The mean over classes of binary_cross_entropy_with_logits"""
    losses = -(target * input.logsigmoid() + (1.0 - target) * (-input).logsigmoid())
    return _reduced((losses if weight is None else losses * weight).sum(-1) / input.shape[-1], reduction)


@composite("input", "target")
def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The sum of max(0, 1 - input[wanted] + input[other]) / classes; each row of `target` lists classes up to its first negative number."""
    if input.ndim < 2:
        rows = _multilabel_rows(input.reshape(1, -1), target.reshape(1, -1))
        return _reduced(rows.reshape(()), reduction)
    return _reduced(_multilabel_rows(input, target), reduction)


def _multilabel_rows(input: Tensor, target: Tensor) -> Tensor:
    listed = (target >= 0).long().cumprod(dim=1)
    classes = target.clamp(0, None) * listed
    wanted = (target * 0).scatter(classes, listed, dim=1, reduce="add")
    gaps = _positive(1.0 - input.gather(classes, dim=1).unsqueeze(2) + input.unsqueeze(1))
    taken = listed.unsqueeze(2) * (wanted == 0).long().unsqueeze(1)
    losses: Tensor = where(taken > 0, gaps, gaps * 0.0).sum((1, 2)) / input.shape[1]
    return losses


@composite("input", "target", "weight")
def multi_margin_loss(input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The sum over other classes of max(0, margin - input[target] + input[other])^p / classes"""
    if p not in (1, 2):
        raise refused(f"p is {p}, expected 1 or 2")
    rows, classes = (input.reshape(1, -1), target.reshape(1)) if input.ndim < 2 else (input, target)
    place = classes.unsqueeze(1)
    gaps = _positive(margin - rows.gather(place, dim=1) + rows)
    gaps = gaps * gaps if p == 2 else gaps
    if weight is not None:
        gaps = gaps * weight[classes].unsqueeze(1)
    own = Tensor(np.arange(rows.shape[1])) == place
    losses = where(own, gaps * 0.0, gaps).sum(1) / rows.shape[1]
    return _reduced(losses.reshape(()) if input.ndim < 2 else losses, reduction)


@composite("input1", "input2", "target")
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """max(0, -target (input1 - input2) + margin): which of two should be larger, 1 or -1"""
    if not input1.ndim == input2.ndim == target.ndim:
        raise refused(f"inputs of {input1.ndim} and {input2.ndim} dimensions and a target of {target.ndim}; expected the same number")
    return _reduced(_positive(-target * (input1 - input2) + margin), reduction)


@composite("input1", "input2", "target")
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1; inputs [N, D] or [D]"""
    squares = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    similarity = (input1 * input2).sum(-1) / squares.sqrt()
    zero = similarity * 0.0
    losses = where(target == 1, 1.0 - similarity, zero) + where(target == -1, _positive(similarity - margin), zero)
    return _reduced(losses, reduction)


@composite("anchor", "positive", "negative")
def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
                        reduction: str = "mean") -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin) in the p-norm; `swap` takes the nearer of the two to the negative."""
    return _triplet(anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction)


def triplet_margin_with_distance_loss(anchor: Any, positive: Any, negative: Any, *, distance_function: Callable[[Any, Any], Tensor] | None = None,
                                      margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Tensor:
    """`triplet_margin_loss` with a distance of your own."""
    return _triplet(as_tensor(anchor), as_tensor(positive), as_tensor(negative), distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(anchor: Tensor, positive: Tensor, negative: Tensor, distance: Callable[[Any, Any], Tensor], margin: float, swap: bool,
             reduction: str) -> Tensor:
    if margin <= 0:
        raise refused(f"margin is {margin}, expected a positive number")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = apply(REGISTRY["minimum"], (far, distance(positive, negative)), {})
    return _reduced(_positive(near - far + margin), reduction)


def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
             zero_infinity: bool = False) -> Tensor:
    """-log of the probability that log_probs [T, N, C] spell targets [N, S], or all targets in one row (Graves et al. 2006).

    The mean divides each loss by its target's length. Without a batch: log_probs [T, C].
    """
    probabilities, spelled = as_tensor(log_probs), as_tensor(targets)
    lengths, sizes = (as_tensor(v).long().reshape(-1) for v in (input_lengths, target_lengths))
    unbatched = probabilities.ndim == 2
    if unbatched:
        probabilities, spelled = probabilities.unsqueeze(1), spelled.reshape(1, -1)
    elif spelled.ndim == 1:
        spelled = _padded(spelled, sizes)
    losses = apply(REGISTRY["ctc_loss"], (probabilities, spelled.long(), lengths, sizes), {"blank": blank})
    if zero_infinity:
        losses = where(losses == math.inf, Tensor(np.zeros(losses.shape, losses.dtype.numpy)), losses)
    if reduction == "mean":
        return (losses / sizes.clamp(1, None).to(losses.dtype)).mean()
    return losses.reshape(()) if unbatched and reduction == "none" else _reduced(losses, reduction)


def _padded(targets: Tensor, sizes: Tensor) -> Tensor:
    """Targets one after another, a row for each instead."""
    counts: Sequence[int] = sizes.tolist()
    rows = np.zeros((len(counts), max(counts, default=0)), np.int64)
    begin = 0
    for row, count in zip(rows, counts, strict=True):
        row[:count] = targets.numpy()[begin:begin + count]
        begin += count
    return Tensor(rows)
