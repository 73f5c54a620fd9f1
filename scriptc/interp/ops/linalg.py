"""Matrix products."""
from __future__ import annotations

import numpy as np

from scriptc.interp.registry import reference, widened


@reference
@widened
def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(np.matmul(a, b))
    except ValueError:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape} and {b.shape})") from None


@reference
@widened
def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    product = matmul(x, weight.T)
    return product if bias is None else product + bias


@reference
@widened
def einsum(*xs: np.ndarray, equation: str) -> np.ndarray:
    return np.asarray(np.einsum(equation.replace(" ", ""), *xs, optimize=len(xs) > 2))


@reference
@widened
def cdist(a: np.ndarray, b: np.ndarray, *, p: float) -> np.ndarray:
    difference = np.abs(a[..., :, None, :] - b[..., None, :, :])
    if p == 2:
        return np.asarray(np.sqrt((difference**2).sum(-1)))
    if p == np.inf:
        return np.asarray(difference.max(-1, initial=0))
    if p == 0:
        return np.asarray((difference != 0).sum(-1)).astype(a.dtype)
    return np.asarray((difference**p).sum(-1) ** (1 / p)).astype(a.dtype)
