"""Pooling and its inverses."""
import __ops__ as ops
import torch


def _windows(value, count):
    value = (value,) * count if isinstance(value, int) else tuple(value)
    return value * count if len(value) == 1 else value


def _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, count):
    kernel_size = _windows(kernel_size, count)
    stride = kernel_size if stride is None or stride == [] or stride == () else _windows(stride, count)
    padding, dilation = _windows(padding, count), _windows(dilation, count)
    if return_indices:
        return ops.max_pool_with_indices(input, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation,
                                         ceil_mode=bool(ceil_mode))
    return ops.max_pool(input, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=bool(ceil_mode))


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 3)


def _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, count):
    kernel_size = _windows(kernel_size, count)
    stride = kernel_size if stride is None or stride == [] or stride == () else _windows(stride, count)
    return ops.avg_pool(input, kernel_size=kernel_size, stride=stride, padding=_windows(padding, count), ceil_mode=bool(ceil_mode),
                        count_include_pad=bool(count_include_pad), divisor_override=divisor_override)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2)


def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 3)


def max_pool1d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 1)


def max_pool2d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 2)


def max_pool3d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 3)


def _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, count):
    kernel_size = _windows(kernel_size, count)
    number = 1
    for k in kernel_size:
        number *= k
    powered = _avg_pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode, True, None, count)
    return (torch.sign(powered) * powered.abs()).mul(number).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def fractional_max_pool2d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
    raise NotImplementedError("fractional_max_pool2d: windows at random places")


def fractional_max_pool3d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
    raise NotImplementedError("fractional_max_pool3d: windows at random places")


def _max_unpool(input, indices, kernel_size, stride, padding, output_size, count):
    """Zeros with each element at the place in its plane that `indices` names."""
    kernel_size, padding = _windows(kernel_size, count), _windows(padding, count)
    stride = kernel_size if stride is None or stride == [] or stride == () else _windows(stride, count)
    given = input.shape[input.dim() - count:]
    sizes = [(given[i] - 1) * stride[i] + kernel_size[i] - 2 * padding[i] for i in range(count)]
    if output_size is not None:
        wanted = list(output_size)
        if len(wanted) == count + 2:
            wanted = wanted[2:]
        if len(wanted) != count:
            raise ValueError(f"output_size should be a sequence containing {count} or {count + 2} elements, but it has a length of '{len(wanted)}'")
        for i in range(count):
            if not sizes[i] - stride[i] < wanted[i] < sizes[i] + stride[i]:
                raise ValueError(f'invalid output_size "{wanted}"')
        sizes = wanted
    lead = list(input.shape[:input.dim() - count])
    plane = 1
    for s in sizes:
        plane = plane * s
    flat = torch.zeros(lead + [plane], dtype=input.dtype).scatter(-1, indices.reshape(lead + [-1]), input.reshape(lead + [-1]))
    return flat.reshape(lead + sizes)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 3)


def _adaptive_sizes(input, output_size, count):
    sizes = (output_size,) * count if output_size is None or isinstance(output_size, int) else tuple(output_size)
    return [input.shape[input.dim() - count + i] if s is None else s for i, s in enumerate(sizes)]


def adaptive_avg_pool1d(input, output_size):
    return ops.adaptive_avg_pool(input, *_adaptive_sizes(input, output_size, 1))


def adaptive_avg_pool2d(input, output_size):
    return ops.adaptive_avg_pool(input, *_adaptive_sizes(input, output_size, 2))


def adaptive_avg_pool3d(input, output_size):
    return ops.adaptive_avg_pool(input, *_adaptive_sizes(input, output_size, 3))


def _adaptive_max(input, output_size, return_indices, count):
    values, indices = ops.adaptive_max_pool(input, *_adaptive_sizes(input, output_size, count))
    return (values, indices) if return_indices else values


def adaptive_max_pool1d(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, return_indices, 1)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, return_indices, 2)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, return_indices, 3)


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, True, 1)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, True, 2)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    return _adaptive_max(input, output_size, True, 3)
