"""Causal masks for queries and keys of different length, as bool masks: True may attend."""
from enum import IntEnum

import torch


class CausalVariant(IntEnum):
    UPPER_LEFT = 1
    LOWER_RIGHT = 2


def causal_upper_left(*size):
    if len(size) != 2:
        raise RuntimeError("causal_upper_left only supports 2D tensors")
    return torch.ones(size[0], size[1], dtype=torch.bool).tril()


def causal_lower_right(*size):
    if len(size) != 2:
        raise RuntimeError("causal_lower_right only supports 2D tensors")
    return torch.ones(size[0], size[1], dtype=torch.bool).tril(diagonal=size[1] - size[0])
