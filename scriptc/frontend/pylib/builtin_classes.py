"""The builtin classes of the language (`int`, `list`, `Exception`, ...) and what calling them makes."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.frontend.pylib import exceptions
from scriptc.frontend.values import MISSING, Builtin, Class, Instance, PyDict, PyList, PySet

_CLASSES: dict[str, Class] = {}

Constructor = Callable[[Any, Class, list[Any], dict[str, Any]], Any]
CONSTRUCTORS: dict[str, Constructor] = {"exception": exceptions.construct}

# class -> base
_BASES = {
    "object": "", "type": "object", "int": "object", "bool": "int", "float": "object", "complex": "object",
    "str": "object", "bytes": "object", "list": "object", "tuple": "object", "dict": "object", "set": "object",
    "frozenset": "object", "range": "object", "slice": "object", "NoneType": "object", "function": "object",
    "builtin_function_or_method": "object", "method": "object", "module": "object", "ellipsis": "object",
    "property": "object", "iterator": "object", "partial": "object", "super": "object", "NotImplementedType": "object",
    "OrderedDict": "dict", "defaultdict": "dict", "Counter": "dict", "Size": "tuple", "dtype": "object",
    "device": "object", "namedtuple": "tuple", "Enum": "object",
}


def builtin_class(name: str) -> Class:
    """The builtin class called `name`; one object per name."""
    found = _CLASSES.get(name)
    if found is None:
        if not _CLASSES:
            _build()
            return builtin_class(name)
        raise KeyError(name)
    return found


def _build() -> None:
    from scriptc.frontend.pylib.methods import METHODS

    for name, base in _BASES.items():
        native = "enum" if name == "Enum" else "" if name == "object" else name
        _CLASSES[name] = Class(name, (_CLASSES[base],) if base else (), {}, native=native)
        _CLASSES[name].native = native
        _CLASSES[name].slots.update(METHODS.get(name, {}))
    for name, base in exceptions.HIERARCHY.items():
        _CLASSES[name] = Class(name, (_CLASSES[base],), {}, native="exception")
    base_exception = _CLASSES["BaseException"]
    base_exception.slots["__init__"] = Builtin("__init__", _exception_init, as_method=True)
    base_exception.slots["__str__"] = Builtin("__str__", lambda ev, a, k: exceptions.text_of(ev, a[0]), as_method=True)
    base_exception.slots["with_traceback"] = Builtin("with_traceback", lambda ev, a, k: a[0], as_method=True)
    _CLASSES["property"].slots["__init__"] = Builtin("__init__", _property_init, as_method=True)
    _CLASSES["object"].slots.update({n: object_method(n) for n in OBJECT_METHODS})


def _exception_init(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
    arguments[0].write("args", tuple(arguments[1:]))


def _property_init(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
    """For a subclass of property, which has a `__get__` of its own."""
    target, *functions = arguments
    for name, function in zip(("fget", "fset", "fdel"), [*functions, None, None, None], strict=False):
        target.write(name, keywords.get(name, function))


def _object_setattr(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
    from scriptc.frontend.evaluator.objects import set_instance_attribute

    target, name, value = arguments
    set_instance_attribute(ev, target, name, value)


def _object_getattribute(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    from scriptc.frontend.evaluator.objects import find_attribute, instance_attribute, missing_attribute

    target, name = arguments
    found = instance_attribute(ev, target, name) if isinstance(target, Instance) else find_attribute(ev, target, name)
    return found if found is not MISSING else missing_attribute(ev, target, name)


def _object_new(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    cls = arguments[0]
    return Instance(cls, native_of(ev, cls, arguments[1:], keywords))


def _object_repr(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> str:
    value = arguments[0]
    return f"<{value.cls.module}.{value.cls.name} object>" if isinstance(value, Instance) else repr(value)


def _object_init(ev: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
    """object.__init__; for a subclass of a container, fill it."""
    target = arguments[0]
    if isinstance(target, Instance) and isinstance(target.native, PyDict | PyList | PySet) and (len(arguments) > 1 or keywords):
        target.native = native_of(ev, target.cls, arguments[1:], keywords)


OBJECT_METHODS: dict[str, Callable[[Any, list[Any], dict[str, Any]], Any]] = {
    "__init__": _object_init,
    "__setattr__": _object_setattr,
    "__getattribute__": _object_getattribute,
    "__new__": _object_new,
    "__repr__": _object_repr,
    "__init_subclass__": lambda ev, a, k: None,
}
_OBJECT: dict[str, Builtin] = {}


def object_method(name: str) -> Any:
    """object's own method, or MISSING."""
    if name not in OBJECT_METHODS:
        return MISSING
    if name not in _OBJECT:
        _OBJECT[name] = Builtin(name, OBJECT_METHODS[name], as_method=name not in ("__new__", "__init_subclass__"))
    return _OBJECT[name]


def constructor(name: str) -> Callable[[Constructor], Constructor]:
    """Register what calling the builtin class makes."""
    def register(function: Constructor) -> Constructor:
        CONSTRUCTORS[name] = function
        return function
    return register


_CONTAINERS = ("list", "dict", "OrderedDict", "defaultdict", "Counter", "set", "frozenset", "tuple", "str", "int", "float")


def native_of(ev: Any, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """The builtin value inside a new instance of a user's subclass of a builtin; None for other classes."""
    if cls.native not in _CONTAINERS:
        return None
    user_init = cls.lookup("__init__")
    own = isinstance(user_init, Builtin)
    make = CONSTRUCTORS[cls.native]
    immutable = cls.native in ("tuple", "str", "int", "float", "frozenset")
    if immutable or own:
        return make(ev, builtin_class(cls.native), arguments[:1], keywords if own and not immutable else {})
    return make(ev, builtin_class(cls.native), [], {})


def is_builtin_name(name: str) -> bool:
    if not _CLASSES:
        _build()
    return name in _CLASSES and name not in ("NoneType", "function", "builtin_function_or_method", "method", "module", "ellipsis",
                                             "iterator", "partial", "OrderedDict", "defaultdict", "Counter", "Size",
                                             "dtype", "device", "namedtuple", "Enum", "NotImplementedType")
