"""Python's builtin functions on static and dynamic values."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend.evaluator.calls import call, is_callable
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.joins import both, branch, either
from scriptc.frontend.evaluator.narrowing import is_none, negation
from scriptc.frontend.evaluator.objects import (
    class_of,
    delete_attribute,
    find_attribute,
    get_attribute,
    set_attribute,
)
from scriptc.frontend.evaluator.operators import (
    binary,
    compare,
    is_number,
    native,
    some,
    special,
    truthy,
    type_name,
    unary,
    used,
)
from scriptc.frontend.pylib import dicts, lists, strings
from scriptc.frontend.pylib.iteration import Counted, DynamicRange, Zipped, items_of, iterate
from scriptc.frontend.pylib.methods import sort_items
from scriptc.frontend.pylib.types import class_method, static_method
from scriptc.frontend.storage import TensorValue, shape_of
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Class,
    Dynamic,
    Instance,
    Iterating,
    LanguageError,
    PyDict,
    PyList,
    PySet,
    TypeForm,
    Unavailable,
)
from scriptc.ir.types import BOOL, STR, IntType, ListType, OptionalType

BUILTINS: dict[str, Any] = {"NotImplemented": NotImplemented, "Ellipsis": Ellipsis, "__debug__": True}


def builtin(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(evaluator, *arguments, **keywords)` as a builtin function."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            BUILTINS[name] = host_function(name, function)
        return function
    return register


def host_function(name: str, function: Callable[..., Any]) -> Builtin:
    """A host function as a value of the language; wrong arguments are its TypeError."""
    import inspect

    signature = inspect.signature(function)

    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        try:
            signature.bind(ev, *arguments, **keywords)
        except TypeError as error:
            return ev.throw("TypeError", f"{name}() {error}")
        try:
            return function(ev, *arguments, **keywords)
        except (AttributeError, TypeError, KeyError, IndexError) as error:
            from scriptc.frontend.torchlib.bindings.register import unfit

            return unfit(ev, name, arguments, keywords, error)
    return Builtin(name, invoke)


BUILTINS["staticmethod"] = Builtin("staticmethod", static_method)
BUILTINS["classmethod"] = Builtin("classmethod", class_method)
BUILTINS["super"] = Builtin("super", lambda ev, a, k: call(ev, ev.importer.builtin_class("super"), a, k))


@builtin("len")
def length(ev: Evaluator, value: Any) -> Any:
    value = some(ev, used(ev, value))
    result = special(ev, value, "len")
    if result is not MISSING:
        return result
    value = native(value)
    if isinstance(value, PyList):
        return lists.length(ev, value)
    if isinstance(value, PyDict | PySet):
        return dicts.length(ev, value)
    if isinstance(value, tuple | str | range | bytes | list):
        return len(value)
    if isinstance(value, TensorValue):
        shape = shape_of(ev, value)
        if shape == ():
            ev.throw("TypeError", "len() of a 0-d tensor")
        return ev.size(shape[0] if shape else None, value, 0)
    if isinstance(value, Dynamic) and isinstance(value.type, ListType):
        return ev.op("list_length", value)
    if isinstance(value, Dynamic) and value.type == STR:
        return strings.length(ev, value)
    if isinstance(value, DynamicRange):
        return value.counted(ev).length(ev)
    if isinstance(value, Class) and value.native == "enum":
        return len(items_of(ev, value))
    return ev.throw("TypeError", f"object of type '{type_name(value)}' has no len()")


@builtin("enumerate")
def enumerate_(ev: Evaluator, iterable: Any, start: Any = 0) -> Any:
    source = iterate(ev, iterable)
    if isinstance(source, Counted):
        return Zipped([source], start)
    if isinstance(start, Dynamic):
        return Iterating([(binary(ev, "Add", start, i), item) for i, item in enumerate(source)])
    return Iterating(list(enumerate(source, start)))


@builtin("zip")
def zip_(ev: Evaluator, *iterables: Any, strict: bool = False) -> Any:
    sources = [iterate(ev, i) for i in iterables]
    if any(isinstance(s, Counted) for s in sources):
        return Zipped(sources)
    return Iterating(list(zip(*sources, strict=False)))


@builtin("map")
def map_(ev: Evaluator, function: Any, *iterables: Any) -> Any:
    sources = [iterate(ev, i) for i in iterables]
    if any(isinstance(s, Counted) and not isinstance(s.count, int) for s in sources):
        source = Zipped(sources).counted(ev)
        return lists.make_list(ev, Counted(source.count, lambda i: call(ev, function, list(source.item(i)), {})))
    iterables = tuple(sources)
    return Iterating([call(ev, function, list(items), {}) for items in zip(*(items_of(ev, i) for i in iterables), strict=False)])


@builtin("filter")
def filter_(ev: Evaluator, function: Any, iterable: Any) -> Any:
    source = iterate(ev, iterable)
    if isinstance(source, Counted) and not isinstance(source.count, int):
        ev.error("E0211", what="filter() of a sequence whose length is only known at run time",
                 hint="write the loop: for item in items: if condition: kept.append(item)")
    iterable = source
    kept = PyList([])
    for item in items_of(ev, iterable):
        truth = truthy(ev, item if function is None else call(ev, function, [item], {}))
        branch(ev, truth, lambda item=item: lists.append(ev, kept, item), lambda: None)  # type: ignore[misc]
    return kept if lists.is_dynamic(kept) else Iterating(kept.content)


@builtin("reversed")
def reversed_(ev: Evaluator, value: Any) -> Any:
    custom = special(ev, value, "reversed")
    if custom is not MISSING:
        return custom
    if isinstance(value, range):
        return value[::-1]
    if isinstance(value, DynamicRange):
        source = value.counted(ev)
        return Counted(source.count, lambda i: source.item(binary(ev, "Sub", binary(ev, "Sub", source.count, 1), i)))
    source_ = iterate(ev, value)
    if isinstance(source_, Counted):
        return Counted(source_.count, lambda i: source_.item(binary(ev, "Sub", binary(ev, "Sub", source_.count, 1), i)))
    return Iterating(list(source_)[::-1])


@builtin("sorted")
def sorted_(ev: Evaluator, iterable: Any, *, key: Any = None, reverse: Any = False) -> PyList:
    return sort_items(ev, lists.make_list(ev, iterable), key, reverse)


@builtin("sum")
def sum_(ev: Evaluator, iterable: Any, start: Any = 0) -> Any:
    source = iterate(ev, iterable)
    if isinstance(source, Counted):
        return counted_sum(ev, source, start)
    total = start
    for item in source:
        total = binary(ev, "Add", total, item)
    return total


def counted_sum(ev: Evaluator, source: Counted, start: Any) -> Any:
    """sum() over a sequence of unknown length: a loop of the program."""
    from scriptc.frontend.evaluator.control import Rest
    from scriptc.frontend.evaluator.loops import dynamic_loop
    from scriptc.frontend.values import Frame

    frame = Frame(ev.stack[-1].source, None, None, "function")
    frame.slots["total"] = start

    def body(index: Dynamic) -> bool:
        frame.write("total", binary(ev, "Add", frame.slots["total"], source.item(index)))
        return True
    dynamic_loop(ev, source.count, True, body, lambda: True, frame, Rest(ev, None, None, "return"))
    return frame.slots["total"]


def _extreme(ev: Evaluator, name: str, arguments: tuple[Any, ...], key: Any, default: Any) -> Any:
    source = iterate(ev, arguments[0]) if len(arguments) == 1 else list(arguments)
    if isinstance(source, Counted) and not isinstance(source.count, int):
        return _extreme_of_list(ev, name, lists.make_list(ev, source), key, default)
    items = items_of(ev, source) if isinstance(source, Counted) else list(source)
    if not items:
        if default is MISSING:
            ev.throw("ValueError", f"{name}() arg is an empty sequence")
        return default
    kind = "Lt" if name == "min" else "Gt"
    best = items[0]
    for item in items[1:]:
        a, b = (item, best) if key is None else (call(ev, key, [item], {}), call(ev, key, [best], {}))
        if isinstance(a, Dynamic) or isinstance(b, Dynamic):
            if key is None and is_number(some(ev, a)) and is_number(some(ev, b)) and same_kind(a, b):
                best = ev.op(f"scalar_{name}", b, a)
                continue
        better = truthy(ev, compare(ev, kind, a, b))
        best = branch(ev, better, _constant(item), _constant(best))
    return best


def _extreme_of_list(ev: Evaluator, name: str, items: PyList, key: Any, default: Any) -> Any:
    """min() or max() of a list whose length is only known at run time: the first of its order."""
    from scriptc.frontend.evaluator.subscripts import get_item

    ordered = sort_items(ev, items, key, name == "max")
    if default is not MISSING:
        return branch(ev, truthy(ev, items), lambda: get_item(ev, ordered, 0), lambda: default)
    filled = truthy(ev, items)
    if isinstance(filled, Dynamic):
        ev.builder.location = ev.location()
        ev.builder.emit("check", [filled.value], {"exception": "ValueError", "message": f"{name}() arg is an empty sequence"})
    return get_item(ev, ordered, 0)


def same_kind(a: Any, b: Any) -> bool:
    def kind(value: Any) -> str:
        if isinstance(value, Dynamic):
            return "int" if isinstance(value.type, IntType) else str(value.type)
        return type(value).__name__
    return kind(a) == kind(b)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


@builtin("min")
def min_(ev: Evaluator, *arguments: Any, key: Any = None, default: Any = MISSING) -> Any:
    return _extreme(ev, "min", arguments, key, default)


@builtin("max")
def max_(ev: Evaluator, *arguments: Any, key: Any = None, default: Any = MISSING) -> Any:
    return _extreme(ev, "max", arguments, key, default)


@builtin("abs")
def abs_(ev: Evaluator, value: Any) -> Any:
    value = some(ev, used(ev, value))
    if isinstance(value, TensorValue):
        return ev.op("abs", value)
    result = special(ev, value, "abs")
    if result is not MISSING:
        return result
    return ev.op("scalar_abs", value) if isinstance(value, Dynamic) else abs(native(value))


@builtin("round")
def round_(ev: Evaluator, value: Any, ndigits: Any = None) -> Any:
    value = some(ev, value)
    if isinstance(value, TensorValue):
        return ev.op("round", value, decimals=ndigits or 0)
    if isinstance(value, Dynamic):
        return ev.op("scalar_round", value, digits=ndigits)
    return round(value, ndigits) if ndigits is not None else round(value)


@builtin("divmod")
def divmod_(ev: Evaluator, a: Any, b: Any) -> tuple[Any, Any]:
    return binary(ev, "FloorDiv", a, b), binary(ev, "Mod", a, b)


@builtin("pow")
def pow_(ev: Evaluator, base: Any, exponent: Any, mod: Any = None) -> Any:
    if mod is None:
        return binary(ev, "Pow", base, exponent)
    values = [native(some(ev, used(ev, v))) for v in (base, exponent, mod)]
    if not all(is_integer(v) for v in values):
        ev.throw("TypeError", "pow() 3rd argument not allowed unless all arguments are integers")
    if any(isinstance(v, Dynamic) for v in values):
        return ev.op("scalar_math", *values, function="powmod")
    try:
        return pow(*values)
    except ValueError as error:
        return ev.throw("ValueError", str(error))


def is_integer(value: Any) -> bool:
    return isinstance(value.type, IntType) or value.type == BOOL if isinstance(value, Dynamic) else isinstance(value, int)


@builtin("all")
def all_(ev: Evaluator, iterable: Any) -> Any:
    source = iterate(ev, iterable)
    if isinstance(source, Counted):
        return unary(ev, "Not", ev.op("list_contains", truths(ev, source), False))
    result: Any = True
    for item in source:
        result = both(ev, result, truthy(ev, item))
        if result is False:
            return False
    return result


@builtin("any")
def any_(ev: Evaluator, iterable: Any) -> Any:
    source = iterate(ev, iterable)
    if isinstance(source, Counted):
        return ev.op("list_contains", truths(ev, source), True)
    result: Any = False
    for item in source:
        result = either(ev, result, truthy(ev, item))
        if result is True:
            return True
    return result


def truths(ev: Evaluator, source: Counted) -> Any:
    """The truth of each element of a sequence of unknown length, as a list of the program."""
    return lists.as_dynamic(ev, lists.make_list(ev, Counted(source.count, lambda i: truthy(ev, source.item(i)))))


@builtin("isinstance")
def isinstance_(ev: Evaluator, value: Any, kinds: Any) -> Any:
    value = used(ev, value)
    if isinstance(value, Dynamic) and isinstance(value.type, OptionalType):
        from scriptc.frontend.evaluator.joins import lower
        from scriptc.ir.graph import Value

        inner = isinstance_(ev, lower(ev, Value(value.type.element)), kinds)
        none = isinstance_(ev, None, kinds)
        if inner == none:
            return inner
        missing = is_none(ev, value)
        if isinstance(missing, bool):
            return missing == none
        return missing if none else negation(ev, missing)
    return any(matches(ev, value, k) for k in class_list(ev, kinds))


def class_list(ev: Evaluator, kinds: Any) -> list[Any]:
    if isinstance(kinds, tuple):
        return [k for part in kinds for k in class_list(ev, part)]
    if isinstance(kinds, TypeForm):
        origin = kinds.origin
        if origin == "Union" or getattr(origin, "name", "") in ("Union", "Optional"):
            return [k for part in kinds.arguments for k in class_list(ev, part)]
        return class_list(ev, origin)
    return [kinds]


_ABSTRACT = {
    "Iterable": ("list", "tuple", "dict", "set", "str", "range", "iterator", "Tensor"),
    "Sequence": ("list", "tuple", "str", "range"), "Mapping": ("dict",), "MutableMapping": ("dict",),
    "Number": ("int", "float", "complex"), "Real": ("int", "float"), "Integral": ("int",), "Hashable": ("str", "int", "tuple"),
    "Container": ("list", "tuple", "dict", "set", "str"), "Sized": ("list", "tuple", "dict", "set", "str"),
    "Iterator": ("iterator",), "Generator": ("iterator",), "MutableSequence": ("list",), "Set": ("set", "frozenset"),
    "List": ("list",), "Tuple": ("tuple",), "Dict": ("dict",), "Type": ("type",),
}


def matches(ev: Evaluator, value: Any, kind: Any) -> bool:
    """isinstance(value, kind) for one class."""
    if kind is None:
        return value is None
    if isinstance(kind, Unavailable):
        return False
    name = kind.name if isinstance(kind, Class | Builtin) else ""
    if name == "Callable":
        return is_callable(ev, value)
    if isinstance(value, TensorValue) and name in TENSOR_TYPES:
        from scriptc.frontend.storage import dtype

        return dtype(value).name == TENSOR_TYPES[name]
    cls = class_of(ev, value)
    if name in _ABSTRACT and getattr(kind, "module", "typing") in ("typing", "collections.abc", "numbers", ""):
        if isinstance(value, Instance) and name in ("Iterable", "Container", "Sized"):
            return cls.lookup({"Iterable": "__iter__", "Container": "__contains__", "Sized": "__len__"}[name]) is not MISSING
        return any(c.name in _ABSTRACT[name] for c in cls.mro)
    if not isinstance(kind, Class):
        ev.throw("TypeError", "isinstance() arg 2 must be a type, a tuple of types, or a union")
    return cls.is_subclass(kind)


TENSOR_TYPES = {"FloatTensor": "float32", "LongTensor": "int64", "DoubleTensor": "float64", "HalfTensor": "float16",
                "IntTensor": "int32", "BoolTensor": "bool", "ByteTensor": "uint8"}


@builtin("issubclass")
def issubclass_(ev: Evaluator, cls: Any, kinds: Any) -> bool:
    return any(isinstance(k, Class) and cls.is_subclass(k) for k in class_list(ev, kinds))


@builtin("hasattr")
def hasattr_(ev: Evaluator, value: Any, name: str) -> bool:
    return sought(ev, value, name) is not MISSING


@builtin("getattr")
def getattr_(ev: Evaluator, value: Any, name: Any, default: Any = MISSING) -> Any:
    if not isinstance(name, str):
        ev.error("E0211", what="getattr() with a name that is only known at run time")
    if default is MISSING:
        return get_attribute(ev, value, name)
    found = sought(ev, value, name)
    return default if found is MISSING else found


def sought(ev: Evaluator, value: Any, name: str) -> Any:
    """value.name, or MISSING also where the user's own lookup raises AttributeError."""
    if ev.recovery is not None:
        ev.recovery.speculating += 1
    try:
        return find_attribute(ev, value, name)
    except LanguageError as error:
        if error.value.cls.name != "AttributeError":
            raise
        return MISSING
    finally:
        if ev.recovery is not None:
            ev.recovery.speculating -= 1


@builtin("setattr")
def setattr_(ev: Evaluator, target: Any, name: str, value: Any) -> None:
    set_attribute(ev, target, name, value)


@builtin("delattr")
def delattr_(ev: Evaluator, target: Any, name: str) -> None:
    delete_attribute(ev, target, name)


@builtin("callable")
def callable_(ev: Evaluator, value: Any) -> bool:
    return is_callable(ev, value)


@builtin("vars")
def vars_(ev: Evaluator, value: Any) -> PyDict:
    return PyDict({k: v for k, v in value.slots.items() if isinstance(k, str)})


def _names_in_scope(name: str) -> None:
    @builtin(name)
    def outside(ev: Evaluator, *arguments: Any) -> Any:
        """A call of `locals()` sees its frame; the function passed about does not."""
        return ev.error("E0202", construct=f"{name}() other than as a call without arguments")


_names_in_scope("locals")
_names_in_scope("globals")


@builtin("dir")
def dir_(ev: Evaluator, value: Any) -> PyList:
    names = set(value.slots) if hasattr(value, "slots") else set()
    for cls in class_of(ev, value).mro:
        names |= {k for k in cls.slots if isinstance(k, str)}
    return PyList(sorted(n for n in names if isinstance(n, str) and not n.startswith("%")))


@builtin("iter")
def iter_(ev: Evaluator, value: Any) -> Any:
    if isinstance(value, Iterating):
        return value
    if isinstance(value, Instance) and value.cls.lookup("__iter__") is not MISSING:
        return call(ev, value.cls.lookup("__iter__"), [value], {})
    return Iterating(items_of(ev, value))


@builtin("next")
def next_(ev: Evaluator, iterator: Any, default: Any = MISSING) -> Any:
    if isinstance(iterator, Instance):
        return call(ev, iterator.cls.lookup("__next__"), [iterator], {})
    if not isinstance(iterator, Iterating):
        ev.throw("TypeError", f"'{type_name(iterator)}' object is not an iterator")
    item = iterator.next()
    if item is MISSING:
        if default is not MISSING:
            return default
        from scriptc.frontend.pylib.exceptions import make_exception

        raise LanguageError(make_exception(ev, "StopIteration"), ev.span())
    return item


@builtin("print")
def print_(ev: Evaluator, *values: Any, sep: Any = " ", end: Any = "\n", file: Any = None, flush: Any = False) -> None:
    from scriptc.frontend.pylib.formatting import str_of

    if not ev.recording:
        return   # construction is not the program: what it prints is not part of any call
    parts = [str_of(ev, v) for v in values]
    text = (" " if sep is None else sep).join("{}" for _ in parts).replace("\n", "\n") + ("\n" if end is None else end)
    ev.builder.location = ev.location()
    ev.builder.emit("print", [p.value if isinstance(p, Dynamic) else p for p in parts], {"pattern": text})


@builtin("repr")
def repr_(ev: Evaluator, value: Any) -> Any:
    from scriptc.frontend.pylib.formatting import repr_of

    return repr_of(ev, value)


@builtin("format")
def format_(ev: Evaluator, value: Any, specification: str = "") -> Any:
    from scriptc.frontend.pylib.formatting import _Pieces, put_formatted

    out = _Pieces()
    put_formatted(ev, out, value, "", specification)
    return out.result(ev)


@builtin("id")
def id_(ev: Evaluator, value: Any) -> int:
    # A number that does not depend on the host's memory: compiling twice must give the same bytes.
    born: int = getattr(value, "born", 0)
    return born or abs(hash(repr(value)))


@builtin("hash")
def hash_(ev: Evaluator, value: Any) -> int:
    custom = special(ev, value, "hash")
    if custom is not MISSING:
        return int(custom)
    return hash(value) if isinstance(value, int | float | tuple) else id_(ev, value)


def _text_function(name: str, host: Callable[[Any], Any]) -> None:
    def call(ev: Evaluator, value: Any) -> Any:
        value = native(some(ev, used(ev, value)))
        if isinstance(value, Dynamic):
            return strings.text(ev, name, value)
        try:
            return host(value)
        except (TypeError, ValueError, OverflowError) as error:
            return ev.throw(type(error).__name__, str(error))
    BUILTINS[name] = host_function(name, call)


for _name, _host in {"ord": ord, "chr": chr, "hex": hex, "oct": oct, "bin": bin}.items():
    _text_function(_name, _host)  # type: ignore[arg-type]


def _refused(name: str) -> None:
    def refuse(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        return ev.error("E0202", construct=f"{name}()")
    BUILTINS[name] = Builtin(name, refuse)


for _name in ("eval", "exec", "compile", "__import__", "input", "breakpoint", "memoryview", "bytearray"):
    _refused(_name)


@builtin("open")
def open_(ev: Evaluator, *arguments: Any, **keywords: Any) -> Any:
    return ev.throw("FileNotFoundError", "files are not read while a model is compiled")


