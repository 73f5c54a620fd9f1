"""The intrinsics in plain Python, for numba's simulator: same names, arguments and results, one call per simulated lane.

What a whole warp does at once is an exchange: every lane leaves its word, waits for the others, and reads theirs.
"""
from __future__ import annotations

import threading
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


def load_2(array: Any, index: int) -> tuple[Any, ...]:
    assert index % 2 == 0
    return tuple(array[index + k] for k in range(2))


def load_4(array: Any, index: int) -> tuple[Any, ...]:
    assert index % 4 == 0
    return tuple(array[index + k] for k in range(4))


def store_2(array: Any, index: int, a: Any, b: Any) -> None:
    assert index % 2 == 0
    array[index], array[index + 1] = a, b


def store_4(array: Any, index: int, a: Any, b: Any, c: Any, d: Any) -> None:
    assert index % 4 == 0
    for k, value in enumerate((a, b, c, d)):
        array[index + k] = value


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


def shuffle_xor(x: Any, mask: int) -> np.float32:
    lane, found = exchanged(np.float32(x))
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
