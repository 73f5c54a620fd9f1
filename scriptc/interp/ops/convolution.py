"""Convolutions by windows and matrix products."""
from __future__ import annotations

import math

import numpy as np

from scriptc.interp.registry import reference, widened

Ints = tuple[int, ...]


def windows(x: np.ndarray, kernel: Ints, stride: Ints, dilation: Ints) -> np.ndarray:
    """All windows of the last dimensions: [N, C, *S', *K], without a copy."""
    spatial = len(kernel)
    axes = tuple(range(2, 2 + spatial))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
    index = (slice(None), slice(None), *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    return np.asarray(seen[index])


def padded(x: np.ndarray, padding: Ints) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding))) if any(padding) else x


@reference
@widened
def convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, stride: Ints, padding: Ints, dilation: Ints,
                groups: int) -> np.ndarray:
    seen = windows(padded(x, padding), weight.shape[2:], stride, dilation)
    n, spatial = x.shape[0], weight.ndim - 2
    places = seen.shape[2:2 + spatial]
    out, per_group = weight.shape[0], weight.shape[1]
    # [N, G, C/G, *S', *K] -> [G, N * S', C/G * K]
    grouped = seen.reshape(n, groups, per_group, *places, *weight.shape[2:])
    order = (1, 0, *range(3, 3 + spatial), 2, *range(3 + spatial, 3 + 2 * spatial))
    reach = per_group * math.prod(weight.shape[2:])
    columns = grouped.transpose(order).reshape(groups, n * math.prod(places), reach)
    kernels = weight.reshape(groups, out // groups, reach)
    product = np.matmul(columns, kernels.transpose(0, 2, 1))
    result = product.reshape(groups, n, *places, out // groups)
    result = np.ascontiguousarray(result.transpose(1, 0, 2 + spatial, *range(2, 2 + spatial))).reshape(n, out, *places)
    if bias is not None:
        result = result + bias.reshape(1, -1, *(1,) * spatial)
    return np.asarray(result, x.dtype)


@reference
@widened
def convolution_input_gradient(g: np.ndarray, weight: np.ndarray, x: np.ndarray, *, stride: Ints, padding: Ints, dilation: Ints,
                               groups: int) -> np.ndarray:
    n = x.shape[0]
    whole = np.zeros((n, x.shape[1], *(s + 2 * p for s, p in zip(x.shape[2:], padding, strict=True))), g.dtype)
    places = g.shape[2:]
    per_group, out = weight.shape[1], weight.shape[0]
    rows = g.reshape(n, groups, out // groups, math.prod(places))
    for offset in np.ndindex(*weight.shape[2:]):
        kernel = weight[(slice(None), slice(None), *offset)].reshape(groups, out // groups, per_group)
        part = np.matmul(kernel.transpose(0, 2, 1), rows).reshape(n, x.shape[1], *places)
        index = tuple(slice(o * d, o * d + s * (p - 1) + 1, s) for o, d, s, p in zip(offset, dilation, stride, places, strict=True))
        whole[(slice(None), slice(None), *index)] += part
    cut = tuple(slice(p, p + s) for p, s in zip(padding, x.shape[2:], strict=True))
    return np.ascontiguousarray(whole[(slice(None), slice(None), *cut)])


@reference
@widened
def convolution_weight_gradient(g: np.ndarray, x: np.ndarray, weight: np.ndarray, *, stride: Ints, padding: Ints, dilation: Ints,
                                groups: int) -> np.ndarray:
    whole = padded(x, padding)
    n, places = x.shape[0], g.shape[2:]
    per_group, out = weight.shape[1], weight.shape[0]
    count = math.prod(places)
    rows = g.reshape(n, groups, out // groups, count).transpose(1, 2, 0, 3).reshape(groups, out // groups, n * count)
    result = np.empty(weight.shape, g.dtype)
    for offset in np.ndindex(*weight.shape[2:]):
        index = tuple(slice(o * d, o * d + s * (p - 1) + 1, s) for o, d, s, p in zip(offset, dilation, stride, places, strict=True))
        seen = whole[(slice(None), slice(None), *index)].reshape(n, groups, per_group, count)
        columns = seen.transpose(1, 0, 3, 2).reshape(groups, n * count, per_group)
        result[(slice(None), slice(None), *offset)] = np.matmul(rows, columns).reshape(out, per_group)
    return result


@reference
@widened
def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, stride: Ints, padding: Ints, output_padding: Ints,
                   dilation: Ints, groups: int) -> np.ndarray:
    sizes = tuple((s - 1) * st - 2 * p + d * (k - 1) + o + 1 for s, st, p, o, d, k in
                  zip(x.shape[2:], stride, padding, output_padding, dilation, weight.shape[2:], strict=True))
    like = np.empty((x.shape[0], weight.shape[1] * groups, *sizes), x.dtype)
    result = convolution_input_gradient(x, weight, like, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return result if bias is None else np.asarray(result + bias.reshape(1, -1, *(1,) * len(sizes)))
