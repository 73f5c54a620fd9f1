"""Dropout."""
import torch
from __random__ import dropout_with_state
from torch.nn._functional.activation import _store


def _dropout(input, p, training, inplace, feature):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    return _store(input, dropout_with_state(input, p, feature), inplace)


def dropout(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 0)


def dropout1d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def dropout2d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def dropout3d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def _alpha_dropout(input, p, training, inplace, shape):
    """Klambauer et al. 2017: what is dropped becomes selu's lower limit, and mean and variance are restored."""
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    limit = -1.7580993408473766
    if p == 1.0:
        return _store(input, torch.zeros_like(input), inplace)
    a = (1.0 / ((limit * limit * p + 1) * (1 - p))) ** 0.5
    kept = torch.empty(shape, dtype=input.dtype).bernoulli_(1 - p)
    return _store(input, input * (kept * a) + ((kept - 1) * (-limit * a) + (-limit * a * p)), inplace)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    return _alpha_dropout(input, p, training, inplace, input.shape)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    shape = list(input.shape[:2]) + [1] * (input.dim() - 2)
    return _alpha_dropout(input, p, training, inplace, shape)
