"""The members of a zip file, strictly: the container of PyTorch checkpoints and of npz.

Our own, because `zipfile` accepts overlapping and duplicate members (two readers then see two files in one) and lets
half a dozen exception types escape on damaged input. Specification: PKWARE APPNOTE 6.3.
"""
from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass

from scriptc.ir.weights.refuse import need, refusal

MAGIC = b"PK\x03\x04"
STORED, DEFLATED = 0, 8
MAX_MEMBERS = 200_000
MAX_INFLATED = 16 << 30
_LOCAL = struct.Struct("<4s5HIIIHH")
_ENTRY = struct.Struct("<4s6HIIIHHHHHII")
_END = struct.Struct("<4s4HIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_MAX_COMMENT = 0xFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UNKNOWN16, _UNKNOWN32 = 0xFFFF, 0xFFFFFFFF  # the true value stands in the zip64 record
_ZIP64_EXTRA = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive: where its bytes lie, and how many they are before and after inflating."""

    name: str
    method: int
    checksum: int
    offset: int
    stored_size: int
    size: int


def read_members(data: memoryview) -> dict[str, Member]:
    """The members of the zip file `data`, by name, in directory order.

    WeightsError if the file is damaged, or members are encrypted, duplicate, overlapping, or not stored or deflated.
    """
    start, count, end = _directory(data)
    need(0 < count <= MAX_MEMBERS, "W0108", what="members of the zip file", found=count, limit=MAX_MEMBERS)
    members: dict[str, Member] = {}
    extents: list[tuple[int, int]] = []
    position = start
    for _ in range(count):
        need(position + _ENTRY.size <= end, "W0106", what="the zip directory ends inside an entry")
        (magic, _, _, flags, method, _, _, checksum, stored, size, name_size, extra_size, comment_size, _, _, _,
         header) = _ENTRY.unpack_from(data, position)
        need(magic == b"PK\x01\x02", "W0106", what="the zip directory has a malformed entry")
        name_at = position + _ENTRY.size
        extra_at = name_at + name_size
        position = extra_at + extra_size + comment_size
        need(position <= end, "W0106", what="the zip directory ends inside an entry")
        name = _member_name(bytes(data[name_at:extra_at]))
        size, stored, header = _widened(bytes(data[extra_at:extra_at + extra_size]), size, stored, header)
        need(not flags & _ENCRYPTED, "W0106", what=f"member {name!r} is encrypted")
        need(method in (STORED, DEFLATED), "W0106", what=f"member {name!r} uses compression method {method}")
        need(method != STORED or size == stored, "W0106", what=f"member {name!r} has two sizes")
        need(name not in members, "W0106", what=f"member {name!r} appears twice")
        offset = _data_offset(data, header, name, start)
        need(offset + stored <= start, "W0106", what=f"member {name!r} reaches into the directory")
        members[name] = Member(name, method, checksum, offset, stored, size)
        extents.append((header, offset + stored))
    need(position == end, "W0106", what="the zip directory has another length than it says")
    extents.sort()
    need(all(a[1] <= b[0] for a, b in itertools.pairwise(extents)), "W0106", what="members of the zip file overlap")
    return members


def read_member(data: memoryview, member: Member) -> memoryview:
    """The bytes of a member, checked against its checksum: a view if it is stored, inflated otherwise."""
    raw = data[member.offset:member.offset + member.stored_size]
    if member.method == DEFLATED:
        raw = _inflate(raw, member)
    need(zlib.crc32(raw) == member.checksum, "W0107", name=member.name)
    return raw


def _inflate(raw: memoryview, member: Member) -> memoryview:
    need(member.size <= MAX_INFLATED, "W0108", what=f"member {member.name!r}", found=member.size, limit=MAX_INFLATED)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than declared shows a member that is larger than it says, before it fills the memory.
        out = inflater.decompress(raw, member.size + 1)
    except zlib.error:
        raise refusal("W0107", name=member.name) from None
    need(len(out) == member.size and inflater.eof, "W0107", name=member.name)
    return memoryview(out)


def _directory(data: memoryview) -> tuple[int, int, int]:
    """(start, number of entries, end) of the central directory."""
    tail_at = max(0, len(data) - _END.size - _MAX_COMMENT)
    found = bytes(data[tail_at:]).rfind(b"PK\x05\x06")
    need(found >= 0, "W0105", what="the zip file: its directory is missing")
    at = tail_at + found
    need(at + _END.size <= len(data), "W0105", what="the zip directory")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, at)
    need(at + _END.size + comment == len(data), "W0106", what="bytes follow the end of the zip file")
    need(disk == first_disk == 0 and here == count, "W0106", what="the zip file is split")
    end = at
    locator = at - _LOCATOR.size
    if _UNKNOWN32 in (size, start) or count == _UNKNOWN16:
        need(locator >= 0, "W0105", what="the zip64 record")
        magic, disk, end, disks = _LOCATOR.unpack_from(data, locator)
        need(magic == b"PK\x06\x07" and disk == 0 and disks <= 1 and end + _END64.size <= locator, "W0106",
             what="the zip64 locator is malformed")
        magic, _, _, _, disk, first_disk, here, count, size, start = _END64.unpack_from(data, end)
        need(magic == b"PK\x06\x06" and disk == first_disk == 0 and here == count, "W0106",
             what="the zip64 record is malformed")
    elif locator >= 0 and bytes(data[locator:locator + 4]) == b"PK\x06\x07":
        # A zip64 record that is not needed, which torch's writer always adds: the directory ends before it.
        _, _, end, _ = _LOCATOR.unpack_from(data, locator)
    need(start + size == end <= len(data), "W0106", what="the zip directory is not where the file says")
    return start, count, end


def _member_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise refusal("W0106", what="a member's name is not UTF-8") from None
    need(name != "" and "\0" not in name, "W0106", what="a member has an empty or malformed name")
    return name


def _widened(extra: bytes, size: int, stored: int, header: int) -> tuple[int, int, int]:
    """The three numbers, with the 64-bit values of the zip64 extra field where the 32-bit ones are full."""
    numbers = [size, stored, header]
    if _UNKNOWN32 not in numbers:
        return size, stored, header
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == _ZIP64_EXTRA:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra[at + 4:at + 4 + length].ljust(length, b"\0")))
            numbers = [next(wide, -1) if n == _UNKNOWN32 else n for n in numbers]
            need(min(numbers) >= 0, "W0106", what="a zip64 field is too short")
            return numbers[0], numbers[1], numbers[2]
        at += 4 + length
    raise refusal("W0106", what="a zip64 field is missing")


def _data_offset(data: memoryview, header: int, name: str, limit: int) -> int:
    """Where a member's bytes begin: after its local header, whose name must be the directory's."""
    need(header + _LOCAL.size <= limit, "W0106", what=f"member {name!r} lies outside the file")
    fields = _LOCAL.unpack_from(data, header)
    name_size, extra_size = fields[9], fields[10]
    name_at = header + _LOCAL.size
    need(fields[0] == MAGIC and bytes(data[name_at:name_at + name_size]) == name.encode(), "W0106",
         what=f"member {name!r} has another name in its header")
    return name_at + name_size + extra_size
