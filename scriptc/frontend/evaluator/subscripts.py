"""Subscripts: reading, writing and deleting items of tensors, sequences, mappings and typing forms."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.frontend import storage
from scriptc.frontend.evaluator.calls import call, is_callable
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import hashable, is_number, some, type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Class,
    Dynamic,
    Instance,
    PyDict,
    PyList,
    Size,
    TypeForm,
    Unavailable,
)
from scriptc.ir import dims
from scriptc.ir.types import BOOL, BOOL_CATEGORY, STR, IntType, uint8


def get_item(ev: Evaluator, value: Any, index: Any) -> Any:
    """value[index]"""
    value, index = some(ev, used(ev, value)), used(ev, index)
    if isinstance(value, TensorValue):
        return tensor_item(ev, value, index)
    if isinstance(value, Instance):
        method = value.cls.lookup("__getitem__")
        if method is not MISSING:
            return call(ev, method, [value, index], {})
        if value.native is not None:
            return get_item(ev, value.native, index)
        return ev.throw("TypeError", f"'{value.cls.name}' object is not subscriptable")
    if isinstance(value, PyDict):
        return dict_item(ev, value, index)
    if isinstance(value, PyList | tuple | str | range | bytes):
        return sequence_item(ev, value, index)
    if isinstance(value, Class | TypeForm | Builtin | Unavailable):
        return class_item(ev, value, index)
    if isinstance(value, Dynamic) and value.type == STR:
        from scriptc.frontend.pylib import strings

        return strings.item(ev, value, index)
    if isinstance(value, Dynamic):
        return ev.error("E0211", what=f"a subscript of {value.type}")
    return ev.throw("TypeError", f"'{type_name(value)}' object is not subscriptable")


def class_item(ev: Evaluator, value: Any, index: Any) -> Any:
    if isinstance(value, Class):
        if value.native == "enum":
            from scriptc.frontend.pylib.enums import member_by_name

            return member_by_name(ev, value, index)
        getter = value.lookup("__class_getitem__")
        if getter is not MISSING:
            return call(ev, getattr(getter, "function", getter), [value, index], {})
        if value.metaclass is not None:
            method = value.metaclass.lookup("__getitem__")
            if method is not MISSING:
                return call(ev, method, [value, index], {})
    return TypeForm(value, index if isinstance(index, tuple) else (index,))


def dict_item(ev: Evaluator, value: PyDict, index: Any) -> Any:
    from scriptc.frontend.pylib import dicts

    if value.is_dynamic or (dicts.at_run_time(index) and value.kind in ("defaultdict", "Counter")):
        return dicts.get_item(ev, value, index)
    if dicts.at_run_time(index) and value.content and value.kind in ("dict", "OrderedDict"):
        present = dicts.contains(ev, value, index)
        if isinstance(present, Dynamic):
            ev.builder.location = ev.location()
            ev.builder.emit("check", [present.value, index.value], {"exception": "KeyError", "message": "{}"})
            content = dict(value.content)
            _, last = content.popitem()
            return dicts.entry_at_run_time(ev, content, index, lambda: last)
    key = hashable(ev, index)
    content = value.content
    if key in content:
        return content[key]
    if value.kind == "defaultdict" and value.factory is not None:
        made = call(ev, value.factory, [], {})
        value.change()[key] = made
        return made
    from scriptc.frontend.pylib.exceptions import make_exception
    from scriptc.frontend.values import LanguageError

    raise LanguageError(make_exception(ev, "KeyError", key), ev.span())


def sequence_item(ev: Evaluator, value: Any, index: Any) -> Any:
    if isinstance(value, PyList) and isinstance(value.content, Dynamic):
        from scriptc.frontend.pylib import lists

        return lists.dynamic_item(ev, value, index)
    if isinstance(index, TensorValue):
        index = ev.op("item", index)
    if isinstance(index, Instance) and index.native is not None:
        index = index.native
    items = value.content if isinstance(value, PyList) else value
    if isinstance(index, slice):
        parts = [index.start, index.stop, index.step]
        if any(isinstance(p, Dynamic) for p in parts):
            if isinstance(value, str):
                from scriptc.frontend.pylib import strings

                return strings.item(ev, value, index)
            return dynamic_slice(ev, value, index)
        try:
            picked = items[index]
        except (TypeError, ValueError) as error:
            return ev.throw(type(error).__name__, str(error))
        if isinstance(value, PyList):
            return PyList(picked)
        return Size(picked) if isinstance(value, Size) else picked
    if isinstance(index, Dynamic):
        if isinstance(value, str):
            from scriptc.frontend.pylib import strings

            return strings.item(ev, value, index)
        return dynamic_index(ev, value, index)
    if not isinstance(index, int):
        return ev.throw("TypeError", f"{type_name(value)} indices must be integers or slices, not {type_name(index)}")
    try:
        return items[index]
    except IndexError:
        return ev.throw("IndexError", f"{type_name(value).removeprefix('torch.').replace('Size', 'tuple')} index out of range")


def dynamic_slice(ev: Evaluator, value: Any, index: slice) -> Any:
    if isinstance(value, PyList):
        from scriptc.frontend.pylib import lists

        return lists.dynamic_item(ev, value, index)
    return ev.error("E0211", what=f"a slice of a {type_name(value)} whose bounds are only known at run time")


def dynamic_index(ev: Evaluator, value: Any, index: Dynamic) -> Any:
    """A known sequence at an index that is not: the elements must have one type."""
    from scriptc.frontend.evaluator.joins import lifted_type
    from scriptc.frontend.pylib import lists

    items = list(value.content if isinstance(value, PyList) else value)
    if index.type == BOOL:
        index = ev.op("scalar_int", index)
    if isinstance(index.type, IntType) and items and all(is_callable(ev, v) for v in items):
        return callable_at(ev, items, index)
    if not isinstance(index.type, IntType) or not items or any(lifted_type(ev, v) is None for v in items):
        ev.error("E0211", what=f"an index into a {type_name(value)} that is only known at run time",
                 hint="its elements have no common type at run time; iterate over it, or index it by a known number")
    return lists.dynamic_item(ev, PyList(items), index)


def callable_at(ev: Evaluator, items: list[Any], index: Any) -> Any:
    """One of several modules or functions, by a position only known at run time."""
    from scriptc.frontend.evaluator.joins import branch
    from scriptc.frontend.evaluator.operators import truthy

    size = len(items)
    index = branch(ev, ev.op("scalar_lt", index, 0), lambda: ev.op("scalar_add", index, size), lambda: index)
    inside = ev.op("scalar_and", ev.op("scalar_le", 0, index), ev.op("scalar_lt", index, size))
    ev.builder.location = ev.location()
    ev.builder.emit("check", [inside.value], {"exception": "IndexError", "message": "list index out of range"})

    def search(position: int) -> Any:
        if position == size - 1:
            return items[position]
        return branch(ev, truthy(ev, ev.op("scalar_eq", index, position)), lambda: items[position], lambda: search(position + 1))
    return search(0)


# Tensors.

def tensor_item(ev: Evaluator, tensor: TensorValue, index: Any) -> Any:
    """tensor[index]: a view for ints, slices, None and Ellipsis; a copy once a tensor or list is among them."""
    basic, advanced = split_index(ev, tensor, index)
    seen = apply_basic(ev, tensor, basic)
    if advanced is None:
        return seen
    return ev.op("index", seen, *advanced)


def set_item(ev: Evaluator, target: Any, index: Any, value: Any) -> None:
    """target[index] = value"""
    if isinstance(target, TensorValue):
        set_tensor_item(ev, target, index, value)
    elif isinstance(target, PyDict):
        from scriptc.frontend.pylib import dicts

        dicts.set_item(ev, target, index, value)
    elif isinstance(target, PyList):
        from scriptc.frontend.pylib import lists

        lists.set_item(ev, target, index, value)
    elif isinstance(target, Instance):
        method = target.cls.lookup("__setitem__")
        if method is not MISSING:
            call(ev, method, [target, index, value], {})
        elif target.native is not None:
            set_item(ev, target.native, index, value)
        else:
            ev.throw("TypeError", f"'{target.cls.name}' object does not support item assignment")
    else:
        ev.throw("TypeError", f"'{type_name(target)}' object does not support item assignment")


def delete_item(ev: Evaluator, target: Any, index: Any) -> None:
    """del target[index]"""
    if isinstance(target, Instance) and target.cls.lookup("__delitem__") is not MISSING:
        call(ev, target.cls.lookup("__delitem__"), [target, index], {})
        return
    if isinstance(target, Instance) and target.native is not None:
        target = target.native
    if isinstance(target, PyDict) and (target.is_dynamic or is_run_time(index)):
        from scriptc.frontend.pylib import dicts

        dicts.pop(ev, target, index)
    elif isinstance(target, PyDict):
        key = hashable(ev, index)
        if key not in target.content:
            ev.throw("KeyError", repr(key))
        del target.change()[key]
    elif isinstance(target, PyList) and (isinstance(target.content, Dynamic) or is_run_time(index)):
        delete_at_run_time(ev, target, index)
    elif isinstance(target, PyList):
        try:
            del target.change()[index]
        except IndexError:
            ev.throw("IndexError", "list assignment index out of range")
        except TypeError:
            ev.throw("TypeError", f"list indices must be integers or slices, not {type_name(index)}")
    else:
        ev.throw("TypeError", f"'{type_name(target)}' object doesn't support item deletion")


def is_run_time(index: Any) -> bool:
    return any(isinstance(p, Dynamic) for p in ((index.start, index.stop, index.step) if isinstance(index, slice) else (index,)))


def delete_at_run_time(ev: Evaluator, target: PyList, index: Any) -> None:
    """del target[index] where the list or the index is only known at run time."""
    from scriptc.frontend.pylib import lists

    if not isinstance(index, slice):
        lists.pop(ev, target, index)
        return
    if index.step not in (None, 1) or any(isinstance(p, Dynamic) or (p or 0) < 0 for p in (index.start, index.stop)):
        ev.error("E0211", what="deleting a slice with bounds that are negative or only known at run time")
    stop = None if index.stop is None else max(index.stop, index.start or 0)
    rest = PyList([]) if stop is None else get_item(ev, target, slice(stop, None))
    target.write("content", lists.concatenate(ev, get_item(ev, target, slice(None, index.start or 0)), rest).content)


def set_tensor_item(ev: Evaluator, tensor: TensorValue, index: Any, value: Any) -> None:
    basic, advanced = split_index(ev, tensor, index)
    target = apply_basic(ev, tensor, basic)
    dtype = storage.dtype(tensor)
    if advanced is None:
        copy_into(ev, target, value)
        return
    if not isinstance(value, TensorValue):
        value = ev.op("full", value, dtype=dtype)
    elif storage.dtype(value) is not dtype:
        value = ev.op("cast", value, dtype=dtype)
    if len(advanced) == 1 and advanced[0] is not None and storage.dtype(advanced[0]).category == BOOL_CATEGORY:
        shape = storage.shape_of(ev, value)
        if shape == ():
            put = ev.op("masked_fill", target, expand_mask(ev, advanced[0], target), value)
            storage.write(ev, target, storage.read(ev, put))
            return
    put = ev.op("index_put", target, value, *advanced, accumulate=False)
    storage.write(ev, target, storage.read(ev, put))


def expand_mask(ev: Evaluator, mask: TensorValue, target: TensorValue) -> TensorValue:
    """A mask over the leading dimensions, with a trailing 1 for each dimension it does not cover."""
    shape, wanted = storage.shape_of(ev, mask), storage.shape_of(ev, target)
    for _ in range(len(wanted or ()) - len(shape or ())):
        mask = ev.op("unsqueeze", mask, dim=-1)
    return mask


def copy_into(ev: Evaluator, target: TensorValue, value: Any) -> None:
    """target.copy_(value): cast and broadcast to the target."""
    dtype = storage.dtype(target)
    if not isinstance(value, TensorValue):
        if not is_number(value):
            ev.throw("TypeError", f"can't assign a {type_name(value)} to a torch.{dtype}Tensor")
        kind = target.storage.type
        if not (ev.recording or target.path or isinstance(value, Dynamic)):
            # An initial value that a weights file may replace, and one that must not draw the random one before it.
            content = ev.op("full", value, dtype=dtype).storage.content
            sizes = tuple(s for s in kind.shape or () if isinstance(s, int))
            storage.write(ev, target, storage.Lazy(kind, lambda: np.array(np.broadcast_to(content, sizes))))
            return
        value = ev.op("full", value, dtype=dtype)
    elif storage.dtype(value) is not dtype:
        value = ev.op("cast", value, dtype=dtype)
    wanted, found = storage.shape_of(ev, target), storage.shape_of(ev, value)
    if found is None or wanted is None or found != wanted:
        if found is not None and wanted is not None and len(found) > len(wanted):
            # Leading ones are dropped: x[0] = y[None].
            value = ev.op("reshape_as", value, target)
        else:
            value = ev.op("expand_as", value, target)
    storage.write(ev, target, storage.unread(ev, value))


def split_index(ev: Evaluator, tensor: TensorValue, index: Any) -> tuple[list[Any], list[Any] | None]:
    """An index as view steps for the basic parts and, if there are index tensors, the operands of `index`.

    The basic parts come one per dimension (None inserts one); advanced ones stand as full slices there.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    normal: list[Any] = [normal_part(ev, p) for p in parts]
    shape = storage.shape_of(ev, tensor)
    if shape is None:
        ev.error("E0253", what="indexing", hint="pass --input with the argument's rank, for example 'x:float32[N,C]'")
    consumed = sum(part_rank(ev, p) for p in normal if p is not None and p is not Ellipsis)
    if consumed > len(shape):
        ev.throw("IndexError", f"too many indices for tensor of dimension {len(shape)}")
    full: list[Any] = []
    for part in normal:
        if part is Ellipsis:
            full += [slice(None)] * (len(shape) - consumed)
        else:
            full.append(part)
    basic: list[Any] = []
    advanced: list[Any] = []
    has_advanced = any(isinstance(p, TensorValue) for p in full)
    for part in full:
        if isinstance(part, TensorValue):
            basic += [slice(None)] * part_rank(ev, part)
            advanced.append(part)
        elif has_advanced and isinstance(part, int | Dynamic) and not isinstance(part, bool):
            # Beside an index tensor an int is an index too: it broadcasts with it.
            basic.append(slice(None))
            advanced.append(index_of(ev, part))
        else:
            basic.append(part)
            advanced.append(None)
    if not has_advanced:
        return basic, None
    while advanced and advanced[-1] is None:
        advanced.pop()
    return basic, advanced


def index_of(ev: Evaluator, value: Any) -> TensorValue:
    from scriptc.ir.types import int64

    made: TensorValue = ev.op("full", value, dtype=int64)
    return made


def part_rank(ev: Evaluator, part: Any) -> int:
    """How many dimensions an index part consumes."""
    if isinstance(part, TensorValue) and storage.dtype(part).category == BOOL_CATEGORY:
        return len(storage.shape_of(ev, part) or ())
    return 1


def normal_part(ev: Evaluator, part: Any) -> Any:
    from scriptc.frontend.torchlib.bindings.creation import tensor_from

    part = used(ev, part)
    if isinstance(part, Instance) and part.native is not None:
        part = part.native
    if isinstance(part, PyList | tuple | np.ndarray):
        part = tensor_from(ev, part)
    if isinstance(part, bool):
        return tensor_from(ev, part)
    if isinstance(part, TensorValue):
        kind = storage.dtype(part)
        if kind.category > BOOL_CATEGORY + 1:
            ev.throw("IndexError", "tensors used as indices must be long, int, byte or bool tensors")
        if kind is uint8:
            from scriptc.ir.types import bool_

            return ev.op("cast", part, dtype=bool_)
        if storage.shape_of(ev, part) == () and kind.category != BOOL_CATEGORY:
            return ev.op("item", part)
        return part
    if isinstance(part, slice):
        return slice(*(as_int(ev, p) for p in (part.start, part.stop, part.step)))
    if part is None or part is Ellipsis or isinstance(part, int):
        return part
    if isinstance(part, Dynamic) and (isinstance(part.type, IntType) and part.type != BOOL):
        return part
    return ev.throw("TypeError", "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
                                 f"valid indices (got {type_name(part)})")


def as_int(ev: Evaluator, value: Any) -> Any:
    if isinstance(value, TensorValue):
        return ev.op("item", value)
    if isinstance(value, Instance) and value.native is not None:
        return value.native
    return value


def apply_basic(ev: Evaluator, tensor: TensorValue, parts: list[Any]) -> TensorValue:
    """The view for ints, slices and None; slices that keep everything cost nothing."""
    dim = 0
    for part in parts:
        if part is None:
            tensor = storage.view(ev, tensor, "unsqueeze", (), {"dim": dim})
            dim += 1
        elif isinstance(part, slice):
            if part != slice(None) and not (part.start in (None, 0) and part.stop is None and part.step in (None, 1)):
                tensor = slice_view(ev, tensor, dim, part)
            dim += 1
        else:
            check_index(ev, tensor, dim, part)
            tensor = storage.view(ev, tensor, "select", (part,), {"dim": dim}, contiguous=dim == 0)
    return tensor


def check_index(ev: Evaluator, tensor: TensorValue, dim: int, index: Any) -> None:
    shape = storage.shape_of(ev, tensor)
    size = shape[dim] if shape is not None and dim < len(shape) else None
    if isinstance(index, int) and isinstance(size, int) and not -size <= index < size:
        ev.throw("IndexError", f"index {index} is out of bounds for dimension {dim} with size {size}")


def slice_view(ev: Evaluator, tensor: TensorValue, dim: int, part: slice) -> TensorValue:
    step = 1 if part.step is None else part.step
    if isinstance(step, int) and step <= 0:
        ev.throw("ValueError", "step must be greater than zero")
    start = 0 if part.start is None else part.start
    stop = 2**63 - 1 if part.stop is None else part.stop
    shape = storage.shape_of(ev, tensor)
    size = shape[dim] if shape is not None else None
    stop_value = stop.type.value if isinstance(stop, Dynamic) and isinstance(stop.type, IntType) else stop
    if start == 0 and step == 1 and isinstance(stop_value, dims.Symbolic) and stop_value == size:
        return tensor
    return storage.view(ev, tensor, "slice", (start, stop, step), {"dim": dim}, contiguous=dim == 0 and step == 1)


__all__ = ["delete_item", "get_item", "set_item"]
