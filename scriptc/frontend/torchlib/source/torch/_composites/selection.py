"""Reading and writing at places given by tensors."""
import __ops__ as ops
import torch


def take_along_dim(input, indices, dim=None):
    if dim is None:
        return input.reshape(-1).gather(0, indices.reshape(-1))
    dim = dim % input.dim()
    size = input.size(dim)
    shape = torch.broadcast_shapes([1 if d == dim else s for d, s in enumerate(input.shape)],
                                   [1 if d == dim else s for d, s in enumerate(indices.shape)])
    source = input.expand([size if d == dim else s for d, s in enumerate(shape)])
    places = indices.expand([indices.size(dim) if d == dim else s for d, s in enumerate(shape)])
    return source.gather(dim, torch.where(places < 0, places + size, places))


def masked_scatter(input, mask, source):
    mask, input = torch.broadcast_tensors(mask if mask.dtype == torch.bool else mask != 0, input)
    count = input.masked_select(mask).size(0)
    return input.index_put([mask], source.reshape(-1)[:count])


def argwhere(input):
    return torch.nonzero(input)


def nonzero_static(input, size, fill_value=-1):
    found = torch.nonzero(input)
    padded = torch.cat([found, torch.full([size, max(input.dim(), 0)], fill_value, dtype=torch.int64)], 0)
    return padded[:size]


def put(input, index, source, accumulate=False):
    flat = input.reshape(-1).index_put([index.reshape(-1)], source.reshape(-1), accumulate)
    return flat.reshape(input.shape)


def searchsorted(sorted_sequence, input, out_int32=False, right=False, side=None, sorter=None):
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    if not isinstance(input, torch.Tensor):
        input = torch.tensor(input, dtype=sorted_sequence.dtype)
    kind = torch.promote_types(sorted_sequence.dtype, input.dtype)
    found = ops.searchsorted(sorted_sequence.to(kind), input.to(kind), right=right or side == "right")
    return found.int() if out_int32 else found


def unravel_index(indices, shape):
    shape = [shape] if isinstance(shape, int) else list(shape)
    places = []
    for size in reversed(shape):
        places.append(indices % size)
        indices = indices // size
    return tuple(reversed(places))


_START = {"sum": 0, "prod": 1}


def _first(reduce, kind):
    """The value that changes nothing under a reduction."""
    if reduce in _START:
        return _START[reduce]
    if kind == torch.bool:
        return reduce == "amin"
    if kind.is_floating_point:
        return float("-inf") if reduce == "amax" else float("inf")
    return torch.iinfo(kind).min if reduce == "amax" else torch.iinfo(kind).max


_MODES = {"sum": "add", "prod": "multiply", "mean": "add", "amax": "amax", "amin": "amin"}


def scatter_reduce(input, dim, index, src, reduce, include_self=True):
    if reduce not in _MODES:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if input.dim() == 0:
        return scatter_reduce(input.reshape(1), 0, index.reshape(-1), src.reshape(-1), reduce, include_self).reshape([])
    base = input
    if not include_self:
        base = input.scatter(dim, index, _first("sum" if reduce == "mean" else reduce, input.dtype))
    result = ops.scatter(base, index, src, dim=dim, reduce=_MODES[reduce])
    if reduce == "mean":
        ones = torch.ones_like(src)
        count = torch.ones_like(input) if include_self else torch.ones_like(input).scatter(dim, index, 0)
        count = ops.scatter(count, index, ones, dim=dim, reduce="add").clamp_min(1)
        result = result / count if input.is_floating_point() else torch.div(result, count, rounding_mode="floor")
    return result


def index_reduce(input, dim, index, source, reduce, include_self=True):
    if input.dim() == 0:
        return index_reduce(input.reshape(1), 0, index.reshape(-1), source.reshape(-1), reduce, include_self).reshape([])
    shape = [1] * input.dim()
    shape[dim] = -1
    places = index.reshape(shape).expand(source.shape)
    return scatter_reduce(input, dim, places, source, reduce, include_self)
