"""DLPack (0.8, dlpack.h): capsules over our arrays for other libraries, and arrays over theirs, without copies.

    x = scriptc.from_dlpack(tensor_of_another_library)

Also the CUDA array interface, which names memory without handing it over.
"""
from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scriptc.ir.types import DTYPES
from scriptc.records import Record
from scriptc_runtime.device import Array, DeviceArray, contiguous_strides, device_named

if TYPE_CHECKING:
    from scriptc_runtime.tensor import Tensor

CPU, CUDA = 1, 2      # kDLCPU, kDLCUDA
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "complex": 5, "bool": 6}


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
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_pointer_of: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))

_NAME, _USED = b"dltensor", b"used_dltensor"
_held: dict[int, tuple[Any, ...]] = {}     # by address of the managed tensor: what must live until its consumer is done


@_Deleter
def _delete(managed: Any) -> None:
    _held.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _destroy(capsule: int) -> None:
    if _api.PyCapsule_IsValid(capsule, _NAME):      # nobody took it
        _held.pop(_api.PyCapsule_GetPointer(capsule, _NAME), None)


def _code(dtype: np.dtype) -> int:
    return _CODES[dtype.name.rstrip("0123456789")]


def device_number(array: Array) -> tuple[int, int]:
    """What `__dlpack_device__` answers for an array."""
    return (CUDA, 0) if isinstance(array, DeviceArray) else (CPU, 0)


def capsule(array: Array) -> Any:
    """A capsule that shares the array's memory, and keeps it until its consumer has done with it. BufferError for a dtype DLPack has not."""
    dtype = array.dtype
    if dtype.name.startswith("float8"):
        raise BufferError(f"DLPack has no {dtype.name}")
    if isinstance(array, DeviceArray):
        address, strides = array.address, array.strides
    else:
        address, strides = array.ctypes.data, tuple(s // dtype.itemsize for s in array.strides)
    count = max(array.ndim, 1)
    sizes, steps = (ctypes.c_int64 * count)(*array.shape), (ctypes.c_int64 * count)(*strides)
    tensor = _Tensor(address if array.size else None, *device_number(array), array.ndim, _code(dtype), dtype.itemsize * 8, 1, sizes, steps, 0)
    managed = _Managed(tensor, None, _delete)
    place = ctypes.addressof(managed)
    _held[place] = (managed, sizes, steps, array)
    return _api.PyCapsule_New(place, _NAME, _destroy)


class Lent(Record):
    """Memory of another library: `release` tells it that we have done with it."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: tuple[int, int]
    release: Callable[[], None]


def _dtype(code: int, bits: int, lanes: int) -> np.dtype:
    names = {number: name for name, number in _CODES.items()}
    name = "bool" if code == _CODES["bool"] else f"{names.get(code, '?')}{bits}"
    if lanes != 1 or name not in DTYPES:
        raise BufferError(f"no tensor has elements of DLPack type code {code}, {bits} bits, {lanes} lanes")
    return DTYPES[name].numpy


def opened(given: Any) -> Lent:
    """The memory that a capsule hands over, which it does once. BufferError for what is no capsule, or was taken already."""
    try:
        place = _pointer_of(given, _NAME)
    except ValueError:
        raise BufferError("this DLPack capsule was taken already, or is none") from None
    managed = _Managed.from_address(place)
    tensor = managed.tensor
    dtype = _dtype(tensor.code, tensor.bits, tensor.lanes)
    shape = tuple(tensor.shape[d] for d in range(tensor.ndim))
    strides = tuple(tensor.strides[d] for d in range(tensor.ndim)) if tensor.strides else contiguous_strides(shape)
    address = (tensor.data or 0) + tensor.byte_offset
    _api.PyCapsule_SetName(given, _USED)

    def release() -> None:
        if managed.deleter:
            managed.deleter(ctypes.pointer(managed))
    return Lent(address, shape, strides, dtype, (tensor.device_type, tensor.device_id), release)


class _Holder:
    """Keeps lent memory of the host until the last array over it is gone."""

    def __init__(self, lent: Lent) -> None:
        self._release = lent.release
        reach = 1 + sum((n - 1) * s for n, s in zip(lent.shape, lent.strides, strict=True))
        self.__array_interface__ = {"shape": (reach,), "typestr": f"|V{lent.dtype.itemsize}", "data": (lent.address, False), "version": 3}

    def __del__(self) -> None:
        self._release()


def array_over(lent: Lent) -> np.ndarray:
    """A numpy array over lent memory of the host. BufferError where numpy cannot reach it."""
    if not math.prod(lent.shape):
        lent.release()
        return np.empty(lent.shape, lent.dtype)
    if min(lent.strides, default=0) < 0:
        lent.release()
        raise BufferError("DLPack memory with negative strides")
    flat = np.asarray(_Holder(lent)).view(lent.dtype)
    return np.lib.stride_tricks.as_strided(flat, lent.shape, tuple(s * lent.dtype.itemsize for s in lent.strides))


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of another library's array (`__dlpack__` and `__dlpack_device__`), on the host or a GPU.

    BufferError for memory elsewhere, or of a dtype we have not; CallError R0114 for a GPU's without one.
    """
    from scriptc_runtime.tensor import Tensor

    where = tuple(map(int, source.__dlpack_device__()))
    if where[0] == CPU:
        return Tensor(array_over(opened(source.__dlpack__())))
    if where != (CUDA, 0):
        raise BufferError(f"memory of DLPack device {where}: the host is (1, 0), the GPU (2, 0)")
    device: Any = device_named("cuda")
    return Tensor(device.adopt(opened(source.__dlpack__(stream=device.stream_number))))


def from_interface(source: Any) -> DeviceArray:
    """An array over what a `__cuda_array_interface__` (version 2 or 3) describes; a copy of memory that must not be written."""
    described = source.__cuda_array_interface__
    dtype = np.dtype(described["typestr"])
    if dtype.name not in DTYPES or described.get("mask") is not None:
        raise TypeError(f"{type(source).__name__} of {described['typestr']} is no tensor")
    shape: Sequence[int] = tuple(map(int, described["shape"]))
    strides = described.get("strides")
    if strides is not None and any(s % dtype.itemsize or s < 0 for s in strides):
        raise BufferError("strides that are no whole elements, or negative")
    steps = contiguous_strides(shape) if strides is None else tuple(s // dtype.itemsize for s in strides)
    address, read_only = described["data"]
    device: Any = device_named("cuda")
    keep = [source]
    lent = Lent(int(address or 0), tuple(shape), tuple(steps), dtype, (CUDA, 0), keep.clear)
    array: DeviceArray = device.adopt(lent, stream=described.get("stream"))
    return array.copy() if read_only else array
