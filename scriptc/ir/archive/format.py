"""The scriptc archive, version 1.0: one msgpack document that holds a program, its weights and nothing that runs.

Bytes
-----
::

    85                                   map of 5, in this order
    a7 "scriptc"   92 01 00              [major, minor]; these 12 bytes are the head
    a8 "sections"  df u32  {name: value} msgpack values inline, names sorted
    a5 "blobs"     dd u32  [c4 n 0*n, c6 u32 payload, ...]
    a5 "index"     {"blobs": [[offset, length, sha256], ...],
                    "sections": [[name, offset, length, sha256], ...],
                    "tensors": {name: [blob, dtype, [dims...]], ...}}
    a3 "end"       c4 30  u64be index offset, u64be index length, sha256(head + index)      the 54-byte tail

Any msgpack reader can walk the document: `i, dtype, dims = doc["index"]["tensors"][name]`, `doc["blobs"][2*i + 1]`.
Before each payload stands a bin8 of `n = -(position + 7) % 64` zero bytes, so that every payload begins at a multiple
of 64 and can be mapped. Payloads always use the bin32 header; sections and index use the shortest form of every value.
The index stands last, so that payloads are hashed while they are written; it is found from the tail.

Rules
-----
1. Every byte is accounted for: entries lie where the walk from the head expects them, pads are zero, nothing follows
   the tail. There are no holes, overlaps, hidden or trailing data.
2. A section, and the index, re-encodes to the same bytes: no duplicate keys, no long integers, no float32, no extension
   types. Map keys are strings. `Limits` bounds sizes, container counts and depth while decoding.
3. Names of sections and tensors are ASCII words joined by `.`, `/` or `:` (`NAME`), so that no path can be spelled.
   Names of other kinds live as values in sections.
4. A tensor is C-contiguous and little endian. Its byte count follows from dtype and dims, in unbounded integers.
   `int4` and `uint4` pack two elements a byte, low nibble first, the last byte padded with zero. Booleans are 0 or 1.
5. Blobs are numbered in the order in which the tensors, in the order of the map, first use them. Tied tensors name the
   same blob with the same dtype and dims, and load as one array. A blob that no tensor uses is refused.
6. A payload of more than `CHUNK_BYTES` is cut into consecutive blobs, all but the last of that many bytes; the tensor
   names the first. (A msgpack bin holds at most 2**32 - 1 bytes.)
7. Identical content gives identical bytes: no time, host, path or process number is stored.
8. The digest in the tail, the root, names the archive: it covers the index, and through it every section and payload.

Versions
--------
A reader refuses another major version. It accepts a higher minor one if it knows every name in the `ir` section's
`requires`; unknown sections are skipped, unknown index keys refused. Ops carry versions of their own (see `upgrades`).

Sections: `ir`, `srcmap`, `source`, `meta`, and where present `history`, `vectors`, `train`,
`files`. `encode` specifies them.
Left out on purpose: compression, references to other files, extension types, encryption, append mode.
"""
from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

import numpy as np

from scriptc.errors import ArchiveError, diagnostic
from scriptc.ir.types import DTYPES
from scriptc.records import Record

MAJOR, MINOR = 1, 0
HEAD = b"\x85\xa7scriptc\x92" + bytes([MAJOR, MINOR])
MAGIC = HEAD[:10]
SECTIONS_KEY, BLOBS_KEY = b"\xa8sections\xdf", b"\xa5blobs\xdd"
INDEX_KEY, END_KEY = b"\xa5index", b"\xa3end\xc4\x30"
DIGEST_BYTES = 32
TAIL_BYTES = len(END_KEY) + 16 + DIGEST_BYTES

ALIGNMENT = 64
PAD_HEADER, PAYLOAD_HEADER = b"\xc4", b"\xc6"
HEADERS_BYTES = 2 + 5  # bin8 with its length, bin32 with its length
CHUNK_BYTES = 2**32 - ALIGNMENT

WORD = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
NAME = re.compile(rf"{WORD}(?:[./:]{WORD})*")
NAME_CHARACTERS = 512

KNOWN_REQUIREMENTS: frozenset[str] = frozenset()


class Limits(Record):
    """What a reader is willing to decode. The defaults take any model of a sensible size; pass others explicitly."""

    section_bytes: int = 16 << 20
    containers: int = 500_000  # lists and maps in one section, counted while they are made
    elements: int = 262_144    # of one list or map
    depth: int = 64
    sections: int = 64
    blobs: int = 131_072
    rank: int = 16
    dim: int = 1 << 48
    operations: int = 1_000_000
    type_characters: int = 1 << 20  # of all types of a program: reading sizes back is algebra
    locations: int = 4_000_000  # call sites over all locations, expanded


DEFAULT_LIMITS = Limits()


class Element(NamedTuple):
    """A tensor element type of the format: bits per stored element, and the name numpy knows it by."""

    bits: int
    name: str


ELEMENTS: dict[str, Element] = {
    "f64": Element(64, "float64"), "f32": Element(32, "float32"), "f16": Element(16, "float16"),
    "bf16": Element(16, "bfloat16"), "f8e4m3": Element(8, "float8_e4m3fn"), "f8e5m2": Element(8, "float8_e5m2"),
    "i64": Element(64, "int64"), "i32": Element(32, "int32"), "i16": Element(16, "int16"), "i8": Element(8, "int8"),
    "u64": Element(64, "uint64"), "u32": Element(32, "uint32"), "u16": Element(16, "uint16"), "u8": Element(8, "uint8"),
    "bool": Element(8, "bool"), "c64": Element(64, "complex64"), "c128": Element(128, "complex128"),
    "i4": Element(4, "int4"), "u4": Element(4, "uint4"),
}
CODES: dict[str, str] = {element.name: code for code, element in ELEMENTS.items()}


def numpy_dtype(code: str) -> np.dtype:
    """The numpy dtype in which tensors of the element type `code` are given out (int4: one element a byte)."""
    name = ELEMENTS[code].name
    if name in DTYPES:
        return DTYPES[name].numpy
    import ml_dtypes  # 10 ms that most models do not need

    return np.dtype(getattr(ml_dtypes, name))


def payload_bytes(elements: int, code: str) -> int:
    """How many bytes `elements` elements of type `code` take."""
    return (elements * ELEMENTS[code].bits + 7) // 8


def is_name(text: object) -> bool:
    """True for what may name a section or a tensor (rule 3)."""
    return isinstance(text, str) and len(text) <= NAME_CHARACTERS and NAME.fullmatch(text) is not None


def pad_before(position: int) -> int:
    """How many zero bytes stand before a payload whose pad header is at `position`."""
    return -(position + HEADERS_BYTES) % ALIGNMENT


def shown(value: object) -> str:
    """A short form of a value that may be hostile."""
    if isinstance(value, list | dict) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value[:60] if isinstance(value, str | bytes) else value)[:80]


def reject(code: str, /, **values: object) -> NoReturn:
    """Raise the ArchiveError of catalogue entry `code`."""
    raise ArchiveError(diagnostic(code, **values))  # type: ignore[arg-type]
