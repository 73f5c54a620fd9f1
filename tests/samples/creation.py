"""Triangles of matrices: what of `creation` takes a tensor."""
from __future__ import annotations

import numpy as np

from tests.samples import Sample, normal


def samples() -> list[Sample]:
    found = []
    for name in ("tril", "triu"):
        for x in (normal(3, 4), normal(2, 4, 3), normal(0, 3, 3), normal(2, 0), np.arange(12).reshape(3, 4)):
            found += [Sample(name, (x, diagonal), {}, lambda x, d, name=name: getattr(x, name)(d), x.dtype.kind == "f")
                      for diagonal in (0, 1, -2, 9)]
    return found


SAMPLES = samples()
