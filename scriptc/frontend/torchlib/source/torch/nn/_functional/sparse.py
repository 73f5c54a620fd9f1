"""Embedding tables."""
import __ops__ as ops
import torch


def _row_of(padding_idx, weight):
    """A padding index as a row, counted from the front."""
    if padding_idx is None:
        return None
    rows = weight.shape[0]
    if padding_idx >= rows or padding_idx < -rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx + rows if padding_idx < 0 else padding_idx


def _renormalise(weight, input, max_norm, norm_type):
    """Scale down, in place, the rows that `input` names and whose norm is above `max_norm`; gradients pass as if it had been so."""
    with torch.no_grad():
        norms = weight.norm(norm_type, 1)
        named = torch.zeros_like(norms).index_fill(0, input.reshape(-1), 1.0)
        factors = torch.where((named > 0) & (norms > max_norm), max_norm / (norms + 1e-7), torch.ones_like(norms))
        change = weight * factors.unsqueeze(1) - weight
    weight.copy_(weight + change.detach())


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    if scale_grad_by_freq:
        raise NotImplementedError("embedding with scale_grad_by_freq")
    row = _row_of(padding_idx, weight)
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    return ops.embedding(weight, input, padding_idx=row)


def _bags(rows, kept, mode):
    """Bags [B, n, d] of rows, of which `kept` [B, n] (None: all) count."""
    if kept is None:
        return rows.sum(1) if mode == "sum" else rows.mean(1) if mode == "mean" else rows.max(1)[0]
    chosen = kept.unsqueeze(-1)
    if mode == "max":
        largest = rows.masked_fill(~chosen, float("-inf")).max(1)[0]
        return torch.where(kept.any(1).unsqueeze(-1), largest, torch.zeros_like(largest))
    total = torch.where(chosen, rows, torch.zeros_like(rows)).sum(1)
    return total if mode == "sum" else total / kept.sum(1).clamp_min(1).unsqueeze(-1).to(total.dtype)


def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean", sparse=False,
                  per_sample_weights=None, include_last_offset=False, padding_idx=None):
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
                                  f"(got mode='{mode}'). Please open a feature request on GitHub.")
    if scale_grad_by_freq:
        raise NotImplementedError("embedding_bag with scale_grad_by_freq")
    row = _row_of(padding_idx, weight)
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    rows = ops.embedding(weight, input, padding_idx=row)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    real = None if row is None else input != row
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences.")
        return _bags(rows, real, mode)
    if input.dim() != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if include_last_offset:
        offsets = offsets[:-1]
    place = torch.arange(input.shape[0])
    ends = torch.cat([offsets[1:], offsets.new_full((1,), input.shape[0])])
    kept = (place >= offsets.unsqueeze(1)) & (place < ends.unsqueeze(1))
    if real is not None:
        kept = kept & real
    return _bags(rows.unsqueeze(0).expand(offsets.shape[0], -1, -1), kept, mode)


def one_hot(tensor, num_classes=-1):
    if tensor.dtype != torch.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    return ops.one_hot(tensor, num_classes)
