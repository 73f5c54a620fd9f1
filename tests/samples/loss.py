"""Classification losses: classes and probabilities, weights, classes left out, smoothing, reductions, planes of scores."""
from __future__ import annotations

import itertools

import numpy as np

from tests.samples import Sample, functional, normal


def samples() -> list[Sample]:
    found = []
    weight = np.abs(normal(4)) + 0.1
    shapes = {(): (4,), (5,): (5, 4), (2, 3): (2, 4, 3), (2, 3, 2): (2, 4, 3, 2)}
    for (lead, shape), w, reduction in itertools.product(shapes.items(), (None, weight), ("none", "mean", "sum")):
        x, target = normal(*shape), np.asarray(np.random.default_rng(len(lead)).integers(0, 4, lead))
        attributes = {"ignore_index": 2, "reduction": reduction}
        if not (lead == () and target == 2):
            logs = x - np.log(np.exp(x).sum(-1 if x.ndim == 1 else 1, keepdims=True))
            found.append(Sample("nll_loss", (logs, target, w), attributes, 
                                lambda a, b, c, k=attributes: functional("nll_loss", **k)(a, b, weight=c), True, (0,)))
        for smoothing in (0.0, 0.1):
            full = {**attributes, "label_smoothing": smoothing}
            probabilities = np.exp(normal(*shape))
            probabilities /= probabilities.sum(-1 if x.ndim == 1 else 1, keepdims=True)

            def meaning(a: object, b: object, c: object, k: dict[str, object] = full) -> object:
                return functional("cross_entropy", **k)(a, b, weight=c)
            found.append(Sample("cross_entropy", (x, target, w), full, meaning, True, (0,)))
            soft = {"reduction": reduction, "label_smoothing": smoothing}

            def soft_meaning(a: object, b: object, c: object, k: dict[str, object] = soft) -> object:
                return functional("cross_entropy", **k)(a, b, weight=c)
            found.append(Sample("cross_entropy", (x, probabilities, w), soft, soft_meaning, True, (0, 1)))
    ignored = np.full(3, -100)
    found += [Sample("cross_entropy", (normal(3, 4), ignored, None), {}, functional("cross_entropy")),
              Sample("cross_entropy", (normal(0, 4), np.zeros(0, int), None), {}, functional("cross_entropy")),
              Sample("nll_loss", (normal(3, 4), ignored, None), {}, functional("nll_loss"))]
    for dtype in ("float32", "bfloat16"):
        found.append(Sample("cross_entropy", (normal(5, 4, dtype=dtype), np.array([0, 1, 2, 3, 0]), None), {}, functional("cross_entropy")))
    logs = normal(6, 3, 5) - np.log(np.exp(normal(6, 3, 5)).sum(-1, keepdims=True))
    labels = np.array([[1, 1, 2], [3, 4, 1], [2, 0, 0]])
    for lengths, blank in (((6, 5, 4), 0), ((6, 6, 3), 4)):
        operands = (logs, labels if blank == 0 else labels % 4, np.array(lengths), np.array([3, 2, 1]))
        found.append(Sample("ctc_loss", operands, {"blank": blank}, functional("ctc_loss", blank=blank, reduction="none"), True, (0,),
                            differences=False))
    found.append(Sample("ctc_loss", (logs, np.array([[1, 1, 1]] * 3), np.array([4, 5, 6]), np.array([3, 3, 0])), {},
                        functional("ctc_loss", reduction="none")))
    return found


SAMPLES = samples()
