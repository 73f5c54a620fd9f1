"""Arrays in a device's memory, and the devices by name. Knows no engine: a device is what the engine's package gives.

`Array` is what a tensor is over: numpy's on the host, a `DeviceArray` elsewhere.
"""
from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from scriptc.errors import CallError, diagnostic

Shape: TypeAlias = tuple[int, ...]


class Block(Protocol):
    """Bytes in a device's memory; they are free again when nobody holds the block."""

    address: int
    nbytes: int


class Device(Protocol):
    """What an engine does for the arrays in its memory."""

    name: str       # as users write it
    target: str     # as plans know it

    def empty(self, shape: Shape, dtype: np.dtype) -> DeviceArray: ...
    def upload(self, array: np.ndarray) -> DeviceArray: ...
    def download(self, array: DeviceArray) -> np.ndarray: ...
    def copy(self, target: DeviceArray, source: DeviceArray) -> None: ...
    def fill(self, target: DeviceArray, value: Any) -> None: ...
    def cast(self, target: DeviceArray, source: DeviceArray) -> None: ...
    def add(self, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None: ...
    def synchronize(self) -> None: ...
    def export(self, array: DeviceArray, stream: Any) -> Any: ...
    def statistics(self) -> dict[str, int]: ...


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Elements from place to place along each dimension of an array without gaps."""
    strides, step = [0] * len(shape), 1
    for dim in range(len(shape) - 1, -1, -1):
        strides[dim] = step
        step *= shape[dim]
    return tuple(strides)


class Flags(NamedTuple):
    """What is asked of an array's memory, under numpy's names."""

    c_contiguous: bool
    writeable: bool = True


class DeviceArray:
    """An n-dimensional array in a device's memory: `offset` bytes into `block`, `strides` in elements. Views share the block."""

    __slots__ = ("__weakref__", "_key", "block", "device", "dtype", "flat", "is_contiguous", "offset", "shape", "size", "strides")
    __array_ufunc__ = None      # numpy leaves its operators to us

    def __init__(self, device: Device, block: Any, offset: int, shape: Shape, strides: Shape, dtype: np.dtype) -> None:
        self.device = device
        self.block = block
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.size = math.prod(shape)
        self.is_contiguous = self.size == 0 or all(n == 1 or s == c for n, s, c in zip(shape, strides, contiguous_strides(shape), strict=True))
        self.flat: Any = None   # how the engine hands it to kernels, remembered
        self._key: tuple[int, Shape] | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def key(self) -> tuple[int, Shape]:
        """What launches over the array depend on: where it begins, and its strides."""
        if self._key is None:
            self._key = self.address, self.strides
        return self._key

    @property
    def flags(self) -> Flags:
        return Flags(self.is_contiguous)

    @property
    def address(self) -> int:
        return int(self.block.address) + self.offset

    def __len__(self) -> int:
        return self.shape[0]

    def view(self, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> DeviceArray:
        """The elements from `offset` on (in elements) at other sizes and strides. IndexError if some lie outside the block."""
        sizes, steps = tuple(map(int, shape)), tuple(map(int, strides))
        start = self.offset + offset * self.dtype.itemsize
        if math.prod(sizes):
            reach = [(n - 1) * s for n, s in zip(sizes, steps, strict=True)]
            low = start + sum(r for r in reach if r < 0) * self.dtype.itemsize
            high = start + (sum(r for r in reach if r > 0) + 1) * self.dtype.itemsize
            if low < 0 or high > self.block.nbytes:
                raise IndexError(f"a view of {list(sizes)} by {list(steps)} leaves its memory")
        return DeviceArray(self.device, self.block, start, sizes, steps, self.dtype)

    def reshape(self, shape: Sequence[int]) -> DeviceArray:
        """The elements in order in another shape; a copy unless the array is contiguous."""
        source = self if self.is_contiguous else self.copy()
        return source.view(shape, contiguous_strides(shape))

    def copy(self) -> DeviceArray:
        """A contiguous copy."""
        made = self.device.empty(self.shape, self.dtype)
        self.device.copy(made, self)
        return made

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        """The elements in another dtype."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self.copy() if copy else self
        made = self.device.empty(self.shape, wanted)
        self.device.cast(made, self)
        return made

    def host(self) -> np.ndarray:
        """A copy in the host's memory; waits for the device."""
        return self.device.download(self)

    def item(self) -> Any:
        """The only element."""
        return self.host().item()

    def tolist(self) -> Any:
        return self.host().tolist()

    def __add__(self, other: DeviceArray) -> DeviceArray:
        made = self.device.empty(self.shape, self.dtype)
        self.device.add(self, other, made)
        return made

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the interface; the device has finished with the array when it is read."""
        self.device.synchronize()
        strides = None if self.is_contiguous else tuple(s * self.dtype.itemsize for s in self.strides)
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.address if self.size else 0, False), "strides": strides, "version": 3}

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        """numpy's functions that make or overwrite whole arrays."""
        own = _NUMPY.get(function)
        if own is None:
            raise refused_by_numpy(self)
        return own(*arguments, **keywords)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise refused_by_numpy(self)

    def __iter__(self) -> Iterator[Any]:
        raise refused_by_numpy(self)

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)} on {self.device.name})"


Array: TypeAlias = np.ndarray | DeviceArray
ARRAYS = (np.ndarray, DeviceArray)


def refused_by_numpy(array: DeviceArray) -> TypeError:
    """torch's error for a device tensor that numpy should read."""
    return TypeError(f"can't convert {array.device.name} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")


def overwrite(target: Array, source: Array) -> None:
    """target = source, broadcast and cast, wherever each of them is."""
    if isinstance(target, np.ndarray):
        np.copyto(target, host(source), casting="unsafe")
    else:
        device = target.device
        moved = source if isinstance(source, DeviceArray) else device.upload(np.asarray(source, target.dtype))
        device.copy(target, moved.astype(target.dtype, copy=False))


_NUMPY: dict[Any, Any] = {
    np.copyto: lambda target, source, casting="same_kind": overwrite(target, source),
    np.zeros_like: lambda array: full_like(array, 0),
    np.ones_like: lambda array: full_like(array, 1),
}


def full_like(like: Array, value: Any) -> Array:
    """An array of the same kind, shape and dtype, all of whose elements are `value`."""
    if isinstance(like, np.ndarray):
        return np.full(like.shape, value, like.dtype)
    made = like.device.empty(like.shape, like.dtype)
    like.device.fill(made, value)
    return made


def beside(value: Any, like: Array, dtype: Any = None) -> Array:
    """`value` as an array where `like` is, in its dtype or another."""
    wanted = like.dtype if dtype is None else dtype
    if isinstance(like, np.ndarray):
        return np.asarray(host(value), wanted)
    moved = value if isinstance(value, DeviceArray) else like.device.upload(np.asarray(value, wanted))
    return moved.astype(wanted, copy=False)


def device_of(array: Array) -> Device | None:
    """Where an array is; None for the host."""
    return array.device if isinstance(array, DeviceArray) else None


def target_of(array: Array) -> str:
    """The engine that works where an array is, as plans name it."""
    return array.device.target if isinstance(array, DeviceArray) else "cpu"


_PACKAGES = {"cuda": "scriptc_runtime.cuda.engine"}


@functools.cache
def device_named(name: str) -> Device | None:
    """The device of this name, made on first use; None for the host. CallError R0114 if there is none, or it cannot be used."""
    kind, _, number = str(name).partition(":")
    if kind == "cpu" and number in ("", "0"):
        return None
    if kind in _PACKAGES and number in ("", "0"):
        found: Device = importlib.import_module(_PACKAGES[kind]).device()
        return found
    raise CallError(diagnostic("R0114", device=name, reason="the devices are 'cpu' and 'cuda'"))


def host(value: Any) -> Any:
    """`value` with every array in it in the host's memory."""
    if isinstance(value, DeviceArray):
        return value.host()
    return _mapped(value, DeviceArray, host)


def placed(value: Any, device: Device) -> Any:
    """`value` with every array in it in the device's memory."""
    if isinstance(value, np.ndarray):
        return device.upload(value)
    return _mapped(value, np.ndarray, lambda v: placed(v, device))


def _mapped(value: Any, kind: type, function: Any) -> Any:
    if type(value) is list:
        return [function(v) for v in value]
    if type(value) is tuple:
        return tuple(function(v) for v in value)
    if type(value) is dict:
        return {k: function(v) for k, v in value.items()}
    return value
