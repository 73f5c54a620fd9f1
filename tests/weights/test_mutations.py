"""Mutated files: only WeightsError may come out, and reading them does nothing to the process but raise.

Most mutations of zip checkpoints repair the checksums: without that, a fuzzer tests only the checksum.
"""
from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scriptc.errors import WeightsError
from scriptc.ir.weights.read import _read, select_tensors
from tests.weights.forge import GOLDEN, checkpoint, named_calls, safetensors_file

RUNS = 20_000
OPERATIONS = b"cRb.(}])tQqrhjsueaNKMJGXU\x80\x85\x86\x87\x88\x89\x8a\x81\x93ioPI\x95"


def good_files() -> dict[str, bytes]:
    files = {name: (GOLDEN / name).read_bytes() for name in
             ("state.pt", "legacy.pt", "narrow.pt", "training.pt", "training_legacy.pt", "with_namespace.pt")}
    out = io.BytesIO()
    np.savez(out, a=np.arange(6.0).reshape(2, 3).T, b=np.array(True))
    packed = io.BytesIO()
    np.savez_compressed(packed, a=np.zeros(100))
    header = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
              "b": {"dtype": "BOOL", "shape": [1], "data_offsets": [16, 17]}}
    return files | {"a.npz": out.getvalue(), "packed.npz": packed.getvalue(), "a.safetensors": safetensors_file(header, bytes(17))}


def spans(data: bytes) -> list[tuple[int, int, int]]:
    """(start, end, place of its checksum in the directory) of each stored member of a zip file."""
    found, at = [], data.find(b"PK\1\2")
    while at >= 0:
        stored, name_size = struct.unpack_from("<I", data, at + 20)[0], struct.unpack_from("<H", data, at + 28)[0]
        header = struct.unpack_from("<I", data, at + 42)[0]
        start = header + 30 + sum(struct.unpack_from("<HH", data, header + 26))
        found.append((start, start + stored, at + 16))
        at = data.find(b"PK\1\2", at + 46 + name_size)
    return found


def mutations(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Bytes, runs and operations changed; in zip files mostly within a member, whose checksum is then repaired."""
    choose = random.Random(seed)
    members = spans(data) if data.startswith(b"PK") else []
    small = [span for span in members if span[1] > span[0]]
    for _ in range(count):
        changed = bytearray(data)
        start, end, checksum = choose.choice(small) if small and choose.random() < 0.85 else (0, len(data), -1)
        if members and checksum >= 0 and choose.random() < 0.6:
            start, end, checksum = members[0]  # the pickle, of checkpoints
        for _ in range(choose.choice((1, 1, 2, 4, 8))):
            at = choose.randrange(start, end)
            kind = choose.randrange(5)
            if kind == 0:
                changed[at] ^= 1 << choose.randrange(8)
            elif kind == 1:
                changed[at] = choose.choice(OPERATIONS)
            elif kind == 2:
                changed[at] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
            elif kind == 3:
                length = min(choose.randrange(1, 24), end - at)
                source = choose.randrange(start, end - length + 1)
                changed[at:at + length] = data[source:source + length]
            else:
                length = min(choose.choice((2, 4, 8)), end - at)
                changed[at:at + length] = choose.choice((0, 1, (1 << 62) + 1, (1 << 64) - 1)).to_bytes(8, "little")[:length]
        if checksum >= 0:
            struct.pack_into("<I", changed, checksum, zlib.crc32(changed[start:end]))
        elif choose.random() < 0.1:
            del changed[choose.randrange(len(changed)):]
        yield bytes(changed)


@pytest.mark.parametrize("name", good_files())
def test_only_the_one_exception_comes_out_of_mutated_files(name: str) -> None:
    files = good_files()
    read = refused = 0
    for data in mutations(files[name], 7, RUNS // len(files)):
        try:
            select_tensors(_read(memoryview(data))[1])
            read += 1
        except WeightsError:
            refused += 1
    assert refused > RUNS // len(files) // 10


WATCHED = """
import os, sys
from pathlib import Path
import ml_dtypes  # the only module that reading a file may import, and a fixed one
from scriptc.errors import WeightsError
from scriptc.ir.weights import read_weights

seen = []
FORBIDDEN = {"import", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
             "socket.__new__", "socket.connect", "ctypes.dlopen", "pickle.find_class", "marshal.loads", "os.remove",
             "os.rename", "os.mkdir", "os.chmod", "shutil.rmtree", "code.__new__"}

def watch(event, arguments):
    if event in FORBIDDEN:
        seen.append((event, arguments))
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append((event, arguments))

def load(path):
    try:
        return bool(read_weights(path).tensors)
    except WeightsError:
        return False

files = sorted(Path(sys.argv[1]).iterdir())
[load(path) for path in files if path.name.startswith("good")]
modules = set(sys.modules)
sys.addaudithook(watch)
results = [load(path) for path in files]
assert not seen, seen[:5]
assert set(sys.modules) == modules
print(sum(results), len(results))
"""


def test_reading_hostile_files_imports_executes_and_writes_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, data in good_files().items():
        (corpus / f"good-{name}").write_bytes(data)
        for number, changed in enumerate(mutations(data, 11, 40)):
            (corpus / f"changed{number}-{name}").write_bytes(changed)
    marker = tmp_path / "ran"
    for number, raw in enumerate(named_calls(f"touch {marker}")):
        (corpus / f"hostile{number}.pt").write_bytes(checkpoint(raw))
    done = subprocess.run([sys.executable, "-c", WATCHED, str(corpus)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    read, total = map(int, done.stdout.split())
    assert read >= len(good_files()) - 1 and total > 300
    assert not marker.exists()
