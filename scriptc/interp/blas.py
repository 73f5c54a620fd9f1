"""numpy's BLAS on the calling thread alone.

OpenBLAS shares large products among threads of its own. Where there are few processors these may all land on one and wait for each other by
spinning: the same product then takes ten times as long, or seconds. Its number of threads is one for the whole process, so that it is
put back afterwards: numpy of a caller is none of our business.
"""
from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PREFIXES, SUFFIXES = ("scipy_", ""), ("64_", "")      # of the names of its functions, by who built it


class _Threads(NamedTuple):
    get: Callable[[], int]
    set: Callable[[int], None]


@functools.cache
def _threads() -> _Threads | None:
    """How to ask and to tell the OpenBLAS that came with numpy; None for any other BLAS."""
    home = Path(np.__file__).parent
    for folder in (home.parent / "numpy.libs", home / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.PyDLL(str(path))       # loaded already: this finds it again
            except OSError:
                continue
            for prefix in PREFIXES:
                for suffix in SUFFIXES:
                    get, put = (getattr(library, f"{prefix}openblas_{verb}_num_threads{suffix}", None) for verb in ("get", "set"))
                    if get is not None and put is not None:
                        get.restype, get.argtypes, put.restype, put.argtypes = ctypes.c_int, [], None, [ctypes.c_int]
                        return _Threads(get, put)
    return None


_lock = threading.Lock()
_inside = _before = 0       # calls that run now, and the number of threads before the first of them


def alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, during whose calls BLAS has one thread."""
    @functools.wraps(function)
    def run(*operands: Any, **attributes: Any) -> Any:
        global _inside, _before
        threads = _threads()
        if threads is None:
            return function(*operands, **attributes)
        with _lock:
            if not _inside:
                _before = threads.get()
                if _before > 1:
                    threads.set(1)
            _inside += 1
        try:
            return function(*operands, **attributes)
        finally:
            with _lock:
                _inside -= 1
                if not _inside and _before > 1:
                    threads.set(_before)
    return run
