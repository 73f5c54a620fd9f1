"""The standard library as models use it: `math`, `functools`, `collections`, `itertools`, `typing`, `dataclasses`, ..."""
from __future__ import annotations

import itertools
import math
from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import BINARY, COMPARE, binary, compare, is_number, some, type_name
from scriptc.frontend.pylib import dataclass, enums, inspection, mappings, paths
from scriptc.frontend.pylib.attributes import special_attribute
from scriptc.frontend.pylib.builtin_classes import CONSTRUCTORS, builtin_class
from scriptc.frontend.pylib.builtins import host_function
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.pylib.namedtuples import make_namedtuple
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    Builtin,
    Class,
    Dynamic,
    Function,
    Instance,
    Iterating,
    Partial,
    Property,
    PyDict,
    PyList,
    TypeForm,
)


def standard_modules(ev: Evaluator) -> dict[str, dict[str, Any]]:
    """Module name -> its names."""
    typing_names = typing_module()
    abstract = {n: typing_names[n] for n in ("Iterable", "Sequence", "Mapping", "Callable", "Iterator", "Generator", "Hashable",
                                             "MutableMapping", "Sized", "Container", "MutableSequence", "Set", "Collection")}
    nothing = function("nothing", lambda ev, *a, **k: None)
    logger = quiet_object("Logger", ("debug", "info", "warning", "warn", "error", "exception", "critical", "log", "setLevel",
                                     "addHandler", "warning_once", "info_once", "addFilter", "isEnabledFor", "warning_advice"))
    return {
        "math": math_module(),
        "functools": {"partial": builtin_class("partial"), "wraps": function("wraps", wraps),
                      "lru_cache": function("lru_cache", lru_cache), "cache": function("cache", identity),
                      "reduce": function("reduce", reduce), "cached_property": function("cached_property", cached_property),
                      "update_wrapper": function("update_wrapper", lambda ev, wrapper, wrapped, *a, **k: wrapper),
                      "partialmethod": Builtin("partialmethod", make_partial), "total_ordering": function("total_ordering", identity)},
        "collections": {"OrderedDict": builtin_class("OrderedDict"), "defaultdict": builtin_class("defaultdict"),
                        "Counter": builtin_class("Counter"), "namedtuple": Builtin("namedtuple", make_namedtuple), "UserDict": builtin_class("dict")},
        "collections.abc": abstract,
        "itertools": itertools_module(),
        "typing": typing_names,
        "typing_extensions": typing_names,
        "types": {"SimpleNamespace": dataclass.namespace_class(), "MethodType": function("MethodType", bind_method),
                  "FunctionType": builtin_class("function"), "ModuleType": builtin_class("module"),
                  "NoneType": builtin_class("NoneType"), "LambdaType": builtin_class("function"),
                  "MappingProxyType": builtin_class("dict")},
        "abc": {"ABC": Class("ABC", (builtin_class("object"),), {}, "abc"), "ABCMeta": builtin_class("type"),
                "abstractmethod": function("abstractmethod", abstract_method),
                "abstractproperty": function("abstractproperty", lambda ev, f: Property(f)),
                "abstractstaticmethod": function("abstractstaticmethod", identity)},
        "enum": {**enums.enum_classes(), "auto": function("auto", lambda ev: enums.Auto()), "unique": function("unique", identity)},
        "dataclasses": dataclass.module(),
        "copy": {"copy": function("copy", shallow_copy), "deepcopy": function("deepcopy", deep_copy)},
        "warnings": {"warn": nothing, "filterwarnings": nothing, "simplefilter": nothing, "catch_warnings": null_context_class()},
        "logging": {"getLogger": function("getLogger", lambda ev, *a: logger), "basicConfig": nothing, "Logger": logger.cls,
                    **{n: function(n, lambda ev, *a, **k: None) for n in ("debug", "info", "warning", "error")},
                    "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50},
        "contextlib": {"nullcontext": null_context_class(), "suppress": null_context_class(),
                       "contextmanager": function("contextmanager", context_manager),
                       "ExitStack": null_context_class()},
        "operator": operator_module(),
        "os": {"environ": PyDict({}), "getenv": function("getenv", lambda ev, name, default=None: default), "sep": "/", "name": "posix",
               "getcwd": function("getcwd", lambda ev: "."), "PathLike": Class("PathLike", (builtin_class("object"),), {}, "os")},
        "os.path": paths.os_path(),
        "sys": {"version_info": (3, 13, 0, "final", 0), "platform": "linux", "maxsize": 2**63 - 1, "modules": loaded_modules(),
                "path": PyList([]), "argv": PyList([""]), "byteorder": "little", "version": "3.13.0"},
        "re": re_module(),
        "time": {"time": function("time", lambda ev: 0.0), "perf_counter": function("perf_counter", lambda ev: 0.0)},
        "numbers": {"Number": typing_name("Number"), "Real": typing_name("Real"), "Integral": typing_name("Integral")},
        "inspect": inspection.module(),
        "__future__": dict.fromkeys(("annotations", "division", "print_function", "absolute_import", "unicode_literals")),
        "pathlib": {"Path": paths.path_class(), "PurePath": paths.path_class()},
        "string": {"ascii_lowercase": "abcdefghijklmnopqrstuvwxyz", "ascii_letters": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                   "digits": "0123456789"},
        "builtins": {},
        "_scriptc": {"given": function("given", some), "find_module": function("find_module", find_module),
                     "find_definition": function("find_definition", lambda ev, package, patterns, name:
                                                 ev.importer.find_definition(package, patterns, name))},
    }


def find_module(ev: Evaluator, name: str) -> Any:
    """The module called `name`; None if there is none."""
    return ev.importer.module(ev, name) if ev.importer.exists(ev, name) else None


def loaded_modules() -> Instance:
    """sys.modules: every module that can be had, as if it had been imported."""
    def lookup(ev: Evaluator, name: Any) -> Any:
        return ev.importer.module(ev, name) if isinstance(name, str) and ev.importer.exists(ev, name) else None

    def item(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        found = lookup(ev, arguments[1])
        return found if found is not None else ev.throw("KeyError", repr(arguments[1]))

    def get(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        found = lookup(ev, arguments[1])
        return found if found is not None else (arguments[2] if len(arguments) > 2 else keywords.get("default"))

    cls = Class("dict", (builtin_class("object"),), {}, "sys")
    cls.slots["__getitem__"] = Builtin("__getitem__", item, as_method=True)
    cls.slots["get"] = Builtin("get", get, as_method=True)
    cls.slots["__contains__"] = Builtin("__contains__", lambda ev, a, k: lookup(ev, a[1]) is not None, as_method=True)
    return Instance(cls)


def function(name: str, host: Any) -> Builtin:
    """A host function `(evaluator, ...)` under the name the language sees."""
    return host_function(name, host)


def identity(ev: Evaluator, value: Any) -> Any:
    return value


# math

_DOMAIN = ("sqrt exp log log2 log10 log1p expm1 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc gamma "
           "lgamma degrees radians fabs exp2 cbrt").split()
_TO_INT = ("floor", "ceil", "trunc")
_TO_BOOL = ("isnan", "isinf", "isfinite")
_BINARY = ("pow", "fmod", "copysign", "atan2", "hypot", "ldexp", "remainder", "gcd", "lcm", "comb", "perm", "dist")


def math_module() -> dict[str, Any]:
    """`math`: the host's functions on known numbers, an op on others."""
    names: dict[str, Any] = {n: getattr(math, n) for n in ("pi", "e", "inf", "nan", "tau")}
    for name in (*_DOMAIN, *_TO_INT, *_TO_BOOL, *_BINARY):
        names[name] = Builtin(name, _math_function(name))
    names["prod"] = function("prod", lambda ev, items, start=1: _product(ev, items, start))
    names["isclose"] = function("isclose", _isclose)
    for name in ("factorial", "isqrt"):
        names[name] = Builtin(name, _math_function(name))
    names["fsum"] = function("fsum", _exact_sum)
    names["modf"] = function("modf", lambda ev, x: _pair(ev, x, math.modf, "modf_fraction", "modf_whole"))
    names["frexp"] = function("frexp", lambda ev, x: _pair(ev, x, math.frexp, "frexp_mantissa", "frexp_exponent"))
    return names


def _isclose(ev: Evaluator, a: Any, b: Any, *, rel_tol: Any = 1e-9, abs_tol: Any = 0.0) -> Any:
    values = [some(ev, v) for v in (a, b, rel_tol, abs_tol)]
    if any(isinstance(v, Dynamic) for v in values):
        return ev.op("scalar_math", *values, function="isclose")
    return math.isclose(values[0], values[1], rel_tol=values[2], abs_tol=values[3])


def _exact_sum(ev: Evaluator, items: Any) -> float:
    values = items_of(ev, items)
    if any(isinstance(v, Dynamic) for v in values):
        ev.error("E0211", what="math.fsum of numbers that are only known at run time")
    return math.fsum(values)


def _pair(ev: Evaluator, x: Any, host: Any, *names: str) -> tuple[Any, ...]:
    """A function of math with two results."""
    x = some(ev, ev.op("item", x) if isinstance(x, TensorValue) else x)
    if not is_number(x):
        ev.throw("TypeError", f"must be real number, not {type_name(x)}")
    return tuple(ev.op("scalar_math", x, function=name) for name in names) if isinstance(x, Dynamic) else tuple(host(x))


def _math_function(name: str) -> Any:
    host = getattr(math, name)

    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        values = [some(ev, ev.op("item", a) if isinstance(a, TensorValue) else a) for a in arguments]
        if any(isinstance(v, Dynamic) for v in values):
            return ev.op("scalar_math", *values, function=name)
        values = [v.native if isinstance(v, Instance) else v for v in values]
        if not all(is_number(v) for v in values):
            ev.throw("TypeError", f"must be real number, not {type_name(values[0])}")
        if name == "factorial" and values[0] > 1000:
            ev.error("E0201", what="a factorial", limit=1000)
        try:
            return host(*values)
        except (ValueError, OverflowError, TypeError) as error:
            return ev.throw(type(error).__name__, str(error))
    return invoke


def _product(ev: Evaluator, items: Any, start: Any) -> Any:
    total = start
    for item in items_of(ev, items):
        total = binary(ev, "Mult", total, item)
    return total


# functools

def make_partial(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Partial:
    """functools.partial"""
    target = arguments[0]
    if isinstance(target, Partial):
        return Partial(target.function, (*target.arguments, *arguments[1:]), {**target.keywords, **keywords})
    return Partial(target, tuple(arguments[1:]), keywords)


CONSTRUCTORS["partial"] = lambda ev, cls, arguments, keywords: make_partial(ev, arguments, keywords)


def wraps(ev: Evaluator, wrapped: Any, *rest: Any, **keywords: Any) -> Builtin:
    """functools.wraps"""
    def decorate(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        wrapper = arguments[0]
        if isinstance(wrapper, Function):
            wrapper.attributes = {**(wrapper.attributes or {}), "__wrapped__": wrapped}
            if isinstance(wrapped, Function):
                wrapper.cls = wrapper.cls or wrapped.cls
                copied = {n: special_attribute(ev, wrapped, n) for n in ("__name__", "__qualname__", "__module__", "__doc__")}
                wrapper.attributes = {**(wrapped.attributes or {}), **wrapper.attributes, **copied}
        return wrapper
    return Builtin("wraps", decorate)


def lru_cache(ev: Evaluator, *arguments: Any, **keywords: Any) -> Any:
    """functools.lru_cache, with or without parentheses: staging calls again instead."""
    if arguments and not isinstance(arguments[0], int | type(None)):
        return arguments[0]
    return function("lru_cache", identity)


def reduce(ev: Evaluator, operation: Any, items: Any, *initial: Any) -> Any:
    """functools.reduce"""
    values = [*initial, *items_of(ev, items)]
    if not values:
        ev.throw("TypeError", "reduce() of empty iterable with no initial value")
    total = values[0]
    for value in values[1:]:
        total = call(ev, operation, [total, value], {})
    return total


def cached_property(ev: Evaluator, getter: Any) -> Property:
    """functools.cached_property"""
    return Property(getter, cached=True)


def bind_method(ev: Evaluator, method: Any, target: Any) -> Any:
    """types.MethodType"""
    from scriptc.frontend.values import BoundMethod

    return BoundMethod(method, target)


# itertools

def itertools_module() -> dict[str, Any]:
    """`itertools` over sequences of known length."""
    def lift(host: Any) -> Any:
        return lambda ev, *arguments, **keywords: Iterating(list(host(*(items_of(ev, a) for a in arguments), **keywords)))
    return {
        "chain": chain_class(), "product": function("product", lift(itertools.product)),
        "zip_longest": function("zip_longest", lift(itertools.zip_longest)),
        "combinations": function("combinations", lambda ev, items, r: Iterating(list(itertools.combinations(items_of(ev, items), r)))),
        "permutations": function("permutations", lambda ev, items, r=None: Iterating(list(itertools.permutations(items_of(ev, items), r)))),
        "repeat": function("repeat", repeat), "pairwise": function("pairwise", lift(itertools.pairwise)),
        "islice": function("islice", lambda ev, items, *bounds: Iterating(list(itertools.islice(items_of(ev, items), *bounds)))),
        "accumulate": function("accumulate", accumulate),
        "starmap": function("starmap", lambda ev, f, items: Iterating([call(ev, f, items_of(ev, i), {}) for i in items_of(ev, items)])),
    }


def chain_class() -> Class:
    cls = Class("chain", (builtin_class("object"),), {}, "itertools")
    cls.slots["__new__"] = function("chain", lambda ev, c, *sources: Iterating([v for s in sources for v in items_of(ev, s)]))
    cls.slots["from_iterable"] = function("from_iterable", lambda ev, sources: Iterating(
        [v for s in items_of(ev, sources) for v in items_of(ev, s)]))
    from scriptc.frontend.pylib.builtin_classes import CONSTRUCTORS

    cls.native = "chain"
    CONSTRUCTORS["chain"] = lambda ev, c, arguments, keywords: Iterating([v for s in arguments for v in items_of(ev, s)])
    cls.name = "chain"
    return cls


def repeat(ev: Evaluator, value: Any, times: Any = None) -> Iterating:
    """itertools.repeat; without a count, as many as a zip in a model could ever use."""
    return Iterating([value] * (4096 if times is None else times))


def accumulate(ev: Evaluator, items: Any, operation: Any = None) -> Iterating:
    """itertools.accumulate"""
    out: list[Any] = []
    for item in items_of(ev, items):
        if not out:
            out.append(item)
        else:
            out.append(binary(ev, "Add", out[-1], item) if operation is None else call(ev, operation, [out[-1], item], {}))
    return Iterating(out)


# typing

_TYPING = ("Any Optional Union List Dict Tuple Set FrozenSet Type Callable Iterable Iterator Sequence Mapping MutableMapping Generator "
           "Generic Protocol Literal ClassVar Final Annotated NoReturn Self TypeAlias Hashable Sized Container Collection Deque "
           "DefaultDict OrderedDict Counter Text AnyStr IO SupportsFloat SupportsInt Concatenate ParamSpec Unpack Required NotRequired "
           "LiteralString Never TypeGuard MutableSequence Number Real Integral Awaitable Coroutine TypeVarTuple Pattern AbstractSet").split()


def typing_name(name: str) -> Class:
    """One name of `typing`: good for annotations and for isinstance."""
    return Class(name, (builtin_class("object"),), {}, "typing")


def typing_module() -> dict[str, Any]:
    """`typing`: names that only annotations use, and the few functions."""
    names: dict[str, Any] = {name: typing_name(name) for name in _TYPING}
    names["Set"] = typing_name("Set")
    mappings.give_methods(names)
    names.update(OrderedDict=builtin_class("OrderedDict"), DefaultDict=builtin_class("defaultdict"), Counter=builtin_class("Counter"))
    names["NamedTuple"] = builtin_class("namedtuple")
    names["TypedDict"] = builtin_class("dict")
    names["TYPE_CHECKING"] = False
    names["TypeVar"] = function("TypeVar", lambda ev, name, *a, **k: TypeForm(name))
    names["ParamSpec"] = function("ParamSpec", lambda ev, name, *a, **k: TypeForm(name))
    names["NewType"] = function("NewType", lambda ev, name, kind: kind)
    names["cast"] = function("cast", lambda ev, kind, value: value)
    names["overload"] = function("overload", identity)
    names["final"] = function("final", identity)
    names["override"] = function("override", identity)
    names["no_type_check"] = function("no_type_check", identity)
    names["runtime_checkable"] = function("runtime_checkable", identity)
    names["dataclass_transform"] = function("dataclass_transform", lambda ev, **k: function("dataclass_transform", identity))
    names["get_origin"] = function("get_origin", lambda ev, t: t.origin if isinstance(t, TypeForm) else None)
    names["get_args"] = function("get_args", lambda ev, t: t.arguments if isinstance(t, TypeForm) else ())
    return names


def abstract_method(ev: Evaluator, method: Any) -> Any:
    """abc.abstractmethod"""
    if isinstance(method, Function):
        method.attributes = {**(method.attributes or {}), "__isabstractmethod__": True}
    return method


# copy

def shallow_copy(ev: Evaluator, value: Any) -> Any:
    """copy.copy"""
    if isinstance(value, PyList):
        return PyList(value.content if isinstance(value.content, Dynamic) else list(value.content))
    if isinstance(value, PyDict):
        return PyDict(dict(value.content), value.kind, value.factory)
    if isinstance(value, Instance):
        made = Instance(value.cls, value.native)
        made.slots.update(value.slots)
        return made
    return value


def deep_copy(ev: Evaluator, value: Any, memo: Any = None) -> Any:
    """copy.deepcopy: sharing inside the copied graph is kept; parameters are copied."""
    return copy_graph(ev, value, {})


def copy_graph(ev: Evaluator, value: Any, seen: dict[int, Any]) -> Any:
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, PyList) and not isinstance(value.content, Dynamic):
        made: Any = PyList([])
        seen[id(value)] = made
        made.slots["content"] = [copy_graph(ev, v, seen) for v in value.content]
    elif isinstance(value, PyDict):
        made = PyDict({}, value.kind, value.factory)
        seen[id(value)] = made
        made.slots["content"] = {k: copy_graph(ev, v, seen) for k, v in value.content.items()}
    elif isinstance(value, Instance) and value.cls.native != "enum":
        made = Instance(value.cls, value.native)
        seen[id(value)] = made
        made.native = copy_graph(ev, value.native, seen)
        made.slots.update({k: copy_graph(ev, v, seen) for k, v in value.slots.items()})
    elif isinstance(value, TensorValue):
        from scriptc.frontend.storage import read, tensor_of

        made = tensor_of(read(ev, value))
        made.is_parameter, made.cls = value.is_parameter, value.cls
        made.slots.update({k: v for k, v in value.slots.items() if isinstance(k, tuple)})
        seen[id(value)] = made
    elif isinstance(value, tuple) and type(value) is tuple:
        made = tuple(copy_graph(ev, v, seen) for v in value)
    elif isinstance(value, Partial):
        made = Partial(copy_graph(ev, value.function, seen), tuple(copy_graph(ev, v, seen) for v in value.arguments),
                       {k: copy_graph(ev, v, seen) for k, v in value.keywords.items()})
    else:
        return value
    seen[id(value)] = made
    return made


# Objects that do nothing: loggers, contexts.

def quiet_object(name: str, methods: tuple[str, ...]) -> Instance:
    """An object whose methods do nothing."""
    cls = Class(name, (builtin_class("object"),), {}, "logging")
    for method in methods:
        cls.slots[method] = Builtin(method, lambda ev, a, k: None, as_method=True)
    return Instance(cls)


def null_context_class() -> Class:
    """A context manager that does nothing (contextlib.nullcontext)."""
    cls = Class("nullcontext", (builtin_class("object"),), {}, "contextlib")
    cls.slots["__init__"] = Builtin("__init__", _null_init, as_method=True)
    cls.slots["__enter__"] = Builtin("__enter__", lambda ev, a, k: a[0].slots.get("result"), as_method=True)
    cls.slots["__exit__"] = Builtin("__exit__", lambda ev, a, k: None, as_method=True)
    return cls


def _null_init(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
    arguments[0].slots["result"] = arguments[1] if len(arguments) > 1 else None


def context_manager(ev: Evaluator, generator: Any) -> Any:
    """contextlib.contextmanager: what is yielded is given, what follows the yield has already run."""
    def make(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
        produced = call(ev, generator, arguments, keywords)
        made = Instance(null_context_class())
        made.slots["result"] = produced.next() if isinstance(produced, Iterating) else None
        return made
    return Builtin("contextmanager", make)


# operator, re, pathlib

def operator_module() -> dict[str, Any]:
    """`operator`"""
    names: dict[str, Any] = {}
    for kind, entry in BINARY.items():
        names[entry[0].__name__.rstrip("_")] = function(kind, _operator(kind))
    names["and_"], names["or_"] = names["and"], names["or"]
    for kind, entry in COMPARE.items():  # type: ignore[assignment]
        names[entry[0].__name__] = function(kind, _comparison(kind))
    names["itemgetter"] = function("itemgetter", item_getter)
    names["attrgetter"] = function("attrgetter", attribute_getter)
    return names


def _operator(kind: str) -> Any:
    return lambda ev, a, b: binary(ev, kind, a, b)


def _comparison(kind: str) -> Any:
    return lambda ev, a, b: compare(ev, kind, a, b)


def item_getter(ev: Evaluator, *indices: Any) -> Builtin:
    """operator.itemgetter"""
    from scriptc.frontend.evaluator.subscripts import get_item

    def get(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        found = tuple(get_item(ev, arguments[0], i) for i in indices)
        return found[0] if len(found) == 1 else found
    return Builtin("itemgetter", get)


def attribute_getter(ev: Evaluator, name: str) -> Builtin:
    """operator.attrgetter"""
    from scriptc.frontend.evaluator.objects import get_attribute

    return Builtin("attrgetter", lambda ev, a, k: get_attribute(ev, a[0], name))


def re_module() -> dict[str, Any]:
    """`re` on known strings; patterns and texts are the model's own source, and short."""
    import re

    def wrapped(host: Any) -> Any:
        def invoke(ev: Evaluator, pattern: Any, *arguments: Any, **keywords: Any) -> Any:
            if any(isinstance(a, str) and len(a) > 10_000 for a in (pattern, *arguments)):
                ev.error("E0201", what="characters for a regular expression", limit=10_000)
            try:
                return wrap_match(host(pattern, *arguments, **keywords))
            except re.error as error:
                return ev.throw("ValueError", str(error))
        return invoke
    names: dict[str, Any] = {n: function(n, wrapped(getattr(re, n)))
                             for n in ("match", "search", "fullmatch", "split", "findall", "sub")}
    names["compile"] = function("compile", lambda ev, pattern, flags=0: compiled(pattern, names))
    names["escape"] = function("escape", lambda ev, text: re.escape(text))
    names.update({n: int(getattr(re, n)) for n in ("IGNORECASE", "I", "MULTILINE", "M", "DOTALL", "S", "VERBOSE")})
    return names


def compiled(pattern: str, names: dict[str, Any]) -> Instance:
    """re.compile: an object whose methods are the module's functions on this pattern."""
    cls = Class("Pattern", (builtin_class("object"),), {}, "re")
    for name in ("match", "search", "fullmatch", "split", "findall", "sub"):
        cls.slots[name] = Builtin(name, _pattern_method(names[name], pattern), as_method=True)
    made = Instance(cls)
    made.slots["pattern"] = pattern
    return made


def _pattern_method(target: Builtin, pattern: str) -> Any:
    return lambda ev, arguments, keywords: target.call(ev, [pattern, *arguments[1:]], keywords)


def wrap_match(found: Any) -> Any:
    """A match as an object of the language."""
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, list):
        return PyList(found)
    cls = Class("Match", (builtin_class("object"),), {}, "re")
    cls.slots["group"] = Builtin("group", lambda ev, a, k: found.group(*a[1:]), as_method=True)
    cls.slots["groups"] = Builtin("groups", lambda ev, a, k: found.groups(*a[1:]), as_method=True)
    cls.slots["groupdict"] = Builtin("groupdict", lambda ev, a, k: PyDict(found.groupdict()), as_method=True)
    cls.slots["start"] = Builtin("start", lambda ev, a, k: found.start(*a[1:]), as_method=True)
    cls.slots["end"] = Builtin("end", lambda ev, a, k: found.end(*a[1:]), as_method=True)
    cls.slots["span"] = Builtin("span", lambda ev, a, k: found.span(*a[1:]), as_method=True)
    cls.slots["__getitem__"] = Builtin("__getitem__", lambda ev, a, k: found[a[1]], as_method=True)
    return Instance(cls)
