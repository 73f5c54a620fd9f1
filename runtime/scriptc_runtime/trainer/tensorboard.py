"""Event files that TensorBoard reads: records of protocol buffers, each under two masked CRC-32C checksums.

A record is u64 length, u32 checksum of it, the bytes, u32 checksum of them (TensorFlow's record_writer.h); the messages are those of
TensorFlow's event.proto and summary.proto, of which a scalar needs five fields.
"""
from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_count = itertools.count()


def _table() -> list[int]:
    """CRC-32C (Castagnoli), one byte at a time; polynomial 0x82F63B78 reflected."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """The checksum of `data`, turned and shifted as record files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """One record of an event file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    """A field that carries bytes or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def event(wall_time: float, step: int, scalars: Mapping[str, float]) -> bytes:
    """Event{1: wall_time, 2: step, 5: Summary{1: Value{1: tag, 2: simple_value}}}."""
    values = b"".join(_field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)) for tag, value in scalars.items())
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step) + _field(5, values)


class EventFile:
    """An event file in a folder; every write is on disk at once, so that a killed run leaves whole records."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{os.getpid()}.{next(_count)}"
        self._file = (folder / name).open("xb", buffering=0)
        self._file.write(record(b"\x09" + struct.pack("<d", time.time()) + _field(3, b"brain.Event:2")))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Scalars of one step."""
        self._file.write(record(event(time.time(), step, scalars)))

    def close(self) -> None:
        self._file.close()
