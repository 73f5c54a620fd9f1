"""Writing an archive: `write_archive` lays out sections and tensors, hashes while it writes, replaces atomically."""
from __future__ import annotations

import hashlib
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scriptc.ir.archive import format as spec
from scriptc.ir.archive.atomic import OPERATING_SYSTEM, FileSystem, replacing
from scriptc.ir.archive.canonical import Plain, pack
from scriptc.ir.archive.format import (
    BLOBS_KEY,
    CODES,
    DEFAULT_LIMITS,
    ELEMENTS,
    END_KEY,
    HEAD,
    INDEX_KEY,
    PAD_HEADER,
    PAYLOAD_HEADER,
    SECTIONS_KEY,
    Limits,
    is_name,
    pad_before,
    payload_bytes,
    reject,
)

_BACKGROUND_BYTES = 1 << 16  # below it, handing the hash to another thread costs more than hashing


def write_archive(path: str | os.PathLike[str], sections: Mapping[str, Plain], tensors: Mapping[str, np.ndarray], *,
                  limits: Limits = DEFAULT_LIMITS, filesystem: FileSystem = OPERATING_SYSTEM,
                  durable: bool = True) -> bytes:
    """Write an archive to `path` and return its root digest. The same content gives the same bytes.

    Tensors keep the order given. Names whose arrays are the same memory (address, strides, dtype, shape) are tied;
    views that overlap otherwise are stored as copies, with a warning. Nothing is written unless a reader with `limits`
    would take it: ArchiveError if not. OSError, with the old file intact, if the file cannot be written.
    """
    head, section_entries = _lay_out_sections(sections, limits)
    table, blobs = _tie(tensors, limits)
    with replacing(path, filesystem=filesystem, durable=durable) as write:
        return _write(write, head, section_entries, table, blobs, limits)


def _write(write: Callable[[bytes | memoryview], None], head: bytes, section_entries: list[list[Plain]],
           table: dict[str, list[Plain]], blobs: list[np.ndarray], limits: Limits) -> bytes:
    payloads = sum(max(1, -(-_stored_bytes(array) // spec.CHUNK_BYTES)) for array in blobs)
    head += BLOBS_KEY + struct.pack(">I", 2 * payloads)
    write(head)
    position = len(head)
    entries: list[list[Plain]] = []
    with ThreadPoolExecutor(1) as pool:
        for payload in (part for array in blobs for part in _payloads(array)):
            pad = pad_before(position)
            headers = PAD_HEADER + bytes([pad]) + bytes(pad) + PAYLOAD_HEADER + struct.pack(">I", len(payload))
            position += len(headers)
            digest = pool.submit(_sha256, payload) if len(payload) > _BACKGROUND_BYTES else None
            write(headers)
            write(payload)
            entries.append([position, len(payload), digest.result() if digest else _sha256(payload)])
            position += len(payload)
    index = pack({"blobs": entries, "sections": section_entries, "tensors": table}, "the index", limits)
    root = _sha256(HEAD + index)
    write(INDEX_KEY + index + END_KEY + struct.pack(">QQ", position + len(INDEX_KEY), len(index)) + root)
    return root


def _sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _lay_out_sections(sections: Mapping[str, Plain], limits: Limits) -> tuple[bytes, list[list[Plain]]]:
    if len(sections) > limits.sections:
        reject("A0150", what="the archive", reason=f"more than {limits.sections} sections")
    head = bytearray(HEAD + SECTIONS_KEY + struct.pack(">I", len(sections)))
    entries: list[list[Plain]] = []
    for name in sections:
        if not is_name(name):
            reject("A0118", what="section", found=repr(name)[:80])
    for name in sorted(sections):
        raw = pack(sections[name], f"section {name!r}", limits)
        head += pack(name, "a section name", limits)
        entries.append([name, len(head), len(raw), _sha256(raw)])
        head += raw
    return bytes(head), entries


def _tie(tensors: Mapping[str, np.ndarray], limits: Limits) -> tuple[dict[str, list[Plain]], list[np.ndarray]]:
    """The index's tensor table, and the arrays to store, each once."""
    table: dict[str, list[Plain]] = {}
    arrays: list[np.ndarray] = []
    stored: dict[object, int] = {}
    number = 0
    for name, array in tensors.items():
        if not is_name(name):
            reject("A0118", what="tensor", found=repr(name)[:80])
        if not isinstance(array, np.ndarray) or array.dtype.name not in CODES:
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            reject("A0151", name=name, found=found, known=", ".join(CODES))
        code = CODES[array.dtype.name]
        if array.ndim > limits.rank:
            reject("A0120", name=name, rank=limits.rank, limit=limits.dim - 1, found=list(array.shape))
        # Strides belong to the key: W and W.T of a square matrix share address, dtype and shape. Empty arrays have no
        # memory to compare, only identity.
        key = (array.ctypes.data, array.strides, code, array.shape) if array.size else (id(array), code, array.shape)
        if key not in stored:
            stored[key] = number
            arrays.append(array)
            number += max(1, -(-_stored_bytes(array) // spec.CHUNK_BYTES))
        table[name] = [stored[key], code, [int(d) for d in array.shape]]
    if number > limits.blobs:
        reject("A0150", what="the archive", reason=f"more than {limits.blobs} tensors")
    _warn_of_overlaps(arrays)
    return table, arrays


def _warn_of_overlaps(arrays: list[np.ndarray]) -> None:
    bounds = sorted((*np.lib.array_utils.byte_bounds(a), i) for i, a in enumerate(arrays) if a.size)
    end, owner = 0, -1
    for low, high, i in bounds:
        if low < end and np.may_share_memory(arrays[owner], arrays[i]):
            warnings.warn("tensors that are overlapping views of one memory are stored as copies", stacklevel=5)
            return
        if high > end:
            end, owner = high, i


def _stored_bytes(array: np.ndarray) -> int:
    return payload_bytes(array.size, CODES[array.dtype.name])


def _payloads(array: np.ndarray) -> Iterator[memoryview]:
    """The bytes of one tensor, in pieces of at most `CHUNK_BYTES`."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.byteorder == ">":
        flat = flat.astype(flat.dtype.newbyteorder("<"))
    raw: np.ndarray = flat.view(np.uint8)
    if ELEMENTS[CODES[array.dtype.name]].bits < 8:
        low, high = raw[0::2] & 15, raw[1::2] & 15
        raw = low.copy()
        raw[:high.size] |= high << 4
    for start in range(0, max(raw.size, 1), spec.CHUNK_BYTES):
        yield raw[start:start + spec.CHUNK_BYTES].data
