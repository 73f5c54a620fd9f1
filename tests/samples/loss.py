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
    return found


SAMPLES = samples()
