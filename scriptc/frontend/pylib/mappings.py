"""What `collections.abc.Mapping` and `MutableMapping` give a class that defines `__getitem__`, `__iter__` and the rest."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.subscripts import delete_item, get_item, set_item
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.values import Builtin, Class, Iterating, LanguageError, PyDict

_ABSENT = object()


def _found(ev: Evaluator, target: Any, key: Any) -> Any:
    """target[key], or _ABSENT where that raises KeyError."""
    try:
        return get_item(ev, target, key)
    except LanguageError as error:
        if error.value.cls.name != "KeyError":
            raise
        return _ABSENT


def _get(ev: Evaluator, target: Any, key: Any, default: Any = None) -> Any:
    value = _found(ev, target, key)
    return default if value is _ABSENT else value


def _pop(ev: Evaluator, target: Any, key: Any, *default: Any) -> Any:
    value = _found(ev, target, key)
    if value is _ABSENT:
        return default[0] if default else get_item(ev, target, key)
    delete_item(ev, target, key)
    return value


def _setdefault(ev: Evaluator, target: Any, key: Any, default: Any = None) -> Any:
    value = _found(ev, target, key)
    if value is _ABSENT:
        set_item(ev, target, key, default)
        return default
    return value


def _update(ev: Evaluator, target: Any, *others: Any, **more: Any) -> None:
    for other in others:
        pairs = other.content.items() if isinstance(other, PyDict) else [(k, get_item(ev, other, k)) for k in items_of(ev, other)]
        for key, value in pairs:
            set_item(ev, target, key, value)
    for key, value in more.items():
        set_item(ev, target, key, value)


_READING = {
    "get": _get,
    "__contains__": lambda ev, target, key: _found(ev, target, key) is not _ABSENT,
    "keys": lambda ev, target: Iterating(items_of(ev, target)),
    "values": lambda ev, target: Iterating([get_item(ev, target, k) for k in items_of(ev, target)]),
    "items": lambda ev, target: Iterating([(k, get_item(ev, target, k)) for k in items_of(ev, target)]),
}
_WRITING = {"pop": _pop, "setdefault": _setdefault, "update": _update}


def give_methods(names: dict[str, Any]) -> None:
    """Put the methods on the classes of `typing` and `collections.abc`."""
    for kind, methods in (("Mapping", _READING), ("MutableMapping", {**_READING, **_WRITING})):
        cls: Class = names[kind]
        for name, body in methods.items():
            cls.slots[name] = _method(name, body)


def _method(name: str, body: Any) -> Builtin:
    return Builtin(name, lambda ev, arguments, keywords: body(ev, *arguments, **keywords), as_method=True)
