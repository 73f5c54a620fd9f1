"""safetensors: a JSON header and raw tensors, every byte accounted for (huggingface/safetensors, its README)."""
from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES
from scriptc.ir.weights.refusal import refuse

MAX_HEADER = 16 << 20
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
           "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
           "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}


def looks_like(head: bytes) -> bool:
    """True if the first bytes can be a safetensors header."""
    return len(head) > 9 and struct.unpack("<Q", head[:8])[0] <= MAX_HEADER and head[8:9] == b"{"


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors by name, as views of one read-only map. WeightsError if a rule of the format is broken."""
    data = np.memmap(path, np.uint8, "r")
    size = struct.unpack("<Q", data[:8].tobytes())[0]
    if size > MAX_HEADER or 8 + size > len(data):
        raise refuse(path, "the header is longer than the file")
    try:
        header = json.loads(data[8:8 + size].tobytes(), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"bad header: {error}") from None
    if not isinstance(header, dict):
        raise refuse(path, "the header is no object")
    header.pop("__metadata__", None)
    body = data[8 + size:]
    entries = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
            raise refuse(path, f"tensor {name!r} has no known dtype")
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if not is_ints(shape) or not is_ints(offsets) or len(offsets) != 2 or len(shape) > 16:
            raise refuse(path, f"tensor {name!r} has no shape or offsets")
        entries.append((offsets[0], offsets[1], name, DTYPES[_DTYPES[entry["dtype"]]], tuple(shape)))
    position = 0
    tensors: dict[str, np.ndarray] = {}
    for start, end, name, dtype, shape in sorted(entries, key=lambda e: (e[0], e[1])):
        count = 1
        for s in shape:
            count *= s
        if start != position or end - start != count * dtype.itemsize or end > len(body):
            raise refuse(path, f"tensor {name!r} does not lie where it should")
        tensors[name] = np.frombuffer(body[start:end].tobytes() if start % dtype.itemsize else body[start:end], dtype.numpy).reshape(shape)
        position = end
    if position != len(body):
        raise refuse(path, "bytes are left over at the end")
    return {name: tensors[name] for name in header}


def is_ints(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 2**48 for v in value)
