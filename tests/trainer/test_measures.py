"""Losses, metrics, and what predictions and targets they take."""
from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.trainer.losses import Loss, check_labels, loss_named, part_of
from scriptc_runtime.trainer.metrics import Evaluation, is_better_larger
from scriptc_runtime.trainer.settings import parse_choice

import scriptc
from scriptc.errors import TrainingError

RNG = np.random.default_rng(3)


def loss(text: str) -> Loss:
    return loss_named(parse_choice("--loss", text))


def measured(metric: str, loss_name: str, batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
    evaluation = Evaluation((metric,), loss(loss_name))
    for prediction, target in batches:
        evaluation.add(0.0, prediction, target)
    return evaluation.results()[metric]


def batches_of(prediction: np.ndarray, target: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same in three uneven batches."""
    return [(prediction[s], target[s]) for s in (slice(0, 5), slice(5, 6), slice(6, None))]


SCORES, LABELS = RNG.standard_normal((40, 4)).astype(np.float32), RNG.integers(0, 4, 40)
PREDICTED = SCORES.argmax(1)
VALUES, TRUTH = RNG.standard_normal(30).astype(np.float32), RNG.standard_normal(30).astype(np.float32)


def per_class(kind: str) -> float:
    """Macro averages from the definitions."""
    found = []
    for number in range(4):
        chosen, meant = np.equal(PREDICTED, number), np.equal(LABELS, number)
        right, predicted, true = (chosen & meant).sum(), chosen.sum(), meant.sum()
        found.append({"precision": right / predicted, "recall": right / true, "f1": 2 * right / (predicted + true)}[kind])
    return float(np.mean(found))


@pytest.mark.parametrize(("metric", "loss_name", "prediction", "target", "expected"), [
    ("accuracy", "cross_entropy", SCORES, LABELS, (PREDICTED == LABELS).mean()),
    ("top2", "cross_entropy", SCORES, LABELS, np.mean([y in np.argsort(-s)[:2] for s, y in zip(SCORES, LABELS, strict=True)])),
    ("f1", "cross_entropy", SCORES, LABELS, per_class("f1")), ("recall", "cross_entropy", SCORES, LABELS, per_class("recall")),
    ("precision", "cross_entropy", SCORES, LABELS, per_class("precision")),
    ("accuracy", "bce_with_logits", VALUES, (TRUTH > 0).astype(np.float32), ((VALUES > 0) == (TRUTH > 0)).mean()),
    ("accuracy", "bce", np.abs(VALUES), (TRUTH > 0).astype(np.float32), ((np.abs(VALUES) > 0.5) == (TRUTH > 0)).mean()),
    ("recall", "bce_with_logits", VALUES, (TRUTH > 0).astype(np.float32), ((VALUES > 0) & (TRUTH > 0)).sum() / (TRUTH > 0).sum()),
    ("mae", "mse", VALUES, TRUTH, np.abs(VALUES.astype(float) - TRUTH).mean()),
    ("mse", "mse", VALUES, TRUTH, ((VALUES.astype(float) - TRUTH) ** 2).mean()),
    ("rmse", "mse", VALUES, TRUTH, ((VALUES.astype(float) - TRUTH) ** 2).mean() ** 0.5),
    ("r2", "mse", VALUES, TRUTH, 1 - ((VALUES.astype(float) - TRUTH) ** 2).sum() / ((TRUTH.astype(float) - TRUTH.mean(dtype=float)) ** 2).sum()),
])
def test_a_metric_is_what_its_definition_says(metric: str, loss_name: str, prediction: np.ndarray, target: np.ndarray, expected: float) -> None:
    assert measured(metric, loss_name, batches_of(prediction, target)) == pytest.approx(float(expected), rel=1e-9)


def test_ignored_labels_count_for_nothing() -> None:
    labels = LABELS.copy()
    labels[::2] = -100
    assert measured("accuracy", "cross_entropy", [(SCORES, labels)]) == pytest.approx((PREDICTED == LABELS)[1::2].mean())
    assert loss("cross_entropy").weight(labels) == 20
    assert loss("cross_entropy:ignore_index=0").weight(LABELS) == (LABELS != 0).sum()


def test_the_loss_of_an_evaluation_is_the_mean_over_its_samples() -> None:
    evaluation = Evaluation((), loss("cross_entropy"))
    evaluation.add(1.0, SCORES[:30], LABELS[:30])
    evaluation.add(2.0, SCORES[30:], LABELS[30:])
    assert evaluation.results() == {"loss": 1.25}


@pytest.mark.parametrize(("metric", "loss_name", "prediction", "target"), [
    ("accuracy", "mse", VALUES, TRUTH), ("mae", "cross_entropy", SCORES, LABELS), ("top2", "cross_entropy", SCORES[:, :, None], LABELS[:, None]),
])
def test_a_metric_that_does_not_apply_is_refused(metric: str, loss_name: str, prediction: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(TrainingError, match=rf"R0219.*{metric}"):
        measured(metric, loss_name, [(prediction, target)])


def test_which_way_is_better() -> None:
    assert [is_better_larger(m) for m in ("accuracy", "top5", "r2", "loss", "rmse")] == [True, True, True, False, False]


def fitted(text: str, prediction: tuple[int, ...], target: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    a, b = loss(text).fit(scriptc.tensor(np.zeros(prediction, np.float32)), scriptc.tensor(target))
    return a.shape, b.shape


@pytest.mark.parametrize(("text", "prediction", "target", "expected"), [
    ("cross_entropy", (4, 3), np.zeros(4, int), ((4, 3), (4,))), ("cross_entropy", (4, 3), np.zeros((4, 1), int), ((4, 3), (4,))),
    ("cross_entropy", (4, 3, 5), np.zeros((4, 5), int), ((4, 3, 5), (4, 5))), ("cross_entropy", (4, 5, 3), np.zeros((4, 5), int), ((20, 3), (20,))),
    ("cross_entropy", (4, 3), np.zeros((4, 3), np.float32), ((4, 3), (4, 3))), ("mse", (4, 1), np.zeros(4), ((4, 1), (4, 1))),
    ("mse", (4,), np.zeros((4, 1)), ((4,), (4,))), ("mse", (4, 2), np.zeros((4, 2)), ((4, 2), (4, 2))),
])
def test_prediction_and_target_are_brought_together(text: str, prediction: tuple[int, ...], target: np.ndarray, expected: Any) -> None:
    assert fitted(text, prediction, target) == expected


@pytest.mark.parametrize(("text", "prediction", "target"), [
    ("cross_entropy", (4, 3), np.zeros(5, int)), ("cross_entropy", (4,), np.zeros(4, int)), ("cross_entropy", (4, 3), np.zeros(4)),
    ("mse", (4, 2), np.zeros(4)), ("mse", (4, 1), np.zeros(3)),
])
def test_what_does_not_fit_together_is_refused(text: str, prediction: tuple[int, ...], target: np.ndarray) -> None:
    with pytest.raises(TrainingError, match="R0212"):
        fitted(text, prediction, target)


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_label_without_a_class_is_refused(bad: int) -> None:
    with pytest.raises(TrainingError, match=rf"R0211.*3 classes.*0 to 2; found {bad} \(sample 12\)"):
        check_labels(loss("cross_entropy"), np.array([0, -100, bad, 1]), 3, first=10)


Pair = namedtuple("Pair", "first second")


def test_the_part_of_a_result_that_the_loss_takes() -> None:
    a, b = scriptc.tensor([1.0]), scriptc.tensor([2.0])
    results: list[tuple[Any, str | None]] = [
        (b, None), ((b, a), None), ({"loss": a, "logits": b}, None), (SimpleNamespace(hidden=a, logits=b), None), ((a, {"x": b}), "1.x"),
        (Pair(a, b), "second"), ([a, b], "1"),
    ]
    for result, name in results:
        assert part_of(result, name) is b
    with pytest.raises(TrainingError, match=r"R0214.*'scores'; it has x, y"):
        part_of({"x": a, "y": b}, "scores")
