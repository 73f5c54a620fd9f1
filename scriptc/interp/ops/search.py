"""Order and search in lists: Python's own."""
from __future__ import annotations

from typing import Any

from scriptc.interp.ops.container import in_range
from scriptc.interp.registry import reference


@reference
def list_order(items: list[Any], *, reverse: bool) -> list[int]:
    return sorted(range(len(items)), key=items.__getitem__, reverse=reverse)


@reference
def list_take(items: list[Any], positions: list[int]) -> list[Any]:
    return [items[in_range(items, p)] for p in positions]


@reference
def list_index(items: list[Any], item: Any) -> int:
    if item not in items:
        raise ValueError(f"{item!r} is not in list")
    return items.index(item)


@reference
def list_count(items: list[Any], item: Any) -> int:
    return items.count(item)


@reference
def list_contains(items: list[Any], item: Any) -> bool:
    return item in items
