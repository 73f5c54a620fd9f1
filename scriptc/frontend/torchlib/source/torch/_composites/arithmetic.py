"""Elementwise compositions."""
import math

import torch


def _floating(input):
    return input if input.is_floating_point() or input.is_complex() else input.to(torch.get_default_dtype())


def _real(input, name):
    if input.is_complex():
        raise NotImplementedError(f"{name} of a complex tensor is not supported")
    return input


def deg2rad(input):
    return _floating(input) * (math.pi / 180.0)


def rad2deg(input):
    return _floating(input) * (180.0 / math.pi)


def sinc(input):
    input = _floating(input)
    zero = input == 0
    angle = torch.where(zero, 1.0, input) * math.pi
    return torch.where(zero, 1.0, angle.sin() / angle)


def logit(input, eps=None):
    input = _floating(input)
    if eps is not None:
        input = input.clamp(eps, 1.0 - eps)
    return torch.log(input / (1.0 - input))


def heaviside(input, values):
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return torch.where(input == 0, values, torch.where(input > 0, 1, 0).to(input.dtype))


def positive(input):
    if input.dtype == torch.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def conj(input):
    return _real(input, "conj")


def resolve_conj(input):
    return input


def resolve_neg(input):
    return input


def conj_physical(input):
    return _real(input, "conj_physical")


def real(input):
    return _real(input, "real")


def isreal(input):
    return torch.ones_like(_real(input, "isreal"), dtype=torch.bool)


def isposinf(input):
    return input == math.inf if input.is_floating_point() else torch.zeros_like(input, dtype=torch.bool)


def isneginf(input):
    return input == -math.inf if input.is_floating_point() else torch.zeros_like(input, dtype=torch.bool)


def angle(input):
    input = _floating(_real(input, "angle"))
    turned = torch.where(input < 0, math.pi, 0.0).to(input.dtype)
    return torch.where(input.isnan(), input, turned)


def mvlgamma(input, p):
    input = _floating(input)
    total = 0.25 * p * (p - 1) * math.log(math.pi)
    for k in range(p):
        total = total + torch.lgamma(input - 0.5 * k)
    return total


def entr(input):
    input = _floating(input)
    inside = -torch.xlogy(input, input)
    return torch.where(input < 0, -math.inf, inside)


def ndtr(input):
    return 0.5 * torch.erfc(_floating(input) * (-1.0 / math.sqrt(2.0)))


def log_ndtr(input):
    input = _floating(input)
    scaled = input * (1.0 / math.sqrt(2.0))
    low = input < -1.0
    tail = torch.log(torch.special.erfcx(torch.where(low, -scaled, 1.0)) * 0.5) - scaled * scaled
    body = torch.log1p(-torch.erfc(torch.where(low, 1.0, scaled)) * 0.5)
    return torch.where(low, tail, body)


def isin(elements, test_elements, assume_unique=False, invert=False):
    if not isinstance(elements, torch.Tensor):
        elements = torch.tensor(elements)
    if not isinstance(test_elements, torch.Tensor):
        test_elements = torch.tensor(test_elements)
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


def addr(input, vec1, vec2, beta=1, alpha=1):
    product = torch.outer(vec1, vec2)
    kind = torch.result_type(input, product)
    if kind == torch.bool:
        scaled = product if alpha else torch.zeros_like(product)
        return (input | scaled) if beta else scaled.expand_as(input | scaled)
    if not kind.is_floating_point:
        alpha, beta = int(alpha), int(beta)
    product = product.to(kind) * alpha
    return product if beta == 0 else input.to(kind) * beta + product


def addbmm(input, batch1, batch2, beta=1, alpha=1):
    product = torch.bmm(batch1, batch2).sum(0).to(input.dtype)
    if not input.is_floating_point():
        alpha, beta = int(alpha), int(beta)
    return input * beta + product * alpha if beta != 0 else product * alpha + torch.zeros_like(input)


def dist(input, other, p=2):
    return torch.linalg.vector_norm((input - other).reshape(-1), p)


def renorm(input, p, dim, maxnorm):
    others = [d for d in range(input.dim()) if d != dim % input.dim()]
    norms = torch.linalg.vector_norm(input, p, others, keepdim=True)
    factor = torch.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
    return input * factor
