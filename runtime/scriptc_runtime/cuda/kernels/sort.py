"""Sorting by bitonic networks (Batcher 1968): pairs of an int64 key and a place, which also decides between equal keys, so the order is stable.

Lines have a power of two of elements, filled up with the largest key. What fits is sorted in shared memory; longer distances go through the
device's. The same exchanges every time: the same order every time.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from scriptc_runtime.cuda.access import device_function
from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda

THREADS = 4 if SIMULATED else 512
ELEMENTS = 2 * THREADS          # of a block
LAST = np.int64(2**63 - 1)      # the key of what fills a line up

# Of a float's bits: those of an infinity (what is larger is a nan), and all but the sign.
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}
_SIZE = {"float16": 0x7FFF, "bfloat16": 0x7FFF, "float32": 0x7FFFFFFF, "float64": 0x7FFFFFFFFFFFFFFF}


@functools.cache
def key_kernel(dtype: str, descending: bool) -> Any:
    """keys[line, j] of x[outer, j, inner] as integers of the same order (floats come as bits), nan behind infinity; places[line, j] = j."""
    floating = dtype in _INFINITY
    infinity, size = np.int64(_INFINITY.get(dtype, 0)), np.int64(_SIZE.get(dtype, 0))

    @cuda.jit
    def make_keys(x: Any, keys: Any, places: Any, total: Any, lines: Any, length: Any, width: Any, inner: Any) -> None:
        for i in range(cuda.grid(1), total, cuda.gridsize(1)):
            line = i // length
            j = i - line * length
            key = LAST
            if j < width and line < lines:
                outer = line // inner
                key = np.int64(x[(outer * width + j) * inner + line - outer * inner])
                if floating:
                    if key < 0:      # a sign, and the size behind it
                        key = -(key & size)
                    if key > infinity or key < -infinity:
                        key = infinity + np.int64(1)
                if descending:
                    key = ~key
            keys[i] = key
            places[i] = np.int32(j)
    return make_keys


@device_function
def _put_in_order(keys: Any, places: Any, a: Any, b: Any, rises: Any) -> None:
    """Exchange elements a and b unless they rise (or fall) as they should."""
    first, second = keys[a], keys[b]
    p, q = places[a], places[b]
    if (first > second or (first == second and p > q)) == rises:
        keys[a] = second
        keys[b] = first
        places[a] = q
        places[b] = p


@cuda.jit
def exchange(keys: Any, places: Any, pairs: Any, length: Any, run: Any, distance: Any) -> None:
    """One step of the network over lines of `length`: elements `distance` apart in the order of their run of `run` elements."""
    for i in range(cuda.grid(1), pairs, cuda.gridsize(1)):
        a = 2 * i - (i & (distance - 1))
        _put_in_order(keys, places, a, a + distance, (a & (length - 1)) & run == 0)


@cuda.jit
def sort_blocks(keys: Any, places: Any, length: Any, first_run: Any, last_run: Any, longest: Any) -> None:
    """The steps of runs first_run ... last_run whose distances are at most `longest`: a block has ELEMENTS neighbours in shared memory."""
    own_keys = cuda.shared.array(ELEMENTS, np.int64)
    own_places = cuda.shared.array(ELEMENTS, np.int32)
    t = np.int64(cuda.threadIdx.x)
    start = np.int64(cuda.blockIdx.x) * ELEMENTS
    own_keys[t] = keys[start + t]
    own_keys[t + THREADS] = keys[start + t + THREADS]
    own_places[t] = places[start + t]
    own_places[t + THREADS] = places[start + t + THREADS]
    cuda.syncthreads()
    run = np.int64(first_run)
    while run <= last_run:
        distance = min(run >> 1, np.int64(longest))
        while distance > 0:
            a = 2 * t - (t & (distance - 1))
            _put_in_order(own_keys, own_places, a, a + distance, ((start + a) & (length - 1)) & run == 0)
            cuda.syncthreads()
            distance = distance >> 1
        run = run << 1
    keys[start + t] = own_keys[t]
    keys[start + t + THREADS] = own_keys[t + THREADS]
    places[start + t] = own_places[t]
    places[start + t + THREADS] = own_places[t + THREADS]


@cuda.jit
def pick_sorted(x: Any, places: Any, values: Any, to: Any, count: Any, length: Any, kept: Any, width: Any, inner: Any) -> None:
    """values[outer, j, inner] = x[outer, p, inner] and to[...] = p for the place p of element j of each line, of the first `kept`."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        above = i // inner
        outer = above // kept
        j = above - outer * kept
        column = i - above * inner
        place = np.int64(places[(outer * inner + column) * length + j])
        values[i] = x[(outer * width + place) * inner + column]
        to[i] = place
