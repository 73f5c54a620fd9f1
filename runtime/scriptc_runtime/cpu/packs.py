"""Packed weights, shared: what was made of the same arrays in the same way is made once, whichever plans use it.

A new input shape makes a new plan; its weights have been packed already. Arrays whose changes cannot be seen share nothing.
"""
from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from scriptc.records import Record
from scriptc_runtime import versions


class Pack(Record, eq=False, weakref_slot=True):
    """The arrays made of `sources`, which it keeps, so that their identities are not given to others."""

    sources: tuple[np.ndarray | None, ...]
    made: tuple[np.ndarray, ...]


LITTLE = 1 << 18     # bytes of weights; below it, handing them to another thread costs more than packing them


def together(makers: Sequence[Callable[[], Pack]], size: int, threads: int) -> list[Pack]:
    """What each maker makes, of weights of `size` bytes in all, by up to so many threads: numpy does most of it without the interpreter's lock."""
    found: list[Pack | None] = [None] * len(makers)
    left = deque(enumerate(makers))
    failures: list[BaseException] = []

    def work() -> None:
        while not failures:
            try:
                index, make = left.popleft()
            except IndexError:
                return
            try:
                found[index] = make()
            except BaseException as error:      # the caller's thread raises it
                failures.append(error)

    helpers = [threading.Thread(target=work, name="scriptc-pack", daemon=True)
               for _ in range(min(threads, len(makers)) - 1 if size > LITTLE else 0)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return found    # type: ignore[return-value]


_shared: weakref.WeakValueDictionary[Hashable, Pack] = weakref.WeakValueDictionary()


def packed(way: Hashable, sources: Sequence[np.ndarray | None], make: Callable[[], tuple[np.ndarray, ...]]) -> Pack:
    """What `make` makes of `sources`; `way` names everything else that it depends on. It lives as long as somebody holds it."""
    counts = tuple([0 if a is None else versions.version(a) for a in sources])
    if None in counts:
        return Pack(tuple(sources), make())
    key = way, tuple(map(id, sources)), counts
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Pack(tuple(sources), make())     # two threads may both make it; both are right
    return found
