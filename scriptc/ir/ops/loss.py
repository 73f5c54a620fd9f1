"""Classification losses whose kernels are worth having whole."""
from __future__ import annotations

from typing import Any

from scriptc.ir.ops.normalization import log_softmax
from scriptc.ir.ops.scalar import scalar_div
from scriptc.ir.ops.shape import numel, size
from scriptc.ir.registry import OpError, Tensor, floating, in_range, integral, op, rank_is, same_dtype, same_size, same_type, shape_text
from scriptc.ir.types import FLOAT_CATEGORY, INT_CATEGORY, TensorType, int64, uint8

REDUCTIONS = ("none", "mean", "sum")


def class_loss(x: TensorType, target: TensorType, weight: TensorType | None, reduction: str) -> TensorType:
    """The loss's type for scores x [N, C, *] (or [C]) and a target of classes or of probabilities."""
    floating(x, "x")
    if weight is not None:
        classes = None if not x.shape else x.shape[min(len(x.shape) - 1, 1)]
        same_type(weight, x.with_shape((classes,)), "weight")
    if reduction not in REDUCTIONS:
        raise OpError("E0420", message=f"reduction is {reduction!r}, expected one of {', '.join(REDUCTIONS)}")
    if target.dtype.category not in (INT_CATEGORY, FLOAT_CATEGORY):
        raise OpError("E0408", op="cross_entropy", expected="integer or floating targets", found=target.dtype)
    if target.dtype.category == INT_CATEGORY and target.dtype not in (int64, uint8):
        raise OpError("E0408", op="cross_entropy", expected="int64 or floating targets", found=target.dtype)
    if target.dtype.category == FLOAT_CATEGORY:
        same_dtype(x=x, target=target)
    if x.shape is not None and target.shape is not None:
        if not x.shape:
            raise OpError("E0493", x=shape_text(x.shape), target=shape_text(target.shape))
        expected = x.shape if target.dtype.category == FLOAT_CATEGORY else (*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ()
        if len(expected) != len(target.shape) or any(
                isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(expected, target.shape, strict=True)):
            raise OpError("E0493", x=shape_text(x.shape), target=shape_text(target.shape))
    if reduction != "none":
        return x.with_shape(())
    if x.shape is None:
        return x
    return x.with_shape((*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ())


@op
def cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100, label_smoothing: float = 0.0,
                  reduction: str = "mean") -> Tensor:
    """-log_softmax(x)[target] over classes (torch cross_entropy): x [N, C, *] or [C].

    target: int classes, ignore_index left out, or floating class probabilities of x's shape; weight [C] per class.
    The mean divides by the sum of the weights of the classes taken (for probabilities: by the number of rows).
    """
    in_range(label_smoothing, 0.0, 1.0, "label_smoothing")
    return class_loss(x, target, weight, reduction)


@op(no_gradient="second derivatives of the loss kernel are not needed by any model seen")
def cross_entropy_gradient(g: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100,
                           label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """The gradient of `cross_entropy` to x."""
    in_range(label_smoothing, 0.0, 1.0, "label_smoothing")
    same_type(g, class_loss(x, target, weight, reduction), "g")
    return x


@op
def nll_loss(x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-x[target] of log-probabilities x [N, C, *] or [C] (torch nll_loss)."""
    integral(target, "target")
    return class_loss(x, target, weight, reduction)


@op(no_gradient="the loss is linear in x")
def nll_loss_gradient(g: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100,
                      reduction: str = "mean") -> Tensor:
    """The gradient of `nll_loss` to x."""
    integral(target, "target")
    same_type(g, class_loss(x, target, weight, reduction), "g")
    return x


@cross_entropy.gradient
def _(g: Any, y: Any, x: Any, target: Any, weight: Any, **attributes: Any) -> Any:
    dx = cross_entropy_gradient(g, x, target, weight, **attributes)
    if not target.dtype.is_floating_point:
        return dx, None, None
    dw = None if weight is None else weight_gradient(g, x, target, **attributes)
    return dx, probability_gradient(g, x, target, weight, **attributes), dw


def weight_gradient(g: Any, x: Any, target: Any, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    """The gradient of `cross_entropy` with class probabilities to the weights of the classes."""
    dim = min(x.rank - 1, 1)
    factor = -g
    if reduction == "none":
        factor = factor.unsqueeze(dim)
    elif reduction == "mean":
        factor = factor * size(x, dim=dim) / numel(x)
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + scalar_div(label_smoothing, size(x, dim=dim))
    whole = log_softmax(x, dim=dim) * target * factor
    others = tuple(d for d in range(x.rank) if d != dim)
    return whole.sum(others) if others else whole


def probability_gradient(g: Any, x: Any, target: Any, weight: Any, *, ignore_index: int, label_smoothing: float, reduction: str) -> Any:
    """The gradient of `cross_entropy` to a target of class probabilities (a teacher that learns too): -log_softmax(x)."""
    dim = min(x.rank - 1, 1)
    factor = (label_smoothing - 1.0) * g
    if reduction == "none":
        factor = factor.unsqueeze(dim)
    elif reduction == "mean":
        factor = factor * size(x, dim=dim) / numel(x)   # the mean is over rows, each of them all classes long
    if weight is not None:
        for _ in range(x.rank - dim - 1):
            weight = weight.unsqueeze(-1)
        factor = factor * weight
    return log_softmax(x, dim=dim) * factor


@nll_loss.gradient
def _(g: Any, y: Any, x: Any, target: Any, weight: Any, **attributes: Any) -> Any:
    return nll_loss_gradient(g, x, target, weight, **attributes), None, None


def alignment_loss(log_probs: TensorType, targets: TensorType, input_lengths: TensorType, target_lengths: TensorType,
                   blank: int) -> TensorType:
    """The type of `ctc_loss`: one loss per sequence. OpError if the operands do not fit each other."""
    floating(log_probs, "log_probs")
    rank_is(log_probs, "log_probs", 3)
    rank_is(targets, "targets", 2)
    batch = None if log_probs.shape is None else log_probs.shape[1]
    if targets.shape is not None:
        batch = same_size(targets.shape[0], batch, "the batches of targets and log_probs")
    for name, kind in (("targets", targets), ("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        integral(kind, name)
        if kind is not targets:
            rank_is(kind, name, 1)
            if kind.shape is not None:
                batch = same_size(kind.shape[0], batch, f"the batches of {name} and log_probs")
    if log_probs.shape is not None and isinstance(log_probs.shape[2], int):
        in_range(blank, 0, log_probs.shape[2] - 1, "blank")
    return log_probs.with_shape((batch,))


@op
def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, *, blank: int = 0) -> Tensor:
    """-log of the probability that log_probs [T, N, C] spell targets [N, S], blanks between (Graves et al. 2006): [N].

    input_lengths and target_lengths [N] say how much of each sequence counts; inf where no alignment is long enough.
    """
    return alignment_loss(log_probs, targets, input_lengths, target_lengths, blank)


@op(no_gradient="second derivatives of the loss kernel are not needed by any model seen")
def ctc_loss_gradient(g: Tensor, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, *,
                      blank: int = 0) -> Tensor:
    """The gradient of `ctc_loss` to the scores that log_probs are the log_softmax of: exp(log_probs) less the posterior.

    That is torch's choice too: the next step back, through log_softmax, leaves it as it is.
    """
    same_type(g, alignment_loss(log_probs, targets, input_lengths, target_lengths, blank), "g")
    return log_probs


@ctc_loss.gradient
def _(g: Any, y: Any, log_probs: Any, *operands: Any, blank: int) -> Any:
    return ctc_loss_gradient(g, log_probs, *operands, blank=blank), None, None, None
