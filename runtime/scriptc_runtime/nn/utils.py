"""Gradient clipping (torch.nn.utils)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from scriptc_runtime.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Any]) -> list[np.ndarray]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad.numpy() for p in listed if p.grad is not None]


def clip_grad_norm_(parameters: Tensor | Iterable[Any], max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; the norm they had. RuntimeError for a nan norm, if asked."""
    gradients = _gradients(parameters)
    norms = np.array([np.linalg.norm(g.ravel(), norm_type) for g in gradients], np.float32)
    total = np.float32(np.linalg.norm(norms, norm_type)) if gradients else np.float32(0)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
                           "clipped.")
    scale = np.float32(max_norm) / (total + np.float32(1e-6))
    if not scale >= 1:
        for gradient in gradients:
            gradient *= scale.astype(gradient.dtype)
    return Tensor(np.asarray(total))


def clip_grad_value_(parameters: Tensor | Iterable[Any], clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    for gradient in _gradients(parameters):
        np.clip(gradient, -clip_value, clip_value, out=gradient)
