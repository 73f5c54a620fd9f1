"""The threads that share one native call: the caller, and helpers that listen for a while after each call before they go to sleep.

All of them run the same list of commands and meet after each at a barrier in native code. One call at a time has the helpers; another
that comes meanwhile runs alone. Commands split their results, never a sum: the bits do not depend on the number of threads.
"""
from __future__ import annotations

import os
import queue
import threading
import time

import numpy as np

from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.geometry import ASLEEP, RESERVED
from scriptc_runtime.cpu.tiles.library import Entry
from scriptc_runtime.plan.plan import aligned_bytes
from scriptc_runtime.plan.policy import available

MOST = 64            # threads of one call
ENOUGH = 2_000_000   # multiplications (about 40 microseconds) that pay for waking a helper
LITTLE = 100_000     # that pay for sharing with a helper that is listening
SOON = 100_000       # nanoseconds after which calls no longer count as following each other: less than a helper listens
LISTENS = 8_000      # looks (about 150 microseconds) of a helper before it goes to sleep: more than a call takes that is alone for want of helpers

_wanted: int | None = None


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


_LINE = 8            # words of a line of the cache
_POST = 6            # of a job: where its helper's post is


class _Team:
    """The memory that `tiles.meetings` describes, and the helpers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wake: list[queue.SimpleQueue[None]] = []
        self.jobs, self.posts = (aligned_bytes(8 * _LINE * (MOST + 1)).view(np.int64) for _ in range(2))
        self.jobs.fill(0)
        self.posts.fill(ASLEEP)
        self.jobs[_POST::_LINE] = self.posts.ctypes.data + 8 * _LINE * np.arange(MOST + 1)
        self.address = self.jobs.ctypes.data
        self.seen = memoryview(self.posts)  # type: ignore[arg-type]
        self.last = 0       # when the last call that was too small to wake anyone ended

    def hire(self) -> None:
        """One more helper."""
        calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.wake.append(calls)
        number = len(self.wake)
        threading.Thread(target=_serve, args=(calls, self, number), name=f"scriptc-{number}", daemon=True).start()

    def run(self, entry: Entry, commands: int, count: int, threads: int, work: int) -> None:
        if threads < 2 or work < LITTLE or not self.lock.acquire(blocking=False):
            entry(commands, count, 0, 1, 0)
            return
        try:
            while len(self.wake) < threads - 1:
                self.hire()
            sleeping = [h for h in range(1, threads) if self.seen[h * _LINE] == ASLEEP]
            if not sleeping:
                entry(commands, count, 0, threads, self.address)
            elif work >= ENOUGH:
                for h in sleeping:
                    self.seen[h * _LINE] = RESERVED
                    self.wake[h - 1].put(None)
                entry(commands, count, 0, threads, self.address)
            else:
                if time.perf_counter_ns() - self.last < SOON:       # more calls will come: let the helpers listen to them
                    for h in sleeping:
                        if self.wake[h - 1].empty():
                            self.wake[h - 1].put(None)
                entry(commands, count, 0, threads if len(sleeping) < threads - 1 else 1, self.address)
                self.last = time.perf_counter_ns()
        except BaseException:
            for h in range(1, threads):
                if self.seen[h * _LINE] == RESERVED:
                    self.seen[h * _LINE] = ASLEEP
            raise
        finally:
            self.lock.release()


def _serve(calls: queue.SimpleQueue[None], team: _Team, number: int) -> None:
    """A helper's life. What it looks at stays alive with it, when the interpreter is shut down too."""
    post = int(team.posts.ctypes.data + 8 * _LINE * number)
    listen = library.entry()
    while True:
        calls.get()
        listen(post, LISTENS, 0, 0, 0)


_team = _Team()


def _forget() -> None:
    """In a forked child the helpers do not exist."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(entry: Entry, calls: np.ndarray, threads: int, work: int = ENOUGH) -> None:
    """Run the commands of a table [count, 2], so many multiplications, on up to `threads` threads."""
    run_at(entry, calls.ctypes.data, calls.size // 2, threads, work)


def run_at(entry: Entry, calls: int, count: int, threads: int, work: int) -> None:
    """`run` for a table of `count` commands at an address."""
    _team.run(entry, calls, count, threads, work)
