"""Resampling by every mode, up and down, by sizes and by scale factors; sampling at given places inside and outside."""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tests.samples import Sample, functional, normal

MODES = {1: ("nearest", "nearest-exact", "linear", "area"), 2: ("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
         3: ("nearest", "nearest-exact", "trilinear", "area")}
SIZES = {1: [((5,), (9,)), ((7,), (3,))], 2: [((4, 5), (7, 11)), ((6, 7), (3, 2)), ((3, 4), (1, 1))], 3: [((3, 4, 5), (6, 2, 7))]}


def interpolations() -> list[Sample]:
    found = []
    for spatial, modes in MODES.items():
        for mode, (sizes, to) in itertools.product(modes, SIZES[spatial]):
            interpolating = mode.endswith(("linear", "cubic"))
            for corners in (False, True) if interpolating else (False,):
                def call(x: Any, *n: Any, m: str = mode, c: Any = corners if interpolating else None) -> Any:
                    return functional("interpolate", size=n, mode=m, align_corners=c)(x)
                found.append(Sample("interpolate", (normal(2, 3, *sizes), *to), {"mode": mode, "align_corners": corners}, call, True))
    for mode, factor in itertools.product(("nearest", "bilinear", "bicubic"), (2.0, 1.7, 0.6)):
        sizes = tuple(int(s * factor) for s in (5, 6))

        def scaled(x: Any, *_: Any, m: str = mode, f: float = factor) -> Any:
            return functional("interpolate", scale_factor=f, mode=m, recompute_scale_factor=False)(x)
        found.append(Sample("interpolate", (normal(1, 2, 5, 6), *sizes), {"mode": mode, "scale_factors": (factor, factor)}, scaled, True))
    found += [Sample("interpolate", (normal(1, 2, 5, 6, dtype=d), 8, 9), {"mode": "bilinear"},
                     lambda x, *n: functional("interpolate", size=n, mode="bilinear")(x)) for d in ("float32", "bfloat16")]
    return found


def grids() -> list[Sample]:
    found = []
    grid = np.random.default_rng(5).uniform(-1.3, 1.3, (2, 4, 3, 2))
    for mode, padding, corners in itertools.product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True)):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        found.append(Sample("grid_sample", (normal(2, 3, 5, 6), grid), attributes, functional("grid_sample", **attributes), True))
    return found


SAMPLES = interpolations() + grids()
