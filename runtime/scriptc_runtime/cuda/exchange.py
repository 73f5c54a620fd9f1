"""DLPack without copies: a capsule over device memory for other libraries, and arrays over theirs (DLPack 0.8, dlpack.h)."""
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from scriptc_runtime.device import DeviceArray

CUDA = 2      # kDLCUDA
_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}
_BFLOAT = 4


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    """DLManagedTensor."""


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_api: Any = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Destructor]
_api.PyCapsule_IsValid.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

_NAME = b"dltensor"
_held: dict[int, tuple[Any, ...]] = {}     # by address of the managed tensor: what must live until its consumer is done


@_Deleter
def _delete(managed: Any) -> None:
    _held.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _destroy(capsule: int) -> None:
    if _api.PyCapsule_IsValid(capsule, _NAME):      # nobody took it
        _held.pop(_api.PyCapsule_GetPointer(capsule, _NAME), None)


def capsule(array: DeviceArray) -> Any:
    """A DLPack capsule that shares the array's memory, and keeps it until its consumer has done with it."""
    count = max(array.ndim, 1)
    shape, strides = (ctypes.c_int64 * count)(*array.shape), (ctypes.c_int64 * count)(*array.strides)
    dtype = array.dtype
    code = _BFLOAT if dtype.name == "bfloat16" else _KINDS[np.dtype(dtype).kind]
    managed = _Managed(_Tensor(array.address if array.size else None, CUDA, 0, array.ndim, code, dtype.itemsize * 8, 1, shape, strides, 0),
                       None, _delete)
    address = ctypes.addressof(managed)
    _held[address] = (managed, shape, strides, array)
    return _api.PyCapsule_New(address, _NAME, _destroy)
