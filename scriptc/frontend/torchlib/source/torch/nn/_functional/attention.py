"""Scaled dot-product and multi-head attention."""
import math

import __ops__ as ops
import torch
from _scriptc import given
from torch.nn._functional.activation import softmax
from torch.nn._functional.dropout import dropout
from torch.nn._functional.linear import linear
from torch.nn._functional.vision import pad


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    # Both may be known at run time only: each case is a program of its own.
    if attn_mask is None:
        if is_causal:
            return _attend(query, key, value, None, dropout_p, True, scale, enable_gqa)
        return _attend(query, key, value, None, dropout_p, False, scale, enable_gqa)
    if is_causal:
        return _attend(query, key, value, given(attn_mask), dropout_p, True, scale, enable_gqa)
    return _attend(query, key, value, given(attn_mask), dropout_p, False, scale, enable_gqa)


def _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa):
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa and attn_mask is None and dropout_p == 0.0 and key.size(-3) == value.size(-3):
        # A head of keys and its queries as one more dimension: nothing is repeated in memory.
        grouped = query.unflatten(-3, (key.size(-3), query.size(-3) // key.size(-3)))
        result = ops.scaled_dot_product_attention(grouped, key.unsqueeze(-3), value.unsqueeze(-3), None, causal=bool(is_causal), scale=scale)
        return result.flatten(-4, -3)
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


def _in_projection_packed(q, k, v, w, b=None):
    if k is v and q is k:
        return linear(q, w, b).chunk(3, -1)
    parts = w.chunk(3)
    biases = (None, None, None) if b is None else b.chunk(3)
    return linear(q, parts[0], biases[0]), linear(k, parts[1], biases[1]), linear(v, parts[2], biases[2])


def _in_projection(q, k, v, w_q, w_k, w_v, b_q=None, b_k=None, b_v=None):
    return linear(q, w_q, b_q), linear(k, w_k, b_k), linear(v, w_v, b_v)


def _canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask that is added to scores: True in a bool mask means left out."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=target_type).masked_fill_(mask, float("-inf"))
    if not mask.is_floating_point():
        raise RuntimeError(f"only bool and floating types of {mask_name} are supported")
    return mask


def _none_or_dtype(input):
    if input is None:
        return None
    return input.dtype


def _heads(x, batch, heads, head):
    return x.reshape(x.shape[0], batch * heads, head).transpose(0, 1).reshape(batch, heads, x.shape[0], head)


def multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v,
                                 add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None,
                                 need_weights=True, attn_mask=None, use_separate_proj_weight=False, q_proj_weight=None,
                                 k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True,
                                 is_causal=False):
    if static_k is not None or static_v is not None:
        raise NotImplementedError("multi_head_attention_forward with static_k or static_v")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    unbatched = query.dim() == 2
    if unbatched:
        if query is key and key is value:
            query = key = value = query.unsqueeze(1)
        else:
            query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, embed = query.shape
    if embed != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}")
    head = embed // num_heads
    key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", None, "attn_mask", query.dtype)
    causal = is_causal and key_padding_mask is None and not need_weights
    attn_mask = None if causal else _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
    if use_separate_proj_weight:
        b_q, b_k, b_v = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = _in_projection(query, key, value, q_proj_weight, k_proj_weight, v_proj_weight, b_q, b_k, b_v)
    else:
        q, k, v = _in_projection_packed(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None and attn_mask.dim() == 2:
        attn_mask = attn_mask.unsqueeze(0)
    extra = 0
    if bias_k is not None and bias_v is not None:
        k = torch.cat([k, bias_k.repeat(1, batch, 1)])
        v = torch.cat([v, bias_v.repeat(1, batch, 1)])
        extra += 1
    if add_zero_attn:
        k = torch.cat([k, torch.zeros(1, batch, embed, dtype=k.dtype)])
        v = torch.cat([v, torch.zeros(1, batch, embed, dtype=v.dtype)])
        extra += 1
    if extra:
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, extra))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, extra))
    q, k, v = _heads(q, batch, num_heads, head), _heads(k, batch, num_heads, head), _heads(v, batch, num_heads, head)
    mask = None
    if attn_mask is not None:
        mask = attn_mask.unsqueeze(0) if attn_mask.shape[0] == 1 else attn_mask.reshape(batch, num_heads, length, k.shape[2])
    if key_padding_mask is not None:
        padding = key_padding_mask.reshape(batch, 1, 1, k.shape[2])
        mask = padding if mask is None else mask + padding
    dropout_p = dropout_p if training else 0.0
    if need_weights:
        scores = torch.matmul(q * math.sqrt(1.0 / float(head)), k.transpose(-2, -1))
        if mask is not None:
            scores = scores + mask
        weights = softmax(scores, -1)
        if dropout_p > 0.0:
            weights = dropout(weights, dropout_p)
        result = torch.matmul(weights, v)
    else:
        weights = None
        result = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    result = linear(result.permute(2, 0, 1, 3).reshape(length, batch, embed), out_proj_weight, out_proj_bias)
    if unbatched:
        result = result.squeeze(1)
    if weights is None:
        return result, None
    if average_attn_weights:
        weights = weights.mean(1)
    return result, (weights.squeeze(0) if unbatched else weights)
