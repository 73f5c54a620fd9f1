"""Iteration: which values can be walked now, and which only by a loop of the program."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import some, type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    Class,
    Dynamic,
    Instance,
    Iterating,
    PyDict,
    PyList,
    PySet,
)
from scriptc.ir.types import STR, TupleType


class Counted:
    """A source whose length is only known at run time: `item(index)` gives its elements."""

    python_name = "generator"

    def __init__(self, count: Any, item: Callable[[Any], Any]) -> None:
        self.count = count
        self.item = item

    def length(self, ev: Evaluator) -> Any:
        """len(): no less than 0, where the count of an empty range may be negative."""
        return max(self.count, 0) if isinstance(self.count, int) else ev.op("scalar_max", self.count, 0)

    @staticmethod
    def of_range(ev: Evaluator, source: range) -> Counted:
        return Counted(len(source), lambda index: ev.op("scalar_add", ev.op("scalar_mul", index, source.step), source.start))


class DynamicRange:
    """range() with a bound that is only known at run time."""

    python_name = "range"

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start, self.stop, self.step = start, stop, step

    def counted(self, ev: Evaluator) -> Counted:
        from scriptc.frontend.evaluator.operators import binary

        if not isinstance(self.step, int):
            return self.counted_by_run_time_step(ev)
        span = binary(ev, "Sub", self.stop, self.start) if self.step > 0 else binary(ev, "Sub", self.start, self.stop)
        size = abs(self.step)
        count = binary(ev, "FloorDiv", binary(ev, "Add", span, size - 1), size) if size != 1 else span
        step, start = self.step, self.start

        def item(index: Any) -> Any:
            scaled = index if step == 1 else binary(ev, "Mult", index, step)
            return scaled if isinstance(start, int) and start == 0 else binary(ev, "Add", scaled, start)
        return Counted(count, item)

    def counted_by_run_time_step(self, ev: Evaluator) -> Counted:
        """ceil((stop - start) / step), whichever way the step goes. ValueError at run time for a step of 0."""
        from scriptc.frontend.evaluator.operators import binary

        step = self.step
        ev.builder.location = ev.location()
        ev.builder.emit("check", [ev.op("scalar_ne", step, 0).value], {"exception": "ValueError", "message": "range() arg 3 must not be zero"})
        last = binary(ev, "Add", binary(ev, "Sub", self.stop, self.start), step)
        rounding = ev.op("scalar_sub", ev.op("scalar_mul", 2, ev.op("scalar_int", ev.op("scalar_lt", step, 0))), 1)   # 1 if step < 0, else -1
        count = binary(ev, "FloorDiv", binary(ev, "Add", last, rounding), step)
        return Counted(ev.op("scalar_max", count, 0), lambda index: binary(ev, "Add", binary(ev, "Mult", index, step), self.start))


class Zipped:
    """enumerate() or zip() with a source whose length is only known at run time."""

    python_name = "zip"

    def __init__(self, parts: list[Any], start: Any = None) -> None:
        self.parts = parts
        self.start = start

    def counted(self, ev: Evaluator) -> Counted:
        from scriptc.frontend.evaluator.operators import binary
        from scriptc.frontend.pylib import lists

        sources = [part if isinstance(part, Counted) else lists.counted(ev, PyList(list(part))) for part in self.parts]
        count = sources[0].count
        for other in sources[1:]:
            count = ev.op("scalar_min", count, other.count) if not (isinstance(count, int) and isinstance(other.count, int)) \
                else min(count, other.count)
        if self.start is None:
            return Counted(count, lambda index: tuple(s.item(index) for s in sources))
        start = self.start
        return Counted(count, lambda index: (index if start == 0 else binary(ev, "Add", index, start), sources[0].item(index)))


def iterate(ev: Evaluator, value: Any) -> Sequence[Any] | Counted:
    """The elements of an iterable as a sequence, or as `Counted`."""
    value = some(ev, used(ev, value))
    if isinstance(value, range | tuple | list):
        return value
    if isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            from scriptc.frontend.pylib import lists

            return lists.counted(ev, value)
        return list(value.content)
    if isinstance(value, PyDict | PySet):
        from scriptc.frontend.pylib import dicts

        return iterate(ev, dicts.keys(ev, value)) if value.is_dynamic else list(value.content)
    if isinstance(value, str):
        return list(value)
    if isinstance(value, Iterating):
        rest = value.slots["items"][value.slots["at"]:]
        value.write("at", len(value.slots["items"]))
        return rest
    if isinstance(value, DynamicRange | Zipped):
        return value.counted(ev)
    if isinstance(value, Counted):
        return value
    if isinstance(value, TensorValue):
        return tensor_rows(ev, value)
    if isinstance(value, Instance):
        return instance_items(ev, value)
    if isinstance(value, Class):
        from scriptc.frontend.pylib.enums import members

        if value.native == "enum":
            return members(value)
    if isinstance(value, Dynamic) and value.type == STR:
        from scriptc.frontend.pylib import strings

        return Counted(strings.length(ev, value), lambda index: strings.item(ev, value, index))
    if isinstance(value, Dynamic) and isinstance(value.type, TupleType):
        from scriptc.frontend.evaluator.joins import lower

        return list(lower(ev, value.value))
    return ev.throw("TypeError", f"'{type_name(value)}' object is not iterable")


def tensor_rows(ev: Evaluator, value: TensorValue) -> Sequence[Any] | Counted:
    """The slices along the first dimension: views, as in eager PyTorch."""
    shape = storage.shape_of(ev, value)
    if shape == ():
        ev.throw("TypeError", "iteration over a 0-d tensor")
    if shape is not None and isinstance(shape[0], int):
        return [storage.view(ev, value, "select", (i,), {"dim": 0}) for i in range(shape[0])]
    count = ev.op("size", value, dim=0)
    return Counted(count, lambda index: storage.view(ev, value, "select", (index,), {"dim": 0}))


def instance_items(ev: Evaluator, value: Instance) -> Sequence[Any] | Counted:
    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.values import LanguageError

    method = value.cls.lookup("__iter__")
    if method is not MISSING:
        made = call(ev, method, [value], {})
        if made is value or (isinstance(made, Instance) and made.cls.lookup("__next__") is not MISSING):
            step = made.cls.lookup("__next__")
            items: list[Any] = []
            while True:
                try:
                    items.append(call(ev, step, [made], {}))
                except LanguageError as error:
                    if error.value.cls.name == "StopIteration":
                        return items
                    raise
        return iterate(ev, made)
    if value.native is not None:
        return iterate(ev, value.native)
    getter = value.cls.lookup("__getitem__")
    length = value.cls.lookup("__len__")
    if getter is not MISSING and length is not MISSING:
        return [call(ev, getter, [value, i], {}) for i in range(call(ev, length, [value], {}))]
    return ev.throw("TypeError", f"'{value.cls.name}' object is not iterable")


def items_of(ev: Evaluator, value: Any) -> list[Any]:
    """The elements of an iterable of known length."""
    source = iterate(ev, value)
    if isinstance(source, Counted):
        if isinstance(source.count, int):
            return [source.item(i) for i in range(source.count)]
        ev.error("E0211", what="walking a sequence whose length is only known at run time here")
    return list(source)


def unpacked(ev: Evaluator, value: Any, wanted: int | None) -> list[Any]:
    """The elements for an unpacking assignment of `wanted` targets; a length only known at run time is checked then."""
    value = some(ev, used(ev, value))
    source = value if isinstance(value, Counted) else iterate(ev, value)
    if not isinstance(source, Counted):
        return list(source)
    if wanted is None:
        ev.error("E0211", what="a starred unpacking of a sequence whose length is only known at run time")
    same = ev.op("scalar_eq", source.count, wanted)
    if isinstance(same, Dynamic):
        ev.builder.location = ev.location()
        ev.builder.emit("check", [same.value, source.count.value],
                        {"exception": "ValueError", "message": f"expected {wanted} values to unpack, got {{}}"})
    return [source.item(i) for i in range(wanted)]


