"""The strict walk: from the bytes of a whole archive to where everything in it lies, or an ArchiveError.

Nothing is trusted before it is checked: the tail finds the index, its digest is checked, then the walk accounts for
every byte from the head to the index, and each tensor's dims are compared with its blobs in unbounded integers.
"""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from scriptc.ir.archive import format as spec
from scriptc.ir.archive.canonical import pack, unpack
from scriptc.ir.archive.format import (
    ALIGNMENT,
    BLOBS_KEY,
    DIGEST_BYTES,
    ELEMENTS,
    END_KEY,
    HEAD,
    HEADERS_BYTES,
    INDEX_KEY,
    KNOWN_REQUIREMENTS,
    MAGIC,
    MAJOR,
    MINOR,
    PAD_HEADER,
    PAYLOAD_HEADER,
    SECTIONS_KEY,
    TAIL_BYTES,
    Limits,
    is_name,
    payload_bytes,
    reject,
    shown,
)
from scriptc.ir.archive.recognise import EDGE_BYTES, recognise
from scriptc.records import Record

SMALLEST_BYTES = len(HEAD) + len(SECTIONS_KEY) + 4 + len(BLOBS_KEY) + 4 + len(INDEX_KEY) + 1 + TAIL_BYTES
_BLOB_BYTES = 1 << 32  # a bin32 holds fewer
_PADS = tuple(PAD_HEADER + bytes([n]) + bytes(n) + PAYLOAD_HEADER for n in range(ALIGNMENT))


class Extent(NamedTuple):
    """Where bytes lie, and their digest."""

    offset: int
    length: int
    digest: bytes


class TensorEntry(NamedTuple):
    """One tensor of the index: its first blob, how many it takes, element type code and dims."""

    blob: int
    blobs: int
    code: str
    dims: tuple[int, ...]


class Layout(Record):
    """A checked index. `root` is the digest in the tail."""

    version: tuple[int, int]
    root: bytes
    sections: dict[str, Extent]
    blobs: tuple[Extent, ...]
    tensors: dict[str, TensorEntry]


def read_layout(data: memoryview, limits: Limits) -> Layout:
    """The layout of an archive whose bytes are `data`. ArchiveError unless every byte outside the payloads is right.

    Sections are compared with their digests; payloads are not read.
    """
    version = _check_head(data)
    offset, raw = _find_index(data, limits)
    index = unpack(raw, "the index", limits)
    if type(index) is not dict or list(index) != ["blobs", "sections", "tensors"]:
        found = list(index) if type(index) is dict else type(index).__name__
        reject("A0116", what="the index", expected="a map of blobs, sections and tensors", found=shown(found))
    position = len(HEAD)
    sections, position = _walk_sections(data, index["sections"], position, offset, limits)
    blobs, position = _walk_blobs(data, index["blobs"], position, offset, limits)
    _expect(data, position, INDEX_KEY, "the index")
    if position + len(INDEX_KEY) != offset:
        reject("A0117", position=position, what="the index at the place the tail names")
    tensors = _check_tensors(index["tensors"], blobs, limits)
    if version[1] > MINOR:
        _check_requirements(data, sections, limits)
    return Layout(version, bytes(data[-DIGEST_BYTES:]), sections, blobs, tensors)


def _check_head(data: memoryview) -> tuple[int, int]:
    head = bytes(data[:len(HEAD)])
    if head[:len(MAGIC)] != MAGIC[:len(head)] or len(head) < len(MAGIC):
        foreign = recognise(bytes(data[:EDGE_BYTES]), bytes(data[-EDGE_BYTES:]))
        if foreign is not None:
            reject("A0102", format=foreign.format, remedy=foreign.remedy)
        if MAGIC.startswith(head):
            reject("A0104", found=len(data), expected=SMALLEST_BYTES)
        reject("A0101", found=head[:12], expected=MAGIC)
    if len(data) < SMALLEST_BYTES:
        reject("A0104", found=len(data), expected=SMALLEST_BYTES)
    major, minor = head[10], head[11]
    # Versions are single msgpack bytes: 0x80 and above would be another type.
    if major != MAJOR or minor > 0x7F:
        reject("A0103", found=f"{major}.{minor}", expected=f"{MAJOR}.x")
    return major, minor


def _find_index(data: memoryview, limits: Limits) -> tuple[int, bytes]:
    size = len(data)
    tail = bytes(data[-TAIL_BYTES:])
    if not tail.startswith(END_KEY):
        reject("A0105")
    offset, length = struct.unpack_from(">QQ", tail, len(END_KEY))
    if offset + length != size - TAIL_BYTES or offset < SMALLEST_BYTES - TAIL_BYTES - 1:
        reject("A0106", offset=offset, length=length, size=size)
    if length > limits.section_bytes:
        reject("A0110", what="the index", found=length, limit=limits.section_bytes)
    raw = bytes(data[offset:offset + length])
    if hashlib.sha256(bytes(data[:len(HEAD)]) + raw).digest() != tail[-DIGEST_BYTES:]:
        reject("A0107")
    return offset, raw


def _walk_sections(data: memoryview, entries: Any, position: int, end: int,
                   limits: Limits) -> tuple[dict[str, Extent], int]:
    if type(entries) is not list or len(entries) > limits.sections:
        reject("A0116", what="sections", expected=f"a list of at most {limits.sections}", found=shown(entries))
    position = _expect(data, position, SECTIONS_KEY + len(entries).to_bytes(4, "big"), "the section count")
    sections: dict[str, Extent] = {}
    last = ""
    for entry in entries:
        if type(entry) is not list or len(entry) != 4:
            reject("A0116", what="a section entry", expected="[name, offset, length, sha256]", found=shown(entry))
        name, offset, length, digest = entry
        if not is_name(name):
            reject("A0118", what="section", found=shown(name))
        if name <= last:
            reject("A0116", what="section names", expected="sorted, each once", found=shown([last, name]))
        position = _expect(data, position, pack(name, "a section name", limits), f"the name of section {name!r}")
        _check_extent(offset, length, digest, position, end, f"section {name!r}")
        if length > limits.section_bytes:
            reject("A0110", what=f"section {name!r}", found=length, limit=limits.section_bytes)
        if hashlib.sha256(data[offset:offset + length]).digest() != digest:
            reject("A0108", name=name)
        sections[name] = Extent(offset, length, digest)
        position += length
        last = name
    return sections, position


def _walk_blobs(data: memoryview, entries: Any, position: int, end: int,
                limits: Limits) -> tuple[tuple[Extent, ...], int]:
    if type(entries) is not list or len(entries) > limits.blobs:
        reject("A0116", what="blobs", expected=f"a list of at most {limits.blobs}", found=shown(entries))
    position = _expect(data, position, BLOBS_KEY + (2 * len(entries)).to_bytes(4, "big"), "the blob count")
    blobs: list[Extent] = []
    for number, entry in enumerate(entries):
        if type(entry) is not list or len(entry) != 3:
            reject("A0116", what="a blob entry", expected="[offset, length, sha256]", found=shown(entry))
        offset, length, digest = entry
        if type(length) is not int or not 0 <= length < _BLOB_BYTES:
            reject("A0116", what=f"the length of blob {number}", expected="an integer below 2**32",
                   found=shown(length))
        headers = _PADS[-(position + HEADERS_BYTES) % ALIGNMENT] + length.to_bytes(4, "big")
        if data[position:position + len(headers)] != headers:
            reject("A0117", position=position, what=f"the zero pad and header of blob {number}")
        position += len(headers)
        # No formatted text here: with 10,000 tensors it would be most of the time of opening.
        if type(offset) is not int or offset != position or position + length > end or type(digest) is not bytes \
                or len(digest) != DIGEST_BYTES:
            _check_extent(offset, length, digest, position, end, f"blob {number}")
        blobs.append(Extent(offset, length, digest))
        position += length
    return tuple(blobs), position


def _check_extent(offset: Any, length: Any, digest: Any, position: int, end: int, what: str) -> None:
    if type(offset) is not int or offset != position:
        reject("A0116", what=f"the offset of {what}", expected=str(position), found=shown(offset))
    if type(length) is not int or not 0 <= length <= end - position:
        reject("A0116", what=f"the length of {what}", expected=f"an integer up to {end - position}",
               found=shown(length))
    if type(digest) is not bytes or len(digest) != DIGEST_BYTES:
        reject("A0116", what=f"the digest of {what}", expected=f"{DIGEST_BYTES} bytes", found=shown(digest))


def _check_tensors(table: Any, blobs: tuple[Extent, ...], limits: Limits) -> dict[str, TensorEntry]:
    if type(table) is not dict or len(table) > limits.blobs:
        reject("A0116", what="tensors", expected=f"a map of at most {limits.blobs}", found=shown(table))
    tensors: dict[str, TensorEntry] = {}
    owners: dict[int, str] = {}
    used = 0
    for name, entry in table.items():
        if not is_name(name):
            reject("A0118", what="tensor", found=shown(name))
        if type(entry) is not list or len(entry) != 3:
            reject("A0116", what=f"tensor {name!r}", expected="[blob, dtype, dims]", found=shown(entry))
        blob, code, dims = entry
        if type(code) is not str or code not in ELEMENTS:
            reject("A0119", name=name, found=shown(code))
        # `type(d) is int`: a bool is an int to isinstance.
        if type(dims) is not list or len(dims) > limits.rank \
                or not all(type(d) is int and 0 <= d < limits.dim for d in dims):
            reject("A0120", name=name, rank=limits.rank, limit=limits.dim - 1, found=shown(dims))
        if type(blob) is not int or not (blob == used < len(blobs) or blob in owners):
            reject("A0122", name=name, found=shown(blob), expected=used if used < len(blobs) else "one already in use")
        entry = TensorEntry(blob, _fit(name, blob, code, dims, blobs), code, tuple(dims))
        if blob in owners:
            if tensors[owners[blob]] != entry:
                reject("A0123", name=name, blob=blob, other=owners[blob])
        else:
            owners[blob] = name
            used += entry.blobs
        tensors[name] = entry
    if used != len(blobs):
        reject("A0124", found=len(blobs), used=used)
    return tensors


def _fit(name: str, blob: int, code: str, dims: list[int], blobs: tuple[Extent, ...]) -> int:
    """How many blobs the tensor takes. ArchiveError if their lengths are not what its dims need."""
    # numpy overflows on [0, 2**47, 2**47], whose byte count is 0: bound the product without its zeros too.
    if prod(d for d in dims if d) * 16 >= 1 << 62:
        reject("A0121", name=name, dtype=code, dims=dims, blob=blob, expected="too many", found=blobs[blob].length)
    expected = payload_bytes(prod(dims), code)
    if expected <= spec.CHUNK_BYTES:
        if expected != blobs[blob].length:
            reject("A0121", name=name, dtype=code, dims=dims, blob=blob, expected=expected, found=blobs[blob].length)
        return 1
    count = -(-expected // spec.CHUNK_BYTES)
    lengths = [extent.length for extent in blobs[blob:blob + count]]
    if sum(lengths) != expected or any(length != spec.CHUNK_BYTES for length in lengths[:-1]):
        reject("A0121", name=name, dtype=code, dims=dims, blob=blob, expected=expected, found=sum(lengths))
    return count


def _check_requirements(data: memoryview, sections: Mapping[str, Extent], limits: Limits) -> None:
    """A newer minor version is read only if nothing it requires is unknown."""
    extent = sections.get("ir")
    value = None
    if extent is not None:
        value = unpack(bytes(data[extent.offset:extent.offset + extent.length]), "section 'ir'", limits)
    check_requirements(value)


def check_requirements(ir: Any) -> None:
    """ArchiveError unless `ir` (the decoded section) has a list `requires` of known names."""
    names = ir.get("requires") if type(ir) is dict else None
    if type(names) is not list or not all(type(name) is str for name in names):
        reject("A0130", where="ir.requires", expected="a list of names", found=shown(names))
    unknown = sorted(set(names) - KNOWN_REQUIREMENTS)
    if unknown:
        reject("A0128", found=shown(unknown))


def _expect(data: memoryview, position: int, expected: bytes, what: str) -> int:
    if data[position:position + len(expected)] != expected:
        reject("A0117", position=position, what=what)
    return position + len(expected)
