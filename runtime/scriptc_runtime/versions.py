"""Whether an array still holds what was made of it: packed weights are made anew only when it does not.

Arrays that nobody can write have version 0. Others are counted while every write is announced (`touch`); an array whose memory was
handed out (`leak`) has no version any more.
"""
from __future__ import annotations

import weakref

import numpy as np

_counts: dict[int, tuple[weakref.ref[np.ndarray], int]] = {}


def _key(array: np.ndarray) -> int:
    key = id(array)
    if key not in _counts or _counts[key][0]() is not array:
        _counts[key] = weakref.ref(array, lambda _: _counts.pop(key, None)), 0
    return key


def touch(array: np.ndarray) -> None:
    """Announce that the array is about to be written; from now on all its writes are announced."""
    key = _key(array)
    reference, count = _counts[key]
    _counts[key] = reference, count + 1 if count >= 0 else count


def leak(array: np.ndarray) -> None:
    """The array's memory is in other hands: it may change without notice."""
    if array.flags.writeable:
        key = _key(array)
        _counts[key] = _counts[key][0], -1


def version(array: np.ndarray) -> int | None:
    """A number that differs after every change; None where changes cannot be seen."""
    if is_frozen(array):
        return 0
    found = _counts.get(id(array))
    return found[1] if found is not None and found[0]() is array and found[1] > 0 else None


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, that nobody can write."""
    array.flags.writeable = False
    if not is_frozen(array):
        array = array.copy()
        array.flags.writeable = False
    return array


def is_frozen(array: np.ndarray) -> bool:
    """True if no array over this memory can be written."""
    held: object = array
    while isinstance(held, np.ndarray):
        if held.flags.writeable:
            return False
        held = held.base
    return True
