"""Softmax and the normalisations."""
from __future__ import annotations

import numpy as np

from scriptc.interp.registry import reference, widened


@reference
@widened
def softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    if x.size == 0 or x.ndim == 0:
        return np.ones_like(x)
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(dim, keepdims=True))
        return np.asarray(e / e.sum(dim, keepdims=True))


@reference
@widened
def log_softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    if x.size == 0 or x.ndim == 0:
        return np.zeros_like(x)
    with np.errstate(all="ignore"):
        shifted = x - x.max(dim, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(dim, keepdims=True)))


@reference
@widened
def layer_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, axes: int, eps: float) -> np.ndarray:
    over = tuple(range(-axes, 0))
    with np.errstate(all="ignore"):
        centred = x - x.mean(over, keepdims=True)
        result = centred / np.sqrt((centred * centred).mean(over, keepdims=True) + x.dtype.type(eps))
    result = result if weight is None else result * weight
    return np.asarray(result if bias is None else result + bias)


@reference
@widened
def rms_norm(x: np.ndarray, weight: np.ndarray | None, *, axes: int, eps: float) -> np.ndarray:
    over = tuple(range(-axes, 0))
    result = x / np.sqrt((x * x).mean(over, keepdims=True) + x.dtype.type(eps))
    return np.asarray(result if weight is None else result * weight)


def channelwise(parameter: np.ndarray, x: np.ndarray) -> np.ndarray:
    return parameter.reshape(1, -1, *(1,) * (x.ndim - 2))


@reference
@widened
def batch_norm(x: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *,
               eps: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        result = (x - channelwise(mean, x)) / np.sqrt(channelwise(var, x) + x.dtype.type(eps))
    result = result if weight is None else result * channelwise(weight, x)
    return np.asarray(result if bias is None else result + channelwise(bias, x))


@reference
@widened
def batch_norm_train(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *,
                     eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if x.size // max(x.shape[1], 1) <= 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size torch.Size({list(x.shape)})")
    over = (0, *range(2, x.ndim))
    mean = x.mean(over, dtype=np.float64)
    var = ((x - channelwise(mean, x)) ** 2).mean(over)
    mean, var = mean.astype(x.dtype), var.astype(x.dtype)
    return batch_norm(x, mean, var, weight, bias, eps=eps), mean, var


@reference
@widened
def batch_norm_gradient(g: np.ndarray, x: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray | None, *,
                        eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    over, count = (0, *range(2, x.ndim)), x.size // max(x.shape[1], 1)
    with np.errstate(all="ignore"):
        inverse = 1 / np.sqrt(var + x.dtype.type(eps))
        normal = (x - channelwise(mean, x)) * channelwise(inverse, x)
        dweight, dbias = (g * normal).sum(over), g.sum(over)
        scale = inverse if weight is None else inverse * weight
        dx = channelwise(scale, x) * (g - channelwise(dbias, x) / count - normal * channelwise(dweight, x) / count)
    return np.asarray(dx, x.dtype), np.asarray(dweight, x.dtype), np.asarray(dbias, x.dtype)


@reference
@widened
def group_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, groups: int, eps: float) -> np.ndarray:
    grouped = x.reshape(x.shape[0], groups, x.size // (x.shape[0] * groups) if x.shape[0] else 0)
    centred = grouped - grouped.mean(2, keepdims=True)
    result = (centred / np.sqrt((centred * centred).mean(2, keepdims=True) + x.dtype.type(eps))).reshape(x.shape)
    result = result if weight is None else result * channelwise(weight, x)
    return np.asarray(result if bias is None else result + channelwise(bias, x))
