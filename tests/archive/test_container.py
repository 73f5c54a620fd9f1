"""Writing and reading: what goes in comes out, in the bytes the specification says."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import msgpack.fallback
import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive import format as spec
from scriptc.ir.archive.format import CODES, ELEMENTS, Limits, numpy_dtype
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.writer import write_archive

SMALLEST = (
    b"\x85\xa7scriptc\x92\x01\x00" b"\xa8sections\xdf\x00\x00\x00\x00" b"\xa5blobs\xdd\x00\x00\x00\x00"
    b"\xa5index\x83\xa5blobs\x90\xa8sections\x90\xa7tensors\x80"
    b"\xa3end\xc4\x30" b"\x00\x00\x00\x00\x00\x00\x00\x2b" b"\x00\x00\x00\x00\x00\x00\x00\x1b"
)


def values_of(code: str, count: int) -> np.ndarray:
    """Elements of a type, made from every bit pattern but the two that a boolean cannot have."""
    dtype = numpy_dtype(code)
    if ELEMENTS[code].bits < 8:
        return (np.arange(count) % 16 - (8 if code == "i4" else 0)).astype(np.int8).astype(dtype)
    raw = (np.arange(count * dtype.itemsize) * 37 + 11).astype(np.uint8)
    return (raw & 1).view(dtype) if code == "bool" else raw.view(dtype)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_the_smallest_archive_byte_for_byte(tmp_path: Path) -> None:
    root = write_archive(tmp_path / "a.pt", {}, {})
    assert (tmp_path / "a.pt").read_bytes() == SMALLEST + root


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "loaded"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (0, 3), (3, 5), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("code", ELEMENTS)
def test_every_element_type_comes_back_bit_for_bit(code: str, shape: tuple[int, ...], mmap: bool,
                                                    tmp_path: Path) -> None:
    array = values_of(code, int(np.prod(shape))).reshape(shape)
    write_archive(tmp_path / "a.pt", {}, {"t": array})
    with read_archive(tmp_path / "a.pt", mmap=mmap) as archive:
        found = archive.tensor("t")
        assert same(found, array)
        assert not found.flags.writeable
        if ELEMENTS[code].bits >= 8:
            assert found.ctypes.data % 64 == 0


def test_every_dtype_of_the_ir_can_be_stored() -> None:
    from scriptc.ir.types import DTYPES

    assert set(DTYPES) <= set(CODES)


def unpack_in_python(raw: bytes) -> Any:
    unpacker = msgpack.fallback.Unpacker()
    unpacker.feed(raw)
    return unpacker.unpack()


@pytest.mark.parametrize("unpack", [msgpack.unpackb, unpack_in_python], ids=["C", "pure Python"])
def test_any_msgpack_reader_walks_the_document(unpack: Any, tmp_path: Path) -> None:
    array = np.arange(5, dtype="<f4")
    write_archive(tmp_path / "a.pt", {"meta": {"k": [1, None]}}, {"w": array, "v": array.astype("<i8")})
    document = unpack((tmp_path / "a.pt").read_bytes())
    assert list(document) == ["scriptc", "sections", "blobs", "index", "end"]
    assert document["sections"]["meta"] == {"k": [1, None]}
    blob, code, dims = document["index"]["tensors"]["v"]
    assert (code, dims) == ("i64", [5])
    assert np.frombuffer(document["blobs"][2 * blob + 1], "<i8").tolist() == [0, 1, 2, 3, 4]


def test_tied_tensors_are_stored_once_and_load_as_one_array(tmp_path: Path) -> None:
    weight = np.ones((3, 4), np.float32)
    write_archive(tmp_path / "a.pt", {}, {"embed": weight, "other": weight.copy(), "head": weight[:]})
    with read_archive(tmp_path / "a.pt") as archive:
        assert archive.tensor("head") is archive.tensor("embed")
        assert archive.tensor("other") is not archive.tensor("embed")


def test_a_square_matrix_and_its_transpose_are_not_tied(tmp_path: Path) -> None:
    weight = np.arange(9, dtype=np.float32).reshape(3, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_archive(tmp_path / "a.pt", {}, {"w": weight, "t": weight.T})
    with read_archive(tmp_path / "a.pt") as archive:
        assert archive.tensor("t").tolist() == weight.T.tolist()


def test_overlapping_views_become_copies_with_a_warning(tmp_path: Path) -> None:
    memory = np.arange(10.0)
    with pytest.warns(UserWarning, match="overlapping views"):
        write_archive(tmp_path / "a.pt", {}, {"a": memory[:6], "b": memory[4:]})
    with read_archive(tmp_path / "a.pt") as archive:
        assert archive.tensor("b").tolist() == memory[4:].tolist()


@pytest.mark.parametrize("view", [
    lambda a: a[::2], lambda a: a[:, 1:3], lambda a: a.T, lambda a: a[::-1], lambda a: np.broadcast_to(a[0], (3, 6)),
    lambda a: a.astype(">f4"), np.asfortranarray,
], ids=["stepped", "sliced", "transposed", "reversed", "broadcast", "big endian", "Fortran order"])
def test_views_are_stored_contiguous_and_little_endian(view: Any, tmp_path: Path) -> None:
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    write_archive(tmp_path / "a.pt", {}, {"t": array})
    with read_archive(tmp_path / "a.pt") as archive:
        found = archive.tensor("t")
        assert found.tolist() == array.tolist()
        assert found.flags.c_contiguous
        assert found.dtype == np.dtype("<f4")


def test_a_tensor_larger_than_one_blob_is_cut_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "CHUNK_BYTES", 64)
    large, small = np.arange(100, dtype=np.float64), np.arange(8, dtype=np.float64)
    write_archive(tmp_path / "a.pt", {}, {"large": large, "small": small, "again": large})
    with read_archive(tmp_path / "a.pt") as archive:
        assert archive.tensors["large"].blobs == 13
        assert archive.tensors["small"].blob == 13
        assert same(archive.tensor("large"), large)
        assert same(archive.tensor("small"), small)
        assert archive.tensor("again") is archive.tensor("large")
        archive.verify()
    data = bytearray((tmp_path / "a.pt").read_bytes())
    data[msgpack.unpackb(data)["index"]["blobs"][12][0]] ^= 1
    with pytest.raises(ArchiveError) as caught:
        read_archive(bytes(data)).tensor("large")
    assert caught.value.code == "A0109"


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    sections = {"b": {"y": 1, "x": 2.0}, "a": [b"\x00", "text", None, True]}
    for name, order in (("1.pt", ["a", "b"]), ("2.pt", ["b", "a"])):
        write_archive(tmp_path / name, {k: sections[k] for k in order}, {"w": np.ones(3), "v": np.zeros(2)})
    assert (tmp_path / "1.pt").read_bytes() == (tmp_path / "2.pt").read_bytes()


def test_load_and_save_gives_the_same_bytes(program_file: Path, tmp_path: Path) -> None:
    with read_archive(program_file) as archive:
        root = write_archive(tmp_path / "again.pt", {n: archive.section(n) for n in archive.sections},
                             {n: archive.tensor(n) for n in archive.tensors})
        assert root == archive.root
    assert (tmp_path / "again.pt").read_bytes() == program_file.read_bytes()


def test_saving_over_the_file_its_tensors_are_mapped_from(program_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(program_file.read_bytes())
    archive = read_archive(path)
    tensors = {n: archive.tensor(n) for n in archive.tensors}
    before = {n: t.tobytes() for n, t in tensors.items()}
    write_archive(path, {"new": 1}, tensors)
    assert {n: t.tobytes() for n, t in tensors.items()} == before
    with read_archive(path) as replaced:
        assert {n: replaced.tensor(n).tobytes() for n in replaced.tensors} == before


def test_arrays_outlive_the_closed_archive(program_file: Path) -> None:
    archive = read_archive(program_file)
    array = archive.tensor("fc.weight")
    archive.close()
    archive.close()
    assert array.sum() == 120
    for use in (lambda: archive.tensor("fc.weight"), lambda: archive.section("ir"), archive.verify):
        with pytest.raises(ArchiveError) as caught:
            use()
        assert caught.value.code in ("A0129", "A0127")


def test_an_error_names_the_file(tmp_path: Path, program_file: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(program_file.read_bytes()[:-5])
    with pytest.raises(ArchiveError, match=r"in file .*broken\.pt"):
        read_archive(path)
    with read_archive(program_file) as archive, pytest.raises(ArchiveError, match=r"in file .*net\.pt"):
        archive.tensor("missing")


@pytest.mark.parametrize(("kind", "name"), [("tensor", "w"), ("section", "nowhere")])
def test_asking_for_what_is_not_there_lists_what_is(kind: str, name: str, program_file: Path) -> None:
    with read_archive(program_file) as archive, pytest.raises(ArchiveError) as caught:
        getattr(archive, kind)(name)
    assert caught.value.code == "A0127"
    assert ("fc.weight" if kind == "tensor" else "srcmap") in str(caught.value)


@pytest.mark.parametrize("path", ["missing.pt", "."], ids=["missing file", "directory"])
def test_file_system_errors_stay_what_they_are(path: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)):
        read_archive(tmp_path / path)


@pytest.mark.parametrize(("sections", "tensors", "code"), [
    ({"a b": 1}, {}, "A0118"), ({"../a": 1}, {}, "A0118"), ({"a": {1: 2}}, {}, "A0111"),
    ({"a": {b"k": 2}}, {}, "A0114"), pytest.param({"a": object()}, {}, "A0150", id="an object-A0150"), ({"a": 1 << 64}, {}, "A0150"),
    ({"a": {1, 2}}, {}, "A0150"), ({"a": "\ud800"}, {}, "A0150"),
    ({"a": msgpack.Timestamp(1)}, {}, "A0111"), ({"a": "x" * (17 << 20)}, {}, "A0110"),
    ({}, {"a b": np.ones(1)}, "A0118"), ({}, {7: np.ones(1)}, "A0118"), ({}, {"a": [1.0]}, "A0151"),
    ({}, {"a": np.array(["x"])}, "A0151"), ({}, {"a": np.array([None])}, "A0151"),
    ({}, {"a": np.zeros(1, "M8[s]")}, "A0151"), ({}, {"a": np.zeros(2, ml_dtypes.float8_e4m3b11fnuz)}, "A0151"),
    ({}, {"a": np.zeros((1,) * 17)}, "A0120"),
    ({str(n): 1 for n in range(65)}, {}, "A0150"),
], ids=str)
def test_what_a_reader_would_refuse_is_not_written(sections: Any, tensors: Any, code: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        write_archive(tmp_path / "a.pt", sections, tensors)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_larger_limits_are_given_explicitly(tmp_path: Path) -> None:
    limits = Limits(section_bytes=32 << 20)
    write_archive(tmp_path / "a.pt", {"a": "x" * (17 << 20)}, {}, limits=limits)
    with pytest.raises(ArchiveError) as caught:
        read_archive(tmp_path / "a.pt")
    assert caught.value.code == "A0110"
    assert read_archive(tmp_path / "a.pt", limits=limits).sections == ("a",)


def test_names_are_checked_to_their_end() -> None:
    assert spec.is_name("layer1.0.conv1.weight")
    assert spec.is_name("optim/fc.weight/exp_avg")
    assert not spec.is_name("weight\n")  # `re.match` with `$` takes it


def golden_content() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    tensors = {f"all.{code}": values_of(code, 10).reshape(2, 5) for code in ELEMENTS}
    tied = np.arange(3, dtype=np.int16)
    tensors |= {"scalar": np.array(2.5), "empty": np.zeros((0, 4), np.float32), "a/b:c": tied, "tied": tied}
    numbers = [0, -1, 127, 128, 2**63, -2**63, 1.5, float("inf")]
    meta = {"text": "Grüße", "numbers": numbers, "rest": [None, True, b"\x00\xff", {}, []]}
    return {"ir": {"requires": []}, "meta": meta}, tensors


def test_the_archive_of_the_first_release_is_read_and_still_written(tmp_path: Path) -> None:
    # Never regenerate it: files that users have look like this one.
    golden = Path(__file__).parent / "corpus" / "container-1.0.pt"
    sections, tensors = golden_content()
    with read_archive(golden) as archive:
        archive.verify()
        assert {name: archive.section(name) for name in archive.sections} == sections
        for name, array in tensors.items():
            assert same(archive.tensor(name), array)
        assert archive.tensor("tied") is archive.tensor("a/b:c")
    write_archive(tmp_path / "again.pt", sections, tensors)
    assert (tmp_path / "again.pt").read_bytes() == golden.read_bytes()
