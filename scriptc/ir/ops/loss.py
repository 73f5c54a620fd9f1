"""Classification losses whose kernels are worth having whole."""
from __future__ import annotations

from typing import Any

from scriptc.ir.registry import OpError, Tensor, floating, in_range, op, shape_text
from scriptc.ir.types import FLOAT_CATEGORY, INT_CATEGORY, Shape, TensorType

REDUCTIONS = ("none", "mean", "sum")


def class_loss(x: TensorType, target: TensorType, reduction: str) -> Shape | None:
    """The loss's shape for scores x [N, C, *] (or [C]) and a target of classes or of probabilities."""
    floating(x, "x")
    if reduction not in REDUCTIONS:
        raise OpError("E0420", message=f"reduction is {reduction!r}, expected one of {', '.join(REDUCTIONS)}")
    if target.dtype.category not in (INT_CATEGORY, FLOAT_CATEGORY):
        raise OpError("E0408", op="cross_entropy", expected="integer or floating targets", found=target.dtype)
    if x.shape is not None and target.shape is not None:
        if not x.shape:
            raise OpError("E0493", x=shape_text(x.shape), target=shape_text(target.shape))
        expected = x.shape if target.dtype.category == FLOAT_CATEGORY else (*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ()
        if len(expected) != len(target.shape) or any(
                isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(expected, target.shape, strict=True)):
            raise OpError("E0493", x=shape_text(x.shape), target=shape_text(target.shape))
    if reduction != "none":
        return ()
    if x.shape is None:
        return None
    return (*x.shape[:1], *x.shape[2:]) if len(x.shape) > 1 else ()


@op
def cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100, label_smoothing: float = 0.0,
                  reduction: str = "mean") -> Tensor:
    """-log_softmax(x)[target] over classes (torch cross_entropy): x [N, C, *] or [C].

    target: int classes, ignore_index left out, or floating class probabilities of x's shape; weight [C] per class.
    The mean divides by the sum of the weights of the classes taken (for probabilities: by N).
    """
    in_range(label_smoothing, 0.0, 1.0, "label_smoothing")
    return x.with_shape(class_loss(x, target, reduction))


@op(no_gradient="second derivatives of the loss kernel are not needed by any model seen")
def cross_entropy_gradient(g: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100,
                           label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """The gradient of `cross_entropy` to x."""
    class_loss(x, target, reduction)
    return x


@op
def nll_loss(x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-x[target] of log-probabilities x [N, C, *] or [C] (torch nll_loss)."""
    return x.with_shape(class_loss(x, target, reduction))


@op(no_gradient="the loss is linear in x")
def nll_loss_gradient(g: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, *, ignore_index: int = -100,
                      reduction: str = "mean") -> Tensor:
    """The gradient of `nll_loss` to x."""
    class_loss(x, target, reduction)
    return x


@cross_entropy.gradient
def _(g: Any, y: Any, x: Any, target: Any, weight: Any, **attributes: Any) -> Any:
    return cross_entropy_gradient(g, x, target, weight, **attributes), None, None


@nll_loss.gradient
def _(g: Any, y: Any, x: Any, target: Any, weight: Any, **attributes: Any) -> Any:
    return nll_loss_gradient(g, x, target, weight, **attributes), None, None
