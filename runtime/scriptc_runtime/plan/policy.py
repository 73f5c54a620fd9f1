"""What a call may use: whether cold kernels are compiled first, how much memory one value may take, and how many processors there are."""
from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

READY, WAITING, NEVER = "ready", "waiting", "never"     # states of compiled code

_waiting: ContextVar[bool] = ContextVar("waiting", default=False)


@contextmanager
def waiting(wait: bool = True) -> Iterator[None]:
    """Inside, cold kernels are compiled before they run: training and verification want the same bits every time."""
    token = _waiting.set(wait or _waiting.get())
    try:
        yield
    finally:
        _waiting.reset(token)


def is_waiting() -> bool:
    """True inside `waiting()`."""
    return _waiting.get()


@functools.cache
def memory_limit() -> int:
    """The most bytes one value may take: SCRIPTC_MEMORY_LIMIT, or half of the machine's memory."""
    named = os.environ.get("SCRIPTC_MEMORY_LIMIT", "")
    if named.isdigit():
        return int(named)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 8 << 30


def available() -> int:
    """The processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
