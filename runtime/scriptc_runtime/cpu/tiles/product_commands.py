"""The command of `matmul`: matrices are read where they lie, either way round."""
from __future__ import annotations

import math

import numpy as np

from scriptc_runtime.cpu.tiles.attention_commands import Operand, offsets
from scriptc_runtime.cpu.tiles.commands import At, Command, Working
from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, PANEL, VECTOR_BYTES

MOST_DEPTH = 768             # of a product; deeper ones are sums of several
ROWS_BYTES = 512 << 10       # of the first matrix or of the result that are worked on together, so that they stay in a core's second cache
IN_PLACE, COPIED, TURNED = 0, 1, 2      # how the first matrix's rows are read


def is_row_major(array: np.ndarray) -> bool:
    """True if the elements of the last dimension are neighbours."""
    return array.shape[-1] == 1 or array.strides[-1] == array.itemsize


def is_column_major(array: np.ndarray) -> bool:
    """True if the elements of the last dimension but one are neighbours."""
    return array.shape[-2] == 1 or array.strides[-2] == array.itemsize


def matmul(a: Operand, b: Operand, c: Operand, threads: int) -> Command:
    """c = a b, matrices [*batch, M, K] [*batch, K, N] -> [*batch, M, N], batches repeated where they are 1. No size is 0.

    a and b have neighbours along one of their last two dimensions, c along the last.
    """
    lead, (rows, columns) = c.array.shape[:-2], c.array.shape[-2:]
    if columns == 1 and (made := _by_vector(_turned(b), _turned(a), _turned(c), lead)):
        return made
    depth = a.array.shape[-1]
    whole = -(-depth // LANES) * LANES
    a_places, a_rows = offsets(a.array, lead), np.arange(rows, dtype=np.int64) * a.array.strides[-2]
    if math.prod(b.array.shape[:-2]) == 1 and is_row_major(a.array) and c.array.flags.c_contiguous:     # one product of all rows
        a_rows = (a_places[:, None] + a_rows).reshape(-1)
        lead, rows, a_places = (), a_rows.size, np.zeros(1, np.int64)
        b, c = Operand(b.array.reshape(b.array.shape[-2:]), b.place), Operand(c.array.reshape(rows, columns), c.place)
    if rows == 1 and (made := _by_vector(a, b, c, lead)):
        return made
    places = np.arange(rows, dtype=np.int64)
    reading = TURNED if not is_row_major(a.array) else IN_PLACE if whole == depth and not collides(a_rows) else COPIED
    slices = -(-whole // MOST_DEPTH)
    deep = whole if slices == 1 else -(-whole // (slices * LANES)) * LANES
    pitch = (deep // LANES | 1) * VECTOR_BYTES
    # A panel is packed anew for each chunk of rows: many, but no more than stay in the cache.
    chunk = max(MOST_ROWS, ROWS_BYTES // pitch // MOST_ROWS * MOST_ROWS)
    chunk = min(chunk, max(8 * MOST_ROWS, ROWS_BYTES // (columns * 4) // MOST_ROWS * MOST_ROWS))      # and what they make of them
    chunks = -(-rows // chunk)
    most = -(-rows // chunks)
    held = -(-most // LANES) * LANES if reading else 0
    starts = np.cumsum([deep * PANEL * VECTOR_BYTES, held * pitch, most * PANEL * VECTOR_BYTES]).tolist()
    turned = not is_row_major(b.array)
    return Command("matmul", [
        a.place, b.place, c.place, a_places, offsets(b.array, lead), offsets(c.array, lead), math.prod(lead), rows, depth, columns,
        reading, a_rows, a.array.strides[-1 if reading == TURNED else -2], pitch,
        int(turned), b.array.strides[-1 if turned else -2], c.array.strides[-2], chunks,
        places * pitch, places * c.array.strides[-2], places * (PANEL * VECTOR_BYTES),
        _steps(deep), np.zeros(PANEL * LANES, np.float32),
        np.array([-np.inf, np.inf], np.float32), np.ones(1, np.float32), At(Working()), starts[-1], *starts[:-1], deep,
        _steps(whole - (-(-whole // deep) - 1) * deep)], working=starts[-1] * threads)


def _steps(depth: int) -> np.ndarray:
    """The table of a product tile for rows that are whole blocks."""
    return np.array([1, 0, 1, 0, depth // LANES, VECTOR_BYTES, VECTOR_BYTES], np.int64)


def _turned(operand: Operand) -> Operand:
    return Operand(operand.array.swapaxes(-1, -2), operand.place)


def _by_vector(x: Operand, matrix: Operand, y: Operand, lead: tuple[int, ...]) -> Command | None:
    """y = x matrix, where x and y have one row. None if the elements of these are no neighbours."""
    if not (is_row_major(x.array) and is_row_major(y.array)):
        return None
    depth, results = matrix.array.shape[-2:]
    turned = is_column_major(matrix.array) and (results == 1 or not is_row_major(matrix.array))
    places = [np.zeros(1, np.int64) if math.prod(lead) == 1 else offsets(o.array, lead) for o in (matrix, x, y)]
    return Command("matvec", [matrix.place, x.place, y.place, *places, math.prod(lead), results, depth,
                              matrix.array.strides[-1 if turned else -2], int(turned)])


def pack(weight: np.ndarray, panels: np.ndarray) -> Command:
    """Panels of `weight` [columns, depth] as `layouts.pack_direct` makes them; its rows' elements are neighbours."""
    return Command("pack", [weight, weight.strides[0], *weight.shape[:1], weight.shape[1] * weight.itemsize, panels])


def collides(places: np.ndarray) -> bool:
    """True if rows that one tile reads together would drive each other out of a cache of 64 sets of 8 lines."""
    lines = places[:MOST_ROWS] // VECTOR_BYTES % 64
    return int(np.bincount(lines).max()) > 5
