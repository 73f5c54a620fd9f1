"""torch.nn.functional, over the ops."""
import math

import __ops__ as ops
import torch
from __random__ import dropout_with_state
from torch.nn.modules.utils import _pair, _single, _triple


def _store(input, result, inplace):
    if inplace:
        return input.copy_(result)
    return result


def linear(input, weight, bias=None):
    return ops.linear(input, weight, bias)


def bilinear(input1, input2, weight, bias=None):
    result = torch.einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else result + bias


# Activations.

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
        raise NotImplementedError("rrelu in training mode")
    return _store(input, ops.leaky_relu(input, negative_slope=(lower + upper) / 2), inplace)


def prelu(input, weight):
    if weight.numel() != 1:
        weight = weight.reshape([1, -1] + [1] * (input.dim() - 2)) if input.dim() > 1 else weight
    return torch.where(input > 0, input, input * weight)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
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
    return ops.softsign(input)


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
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


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


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    return input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    dot = (x1 * x2).sum(dim)
    return dot / (x1.norm(2, dim).clamp_min(eps) * x2.norm(2, dim).clamp_min(eps))


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return (x1 - x2 + eps).norm(p, -1, keepdim)


# Dropout.

def _dropout(input, p, training, inplace, feature):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    return _store(input, dropout_with_state(input, p, feature), inplace)


def dropout(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 0)


def dropout1d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def dropout2d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def dropout3d(input, p=0.5, training=True, inplace=False):
    return _dropout(input, p, training, inplace, 1)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    if training and p > 0:
        raise NotImplementedError("alpha_dropout in training mode")
    return input


# Convolution.

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


# Pooling.

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


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    height, width = _pair(kernel_size)
    powered = avg_pool2d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (torch.sign(powered) * relu(torch.abs(powered))).mul(height * width).pow(1.0 / norm_type)


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


# Normalisation.

def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if not training:
        return ops.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    result, mean, var = ops.batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None:
        count = input.numel() // input.shape[1]
        running_mean.copy_(running_mean * (1 - momentum) + mean.detach() * momentum)
        unbiased = var.detach() * (float(count) / float(count - 1))
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
    return result


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    return ops.layer_norm(input, weight, bias, axes=len(normalized_shape), eps=eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    if eps is None:
        eps = torch.finfo(input.dtype).eps
    return ops.rms_norm(input, weight, axes=len(normalized_shape), eps=eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    return ops.group_norm(input, weight, bias, groups=num_groups, eps=eps)


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    if not use_input_stats:
        return ops.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    return ops.group_norm(input, weight, bias, groups=input.shape[1], eps=eps)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    squares = (input * input).unsqueeze(1)
    if input.dim() == 3:
        squares = pad(squares, (0, 0, size // 2, (size - 1) // 2))
        squares = avg_pool2d(squares, (size, 1), stride=1).squeeze(1)
    else:
        squares = pad(squares, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        squares = avg_pool3d(squares, (size, 1, 1), stride=1).squeeze(1)
    return input / (squares * alpha + k) ** beta


# Embedding, padding, resampling.

def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    if padding_idx is not None and padding_idx < 0:
        padding_idx = weight.shape[0] + padding_idx
    return ops.embedding(weight, input, padding_idx=padding_idx)


def one_hot(tensor, num_classes=-1):
    return ops.one_hot(tensor, num_classes)


def pad(input, pad, mode="constant", value=None):
    return ops.pad(input, 0 if value is None else value, *pad, mode=mode)


def pixel_shuffle(input, upscale_factor):
    return ops.pixel_shuffle(input, factor=upscale_factor)


def pixel_unshuffle(input, downscale_factor):
    return ops.pixel_unshuffle(input, factor=downscale_factor)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    kernel, dilation, padding, stride = _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    if dilation != (1, 1):
        raise NotImplementedError("unfold with dilation")
    n, c = input.shape[0], input.shape[1]
    padded = pad(input, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.permute(0, 1, 4, 5, 2, 3).reshape(n, c * kernel[0] * kernel[1], -1)


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, antialias=False):
    count = input.dim() - 2
    if antialias:
        raise NotImplementedError("interpolate with antialias")
    if size is not None:
        sizes = [size] * count if isinstance(size, int) else list(size)
        scales = None
    else:
        factors = [float(scale_factor)] * count if isinstance(scale_factor, (int, float)) else [float(f) for f in scale_factor]
        sizes = [_scaled(input.shape[2 + i], factors[i]) for i in range(count)]
        scales = None if recompute_scale_factor else tuple(factors)
    return ops.interpolate(input, *sizes, mode=mode, align_corners=bool(align_corners), scale_factors=scales)


def _scaled(size, factor):
    if factor == int(factor):
        return size * int(factor)
    return int(math.floor(float(size) * factor))


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    return interpolate(input, size, scale_factor, mode, align_corners)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    return ops.grid_sample(input, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners))


# Attention.

def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    if dropout_p == 0.0:
        return ops.scaled_dot_product_attention(query, key, value, attn_mask, causal=bool(is_causal), scale=scale)
    factor = 1.0 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * factor
    if is_causal:
        allowed = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
    return torch.matmul(dropout(softmax(scores, -1), dropout_p, True), value)


# Losses.

def _reduced(losses, reduction):
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    return losses


def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0):
    return ops.cross_entropy(input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    return ops.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    difference = input - target
    return _reduced(difference * difference, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    return _reduced((input - target).abs(), reduction)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    gap = (input - target).abs()
    if beta == 0:
        return _reduced(gap, reduction)
    return _reduced(torch.where(gap < beta, 0.5 * gap * gap / beta, gap - 0.5 * beta), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    gap = (input - target).abs()
    return _reduced(torch.where(gap <= delta, 0.5 * gap * gap, delta * (gap - 0.5 * delta)), reduction)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    losses = -(target * input.log().clamp_min(-100) + (1 - target) * (1 - input).log().clamp_min(-100))
    return _reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    if pos_weight is None:
        losses = (1 - target) * input - logsigmoid(input)
    else:
        losses = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return _reduced(losses if weight is None else losses * weight, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    if log_target:
        losses = target.exp() * (target - input)
    else:
        losses = torch.where(target > 0, target * (target.clamp_min(1e-38).log() - input), torch.zeros_like(target))
    if reduction == "batchmean":
        return losses.sum() / input.shape[0]
    return _reduced(losses, reduction)


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    return _reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    similarity = cosine_similarity(input1, input2, -1)
    return _reduced(torch.where(target > 0, 1 - similarity, (similarity - margin).clamp_min(0)), reduction)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"):
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced((near - far + margin).clamp_min(0), reduction)


def _in_projection(query, key, value, embed_dim, weight, bias):
    if key is value and query is key:
        projected = linear(query, weight, bias)
        return projected.chunk(3, -1)
    parts = weight.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return linear(query, parts[0], biases[0]), linear(key, parts[1], biases[1]), linear(value, parts[2], biases[2])


def multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v,
                                 add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None,
                                 need_weights=True, attn_mask=None, use_separate_proj_weight=False, q_proj_weight=None,
                                 k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True,
                                 is_causal=False):
    unbatched = query.dim() == 2
    if unbatched:
        query, key, value = query.unsqueeze(1), (key.unsqueeze(1)), (value.unsqueeze(1))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, embed = query.shape
    head = embed // num_heads
    if use_separate_proj_weight:
        biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = linear(query, q_proj_weight, biases[0]), linear(key, k_proj_weight, biases[1]), linear(value, v_proj_weight, biases[2])
    else:
        q, k, v = _in_projection(query, key, value, embed, in_proj_weight, in_proj_bias)
    if bias_k is not None:
        k = torch.cat([k, bias_k.repeat(1, batch, 1)])
        v = torch.cat([v, bias_v.repeat(1, batch, 1)])
    source = k.shape[0]
    q = q.reshape(length, batch, num_heads, head).permute(1, 2, 0, 3)
    k = k.reshape(source, batch, num_heads, head).permute(1, 2, 0, 3)
    v = v.reshape(source, batch, num_heads, head).permute(1, 2, 0, 3)
    mask = _attention_mask(attn_mask, key_padding_mask, batch, num_heads, length, source, q.dtype)
    if need_weights:
        scores = torch.matmul(q * (1.0 / math.sqrt(head)), k.transpose(-2, -1))
        if mask is not None:
            scores = scores + mask
        weights = dropout(softmax(scores, -1), dropout_p, training)
        result = torch.matmul(weights, v)
    else:
        causal = is_causal and mask is None
        result = scaled_dot_product_attention(q, k, v, mask, dropout_p if training else 0.0, causal)
    result = result.permute(2, 0, 1, 3).reshape(length, batch, embed)
    result = linear(result, out_proj_weight, out_proj_bias)
    if unbatched:
        result = result.squeeze(1)
    if not need_weights:
        return result, None
    if average_attn_weights:
        weights = weights.mean(1)
    return result, (weights.squeeze(0) if unbatched else weights)


def _attention_mask(attn_mask, key_padding_mask, batch, heads, length, source, dtype):
    """Both masks as one to be added: True in a bool mask means left out."""
    mask = None
    if attn_mask is not None:
        mask = _additive(attn_mask, dtype)
        if mask.dim() == 3:
            mask = mask.reshape(batch, heads, length, source)
    if key_padding_mask is not None:
        padding = _additive(key_padding_mask, dtype).reshape(batch, 1, 1, source)
        mask = padding if mask is None else mask + padding
    return mask


def _additive(mask, dtype):
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))
    return mask
