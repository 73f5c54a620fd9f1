"""Raw little-endian bytes as numpy arrays, checked: the one place where a file's bytes become numbers."""
from __future__ import annotations

import numpy as np

from scriptc.ir.types import DTYPES, DType
from scriptc.ir.weights.refuse import need


def elements(raw: memoryview, dtype: DType, name: str) -> np.ndarray:
    """A read-only 1-d view of `raw`, whose length must be a multiple of the item size.

    WeightsError if a bool is neither 0 nor 1: numpy and native code would then disagree on what is true.
    """
    if dtype is DTYPES["bool"] and len(raw):
        need(int(np.frombuffer(raw, np.uint8).max()) <= 1, "W0123", name=name)
    # np.frombuffer refuses an empty buffer.
    array = np.frombuffer(raw, np.uint8).view(dtype.numpy) if len(raw) else np.empty(0, dtype.numpy)
    array.flags.writeable = False
    return array


def shaped(raw: memoryview, dtype: DType, shape: tuple[int, ...], name: str) -> np.ndarray:
    """`raw` as an aligned read-only array of `shape`, whose size it must have; a view where it is aligned."""
    array = elements(raw, dtype, name).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array
