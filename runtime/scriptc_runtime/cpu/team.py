"""The threads that share one native call: the caller and helpers that sleep between calls.

All of them run the same list of commands and meet after each at a barrier in native code. One call at a time has the helpers; another
that comes meanwhile runs alone. Commands split their results, never a sum: the bits do not depend on the number of threads.
"""
from __future__ import annotations

import os
import queue
import threading

import numpy as np

from scriptc_runtime.cpu.tiles.library import Entry

MOST = 64            # threads of one call
ENOUGH = 2_000_000   # multiplications (about 40 microseconds) that pay for waking a helper

_wanted: int | None = None


def available() -> int:
    """The processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def get_num_threads() -> int:
    """How many threads one call may use: `set_num_threads`, else SCRIPTC_NUM_THREADS, else the processors at hand."""
    if _wanted is not None:
        return _wanted
    named = os.environ.get("SCRIPTC_NUM_THREADS", "")
    return min(max(int(named), 1), MOST) if named.isdigit() else min(available(), MOST)


def set_num_threads(threads: int) -> None:
    """Use at most so many threads in one call, the caller included. ValueError below 1."""
    global _wanted
    if threads < 1:
        raise ValueError(f"set_num_threads expects a positive number, found {threads}")
    _wanted = min(threads, MOST)


class _Helper:
    """One sleeping thread."""

    def __init__(self, number: int) -> None:
        self.jobs: queue.SimpleQueue[tuple[Entry, int, int, int, np.ndarray]] = queue.SimpleQueue()
        self.number = number
        threading.Thread(target=self._serve, name=f"scriptc-{number}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            entry, commands, count, threads, meeting = self.jobs.get()
            entry(commands, count, self.number, threads, meeting.ctypes.data + 64)
            del meeting


class _Team:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.helpers: list[_Helper] = []

    def run(self, entry: Entry, commands: int, count: int, threads: int) -> None:
        if threads > 1 and self.lock.acquire(blocking=False):
            try:
                while len(self.helpers) < threads - 1:
                    self.helpers.append(_Helper(len(self.helpers) + 1))
                # A counter for each call, alone on its cache lines: a helper may look at the last one's after the caller has left.
                meeting = np.zeros(24, np.int64)
                for helper in self.helpers[:threads - 1]:
                    helper.jobs.put((entry, commands, count, threads, meeting))
                entry(commands, count, 0, threads, meeting.ctypes.data + 64)
            finally:
                self.lock.release()
        else:
            entry(commands, count, 0, 1, 0)


_team = _Team()


def _forget() -> None:
    """In a forked child the helpers do not exist."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(entry: Entry, calls: np.ndarray, threads: int) -> None:
    """Run the commands of a table [count, 2] on up to `threads` threads."""
    run_at(entry, calls.ctypes.data, calls.size // 2, threads)


def run_at(entry: Entry, calls: int, count: int, threads: int) -> None:
    """`run` for a table of `count` commands at an address."""
    _team.run(entry, calls, count, threads)
