"""What a checkpoint's pickle may name: a closed vocabulary, as data.

A pickle's GLOBAL finds one of these symbols, or the file is refused; REDUCE and BUILD recognise the few shapes in which
torch.save uses them and build plain data. There is no class, function or module of PyTorch behind any of it.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES, DType

MAX_RANK = 16
MAX_COUNT = 1 << 48
_MAX_SCALAR_TEXT = 64


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name of the vocabulary: what it does (`kind`), and the dtype it stands for, if any."""

    kind: str
    dtype: DType | None = None


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A run of `count` elements in the container, by key; `part` is (offset, count) of a view of it in old files."""

    key: str
    dtype: DType
    count: int
    part: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor as the pickle describes it; offset and strides count elements of `dtype`."""

    storage: StorageRef
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Malformed(Exception):
    """A symbol is used in a shape that torch.save never writes; the text says what is wrong."""


_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}

VOCABULARY: dict[tuple[str, str], Symbol] = {
    ("collections", "OrderedDict"): Symbol("ordered_dict"),
    ("torch._utils", "_rebuild_tensor"): Symbol("tensor_v1"),
    ("torch._utils", "_rebuild_tensor_v2"): Symbol("tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"): Symbol("tensor_v3"),
    ("torch._utils", "_rebuild_parameter"): Symbol("parameter"),
    ("torch", "Size"): Symbol("size"),
    ("torch", "device"): Symbol("device"),
    ("torch.storage", "UntypedStorage"): Symbol("storage", DTYPES["uint8"]),
    **{("torch", f"{name}Storage"): Symbol("storage", DTYPES[dtype]) for name, dtype in _STORAGES.items()},
    **{("torch", name): Symbol("dtype", dtype) for name, dtype in DTYPES.items()},
    # A training checkpoint's best loss is often a numpy scalar; these four spell one.
    ("numpy.core.multiarray", "scalar"): Symbol("numpy_scalar"),
    ("numpy._core.multiarray", "scalar"): Symbol("numpy_scalar"),
    ("numpy", "dtype"): Symbol("numpy_dtype"),
    ("_codecs", "encode"): Symbol("encode"),
}

_NUMPY_CODES = {"b1": "bool"} | {
    np.dtype(name).str[1:]: name
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                 "uint64")}


@dataclass(frozen=True, slots=True)
class NumpyDType:
    """A numpy dtype inside the pickle of a numpy scalar."""

    dtype: np.dtype


def is_count(value: object) -> bool:
    """A size, stride or offset: an int (and no bool) that no arithmetic here overflows."""
    return type(value) is int and 0 <= value < MAX_COUNT


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise Malformed(what)


def storage_of(identifier: Any) -> StorageRef:
    """The storage that a persistent id names: ('storage', type, key, location, count), in old files with a view."""
    _check(type(identifier) is tuple and len(identifier) in (5, 6) and identifier[0] == "storage",
           "a persistent id that is no storage")
    _, symbol, key, location, count, *view = identifier
    _check(type(symbol) is Symbol and symbol.kind == "storage", "a storage of unknown type")
    _check(type(key) is str and key.isascii() and key.isdigit() and len(key) <= 32, "a storage with a malformed key")
    _check(type(location) is str and is_count(count), "a storage with a malformed place or size")
    part = None
    if view and view[0] is not None:
        _check(type(view[0]) is tuple and len(view[0]) == 3 and is_count(view[0][1]) and is_count(view[0][2]),
               "a malformed view of a storage")
        part = (view[0][1], view[0][2])
        _check(part[0] + part[1] <= count, "a view outside its storage")
    return StorageRef(key, symbol.dtype, count, part)


def apply(symbol: Any, arguments: Any) -> Any:
    """What REDUCE makes of a symbol and its arguments: plain data, a TensorRef, or Malformed."""
    _check(type(symbol) is Symbol and symbol.kind in _RULES, "a call of something that cannot be called")
    _check(type(arguments) is tuple, "a call without an argument tuple")
    return _RULES[symbol.kind](arguments)


def set_state(target: object, state: object) -> Any:
    """What BUILD makes of a value and its state: only the metadata of a state_dict, which is dropped, is known."""
    if type(target) is dict and type(state) is dict and set(state) <= {"_metadata"}:
        return target
    if type(target) is NumpyDType and type(state) is tuple and state[:2] in ((3, "<"), (3, "|")):
        return target
    raise Malformed("attributes on a value that has none")


def _ordered_dict(arguments: tuple) -> dict:
    if not arguments:
        return {}
    (pairs,) = _exactly(arguments, 1)
    _check(type(pairs) is list, "an OrderedDict of something that is no list")
    for pair in pairs:
        _check(type(pair) in (list, tuple) and len(pair) == 2 and type(pair[0]) in (str, int),
               "a malformed OrderedDict")
    return {pair[0]: pair[1] for pair in pairs}


def _tensor(storage: Any, dtype: DType | None, offset: Any, shape: Any, strides: Any) -> TensorRef:
    _check(type(storage) is StorageRef, "a tensor without a storage")
    _check(type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides) <= MAX_RANK,
           "a tensor with a malformed shape")
    _check(is_count(offset) and all(map(is_count, (*shape, *strides))), "a tensor with a malformed shape")
    return TensorRef(storage, dtype or storage.dtype, offset, shape, strides)


def _tensor_v1(arguments: tuple) -> TensorRef:
    storage, offset, shape, strides = _exactly(arguments, 4)
    return _tensor(storage, None, offset, shape, strides)


def _tensor_v2(arguments: tuple) -> TensorRef:
    _check(len(arguments) in (6, 7), "a tensor with too many parts")
    storage, offset, shape, strides, _, hooks, *metadata = arguments
    _no_hooks(hooks, *metadata)
    return _tensor(storage, None, offset, shape, strides)


def _tensor_v3(arguments: tuple) -> TensorRef:
    _check(len(arguments) in (7, 8), "a tensor with too many parts")
    storage, offset, shape, strides, _, hooks, dtype, *metadata = arguments
    _no_hooks(hooks, *metadata)
    _check(type(dtype) is Symbol and dtype.kind == "dtype", "a tensor of unknown element type")
    return _tensor(storage, dtype.dtype, offset, shape, strides)


def _no_hooks(*values: object) -> None:
    _check(all(value is None or (type(value) is dict and not value) for value in values),
           "a tensor with hooks or metadata")


def _parameter(arguments: tuple) -> TensorRef:
    tensor, requires_grad, hooks = _exactly(arguments, 3)
    _no_hooks(hooks)
    _check(type(tensor) is TensorRef and type(requires_grad) is bool, "a malformed parameter")
    return tensor


def _size(arguments: tuple) -> tuple[int, ...]:
    (sizes,) = _exactly(arguments, 1)
    _check(type(sizes) in (tuple, list) and all(map(is_count, sizes)), "a malformed torch.Size")
    return tuple(sizes)


def _device(arguments: tuple) -> None:
    _check(1 <= len(arguments) <= 2 and type(arguments[0]) is str, "a malformed device")


def _numpy_dtype(arguments: tuple) -> NumpyDType:
    _check(1 <= len(arguments) <= 3 and type(arguments[0]) is str and arguments[0] in _NUMPY_CODES,
           "a numpy dtype that is no number")
    return NumpyDType(np.dtype(_NUMPY_CODES[arguments[0]]))


def _encode(arguments: tuple) -> bytes:
    text, encoding = _exactly(arguments, 2)
    # Short, since each use makes a copy: a long text used often would fill the memory.
    short = type(text) is str and len(text) <= _MAX_SCALAR_TEXT
    _check(short and encoding == "latin1" and all(ord(c) < 256 for c in text), "bytes that are no numpy scalar")
    return text.encode("latin1")


def _numpy_scalar(arguments: tuple) -> int | float | bool:
    dtype, raw = _exactly(arguments, 2)
    _check(type(dtype) is NumpyDType and type(raw) in (bytes, str), "a malformed numpy scalar")
    if type(raw) is str:  # Python 2 wrote bytes as text
        raw = _encode((raw, "latin1"))
    _check(len(raw) == dtype.dtype.itemsize, "a malformed numpy scalar")
    return np.frombuffer(raw, dtype.dtype.newbyteorder("<"))[0].item()


def _exactly(arguments: tuple, count: int) -> tuple:
    _check(len(arguments) == count, "a call with the wrong number of arguments")
    return arguments


_RULES: dict[str, Any] = {
    "ordered_dict": _ordered_dict, "tensor_v1": _tensor_v1, "tensor_v2": _tensor_v2, "tensor_v3": _tensor_v3,
    "parameter": _parameter, "size": _size, "device": _device, "numpy_dtype": _numpy_dtype, "encode": _encode,
    "numpy_scalar": _numpy_scalar,
}
