"""safetensors files are read as their specification says, and nothing beyond it."""
from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.ir.weights import read_weights
from tests.weights.forge import safetensors_file, same

Refused = Callable[[bytes], str]


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_tensors_are_read_in_the_order_of_the_header(reading: Callable[[bytes], Any]) -> None:
    header = {"__metadata__": {"format": "pt"}, "b": entry(8, 16), "a": entry(0, 8, [2, 1]), "e": entry(16, 16, [0, 3])}
    weights = reading(safetensors_file(header, struct.pack("<4f", 1, 2, 3, 4)))
    assert {name: array.tolist() for name, array in weights.tensors.items()} == {"b": [3, 4], "a": [[1], [2]], "e": []}
    assert list(weights.tensors) == ["b", "a", "e"] and weights.format == "safetensors"


def test_unaligned_tensors_are_read_aligned(reading: Callable[[bytes], Any]) -> None:
    header = {"a": entry(0, 1, [1], "U8"), "b": entry(1, 9, [1], "F64")}
    array = reading(safetensors_file(header, b"\7" + struct.pack("<d", 2.5))).tensors["b"]
    assert array.tolist() == [2.5] and array.flags.aligned and not array.flags.writeable


@pytest.mark.parametrize(("dtype", "raw", "expected"), [
    ("BF16", b"\xc0\x3f", 1.5), ("F16", b"\x00\x3c", 1.0), ("F8_E4M3", b"\x38", 1.0), ("F8_E5M2", b"\x3c", 1.0),
    ("BOOL", b"\x01", True), ("I8", b"\xff", -1), ("U16", b"\xff\xff", 65535), ("I64", b"\xfe" + b"\xff" * 7, -2),
    ("C64", struct.pack("<2f", 1, 2), 1 + 2j),
])
def test_every_element_type_is_read(reading: Callable[[bytes], Any], dtype: str, raw: bytes, expected: Any) -> None:
    weights = reading(safetensors_file({"x": entry(0, len(raw), [], dtype)}, raw))
    assert weights.tensors["x"].item() == expected


BODY = bytes(16)
HOSTILE = {
    "a gap": ({"a": entry(0, 4), "b": entry(8, 16)}, "W0120"),
    "an overlap": ({"a": entry(0, 12), "b": entry(8, 16)}, "W0120"),
    "a second name for the same bytes": ({"a": entry(0, 16), "b": entry(0, 16)}, "W0120"),
    "bytes after the last tensor": ({"a": entry(0, 12)}, "W0120"),
    "a tensor beyond the end": ({"a": entry(0, 20)}, "W0105"),
    "offsets that go back": ({"a": entry(16, 0, [4])}, "W0120"),
    "a shape of another size": ({"a": entry(0, 16, [5])}, "W0120"),
    "a shape that overflows to the right size": ({"a": entry(0, 16, [1 << 32, 1 << 32, 4])}, "W0120"),
    "an empty shape that overflows": ({"e": entry(0, 0, [0, 1 << 47, 1 << 47]), "a": entry(0, 16)}, "W0120"),
    "a negative size": ({"a": entry(0, 16, [-4])}, "W0120"),
    "a fractional size": ({"a": entry(0, 16, [4.0])}, "W0120"),
    "a boolean size": ({"a": entry(0, 16, [4, True])}, "W0120"),
    "seventeen dimensions": ({"a": entry(0, 16, [1] * 16 + [4])}, "W0120"),
    "one offset": ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}}, "W0120"),
    "offsets as text": ({"a": {"dtype": "F32", "shape": [4], "data_offsets": ["0", "16"]}}, "W0120"),
    "no dtype": ({"a": {"shape": [4], "data_offsets": [0, 16]}}, "W0120"),
    "an unknown field": ({"a": entry(0, 16) | {"code": "x"}}, "W0120"),
    "an entry that is no object": ({"a": [1]}, "W0120"),
    "an unknown dtype": ({"a": entry(0, 16, dtype="F31")}, "W0121"),
    "a dtype that is no text": ({"a": entry(0, 16, dtype=["F32"])}, "W0121"),
    "metadata that is no object": ({"__metadata__": [], "a": entry(0, 16)}, "W0120"),
    "metadata with numbers": ({"__metadata__": {"a": 1}, "a": entry(0, 16)}, "W0120"),
    "a bool of seven": ({"a": entry(0, 16, dtype="BOOL", shape=[16])}, "W0123"),
    "a header that is a list": (b"{]", "W0120"),
    "a header cut short": (b'{"a":', "W0120"),
    "a header that is not UTF-8": (b'{"\xff": 1}', "W0120"),
    "a duplicate key": (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{}}', "W0120"),
    "a duplicate field": (b'{"a":{"dtype":"F32","dtype":"I32","shape":[4],"data_offsets":[0,16]}}', "W0120"),
    "a deep header": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "W0120"),
    "a number of many digits": (b'{"a":' + b"9" * 10_000 + b"}", "W0120"),
    "nothing": ({}, "W0120"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malformed_header_is_refused(refused: Refused, case: str) -> None:
    header, code = HOSTILE[case]
    body = b"\7" * 16 if "seven" in case and "bool" in case else BODY
    assert refused(safetensors_file(header, body)) == code


@pytest.mark.parametrize(("length", "code"), [(1 << 20, "W0105"), (17 << 20, "W0108")])
def test_a_header_longer_than_the_file_or_the_limit_is_refused(refused: Refused, length: int, code: str) -> None:
    assert refused(length.to_bytes(8, "little") + b"{" * 64) == code


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    numpy_writer = pytest.importorskip("safetensors.numpy")
    arrays = {f"{dtype}.{n}": np.arange(n, dtype=dtype) for dtype in ("float32", "int64", "uint8", "bool") for n in (0, 1, 2)}
    numpy_writer.save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "np"})
    tensors = read_weights(tmp_path / "a.safetensors").tensors
    assert set(tensors) == set(arrays) and all(same(tensors[name], arrays[name]) for name in arrays)
