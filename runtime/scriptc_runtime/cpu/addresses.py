"""Where arrays lie in memory: numpy's own attributes answer in a microsecond, and a small call asks for several.

CPython's `id` is the address of the object, and numpy's binary interface fixes where in it the address of the data stands. This is tried
out when the module is imported; elsewhere numpy is asked.
"""
from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np

DATA = object.__basicsize__   # the data's address follows the object's header
_word = ctypes.c_size_t.from_address


def _ask(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _look(array: np.ndarray) -> int:
    return _word(id(array) + DATA).value


def _reliable() -> bool:
    """True if looking gives what numpy answers, for whole arrays and parts of them."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_size_t) != 8:
        return False
    whole = np.zeros(16, np.float32)
    return all(_look(a) == _ask(a) for a in (whole, whole[3:], whole.reshape(4, 4).T, np.array(1, np.uint8)))


address: Callable[[np.ndarray], int] = _look if _reliable() else _ask
"""The address of an array's first element."""
