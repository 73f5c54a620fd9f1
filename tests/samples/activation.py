"""Activations: ordinary numbers, the far tails with infinities and nan, a 0-d and an empty tensor, half types."""
from __future__ import annotations

import numpy as np

from tests.samples import Sample, functional, normal

# (op, its attributes, torch's name for it, torch's attributes)
ACTIVATIONS = (
    ("relu", {}, "relu", {}), ("sigmoid", {}, "sigmoid", {}), ("silu", {}, "silu", {}), ("gelu", {}, "gelu", {}),
    ("gelu", {"approximate": "tanh"}, "gelu", {"approximate": "tanh"}), ("softplus", {}, "softplus", {}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}, "softplus", {"beta": 2.0, "threshold": 1.0}), ("elu", {}, "elu", {}),
    ("elu", {"alpha": 0.5}, "elu", {"alpha": 0.5}), ("leaky_relu", {"negative_slope": 0.2}, "leaky_relu", {"negative_slope": 0.2}),
    ("hardtanh", {"min_value": -0.5, "max_value": 0.75}, "hardtanh", {"min_val": -0.5, "max_val": 0.75}),
    ("hardsigmoid", {}, "hardsigmoid", {}), ("hardswish", {}, "hardswish", {}), ("mish", {}, "mish", {}),
    ("logsigmoid", {}, "logsigmoid", {}), ("softsign", {}, "softsign", {}), ("hardshrink", {}, "hardshrink", {"lambd": 0.5}),
    ("softshrink", {"lambd": 0.25}, "softshrink", {"lambd": 0.25}),
    ("threshold", {"threshold": 0.1, "value": 3.0}, "threshold", {"threshold": 0.1, "value": 3.0}),
)


def samples() -> list[Sample]:
    found = []
    tails = np.array([-np.inf, -200.0, -1.0, -0.0, 0.0, 1.0, 200.0, np.inf, np.nan], np.float32)
    for op, attributes, name, others in ACTIVATIONS:
        meaning = functional(name, **others)
        # torch's gradient of hardsigmoid multiplies by a sixth in single precision, also for doubles.
        found.append(Sample(op, (normal(3, 4) * 2,), attributes, None if op == "hardsigmoid" else meaning, True))
        # torch's vectorised gelu gives nan at inf where its scalar one gives inf, as we do.
        finite = tails[np.abs(tails) != np.inf]
        found += [Sample(op, (x,), attributes, meaning) for x in (finite if op == "gelu" else tails, np.array(0.3), np.zeros((0, 2), np.float32))]
        found += [Sample(op, (normal(7, dtype=dtype),), attributes, meaning) for dtype in ("float16", "bfloat16")]
    for low, high in ((0.0, None), (-0.5, 0.75)):
        found.append(Sample("clamp_gradient", (normal(3, 4), normal(4, 4)[1:] * 2), {"low": low, "high": high}, None, True, (0,)))
        found.append(Sample("clamp_gradient", (np.arange(9, dtype=np.float32), tails), {"low": low, "high": high}))
    return found


SAMPLES = samples()
