"""Saving is interrupted at every call it makes: what is on disk is the old archive or the new one, whole."""
from __future__ import annotations

import errno
import os
import random
import stat
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.atomic import OPERATING_SYSTEM, replacing
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.writer import write_archive

SIZES = {"small": 1, "medium": 9, "large": 20}


def save(path: Path, version: int, tensors: int = 3, **options: Any) -> None:
    rng = np.random.default_rng(version)
    write_archive(path, {"meta": {"version": version}}, {f"t{i}": rng.random(900) for i in range(tensors)}, **options)


def version_of(source: Path | bytes) -> int:
    """Which archive is there; ArchiveError if it is neither."""
    with read_archive(source if isinstance(source, bytes) else str(source)) as archive:
        archive.verify()
        return int(archive.section("meta")["version"])


class Faulty:
    """The file system, with a fault at the n-th call, before it or right after it; writes take at most a page."""

    def __init__(self, at: int = 0, fault: str = "", after: bool = False) -> None:
        self.at, self.fault, self.after = at, fault, after
        self.calls = 0
        self.log: list[tuple[Any, ...]] = []
        self.paths: dict[int, str] = {}

    def tick(self) -> bool:
        self.calls += 1
        return self.calls == self.at

    def fail(self, descriptor: int = -1, data: memoryview | None = None) -> None:
        if self.fault in ("EIO", "ENOSPC", "EROFS", "EACCES", "EDQUOT"):
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number))
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        if data is not None:  # a torn write, then death
            os.write(descriptor, data[:len(data) // 2])
        os._exit(9)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        due = self.tick()
        if due and not self.after:
            self.fail()
        descriptor = OPERATING_SYSTEM.open(path, flags, mode)
        self.paths[descriptor] = path
        if due:
            self.fail()
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        data = data[:4096]
        if self.tick():
            if self.fault == "short":
                return OPERATING_SYSTEM.write(descriptor, data[:1])
            self.fail(descriptor, data)
        self.log.append(("write", self.paths[descriptor], bytes(data)))
        return OPERATING_SYSTEM.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        if self.tick():
            self.fail()
        self.log.append(("fsync", self.paths[descriptor]))
        OPERATING_SYSTEM.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        OPERATING_SYSTEM.close(descriptor)
        if self.tick():
            self.fail()

    def replace(self, source: str, target: str) -> None:
        due = self.tick()
        if due and not self.after:
            self.fail()
        OPERATING_SYSTEM.replace(source, target)
        self.log.append(("replace", source, target))
        if due:
            self.fail()


def calls_of_one_save(path: Path, tensors: int) -> int:
    probe = Faulty()
    save(path, 1, tensors, filesystem=probe)
    return probe.calls


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "interrupt"])
def test_a_fault_at_any_call_leaves_old_or_new_and_nothing_else(fault: str, after: bool, size: str,
                                                                tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    total = calls_of_one_save(path, SIZES[size])
    states: Counter[int] = Counter()
    for at in range(1, total + 1):
        save(path, 0, SIZES[size], durable=False)
        with pytest.raises(KeyboardInterrupt if fault == "interrupt" else OSError) as caught:
            save(path, 1, SIZES[size], filesystem=Faulty(at, fault, after))
        if fault != "interrupt":
            assert isinstance(caught.value, OSError)
            assert caught.value.filename == str(path)
        states[version_of(path)] += 1
        assert list(tmp_path.iterdir()) == [path]
    assert states[0] + states[1] == total
    # Only the directory's open, fsync and close, and what follows a completed rename, leave the new file.
    assert states[1] == (4 if after else 3)


@pytest.mark.parametrize("size", SIZES)
def test_a_killed_process_leaves_old_or_new(size: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    total = calls_of_one_save(path, SIZES[size])
    states: Counter[int] = Counter()
    for at in range(1, total + 1):
        save(path, 0, SIZES[size], durable=False)
        child = os.fork()
        if child == 0:
            try:
                save(path, 1, SIZES[size], filesystem=Faulty(at, "kill"))
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        states[version_of(path)] += 1
        for left in tmp_path.glob("model.pt.*.tmp"):
            left.unlink()
        assert list(tmp_path.iterdir()) == [path]
    assert states == {0: total - 3, 1: 3}


def test_short_writes_are_continued(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save(path, 1, 2)
    whole = path.read_bytes()
    for at in range(2, 8):  # 1 is the open
        save(path, 1, 2, filesystem=Faulty(at, "short"))
        assert path.read_bytes() == whole


def after_power_loss(log: list[tuple[Any, ...]], old: bytes, rng: random.Random) -> bytes:
    """A state the disk may be in: unsynced pages are there or zero, a rename holds once the directory is synced."""
    pages: dict[str, list[bytes]] = {}
    synced: dict[str, int] = {}
    renamed = certain = False
    source = ""
    for kind, path, *rest in log:
        if kind == "write":
            pages.setdefault(path, []).append(rest[0])
        elif kind == "replace":
            renamed, source = True, path
        elif path in pages:
            synced[path] = len(pages[path])
        else:
            certain = renamed
    if not renamed or (not certain and rng.random() < 0.5):
        return old
    safe = synced.get(source, 0)
    return b"".join(page if number < safe or rng.random() < 0.5 else bytes(len(page))
                    for number, page in enumerate(pages[source]))


def power_loss_states(tmp_path: Path, durable: bool, samples: int) -> Counter[str]:
    path = tmp_path / "model.pt"
    save(path, 0)
    old = path.read_bytes()
    disk = Faulty()
    save(path, 1, filesystem=disk, durable=durable)
    rng = random.Random(5)
    states: Counter[str] = Counter()
    for upto in range(len(disk.log) + 1):
        for _ in range(samples):
            try:
                states[str(version_of(after_power_loss(disk.log[:upto], old, rng)))] += 1
            except ArchiveError:
                states["lost"] += 1
    return states


def test_a_power_loss_at_any_moment_leaves_old_or_new(tmp_path: Path) -> None:
    states = power_loss_states(tmp_path, True, 700)
    assert set(states) == {"0", "1"}
    assert states.total() > 10_000


def test_the_power_loss_model_does_lose_data_without_fsync(tmp_path: Path) -> None:
    states = power_loss_states(tmp_path, False, 40)
    assert states["lost"] > 0


# The surroundings of the file.

@pytest.mark.parametrize("fault", ["EROFS", "EACCES", "EDQUOT"])
def test_a_file_system_that_refuses_is_reported_with_the_path(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save(path, 0)
    with pytest.raises(OSError, match="model") as caught:
        save(path, 1, filesystem=Faulty(1, fault))
    assert (caught.value.errno, caught.value.filename) == (getattr(errno, fault), str(path))
    assert version_of(path) == 0


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save(tmp_path / "nowhere" / "model.pt", 1)


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        save(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.pt"
    save(path, 0)
    child = os.fork()
    if child == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            save(path, 1)
        except OSError as error:
            os._exit(7 if error.errno == errno.EFBIG and error.filename == str(path) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert version_of(path) == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_sync_of_the_directory_says_that_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    total = calls_of_one_save(path, 1)
    with pytest.raises(OSError, match="the new file is in place, but may not survive a power loss"):
        save(path, 2, 1, filesystem=Faulty(total - 1, "EIO"))
    assert version_of(path) == 2


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    save(tmp_path / "real" / "model.pt", 0)
    (tmp_path / "link.pt").symlink_to(tmp_path / "real" / "model.pt")
    save(tmp_path / "link.pt", 1)
    assert (tmp_path / "link.pt").is_symlink()
    assert version_of(tmp_path / "real" / "model.pt") == 1


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664], ids=oct)
def test_the_old_files_mode_is_kept(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save(path, 0)
    path.chmod(mode)
    save(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    save(tmp_path / "model.pt", 0)
    (tmp_path / "other").touch()
    assert (tmp_path / "model.pt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_temporaries_of_killed_saves_are_removed_once_old(tmp_path: Path) -> None:
    gone = 4_000_000  # above the largest process number
    old, fresh = tmp_path / f"m.pt.{gone}.0123abcd.tmp", tmp_path / f"m.pt.{gone}.0123abce.tmp"
    alive, other = tmp_path / f"m.pt.{os.getpid()}.0123abcd.tmp", tmp_path / f"n.pt.{gone}.0123abcd.tmp"
    for path in (old, fresh, alive, other):
        path.touch()
        if path != fresh:
            os.utime(path, (time.time() - 7200,) * 2)
    save(tmp_path / "m.pt", 1)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "m.pt", fresh, alive, other])


def test_an_exception_of_the_caller_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as write:
        write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
