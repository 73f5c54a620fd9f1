"""Padding, windows of images, resampling."""
import math

import __ops__ as ops
import torch
from torch.nn.modules.utils import _pair


def pad(input, pad, mode="constant", value=None):
    return ops.pad(input, 0 if value is None else value, *pad, mode=mode)


def pixel_shuffle(input, upscale_factor):
    return ops.pixel_shuffle(input, factor=upscale_factor)


def pixel_unshuffle(input, downscale_factor):
    return ops.pixel_unshuffle(input, factor=downscale_factor)


def channel_shuffle(input, groups):
    if input.shape[1] % groups != 0:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {input.shape[1]} channels and {groups} groups.")
    apart = input.reshape([input.shape[0], groups, input.shape[1] // groups] + list(input.shape[2:]))
    return apart.transpose(1, 2).reshape(input.shape)


native_channel_shuffle = channel_shuffle


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    kernel, dilation, padding, stride = _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    if input.dim() == 3:
        return unfold(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    n, c = input.shape[0], input.shape[1]
    padded = pad(input, (padding[1], padding[1], padding[0], padding[0]))
    reach = [(kernel[i] - 1) * dilation[i] + 1 for i in range(2)]
    windows = padded.unfold(2, reach[0], stride[0]).unfold(3, reach[1], stride[1])
    if dilation != (1, 1):
        windows = windows[:, :, :, :, ::dilation[0], ::dilation[1]]
    blocks = windows.shape[2] * windows.shape[3]
    return windows.permute(0, 1, 4, 5, 2, 3).reshape(n, c * kernel[0] * kernel[1], blocks)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    size, kernel, dilation, padding, stride = _pair(output_size), _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    if input.dim() == 2:
        return fold(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    places = []
    for i in range(2):
        count = (size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        places.append(torch.arange(kernel[i]).unsqueeze(1) * dilation[i] + torch.arange(count) * stride[i])
    height, width = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    cells = places[0][:, None, :, None] * width + places[1][None, :, None, :]
    n, c = input.shape[0], input.shape[1] // (kernel[0] * kernel[1])
    blocks = places[0].shape[1] * places[1].shape[1]
    if input.shape[2] != blocks:
        raise RuntimeError(f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, expected "
                           f"size of input's dimension 2 to match the calculated number of sliding blocks {blocks}, but got {input.shape[2]}.")
    flat = torch.zeros(n, c, height * width, dtype=input.dtype).index_add(2, cells.reshape(-1), input.reshape(n, c, -1))
    image = flat.reshape(n, c, height, width)
    return image[:, :, padding[0]:height - padding[0], padding[1]:width - padding[1]]


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, antialias=False):
    count = input.dim() - 2
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    for given in (size, scale_factor):
        if isinstance(given, (tuple, list)) and len(given) != count:
            raise ValueError(f"Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
                             f"{list(input.shape[2:])} and {given}.")
    if size is not None:
        sizes = [size] * count if isinstance(size, int) else list(size)
        scales = None
    else:
        factors = [float(scale_factor)] * count if isinstance(scale_factor, (int, float)) else [float(f) for f in scale_factor]
        sizes = [_scaled(input.shape[2 + i], factors[i]) for i in range(count)]
        scales = None if recompute_scale_factor else tuple(factors)
    return ops.interpolate(input, *sizes, mode=mode, align_corners=bool(align_corners), scale_factors=scales,
                           antialias=bool(antialias))


def _scaled(size, factor):
    if factor == int(factor):
        return size * int(factor)
    return int(math.floor(float(size) * factor))


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    return interpolate(input, size, scale_factor, mode, align_corners)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    return ops.grid_sample(input, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners))


def upsample_nearest(input, size=None, scale_factor=None):
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    return interpolate(input, size, scale_factor, "bilinear", True)


def _steps(count, align_corners, dtype):
    """Where the pixels of one dimension lie between -1 and 1."""
    if count <= 1:
        return torch.zeros(count, dtype=dtype)
    steps = torch.linspace(-1, 1, count, dtype=dtype)
    return steps if align_corners else steps * ((count - 1) / count)


def affine_grid(theta, size, align_corners=None):
    sizes = list(size)
    n = sizes[0]
    places = [_steps(s, bool(align_corners), theta.dtype) for s in reversed(sizes[2:])]
    count = len(places)
    spread = []
    for i, place in enumerate(places):
        shape = [1] * count
        shape[count - 1 - i] = -1
        spread.append(place.reshape(shape).expand(sizes[2:]))
    spread.append(torch.ones(sizes[2:], dtype=theta.dtype))
    base = torch.stack(spread, -1).reshape(1, -1, count + 1).expand(n, -1, -1)
    return torch.bmm(base, theta.transpose(1, 2)).reshape([n] + sizes[2:] + [count])
