"""The operations as modules."""
import torch
from torch import nn

from einops.patterns import ELLIPSIS, EinopsError, _groups, einsum, rearrange, reduce


class Rearrange(nn.Module):
    def __init__(self, pattern, **axes_lengths):
        super().__init__()
        self.pattern = pattern
        self.axes_lengths = axes_lengths

    def forward(self, input):
        return rearrange(input, self.pattern, **self.axes_lengths)

    def extra_repr(self):
        return ", ".join([repr(self.pattern)] + [name + "=" + str(size) for name, size in self.axes_lengths.items()])


class Reduce(nn.Module):
    def __init__(self, pattern, reduction, **axes_lengths):
        super().__init__()
        self.pattern = pattern
        self.reduction = reduction
        self.axes_lengths = axes_lengths

    def forward(self, input):
        return reduce(input, self.pattern, self.reduction, **self.axes_lengths)

    def extra_repr(self):
        return ", ".join([repr(self.pattern), repr(self.reduction)] + [name + "=" + str(size) for name, size in self.axes_lengths.items()])


class EinMix(nn.Module):
    """einsum with a weight, between a rearrangement before and one after it."""

    def __init__(self, pattern, weight_shape, bias_shape=None, **axes_lengths):
        super().__init__()
        self.pattern = pattern
        self.weight_shape = weight_shape
        self.bias_shape = bias_shape
        self.axes_lengths = axes_lengths
        left_text, right_text = pattern.split("->")
        anonymous = {}
        left = _groups(left_text, pattern, anonymous)
        right = _groups(right_text, pattern, anonymous)
        weight = [n for g in _groups(weight_shape, pattern, anonymous) for n in g]
        flat_left = [n for g in left for n in g]
        flat_right = [n for g in right for n in g]
        self.pre = None
        self.post = None
        if any(len(g) != 1 for g in left):
            self.pre = (left_text + "->" + " ".join(flat_left), {n: axes_lengths[n] for n in flat_left if n in axes_lengths})
        if any(len(g) != 1 for g in right):
            self.post = (" ".join(flat_right) + "->" + right_text, {n: axes_lengths[n] for n in flat_right if n in axes_lengths})
        self.einsum_pattern = " ".join(flat_left) + ", " + " ".join(weight) + " -> " + " ".join(flat_right)
        fan_in = 1
        for name in weight:
            if name not in axes_lengths:
                raise EinopsError("Dimension " + name + " of weight should be specified")
            if name in flat_left and name not in flat_right:
                fan_in = fan_in * axes_lengths[name]
        bound = (3 / fan_in) ** 0.5
        self.weight = nn.Parameter(torch.zeros([axes_lengths[n] for n in weight]).uniform_(-bound, bound))
        if bias_shape is not None:
            names = [n for g in _groups(bias_shape, pattern, anonymous) for n in g]
            shape = [axes_lengths[n] if n in names else 1 for n in flat_right if n != ELLIPSIS]
            self.bias = nn.Parameter(torch.zeros(shape).uniform_(-((1 / fan_in) ** 0.5), (1 / fan_in) ** 0.5))
        else:
            self.bias = None

    def forward(self, input):
        if self.pre is not None:
            input = rearrange(input, self.pre[0], **self.pre[1])
        result = einsum(input, self.weight, self.einsum_pattern)
        if self.bias is not None:
            result = result + self.bias
        if self.post is not None:
            result = rearrange(result, self.post[0], **self.post[1])
        return result
