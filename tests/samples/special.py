"""Special functions near their poles and far out, and the binary ones on signs, zeros and infinities."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, normal


def by_name(name: str, *before: Any) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        import torch

        function = getattr(torch, name, None) or getattr(torch.special, name)
        return function(*before, *operands)
    return call


SPREAD = np.array([-30.5, -4.5, -1.2, -0.4, 0.3, 0.9, 1.5, 2.0, 7.3, 40.0, 200.0])
POSITIVE = np.array([0.01, 0.3, 1.0, 1.5, 4.0, 11.0, 55.0])
POLES = np.array([0.0, -1.0, -2.0, np.inf, -np.inf, np.nan])
INNER = np.array([-0.99, -0.4, 0.0, 0.1, 0.7])
DOMAINS = {"asinh": SPREAD, "acosh": POSITIVE + 1, "atanh": INNER, "lgamma": SPREAD, "digamma": SPREAD, "erfcx": SPREAD[2:], "i0": SPREAD[:-1],
           "i0e": SPREAD, "i1": np.append(SPREAD[:-1], 0.0), "i1e": SPREAD, "ndtri": np.array([1e-20, 1e-5, 0.1, 0.5, 0.77, 0.999])}


def samples() -> list[Sample]:
    found = []
    for name, values in DOMAINS.items():
        found += [Sample(name, (values,), {}, by_name(name), True, differences=False),
                  Sample(name, (values.astype(np.float32),), {}, by_name(name))]
        if name in ("lgamma", "digamma", "ndtri", "atanh", "acosh"):
            found.append(Sample(name, (POLES,), {}, by_name(name)))
    found += [Sample("polygamma", (POSITIVE,), {"n": n}, by_name("polygamma", n), True, differences=False) for n in (1, 2, 3)]
    found.append(Sample("zeta", (POSITIVE + 1.5, POSITIVE[::-1].copy()), {}, by_name("zeta")))
    a, b = normal(3, 4), normal(4) + 0.1
    for name in ("hypot", "copysign", "logaddexp", "logaddexp2"):
        found += [Sample(name, (a, b), {}, by_name(name), True), Sample(name, (a.astype(np.float32), b.astype(np.float32)), {}, by_name(name))]
    for name in ("xlogy", "xlog1py"):
        found += [Sample(name, (a, np.abs(b) + 0.1), {}, by_name(name), True),
                  Sample(name, (np.array([0.0, 0.0, 1.0, -1.0]), np.array([0.0, np.nan, 0.0, 2.0])), {}, by_name(name))]
    found += [Sample("nextafter", (a.astype(np.float32), b.astype(np.float32)), {}, by_name("nextafter")),
              Sample("signbit", (np.array([-0.0, 0.0, -1.0, 2.0]),), {}, by_name("signbit")),
              Sample("signbit", (np.array([-3, 0, 4]),), {}, by_name("signbit"))]
    integers = np.array([12, -18, 0, 7])
    found += [Sample(name, (integers, np.array([8, 12, 5, 0])), {}, by_name(name)) for name in ("gcd", "lcm")]
    return found


SAMPLES = samples()
