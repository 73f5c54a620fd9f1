"""Classes of named fields: what `dataclasses` offers that we use, at a tenth of its price when a module is imported.

    class Window(Record):
        size: int
        dilation: int = 1
        names: list[str] = field(default_factory=list)

`dataclasses` writes and compiles up to six methods for each class, about 0.4 ms of an import, and a process that runs a model imports a
hundred such classes of which it makes a third. Here the class shares its methods with all others, and `__init__` is written when the first
object is made. Annotations must be text (`from __future__ import annotations`).
"""
from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class _Factory:
    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A field whose default is made anew for each object."""
    return _Factory(default_factory)


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} cannot be changed: {name!r}")


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._key(self) == self._key(other)


def _hash(self: Any) -> int:
    return hash(self._key(self))


def _nothing(record: object) -> tuple[()]:
    return ()


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class _RecordType(type):
    """Makes the class. The words mean what they mean to `dataclass`. What its base says of `frozen` holds for a class that does not say it;
    what is frozen has slots, anything else has none, unless it says otherwise.
    """

    __fields__: tuple[str, ...]
    __defaults__: dict[str, Any]
    __frozen__: bool

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, frozen: bool | None = None, eq: bool = True,
                slots: bool | None = None, weakref_slot: bool = False) -> Any:
        if not any(isinstance(b, _RecordType) for b in bases):      # Record itself
            return super().__new__(mcs, name, bases, {**namespace, "__slots__": (), "__fields__": (), "__defaults__": {}, "__frozen__": True})
        before = next(b for b in bases if isinstance(b, _RecordType))
        frozen = before.__frozen__ if frozen is None else frozen
        own = tuple(n for n, text in namespace.get("__annotations__", {}).items() if not text.startswith("ClassVar"))
        fields = (*(n for n in before.__fields__ if n not in own), *own)
        defaults = {**before.__defaults__, **{n: namespace.pop(n) for n in own if n in namespace}}
        if frozen if slots is None else slots:
            namespace["__slots__"] = (*(n for n in own if n not in before.__fields__), *(("__weakref__",) if weakref_slot else ()))
        namespace.update(__fields__=fields, __defaults__=defaults, __frozen__=frozen, __match_args__=fields,
                         _key=attrgetter(*fields) if fields else staticmethod(_nothing))
        made: list[Any] = []
        if fields:
            namespace.setdefault("__init__", _late(made))
        if frozen:
            namespace.setdefault("__setattr__", _refuse)
            namespace.setdefault("__delattr__", _refuse)
        if eq:
            namespace.setdefault("__eq__", _equal)
            namespace.setdefault("__hash__", _hash if frozen else None)
        made.append(super().__new__(mcs, name, bases, namespace))
        return made[0]


def _late(made: list[Any]) -> Callable[..., None]:
    """The `__init__` of the class in `made` while no object has been made of it: it writes the real one, and goes on with that."""
    def __init__(self: Any, /, *values: Any, **named: Any) -> None:
        initialize = _initializer(made[0])
        type.__setattr__(made[0], "__init__", initialize)
        initialize(self, *values, **named)
    return __init__


def _initializer(owner: Any) -> Callable[..., None]:
    scope: dict[str, Any] = {"_Factory": _Factory}
    parameters, lines = [], []
    for name in owner.__fields__:
        value = name
        if name in owner.__defaults__:
            default = owner.__defaults__[name]
            scope[f"_{name}"] = default
            parameters.append(f"{name}=_{name}")
            if isinstance(default, _Factory):
                value = f"_{name}.make() if {name} is _{name} else {name}"
        else:
            parameters.append(name)
        descriptor = getattr(owner, name, None)
        if not owner.__frozen__:
            lines.append(f"    self.{name} = {value}")
        elif hasattr(descriptor, "__set__"):
            scope[f"set_{name}"] = descriptor.__set__      # type: ignore[union-attr]
            lines.append(f"    set_{name}(self, {value})")
        else:
            lines.append(f"    self.__dict__[{name!r}] = {value}")
    if hasattr(owner, "__post_init__"):
        lines.append("    self.__post_init__()")
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines), scope)
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{owner.__qualname__}.__init__"
    return made


class Record(metaclass=_RecordType):
    """A class whose annotations are its fields; see the module."""

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in type(self).__fields__)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple([getattr(self, n) for n in type(self).__fields__])

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(type(self).__fields__, state, strict=True):
            object.__setattr__(self, name, value)


def replace(record: T, /, **changes: Any) -> T:
    """A copy with other values in some fields."""
    kind: Any = type(record)
    made: T = kind(**{**{n: getattr(record, n) for n in kind.__fields__}, **changes})
    return made
