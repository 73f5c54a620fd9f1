"""npz files, and the zip container under them and under PyTorch's checkpoints."""
from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.ir.weights import read_weights
from scriptc.ir.weights.zip_members import read_member, read_members
from tests.weights.forge import same, zip_file

Refused = Callable[[bytes], str]


def npy(header: str, body: bytes = bytes(24), version: int = 1) -> bytes:
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header.encode("latin1") + body


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(tmp_path: Path, save: Callable[..., None]) -> None:
    arrays = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "turned": np.arange(6.0).reshape(2, 3).T,
              "scalar": np.array(3), "empty": np.zeros((0, 2), np.int8), "flag": np.array([True]),
              "half": np.array([1.5], np.float16), "complex": np.array([1j]), "deep/name": np.ones(1, np.uint64)}
    save(tmp_path / "a.npz", **arrays)
    weights = read_weights(tmp_path / "a.npz")
    assert weights.format == "npz" and list(weights.tensors) == list(arrays)
    assert all(same(weights.tensors[name], np.ascontiguousarray(array).reshape(array.shape)) for name, array in arrays.items())
    assert all(array.flags.aligned and not array.flags.writeable for array in weights.tensors.values())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_header_is_read(reading: Callable[[bytes], Any], version: int) -> None:
    assert reading(zip_file({"a.npy": npy(HEADER, version=version)})).tensors["a"].shape == (2, 3)


@pytest.mark.parametrize(("raw", "code"), [
    (npy(HEADER.replace("<f4", "|O")), "W0121"), (npy(HEADER.replace("<f4", "<U2")), "W0121"),
    (npy(HEADER.replace("<f4", "|V2")), "W0121"), (npy(HEADER.replace("<f4", ">f4")), "W0122"),
    (npy(HEADER.replace("'<f4'", "[('a', '<f4')]")), "W0122"), (npy(HEADER.replace("(2, 3)", "(2, 4)")), "W0122"),
    (npy(HEADER.replace("(2, 3)", "(-2, 3)")), "W0122"), (npy(HEADER.replace("(2, 3)", "(2, , 3)")), "W0122"),
    (npy(HEADER.replace("(2, 3)", "(0, 281474976710655, 281474976710655)"), b""), "W0122"),
    (npy(HEADER.replace("(2, 3)", "(__import__('os').system('true'), 3)")), "W0122"), (npy("{}"), "W0122"),
    (npy(HEADER[:-1] + "'x': 1}"), "W0122"), (npy(HEADER.replace("(2, 3)", f"({'1, ' * 17}6)")), "W0122"),
    (npy(HEADER, version=4), "W0122"), (npy(HEADER)[:9], "W0122"), (b"", "W0122"), (b"\x93NUMPY\1\0\xff\xff", "W0122"),
    (npy(HEADER.replace("<f4", "|b1"), b"\2" * 6), "W0123"),
])
def test_a_malformed_array_is_refused(refused: Refused, raw: bytes, code: str) -> None:
    assert refused(zip_file({"a.npy": raw})) == code


def test_an_object_array_is_refused(refused: Refused) -> None:
    out = io.BytesIO()
    np.savez(out, a=np.array([{}], dtype=object))
    assert refused(out.getvalue()) == "W0121"


def test_members_are_found_as_zipfile_finds_them() -> None:
    data = zip_file({"a": b"one", "b/c": b"", "ü": b"x" * 1000}, zipfile.ZIP_DEFLATED)
    view = memoryview(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {n: bytes(read_member(view, m)) for n, m in read_members(view).items()} == {
            n: archive.read(n) for n in archive.namelist()}


GOOD = zip_file({"a.npy": npy(HEADER), "b.npy": npy(HEADER)})
CENTRAL = GOOD.index(b"PK\1\2")
END = GOOD.index(b"PK\5\6")


def patched(at: int, layout: str, value: int, data: bytes = GOOD) -> bytes:
    raw = struct.pack("<" + layout, value)
    return data[:at] + raw + data[at + len(raw):]


@pytest.mark.parametrize(("data", "code"), [
    (patched(CENTRAL + 8, "H", 1), "W0106"), (patched(CENTRAL + 10, "H", 12), "W0106"), (patched(CENTRAL + 16, "I", 7), "W0107"),
    (patched(CENTRAL + 20, "I", 7), "W0106"), (patched(CENTRAL + 24, "I", 7), "W0106"), (patched(CENTRAL + 28, "H", 999), "W0106"),
    (patched(CENTRAL + 42, "I", 1 << 30), "W0106"), (patched(CENTRAL + 42, "I", 10), "W0106"), (patched(CENTRAL, "I", 0), "W0106"),
    (patched(CENTRAL + 42, "I", 0xFFFFFFFF), "W0106"), (patched(END + 8, "H", 3), "W0106"), (patched(END + 10, "H", 3), "W0106"),
    (patched(END + 16, "I", 0), "W0106"), (patched(END + 12, "I", 1), "W0106"), (patched(END + 4, "H", 1), "W0106"),
    (patched(END + 20, "H", 9), "W0106"), (GOOD + b"x", "W0106"), (GOOD[:END], "W0105"), (GOOD[:-4], "W0105"),
    (patched(END + 16, "I", 0xFFFFFFFF), "W0106"), (patched(60, "B", 7), "W0107"), (patched(30, "B", 7), "W0106"),
    (GOOD[:4], "W0105"), (b"PK\3\4PK\5\6" + bytes(18), "W0106"),
])
def test_a_malformed_zip_file_is_refused(refused: Refused, data: bytes, code: str) -> None:
    assert refused(data) == code


def test_overlapping_and_duplicate_members_are_refused(refused: Refused) -> None:
    second = GOOD.index(b"PK\1\2", CENTRAL + 1)
    header = struct.unpack_from("<I", GOOD, CENTRAL + 42)[0]
    assert refused(patched(second + 42, "I", header)) == "W0106"
    assert refused(GOOD.replace(b"b.npy", b"a.npy")) == "W0106"


def test_a_member_that_inflates_to_more_than_it_says_is_refused(refused: Refused) -> None:
    data = zip_file({"a.npy": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    assert refused(patched(data.index(b"PK\1\2") + 24, "I", 100, data)) == "W0107"


@pytest.mark.parametrize(("size_limit", "count_limit"), [(10, 100), (1 << 31, 1), (10, 1)])
def test_the_64_bit_records_of_large_files_are_read(monkeypatch: pytest.MonkeyPatch, size_limit: int, count_limit: int) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", size_limit)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", count_limit)
    data = zip_file({"a": b"x" * 100, "b": b"y" * 200})
    assert b"PK\6\6" in data
    assert {n: len(read_member(memoryview(data), m)) for n, m in read_members(memoryview(data)).items()} == {"a": 100, "b": 200}
