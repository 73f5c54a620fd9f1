"""Lists whose length is known, and lists that live in the program because it is not."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.joins import Incompatible, lift, lifted_type, lower, widen
from scriptc.frontend.evaluator.operators import check_repeat, type_name
from scriptc.frontend.pylib.iteration import Counted, items_of, iterate
from scriptc.frontend.values import Dynamic, PyList
from scriptc.ir.types import NONE, ListType, join


def is_dynamic(value: PyList) -> bool:
    return isinstance(value.content, Dynamic)


def element_type(value: PyList) -> Any:
    kind = value.content.type
    assert isinstance(kind, ListType)
    return kind.element


def as_dynamic(ev: Evaluator, value: PyList) -> Dynamic:
    """The list as one IR value. Refused if its elements have no common type."""
    if isinstance(value.content, Dynamic):
        return value.content
    kind = lifted_type(ev, value)
    if kind is None:
        ev.error("E0210", what="the elements of this list have no common type, and its length is only known at run time")
    try:
        return Dynamic(lift(ev, value, kind))
    except Incompatible as error:
        return ev.error("E0210", what=f"a list element that is {error}")


def item_value(ev: Evaluator, target: PyList, item: Any) -> Any:
    """An element lifted to the list's element type."""
    kind = lifted_type(ev, item)
    element = element_type(target)
    if kind is None or join(widen(kind), element) is None:
        ev.error("E0210", what=f"a {type_name(item)} in a list of {element}")
    try:
        return Dynamic(lift(ev, item, join(widen(kind), element)))  # type: ignore[arg-type]
    except Incompatible as error:
        return ev.error("E0210", what=f"a list element that is {error}")


def append(ev: Evaluator, target: PyList, item: Any) -> None:
    """list.append"""
    if not is_dynamic(target):
        target.change().append(item)
    elif element_type(target) == NONE:
        first = PyList([item])
        target.write("content", as_dynamic(ev, first))
    else:
        target.write("content", raw_list(ev, "list_append", target.content, item_value(ev, target, item)))


def raw_list(ev: Evaluator, op: str, *operands: Any) -> Dynamic:
    """An op whose result is a list, as the content of one."""
    return Dynamic(ev.raw(op, list(operands), {}))


def extend(ev: Evaluator, target: PyList, value: Any) -> None:
    """list.extend"""
    source = value if isinstance(value, PyList) else PyList(items_of(ev, value))
    if is_dynamic(target) or is_dynamic(source):
        target.write("content", concatenate(ev, target, source).content)
    else:
        target.change().extend(source.content)


def concatenate(ev: Evaluator, left: PyList, right: PyList) -> PyList:
    """left + right"""
    if not is_dynamic(left) and not is_dynamic(right):
        return PyList([*left.content, *right.content])
    if not is_dynamic(left) and not left.content:
        return PyList(right.content)
    if not is_dynamic(right) and not right.content:
        return PyList(left.content)
    return PyList(raw_list(ev, "list_extend", as_dynamic(ev, left), as_dynamic(ev, right)))


def repeat(ev: Evaluator, items: PyList, times: Any) -> PyList:
    """items * times"""
    if isinstance(times, Dynamic) or is_dynamic(items):
        ev.error("E0211", what="a list repeated a number of times that is only known at run time")
    if not isinstance(times, int):
        ev.throw("TypeError", f"can't multiply sequence by non-int of type '{type_name(times)}'")
    check_repeat(ev, len(items.content), times)
    return PyList(list(items.content) * times)


def length(ev: Evaluator, value: PyList) -> Any:
    """len(list)"""
    return ev.op("list_length", value.content) if is_dynamic(value) else len(value.content)


def counted(ev: Evaluator, value: PyList) -> Counted:
    """The list as a source for a loop of the program."""
    content = as_dynamic(ev, value)
    return Counted(ev.op("list_length", content), lambda index: lower(ev, ev.raw("list_get", [content, index], {})))


def dynamic_item(ev: Evaluator, value: PyList, index: Any) -> Any:
    """list[index] where the list or the index is only known at run time."""
    content = as_dynamic(ev, value)
    if isinstance(index, slice):
        start = 0 if index.start is None else index.start
        stop = 2**63 - 1 if index.stop is None else index.stop
        step = 1 if index.step is None else index.step
        return PyList(Dynamic(ev.raw("list_slice", [content, start, stop, step], {})))
    return lower(ev, ev.raw("list_get", [content, index], {}))


def set_item(ev: Evaluator, target: PyList, index: Any, value: Any) -> None:
    """list[index] = value"""
    if is_dynamic(target) or isinstance(index, Dynamic):
        if not is_dynamic(target):
            target.write("content", as_dynamic(ev, target))
        target.write("content", raw_list(ev, "list_set", target.content, index, item_value(ev, target, value)))
        return
    items = target.change()
    try:
        items[index] = items_of(ev, value) if isinstance(index, slice) else value
    except IndexError:
        ev.throw("IndexError", "list assignment index out of range")
    except (TypeError, ValueError) as error:
        ev.throw(type(error).__name__, str(error))


def pop(ev: Evaluator, target: PyList, index: Any = -1) -> Any:
    """list.pop"""
    if is_dynamic(target) or isinstance(index, Dynamic):
        rest, item = ev.raw("list_pop", [as_dynamic(ev, target), index], {})
        target.write("content", Dynamic(rest))
        return lower(ev, item)
    if not target.content:
        ev.throw("IndexError", "pop from empty list")
    try:
        return target.change().pop(index)
    except IndexError:
        return ev.throw("IndexError", "pop index out of range")


def make_list(ev: Evaluator, value: Any) -> PyList:
    """list(value)"""
    if isinstance(value, PyList) and is_dynamic(value):
        return PyList(value.content)
    source = iterate(ev, value)
    if not isinstance(source, Counted):
        return PyList(list(source))
    from scriptc.frontend.evaluator.control import Rest
    from scriptc.frontend.evaluator.loops import dynamic_loop
    from scriptc.frontend.values import Frame

    result = PyList([])

    def body(index: Dynamic) -> bool:
        append(ev, result, source.item(index))
        return True
    frame = Frame(ev.stack[-1].source, None, None, "function")
    dynamic_loop(ev, source.count, True, body, lambda: True, frame, Rest(ev, None, None, "return"))
    return result
