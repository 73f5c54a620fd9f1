"""Mutated archives: only ArchiveError may come out, and nothing changed may come in under the old identity.

Two thirds of the mutations are structure-aware and repair the digests: without that, a fuzzer tests only the hash.
"""
from __future__ import annotations

import copy
import hashlib
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.encode import load_program
from scriptc.ir.archive.format import END_KEY, HEAD
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.vectors import read_vectors

CONTAINER_RUNS, PROGRAM_RUNS = 188_000, 12_000

HOSTILE: list[Any] = [
    0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1, -2**63, 2**48 - 1, float("nan"), float("inf"), 1e308, 3.0,
    None, True, b"", bytes(32), [], {}, [[]], [0] * 40, [2**47] * 16, [0, 2**47, 2**47], [-1], {"a": 1},
    "", "..", "../../etc/passwd", "/abs", "a\x00b", "a;import os", "\u202e", "x" * 600, "__class__", "f32", "i4",
    "object",    "int(9)", "float32[N]", "float32[(N)//(0)]", "Tuple[]", "add", "if", "loop", {"dtype": "float32"},
    {"complex": [0.0, 1.0]}, [{"complex": [1.0]}], {"tensor": "fc.weight"},
    {"kind": "tuple", "label": "", "keys": [], "items": []},
]
BYTES = bytes.fromhex("00017f808f909fa0c0c1c3c4c6c7c9cacbd6dbdddfff")


class Mutator:
    """Mutations of one archive, by a seeded generator."""

    def __init__(self, good: bytes, seed: int) -> None:
        self.good = good
        self.random = random.Random(seed)
        self.index_offset, self.index_length = struct.unpack(">QQ", good[-48:-32])
        self.packed_index = good[self.index_offset:self.index_offset + self.index_length]
        self.index = msgpack.unpackb(self.packed_index)
        self.paths = [path for path in paths(self.index) if path]
        self.sections = {n: good[o:o + length] for n, o, length, _ in self.index["sections"]}
        self.section_paths = {name: [path for path in paths(msgpack.unpackb(raw)) if path]
                              for name, raw in self.sections.items()}

    def blind(self) -> bytes:
        """Bits, bytes, runs and lengths, anywhere; digests as they are."""
        choose = self.random
        data = bytearray(self.good)
        for _ in range(choose.choice((1, 1, 1, 2, 4, 16))):
            if not data:
                break
            kind, at = choose.randrange(7), choose.randrange(len(data))
            if kind == 0:
                data[at] ^= 1 << choose.randrange(8)
            elif kind == 1:
                data[at] = choose.randrange(256)
            elif kind == 2:
                del data[at:]
            elif kind == 3:
                data[at:at] = choose.randbytes(choose.randrange(1, 20))
            elif kind == 4:
                del data[at:at + choose.randrange(1, 64)]
            elif kind == 5:
                source, length = choose.randrange(len(data)), choose.randrange(1, 64)
                data[at:at + length] = data[source:source + length]
            else:
                number = choose.choice((0, 1, 2**32 - 1, 2**63, 2**64 - 1, len(data), choose.randrange(2**16)))
                data[at:at + 8] = struct.pack(choose.choice((">Q", "<Q")), number)
        return bytes(data)

    def index_bytes(self) -> bytes:
        """Bytes of the index, root repaired."""
        index = bytearray(self.packed_index)
        self.damage(index)
        return self.seal(self.good[:self.index_offset], bytes(index))

    def index_values(self) -> bytes:
        """Values of the index, replaced by hostile ones, moved, dropped or doubled; root repaired."""
        return self.reindex(self.mutate(self.packed_index, self.paths))

    def section_bytes(self) -> bytes:
        """Bytes of a section, its digest and the root repaired."""
        index = msgpack.unpackb(self.packed_index)
        entry = self.random.choice(index["sections"])
        raw = bytearray(self.good[entry[1]:entry[1] + entry[2]])
        self.damage(raw)
        entry[3] = hashlib.sha256(raw).digest()
        body = self.good[:entry[1]] + bytes(raw) + self.good[entry[1] + entry[2]:self.index_offset]
        return self.seal(body, msgpack.packb(index))

    def section_values(self) -> bytes:
        """A section with hostile values, the whole archive laid out anew around it."""
        name = self.random.choice(("ir", "ir", "ir", "srcmap", "source", "vectors", *self.sections))
        value = self.mutate(self.sections[name], self.section_paths[name])
        try:
            return self.rebuild(name, msgpack.packb(value))
        except (ValueError, TypeError, OverflowError):
            return self.good

    def damage(self, raw: bytearray) -> None:
        for _ in range(self.random.choice((1, 1, 2, 3))):
            at = self.random.randrange(len(raw))
            raw[at] = self.random.choice((self.random.randrange(256), raw[at] ^ 1 << self.random.randrange(8),
                                          self.random.choice(BYTES)))

    def mutate(self, packed: bytes, places: list[tuple[Any, ...]]) -> Any:
        choose = self.random
        tree = msgpack.unpackb(packed)
        for _ in range(choose.choice((1, 1, 2))):
            path = choose.choice(places)
            try:
                inner = tree
                for step in path[:-1]:
                    inner = inner[step]
                self.mutate_at(inner, path[-1])
            except (KeyError, IndexError, TypeError):
                continue
        return tree

    def mutate_at(self, inner: Any, key: Any) -> None:
        choose = self.random
        kind = choose.randrange(5)
        if kind == 1 and type(inner[key]) is int:
            inner[key] += choose.choice((-64, -1, 1, 2, 64, 2**32))
        elif kind == 2 and type(inner) is dict:
            inner[choose.choice([h for h in HOSTILE if type(h) is str])] = inner.pop(key)
        elif kind == 3 and type(inner) is list:
            if choose.random() < 0.5:
                inner.pop(key)
            else:
                inner.insert(key, copy.deepcopy(choose.choice(inner)))
        elif kind == 4 and type(inner) is list and inner:
            other = choose.randrange(len(inner))
            inner[key], inner[other] = inner[other], inner[key]
        else:
            inner[key] = copy.deepcopy(choose.choice(HOSTILE))

    def reindex(self, index: Any) -> bytes:
        try:
            return self.seal(self.good[:self.index_offset], msgpack.packb(index))
        except (ValueError, TypeError, OverflowError):
            return self.good

    def seal(self, body: bytes, index: bytes) -> bytes:
        root = hashlib.sha256(HEAD + index).digest()
        return body + index + END_KEY + struct.pack(">QQ", len(body), len(index)) + root

    def rebuild(self, name: str, raw: bytes) -> bytes:
        out = bytearray(HEAD + b"\xa8sections\xdf" + struct.pack(">I", len(self.sections)))
        entries, blobs = [], []
        for other, offset, length, _ in self.index["sections"]:
            out += msgpack.packb(other)
            content = raw if other == name else self.good[offset:offset + length]
            entries.append([other, len(out), len(content), hashlib.sha256(content).digest()])
            out += content
        out += b"\xa5blobs\xdd" + struct.pack(">I", 2 * len(self.index["blobs"]))
        for offset, length, digest in self.index["blobs"]:
            pad = -(len(out) + 7) % 64
            out += b"\xc4" + bytes([pad]) + bytes(pad) + b"\xc6" + struct.pack(">I", length)
            blobs.append([len(out), length, digest])
            out += self.good[offset:offset + length]
        out += b"\xa5index"
        index = {"blobs": blobs, "sections": entries, "tensors": self.index["tensors"]}
        return self.seal(bytes(out), msgpack.packb(index))


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = enumerate(value) if type(value) is list else value.items() if type(value) is dict else ()
    for key, child in children:
        yield from paths(child, (*path, key))


def read_everything(data: bytes) -> bytes:
    """Open, look at every part; the root."""
    with read_archive(data) as archive:
        for name in archive.sections:
            archive.section(name)
        for name in archive.tensors:
            assert archive.tensor(name).nbytes <= 2 * len(data)
        return archive.root


def load_everything(data: bytes) -> bytes:
    """Decode and verify the program and its recorded calls as well; the root."""
    program, archive = load_program(data)
    with archive:
        read_vectors(archive, program)
        archive.verify()
        return archive.root


def small_archive(forge: Any) -> bytes:
    forge.tensors["half"] = [3, "bf16", [1, 2]]
    forge.tensors["nibbles"] = [4, "i4", [3]]
    forge.blobs += [b"\x00\x3f\x80\x3f", b"\x21\x03"]
    forge.sections["meta"] = msgpack.packb({"a": [1, -2.5, None, True, "text", b"bytes", {"b": {}}], "n": 2**40})
    return bytes(forge.build())


def run(good: bytes, read: Callable[[bytes], bytes], mutators: tuple[str, ...], runs: int, seed: int,
        kept: Path) -> Counter[str]:
    root = read(good)
    mutator = Mutator(good, seed)
    makers = [getattr(mutator, name) for name in mutators]
    outcomes: Counter[str] = Counter()
    for number in range(runs):
        which = number % len(makers)
        data = makers[which]()
        try:
            found = read(data)
            # The root covers every byte: the same root means the same file.
            assert (found == root) == (data == good), "a changed archive kept its identity"
            outcomes[f"{mutators[which]} accepted" if data != good else "unchanged"] += 1
        except ArchiveError as error:
            outcomes[f"{mutators[which]} refused"] += 1
            outcomes[error.code] += 1
        except BaseException as error:
            kept.write_bytes(data)
            error.add_note(f"{mutators[which]} number {number}, kept in {kept}")
            raise
    return outcomes


def test_mutated_containers_are_refused_or_whole(forge: Any, tmp_path: Path) -> None:
    mutators = ("blind", "index_bytes", "index_values", "blind", "section_bytes", "section_values")
    content = msgpack.packb({"requires": [], "n": [1, 2]})
    forge.sections = dict.fromkeys(("ir", "meta", "source", "srcmap", "vectors"), content)
    outcomes = run(small_archive(forge), read_everything, mutators, CONTAINER_RUNS, 11, tmp_path / "input.pt")
    assert outcomes["blind accepted"] == 0
    assert outcomes["index_values refused"] > 10_000
    assert outcomes["section_values accepted"] > 1_000  # the repair works: what is well formed gets in
    assert len([code for code in outcomes if code.startswith("A01")]) >= 18


def test_mutated_programs_are_refused_or_verified(program_file: Path, tmp_path: Path) -> None:
    mutators = ("section_values", "section_values", "blind")
    outcomes = run(program_file.read_bytes(), load_everything, mutators, PROGRAM_RUNS, 12, tmp_path / "input.pt")
    assert outcomes["blind accepted"] == 0
    assert outcomes["section_values refused"] > 3_000
    assert {"A0130", "A0131", "A0134", "A0135"} <= set(outcomes)


@pytest.mark.parametrize("where", ["index", "tail", "pads and payloads"])
def test_large_files_are_covered_like_small_ones(where: str, tmp_path: Path) -> None:
    from scriptc.ir.archive.writer import write_archive

    rng = np.random.default_rng(3)
    write_archive(tmp_path / "a.pt", {"ir": {"requires": []}}, {f"t{i}": rng.random(40_000) for i in range(25)})
    good = (tmp_path / "a.pt").read_bytes()
    offset = struct.unpack(">Q", good[-48:-40])[0]
    end = len(good)
    low, high = {"index": (offset, end - 54), "tail": (end - 54, end), "pads and payloads": (0, offset)}[where]
    data = bytearray(good)
    for position in rng.integers(low, high, 20):
        data[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ArchiveError), read_archive(bytes(data)) as archive:
            archive.verify()
        data[position] = good[position]


def test_every_flipped_bit_of_a_small_archive_is_detected(forge: Any) -> None:
    small_archive(forge)
    forge.sections["meta"] = msgpack.packb({"text": "x" * 3400})
    good = bytes(forge.build())
    assert 4000 < len(good) < 5000
    data = bytearray(good)
    for position in range(len(good)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(ArchiveError), read_archive(bytes(data)) as archive:
                archive.verify()
            data[position] = good[position]
