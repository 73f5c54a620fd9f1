"""What `--metrics` measures over an evaluation, batch by batch."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scriptc.errors import TrainingError
from scriptc_runtime.trainer.losses import Loss
from scriptc_runtime.trainer.settings import fail, unknown

_BINARY = {"bce_with_logits": 0.0, "binary_cross_entropy_with_logits": 0.0, "bce": 0.5, "binary_cross_entropy": 0.5}  # where yes begins


@dataclass(slots=True)
class Sums:
    """Running totals of one metric."""

    metric: str
    loss: Loss
    count: int = 0
    total: float = 0.0
    target_total: float = 0.0
    target_squares: float = 0.0
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))  # [class of the target, predicted class]

    def misfit(self, expected: str, prediction: np.ndarray, target: np.ndarray) -> TrainingError:
        return fail("R0219", metric=self.metric, expected=expected, prediction=f"{prediction.dtype}{list(prediction.shape)}",
                    target=f"{target.dtype}{list(target.shape)}")

    def classes(self, prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true class of each target that counts."""
        if self.loss.name in _BINARY and prediction.shape == target.shape:
            return (prediction > _BINARY[self.loss.name]).astype(np.int64).ravel(), (target > 0.5).astype(np.int64).ravel()
        if prediction.ndim < 2 or self.loss.kind != "classes":
            raise self.misfit("a loss over classes", prediction, target)
        predicted = prediction.argmax(1)
        if target.dtype.kind == "f":
            return predicted.ravel(), target.argmax(1).ravel()
        counted = target != self.loss.ignore_index
        return predicted[counted], target[counted]


Update = Callable[[Sums, np.ndarray, np.ndarray], None]
Result = Callable[[Sums], float]


def _accuracy(sums: Sums, prediction: np.ndarray, target: np.ndarray) -> None:
    predicted, true = sums.classes(prediction, target)
    sums.total += int((predicted == true).sum())
    sums.count += true.size


def _top(sums: Sums, prediction: np.ndarray, target: np.ndarray) -> None:
    k = int(sums.metric.removeprefix("top"))
    if prediction.ndim != 2 or target.ndim != 1 or target.dtype.kind not in "iu":
        raise sums.misfit("scores [N, C] and labels [N]", prediction, target)
    counted = target != sums.loss.ignore_index
    scores, true = prediction[counted], target[counted]
    above = (scores > np.take_along_axis(scores, true[:, None], 1)).sum(1)
    sums.total += int((above < k).sum())
    sums.count += true.size


def _confusion(sums: Sums, prediction: np.ndarray, target: np.ndarray) -> None:
    predicted, true = sums.classes(prediction, target)
    size = max(len(sums.confusion), 2 if prediction.shape == target.shape else prediction.shape[1])
    counts = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    counts[:len(sums.confusion), :len(sums.confusion)] += sums.confusion
    sums.confusion = counts


def _errors(power: int) -> Update:
    def update(sums: Sums, prediction: np.ndarray, target: np.ndarray) -> None:
        if prediction.shape != target.shape:
            raise sums.misfit("prediction and target of one shape", prediction, target)
        difference = np.abs(prediction.astype(np.float64) - target)
        sums.total += float((difference**power).sum())
        sums.count += target.size
        sums.target_total += float(target.sum(dtype=np.float64))
        sums.target_squares += float((target.astype(np.float64)**2).sum())
    return update


def _mean(sums: Sums) -> float:
    return sums.total / sums.count if sums.count else float("nan")


def _r2(sums: Sums) -> float:
    """1 - squared errors / squared deviations of the target."""
    deviations = sums.target_squares - sums.target_total**2 / sums.count if sums.count else 0.0
    return 1 - sums.total / deviations if deviations > 0 else float("nan")


def _per_class(of: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Result:
    """The mean over the classes that occur, in the target or the prediction; of two classes, that of the second."""
    def result(sums: Sums) -> float:
        right, true, predicted = np.diag(sums.confusion), sums.confusion.sum(1), sums.confusion.sum(0)
        values = of(right.astype(float), true.astype(float), predicted.astype(float))
        if sums.loss.name in _BINARY:
            return float(values[1])
        occurring = (true + predicted) > 0
        return float(values[occurring].mean()) if occurring.any() else float("nan")
    return result


def _share(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


# name -> (what a batch adds, the result, True if more is better)
METRICS: dict[str, tuple[Update, Result, bool]] = {
    "accuracy": (_accuracy, _mean, True),
    "f1": (_confusion, _per_class(lambda right, true, predicted: _share(2 * right, true + predicted)), True),
    "precision": (_confusion, _per_class(lambda right, _, predicted: _share(right, predicted)), True),
    "recall": (_confusion, _per_class(lambda right, true, _: _share(right, true)), True),
    "mae": (_errors(1), _mean, False),
    "mse": (_errors(2), _mean, False),
    "rmse": (_errors(2), lambda sums: _mean(sums) ** 0.5, False),
    "r2": (_errors(2), _r2, True),
}
_TOP = re.compile(r"top[1-9]\d*")


def check_metric(name: str) -> None:
    """TrainingError R0203 unless there is such a metric; `topK` counts a label among the K largest scores."""
    if name not in METRICS and _TOP.fullmatch(name) is None:
        raise unknown("--metrics", "metric", name, [*METRICS, "top5"])


def is_better_larger(name: str) -> bool:
    """True for metrics that grow as a model gets better; of losses, False."""
    return _TOP.fullmatch(name) is not None or METRICS.get(name, (None, None, False))[2]


class Evaluation:
    """The loss and metrics of one pass over the evaluation data."""

    def __init__(self, metrics: tuple[str, ...], loss: Loss) -> None:
        self.loss = loss
        self.sums = {name: Sums(name, loss) for name in metrics}
        self.loss_total, self.weight = 0.0, 0

    def add(self, value: float, prediction: np.ndarray, target: np.ndarray) -> None:
        """One batch: its mean loss, scores and targets."""
        weight = self.loss.weight(target)
        if weight:
            self.loss_total += value * weight
            self.weight += weight
        for name, sums in self.sums.items():
            (METRICS.get(name) or (_top, _mean, True))[0](sums, prediction, target)

    def results(self) -> dict[str, float]:
        """`loss` and the metrics by name."""
        found = {"loss": self.loss_total / self.weight if self.weight else float("nan")}
        for name, sums in self.sums.items():
            found[name] = (METRICS.get(name) or (_top, _mean, True))[1](sums)
        return found
