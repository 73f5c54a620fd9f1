"""Where two paths meet: lifting values to the IR, joining them, and `if` as an expression.

A slot that differs after a dynamic branch is lifted to the least common type. Values are flattened to IR leaves and a
recipe that rebuilds them, so that tuples, lists and fresh objects join element by element.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.filling import filled, filled_type
from scriptc.frontend.evaluator.narrowing import decided
from scriptc.frontend.storage import Storage, TensorValue, read, tensor_of
from scriptc.frontend.values import (
    MISSING,
    BoundMethod,
    Builtin,
    Choice,
    Conflict,
    Dynamic,
    Function,
    Instance,
    Journal,
    PyDict,
    PyList,
    PySet,
    Size,
    StructTuple,
    Writes,
    apply_writes,
    close_journal,
    open_journal,
)
from scriptc.ir.graph import Literal, Op, Region, Value, literal
from scriptc.ir.types import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    STR,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
    join,
)


class Incompatible(Exception):
    """Two values have no common form."""


# Lifting: a value of the language as one IR value of a wanted type.

def lifted_type(ev: Evaluator, value: Any) -> Type | None:
    """The IR type `value` would have as a dynamic value; None if it has none (functions, modules...)."""
    if isinstance(value, Dynamic):
        return value.type
    if isinstance(value, TensorValue):
        from scriptc.frontend.storage import type_of

        return type_of(ev, value)
    if value is None:
        return NONE
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return IntType(value)
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, str):
        return STR
    if isinstance(value, tuple):
        parts = [lifted_type(ev, v) for v in value]
        return None if any(p is None for p in parts) else TupleType(tuple(parts))  # type: ignore[arg-type]
    if isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            return value.content.type
        element: Type | None = None
        for item in value.content:
            kind = lifted_type(ev, item)
            if kind is None:
                return None
            element = kind if element is None else join(element, kind)
            if element is None:
                return None
        return ListType(widen(element)) if element is not None else ListType(NONE)
    if isinstance(value, PyDict | PySet):
        return value.held.type if value.is_dynamic else entries_type(ev, value)
    return None


def entries_type(ev: Evaluator, value: PyDict | PySet) -> Type | None:
    """The IR type of a dict of known keys; None if it has none, as with values that others may change."""
    key: Type = NONE
    kept: Type = NONE
    entries = value.content if isinstance(value, PyDict) else dict.fromkeys(value.content, True)
    if any(isinstance(v, PyList | PyDict | PySet) for v in entries.values()):
        return None
    for index, (k, v) in enumerate(entries.items()):
        first, second = lifted_type(ev, k), lifted_type(ev, v)
        if first is None or second is None:
            return None
        keys, values = (widen(first), widen(second)) if not index else (join(key, widen(first)), join(kept, widen(second)))
        if keys is None or values is None:
            return None
        key, kept = keys, values
    return DictType(key, kept)


def widen(kind: Type) -> Type:
    """A type without what is known of this one value: int(3) becomes int."""
    if isinstance(kind, IntType):
        return INT
    if isinstance(kind, TupleType):
        return TupleType(tuple(widen(e) for e in kind.elements))
    if isinstance(kind, ListType):
        return ListType(widen(kind.element))
    if isinstance(kind, DictType):
        return DictType(widen(kind.key), widen(kind.value))
    if isinstance(kind, OptionalType):
        return OptionalType(widen(kind.element))
    return kind


def lift(ev: Evaluator, value: Any, kind: Type) -> Value:
    """`value` as an IR value of type `kind` (a join of its own type). Incompatible if it cannot be."""
    if isinstance(kind, OptionalType):
        if value is None:
            return ev.builder.emit_one("optional_none", (), {"element": str(kind.element)})
        if isinstance(value, Dynamic) and isinstance(value.type, OptionalType):
            return value.value
        return ev.builder.emit_one("optional_wrap", [lift(ev, value, kind.element)])
    if isinstance(kind, TensorType) and not isinstance(value, TensorValue):
        from scriptc.frontend.evaluator.operators import is_number

        if is_number(value):
            return filled(ev, value.value if isinstance(value, Dynamic) else literal(value), kind)
    if isinstance(value, Dynamic):
        if kind == FLOAT and value.type != FLOAT:
            return ev.builder.emit_one("scalar_float", [value.value])
        return value.value
    if isinstance(value, TensorValue):
        content = read(ev, value)
        return ev.constant(content) if isinstance(content, np.ndarray) else content
    if isinstance(value, tuple) and isinstance(kind, TupleType):
        return ev.builder.emit_one("tuple_new", [lift(ev, v, k) for v, k in zip(value, kind.elements, strict=True)])
    if isinstance(value, PyList) and isinstance(kind, ListType):
        if isinstance(value.content, Dynamic):
            return value.content.value
        return ev.builder.emit_one("list_new", [lift(ev, v, kind.element) for v in value.content],
                                   {"element": str(kind.element)})
    if isinstance(value, PyDict | PySet) and isinstance(kind, DictType):
        if value.is_dynamic:
            return value.held.value
        entries = value.content if isinstance(value, PyDict) else dict.fromkeys(value.content, True)
        keys, kept = ([lift(ev, v, k) for v in vs] for vs, k in ((list(entries), kind.key), (list(entries.values()), kind.value)))
        return ev.builder.emit_one("dict_new", [ev.builder.emit_one("list_new", keys, {"element": str(kind.key)}),
                                                ev.builder.emit_one("list_new", kept, {"element": str(kind.value)})])
    if value is None or isinstance(value, bool | int | float | str):
        if kind == FLOAT and isinstance(value, int) and not isinstance(value, bool):
            raise Incompatible("an int in one path and a float in the other")
        return literal(value)
    raise Incompatible(f"a {type(value).__name__}")


def lower(ev: Evaluator, value: Value) -> Any:
    """An IR value as a value of the language."""
    if isinstance(value.type, ListType):
        return PyList(Dynamic(value))
    if isinstance(value.type, DictType):
        return PyDict(Dynamic(value))
    if isinstance(value.type, TupleType):
        return tuple(lower(ev, ev.builder.emit_one("tuple_get", [value], {"index": i}))
                     for i in range(len(value.type.elements)))
    if isinstance(value.type, TensorType):
        return tensor_of(value)
    return ev.wrap(value)


# Templates: the common form of two values. Its leaves become results of an `if`, or values a loop carries.

@dataclass(frozen=True, slots=True)
class Static:
    """Both paths left the same value, or values that cannot be told apart later (a `Conflict`)."""

    value: Any


@dataclass(frozen=True, slots=True)
class LeafForm:
    """One IR value of the joined type; `external` marks a tensor that may be one the caller sees too."""

    kind: Type
    external: bool = False


@dataclass(frozen=True, slots=True)
class ContentForm:
    """The content of a storage."""

    kind: TensorType


@dataclass(frozen=True, slots=True)
class Parts:
    """A container of known form, joined element by element; `make` builds it from its parts."""

    constructor: str
    detail: Any
    keys: tuple[Any, ...]
    items: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class ChoiceForm:
    """Two modules or functions without a common form; its leaves are the conditions that chose among those of each path."""

    condition: Value
    first: Any
    second: Any


Template = Static | LeafForm | ContentForm | Parts | ChoiceForm


def same(a: Any, b: Any) -> bool:
    """True if both paths left the very same value."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, bool | int | str | float | complex | bytes | range | slice):
        return bool(a == b) or (a != a and b != b)
    if isinstance(a, Dynamic):
        return a.value is b.value
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, TensorValue):
        return a.storage is b.storage and a.path == b.path
    return False


def static_length(value: PyList) -> int | None:
    return None if isinstance(value.content, Dynamic) else len(value.content)


def unify(ev: Evaluator, a: Any, b: Any, name: str) -> Template:
    """The form of the value that stands for `a` on one path and `b` on the other."""
    if same(a, b):
        return Static(a)
    if isinstance(a, Conflict) or isinstance(b, Conflict):
        return Static(a if isinstance(a, Conflict) else b)
    if (a is MISSING or b is MISSING) and name != RETURN_SLOT:
        return Static(Conflict(f"{name} is only assigned on one of two paths"))
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        items = tuple(unify(ev, x, y, name) for x, y in zip(a, b, strict=True))
        if isinstance(a, StructTuple) and isinstance(b, StructTuple) and a.cls is b.cls:
            return Parts("struct", a.cls, (), items)
        return Parts("size" if isinstance(a, Size) and isinstance(b, Size) else "tuple", None, (), items)
    if isinstance(a, PyList) and isinstance(b, PyList) and static_length(a) is not None \
            and static_length(a) == static_length(b):
        return Parts("list", None, (), tuple(unify(ev, x, y, name) for x, y in zip(a.content, b.content, strict=True)))
    if isinstance(a, PyDict) and isinstance(b, PyDict) and not (a.is_dynamic or b.is_dynamic) and list(a.content) == list(b.content):
        return Parts("dict", a.kind, tuple(a.content), tuple(unify(ev, a.content[k], b.content[k], name) for k in a.content))
    if isinstance(a, Instance) and isinstance(b, Instance) and a.cls is b.cls and a.native is None and b.native is None \
            and list(a.slots) == list(b.slots) and not a.cls.is_module_class:
        return Parts("instance", a.cls, tuple(a.slots), tuple(unify(ev, a.slots[k], b.slots[k], name) for k in a.slots))
    return unify_leaf(ev, a, b, name)


RETURN_SLOT = "%return"


def unify_leaf(ev: Evaluator, a: Any, b: Any, name: str) -> Template:
    first = lifted_type(ev, a) if a is not MISSING else None
    second = lifted_type(ev, b) if b is not MISSING else None
    if a is MISSING or b is MISSING:
        kind = first or second
        return LeafForm(widen(kind)) if kind is not None else Static(Conflict(f"{name} is only assigned on one of two paths"))
    if isinstance(first, DictType) and isinstance(second, DictType):
        if first.key == NONE:
            first = second
        elif second.key == NONE:
            second = first
    if isinstance(first, ListType) and is_empty_list(a) and isinstance(second, ListType):
        first = second
    if isinstance(second, ListType) and is_empty_list(b) and isinstance(first, ListType):
        second = first
    kind = join(widen_different(first, second), widen_different(second, first)) \
        if first is not None and second is not None else None
    if kind is None:
        kind = filled_type(ev, first, second)
    if kind is None:
        from scriptc.frontend.evaluator.operators import type_name

        places = (ev.span(),) if name == "the returned value" else ()
        return Static(Conflict(f"{name} is {first or type_name(a)} on one path and {second or type_name(b)} on the other", places))
    external = any(isinstance(v, TensorValue) and (v.storage.name != "" or v.storage.born <= ev.joined_since) for v in (a, b))
    return LeafForm(kind, external)


def widen_different(kind: Type, other: Type) -> Type:
    return kind if kind == other else widen(kind)


def is_empty_list(value: Any) -> bool:
    return isinstance(value, PyList) and not isinstance(value.content, Dynamic) and not value.content


def refine(before: Template, now: Template) -> Template:
    """The form after one more walk of a loop body: what stayed the same keeps the form it had."""
    if isinstance(now, Static) and not isinstance(now.value, Conflict):
        return before
    if isinstance(before, Parts) and isinstance(now, Parts) and before.constructor == now.constructor \
            and before.keys == now.keys and len(before.items) == len(now.items):
        return Parts(now.constructor, now.detail, now.keys,
                     tuple(refine(x, y) for x, y in zip(before.items, now.items, strict=True)))
    if isinstance(before, LeafForm) and isinstance(now, LeafForm):
        return LeafForm(now.kind, before.external or now.external)
    return now


def leaf_types(template: Template) -> list[Type]:
    """The types of the leaves, in order."""
    if isinstance(template, LeafForm | ContentForm):
        return [template.kind]
    if isinstance(template, Parts):
        return [kind for item in template.items for kind in leaf_types(item)]
    if isinstance(template, ChoiceForm):
        return [BOOL for _ in (*conditions(template.first), *conditions(template.second))]
    return []


def conditions(value: Any) -> list[Value]:
    """The conditions of nested choices, outermost first."""
    return [value.condition.value, *conditions(value.first), *conditions(value.second)] if isinstance(value, Choice) else []


def under_conditions(value: Any, results: list[Value]) -> Any:
    """The same choices by other conditions, taken from the front of `results`."""
    if not isinstance(value, Choice):
        return value
    condition = Dynamic(results.pop(0))
    return Choice(condition, under_conditions(value.first, results), under_conditions(value.second, results))


def flatten(ev: Evaluator, template: Template, value: Any) -> list[Value]:
    """The IR values of one path's `value` for the leaves. Incompatible if one cannot be lifted."""
    if isinstance(template, LeafForm):
        if value is MISSING:
            return [ev.builder.emit_one("undefined", (), {"type": str(template.kind)})]
        return [lift(ev, value, template.kind)]
    if isinstance(template, ContentForm):
        from scriptc.frontend.storage import Lazy

        if isinstance(value, Lazy):
            value = value.array()
        return [ev.constant(value) if isinstance(value, np.ndarray) else value]
    if isinstance(template, ChoiceForm):
        sides = ((template.first, value is template.first), (template.second, value is template.second))
        return [c if here else literal(False) for side, here in sides for c in conditions(side)]
    if value is MISSING and isinstance(template, Parts):
        return [ev.builder.emit_one("undefined", (), {"type": str(kind)}) for kind in leaf_types(template)]
    if isinstance(template, Parts):
        if template.constructor in ("tuple", "size", "struct"):
            parts = list(value)
        elif template.constructor == "list":
            parts = list(value.content)
        elif template.constructor == "dict":
            parts = list(value.content.values())
        else:
            parts = list(value.slots.values())
        return [leaf for item, part in zip(template.items, parts, strict=True) for leaf in flatten(ev, item, part)]
    return []


def rebuild(ev: Evaluator, template: Template, results: list[Value]) -> Any:
    """The joined value; takes its leaves from the front of `results`."""
    if isinstance(template, LeafForm):
        value = lower(ev, results.pop(0))
        if template.external and isinstance(value, TensorValue):
            value.storage.joined = True
        return value
    if isinstance(template, ContentForm):
        return results.pop(0)
    if isinstance(template, Static):
        return template.value
    if isinstance(template, ChoiceForm):
        first = under_conditions(template.first, results)
        return Choice(Dynamic(template.condition), first, under_conditions(template.second, results))
    items = [rebuild(ev, item, results) for item in template.items]
    if template.constructor == "tuple":
        return tuple(items)
    if template.constructor == "size":
        return Size(items)
    if template.constructor == "struct":
        return StructTuple(template.detail, items)
    if template.constructor == "list":
        return PyList(items)
    if template.constructor == "dict":
        return PyDict(dict(zip(template.keys, items, strict=True)), template.detail)
    made = Instance(template.detail)
    made.slots.update(zip(template.keys, items, strict=True))
    return made


def slot_form(ev: Evaluator, target: Any, slot: Any, a: Any, b: Any) -> Template:
    """`unify` for a written slot: storages, lists and dicts hold contents rather than values of the language."""
    if isinstance(target, Storage):
        return Static(a) if a is b else ContentForm(joined_content(ev, a, b))
    if isinstance(target, TensorValue) and slot == "cached":
        return Static(None)
    if isinstance(target, PyList) and slot == "content":
        return unify(ev, PyList(a), PyList(b), "the list")
    if isinstance(target, PyDict) and slot == "content":
        return unify(ev, PyDict(a), PyDict(b), "the dictionary")
    if isinstance(target, PySet) and slot == "content":
        if not (isinstance(a, Dynamic) or isinstance(b, Dynamic)) and list(a) == list(b):
            return Static(PySet(a))
        return unify_leaf(ev, PySet(a), PySet(b), "the set")
    return unify(ev, a, b, str(slot))


def slot_value(target: Any, slot: Any, content: Any) -> Any:
    """What `flatten` takes for a slot's content."""
    if slot == "content" and content is not MISSING:
        if isinstance(target, PyList):
            return PyList(content)
        if isinstance(target, PyDict):
            return PyDict(content)
        if isinstance(target, PySet):
            return PySet(content)
    return content


def write_slot(target: Any, slot: Any, value: Any) -> None:
    """Store a rebuilt value in its slot."""
    if value is MISSING:
        if slot in target.slots:
            target.erase(slot)
    elif slot == "content" and isinstance(target, PyDict | PySet) and not isinstance(value, Conflict):
        target.write(slot, value.held)
    elif slot == "content" and isinstance(target, PyList) and not isinstance(value, Conflict):
        target.write(slot, value.content)
    else:
        target.write(slot, value)


def joined_content(ev: Evaluator, a: Any, b: Any) -> TensorType:
    from scriptc.frontend.storage import content_type

    kind = join(content_type(a), content_type(b))
    if not isinstance(kind, TensorType):
        ev.error("E0210", what=f"a tensor that is {content_type(a)} on one path and {content_type(b)} on the other")
    return kind


# Branches.

class Branch:
    """One arm of a dynamic `if`: its ops and its writes, open while it is walked, closed and reopened as needed."""

    def __init__(self, ev: Evaluator) -> None:
        self.ev = ev
        self.ops: list[Op] = []
        self.writes: Writes = {}
        self.since = 0
        self._journal: Journal | None = None

    def open(self) -> None:
        self._journal = open_journal()
        if self.writes:
            # What exists since before this arm was first opened stays 'old'.
            self._journal.since = min(self._journal.since, self.since)
            apply_writes(self.writes)
        else:
            self.since = self._journal.since
        self.ev.builder.reopen(self.ops)

    def close(self) -> None:
        assert self._journal is not None
        self.ops = self.ev.builder.suspend()
        self.writes = close_journal(self._journal)
        self._journal = None


def merge(ev: Evaluator, condition: Value, first: Branch, second: Branch, extra: list[tuple[Any, Any, str]]) -> list[Any]:
    """Emit the `if` for two closed arms, write the joined slots, and return the joined `extra` values.

    `extra` holds (value in the first arm, value in the second, its name): results that are in no slot.
    """
    slots: list[tuple[Any, Any, Any, Any]] = []
    for key in dict.fromkeys([*first.writes, *second.writes]):
        target, slot, _ = first.writes.get(key) or second.writes[key]
        old = target.slots.get(slot, MISSING)
        slots.append((target, slot, first.writes[key][2] if key in first.writes else old,
                      second.writes[key][2] if key in second.writes else old))
    for side, arm in ((0, first), (1, second)):
        slots = [(*entry[:2 + side], narrowed(ev, entry[2 + side], entry[3 - side], condition, arm, side == 0), *entry[3 + side:])
                 for entry in slots]
        extra = [(*pair[:side], narrowed(ev, pair[side], pair[1 - side], condition, arm, side == 0), *pair[side + 1:]) for pair in extra]
    ev.joined_since = min(first.since, second.since)
    forms = [slot_form(ev, *entry) for entry in slots]
    extra_forms = [unify(ev, a, b, name) for a, b, name in extra]
    forms = [chosen(condition, form, *entry[2:]) for form, entry in zip(forms, slots, strict=True)]
    extra_forms = [chosen(condition, form, *pair[:2]) for form, pair in zip(extra_forms, extra, strict=True)]
    ev.joined_since = -1
    regions = []
    for side, arm in ((0, first), (1, second)):
        arm.open()
        results: list[Value] = []
        try:
            for entry, form in zip(slots, forms, strict=True):
                results += flatten(ev, form, slot_value(entry[0], entry[1], entry[2 + side]))
            for pair, form in zip(extra, extra_forms, strict=True):
                results += flatten(ev, form, pair[side])
        except Incompatible as error:
            ev.error("E0210", what=f"a value that is {error}")
        arm.close()
        regions.append(Region((), tuple(arm.ops), tuple(results)))
    ev.builder.location = ev.location()
    needed = any(r.ops or r.results for r in regions)
    joined = list(ev.builder.emit("if", [condition], {}, tuple(regions))) if needed else []
    for (target, slot, _, _), form in zip(slots, forms, strict=True):
        write_slot(target, slot, rebuild(ev, form, joined))
    return [rebuild(ev, form, joined) for form in extra_forms]


def narrowed(ev: Evaluator, value: Any, other: Any, condition: Value, arm: Branch, holds: bool) -> Any:
    """What one arm leaves where the other leaves `other`: None, or no longer optional, if the arm's condition says so."""
    from scriptc.frontend.evaluator.operators import some

    none = None if same(value, other) else decided(ev, value, condition, holds)
    if none is not False:
        return None if none else value
    if other is None or (isinstance(other, Dynamic) and isinstance(other.type, OptionalType)):
        return value
    arm.open()
    value = some(ev, value)
    arm.close()
    return value


def chosen(condition: Value, form: Template, a: Any, b: Any) -> Template:
    """The form of two modules or functions that have no common one: a `Choice` between them."""
    if isinstance(form, Static) and isinstance(form.value, Conflict) and all(
            isinstance(v, Function | BoundMethod | Builtin | Choice) or (isinstance(v, Instance) and v.cls.is_module_class) for v in (a, b)):
        return ChoiceForm(condition, a, b)
    if isinstance(form, Parts) and form.constructor == "tuple":
        return replace(form, items=tuple(chosen(condition, *parts) for parts in zip(form.items, a, b, strict=True)))
    return form


def branch(ev: Evaluator, condition: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """The value of `first() if condition else second()`; both are walked when the condition is dynamic."""
    if not isinstance(condition, Dynamic):
        return first() if condition else second()
    known = assumed(ev, condition)
    if known is not None:
        return first() if known else second()
    values = []
    arms = []
    for holds, thunk in ((True, first), (False, second)):
        arm = Branch(ev)
        arm.open()
        known_before = len(ev.assumptions)
        ev.assumptions.append((condition.value, holds))
        values.append(thunk())
        del ev.assumptions[known_before:]
        arm.close()
        arms.append(arm)
    (result,) = merge(ev, condition.value, arms[0], arms[1], [(values[0], values[1], "the value of the expression")])
    return result


def assumed(ev: Evaluator, condition: Dynamic) -> bool | None:
    """What the branches around already decided about this very value."""
    for value, holds in ev.assumptions:
        if value is condition.value:
            return bool(holds)
    if isinstance(condition.value, Literal):
        return bool(condition.value.data)
    return None


def both(ev: Evaluator, a: Any, b: Any) -> Any:
    """a and b for bools, either of which may be dynamic."""
    if a is False or b is False:
        return False
    if a is True:
        return b
    return a if b is True else ev.op("scalar_and", a, b)


def either(ev: Evaluator, a: Any, b: Any) -> Any:
    """a or b for bools, either of which may be dynamic."""
    if a is True or b is True:
        return True
    if a is False:
        return b
    return a if b is False else ev.op("scalar_or", a, b)
