"""Lists whose length is only known at run time, tuples inside them, and optional values."""
from __future__ import annotations

from typing import Any

from scriptc.ir.registry import AnyValue, Bool, Int, List, OpError, Optional, nondifferentiable, op
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import BOOL, INT, NONE, ListType, OptionalType, TupleType, Type, join


def parsed(text: str) -> Type:
    """A type attribute. OpError E0468 if it is not one."""
    try:
        return parse_type(text)
    except ValueError as error:
        raise OpError("E0468", text=text[:80], reason=error) from None


def fits(element: Type, kind: Type) -> None:
    """OpError E0469 unless a value of type `kind` may stand in a list of `element`."""
    if join(element, kind) != element:
        raise OpError("E0469", element=element, found=kind)


@op
def list_new(*items: AnyValue, element: str) -> List:
    """A list of the items; `element` is their common type in text form."""
    kind = parsed(element)
    for item in items:
        fits(kind, item)  # type: ignore[arg-type]
    return ListType(kind)


@op
def list_append(items: List, item: AnyValue) -> List:
    """The list with `item` at its end; its element type is joined with the item's."""
    element = item if items.element == NONE else join(items.element, item)  # type: ignore[arg-type]
    if element is None:
        raise OpError("E0469", element=items.element, found=item)
    return ListType(element)  # type: ignore[arg-type]


@op
def list_get(items: List, index: Int) -> AnyValue:
    """The item at `index`, negative from the end. IndexError out of range."""
    return items.element  # type: ignore[return-value]


@op
def list_set(items: List, index: Int, item: AnyValue) -> List:
    """The list with the item at `index` replaced."""
    element = join(items.element, item)  # type: ignore[arg-type]
    if element is None:
        raise OpError("E0469", element=items.element, found=item)
    return ListType(element)


@op
def list_length(items: List) -> Int:
    """len(list)"""
    return INT


@op
def list_extend(a: List, b: List) -> List:
    """a + b"""
    kind = join(a, b) if NONE not in (a.element, b.element) else (b if a.element == NONE else a)
    if not isinstance(kind, ListType):
        raise OpError("E0469", element=a.element, found=b.element)
    return kind


@op
def list_slice(items: List, start: Int, stop: Int, step: Int) -> List:
    """items[start:stop:step]"""
    return items


@op
def list_pop(items: List, index: Int) -> tuple[List, AnyValue]:
    """(the list without the item at `index`, that item). IndexError out of range."""
    return items, items.element  # type: ignore[return-value]


@op
def list_insert(items: List, index: Int, item: AnyValue) -> List:
    """The list with `item` before position `index`."""
    fits(items.element, item)  # type: ignore[arg-type]
    return items


@op
def list_reverse(items: List) -> List:
    """The list back to front."""
    return items


@op
def tuple_new(*items: AnyValue) -> AnyValue:
    """A tuple of the items."""
    return TupleType(tuple(items))  # type: ignore[arg-type, return-value]


@op
def tuple_get(items: AnyValue, *, index: int) -> AnyValue:
    """The item at a known index."""
    if not isinstance(items, TupleType) or not 0 <= index < len(items.elements):
        raise OpError("E0420", message=f"tuple_get: no item {index} in {items}")
    return items.elements[index]  # type: ignore[return-value]


@op
def optional_none(*, element: str) -> Optional:
    """None, as an optional of type `element` (in text form)."""
    return OptionalType(parsed(element))


@op
def optional_wrap(x: AnyValue) -> Optional:
    """A value as an optional."""
    return OptionalType(x)  # type: ignore[arg-type]


@op
def optional_is_none(x: Optional) -> Bool:
    """x is None"""
    return BOOL  # type: ignore[return-value]


@op
def optional_get(x: Optional) -> AnyValue:
    """The value of an optional. TypeError if it is None."""
    if not isinstance(x, OptionalType):
        raise OpError("E0420", message="optional_get of None")
    return x.element  # type: ignore[return-value]


optional_wrap.gradient(lambda g, y, x: optional_get(g))


@optional_get.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return optional_wrap(g)


nondifferentiable("gradients do not flow through containers of unknown length yet", list_new, list_append, list_get, list_set,
                  list_extend, list_slice, list_pop, list_insert, list_reverse, tuple_new, tuple_get, optional_none)
nondifferentiable("its result is no tensor", list_length, optional_is_none)
