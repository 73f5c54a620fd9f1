"""Hand-made hostile archives: each is refused with its own code. Digests are right unless the attack is on them."""
from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.format import END_KEY, HEAD, INDEX_KEY, Limits
from scriptc.ir.archive.reader import ArchiveFile, read_archive
from scriptc.ir.archive.writer import write_archive

Attack = Callable[[Any], bytes]


def code_of(data: bytes, **options: Any) -> str:
    """The code with which `data` is refused, when all of it is looked at; "" if it is accepted."""
    try:
        with read_archive(data, **options) as archive:
            archive.verify()
            for name in archive.tensors:
                archive.tensor(name)
    except ArchiveError as error:
        assert str(error)  # every message can be rendered
        return error.code
    return ""


def test_the_forge_makes_what_the_writer_makes(forge: Any, tmp_path: Any) -> None:
    weight = np.arange(6, dtype="f4").reshape(2, 3)
    tensors = {"w": weight, "tied": weight, "mask": np.array([True, False, True]), "none": np.zeros((0, 4))}
    write_archive(tmp_path / "a.pt", {"meta": {"a": [1, 2.5]}, "ir": {"requires": []}}, tensors)
    assert (tmp_path / "a.pt").read_bytes() == forge.build()
    assert code_of(forge.build()) == ""


# Bytes: the head, the tail, and what is around the document.

def patched(offset: int, new: bytes) -> Attack:
    def attack(forge: Any) -> bytes:
        data = bytearray(forge.build())
        start = offset if offset >= 0 else len(data) + offset
        data[start:start + len(new)] = new
        return bytes(data)
    return attack


def tail(offset: Callable[[int], int], length: Callable[[int], int]) -> Attack:
    def attack(forge: Any) -> bytes:
        data = forge.build()
        old_offset, old_length = struct.unpack(">QQ", data[-48:-32])
        return data[:-48] + struct.pack(">QQ", offset(old_offset) % 2**64, length(old_length) % 2**64) + data[-32:]
    return attack


def keep(n: int) -> int:
    return n


def with_head(head: bytes) -> Attack:
    def attack(forge: Any) -> bytes:
        forge.head = head
        return forge.build()
    return attack


BYTES: dict[str, tuple[str, Attack]] = {
    "empty file": ("A0104", lambda f: b""),
    "first byte only": ("A0104", lambda f: HEAD[:1]),
    "head only": ("A0104", lambda f: HEAD),
    "two thirds of the file": ("A0105", lambda f: f.build()[:len(f.build()) * 2 // 3]),
    "last byte missing": ("A0105", lambda f: f.build()[:-1]),
    "first byte missing": ("A0101", lambda f: f.build()[1:]),
    "text file": ("A0101", lambda f: b"hello, world\n" * 40),
    "zeros": ("A0101", lambda f: bytes(4096)),
    "byte before": ("A0101", lambda f: b"\n" + f.build()),
    "byte after": ("A0105", lambda f: f.build() + b"\n"),
    "zip directory after": ("A0105", lambda f: f.build() + b"PK\x05\x06" + bytes(18)),
    "another archive after": ("A0106", lambda f: f.build() + f.build()),
    "own tail twice": ("A0106", lambda f: f.build() + f.build()[-54:]),
    "map of four": ("A0101", patched(0, b"\x84")),
    "map of six": ("A0101", patched(0, b"\x86")),
    "map16 of five": ("A0101", lambda f: b"\xde\x00\x05" + f.build()[1:]),
    "name in capitals": ("A0101", patched(2, b"SCRIPTC")),
    "version of three": ("A0101", patched(9, b"\x93")),
    "major 0": ("A0103", with_head(HEAD[:10] + b"\x00\x00")),
    "major 2": ("A0103", with_head(HEAD[:10] + b"\x02\x00")),
    "major is nil": ("A0103", with_head(HEAD[:10] + b"\xc0\x00")),
    "minor is no small integer": ("A0103", with_head(HEAD[:10] + b"\x01\xcc")),
    "head swapped after sealing": ("A0107", patched(11, b"\x01")),
    "end key damaged": ("A0105", patched(-54, b"\xa4")),
    "end bin too short": ("A0105", patched(-49, b"\x2f")),
    "index offset 0": ("A0106", tail(lambda n: 0, keep)),
    "index offset one more": ("A0106", tail(lambda n: n + 1, keep)),
    "index offset minus one": ("A0106", tail(lambda n: -1, keep)),
    "index length minus one": ("A0106", tail(keep, lambda n: -1)),
    "index length wraps round": ("A0106", tail(lambda n: n + 2**63, lambda n: n + 2**63)),
    "index shifted into the blobs": ("A0107", tail(lambda n: n - 1, lambda n: n + 1)),
    "index is the whole file": ("A0106", tail(lambda n: 0, lambda n: n + n)),
    "index length 0": ("A0106", tail(keep, lambda n: 0)),
    "root digest": ("A0107", patched(-32, b"\x00" * 32)),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_around_the_parts(name: str, forge: Any) -> None:
    code, attack = BYTES[name]
    assert code_of(attack(forge)) == code


def test_every_truncation_is_refused(forge: Any) -> None:
    data = forge.build()
    assert {code_of(data[:n]) for n in range(len(data))} == {"A0104", "A0105"}


def test_every_missing_beginning_is_refused(forge: Any) -> None:
    data = forge.build()
    codes = {code_of(data[n:]) for n in range(1, len(data))}
    assert "" not in codes


@pytest.mark.parametrize("place", ["sections", "blobs", "index", "end"])
def test_a_changed_key_is_refused(place: str, forge: Any) -> None:
    data = forge.build()
    at = data.rindex(place.encode()) if place != "sections" else data.index(b"sections")
    if place == "blobs":
        at = data.index(b"\xa5blobs\xdd") + 1
    if place == "index":
        at = data.index(b"\xa5index") + 1
    assert code_of(data[:at] + b"x" + data[at + 1:]) == ("A0105" if place == "end" else "A0117")


# Versions.

def test_a_newer_minor_version_with_known_requirements_is_read(forge: Any) -> None:
    forge.head = HEAD[:11] + b"\x07"
    forge.sections["later"] = msgpack.packb([1])
    forge.sections = dict(sorted(forge.sections.items()))
    archive = read_archive(forge.build())
    assert archive.version == (1, 7)


@pytest.mark.parametrize(("ir", "code"), [
    ({"requires": ["zstd"]}, "A0128"), ({"requires": "zstd"}, "A0130"), ({"requires": [1]}, "A0130"), ({}, "A0130"),
    ([], "A0130"),
], ids=str)
def test_a_newer_minor_version_with_unknown_requirements_is_refused(ir: Any, code: str, forge: Any) -> None:
    forge.head = HEAD[:11] + b"\x01"
    forge.sections["ir"] = msgpack.packb(ir)
    assert code_of(forge.build()) == code


def test_a_newer_minor_version_without_a_program_is_refused(forge: Any) -> None:
    forge.head = HEAD[:11] + b"\x01"
    del forge.sections["ir"]
    assert code_of(forge.build()) == "A0130"


# Encodings, in the index and in a section.

ENCODINGS: dict[str, tuple[str, bytes]] = {
    "nothing": ("A0111", b""),
    "reserved byte": ("A0111", b"\xc1"),
    "two values": ("A0111", b"\xc0\xc0"),
    "list longer than its bytes": ("A0111", b"\xdd\xff\xff\xff\xff"),
    "map longer than its bytes": ("A0111", b"\xdf\xff\xff\xff\xff"),
    "string longer than its bytes": ("A0111", b"\xdb\xff\xff\xff\xff"),
    "bytes longer than their bytes": ("A0111", b"\xc6\xff\xff\xff\xff"),
    "list of lists, each too long": ("A0111", b"\xdd\x00\x00\x00\xff" * 51),
    "extension type": ("A0111", b"\xd4\x05\x00"),
    "timestamp": ("A0111", b"\xd6\xff\x00\x00\x00\x01"),
    "long timestamp": ("A0111", b"\xc7\x0c\xff" + bytes(12)),
    "integer in two bytes": ("A0115", b"\xcc\x01"),
    "integer in nine bytes": ("A0115", b"\xd3" + bytes(7) + b"\x01"),
    "negative in a long form": ("A0115", b"\xd0\xff"),
    "float32": ("A0115", b"\xca" + struct.pack(">f", 1.5)),
    "string in a long form": ("A0115", b"\xd9\x01a"),
    "bytes in a long form": ("A0115", b"\xc5\x00\x01a"),
    "list in a long form": ("A0115", b"\xdc\x00\x01\xc0"),
    "map in a long form": ("A0115", b"\xde\x00\x01\xa1a\xc0"),
    "repeated key": ("A0114", b"\x82\xa1a\x01\xa1a\x02"),
    "bytes as key": ("A0114", b"\x81\xc4\x01a\xc0"),
    "integer as key": ("A0111", b"\x81\x01\xc0"),
    "nil as key": ("A0111", b"\x81\xc0\xc0"),
    "invalid UTF-8": ("A0111", b"\xa1\xff"),
    "surrogate": ("A0111", b"\xa3\xed\xa0\x80"),
    "65 levels": ("A0113", b"\x91" * 65 + b"\xc0"),
    "600 levels": ("A0113", b"\x91" * 600 + b"\xc0"),
    "100,000 levels": ("A0113", b"\x91" * 100_000 + b"\xc0"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_section_must_be_canonical(name: str, forge: Any) -> None:
    code, raw = ENCODINGS[name]
    forge.sections["meta"] = raw
    assert code_of(forge.build()) == code


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_index_must_be_canonical(name: str, forge: Any) -> None:
    code, raw = ENCODINGS[name]
    forge.edit = lambda index: raw
    assert code_of(forge.build()) == code


@pytest.mark.parametrize(("value", "limits", "code"), [
    ([[]] * 100, Limits(containers=100), "A0112"),
    ([{}] * 100, Limits(containers=100), "A0112"),
    ([0] * 101, Limits(elements=100), "A0111"),
    ({str(n): n for n in range(101)}, Limits(elements=100), "A0111"),
    ([[[[]]]], Limits(depth=3), "A0113"),
    ("x" * 1000, Limits(section_bytes=1000), "A0110"),
], ids=["lists", "maps", "elements", "keys", "depth", "bytes"])
def test_limits_hold(value: object, limits: Limits, code: str, forge: Any) -> None:
    forge.sections["meta"] = msgpack.packb(value)
    assert code_of(forge.build(), limits=limits) == code
    assert code_of(forge.build()) == ""


def test_a_limit_on_sections_holds_for_the_index_too(forge: Any) -> None:
    forge.tensors = {f"t{n}": [0, "f32", [2, 3]] for n in range(100)} | forge.tensors
    assert code_of(forge.build(), limits=Limits(section_bytes=1000)) == "A0110"
    assert code_of(forge.build()) == ""


# The index's own shape.

def change(*path: str | int, to: object) -> Callable[[Any], Any]:
    def edit(index: Any) -> Any:
        inner = index
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        return index
    return edit


def reorder(*keys: str) -> Callable[[Any], Any]:
    return lambda index: {key: index.get(key) for key in keys}


SHAPES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a list": ("A0116", lambda index: list(index.values())),
    "a number": ("A0116", lambda index: 7),
    "a key missing": ("A0116", reorder("blobs", "sections")),
    "a key too many": ("A0116", reorder("blobs", "sections", "tensors", "zebra")),
    "keys in another order": ("A0116", reorder("sections", "blobs", "tensors")),
    "sections is a map": ("A0116", change("sections", to={})),
    "blobs is nil": ("A0116", change("blobs", to=None)),
    "tensors is a list": ("A0116", change("tensors", to=[])),
    "no sections": ("A0117", change("sections", to=[])),
    "a section entry is a map": ("A0116", change("sections", 0, to={})),
    "a section entry is short": ("A0116", change("sections", 0, to=["ir", 0, 0])),
    "a section name is a number": ("A0118", change("sections", 0, 0, to=3)),
    "a section is renamed": ("A0117", change("sections", 0, 0, to="is")),
    "sections out of order": ("A0117", lambda index: index | {"sections": index["sections"][::-1]}),
    "a section twice": ("A0116", lambda index: index | {"sections": [index["sections"][0]] * 2}),
    "section offset too small": ("A0116", change("sections", 0, 1, to=1)),
    "section offset is a float": ("A0116", change("sections", 0, 1, to=30.0)),
    "section offset is true": ("A0116", change("sections", 0, 1, to=True)),
    "section length negative": ("A0116", change("sections", 0, 2, to=-1)),
    "section length past the index": ("A0116", change("sections", 0, 2, to=1 << 40)),
    "section length is nil": ("A0116", change("sections", 0, 2, to=None)),
    "section length too small": ("A0108", change("sections", 0, 2, to=1)),
    "section digest is text": ("A0116", change("sections", 0, 3, to="0" * 32)),
    "section digest is short": ("A0116", change("sections", 0, 3, to=bytes(31))),
    "section digest is wrong": ("A0108", change("sections", 0, 3, to=bytes(32))),
    "a blob entry is short": ("A0116", change("blobs", 0, to=[1, 2])),
    "a blob entry is a map": ("A0116", change("blobs", 0, to={})),
    "blob offset into the sections": ("A0116", change("blobs", 0, 0, to=30)),
    "blob offset negative": ("A0116", change("blobs", 0, 0, to=-64)),
    "blob offset is true": ("A0116", change("blobs", 0, 0, to=True)),
    "blob offset past the end": ("A0116", change("blobs", 1, 0, to=1 << 62)),
    "blobs overlap": ("A0116", lambda index: change("blobs", 1, 0, to=index["blobs"][0][0])(index)),
    "blob length negative": ("A0116", change("blobs", 0, 1, to=-1)),
    "blob length 2**32": ("A0116", change("blobs", 0, 1, to=1 << 32)),
    "blob length 2**63": ("A0116", change("blobs", 0, 1, to=1 << 63)),
    "blob length one more": ("A0117", change("blobs", 0, 1, to=25)),
    "blob length is a float": ("A0116", change("blobs", 0, 1, to=24.0)),
    "blob digest is short": ("A0116", change("blobs", 0, 2, to=b"")),
    "blob digest is a list": ("A0116", change("blobs", 0, 2, to=[0] * 32)),
    "blob digest is wrong": ("A0109", change("blobs", 0, 2, to=bytes(32))),
    "blobs swapped": ("A0117", lambda index: index | {"blobs": index["blobs"][1::-1] + index["blobs"][2:]}),
    "a blob left out": ("A0117", lambda index: index | {"blobs": index["blobs"][:-1]}),
    "a blob too many": ("A0117", lambda index: index | {"blobs": index["blobs"] + index["blobs"][-1:]}),
    "no tensors": ("A0124", change("tensors", to={})),
    "a blob nobody uses": ("A0124", lambda index: index["tensors"].pop("none") and index),
    "a tensor is nil": ("A0116", change("tensors", "w", to=None)),
    "a tensor entry is long": ("A0116", change("tensors", "w", to=[0, "f32", [2, 3], 0])),
    "element type unknown": ("A0119", change("tensors", "w", 1, to="f31")),
    "element type object": ("A0119", change("tensors", "w", 1, to="object")),
    "element type by its numpy name": ("A0119", change("tensors", "w", 1, to="float32")),
    "element type is a number": ("A0119", change("tensors", "w", 1, to=4)),
    "element type is a list": ("A0119", change("tensors", "w", 1, to=["f32"])),
    "element type of another size": ("A0121", change("tensors", "w", 1, to="f64")),
    "tied under another type": ("A0123", change("tensors", "tied", 1, to="i32")),
    "tied under another shape": ("A0123", change("tensors", "tied", 2, to=[6])),
    "tied under a shape that does not fit": ("A0121", change("tensors", "tied", 2, to=[7])),
    "blob number negative": ("A0122", change("tensors", "w", 0, to=-1)),
    "blob number too high": ("A0122", change("tensors", "none", 0, to=3)),
    "blob number is true": ("A0122", change("tensors", "mask", 0, to=True)),
    "blob number is a float": ("A0122", change("tensors", "w", 0, to=0.0)),
    "blob number out of order": ("A0122", change("tensors", "w", 0, to=1)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_index_must_fit_the_bytes(name: str, forge: Any) -> None:
    code, forge.edit = SHAPES[name]
    assert code_of(forge.build()) == code


DIMS: dict[str, tuple[str, object]] = {
    "a number": ("A0120", 6), "nil": ("A0120", None), "negative": ("A0120", [-2, -3]), "true": ("A0120", [True, 6]),
    "float": ("A0120", [2.0, 3]), "nan": ("A0120", [float("nan")]), "text": ("A0120", ["6"]), "list": ("A0120", [[6]]),
    "2**48": ("A0120", [1 << 48]), "2**64 - 1": ("A0120", [(1 << 64) - 1]), "rank 17": ("A0120", [1] * 17),
    "rank 1000": ("A0120", [1] * 1000), "too few": ("A0121", [5]), "too many": ("A0121", [7]), "zero": ("A0121", [0]),
    "scalar": ("A0121", []), "product wraps to 0": ("A0121", [1 << 32, 1 << 32]),
    "product wraps to 6": ("A0121", [(1 << 47) + 3, 2]), "overflow beside a zero": ("A0121", [0, 1 << 47, 1 << 47]),
    "2**752 elements": ("A0121", [1 << 47] * 16),
}


@pytest.mark.parametrize("name", DIMS)
def test_dims_are_checked_in_unbounded_integers(name: str, forge: Any) -> None:
    code, dims = DIMS[name]
    forge.tensors["w"][2] = dims
    assert code_of(forge.build()) == code


BAD_NAMES = ["", ".", "..", "../w", "a/../b", "/w", "a/", "a//b", "a\\b", "C:\\w", "C:/w/../x", "w\n", "w\x00", "w ",
             " w", "-rf", "a..b", "ä", "\u202ew", "w" * 513, "a:b:", ".hidden", "~", "$(id)", "w;x", "%s", "{0}", "w'",
             "\x1b[31m"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_tensor_names_cannot_spell_paths_or_controls(name: str, forge: Any) -> None:
    forge.tensors[name] = forge.tensors.pop("none")
    assert code_of(forge.build()) == "A0118"


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_section_names_cannot_spell_paths_or_controls(name: str, forge: Any) -> None:
    forge.sections = {name: b"\xc0"} | forge.sections
    assert code_of(forge.build()) == "A0118"


# The stream between head and index.

def insert(marker: bytes, new: bytes, after: bool = False) -> Attack:
    """Bytes put into the stream; the index's offsets stay those of the honest layout."""
    def attack(forge: Any) -> bytes:
        data = forge.build()
        at = data.index(marker) + (len(marker) if after else 0)
        index = data[data.index(INDEX_KEY) + len(INDEX_KEY):data.rindex(END_KEY)]
        return bytes(forge.seal(data[:at] + new + data[at:data.index(INDEX_KEY)], index))
    return attack


def stream(**fields: object) -> Attack:
    def attack(forge: Any) -> bytes:
        for name, value in fields.items():
            setattr(forge, name, value)
        return bytes(forge.build())
    return attack


def pad_byte(forge: Any) -> bytes:
    data = forge.build()
    index = data[data.index(INDEX_KEY) + len(INDEX_KEY):data.rindex(END_KEY)]
    at = data.index(b"\xdd\x00\x00\x00\x06\xc4") + 8
    return bytes(forge.seal(data[:at] + b"P" + data[at + 1:data.index(INDEX_KEY)], index))


STREAMS: dict[str, Attack] = {
    "bytes before the index": stream(before_index=b"\xc0"),
    "64 bytes before the index": stream(before_index=bytes(64)),
    "a hidden blob before the index": stream(before_index=b"\xc4\x00\xc6\x00\x00\x00\x01x"),
    "the index key twice": stream(before_index=INDEX_KEY),
    "section count too high": stream(section_count=3),
    "section count too low": stream(section_count=1),
    "section count 2**32 - 1": stream(section_count=2**32 - 1),
    "blob count odd": stream(blob_count=5),
    "blob count too high": stream(blob_count=8),
    "blob count 0": stream(blob_count=0),
    "a byte between the sections": insert(b"\xa4meta", b"\xc0"),
    "a byte before the blobs": insert(b"\xa5blobs", b"\xc0"),
    "a section under another name": insert(b"\xa4meta", b"\xa1"),
    "a pad byte that is not zero": pad_byte,
    "a longer pad": insert(b"\xdd\x00\x00\x00\x06", b"\xc4\x00", after=True),
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_byte_of_the_stream_is_accounted_for(name: str, forge: Any) -> None:
    assert code_of(STREAMS[name](forge)) == "A0117"


# Payloads.

def test_a_boolean_other_than_0_or_1_is_refused(forge: Any) -> None:
    forge.blobs[1] = b"\x01\x02\x01"
    assert code_of(forge.build()) == "A0125"


def test_a_stray_half_byte_is_refused(forge: Any) -> None:
    forge.blobs[1], forge.tensors["mask"][1] = b"\x21\x13", "u4"
    assert code_of(forge.build()) == "A0125"
    forge.blobs[1] = b"\x21\x03"
    assert code_of(forge.build()) == ""


def test_a_changed_payload_is_noticed_at_first_use(forge: Any) -> None:
    data = forge.build()
    offset = msgpack.unpackb(data)["index"]["blobs"][0][0]
    archive: ArchiveFile = read_archive(data[:offset] + b"\xff" + data[offset + 1:])
    assert archive.tensor("mask").tolist() == [True, False, True]
    for _ in range(2):
        with pytest.raises(ArchiveError) as caught:
            archive.tensor("w")
        assert caught.value.code == "A0109"


def test_a_pinned_root_must_match(forge: Any) -> None:
    data = forge.build()
    assert code_of(data, root=data[-32:]) == ""
    forge.blobs[0] = bytes(24)
    assert code_of(forge.build(), root=data[-32:]) == "A0126"
