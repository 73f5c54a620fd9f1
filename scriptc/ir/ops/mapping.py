"""Dicts whose keys are only known at run time. Python's own: insertion-ordered, a written key keeps its place."""
from __future__ import annotations

from scriptc.ir.registry import AnyValue, Bool, Dict, Int, List, OpError, nondifferentiable, op
from scriptc.ir.types import BOOL, FLOAT, INT, NONE, STR, DictType, IntType, ListType, TupleType, Type, join


def checked_key(key: Type) -> Type:
    """The type of a key without its value. OpError E0420 for one that has no hash."""
    if isinstance(key, IntType):
        return INT
    if isinstance(key, TupleType):
        return TupleType(tuple(checked_key(e) for e in key.elements))
    if key not in (FLOAT, BOOL, STR, NONE):
        raise OpError("E0420", message=f"a {key} is no key of a dict that is only known at run time; keys are numbers, strings and tuples of them")
    return key


def general(kind: Type) -> Type:
    """A value's type without what is known of this one value."""
    if isinstance(kind, IntType):
        return INT
    return TupleType(tuple(map(general, kind.elements))) if isinstance(kind, TupleType) else kind


def with_entry(items: DictType, key: Type, value: Type) -> DictType:
    """The dict's type after a write. OpError E0469 if the key or value has no common type with those there."""
    if items.key == NONE and items.value == NONE:
        return DictType(checked_key(key), general(value))
    keys, values = join(items.key, checked_key(key)), join(items.value, general(value))
    if keys is None or values is None:
        raise OpError("E0469", element=items.key if keys is None else items.value, found=key if keys is None else value)
    return DictType(keys, values)


def comparable(items: DictType, key: Type) -> None:
    """OpError E0420 unless the key may be one of the dict's."""
    if items.key != NONE and (items.key == STR) != (checked_key(key) == STR):
        raise OpError("E0420", message=f"a {key} is never a key of {items}")


@op
def dict_new(keys: List, values: List) -> Dict:
    """dict(zip(keys, values)): of equal keys the first gives the place and the last the value."""
    return DictType(checked_key(keys.element), general(values.element))


@op
def dict_set(items: Dict, key: AnyValue, value: AnyValue) -> Dict:
    """The dict with items[key] = value."""
    return with_entry(items, key, value)  # type: ignore[arg-type]


@op
def dict_get(items: Dict, key: AnyValue) -> AnyValue:
    """items[key]. KeyError if there is none."""
    comparable(items, key)  # type: ignore[arg-type]
    return items.value  # type: ignore[return-value]


@op
def dict_pop(items: Dict, key: AnyValue) -> tuple[Dict, AnyValue]:
    """(the dict without the key, its value). KeyError if there is none."""
    comparable(items, key)  # type: ignore[arg-type]
    return items, items.value  # type: ignore[return-value]


@op
def dict_contains(items: Dict, key: AnyValue) -> Bool:
    """key in items"""
    comparable(items, key)  # type: ignore[arg-type]
    return BOOL  # type: ignore[return-value]


@op
def dict_length(items: Dict) -> Int:
    """len(items)"""
    return INT


@op
def dict_keys(items: Dict) -> List:
    """The keys in order."""
    return ListType(items.key)


@op
def dict_values(items: Dict) -> List:
    """The values in the order of their keys."""
    return ListType(items.value)


nondifferentiable("gradients do not pass through a dict whose keys are only known at run time",
                  dict_new, dict_set, dict_get, dict_pop, dict_contains, dict_length, dict_keys, dict_values)
