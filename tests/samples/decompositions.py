"""Decompositions of square, high, wide, batched and empty matrices, and systems solved with them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, normal


def linalg(name: str, **attributes: Any) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        import torch

        return getattr(torch.linalg, name)(*operands, **attributes)
    return call


def definite(*lead: int, side: int = 3) -> np.ndarray:
    """Symmetric matrices with eigenvalues well above 0."""
    x = normal(*lead, side, side)
    return x @ np.swapaxes(x, -1, -2) + np.eye(side)


def symmetric_cholesky(upper: bool) -> Callable[..., Any]:
    def call(x: Any) -> Any:
        import torch

        return torch.linalg.cholesky(x, upper=upper)
    return call


def samples() -> list[Sample]:
    found: list[Sample] = []

    def add(*parts: Any, **more: Any) -> None:
        found.append(Sample(*parts, **more))

    for upper in (False, True):
        # Differences would change one triangle alone; torch's gradient is the symmetric one.
        add("cholesky", (definite(2),), {"upper": upper}, symmetric_cholesky(upper), True, differences=False)
        add("eigh", (definite(),), {"upper": upper}, None)
    well = normal(2, 3, 3) + 3 * np.eye(3)
    for name, theirs in (("inverse", "inv"), ("determinant", "det"), ("log_determinant", "slogdet"), ("matrix_exp", "matrix_exp")):
        add(name, (well,), {}, linalg(theirs), True)
        add(name, (well[0].astype(np.float32),), {}, linalg(theirs))
        add(name, (np.zeros((0, 3, 3)),), {}, linalg(theirs))
    add("matrix_exp", (normal(3, 3) * 20,), {}, None)
    add("solve", (well, normal(2, 3, 4)), {}, linalg("solve"), True)
    add("solve", (well[0], normal(2, 3, 1)), {}, linalg("solve"), True)
    for upper in (False, True):
        for unit in (False, True):
            add("solve_triangular", (well, normal(3, 2)), {"upper": upper, "unitriangular": unit},
                linalg("solve_triangular", upper=upper, unitriangular=unit), True)
    for shape in ((4, 3), (3, 3), (2, 5, 2)):
        add("qr", (normal(*shape),), {}, None, True)
    for shape in ((3, 4), (4, 3), (0, 3), (3, 0)):
        add("qr", (normal(*shape),), {"complete": True}, None)
        add("svd", (normal(*shape),), {}, None)
        add("svd", (normal(*shape),), {"full_matrices": False}, None, 0 not in shape)
        add("pseudo_inverse", (normal(*shape),), {}, linalg("pinv"), 0 not in shape)
        add("singular_values", (normal(*shape),), {}, linalg("svdvals"), 0 not in shape)
        add("lu_factor", (normal(*shape),), {}, linalg("lu_factor") if 0 not in shape else None)
    add("svd", (normal(2, 3, 3),), {"full_matrices": True}, None, True)
    add("pseudo_inverse", (normal(4, 2) @ normal(2, 3),), {"rtol": 1e-9}, linalg("pinv", rtol=1e-9), True, differences=False)
    # One triangle is read, the gradient is symmetric: differences would see the half of it.
    add("eigh", (definite(2),), {}, linalg("eigh"), True, differences=False)
    return found


SAMPLES = samples()
