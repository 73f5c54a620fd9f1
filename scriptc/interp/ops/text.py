"""Strings of the program: Python's own, with lengths and ints held to what a program may have."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.interp.ops.scalar import checked
from scriptc.interp.registry import reference

MAX_LENGTH = 1 << 26   # a text that a hostile program asks for must not take all memory


def sized(length: int) -> int:
    """The length a result will have. MemoryError beyond the limit."""
    if length > MAX_LENGTH:
        raise MemoryError(f"a string of {length} characters is over the limit of {MAX_LENGTH}")
    return length


def _item(text: str, index: int) -> str:
    if not -len(text) <= index < len(text):
        raise IndexError("string index out of range")
    return text[index]


def _repeat(text: str, times: int) -> str:
    sized(len(text) * times)
    return text * times


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    sized(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new, count)


def _expandtabs(text: str, size: int = 8) -> str:
    sized(text.count("\t") * max(size, 1))
    return text.expandtabs(size)


def _padded(name: str) -> Callable[..., str]:
    def pad(text: str, width: int, *fill: str) -> str:
        sized(width)
        padded: str = getattr(text, name)(width, *fill)
        return padded
    return pad


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "length": len, "item": _item, "slice": lambda s, start, stop, step: s[start:stop:step], "repeat": _repeat, "replace": _replace,
    "contains": lambda s, part: part in s, "characters": list, "ord": ord, "chr": chr, "hex": hex, "oct": oct, "bin": bin,
    "int": int, "float": float, "repr": repr, "expandtabs": _expandtabs,
    **{name: _padded(name) for name in ("center", "ljust", "rjust", "zfill")},
}


@reference
def text(*operands: Any, function: str) -> Any:
    host = _FUNCTIONS.get(function)
    result = host(*operands) if host is not None else getattr(str, function)(*operands)
    return checked(list(result) if isinstance(result, tuple) else result)
