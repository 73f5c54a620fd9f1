"""pack and unpack."""
import torch


def _parts(pattern):
    names = pattern.split()
    at = names.index("*")
    return at, len(names) - at - 1


def pack(tensors, pattern):
    before, after = _parts(pattern)
    shapes = []
    flat = []
    for tensor in tensors:
        shape = tensor.shape
        if len(shape) < before + after:
            raise RuntimeError("packed tensor should have at least " + str(before + after) + " dimensions")
        middle = shape[before:len(shape) - after]
        shapes.append(middle)
        flat.append(tensor.reshape([*shape[:before], -1, *shape[len(shape) - after:]]))
    return torch.cat(flat, dim=before), shapes


def unpack(tensor, packed_shapes, pattern):
    before, after = _parts(pattern)
    shape = tensor.shape
    lengths = []
    for part in packed_shapes:
        total = 1
        for size in part:
            total = total * size
        lengths.append(total)
    if -1 in [size for part in packed_shapes for size in part]:
        known = sum([n for n in lengths if n >= 0])
        lengths = [n if n >= 0 else shape[before] - known for n in lengths]
    pieces = torch.split(tensor, lengths, dim=before)
    return [piece.reshape([*shape[:before], *part, *shape[before + 1:]]) for piece, part in zip(pieces, packed_shapes)]
