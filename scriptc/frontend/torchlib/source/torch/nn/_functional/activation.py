"""Activations."""
import __ops__ as ops
import torch


def _store(input, result, inplace):
    if inplace:
        return input.copy_(result)
    return result


def relu(input, inplace=False):
    return _store(input, ops.relu(input), inplace)


def relu_(input):
    return relu(input, True)


def relu6(input, inplace=False):
    return hardtanh(input, 0.0, 6.0, inplace)


def sigmoid(input):
    return input.sigmoid()


def tanh(input):
    return input.tanh()


def silu(input, inplace=False):
    return _store(input, ops.silu(input), inplace)


def gelu(input, approximate="none"):
    return ops.gelu(input, approximate=approximate)


def elu(input, alpha=1.0, inplace=False):
    return _store(input, ops.elu(input, alpha=alpha), inplace)


def selu(input, inplace=False):
    return _store(input, ops.elu(input, alpha=1.6732632423543772, scale=1.0507009873554805), inplace)


def celu(input, alpha=1.0, inplace=False):
    return _store(input, ops.elu(input, alpha=alpha, input_scale=1.0 / alpha), inplace)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    return _store(input, ops.leaky_relu(input, negative_slope=negative_slope), inplace)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    if training:
        slopes = torch.empty_like(input).uniform_(lower, upper)
        return _store(input, torch.where(input >= 0, input, input * slopes), inplace)
    return _store(input, ops.leaky_relu(input, negative_slope=(lower + upper) / 2), inplace)


def prelu(input, weight):
    if weight.numel() != 1:
        channels = input.shape[1] if input.dim() > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} and "
                               f"channel size = {channels}.")
        weight = weight.reshape([1, -1] + [1] * (input.dim() - 2)) if input.dim() > 1 else weight
    elif input.dim() == 0:
        weight = weight.reshape(())
    return torch.where(input > 0, input, input * weight)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    if not input.is_floating_point():
        return _store(input, input.clamp(int(min_val), int(max_val)), inplace)
    return _store(input, ops.hardtanh(input, min_value=min_val, max_value=max_val), inplace)


def hardswish(input, inplace=False):
    return _store(input, ops.hardswish(input), inplace)


def hardsigmoid(input, inplace=False):
    return _store(input, ops.hardsigmoid(input), inplace)


def mish(input, inplace=False):
    return _store(input, ops.mish(input), inplace)


def softplus(input, beta=1.0, threshold=20.0):
    return ops.softplus(input, beta=beta, threshold=threshold)


def softsign(input):
    return ops.softsign(input) if input.is_floating_point() else input / (input.abs() + 1)


def tanhshrink(input):
    return input - input.tanh()


def hardshrink(input, lambd=0.5):
    return ops.hardshrink(input, lambd=lambd)


def softshrink(input, lambd=0.5):
    return ops.softshrink(input, lambd=lambd)


def logsigmoid(input):
    return ops.logsigmoid(input)


def threshold(input, threshold, value, inplace=False):
    return _store(input, ops.threshold(input, threshold=threshold, value=value), inplace)


def glu(input, dim=-1):
    if input.size(dim) % 2 != 0:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.dim()} is size {input.size(dim)}")
    half = input.size(dim) // 2
    return input.narrow(dim, 0, half) * input.narrow(dim, half, half).sigmoid()


def _softmax_dim(dim, rank):
    if dim is None:
        return 0 if rank in (0, 1, 3) else 1
    return dim


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    if dtype is not None:
        input = input.to(dtype)
    return ops.softmax(input, dim=_softmax_dim(dim, input.dim()))


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    return softmax(-input, dim, _stacklevel, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    if dtype is not None:
        input = input.to(dtype)
    return ops.log_softmax(input, dim=_softmax_dim(dim, input.dim()))


def elu_(input, alpha=1.0):
    return elu(input, alpha, True)


def selu_(input):
    return selu(input, True)


def celu_(input, alpha=1.0):
    return celu(input, alpha, True)


def leaky_relu_(input, negative_slope=0.01):
    return leaky_relu(input, negative_slope, True)


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    return hardtanh(input, min_val, max_val, True)


def threshold_(input, threshold, value):
    return _store(input, ops.threshold(input, threshold=threshold, value=value), True)


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    return rrelu(input, lower, upper, training, True)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    noise = -(-torch.log1p(-torch.rand_like(logits))).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    picked = torch.zeros_like(logits).scatter_(dim, index, 1.0)
    return picked - soft.detach() + soft
