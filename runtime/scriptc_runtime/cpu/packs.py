"""Packed weights, shared: what was made of the same arrays in the same way is made once, whichever plans use it.

A new input shape makes a new plan; its weights have been packed already. Arrays whose changes cannot be seen share nothing.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from scriptc_runtime import versions


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Pack:
    """The arrays made of `sources`, which it keeps, so that their identities are not given to others."""

    sources: tuple[np.ndarray | None, ...]
    made: tuple[np.ndarray, ...]


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
