"""What reading a hostile file may do to the process: nothing but raise, in bounded memory, whoever else is at work."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.writer import write_archive

WATCHED = """
import os, sys
from pathlib import Path
from scriptc.errors import ArchiveError
from scriptc.ir.archive.encode import load_program
from scriptc.ir.archive.vectors import read_vectors
import ml_dtypes, scriptc.ir.printer  # the only modules that reading a file may import, fixed ones: for dtypes, and to show a wrong program

seen = []
FORBIDDEN = {"import", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
             "socket.__new__", "socket.connect", "ctypes.dlopen", "pickle.find_class", "marshal.loads", "os.remove",
             "os.rename", "os.mkdir", "os.chmod", "shutil.rmtree", "code.__new__"}

def watch(event, arguments):
    if event in FORBIDDEN:
        seen.append((event, arguments))
    elif event == "open" and len(arguments) == 3 and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append((event, arguments))

files = sorted(Path(sys.argv[1]).iterdir())
good = Path(sys.argv[2])
accepted = refused = 0

def load(path):
    program, archive = load_program(path)
    with archive:
        archive.verify()
        read_vectors(archive, program)

load(good)  # what is imported lazily, is imported now
sys.addaudithook(watch)
load(good)
for path in files:
    try:
        load(path)
        accepted += 1
    except ArchiveError:
        refused += 1
assert not seen, [(event, [str(a)[:120] for a in arguments]) for event, arguments in seen[:5]]
print(accepted, refused)
"""


def test_reading_hostile_files_imports_executes_and_writes_nothing(program_file: Path, tmp_path: Path) -> None:
    sections, tensors = parts(program_file)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    hostile = ["os.system", "__import__('os').system('true')", "builtins.eval", "cos\nsystem\n(S'true'\ntR.",
               "../../x", "{0.__class__}", b"\x80\x04\x95", {"dtype": "object"}, {"__class__": "x"}, -1, 2**63, None,
               [], float("nan")]
    places = [path for path in leaves(sections) if path[0] in ("ir", "srcmap", "source", "vectors")]
    for number, path in enumerate(places[::3]):
        edited = msgpack.unpackb(msgpack.packb(sections))
        inner = edited
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = hostile[number % len(hostile)]
        write_archive(corpus / f"{number}.pt", edited, tensors, durable=False)
    data = program_file.read_bytes()
    for number in range(0, len(data), 97):
        (corpus / f"flip{number}.pt").write_bytes(data[:number] + bytes([data[number] ^ 0x55]) + data[number + 1:])
    command = [sys.executable, "-c", WATCHED, str(corpus), str(program_file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    _, refused = map(int, result.stdout.split())
    assert refused > 100


def parts(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with read_archive(path, mmap=False) as archive:
        return {n: archive.section(n) for n in archive.sections}, {n: archive.tensor(n) for n in archive.tensors}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if type(value) in (list, dict) and value:
        items = enumerate(value) if type(value) is list else value.items()
        return [leaf for key, child in items for leaf in leaves(child, (*path, key))]
    return [path]


MEASURED = """
import resource, sys, time
from pathlib import Path
from scriptc.errors import ArchiveError
from scriptc.ir.archive.reader import read_archive

for path in sorted(Path(sys.argv[1]).iterdir()):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        with read_archive(path) as archive:
            archive.verify()
        code = "accepted"
    except ArchiveError as error:
        code = error.code
    print(path.stem, code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
BOMBS: dict[str, bytes] = {
    "long lists in long lists": b"\xdd\x00\x04\x00\x00" * 60_000,
    "lists as long as the file": b"\xdd\x00\x04\x93\xe0" * 60_000,
    "long maps in long maps": b"\xdf\x00\x04\x00\x00" * 60_000,
    "two million empty lists": (b"\xdd\x00\x04\x00\x00" + b"\x90" * 262_144) * 8,
    "empty maps": b"\xdd\x00\x04\x00\x00" + b"\x80" * 262_144,
    "lists of lists of lists": b"\xdc\x02\x00" + (b"\xdc\x04\x00" + b"\x90" * 1024) * 512,
    "deep": b"\x91" * 4_000_000 + b"\xc0",
    "wide and deep": (b"\x92" * 500 + b"\xc0" * 501) * 2000,
    "text as long as claimed": b"\xdb\x7f\xff\xff\xff" + b"x" * 1000,
    "16 MiB of numbers": b"\xdd\x00\x04\x00\x00" + b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff" * 262_144,
}


def test_parse_bombs_stay_in_bounded_memory(forge: Any, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    for number, raw in enumerate(BOMBS.values()):
        forge.sections["meta"] = raw
        (tmp_path / f"{number}.pt").write_bytes(forge.build())
    result = subprocess.run([sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=True)
    outcome = {name: (code, int(grown)) for name, code, grown in (line.split() for line in result.stdout.splitlines())}
    assert len(outcome) == len(BOMBS)
    assert max(grown for _, grown in outcome.values()) < 200
    assert {code for code, _ in outcome.values()} <= {"accepted", "A0110", "A0111", "A0112", "A0113"}
    assert [code for code, _ in outcome.values()].count("accepted") <= 2  # 262,144 maps, or numbers, are allowed


def test_a_declared_size_allocates_nothing(forge: Any) -> None:
    forge.tensors["w"][2] = [2**40]
    with pytest.raises(ArchiveError) as caught:
        read_archive(forge.build())
    assert caught.value.code == "A0121"


def test_threads_share_an_archive(program_file: Path) -> None:
    for _ in range(20):
        with read_archive(program_file) as archive:
            found: list[int] = []
            barrier = threading.Barrier(8)

            def use(archive: Any = archive, found: list[int] = found, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                found.extend(id(archive.tensor(name)) for name in archive.tensors)

            threads = [threading.Thread(target=use) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(found) == 8 * len(archive.tensors)
            assert len(set(found)) == len({entry.blob for entry in archive.tensors.values()})


READER = """
import sys, threading
import numpy as np
from scriptc.ir.archive.reader import read_archive

def load():
    for n in range(60):
        with read_archive(sys.argv[1], mmap=n % 2 == 0) as archive:
            version = archive.section("meta")["version"]
            archive.verify()
            assert all((archive.tensor(name) == version).all() for name in archive.tensors), "torn"
    done.append(1)

done = []
threads = [threading.Thread(target=load) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
sys.exit(0 if len(done) == 4 else 1)
"""


def test_readers_never_see_a_torn_file_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"

    def save(version: int) -> None:
        tensors = {f"t{i}": np.full(5000, version, np.int32) for i in range(4)}
        write_archive(path, {"meta": {"version": version}}, tensors, durable=False)

    save(0)
    command = [sys.executable, "-c", READER, str(path)]
    readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    version = 0
    while any(reader.poll() is None for reader in readers):
        version += 1
        save(version)
    for reader in readers:
        assert reader.wait() == 0, reader.communicate()[1][-2000:]
    assert version > 10


def test_loading_leaks_no_descriptors_and_no_memory(program_file: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("counts descriptors through /proc")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cycle(times: int) -> None:
        broken = program_file.read_bytes()[:-1]
        for _ in range(times):
            with read_archive(program_file) as archive:
                archive.tensor("fc.weight")
                archive.section("ir")
            with pytest.raises(ArchiveError):
                read_archive(broken)

    cycle(200)
    descriptors, before = len(list(Path("/proc/self/fd").iterdir())), resident()
    cycle(1500)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert resident() - before < 4 << 20
