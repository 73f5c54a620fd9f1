"""Dropout."""
import torch
from __random__ import dropout_with_state
from torch.nn._functional.activation import _store


def _check(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropout(input, p, training, inplace, feature):
    _check(p)
    if not training or p == 0.0:
        return input
    return _store(input, dropout_with_state(input, p, feature), inplace)


def _feature_dropout(input, p, training, inplace, batched):
    """Whole channels [N, C, *]; an input without a batch is one of a batch."""
    if input.dim() == batched:
        return _dropout(input, p, training, inplace, 1)
    if not training or p == 0.0:
        return _dropout(input, p, training, inplace, 1)
    return _store(input, _dropout(input.unsqueeze(0), p, True, False, 1).squeeze(0), inplace)


def dropout(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 0)


def dropout1d(input, p=0.5, training=True, inplace=False):
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to provide "
                           "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension "
                           "(i.e. 2D or 3D inputs).")
    return _feature_dropout(input, p, training, inplace, 3)


def dropout2d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)     # 3D inputs are [N, C, L], as torch has it


def dropout3d(input, p=0.5, training=True, inplace=False):
    return _feature_dropout(input, p, training, inplace, 5) if input.dim() in (4, 5) else _dropout(input, p, training, inplace, 1)


def _alpha_dropout(input, p, training, inplace, shape):
    """Klambauer et al. 2017: what is dropped becomes selu's lower limit, and mean and variance are restored."""
    _check(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return _store(input, torch.zeros_like(input), inplace)
    limit = -1.7580993408473766
    a = (1.0 / ((limit * limit * p + 1) * (1 - p))) ** 0.5
    kept = torch.empty(shape, dtype=input.dtype).bernoulli_(1 - p)
    return _store(input, input * (kept * a) + ((1 - kept) * (limit * a) - limit * a * p), inplace)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    return _alpha_dropout(input, p, training, inplace, input.shape)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    shape = list(input.shape[:2]) + [1] * (input.dim() - 2)
    return _alpha_dropout(input, p, training, inplace, shape)
