"""Attention by `scaled_dot_product_attention`, without the package's choice among kernels of devices: keys and values are always repeated for
grouped queries, and keys beyond a causal mask stay, since it gives them no weight.
"""
import torch


def repeat_kv(hidden_states, n_rep):
    batch, num_key_value_heads, slen, head_dim = hidden_states.shape
    if n_rep == 1:
        return hidden_states
    hidden_states = hidden_states[:, :, None, :, :].expand(batch, num_key_value_heads, n_rep, slen, head_dim)
    return hidden_states.reshape(batch, num_key_value_heads * n_rep, slen, head_dim)


def use_gqa_in_sdpa(attention_mask, key, value):
    return False


def create_position_bias_mask(position_bias, attention_mask, is_causal, query, key):
    """The mask that adds `position_bias` where attention is allowed."""
    lowest = torch.finfo(key.dtype).min
    if attention_mask is not None:
        return torch.where(attention_mask, position_bias, lowest) if attention_mask.dtype == torch.bool else position_bias + attention_mask
    if is_causal:
        allowed = torch.arange(query.shape[2])[:, None] >= torch.arange(key.shape[2])[None, :]
        return torch.where(allowed[None, None], position_bias, lowest)
    return position_bias


def sdpa_attention_forward(module, query, key, value, attention_mask, dropout=0.0, scaling=None, is_causal=None, position_bias=None, **kwargs):
    if kwargs.get("softcap") is not None:
        raise ValueError("`sdpa` attention does not support `softcap`. Try using `eager`, `flex_attention`, or the few FA kernels supporting it")
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key = repeat_kv(key, groups)
        value = repeat_kv(value, groups)
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    is_causal = query.shape[2] > 1 and attention_mask is None and is_causal
    if position_bias is not None:
        attention_mask = create_position_bias_mask(position_bias, attention_mask, is_causal, query, key)
        is_causal = False
    output = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, dropout_p=dropout,
                                                              is_causal=is_causal, scale=scaling)
    return output.transpose(1, 2).contiguous(), None
