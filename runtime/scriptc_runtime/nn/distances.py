"""Distances, similarities and unit lengths (torch.nn.functional)."""
from __future__ import annotations

from typing import Any

from scriptc_runtime.composite import composite
from scriptc_runtime.tensor import Tensor


@composite("input")
def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(|input|, eps), the p-norm along `dim`"""
    made: Tensor = input / input.norm(p=float(p), dims=(dim,), keepdim=True).clamp(eps, None)
    return made


@composite("x1", "x2")
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`; the tensors are broadcast"""
    a, b = x1 + x2 * 0.0, x2 + x1 * 0.0
    lengths = a.norm(p=2.0, dims=(dim,)).clamp(eps, None) * b.norm(p=2.0, dims=(dim,)).clamp(eps, None)
    made: Tensor = (a * b).sum(dim) / lengths
    return made


@composite("x1", "x2")
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension"""
    made: Tensor = (x1 - x2 + eps).norm(p=float(p), dims=(-1,), keepdim=keepdim)
    return made
