"""Convolutions."""
import __ops__ as ops
from torch.nn._functional.vision import pad
from torch.nn.modules.utils import _pair, _single, _triple


def _same_padding(input, weight, stride, dilation, count):
    """padding='same': the total on each side, and what is left over on the right."""
    for s in stride:
        if s != 1:
            raise RuntimeError("padding='same' is not supported for strided convolutions")
    before, extra = [], []
    for i in range(count):
        total = dilation[i] * (weight.shape[2 + i] - 1)
        before.append(total // 2)
        extra.append(total - 2 * (total // 2))
    return tuple(before), extra


def _convolution(input, weight, bias, stride, padding, dilation, groups, count):
    tuples = (_single, _pair, _triple)[count - 1]
    stride, dilation = tuples(stride), tuples(dilation)
    if len(stride) != count:
        stride = stride * count
    if len(dilation) != count:
        dilation = dilation * count
    unbatched = input.dim() == count + 1
    if unbatched:
        input = input.unsqueeze(0)
    if isinstance(padding, str):
        if padding == "same":
            padding, extra = _same_padding(input, weight, stride, dilation, count)
            if any(extra):
                amounts = []
                for e in reversed(extra):
                    amounts += [0, e]
                input = pad(input, amounts)
        else:
            padding = (0,) * count
    padding = tuples(padding)
    if len(padding) != count:
        padding = padding * count
    result = ops.convolution(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return result.squeeze(0) if unbatched else result


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _convolution(input, weight, bias, stride, padding, dilation, groups, 3)


def _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, count):
    tuples = (_single, _pair, _triple)[count - 1]
    unbatched = input.dim() == count + 1
    if unbatched:
        input = input.unsqueeze(0)
    result = ops.conv_transpose(input, weight, bias, stride=tuples(stride), padding=tuples(padding),
                                output_padding=tuples(output_padding), dilation=tuples(dilation), groups=groups)
    return result.squeeze(0) if unbatched else result


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 1)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 2)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 3)
