"""Dicts and sets whose keys are known, and those that live in the program because they are not.

A set of run-time items is kept as the keys of a dict: Python's order of a set is not part of its meaning.
"""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.joins import Incompatible, branch, lift, lifted_type, lower, widen
from scriptc.frontend.evaluator.operators import compare, hashable, type_name
from scriptc.frontend.pylib.iteration import Counted, Zipped, items_of, iterate
from scriptc.frontend.values import MISSING, Dynamic, PyDict, PyList, PySet
from scriptc.ir.types import NONE, DictType, Type, join

MAX_ENTRIES = 64   # of a known dict that is searched by a key only known at run time: every entry is a branch


def at_run_time(key: Any) -> bool:
    """True for a key, or a tuple with a part, that is only known at run time."""
    return isinstance(key, Dynamic) or (isinstance(key, tuple) and any(map(at_run_time, key)))


def entry_types(target: PyDict | PySet) -> DictType:
    kind = target.held.type
    assert isinstance(kind, DictType)
    return kind


def as_dynamic(ev: Evaluator, value: PyDict | PySet) -> Dynamic:
    """The dict as one IR value. Refused if its keys or values have no common type."""
    if value.is_dynamic:
        return value.held
    kind = lifted_type(ev, value)
    if kind is None:
        ev.error("E0210", what="the keys or values of this dict have no common type, and its keys are only known at run time")
    try:
        return Dynamic(lift(ev, value, kind))
    except Incompatible as error:
        return ev.error("E0210", what=f"a dict entry that is {error}")


def lifted(ev: Evaluator, item: Any, known: Type, what: str) -> Any:
    """A key or value as an operand, in the common type of itself and those that are there."""
    kind = lifted_type(ev, item)
    common = None if kind is None else widen(kind) if known == NONE else join(widen(kind), known)
    if common is None:
        ev.error("E0210", what=f"a {type_name(item)} {what} in a dict of {known}")
    try:
        return Dynamic(lift(ev, item, common))
    except Incompatible as error:
        return ev.error("E0210", what=f"a dict {what} that is {error}")


def key_of(ev: Evaluator, target: PyDict | PySet, key: Any) -> Any:
    """A key to search a run-time dict by."""
    if isinstance(key, PyList | PyDict):
        ev.throw("TypeError", f"unhashable type: '{type_name(key)}'")
    return lifted(ev, key, entry_types(target).key, "key")


def set_item(ev: Evaluator, target: PyDict | PySet, key: Any, value: Any) -> None:
    """target[key] = value"""
    if not (target.is_dynamic or at_run_time(key)):
        target.change()[hashable(ev, key)] = value
        return
    content = as_dynamic(ev, target)
    kind = content.type
    assert isinstance(kind, DictType)
    if kind.value not in (NONE, lifted_type(ev, value)) and isinstance(value, PyList | PyDict):
        ev.error("E0211", what="a list or dict as a value of a dict whose keys are only known at run time")
    operands = [content, lifted(ev, key, kind.key, "key"), lifted(ev, value, kind.value, "value")]
    target.write("content", Dynamic(ev.raw("dict_set", operands, {})))


def get_item(ev: Evaluator, target: PyDict, key: Any) -> Any:
    """target[key] of a dict whose keys are only known at run time."""
    if not target.is_dynamic:
        target.write("content", as_dynamic(ev, target))
    wanted = key_of(ev, target, key)
    if target.kind == "defaultdict" and target.factory is not None:
        from scriptc.frontend.evaluator.calls import call

        def make() -> Any:
            made = call(ev, target.factory, [], {})
            set_item(ev, target, key, made)
            return made
        if entry_types(target).key == NONE:
            return make()       # empty on this path
        return branch(ev, ev.op("dict_contains", target.held, wanted), lambda: lower(ev, ev.raw("dict_get", [target.held, wanted], {})), make)
    if target.kind == "Counter":
        return get(ev, target, key, 0)
    return lower(ev, ev.raw("dict_get", [target.held, wanted], {}))


def get(ev: Evaluator, target: PyDict, key: Any, default: Any) -> Any:
    """target.get(key, default)"""
    if not target.is_dynamic:
        return entry_at_run_time(ev, target.content, key, lambda: default) if at_run_time(key) \
            else target.content.get(hashable(ev, key), default)
    wanted = key_of(ev, target, key)
    if entry_types(target).key == NONE:
        return default          # empty on this path
    return branch(ev, ev.op("dict_contains", target.held, wanted), lambda: lower(ev, ev.raw("dict_get", [target.held, wanted], {})),
                  lambda: default)


def entry_at_run_time(ev: Evaluator, content: dict[Any, Any], key: Any, otherwise: Any) -> Any:
    """The value under a key that is only known at run time, by comparing with each in turn; else `otherwise()`."""
    from scriptc.frontend.evaluator.operators import truthy

    if len(content) > MAX_ENTRIES or not all(isinstance(k, str | int | float | tuple) for k in content):
        hashable(ev, key)
    entries = list(content.items())

    def search(position: int) -> Any:
        if position == len(entries):
            return otherwise()
        known, found = entries[position]
        return branch(ev, truthy(ev, compare(ev, "Eq", known, key)), lambda: found, lambda: search(position + 1))
    return search(0)


def contains(ev: Evaluator, target: PyDict | PySet, key: Any) -> Any:
    """key in target"""
    if target.is_dynamic:
        return ev.op("dict_contains", target.held, key_of(ev, target, key))
    if not at_run_time(key):
        return hashable(ev, key) in target.content
    from scriptc.frontend.evaluator.joins import either

    found: Any = False
    for known in target.content:
        found = either(ev, found, compare(ev, "Eq", known, key))
    return found


def pop(ev: Evaluator, target: PyDict | PySet, key: Any, default: Any = MISSING) -> Any:
    """target.pop(key[, default])"""
    content = as_dynamic(ev, target)
    if not target.is_dynamic:
        target.write("content", content)
    wanted = key_of(ev, target, key)

    def found() -> Any:
        rest, value = ev.raw("dict_pop", [target.held, wanted], {})
        target.write("content", Dynamic(rest))
        return lower(ev, value)
    return found() if default is MISSING else branch(ev, ev.op("dict_contains", target.held, wanted), found, lambda: default)


def copied(target: PyDict) -> PyDict:
    """target.copy()"""
    return PyDict(target.held if target.is_dynamic else dict(target.content), target.kind, target.factory)


def length(ev: Evaluator, target: PyDict | PySet) -> Any:
    """len(target)"""
    return ev.op("dict_length", target.held) if target.is_dynamic else len(target.content)


def keys(ev: Evaluator, target: PyDict | PySet) -> PyList:
    """The keys as a list."""
    return PyList(Dynamic(ev.raw("dict_keys", [target.held], {}))) if target.is_dynamic else PyList(list(target.content))


def values(ev: Evaluator, target: PyDict) -> PyList:
    """The values as a list."""
    return PyList(Dynamic(ev.raw("dict_values", [target.held], {}))) if target.is_dynamic else PyList(list(target.content.values()))


def items(ev: Evaluator, target: PyDict) -> Any:
    """The pairs: a list, or a source to walk."""
    if not target.is_dynamic:
        return PyList(list(target.content.items()))
    return Zipped([iterate(ev, keys(ev, target)), iterate(ev, values(ev, target))])


def walked(ev: Evaluator, source: Any, body: Any) -> None:
    """body(item) for each item of an iterable, in a loop of the program where its length is only known at run time."""
    source = iterate(ev, source)
    if not isinstance(source, Counted):
        for item in source:
            body(item)
        return
    from scriptc.frontend.evaluator.control import Rest
    from scriptc.frontend.evaluator.loops import dynamic_loop
    from scriptc.frontend.values import Frame

    def turn(index: Dynamic) -> bool:
        body(source.item(index))
        return True
    frame = Frame(ev.stack[-1].source, None, None, "function")
    dynamic_loop(ev, source.count, True, turn, lambda: True, frame, Rest(ev, None, None, "return"))


def update(ev: Evaluator, target: PyDict, other: Any) -> None:
    """target.update(other) for a mapping or a sequence of pairs."""
    from scriptc.frontend.evaluator.expressions import mapping_items
    from scriptc.frontend.values import Instance

    if isinstance(other, Instance) and isinstance(other.native, PyDict):
        other = other.native
    if isinstance(other, PyDict) and not other.is_dynamic:
        for key, value in list(other.content.items()):
            set_item(ev, target, key, value)
        return
    if isinstance(other, Instance) and other.cls.lookup("keys") is not MISSING:
        for key, value in mapping_items(ev, other).items():
            set_item(ev, target, key, value)
        return
    position = 0

    def put(pair: Any) -> None:
        nonlocal position
        entry = items_of(ev, pair)
        if len(entry) != 2:
            ev.throw("ValueError", f"dictionary update sequence element #{position} has length {len(entry)}; 2 is required")
        set_item(ev, target, entry[0], entry[1])
        position += 1
    walked(ev, items(ev, other) if isinstance(other, PyDict) else other, put)


def add_all(ev: Evaluator, target: PySet, source: Any) -> PySet:
    """target.update(source)"""
    walked(ev, source, lambda item: set_item(ev, target, item, MEMBER))
    return target


def chosen(ev: Evaluator, source: PySet, other: PySet, present: bool) -> PySet:
    """The items of `source` that are (or are not) in `other`."""
    made = PySet(frozen=source.frozen)

    def take(item: Any) -> None:
        found = contains(ev, other, item)
        if isinstance(found, Dynamic):
            put = lambda: set_item(ev, made, item, MEMBER)  # noqa: E731
            branch(ev, found, put if present else lambda: None, (lambda: None) if present else put)
        elif bool(found) == present:
            set_item(ev, made, item, MEMBER)
    walked(ev, source, take)
    return made


def as_set(ev: Evaluator, value: Any) -> PySet:
    return value if isinstance(value, PySet) else add_all(ev, PySet(), value)


SET_ALGEBRA = {
    "union": lambda ev, a, b: add_all(ev, PySet(a.held, a.frozen), b),
    "intersection": lambda ev, a, b: chosen(ev, a, b, True),
    "difference": lambda ev, a, b: chosen(ev, a, b, False),
    "symmetric_difference": lambda ev, a, b: add_all(ev, chosen(ev, a, b, False), chosen(ev, b, a, False)),
}

MEMBER = True   # what a set keeps under each of its items
