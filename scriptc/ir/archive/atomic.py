"""Replacing a file so that a crash, a full disk or a power loss leaves the old content or the new, never a mixture.

A temporary file in the target's own directory, fsync, rename, fsync of the directory: without the two fsyncs a power
loss can leave the new name on data that never reached the disk.
"""
from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_STALE_SECONDS = 3600  # a process number may belong to another container's live process; age tells them apart
_TEMPORARY = re.compile(r"\.(\d+)\.[0-9a-f]{8}\.tmp")


class FileSystem(Protocol):
    """The calls that saving makes, in the signatures of `os`; tests make each of them fail."""

    def open(self, path: str, flags: int, mode: int = 0o777) -> int: ...
    def write(self, descriptor: int, data: memoryview) -> int: ...
    def fsync(self, descriptor: int) -> None: ...
    def close(self, descriptor: int) -> None: ...
    def replace(self, source: str, target: str) -> None: ...


class OperatingSystem:
    """The real calls."""

    open = staticmethod(os.open)
    write = staticmethod(os.write)
    fsync = staticmethod(os.fsync)
    close = staticmethod(os.close)
    replace = staticmethod(os.replace)


OPERATING_SYSTEM: FileSystem = OperatingSystem()


@contextmanager
def replacing(path: str | os.PathLike[str], *, filesystem: FileSystem = OPERATING_SYSTEM,
              durable: bool = True) -> Iterator[Callable[[bytes | memoryview], None]]:
    """Gives a function that appends bytes to the new content; on leaving without an exception it replaces `path`.

    A symbolic link is followed. The new file has the old one's mode, else the usual one. After any exception the old
    file is as it was and nothing is left beside it. OSError names `path`. `durable=False` skips both fsyncs.
    """
    shown = os.fspath(path)
    target = os.path.realpath(shown)
    if Path(target).is_dir():
        raise IsADirectoryError(21, "Is a directory", shown)
    _remove_stale(Path(target))
    temporary = f"{target}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with _naming(shown):
        try:
            descriptor = filesystem.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
                                         | getattr(os, "O_BINARY", 0), 0o666)
            try:
                _copy_mode(target, temporary)
                yield lambda data: _write_all(filesystem, descriptor, memoryview(data))
                if durable:
                    filesystem.fsync(descriptor)
            finally:
                filesystem.close(descriptor)  # before the rename: a network file system reports errors here
            filesystem.replace(temporary, target)
        except FileExistsError:
            raise  # somebody else's file of the same random name
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
            raise
    if durable:
        _sync_directory(shown, target, filesystem)


def _write_all(filesystem: FileSystem, descriptor: int, data: memoryview) -> None:
    data = data.cast("B")
    while len(data):  # one write(2) moves at most 2 GiB - 4 KiB, and may move less
        data = data[filesystem.write(descriptor, data):]


def _copy_mode(target: str, temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(temporary).chmod(stat.S_IMODE(Path(target).stat().st_mode))


def _sync_directory(shown: str, target: str, filesystem: FileSystem) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot open directories
    try:
        descriptor = filesystem.open(str(Path(target).parent), os.O_RDONLY | os.O_DIRECTORY)
        try:
            filesystem.fsync(descriptor)
        finally:
            filesystem.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, f"the new file is in place, but may not survive a power loss: {error.strerror}",
                      shown) from error


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == path:
            raise
        raise OSError(error.errno, os.strerror(error.errno), path) from error  # OSError picks the subclass by errno


def _remove_stale(target: Path) -> None:
    """Temporaries of earlier saves of this file whose process was killed."""
    with contextlib.suppress(OSError):
        for path in target.parent.iterdir():
            match = _TEMPORARY.fullmatch(path.name[len(target.name):]) if path.name.startswith(target.name) else None
            if match and time.time() - path.stat().st_mtime > _STALE_SECONDS and not _alive(int(match[1])):
                path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
