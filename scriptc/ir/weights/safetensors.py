"""The safetensors format: eight bytes of length, a JSON header, then the tensors without gaps.

Specification: https://huggingface.co/docs/safetensors. Stricter than it must be: no duplicate keys, no unknown ones.
"""
from __future__ import annotations

import json
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES, DType
from scriptc.ir.weights.elements import shaped
from scriptc.ir.weights.refuse import need, refusal
from scriptc.ir.weights.symbols import MAX_RANK, is_count

MAX_HEADER = 16 << 20
_DTYPES: dict[str, DType] = {code: DTYPES[name] for code, name in [
    ("BOOL", "bool"), ("U8", "uint8"), ("I8", "int8"), ("U16", "uint16"), ("I16", "int16"), ("U32", "uint32"),
    ("I32", "int32"), ("U64", "uint64"), ("I64", "int64"), ("F16", "float16"), ("BF16", "bfloat16"), ("F32", "float32"),
    ("F64", "float64"), ("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2"), ("C64", "complex64"),
]}


def looks_like_safetensors(data: memoryview) -> bool:
    """A plausible header length, then the brace that opens the header."""
    return len(data) >= 10 and int.from_bytes(data[:8], "little") <= 100 << 20 and data[8] == ord("{")


def read_safetensors(data: memoryview) -> dict[str, np.ndarray]:
    """The tensors by name, as read-only views of `data`. WeightsError if anything about the file is wrong."""
    length = int.from_bytes(data[:8], "little")
    need(length <= MAX_HEADER, "W0108", what="bytes of the header", found=length, limit=MAX_HEADER)
    need(8 + length <= len(data), "W0105", what="the header")
    header = _parse(bytes(data[8:8 + length]))
    _check_metadata(header.pop("__metadata__", {}))
    body = data[8 + length:]
    entries = sorted((_entry(name, entry) for name, entry in header.items()), key=lambda entry: entry[3:])
    tensors: dict[str, np.ndarray] = {}
    position = 0
    for name, dtype, shape, begin, end in entries:
        need(begin == position, "W0120", what=f"tensor {name!r} begins at byte {begin}; expected {position}")
        need(end <= len(body), "W0105", what=f"tensor {name!r}")
        tensors[name] = shaped(body[begin:end], dtype, shape, name)
        position = end
    need(position == len(body), "W0120", what=f"{len(body) - position} bytes follow the last tensor")
    return {name: tensors[name] for name in header}


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise refusal("W0120", what=f"the header is no JSON object ({type(error).__name__})") from None
    need(type(header) is dict, "W0120", what="the header is no JSON object")
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    need(len(result) == len(pairs), "W0120", what="the header has a duplicate key")
    return result


def _check_metadata(metadata: Any) -> None:
    need(type(metadata) is dict and all(type(v) is str for v in metadata.values()), "W0120",
         what="the metadata is no mapping of texts")


def _entry(name: str, entry: Any) -> tuple[str, DType, tuple[int, ...], int, int]:
    need(type(entry) is dict and set(entry) == {"dtype", "shape", "data_offsets"}, "W0120",
         what=f"tensor {name!r} needs exactly dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    need(type(code) is str and code in _DTYPES, "W0121", name=name, found=str(code)[:40], known=", ".join(_DTYPES))
    need(type(shape) is list and len(shape) <= MAX_RANK and all(map(is_count, shape)), "W0120",
         what=f"tensor {name!r} has a malformed shape")
    need(type(offsets) is list and len(offsets) == 2 and all(map(is_count, offsets)), "W0120",
         what=f"tensor {name!r} has malformed offsets")
    size, wide = _DTYPES[code].itemsize, 1
    for dim in shape:
        size, wide = size * dim, wide * max(dim, 1)
    need(wide < 1 << 48 and offsets[1] - offsets[0] == size, "W0120",
         what=f"tensor {name!r} has {offsets[1] - offsets[0]} bytes; its shape needs {size}")
    return name, _DTYPES[code], tuple(shape), offsets[0], offsets[1]
