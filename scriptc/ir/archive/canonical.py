"""One plain value to and from its one msgpack encoding, within limits.

Plain values are None, bool, int, float, str, bytes, lists and maps with string keys.
"""
from __future__ import annotations

from typing import Any, TypeAlias

import msgpack

from scriptc.ir.archive.format import Limits, reject

# A closed recursive alias would need a cast at every access; the decoders check each value they take instead.
Plain: TypeAlias = Any


class _TooManyContainers(ValueError):
    """Raised in a hook, so that a hostile message is dropped while it is being decoded."""


class _BadMap(ValueError):
    """A map with a duplicate key, or one that is no string."""


def pack(value: Plain, what: str, limits: Limits) -> bytes:
    """`value` in its canonical encoding. ArchiveError if it is not plain, or a reader with `limits` would refuse it."""
    try:
        raw: bytes = msgpack.packb(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reject("A0150", what=what, reason=f"{type(error).__name__}: {error}")
    unpack(raw, what, limits)
    return raw


def unpack(raw: bytes, what: str, limits: Limits) -> Plain:
    """The value that `raw` encodes. ArchiveError unless it is canonical and within `limits`."""
    if len(raw) > limits.section_bytes:
        reject("A0110", what=what, found=len(raw), limit=limits.section_bytes)
    left = limits.containers

    def take_list(items: list[Plain]) -> list[Plain]:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooManyContainers
        return items

    def take_map(pairs: list[tuple[Plain, Plain]]) -> dict[str, Plain]:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooManyContainers
        mapping = dict(pairs)
        if len(mapping) != len(pairs) or not all(type(key) is str for key in mapping):
            raise _BadMap
        return mapping

    most = min(limits.elements, len(raw))
    try:
        # A fresh unpacker each time: reusing one after an error is GHSA-6v7p-g79w-8964. max_ext_len: the library
        # decodes the timestamp extension itself, past any hook.
        value = msgpack.unpackb(raw, list_hook=take_list, object_pairs_hook=take_map, max_ext_len=0,
                                max_array_len=most, max_map_len=most)
        same = msgpack.packb(value) == raw
    except _TooManyContainers:
        reject("A0112", what=what, limit=limits.containers)
    except _BadMap:
        reject("A0114", what=what)
    except msgpack.exceptions.StackError:
        reject("A0113", what=what, limit=limits.depth)
    except (ValueError, msgpack.UnpackException, RecursionError, OverflowError, TypeError) as error:
        reject("A0111", what=what, reason=f"{type(error).__name__}: {error}"[:200])
    if not same:
        reject("A0115", what=what)
    _bound_depth(value, what, limits.depth)
    return value


def _bound_depth(value: Plain, what: str, limit: int) -> None:
    """Breadth first: a hostile value must not lead Python into recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > limit:
            reject("A0113", what=what, limit=limit)
        level = [
            child
            for parent in level if type(parent) in (list, dict)
            for child in (parent if type(parent) is list else parent.values()) if type(child) in (list, dict)
        ]
