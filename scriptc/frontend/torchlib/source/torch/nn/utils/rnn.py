"""Sequences of different lengths: padded, and packed step by step."""
from collections import namedtuple

import torch


class PackedSequence(namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"], defaults=[None, None, None])):
    """All sequences' first elements, then all second ones, ...; longest sequence first; `batch_sizes` says how many each step has."""

    def to(self, *args, **kwargs):
        return PackedSequence(self.data.to(*args, **kwargs), self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def cpu(self):
        return self

    def cuda(self, *args, **kwargs):
        return self

    def float(self):
        return self.to(torch.float32)

    def double(self):
        return self.to(torch.float64)


def invert_permutation(permutation):
    if permutation is None:
        return None
    places = torch.arange(permutation.shape[0])
    return torch.zeros_like(permutation).scatter(0, permutation, places)


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    lengths = torch.as_tensor(lengths, dtype=torch.int64)
    if not (lengths > 0).all():
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if enforce_sorted:
        order = None
        if not (lengths[1:] <= lengths[:-1]).all():
            raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
                               "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if "
                               "you do not need ONNX exportability.")
    else:
        lengths, order = torch.sort(lengths, descending=True)
        input = input.index_select(0 if batch_first else 1, order)
    if batch_first:
        input = input.transpose(0, 1)
    inside = torch.arange(input.shape[0]).unsqueeze(1) < lengths
    sizes = inside.sum(1)
    return PackedSequence(input[inside], sizes[sizes > 0], order, invert_permutation(order))


def _steps(sequence):
    """Which places [T, B] of the padded form a packed sequence fills."""
    sizes = sequence.batch_sizes
    return torch.arange(int(sizes[0])) < sizes.unsqueeze(1)


def _padded(sequence, padding_value=0.0):
    """(the padded form [T, B, ...] in sorted order, the lengths)."""
    inside = _steps(sequence)
    data = sequence.data
    result = torch.full([inside.shape[0], inside.shape[1]] + list(data.shape[1:]), padding_value, dtype=data.dtype)
    result[inside] = data
    return result, inside.sum(0)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    result, lengths = _padded(sequence, padding_value)
    if total_length is not None:
        if total_length < result.shape[0]:
            raise ValueError(f"Expected total_length to be at least the length of the longest sequence in input, but got "
                             f"total_length={total_length} and max sequence length being {result.shape[0]}")
        extra = [total_length - result.shape[0]] + list(result.shape[1:])
        result = torch.cat([result, torch.full(extra, padding_value, dtype=result.dtype)])
    if sequence.unsorted_indices is not None:
        result = result.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return result.transpose(0, 1) if batch_first else result, lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be one of 'right' or 'left', but got {padding_side}")
    sequences = list(sequences)
    longest = sequences[0].shape[0]
    for sequence in sequences[1:]:
        longest = max(longest, sequence.shape[0])
    rows = []
    for sequence in sequences:
        filler = torch.full([longest - sequence.shape[0]] + list(sequence.shape[1:]), padding_value, dtype=sequence.dtype)
        rows.append(torch.cat([sequence, filler] if padding_side == "right" else [filler, sequence]))
    return torch.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [padded_sequences[i, :lengths[i]] for i in range(padded_sequences.shape[0])]


def pack_sequence(sequences, enforce_sorted=True):
    lengths = torch.as_tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
