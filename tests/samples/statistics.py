"""Running extrema with ties and nan, groups of equal elements, counts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, normal


def by_name(name: str, **attributes: Any) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        import torch

        return getattr(torch, name)(*operands, **attributes)
    return call


def samples() -> list[Sample]:
    found: list[Sample] = []
    x, ties, nan = normal(3, 4), np.array([[2, 1, 2, 2], [0, 0, -1, 3]]), np.array([1.0, np.nan, 3.0, -np.inf])
    for name in ("cummax", "cummin"):
        found += [Sample(name, (x,), {"dim": d}, by_name(name, dim=d), True) for d in (0, -1)]
        found += [Sample(name, (v,), {"dim": -1}, by_name(name, dim=-1)) for v in (ties, nan)]
    found += [Sample("logcumsumexp", (x,), {"dim": d}, by_name("logcumsumexp", dim=d), True) for d in (0, 1)]
    found += [Sample("logcumsumexp", (np.array([-np.inf, 1.0, 300.0]),), {"dim": 0}, by_name("logcumsumexp", dim=0))]
    for keepdim in (False, True):
        found.append(Sample("mode", (ties.astype(np.float64),), {"dim": 1, "keepdim": keepdim},
                            by_name("mode", dim=1, keepdim=keepdim), True, differences=False))
    for dim in (None, 0, 1):
        options = {} if dim is None else {"dim": dim}
        found += [Sample("unique", (ties,), options, by_name("unique", return_inverse=True, return_counts=True, **options)),
                  Sample("unique", (ties,), {"consecutive": True, **options},
                         by_name("unique_consecutive", return_inverse=True, return_counts=True, **options))]
    found += [Sample("histc", (x,), {"bins": 5, "low": a, "high": b}, by_name("histc", bins=5, min=a, max=b)) for a, b in ((0.0, 0.0), (-1.0, 0.5))]
    found.append(Sample("repeated_positions", (np.array([2, 0, 1]),), {}, by_name("repeat_interleave")))
    counted = np.array([3, 1, 1, 0])
    found.append(Sample("weighted_bincount", (counted, normal(4)), {"minlength": 6}, by_name("bincount", minlength=6)))
    found.append(Sample("frexp", (np.array([0.3, -5.0, 0.0, 1024.0]),), {}, by_name("frexp"), True, differences=False))
    return found


SAMPLES = samples()
