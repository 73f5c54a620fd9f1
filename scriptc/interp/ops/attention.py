"""Scaled dot-product attention."""
from __future__ import annotations

import math

import numpy as np

from scriptc.interp.ops.normalization import softmax
from scriptc.interp.registry import reference, widened


@reference
@widened
def scaled_dot_product_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, *, causal: bool,
                                 scale: float | None) -> np.ndarray:
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = np.matmul(q, k.swapaxes(-1, -2)) * q.dtype.type(factor)
    if causal:
        scores = np.where(np.tri(q.shape[-2], k.shape[-2], dtype=bool), scores, -np.inf).astype(q.dtype)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf).astype(q.dtype) if mask.dtype == bool else scores + mask
    weights = softmax(scores, dim=-1)
    if scores.size:
        weights = np.where(scores.max(-1, keepdims=True) == -np.inf, weights.dtype.type(0), weights)
    return np.asarray(np.matmul(weights, v))
