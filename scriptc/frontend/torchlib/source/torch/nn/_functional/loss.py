"""Losses."""
import math

import __ops__ as ops
import torch
from __stage__ import in_float32
from torch.nn._functional.activation import logsigmoid
from torch.nn._functional.distance import pairwise_distance


def _reduction(size_average, reduce, reduction):
    """The reduction, also where it is given by the two flags that it replaced."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def _reduced(losses, reduction):
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return losses


def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0):
    return ops.cross_entropy(input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
                             reduction=_reduction(size_average, reduce, reduction))


def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean", ignore_index=None,
                         label_smoothing=0.0, options=None):
    """cross_entropy(linear(input, linear_weight, linear_bias), target); weights may be [C, d_1, ..., d_K, in]. Chunks are the compiler's affair."""
    sizes = list(linear_weight.shape[:-1])
    if len(sizes) > 1 and input.dim() == 1:
        raise RuntimeError("K-dimensional loss requires batched input")
    if ignore_index is not None and target.is_floating_point():
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = ops.linear(input, linear_weight.reshape(-1, linear_weight.shape[-1]), bias)
    return cross_entropy(logits.reshape(list(input.shape[:-1]) + sizes), target, weight, reduction=reduction,
                         ignore_index=-100 if ignore_index is None else ignore_index, label_smoothing=label_smoothing)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    return ops.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=_reduction(size_average, reduce, reduction))


def _weighted_mean(losses, weight, reduction):
    """Losses times weights; their mean is over the sum of the weights."""
    if weight is None:
        return _reduced(losses, reduction)
    weighted = losses * weight
    return weighted.sum() / weight.expand_as(losses).sum() if reduction == "mean" else _reduced(weighted, reduction)


@in_float32
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    difference = input - target
    return _weighted_mean(difference * difference, weight, _reduction(size_average, reduce, reduction))


@in_float32
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    return _weighted_mean((input - target).abs(), weight, _reduction(size_average, reduce, reduction))


@in_float32
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    reduction = _reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    gap = (input - target).abs()
    if beta == 0:
        return _reduced(gap, reduction)
    return _reduced(torch.where(gap < beta, 0.5 * gap * gap / beta, gap - 0.5 * beta), reduction)


@in_float32
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    gap = (input - target).abs()
    losses = torch.where(gap <= delta, 0.5 * gap * gap, delta * (gap - 0.5 * delta))
    if input.is_floating_point():
        losses = losses.to(input.dtype)
    return _reduced(losses if weight is None else losses * weight, reduction)


@in_float32
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    if list(target.shape) != list(input.shape):
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated. "
                         "Please ensure they have the same size.")
    if not ((input >= 0) & (input <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    losses = -(target * input.log().clamp_min(-100) + (1 - target) * (1 - input).log().clamp_min(-100))
    return _reduced(losses if weight is None else losses * weight, _reduction(size_average, reduce, reduction))


@in_float32
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    if list(target.shape) != list(input.shape):
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    if pos_weight is None:
        losses = (1 - target) * input - logsigmoid(input)
    else:
        losses = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return _reduced(losses if weight is None else losses * weight, _reduction(size_average, reduce, reduction))


@in_float32
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    if log_target:
        losses = target.exp() * (target - input)
    else:
        empty = target == 0
        inner = torch.where(empty, torch.ones_like(target), target)
        losses = torch.where(empty, torch.zeros_like(target), target * inner.log()) - target * input
    if reduction == "batchmean":
        return losses.sum() / input.shape[0] if input.dim() > 0 else losses.sum()
    return _reduced(losses, _reduction(size_average, reduce, reduction))


@in_float32
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"):
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + torch.where(target > 1, stirling, torch.zeros_like(target))
    return _reduced(losses, _reduction(size_average, reduce, reduction))


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * torch.ones_like(input)
    elif torch.any(var < 0):
        raise ValueError("var has negative entry/entries")
    if list(var.shape) != list(input.shape):
        if list(input.shape[:-1]) == list(var.shape):
            var = var.unsqueeze(-1)
        elif input.dim() != var.dim() or sum(b for a, b in zip(input.shape, var.shape) if a != b) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    bounded = var + (var.clamp(min=eps) - var).detach()   # the bound passes gradients as if it were not there
    losses = 0.5 * (bounded.log() + (input - target) ** 2 / bounded)
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@in_float32
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    return _reduced(torch.log1p(torch.exp(-target * input)), _reduction(size_average, reduce, reduction))


@in_float32
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    zeros = torch.zeros_like(input)
    losses = torch.where(target != 1, (margin - input).clamp_min(0), zeros) + torch.where(target != -1, input, zeros)
    return _reduced(losses, _reduction(size_average, reduce, reduction))


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return _reduced(losses.sum(-1) / input.shape[-1], _reduction(size_average, reduce, reduction))


@in_float32
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Each row of `target` lists classes up to its first negative number."""
    if input.dim() < 2:
        rows = multilabel_margin_loss(input.reshape(1, -1), target.reshape(1, -1), reduction="none")
        return rows.squeeze(0)
    count = input.shape[1]
    listed = (target >= 0).long().cumprod(1) > 0
    classes = target.clamp_min(0) * listed
    wanted = torch.zeros_like(target).scatter_add(1, classes, listed.long()) > 0
    gaps = (1 - input.gather(1, classes).unsqueeze(2) + input.unsqueeze(1)).clamp_min(0)
    taken = listed.unsqueeze(2) & ~wanted.unsqueeze(1)
    losses = torch.where(taken, gaps, torch.zeros_like(gaps)).sum((1, 2)) / count
    return _reduced(losses, _reduction(size_average, reduce, reduction))


@in_float32
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    if p != 1 and p != 2:
        raise ValueError("only p == 1 and p == 2 supported")
    if input.dim() < 2:
        rows = multi_margin_loss(input.reshape(1, -1), target.reshape(1), p, margin, weight, reduction="none")
        return _reduced(rows, "mean") if _reduction(size_average, reduce, reduction) != "none" else rows.squeeze(0)
    index = target.unsqueeze(1)
    gaps = (margin - input.gather(1, index) + input).clamp_min(0)
    if p == 2:
        gaps = gaps * gaps
    if weight is not None:
        gaps = gaps * weight[target].unsqueeze(1)
    own = torch.arange(input.shape[1]) == index
    losses = torch.where(own, torch.zeros_like(gaps), gaps).sum(1) / input.shape[1]
    return _reduced(losses, _reduction(size_average, reduce, reduction))


@in_float32
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {input1.size()}, "
                           f"input2: {input2.size()}, target: {target.size()} ")
    return _reduced((-target * (input1 - input2) + margin).clamp_min(0), _reduction(size_average, reduce, reduction))


@in_float32
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    squares = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    similarity = (input1 * input2).sum(-1) / squares.sqrt()
    zeros = torch.zeros_like(similarity)
    losses = torch.where(target == 1, 1 - similarity, zeros) + torch.where(target == -1, (similarity - margin).clamp_min(0), zeros)
    return _reduced(losses, _reduction(size_average, reduce, reduction))


@in_float32
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced((near - far + margin).clamp_min(0), _reduction(size_average, reduce, reduction))


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return _reduced((near - far + margin).clamp_min(0), reduction)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    unbatched = log_probs.dim() == 2
    if unbatched:
        log_probs = log_probs.unsqueeze(1)
    lengths = torch.as_tensor(input_lengths, dtype=torch.int64).reshape(-1)
    sizes = torch.as_tensor(target_lengths, dtype=torch.int64).reshape(-1)
    if unbatched:
        targets = targets.reshape(1, -1)
    elif targets.dim() == 1:
        longest = max(target_lengths) if isinstance(target_lengths, (tuple, list)) else int(sizes.max())
        place = (sizes.cumsum(0) - sizes).unsqueeze(1) + torch.arange(longest)
        targets = targets[place.clamp(max=targets.shape[0] - 1)]
    losses = ops.ctc_loss(log_probs, targets.to(torch.int64), lengths, sizes, blank=blank)
    if zero_infinity:
        losses = torch.where(losses == float("inf"), torch.zeros_like(losses), losses)
    if reduction == "mean":
        return (losses / sizes.clamp_min(1).to(losses.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses.squeeze(0) if unbatched else losses
