"""Checked access to decoded sections, and the small values of a program in plain form.

A plain value from a file is only ever taken through `take` and its relatives: what they return has the type asked for.
"""
from __future__ import annotations

from typing import NoReturn, TypeVar

from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.format import reject, shown
from scriptc.ir.graph import GROUP_KINDS, KEYED_KINDS, Attribute, Fixed, Group, Leaf, Structure
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import DTYPES, DType, Type

T = TypeVar("T")
Constant = int | float | bool | complex | str | None

_DEEPEST = 64


def refuse(where: str, expected: str, found: object) -> NoReturn:
    """ArchiveError A0130."""
    reject("A0130", where=where, expected=expected, found=shown(found))


def take(value: Plain, kind: type[T], where: str) -> T:
    """`value`, which must be exactly of type `kind` (a bool is no int). ArchiveError A0130 otherwise."""
    if type(value) is not kind:
        reject("A0130", where=where, expected=f"{kind.__name__}", found=shown(value))
    return value


def take_list(value: Plain, where: str, length: int | None = None) -> list[Plain]:
    """`value`, which must be a list (of `length` items)."""
    if type(value) is not list or (length is not None and len(value) != length):
        reject("A0130", where=where, expected="a list" if length is None else f"a list of {length}", found=shown(value))
    return value


def take_map(value: Plain, where: str, *keys: str) -> list[Plain]:
    """The values of `value`, which must be a map of exactly `keys`, in their order."""
    if type(value) is not dict or tuple(value) != keys:
        reject("A0130", where=where, expected=f"a map of {', '.join(keys)}",
               found=shown(list(value) if type(value) is dict else value))
    return list(value.values())


def take_index(value: Plain, length: int, where: str) -> int:
    """`value`, which must be an int from 0 to `length` - 1."""
    if type(value) is not int or not 0 <= value < length:
        reject("A0130", where=where, expected=f"an index below {length}", found=shown(value))
    return value


def take_strings(value: Plain, where: str) -> list[str]:
    """`value`, which must be a list of strings."""
    if type(value) is not list or not all(type(item) is str for item in value):
        reject("A0130", where=where, expected="a list of strings", found=shown(value))
    return value


def encode_constant(value: Constant) -> Plain:
    """A literal's data: itself, or a map for what msgpack has no form for."""
    return {"complex": [value.real, value.imag]} if isinstance(value, complex) else value


def decode_constant(value: Plain, where: str) -> Constant:
    """The inverse of `encode_constant`."""
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        if not -(2**63) <= value < 2**63:
            refuse(where, "a 64-bit integer", value)
        return value
    if type(value) is dict and list(value) == ["complex"]:
        real, imaginary = take_list(value["complex"], where, 2)
        return complex(take(real, float, where), take(imaginary, float, where))
    reject("A0130", where=where, expected="a constant", found=shown(value))


def encode_attribute(value: Attribute) -> Plain:
    """An attribute: tuples become lists, a dtype a map, so that a string stays a string."""
    if isinstance(value, tuple):
        return [encode_attribute(item) for item in value]
    return {"dtype": value.name} if isinstance(value, DType) else value


def decode_attribute(value: Plain, where: str, depth: int = 0) -> Attribute:
    """The inverse of `encode_attribute`. Whether it fits its op is the registry's to say."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list and depth < _DEEPEST:
        return tuple(decode_attribute(item, where, depth + 1) for item in value)
    if type(value) is dict and list(value) == ["dtype"] and type(value["dtype"]) is str and value["dtype"] in DTYPES:
        return DTYPES[value["dtype"]]
    reject("A0130", where=where, expected="an attribute", found=shown(value))


def encode_structure(structure: Structure) -> Plain:
    """Leaf -> index, Fixed -> [constant], Group -> map."""
    if isinstance(structure, Leaf):
        return structure.index
    if isinstance(structure, Fixed):
        return [encode_constant(structure.value)]
    return {"kind": structure.kind, "label": structure.label, "keys": list(structure.keys),
            "items": [encode_structure(item) for item in structure.items]}


def decode_structure(value: Plain, count: int, where: str, depth: int = 0) -> Structure:
    """The inverse of `encode_structure`, for a function with `count` leaves."""
    if type(value) is int:
        return Leaf(take_index(value, count, where))
    if type(value) is list:
        return Fixed(decode_constant(take_list(value, where, 1)[0], where))
    if depth >= _DEEPEST:
        refuse(where, f"at most {_DEEPEST} levels", value)
    kind, label, keys, items = take_map(value, where, "kind", "label", "keys", "items")
    if kind not in GROUP_KINDS:
        refuse(where, f"one of {', '.join(GROUP_KINDS)}", kind)
    keys, items = take_list(keys, where), take_list(items, where)
    if len(keys) != (len(items) if kind in KEYED_KINDS else 0):
        refuse(where, f"one key for each item of {', '.join(KEYED_KINDS)}, none otherwise", keys)
    for key in keys:
        if type(key) not in (str, int):
            refuse(where, "keys that are strings or integers", key)
    return Group(kind, tuple(decode_structure(item, count, where, depth + 1) for item in items), tuple(keys),
                 take(label, str, where))


def decode_type(text: Plain, where: str) -> Type:
    """The type written as `text`, which must be what `str` of it writes."""
    try:
        kind = parse_type(take(text, str, where))
        normal = str(kind)
    except (ValueError, RecursionError, OverflowError):
        reject("A0130", where=where, expected="a type", found=shown(text))
    if normal != text:
        reject("A0130", where=where, expected=f"a type in its normal form, {shown(normal)}", found=shown(text))
    return kind
