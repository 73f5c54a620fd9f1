"""Tensors filled at random by functions of the uniform and the normal distribution, or not filled."""
import math

import torch


def exponential_(input, lambd=1.0, generator=None):
    return input.copy_(torch.log1p(-torch.rand_like(input)) / -lambd)


def log_normal_(input, mean=1.0, std=2.0, generator=None):
    return input.copy_(torch.exp(torch.randn_like(input) * std + mean))


def cauchy_(input, median=0.0, sigma=1.0, generator=None):
    return input.copy_(torch.tan((torch.rand_like(input) - 0.5) * math.pi) * sigma + median)


def geometric_(input, p, generator=None):
    places = torch.log1p(-torch.rand(input.shape)) / math.log1p(-p)
    return input.copy_(places.ceil().clamp_min(1.0))


def randint_like(input, low, high=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    if high is None:
        low, high = 0, low
    return torch.randint(low, high, input.shape, dtype=input.dtype if dtype is None else dtype)


def empty_strided(size, stride, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    return torch.empty(size, dtype=dtype)


def empty_permuted(size, physical_layout, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    return torch.empty(size, dtype=dtype)


def new_empty_strided(input, size, stride, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    return torch.empty(size, dtype=input.dtype if dtype is None else dtype)
