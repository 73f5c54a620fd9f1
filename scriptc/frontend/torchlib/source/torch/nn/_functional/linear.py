"""Linear maps."""
import __ops__ as ops
import torch


def linear(input, weight, bias=None):
    return ops.linear(input, weight, bias)


def bilinear(input1, input2, weight, bias=None):
    result = torch.einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else result + bias
