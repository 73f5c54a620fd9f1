"""torch.special: the compositions; the others are bindings."""
import torch
from torch._composites.arithmetic import entr, log_ndtr, logit, ndtr, sinc
from torch._composites.arithmetic import mvlgamma as multigammaln


def softmax(input, dim, dtype=None):
    return torch.softmax(input, dim, dtype)


def log_softmax(input, dim, dtype=None):
    return torch.log_softmax(input, dim, dtype)


def logsumexp(input, dim, keepdim=False):
    return torch.logsumexp(input, dim, keepdim)
