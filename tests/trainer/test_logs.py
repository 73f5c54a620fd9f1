"""What a run leaves beside the archive: CSV, TensorBoard's event files, curves."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from scriptc_runtime.trainer import logs
from scriptc_runtime.trainer.tensorboard import EventFile, masked_crc32c

HISTORY = [{"epoch": 1, "step": 10, "loss": 0.5, "val_loss": 0.25}, {"epoch": 2, "step": 20, "loss": 1 / 3, "val_loss": float("nan")}]


def test_the_csv_keeps_every_digit(tmp_path: Path) -> None:
    logs.write_csv(tmp_path / "m.csv", HISTORY)
    assert (tmp_path / "m.csv").read_text() == "epoch,step,loss,val_loss\n1,10,0.5,0.25\n2,20,0.3333333333333333,nan\n"


def test_an_evaluation_before_the_first_epoch_leaves_gaps(tmp_path: Path) -> None:
    logs.write_csv(tmp_path / "m.csv", [{"epoch": 0, "step": 0, "val_loss": 1.5}, *HISTORY[:1]])
    assert (tmp_path / "m.csv").read_text() == "epoch,step,loss,val_loss\n0,0,,1.5\n1,10,0.5,0.25\n"


def test_checksums_are_those_of_castagnoli() -> None:
    masked = 0xE3069283  # CRC-32C of these digits, in every table of check values
    assert masked_crc32c(b"123456789") == ((masked >> 15 | masked << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(content: bytes) -> Iterator[bytes]:
    """The records of an event file, their checksums verified."""
    position = 0
    while position < len(content):
        head = content[position:position + 8]
        (length,), (check,) = struct.unpack("<Q", head), struct.unpack("<I", content[position + 8:position + 12])
        assert check == masked_crc32c(head)
        body = content[position + 12:position + 12 + length]
        assert struct.unpack("<I", content[position + 12 + length:position + 16 + length]) == (masked_crc32c(body),)
        yield body
        position += 16 + length


def fields(message: bytes) -> dict[int, list[bytes | int]]:
    """A protocol buffer's fields: bytes, or numbers of the three other wire types."""
    found: dict[int, list[bytes | int]] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        value: bytes | int
        if key & 7 == 0:
            value = varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            value = message[position:position + size]
            position += size
        found.setdefault(key >> 3, []).append(value)
    return found


def test_event_files_hold_the_scalars(tmp_path: Path) -> None:
    events = EventFile(tmp_path / "logs")
    events.add(300, {"train/loss": 0.5, "train/lr": 0.001})
    events.close()
    (path,) = (tmp_path / "logs").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    version, scalars = map(fields, records(path.read_bytes()))
    assert version[3] == [b"brain.Event:2"]
    assert scalars[2] == [300]
    values = [fields(v) for v in fields(scalars[5][0])[1]]  # type: ignore[arg-type]
    assert [(v[1][0], struct.unpack("<f", v[2][0])[0]) for v in values] == [  # type: ignore[arg-type]
        (b"train/loss", 0.5), (b"train/lr", pytest.approx(0.001))]


def test_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    logs.draw(tmp_path / "curves.png", [*HISTORY, {"epoch": 3, "step": 30, "loss": 0.2, "val_loss": 0.2, "val_accuracy": 0.9}])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
