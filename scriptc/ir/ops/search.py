"""Order and search in lists of numbers or strings whose content is only known when the program runs."""
from __future__ import annotations

from scriptc.ir.registry import AnyValue, Bool, Int, List, OpError, nondifferentiable, op
from scriptc.ir.types import BOOL, FLOAT, INT, STR, IntType, ListType, TupleType, Type


def plain_element(items: Type) -> Type:
    """The element type of a list of numbers, strings or tuples of them. OpError E0420 for one of something else."""
    element = items.element if isinstance(items, ListType) else items
    if isinstance(element, TupleType) and element.elements:
        for part in element.elements:
            plain_element(part)
        return element
    if not (isinstance(element, IntType) or element in (FLOAT, BOOL, STR)):
        raise OpError("E0420", message=f"a list of {element} has no order that is known at run time; it needs numbers or strings")
    return element


def comparable(items: Type, item: Type) -> None:
    """OpError E0420 unless the item may equal an element."""
    if (plain_element(items) == STR) != (plain_element(item) == STR):
        raise OpError("E0420", message=f"a {item} is never in {items}")


@op
def list_order(items: List, *, reverse: bool = False) -> List:
    """The positions of the items in ascending order, equal ones as they stand: what `sorted` does with its keys."""
    plain_element(items)
    return ListType(INT)


@op
def list_take(items: List, positions: List) -> List:
    """The items at the positions. IndexError out of range."""
    if not isinstance(positions.element, IntType):
        raise OpError("E0420", message=f"list_take needs positions of type List[int], found {positions}")
    return items


@op
def list_index(items: List, item: AnyValue) -> Int:
    """The first position of an equal item. ValueError if there is none."""
    comparable(items, item)  # type: ignore[arg-type]
    return INT


@op
def list_count(items: List, item: AnyValue) -> Int:
    """How many items are equal to `item`."""
    comparable(items, item)  # type: ignore[arg-type]
    return INT


@op
def list_contains(items: List, item: AnyValue) -> Bool:
    """item in items"""
    comparable(items, item)  # type: ignore[arg-type]
    return BOOL  # type: ignore[return-value]


nondifferentiable("its result is no tensor", list_order, list_index, list_count, list_contains)
nondifferentiable("no front end sorts tensors in a list", list_take)
