"""Methods of the builtin types: one table per type, bound on first use."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib import dicts
from scriptc.frontend.values import MISSING, Builtin, ClassMethod, Dynamic, Instance, PyDict, PyList, PySet

METHODS: dict[str, dict[str, Any]] = {}
MISSING_DEFAULT = object()


def method(kind: str, *names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(evaluator, self, *arguments, **keywords)` as a method of the builtin type `kind`."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
            if not arguments:
                return ev.throw("TypeError", f"unbound method {kind}.{function.__name__}() needs an argument")
            first = arguments[0]
            target = first.native if isinstance(first, Instance) and first.native is not None else first
            try:
                return function(ev, target, *arguments[1:], **keywords)
            except TypeError as error:
                if "argument" in str(error) and function.__name__ in str(error):
                    return ev.throw("TypeError", str(error))
                raise
            except (AttributeError, KeyError, IndexError) as error:
                from scriptc.frontend.torchlib.bindings.register import unfit

                return unfit(ev, f"{kind}.{function.__name__}", arguments, keywords, error)
        for name in names or (function.__name__,):
            METHODS.setdefault(kind, {})[name] = Builtin(name, invoke, as_method=True)
        return function
    return register


# list

@method("list")
def append(ev: Evaluator, self: PyList, item: Any) -> None:
    from scriptc.frontend.pylib import lists

    lists.append(ev, self, item)


@method("list")
def extend(ev: Evaluator, self: PyList, items: Any) -> None:
    from scriptc.frontend.pylib import lists

    lists.extend(ev, self, items)


@method("list", "pop")
def list_pop(ev: Evaluator, self: PyList, index: Any = -1) -> Any:
    from scriptc.frontend.pylib import lists

    return lists.pop(ev, self, index)


@method("list")
def insert(ev: Evaluator, self: PyList, index: Any, item: Any) -> None:
    from scriptc.frontend.pylib import lists

    if lists.is_dynamic(self) or isinstance(index, Dynamic):
        content = lists.as_dynamic(ev, self)
        self.write("content", content)
        self.write("content", lists.raw_list(ev, "list_insert", content, index, lists.item_value(ev, self, item)))
    else:
        self.change().insert(index, item)


@method("list", "clear")
def list_clear(ev: Evaluator, self: PyList) -> None:
    self.write("content", [])


@method("list", "copy")
def list_copy(ev: Evaluator, self: PyList) -> PyList:
    return PyList(self.content if isinstance(self.content, Dynamic) else list(self.content))


@method("list")
def reverse(ev: Evaluator, self: PyList) -> None:
    from scriptc.frontend.pylib import lists

    if lists.is_dynamic(self):
        self.write("content", lists.raw_list(ev, "list_reverse", self.content))
    else:
        self.change().reverse()


@method("list")
def remove(ev: Evaluator, self: PyList, item: Any) -> None:
    from scriptc.frontend.pylib import lists

    lists.pop(ev, self, ev.op("list_index", self.content, item) if lists.is_dynamic(self)
              else position(ev, self.content, item, "list.remove(x): x not in list"))


@method("list", "index")
def list_index(ev: Evaluator, self: PyList, item: Any, *bounds: Any) -> Any:
    if bounds:
        from scriptc.frontend.evaluator.operators import binary
        from scriptc.frontend.evaluator.subscripts import get_item

        if isinstance(self.content, Dynamic) or not all(isinstance(b, int) and b >= 0 for b in bounds):
            ev.error("E0211", what="list.index() with bounds on a list that is only known at run time")
        return binary(ev, "Add", list_index(ev, get_item(ev, self, slice(*bounds[:2])), item), bounds[0])
    if isinstance(self.content, Dynamic):
        return ev.op("list_index", self.content, item)
    return position(ev, self.content, item, "value is not in list")


@method("tuple", "index")
def tuple_index(ev: Evaluator, self: tuple[Any, ...], item: Any) -> int:
    return position(ev, self, item, "tuple.index(x): x not in tuple")


def position(ev: Evaluator, items: Any, item: Any, message: str) -> Any:
    from scriptc.frontend.evaluator.operators import compare, truthy

    for index, candidate in enumerate(items):
        same = True if candidate is item else truthy(ev, compare(ev, "Eq", candidate, item))
        if same is True:
            return index
        if same is not False:
            rest = PyList(list(items[index:]))
            found = ev.op("list_index", lists_content(ev, rest), item)
            return ev.op("scalar_add", found, index) if index else found
    return ev.throw("ValueError", f"{item!r} is not in list" if message.startswith("value") else message)


def lists_content(ev: Evaluator, items: PyList) -> Any:
    from scriptc.frontend.pylib import lists

    return lists.as_dynamic(ev, items)


@method("list", "count")
def list_count(ev: Evaluator, self: PyList, item: Any) -> Any:
    if isinstance(self.content, Dynamic):
        return ev.op("list_count", self.content, item)
    return occurrences(ev, self.content, item)


@method("tuple", "count")
def tuple_count(ev: Evaluator, self: tuple[Any, ...], item: Any) -> Any:
    return occurrences(ev, self, item)


def occurrences(ev: Evaluator, items: Any, item: Any) -> Any:
    from scriptc.frontend.evaluator.operators import binary, compare, truthy

    total: Any = 0
    for candidate in items:
        total = binary(ev, "Add", total, True if candidate is item else truthy(ev, compare(ev, "Eq", candidate, item)))
    return total


@method("list", "sort")
def list_sort(ev: Evaluator, self: PyList, *, key: Any = None, reverse: Any = False) -> None:
    self.write("content", sort_items(ev, self, key, reverse).content)


def sort_items(ev: Evaluator, items: PyList, key: Any, reverse: Any) -> PyList:
    """The items in order; keys are compared as the language compares them, or by an op where they are only known at run time."""
    import functools

    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.evaluator.operators import compare, truthy

    if isinstance(reverse, Dynamic):
        ev.error("E0211", what="sorting in a direction that is only known at run time")
    if isinstance(items.content, Dynamic):
        keys_of = items.content
        if key is not None:
            from scriptc.frontend.pylib import lists
            from scriptc.frontend.pylib.iteration import Counted

            source = lists.counted(ev, items)
            keyed = lists.make_list(ev, Counted(source.count, lambda i: call(ev, key, [source.item(i)], {})))
            keys_of = lists.as_dynamic(ev, keyed)
        order = ev.raw("list_order", [keys_of], {"reverse": bool(reverse)})
        return PyList(Dynamic(ev.raw("list_take", [items.content, order], {})))
    keys = items.content if key is None else [call(ev, key, [item], {}) for item in items.content]
    if any(dicts.at_run_time(k) for k in keys):
        return sorted_at_run_time(ev, items, PyList(list(keys)), bool(reverse))

    def order_of(a: int, b: int) -> int:
        less = truthy(ev, compare(ev, "Lt", keys[a], keys[b]))
        if isinstance(less, Dynamic):
            ev.error("E0211", what="sorting values that are only known at run time")
        return -1 if less else (1 if truthy(ev, compare(ev, "Lt", keys[b], keys[a])) else 0)
    indices = sorted(range(len(keys)), key=functools.cmp_to_key(order_of), reverse=bool(reverse))
    return PyList([items.content[i] for i in indices])


def sorted_at_run_time(ev: Evaluator, items: PyList, keys: PyList, reverse: bool) -> PyList:
    """Items of known number by keys that are not known: the length stays known."""
    from scriptc.frontend.evaluator.subscripts import get_item

    order = ev.raw("list_order", [lists_content(ev, keys)], {"reverse": reverse})
    return PyList([get_item(ev, items, Dynamic(ev.raw("list_get", [order, i], {}))) for i in range(len(items.content))])


# dict

@method("dict", "get")
def dict_get(ev: Evaluator, self: PyDict, key: Any, default: Any = None) -> Any:
    return dicts.get(ev, self, key, default)


@method("dict")
def keys(ev: Evaluator, self: PyDict) -> PyList:
    return dicts.keys(ev, self)


@method("dict")
def values(ev: Evaluator, self: PyDict) -> PyList:
    return dicts.values(ev, self)


@method("dict")
def items(ev: Evaluator, self: PyDict) -> Any:
    return dicts.items(ev, self)


@method("dict", "pop")
def dict_pop(ev: Evaluator, self: PyDict, key: Any, default: Any = MISSING_DEFAULT) -> Any:
    from scriptc.frontend.evaluator.operators import hashable

    if self.is_dynamic or dicts.at_run_time(key):
        return dicts.pop(ev, self, key, MISSING if default is MISSING_DEFAULT else default)
    key = hashable(ev, key)
    if key in self.content:
        return self.change().pop(key)
    return ev.throw("KeyError", repr(key)) if default is MISSING_DEFAULT else default


@method("dict")
def popitem(ev: Evaluator, self: PyDict, last: bool = True) -> Any:
    if not self.content:
        ev.throw("KeyError", "'popitem(): dictionary is empty'")
    content = self.change()
    key = list(content)[-1 if last else 0]
    return key, content.pop(key)


@method("dict")
def setdefault(ev: Evaluator, self: PyDict, key: Any, default: Any = None) -> Any:
    from scriptc.frontend.evaluator.joins import branch
    from scriptc.frontend.evaluator.subscripts import dict_item

    branch(ev, dicts.contains(ev, self, key), lambda: None, lambda: dicts.set_item(ev, self, key, default))
    return dict_item(ev, self, key)


@method("dict", "update")
def dict_update(ev: Evaluator, self: PyDict, *others: Any, **keywords: Any) -> None:
    for other in others:
        dicts.update(ev, self, other)
    for name, value in keywords.items():
        dicts.set_item(ev, self, name, value)


@method("dict", "clear")
def dict_clear(ev: Evaluator, self: PyDict) -> None:
    self.write("content", {})


@method("dict", "copy")
def dict_copy(ev: Evaluator, self: PyDict) -> PyDict:
    return dicts.copied(self)


@method("OrderedDict")
def move_to_end(ev: Evaluator, self: PyDict, key: Any, last: bool = True) -> None:
    content = self.change()
    value = content.pop(key)
    if last:
        content[key] = value
    else:
        rest = dict(content)
        content.clear()
        content[key] = value
        content.update(rest)


def _fromkeys(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> PyDict:

    value = arguments[2] if len(arguments) > 2 else None
    made = PyDict()
    dicts.walked(ev, arguments[1], lambda key: dicts.set_item(ev, made, key, value))
    return made


METHODS["dict"]["fromkeys"] = ClassMethod(Builtin("fromkeys", _fromkeys))


# set

@method("set")
def add(ev: Evaluator, self: PySet, item: Any) -> None:
    dicts.set_item(ev, self, item, dicts.MEMBER)


@method("set")
def discard(ev: Evaluator, self: PySet, item: Any) -> None:
    from scriptc.frontend.evaluator.joins import branch

    branch(ev, dicts.contains(ev, self, item), lambda: set_remove(ev, self, item), lambda: None)


@method("set", "remove")
def set_remove(ev: Evaluator, self: PySet, item: Any) -> None:
    from scriptc.frontend.evaluator.operators import hashable

    if self.is_dynamic or dicts.at_run_time(item):
        dicts.pop(ev, self, item)
        return
    if hashable(ev, item) not in self.content:
        ev.throw("KeyError", repr(item))
    del self.change()[item]


@method("set", "update")
def set_update(ev: Evaluator, self: PySet, *others: Any) -> None:
    for other in others:
        dicts.add_all(ev, self, other)


def _set_algebra(name: str, combine: Callable[[Evaluator, PySet, PySet], PySet]) -> None:
    def call(ev: Evaluator, self: PySet, *others: Any) -> Any:
        result = PySet(self.held, self.frozen)
        for other in others:
            result = combine(ev, result, dicts.as_set(ev, other))
        return result
    call.__name__ = name
    for kind in ("set", "frozenset"):
        method(kind, name)(call)


for _name, _combine in dicts.SET_ALGEBRA.items():
    _set_algebra(_name, _combine)


@method("set")
def issubset(ev: Evaluator, self: PySet, other: Any) -> bool:
    from scriptc.frontend.pylib.iteration import items_of

    return set(self.content) <= set(items_of(ev, other))


@method("set", "copy")
def set_copy(ev: Evaluator, self: PySet) -> PySet:
    return PySet(self.held, self.frozen)


# numbers and torch.Size

@method("Size")
def numel(ev: Evaluator, self: Any) -> Any:
    from scriptc.frontend.evaluator.operators import binary

    total: Any = 1
    for size in self:
        total = binary(ev, "Mult", total, size)
    return total


@method("float")
def is_integer(ev: Evaluator, self: Any) -> Any:
    if isinstance(self, Dynamic):
        return ev.op("scalar_eq", ev.op("scalar_math", self, function="floor"), self)
    return self.is_integer()


@method("int")
def bit_length(ev: Evaluator, self: int) -> int:
    return self.bit_length()


METHODS["float"]["hex"] = Builtin("hex", lambda ev, a, k: a[0].hex(), as_method=True)
METHODS["Counter"] = {
    "most_common": Builtin("most_common", lambda ev, a, k: PyList(
        sorted(a[0].content.items(), key=lambda e: -e[1])[: a[1] if len(a) > 1 else None]), as_method=True)}
