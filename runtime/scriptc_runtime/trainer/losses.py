"""The losses of `--loss`, and the forms of prediction and target that each takes."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.errors import CallError, TrainingError, diagnostic
from scriptc_runtime.nn import functional
from scriptc_runtime.tensor import Tensor
from scriptc_runtime.trainer.settings import Choice, fail, unknown

# name -> (function of nn.functional, what its target is)
LOSSES: dict[str, tuple[str, str]] = {
    "cross_entropy": ("cross_entropy", "classes"), "nll": ("nll_loss", "classes"), "nll_loss": ("nll_loss", "classes"),
    "mse": ("mse_loss", "values"), "mse_loss": ("mse_loss", "values"), "l1": ("l1_loss", "values"), "l1_loss": ("l1_loss", "values"),
    "smooth_l1": ("smooth_l1_loss", "values"), "smooth_l1_loss": ("smooth_l1_loss", "values"), "huber": ("huber_loss", "values"),
    "huber_loss": ("huber_loss", "values"), "bce": ("binary_cross_entropy", "values"), "binary_cross_entropy": ("binary_cross_entropy", "values"),
    "bce_with_logits": ("binary_cross_entropy_with_logits", "values"),
    "binary_cross_entropy_with_logits": ("binary_cross_entropy_with_logits", "values"), "kl_div": ("kl_div", "values"),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss with its settings: `fit` brings prediction and target together, `__call__` compares them."""

    name: str
    kind: str  # classes: the target numbers them, or gives their probabilities; values: it has the prediction's form
    function: Callable[..., Tensor]
    arguments: Mapping[str, Any]

    @property
    def ignore_index(self) -> int:
        """The class label that counts for nothing."""
        return int(self.arguments.get("ignore_index", -100))

    def fit(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction [N, C, *] with classes [N, *]; or both of one shape.

        [N, ..., C] scores with labels [N, ...] become rows, and sizes of 1 after the first do not count in a regression.
        TrainingError R0212.
        """
        shape = prediction.shape
        if self.kind == "values":
            if target.shape != shape and target.shape[:1] == shape[:1] and _sizes(target) == _sizes(prediction):
                target = target.reshape(*shape)
            if target.shape != shape:
                raise self._misfit(prediction, target, "they must have one shape")
            return prediction, target
        if target.dtype.is_floating_point:
            if target.shape != shape:
                raise self._misfit(prediction, target, "labels are integers [N, ...], class probabilities have the prediction's shape")
            return prediction, target
        if target.ndim == 2 and target.shape[1] == 1 and len(shape) == 2:
            target = target.reshape(-1)
        if len(shape) < 2:
            raise self._misfit(prediction, target, "the prediction must have a dimension of classes: [N, C]")
        if (shape[0], *shape[2:]) != target.shape:
            if shape[:-1] != target.shape:
                raise self._misfit(prediction, target, f"labels for it would have shape {[shape[0], *shape[2:]]}")
            prediction, target = prediction.reshape(-1, shape[-1]), target.reshape(-1)
        return prediction, target

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean loss of a batch that `fit` brought together."""
        try:
            return self.function(prediction, target, **self.arguments)
        except CallError as error:
            raise TrainingError(*error.diagnostics) from None

    def weight(self, target: np.ndarray) -> int:
        """How many targets the mean is over."""
        if self.kind == "classes" and target.dtype.kind in "iu":
            return int(np.count_nonzero(target != self.ignore_index))
        return len(target)

    def _misfit(self, prediction: Tensor, target: Tensor, problem: str) -> TrainingError:
        return TrainingError(diagnostic("R0212", loss=self.name, prediction=f"{prediction.dtype}{list(prediction.shape)}",
                                        target=f"{target.dtype}{list(target.shape)}", problem=problem))


def _sizes(tensor: Tensor) -> list[int]:
    """The sizes of one sample that are not 1."""
    return [size for size in tensor.shape[1:] if size != 1]


def loss_named(choice: Choice) -> Loss:
    """The loss of `--loss`. TrainingError R0203 for a name, R0202 for a setting it does not have."""
    if choice.name not in LOSSES:
        raise unknown("--loss", "loss", choice.name, LOSSES)
    function, kind = LOSSES[choice.name]
    made = getattr(functional, function)
    settings = made.__code__.co_varnames[2:made.__code__.co_argcount]
    for name, value in choice.arguments.items():
        if name not in settings or name == "reduction":
            raise unknown("--loss", "setting", f"{choice.name}:{name}", [s for s in settings if s != "reduction"])
        if isinstance(value, tuple):
            choice.arguments[name] = np.array(value, np.float32)
    return Loss(choice.name, kind, made, choice.arguments)


def check_labels(loss: Loss, target: np.ndarray, classes: int, first: int = 0) -> None:
    """TrainingError R0211 for a label that the model has no class for; `first`: the number of the first sample."""
    if loss.kind != "classes" or target.dtype.kind not in "iu":
        return
    bad = (target != loss.ignore_index) & ((target < 0) | (target >= classes))
    if bad.any():
        place = np.argwhere(bad)[0]
        raise fail("R0211", classes=classes, last=classes - 1, found=int(target[tuple(place)]), sample=first + int(place[0]))


def part_of(result: Any, name: str | None) -> Tensor:
    """The tensor of a model's result that the loss takes: the named part, or logits, or the first. TrainingError R0214."""
    if isinstance(result, Tensor) and name is None:
        return result
    parts = _parts(result)
    if name is None:
        name = "logits" if "logits" in parts else next(iter(parts), "")
    value: Any = result
    for step in name.split("."):
        inner = _parts(value)
        if step not in inner:
            raise fail("R0214", name=name, known=", ".join(parts) or "no parts")
        value = inner[step]
    if not isinstance(value, Tensor):
        raise fail("R0214", name=name, known=", ".join(f"{name}.{p}" for p in _parts(value)) or "no tensor there")
    return value


def _parts(value: Any) -> dict[str, Any]:
    """The items of a container by name or number."""
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return dict(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    if hasattr(value, "__dict__"):
        return {k: v for k, v in vars(value).items() if v is not None}
    return {}
