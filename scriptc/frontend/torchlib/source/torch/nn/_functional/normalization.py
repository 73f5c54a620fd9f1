"""Normalisation."""
import __ops__ as ops
import torch
from torch.nn._functional.pooling import avg_pool2d, avg_pool3d
from torch.nn._functional.vision import pad


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if not training:
        return ops.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    count = input.numel() // input.shape[1]
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
    result, mean, var = ops.batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None:
        running_mean.copy_(running_mean * (1 - momentum) + mean.detach() * momentum)
        unbiased = var.detach() * (float(count) / float(count - 1))
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
    return result


def _check_last_sizes(input, normalized_shape):
    """RuntimeError unless the input ends in these sizes."""
    count = len(normalized_shape)
    if count == 0:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element")
    for i in range(count):
        if input.size(i - count) != normalized_shape[i]:
            raise RuntimeError(f"Given normalized_shape={list(normalized_shape)}, expected input with shape [*, "
                               f"{', '.join(str(n) for n in normalized_shape)}], but size {i - count} of the input is {input.size(i - count)}")


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    if weight is None:      # a weight's own sizes are checked against the input's
        _check_last_sizes(input, normalized_shape)
    return ops.layer_norm(input, weight, bias, axes=len(normalized_shape), eps=eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    if weight is None:
        _check_last_sizes(input, normalized_shape)
    if eps is None:
        eps = torch.finfo(input.dtype).eps
    return ops.rms_norm(input, weight, axes=len(normalized_shape), eps=eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    return ops.group_norm(input, weight, bias, groups=num_groups, eps=eps)


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    if not use_input_stats:
        return ops.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    if running_mean is not None:
        places = list(range(2, input.dim()))
        with torch.no_grad():
            running_mean.copy_(running_mean * (1 - momentum) + input.mean(places).mean(0) * momentum)
            running_var.copy_(running_var * (1 - momentum) + input.var(places).mean(0) * momentum)
    if weight is not None:
        return ops.group_norm(input, weight, bias, groups=weight.shape[0], eps=eps)
    result = ops.layer_norm(input, None, None, axes=input.dim() - 2, eps=eps)
    return result if bias is None else result + bias.reshape([-1] + [1] * (input.dim() - 2))


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    squares = (input * input).unsqueeze(1)
    if input.dim() == 3:
        squares = pad(squares, (0, 0, size // 2, (size - 1) // 2))
        squares = avg_pool2d(squares, (size, 1), stride=1).squeeze(1)
    else:
        flat = squares.reshape(input.shape[0], 1, input.shape[1], input.shape[2], -1)
        flat = pad(flat, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        squares = avg_pool3d(flat, (size, 1, 1), stride=1).reshape(input.shape)
    return input / (squares * alpha + k) ** beta
