"""Dicts whose keys are only known at run time: Python's own."""
from __future__ import annotations

from typing import Any

from scriptc.interp.registry import reference


@reference
def dict_new(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    return dict(zip(keys, values, strict=True))


@reference
def dict_set(items: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    return {**items, key: value}


@reference
def dict_get(items: dict[Any, Any], key: Any) -> Any:
    return items[key]


@reference
def dict_pop(items: dict[Any, Any], key: Any) -> tuple[dict[Any, Any], Any]:
    rest = dict(items)
    value = rest.pop(key)
    return rest, value


@reference
def dict_contains(items: dict[Any, Any], key: Any) -> bool:
    return key in items


@reference
def dict_length(items: dict[Any, Any]) -> int:
    return len(items)


@reference
def dict_keys(items: dict[Any, Any]) -> list[Any]:
    return list(items)


@reference
def dict_values(items: dict[Any, Any]) -> list[Any]:
    return list(items.values())
