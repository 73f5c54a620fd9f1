"""The intrinsics in plain Python, for numba's simulator: same names, arguments and results, one call per simulated lane.

What a whole warp does at once is an exchange: every lane leaves its word, waits for the others, and reads theirs.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

WARP = 32
PATIENCE_S = 60.0      # after which a lane that waits for a warp that diverged gives up


class _Warp:
    """The lanes of one warp of one block."""

    def __init__(self, lanes: int) -> None:
        self._words: list[Any] = [None] * lanes
        self._meeting = threading.Barrier(lanes)

    def exchange(self, lane: int, word: Any) -> list[Any]:
        """What all lanes left."""
        self._words[lane] = word
        self._meeting.wait(PATIENCE_S)
        found = list(self._words)
        self._meeting.wait(PATIENCE_S)
        return found


_founding = threading.Lock()


def exchanged(word: Any) -> tuple[int, list[Any]]:
    """(this lane, the words of all lanes of its warp)."""
    thread: Any = threading.current_thread()
    number, manager = thread.thread_id, thread._manager
    with _founding:
        warps = manager.__dict__.setdefault("_warps", {})
        index = number // WARP
        if index not in warps:
            warps[index] = _Warp(min(WARP, int(np.prod(manager._block_dim)) - index * WARP))
    return number % WARP, warps[index].exchange(number % WARP, word)


def _loads(count: int) -> Callable[[Any, int], tuple[Any, ...]]:
    def load(array: Any, index: int) -> tuple[Any, ...]:
        assert index % count == 0
        return tuple(array[index + k] for k in range(count))
    return load


def _stores(count: int) -> Callable[..., None]:
    def store(array: Any, index: int, *values: Any) -> None:
        assert index % count == 0 and len(values) == count
        for k, value in enumerate(values):
            array[index + k] = value
    return store


load_2, load_4, load_8, load_16 = map(_loads, (2, 4, 8, 16))
store_2, store_4, store_8, store_16 = map(_stores, (2, 4, 8, 16))


def pick(condition: Any, a: int, b: int) -> int:
    return a if condition else b


def divide(a: int, b: int) -> int:
    assert 0 <= a < 1 << 32 and 0 < b < 1 << 32
    return int(a) // int(b)


def _copied(target: Any, place: int, source: Any, index: int, valid: Any, size: int) -> None:
    count = size // target.dtype.itemsize
    assert place % count == 0 and (not valid or index % count == 0)
    for k in range(count):
        target[place + k] = source[index + k] if valid else 0


def copy_async_4(target: Any, place: int, source: Any, index: int, valid: Any) -> None:
    _copied(target, place, source, index, valid, 4)


def copy_async_16(target: Any, place: int, source: Any, index: int, valid: Any) -> None:
    _copied(target, place, source, index, valid, 16)


def copy_commit() -> None:
    pass


copy_wait_0 = copy_wait_1 = copy_wait_2 = copy_commit


def shuffle_xor(x: Any, mask: int) -> Any:
    assert x.dtype in (np.float32, np.float64, np.int32, np.int64), x
    lane, found = exchanged(x)
    return found[lane ^ mask]


def shared_4(array: Any, index: int) -> tuple[Any, ...]:
    assert index % 4 == 0
    return tuple(array.view(np.float32)[index:index + 4])


def to_bfloat16(x: Any) -> np.uint16:
    return np.array([x], np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)[0]


def to_float16(x: Any) -> np.uint16:
    with np.errstate(all="ignore"):
        return np.array([x], np.float32).astype(np.float16).view(np.uint16)[0]


def from_bfloat16(word: Any) -> np.float32:
    return np.array([word], np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)[0]


def from_float16(word: Any) -> np.float32:
    return np.array([word], np.uint16).view(np.float16).astype(np.float32)[0]
