"""What a method returns, as leaves and a structure."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.frontend.evaluator.calls import is_callable
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import type_name, used
from scriptc.frontend.storage import TensorValue, read
from scriptc.frontend.values import (
    Class,
    Device,
    Dynamic,
    Function,
    Instance,
    Iterating,
    ModuleValue,
    PyDict,
    PyList,
    PySet,
    StructTuple,
    TypeForm,
)
from scriptc.ir.graph import Fixed, Group, Leaf, Structure, Value
from scriptc.ir.types import DType


def flatten_result(ev: Evaluator, value: Any, method: str) -> tuple[list[Value], Structure]:
    """(IR values, structure) of a returned value."""
    out: list[Value] = []
    return out, _flatten(ev, used(ev, value), method, out, 0)


def flatten_into(ev: Evaluator, value: Any, what: str, out: list[Value]) -> Structure:
    """The structure of a value whose IR values are appended to `out`."""
    return _flatten(ev, value, what, out, 0)


TORCH_NAMES = tuple(TypeForm(name) for name in ("strided", "contiguous_format", "channels_last", "preserve_format"))


def _leaf(value: Value, out: list[Value]) -> Leaf:
    out.append(value)
    return Leaf(len(out) - 1)


def _flatten(ev: Evaluator, value: Any, method: str, out: list[Value], depth: int) -> Structure:
    if depth > 40:
        ev.error("E0201", what="nested containers in a result", limit=40)
    value = used(ev, value)
    if isinstance(value, TensorValue):
        content = read(ev, value)
        return _leaf(ev.constant(content) if isinstance(content, np.ndarray) else content, out)
    if isinstance(value, Dynamic):
        return _leaf(value.value, out)
    if value is None or isinstance(value, bool | int | float | complex | str):
        return Fixed(value)
    if isinstance(value, StructTuple):
        fields = tuple(value.cls.lookup("_fields"))
        return Group("namedtuple", tuple(_flatten(ev, v, method, out, depth + 1) for v in value), fields, value.cls.name)
    if isinstance(value, tuple):
        return Group("tuple", tuple(_flatten(ev, v, method, out, depth + 1) for v in value))
    if isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            return _leaf(value.content.value, out)
        return Group("list", tuple(_flatten(ev, v, method, out, depth + 1) for v in value.content))
    if isinstance(value, PyDict) and value.is_dynamic:
        return _leaf(value.held.value, out)
    if isinstance(value, Iterating | PySet | range):
        from scriptc.frontend.pylib import dicts
        from scriptc.frontend.pylib.iteration import items_of

        if isinstance(value, PySet) and value.is_dynamic:
            return _leaf(dicts.keys(ev, value).content.value, out)
        return Group("list", tuple(_flatten(ev, v, method, out, depth + 1) for v in items_of(ev, value)))
    if isinstance(value, PyDict):
        keys = tuple(value.content)
        if not all(isinstance(k, str | int) for k in keys):
            ev.error("E0260", method=method, found="a dict with keys that are neither strings nor ints")
        return Group("dict", tuple(_flatten(ev, v, method, out, depth + 1) for v in value.content.values()), keys)
    if isinstance(value, Instance) and value.cls.is_module_class:
        return ev.error("E0260", method=method, found=f"a module ({value.cls.name})")
    if isinstance(value, Instance):
        if value.native is not None and not value.slots:
            return _flatten(ev, value.native, method, out, depth + 1)
        held = {k: v for k, v in value.slots.items() if isinstance(k, str) and not k.startswith("%")
                and not (value.cls.native == "enum" and k.startswith("_"))}
        return Group("object", tuple(_flatten(ev, v, method, out, depth + 1) for v in held.values()), tuple(held), value.cls.name)
    if isinstance(value, DType | Device) or (isinstance(value, TypeForm) and value in TORCH_NAMES):
        # torch's own name of it, as a string: an archive holds no classes of torch.
        return Fixed(repr(value) if isinstance(value, DType) else str(value) if isinstance(value, Device) else f"torch.{value.origin}")
    if depth == 0 and (is_callable(ev, value) or isinstance(value, ModuleValue)):
        return ev.error("E0260", method=method, found=f"a {type_name(value)}")
    if hasattr(value, "name"):     # a class, a function that an object holds
        return Fixed(value.name if isinstance(value, Class | Function) else str(value))
    return ev.error("E0260", method=method, found=f"a {type_name(value)}")
