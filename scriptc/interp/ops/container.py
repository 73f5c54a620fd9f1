"""Lists, tuples and optionals: Python's own."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.interp.ops.shape import cat, stack
from scriptc.interp.ops.views import along
from scriptc.interp.registry import reference


def in_range(items: list[Any], index: int, what: str = "list index out of range") -> int:
    """The index, checked. IndexError."""
    if not -len(items) <= index < len(items):
        raise IndexError(what)
    return index


@reference
def list_new(*items: Any, element: str) -> list[Any]:
    return list(items)


@reference
def list_append(items: list[Any], item: Any) -> list[Any]:
    return [*items, item]


@reference
def list_get(items: list[Any], index: int) -> Any:
    return items[in_range(items, index)]


@reference
def list_set(items: list[Any], index: int, item: Any) -> list[Any]:
    result = list(items)
    result[in_range(items, index, "list assignment index out of range")] = item
    return result


@reference
def list_length(items: list[Any]) -> int:
    return len(items)


@reference
def list_extend(a: list[Any], b: list[Any]) -> list[Any]:
    return [*a, *b]


@reference
def list_slice(items: list[Any], start: int, stop: int, step: int) -> list[Any]:
    return items[start:stop:step]


@reference
def list_pop(items: list[Any], index: int) -> tuple[list[Any], Any]:
    if not items:
        raise IndexError("pop from empty list")
    result = list(items)
    item = result.pop(in_range(items, index, "pop index out of range"))
    return result, item


@reference
def list_insert(items: list[Any], index: int, item: Any) -> list[Any]:
    result = list(items)
    result.insert(index, item)
    return result


@reference
def list_reverse(items: list[Any]) -> list[Any]:
    return items[::-1]


@reference
def tuple_new(*items: Any) -> Any:
    return Packed(items)


class Packed(tuple[Any, ...]):
    """A tuple value; a class of its own, because a reference that returns a plain tuple has several results."""

    __slots__ = ()


@reference
def tuple_get(items: tuple[Any, ...], *, index: int) -> Any:
    return items[index]


@reference
def optional_none(*, element: str) -> None:
    return None


@reference
def optional_wrap(x: Any) -> Any:
    return x


@reference
def optional_is_none(x: Any) -> bool:
    return x is None


@reference
def optional_get(x: Any) -> Any:
    if x is None:
        raise TypeError("unsupported operand type(s): 'NoneType'")
    return x


@reference
def list_zeros_like(items: list[Any]) -> list[Any]:
    return [np.zeros_like(item) for item in items]


@reference
def list_add(a: list[Any], b: list[Any]) -> list[Any]:
    return [np.asarray(x + y) for x, y in zip(a, b, strict=True)]


@reference
def list_slice_set(items: list[Any], part: list[Any], start: int, stop: int, step: int) -> list[Any]:
    places = range(len(items))[start:stop:step]
    if len(places) != len(part):
        raise ValueError(f"attempt to assign sequence of size {len(part)} to slice of size {len(places)}")
    result = list(items)
    for place, item in zip(places, part, strict=True):
        result[place] = item
    return result


@reference
def stack_list(xs: list[np.ndarray], *, dim: int) -> np.ndarray:
    if not xs:
        raise RuntimeError("stack expects a non-empty TensorList")
    return stack(*xs, dim=dim)


@reference
def cat_list(xs: list[np.ndarray], *, dim: int) -> np.ndarray:
    if not xs:
        raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
    return cat(*xs, dim=dim)


@reference
def unstack_list(x: np.ndarray, *, dim: int) -> list[np.ndarray]:
    return [np.asarray(x[along(x, dim, i)]) for i in range(x.shape[dim])]


@reference
def split_like(x: np.ndarray, like: list[np.ndarray], *, dim: int) -> list[np.ndarray]:
    ends = np.cumsum([item.shape[dim] for item in like])
    return [np.ascontiguousarray(part) for part in np.split(x, ends[:-1], axis=dim)]
