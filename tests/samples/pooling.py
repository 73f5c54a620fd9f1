"""Pooling over windows with and without ceil_mode, padding, dilation, ties, nan, unbatched input; and to given sizes."""
from __future__ import annotations

import itertools

import numpy as np

from tests.samples import Sample, functional, normal


def windows() -> list[Sample]:
    found = []
    for (k, s, p), ceil, spatial in itertools.product(((2, 2, 0), (3, 2, 1), (2, 3, 1), (3, 1, 0)), (False, True), (1, 2, 3)):
        x = normal(2, 3, *(7, 6, 5)[:spatial])
        shared = {"kernel_size": (k,) * spatial, "stride": (s,) * spatial, "padding": (p,) * spatial, "ceil_mode": ceil}
        peak = {**shared, "dilation": (1,) * spatial}
        found += [
            Sample("max_pool", (x,), peak, functional(f"max_pool{spatial}d", **peak), True),
            Sample("max_pool_with_indices", (x,), peak, functional(f"max_pool{spatial}d", return_indices=True, **peak), True),
        ]
        for counted, divisor in ((True, None), (False, None), (True, 5)):
            if divisor and spatial == 1:
                continue
            average = {**shared, "count_include_pad": counted}
            torch_only = {"divisor_override": divisor} if spatial > 1 else {}
            meaning = functional(f"avg_pool{spatial}d", **average, **torch_only)
            found.append(Sample("avg_pool", (x,), {**average, "divisor_override": divisor}, meaning, True))
    return found


def corners() -> list[Sample]:
    """Uneven windows, dilation, ties, nan and -inf, integers, halves, no batch, no rows."""
    uneven = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (2, 3), "ceil_mode": True}
    plain = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "ceil_mode": False}
    special = normal(1, 2, 6, 6)
    special[0, 0, 1, 1], special[0, 1] = np.nan, -np.inf
    inputs = [(normal(2, 3, 9, 8), uneven), (np.round(normal(1, 2, 6, 6)), plain), (special, plain), (normal(3, 6, 6), plain),
              (normal(0, 3, 6, 6), plain), (normal(1, 2, 6, 6, dtype="float32"), plain), (normal(1, 2, 6, 6, dtype="bfloat16"), plain),
              (np.arange(36).reshape(1, 1, 6, 6) - 50, plain)]
    return [Sample("max_pool_with_indices", (x,), a, functional("max_pool2d", return_indices=True, **a)) for x, a in inputs]


def adaptive() -> list[Sample]:
    found = []
    for sizes, to in (((7,), (3,)), ((7, 6), (3, 6)), ((4, 5), (1, 1)), ((3, 3), (5, 4)), ((4, 5, 6), (2, 2, 3))):
        x = normal(2, 3, *sizes)
        found += [
            Sample("adaptive_avg_pool", (x, *to), {}, lambda t, *n: functional(f"adaptive_avg_pool{len(n)}d")(t, n), True),
            Sample("adaptive_max_pool", (x, *to), {},
                   lambda t, *n: functional(f"adaptive_max_pool{len(n)}d", return_indices=True)(t, n), True),
        ]
    return found


SAMPLES = windows() + corners() + adaptive()
