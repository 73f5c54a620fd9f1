"""The command of `attention`: heads are read and written where they lie."""
from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from scriptc_runtime.cpu.tiles.commands import At, Command, Word, Working
from scriptc_runtime.cpu.tiles.geometry import LANES, MASKS, MOST_ROWS, PANEL, VECTOR_BYTES

FEW_QUERIES = 4             # of a head that meet keys and values where these lie
SCORE_BYTES = 16 << 10      # of the scores that are worked on together, so that they stay in a core's first cache


class Operand(NamedTuple):
    """An array [*heads, rows, row] and where it begins."""

    array: np.ndarray
    place: Word


def offsets(array: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
    """Bytes from the first element to each matrix of the last two dimensions, the others repeated to `lead`."""
    whole = np.broadcast_to(array, (*lead, *array.shape[-2:]))
    found = np.zeros((), np.int64)
    for size, stride in zip(lead, whole.strides, strict=False):
        found = found[..., None] + np.arange(size, dtype=np.int64) * stride
    return np.ascontiguousarray(found).reshape(-1)


def attention(q: Operand, k: Operand, v: Operand, mask: Operand | None, y: Operand, *, causal: bool, scale: float, threads: int) -> Command:
    """softmax(q k^T scale + mask) v of heads [*lead, length, features]; elements of a row are neighbours, also the mask's [*, length, keys].

    No size may be 0.
    """
    lead, (length, values) = y.array.shape[:-2], y.array.shape[-2:]
    keys, features = k.array.shape[-2:]
    key_blocks, value_blocks, feature_blocks = (-(-size // LANES) for size in (keys, values, features))
    # A vector more than a row has: rows whose distance is a power of two would drive each other out of the cache.
    q_pitch, s_pitch, o_pitch = ((blocks | 1) * VECTOR_BYTES for blocks in (feature_blocks, key_blocks, value_blocks))
    chunk = MOST_ROWS * max(1, min(SCORE_BYTES // s_pitch // MOST_ROWS, 4))
    chunks = -(-length // chunk)
    rows = -(-length // chunks)
    panels = (feature_blocks + value_blocks) * key_blocks * LANES * VECTOR_BYTES
    starts = [feature_blocks * key_blocks * LANES * VECTOR_BYTES, *accumulate(
        (rows * q_pitch, rows * s_pitch, rows * o_pitch, -(-rows // LANES) * VECTOR_BYTES), initial=panels)]
    places = np.arange(rows, dtype=np.int64)
    tables = np.array([[1, 0, 1, 0, blocks, VECTOR_BYTES, VECTOR_BYTES, 0] for blocks in (feature_blocks, *range(1, key_blocks + 1))], np.int64)
    kind = 0 if mask is None else MASKS.index("bool" if mask.array.dtype == np.bool_ else "float")
    nothing = np.zeros(int(np.prod(lead)), np.int64)
    seen = mask and np.broadcast_to(mask.array, (*mask.array.shape[:-2], length, keys))
    return Command("attention", [
        q.place, k.place, v.place, mask and mask.place, y.place,
        *(offsets(o.array, lead) for o in (q, k, v)), nothing if seen is None else offsets(seen, lead), offsets(y.array, lead),
        *(o.array.strides[-2] for o in (q, k, v)), 0 if seen is None else seen.strides[-2], y.array.strides[-2],
        int(np.prod(lead)), length, keys, features, values, kind, int(causal), np.array([scale], np.float32), chunks,
        np.zeros(PANEL * LANES, np.float32), np.array([-np.inf, np.inf], np.float32),
        places * q_pitch, places * s_pitch, places * o_pitch, tables[0].copy(), tables, At(Working()), starts[-1], *starts[:-1],
        q_pitch, s_pitch, o_pitch, int(length <= FEW_QUERIES)], working=starts[-1] * threads)
