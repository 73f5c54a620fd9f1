"""Scaled dot-product attention: masks of both kinds, causal, scales, heads that broadcast, rows that see nothing."""
from __future__ import annotations

import numpy as np

from tests.samples import Sample, functional, normal


def samples() -> list[Sample]:
    found = []
    chosen = np.random.default_rng(3).random((5, 7)) < 0.7
    chosen[:, 0] = True
    partial = chosen.copy()
    partial[2] = False   # a row that sees nothing
    bias = np.where(partial, normal(5, 7), -np.inf)
    for lead, mask, causal, scale in (((2, 3), None, False, None), ((2, 3), None, True, None), ((), None, False, 0.3),
                                      ((2, 3), chosen, False, None), ((2,), normal(2, 5, 7), False, None), ((2, 3), normal(1, 7), False, 1.0),
                                      ((2, 3), partial, False, None), ((2,), bias, False, None),
                                      ((0, 2), None, False, None)):
        operands = (normal(*lead, 5, 4), normal(*lead, 7, 4), normal(*lead, 7, 6), mask)
        meaning = functional("scaled_dot_product_attention", is_causal=causal, scale=scale)
        found.append(Sample("scaled_dot_product_attention", operands, {"causal": causal, "scale": scale}, meaning, 0 not in lead))
    for dtype in ("float32", "float16", "bfloat16"):
        operands = (normal(2, 5, 4, dtype=dtype), normal(2, 7, 4, dtype=dtype), normal(2, 7, 6, dtype=dtype), None)
        found.append(Sample("scaled_dot_product_attention", operands, {}, functional("scaled_dot_product_attention")))
    return found


SAMPLES = samples()
