"""Joining, splitting, turning and padding; the copying forms of views."""
import __ops__ as ops
import torch


def _sequence(tensors):
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


def _each(function, tensors):
    if len(tensors) == 1 and isinstance(tensors[0], torch.Tensor):
        return function(tensors[0])
    return tuple(function(t) for t in _sequence(tensors))


def _atleast(rank):
    def grown(t):
        if t.dim() >= rank:
            return t
        if rank == 1:
            return t.reshape(1)
        if t.dim() == 0:
            return t.reshape([1] * rank)
        if t.dim() == 1:
            return t.unsqueeze(0) if rank == 2 else t.unsqueeze(0).unsqueeze(-1)
        return t.unsqueeze(-1)
    return grown


def atleast_1d(*tensors):
    return _each(_atleast(1), tensors)


def atleast_2d(*tensors):
    return _each(_atleast(2), tensors)


def atleast_3d(*tensors):
    return _each(_atleast(3), tensors)


def column_stack(tensors):
    return torch.cat([t.reshape(-1, 1) if t.dim() < 2 else t for t in tensors], 1)


def dstack(tensors):
    return torch.cat(atleast_3d(*tensors) if len(tensors) > 1 else [atleast_3d(tensors[0])], 2)


def row_stack(tensors):
    return torch.vstack(tensors)


def hsplit(input, indices_or_sections):
    return torch.tensor_split(input, indices_or_sections, 0 if input.dim() == 1 else 1)


def vsplit(input, indices_or_sections):
    return torch.tensor_split(input, indices_or_sections, 0)


def dsplit(input, indices_or_sections):
    return torch.tensor_split(input, indices_or_sections, 2)


def fliplr(input):
    return torch.flip(input, [1])


def flipud(input):
    return torch.flip(input, [0])


def rot90(input, k=1, dims=(0, 1)):
    first, second = dims
    k = k % 4
    if k == 1:
        return input.flip(second).transpose(first, second)
    if k == 2:
        return input.flip(first, second)
    if k == 3:
        return input.flip(first).transpose(first, second)
    return input.clone()


def block_diag(*tensors):
    blocks = [torch.atleast_2d(t) for t in tensors]
    kind = torch.result_type(blocks[0], blocks[0])
    for block in blocks:
        kind = torch.promote_types(kind, block.dtype)
    columns = sum([block.size(1) for block in blocks])
    rows = []
    before = 0
    for block in blocks:
        rows.append(torch.nn.functional.pad(block.to(kind), (before, columns - before - block.size(1))))
        before += block.size(1)
    return torch.cat(rows, 0)


def cartesian_prod(*tensors):
    if len(tensors) == 1:
        return tensors[0]
    return torch.stack([grid.reshape(-1) for grid in torch.meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    places = [[]]
    for _ in range(r):
        places = [p + [k] for p in places for k in range((p[-1] + (0 if with_replacement else 1)) if p else 0, input.size(0))]
    if not places or r == 0:
        return torch.zeros([0] if r == 0 else [0, r], dtype=input.dtype)
    return input[torch.tensor(places)]


def tensordot(a, b, dims=2):
    if isinstance(dims, int):
        left = list(range(a.dim() - dims, a.dim()))
        right = list(range(dims))
    else:
        left, right = dims
        left = [left] if isinstance(left, int) else list(left)
        right = [right] if isinstance(right, int) else list(right)
    left, right = [d % a.dim() for d in left], [d % b.dim() for d in right]
    for i in range(len(left)):
        if a.size(left[i]) == 1 and b.size(right[i]) != 1:
            b = b.sum(right[i], keepdim=True)
        elif b.size(right[i]) == 1 and a.size(left[i]) != 1:
            a = a.sum(left[i], keepdim=True)
    kept_a = [d for d in range(a.dim()) if d not in left]
    kept_b = [d for d in range(b.dim()) if d not in right]
    shape = [a.size(d) for d in kept_a] + [b.size(d) for d in kept_b]
    inner = 1
    for d in left:
        inner = inner * a.size(d)
    rows = 1
    for d in kept_a:
        rows = rows * a.size(d)
    columns = 1
    for d in kept_b:
        columns = columns * b.size(d)
    product = a.permute(kept_a + left).reshape(rows, inner) @ b.permute(right + kept_b).reshape(inner, columns)
    return product.reshape(shape)


def kron(input, other):
    rank = max(input.dim(), other.dim())
    a = input.reshape([1] * (rank - input.dim()) + list(input.shape))
    b = other.reshape([1] * (rank - other.dim()) + list(other.shape))
    shape = [a.size(d) * b.size(d) for d in range(rank)]
    wide = a.reshape([s for d in range(rank) for s in (a.size(d), 1)]) * b.reshape([s for d in range(rank) for s in (1, b.size(d))])
    return wide.reshape(shape)


def diagflat(input, offset=0):
    return torch.diag(input.reshape(-1), offset)


def tril_indices(row, col, offset=0, dtype=torch.int64, device=None, layout=None):
    places = [(r, c) for r in range(row) for c in range(max(0, min(col, r + offset + 1)))]
    return torch.tensor([[p[0] for p in places], [p[1] for p in places]], dtype=dtype).reshape(2, len(places))


def triu_indices(row, col, offset=0, dtype=torch.int64, device=None, layout=None):
    places = [(r, c) for r in range(row) for c in range(max(0, r + offset), col)]
    return torch.tensor([[p[0] for p in places], [p[1] for p in places]], dtype=dtype).reshape(2, len(places))


def constant_pad_nd(input, pad, value=0):
    return torch.nn.functional.pad(input, pad, "constant", value)


def broadcast_shapes(*shapes):
    shapes = [[s] if isinstance(s, int) else list(s) for s in shapes]
    rank = max([len(s) for s in shapes]) if shapes else 0
    result = [1] * rank
    for shape in shapes:
        for i in range(1, len(shape) + 1):
            if shape[-i] != 1:
                if result[-i] not in (1, shape[-i]):
                    raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape")
                result[-i] = shape[-i]
    return torch.Size(result)


def sum_to_size(input, *size):
    size = list(size[0]) if len(size) == 1 and not isinstance(size[0], int) else list(size)
    if not size:
        return input.sum()
    lead = input.dim() - len(size)
    dims = list(range(lead)) + [lead + d for d in range(len(size)) if size[d] == 1 and input.size(lead + d) != 1]
    return input.sum(dims, keepdim=True).reshape(size) if dims else input


def unsafe_chunk(input, chunks, dim=0):
    return torch.chunk(input, chunks, dim)


def unsafe_split(input, split_size, dim=0):
    return torch.split(input, split_size, dim)


def alias_copy(input):
    return input.clone()


def expand_copy(input, size, implicit=False):
    return input.expand(size).clone()


def diagonal_copy(input, offset=0, dim1=0, dim2=1):
    return input.diagonal(offset, dim1, dim2).clone()


def narrow_copy(input, dim, start, length):
    return input.narrow(dim, start, length).clone()


def permute_copy(input, dims):
    return input.permute(dims).clone()


def squeeze_copy(input, dim=None):
    return (input.squeeze() if dim is None else input.squeeze(dim)).clone()


def unsqueeze_copy(input, dim):
    return input.unsqueeze(dim).clone()


def t_copy(input):
    return input.t().clone()


def transpose_copy(input, dim0, dim1):
    return input.transpose(dim0, dim1).clone()


def unbind_copy(input, dim=0):
    return tuple(part.clone() for part in input.unbind(dim))


def unfold_copy(input, dimension, size, step):
    return input.unfold(dimension, size, step).clone()


def split_with_sizes_copy(input, split_sizes, dim=0):
    return tuple(part.clone() for part in input.split(split_sizes, dim))


def view_copy(input, size):
    return input.reshape(size).clone() if not isinstance(size, torch.dtype) else input.view(size)


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    return ops.diagonal_scatter(input, src, offset=offset, dim1=dim1, dim2=dim2)


def select_scatter(input, src, dim, index):
    return ops.select_scatter(input, src, index, dim=dim)


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    return ops.slice_scatter(input, src, 0 if start is None else start, input.size(dim) if end is None else end, step, dim=dim)


def as_strided_copy(input, size, stride, storage_offset=None):
    return torch.as_strided(input, size, stride, storage_offset).clone()


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    places = [0 if storage_offset is None else storage_offset]
    for length, step in zip(size, stride):
        places = [p + step * k for p in places for k in range(length)]
    index = torch.tensor(places, dtype=torch.int64)
    return input.reshape(-1).index_put([index], src.reshape(-1)).reshape(input.shape)


def logspace(start, end, steps, base=10.0, dtype=None, layout=None, device=None, requires_grad=False):
    dtype = torch.get_default_dtype() if dtype is None else dtype
    start = start.item() if isinstance(start, torch.Tensor) else start
    end = end.item() if isinstance(end, torch.Tensor) else end
    if not dtype.is_floating_point:
        start, end = int(start), int(end)
    exponents = torch.linspace(start, end, steps, dtype=torch.float64 if not dtype.is_floating_point else dtype)
    return torch.pow(base, exponents).to(dtype)
