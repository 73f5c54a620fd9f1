"""Dropout from an explicit state: what of `random` a gradient flows through."""
from __future__ import annotations

import numpy as np

from tests.samples import Sample, normal


def samples() -> list[Sample]:
    state = np.array((7, 5), np.uint64)
    return [Sample("dropout", (x, state), {"p": p, "feature": feature}, None, True, wrt=(0,))
            for x in (normal(4, 3, 5), normal(0, 3)) for p in (0.0, 0.3, 1.0) for feature in (0, 1)]


SAMPLES = samples()
