"""Checking payloads on other threads while the caller decodes the program: hashing needs no lock of the interpreter's."""
from __future__ import annotations

import os
import threading
from collections import deque

from scriptc.errors import ArchiveError
from scriptc.ir.archive.reader import ArchiveFile

WORTH = 1 << 18      # bytes of a payload; below it, handing it to another thread costs more than hashing it
MOST = 4             # threads, the caller's included


class Checking:
    """Payloads of an archive, being checked. `finish` before any of them is used; leaving the context ends the threads."""

    def __init__(self, archive: ArchiveFile) -> None:
        self._archive = archive
        sizes = {entry.blob: (archive.payload_bytes(name), name) for name, entry in archive.tensors.items()}
        large = sorted((pair for pair in sizes.values() if pair[0] >= WORTH), reverse=True)
        self._names = deque(name for _, name in large)
        self._failures: dict[str, ArchiveError] = {}
        self._threads = [threading.Thread(target=self._work, name="scriptc-check", daemon=True)
                         for _ in range(min(MOST, os.cpu_count() or 1, len(large)) - 1)]

    def _work(self) -> None:
        while True:
            try:
                name = self._names.popleft()
            except IndexError:
                return
            try:
                self._archive.tensor(name)
            except ArchiveError as error:
                self._failures[name] = error

    def __enter__(self) -> Checking:
        for thread in self._threads:
            thread.start()
        return self

    def finish(self) -> None:
        """Help until all is checked. ArchiveError for the first of the archive's tensors that is not what was written."""
        self._work()
        for thread in self._threads:
            thread.join()
        for name in self._archive.tensors:
            if name in self._failures:
                raise self._failures[name]

    def __exit__(self, *_: object) -> None:
        self._names.clear()
        for thread in self._threads:
            thread.join()
