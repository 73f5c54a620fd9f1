"""Gradient clipping, and parameters as one vector (torch.nn.utils)."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.registry import REGISTRY
from scriptc_runtime.device import host
from scriptc_runtime.eager import apply
from scriptc_runtime.tensor import Tensor


def _listed(tensors: Tensor | Iterable[Any]) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _elements(tensor: Any) -> np.ndarray:
    """The elements of a tensor, or of what makes one, in the host's memory."""
    return np.asarray(host(tensor._array) if isinstance(tensor, Tensor) else tensor)


def get_total_norm(tensors: Tensor | Iterable[Any], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all tensors as if they were one vector; any order, `inf` included.

    Half precision is summed in float32 and gives a float32 norm. RuntimeError for a norm that is inf or nan, if asked.
    """
    arrays = [_elements(t) for t in _listed(tensors)]
    norms = [_norm(a.ravel(), norm_type) for a in arrays if a.size]
    total = _norm(np.array(norms, np.result_type(*norms)), norm_type) if norms else np.float32(0)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
                           "clipped.")
    return Tensor(np.asarray(total))


def _norm(vector: np.ndarray, order: float) -> Any:
    """The norm of a vector in the dtype it is summed in."""
    wide = vector.astype(np.float32) if vector.dtype.itemsize < 4 else vector
    with np.errstate(all="ignore"):
        norm = np.linalg.norm(wide, order)
        if np.isinf(norm) and wide.dtype == np.float32:   # squares overflow long before the norm does
            norm = np.linalg.norm(wide.astype(np.float64), order)
        return wide.dtype.type(norm)


def _changed(gradient: Tensor, change: Callable[[np.ndarray], object]) -> None:
    """Let `change` write a gradient's elements; those on a device come to the host for it."""
    array = gradient._writable()
    if isinstance(array, np.ndarray):
        change(array)
        return
    elements = host(array)
    change(elements)
    gradient.copy_(elements)


def clip_grads_with_norm_(parameters: Tensor | Iterable[Any], max_norm: float, total_norm: Tensor) -> None:
    """Scale all gradients by max_norm / (total_norm + 1e-6), where that is below 1."""
    norm = _elements(total_norm)
    with np.errstate(all="ignore"):
        scale = norm.dtype.type(max_norm) / (norm + norm.dtype.type(1e-6))
        if not scale >= 1:
            for parameter in _listed(parameters):
                if parameter.grad is not None:
                    _changed(parameter.grad, lambda g: np.multiply(g, scale.astype(g.dtype), out=g))


def clip_grad_norm_(parameters: Tensor | Iterable[Any], max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; the norm they had.

    RuntimeError for a norm that is inf or nan, if asked; the gradients are left as they are then.
    """
    listed = _listed(parameters)
    total = get_total_norm([p.grad for p in listed if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Any], clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    for parameter in _listed(parameters):
        if parameter.grad is not None:
            _changed(parameter.grad, lambda g: np.clip(g, -clip_value, clip_value, out=g))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters, one after another, in one vector; on the tape."""
    parts: Sequence[Tensor] = [p.reshape(-1) for p in parameters]
    made: Tensor = apply(REGISTRY["cat"], parts, {"dim": 0})
    return made


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, the inverse of `parameters_to_vector`. CallError R0120 for another size."""
    vector, listed = _elements(vec), list(parameters)
    count = sum(p.numel() for p in listed)
    if vector.shape != (count,):
        raise CallError(diagnostic("R0120", message=f"vec has shape {list(vector.shape)}, expected {[count]}"))
    begin = 0
    for parameter in listed:
        end = begin + parameter.numel()
        parameter.copy_(vector[begin:end].reshape(parameter.shape))
        begin = end
