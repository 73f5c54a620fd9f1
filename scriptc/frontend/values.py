"""What the evaluator computes with: static values are Python's own or the classes here; dynamic ones wrap an IR value.

Static ints, floats, strings, None, tuples, ranges and slices are the host's. Everything mutable is a `Mutable`, whose
changes the journal can undo: that is how both arms of a dynamic `if` are walked from the same state.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scriptc.ir.graph import Value
from scriptc.ir.types import Type
from scriptc.location import Source, Span

if TYPE_CHECKING:
    from scriptc.frontend import syntax
    from scriptc.frontend.evaluator.core import Evaluator


class Missing:
    """The content of a slot that has not been set."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = Missing()


class Journal:
    """The first old content of every slot written since it was opened."""

    __slots__ = ("old", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.old: dict[tuple[int, Any], tuple[Mutable, Any, Any]] = {}


class World:
    """The one place that knows which journals are open, and gives every mutable object its birth number."""

    def __init__(self) -> None:
        self.births = 0
        self.journals: list[Journal] = []


WORLD = World()


class Mutable:
    """An object with slots whose writes are journaled while a dynamic branch or loop body is walked."""

    __slots__ = ("__weakref__", "born", "slots")

    def __init__(self) -> None:
        WORLD.births += 1
        self.born = WORLD.births
        self.slots: dict[Any, Any] = {}

    def write(self, key: Any, value: Any) -> None:
        if WORLD.journals:
            self._record(key)
        self.slots[key] = value

    def erase(self, key: Any) -> None:
        if WORLD.journals:
            self._record(key)
        del self.slots[key]

    def _record(self, key: Any) -> None:
        journal = WORLD.journals[-1]
        if self.born <= journal.since and (id(self), key) not in journal.old:
            journal.old[(id(self), key)] = (self, key, self.slots.get(key, MISSING))


def open_journal() -> Journal:
    """Start recording; everything that exists now is 'old'."""
    journal = Journal(WORLD.births)
    WORLD.journals.append(journal)
    return journal


Writes = dict[tuple[int, Any], tuple[Mutable, Any, Any]]


def close_journal(journal: Journal) -> Writes:
    """Stop recording, restore every slot, and return what had been written: key -> (object, slot, new content)."""
    assert WORLD.journals.pop() is journal
    writes: Writes = {}
    for key, (target, slot, old) in journal.old.items():
        writes[key] = (target, slot, target.slots.get(slot, MISSING))
        if old is MISSING:
            target.slots.pop(slot, None)
        else:
            target.slots[slot] = old
    return writes


def apply_writes(writes: Writes) -> None:
    """Write again what a closed journal had recorded (into the journal that is open now)."""
    for target, slot, content in writes.values():
        if content is MISSING:
            if slot in target.slots:
                target.erase(slot)
        else:
            target.write(slot, content)


@dataclass(frozen=True, slots=True, eq=False)
class Dynamic:
    """A scalar, string, list, tuple or optional that is known only when the program runs."""

    value: Value

    @property
    def type(self) -> Type:
        return self.value.type


@dataclass(frozen=True, slots=True, eq=False)
class Conflict:
    """What a variable holds after a branch whose two arms left values without a common type (or only one of them any).

    An error only if it is read.
    """

    reason: str
    places: tuple[Span | None, ...] = ()


class Poisoned(Exception):
    """A value was read that an error, told already, has kept from being made."""


POISON = Conflict("an error before")


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """A module or function that a condition only known at run time chooses: calls and attributes go to both, under that condition."""

    condition: Dynamic
    first: Any
    second: Any


class PyList(Mutable):
    """A list. `content` is a Python list of values, or a `Dynamic` of ListType once its length is not known."""

    __slots__ = ()

    def __init__(self, content: list[Any] | Dynamic) -> None:
        super().__init__()
        self.slots["content"] = content

    @property
    def content(self) -> Any:
        return self.slots["content"]

    def change(self) -> list[Any]:
        """The list to mutate; a copy while a journal must keep the old content."""
        if WORLD.journals:
            fresh = list(self.slots["content"])
            self.write("content", fresh)
            return fresh
        items: list[Any] = self.slots["content"]
        return items


class RunTimeContent(Exception):
    """A use of a dict or set that needs its keys, which are only known at run time."""


class PyDict(Mutable):
    """A dict. `held` is a dict of Python, or a `Dynamic` of DictType once its keys are not known. `kind` names its class."""

    __slots__ = ("factory", "kind")

    def __init__(self, content: dict[Any, Any] | Dynamic | None = None, kind: str = "dict", factory: Any = None) -> None:
        super().__init__()
        self.slots["content"] = content if content is not None else {}
        self.kind = kind
        self.factory = factory

    @property
    def held(self) -> Any:
        return self.slots["content"]

    @property
    def is_dynamic(self) -> bool:
        return isinstance(self.slots["content"], Dynamic)

    @property
    def content(self) -> dict[Any, Any]:
        """The entries, whose keys are known. RunTimeContent if they are not."""
        held = self.slots["content"]
        if isinstance(held, Dynamic):
            raise RunTimeContent
        return held

    def change(self) -> dict[Any, Any]:
        if WORLD.journals:
            fresh = dict(self.slots["content"])
            self.write("content", fresh)
            return fresh
        return self.slots["content"]


class PySet(Mutable):
    """A set, kept in insertion order so that compiling twice gives the same program; `held` as a dict's, its keys the items."""

    __slots__ = ("frozen",)

    def __init__(self, items: Any = (), frozen: bool = False) -> None:
        super().__init__()
        self.slots["content"] = items if isinstance(items, Dynamic) else dict.fromkeys(items)
        self.frozen = frozen

    @property
    def held(self) -> Any:
        return self.slots["content"]

    @property
    def is_dynamic(self) -> bool:
        return isinstance(self.slots["content"], Dynamic)

    @property
    def content(self) -> dict[Any, None]:
        """The items, which are known. RunTimeContent if they are not."""
        held = self.slots["content"]
        if isinstance(held, Dynamic):
            raise RunTimeContent
        return held

    def change(self) -> dict[Any, None]:
        if WORLD.journals:
            fresh = dict(self.slots["content"])
            self.write("content", fresh)
            return fresh
        return self.slots["content"]


class Size(tuple[Any, ...]):
    """torch.Size: a tuple of ints, some of them perhaps dynamic."""

    __slots__ = ()


class StructTuple(tuple[Any, ...]):
    """An instance of a named tuple class."""

    cls: Class

    def __new__(cls, kind: Class, items: Any) -> StructTuple:
        made = super().__new__(cls, items)
        made.cls = kind
        return made


class Class(Mutable):
    """A class of the language; slots are its namespace."""

    __slots__ = ("annotations", "bases", "has_getattribute", "is_module_class", "metaclass", "module", "mro", "name", "native", "span")

    def __init__(self, name: str, bases: tuple[Class, ...], namespace: dict[str, Any], module: str = "",
                 native: str = "", span: Span | None = None) -> None:
        super().__init__()
        self.name = name
        self.bases = bases
        self.slots.update(namespace)
        self.module = module
        self.mro: tuple[Class, ...] = linearize(self, bases)
        inherited = [c.native for c in self.mro[1:] if c.native]
        self.native: str = native or (inherited[0] if inherited else "")
        self.metaclass: Class | None = None
        self.span = span
        self.annotations: dict[str, Any] = {}
        self.has_getattribute = any("__getattribute__" in c.slots for c in self.mro if c.bases)
        self.is_module_class = any(c.name == "Module" and c.module == "torch.nn.modules.module" for c in self.mro)

    def lookup(self, name: str) -> Any:
        """The attribute found along the MRO, or MISSING."""
        for cls in self.mro:
            if name in cls.slots:
                return cls.slots[name]
        return MISSING

    def is_subclass(self, other: Class) -> bool:
        return other in self.mro

    def __repr__(self) -> str:
        return f"<class '{self.module}.{self.name}'>" if self.module else f"<class '{self.name}'>"


def linearize(cls: Class, bases: tuple[Class, ...]) -> tuple[Class, ...]:
    """The C3 linearisation. ValueError if there is none."""
    sequences = [list(b.mro) for b in bases] + [list(bases)]
    result: list[Class] = [cls]
    while any(sequences):
        for sequence in sequences:
            if sequence and not any(sequence[0] in other[1:] for other in sequences):
                head = sequence[0]
                break
        else:
            raise ValueError(f"no consistent method resolution order for the bases of {cls.name}")
        result.append(head)
        for sequence in sequences:
            if sequence and sequence[0] is head:
                del sequence[0]
    return tuple(result)


class Instance(Mutable):
    """An object of a class; slots are its `__dict__`. `native` is its value as a builtin (subclasses of dict, list, str...)."""

    __slots__ = ("cls", "native")

    def __init__(self, cls: Class, native: Any = None) -> None:
        super().__init__()
        self.cls = cls
        self.native = native

    def __repr__(self) -> str:
        return f"<{self.cls.name} object>"


class Frame(Mutable):
    """The variables of one function call, comprehension, class body or module."""

    __slots__ = ("function", "globals", "is_class", "kind", "nonlocals", "parent", "source")

    def __init__(self, source: Source, parent: Frame | None, globals_: Frame | None, kind: str, function: str = "") -> None:
        super().__init__()
        self.source = source
        self.parent = parent
        self.globals = globals_ if globals_ is not None else self
        self.kind = kind            # module, function, class, comprehension
        self.function = function
        self.nonlocals: dict[str, Frame] = {}


@dataclass(eq=False, slots=True)
class Function:
    """A `def` or `lambda` together with the frame it closes over."""

    node: syntax.Node
    name: str
    qualname: str
    frame: Frame
    defaults: tuple[Any, ...]
    keyword_defaults: dict[str, Any]
    cls: Class | None = None          # the class whose body defined it: what zero-argument super() needs
    attributes: dict[str, Any] | None = None
    is_generator: bool = False
    annotations: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<function {self.qualname}>"


@dataclass(eq=False, slots=True)
class Builtin:
    """A function of ours: `call(evaluator, arguments, keywords) -> value`."""

    name: str
    call: Callable[[Evaluator, list[Any], dict[str, Any]], Any]
    as_method: bool = False           # binds to an instance when found on a class
    function: Any = None              # what it wraps: a decorated function

    def __repr__(self) -> str:
        return f"<built-in function {self.name}>"


@dataclass(frozen=True, eq=False, slots=True)
class BoundMethod:
    """A function with its first argument."""

    function: Any
    self: Any

    def __repr__(self) -> str:
        return f"<bound method {getattr(self.function, 'name', '?')}>"


@dataclass(frozen=True, eq=False, slots=True)
class Partial:
    """functools.partial"""

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Property:
    getter: Any
    setter: Any = None
    deleter: Any = None
    cached: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class StaticMethod:
    function: Any


@dataclass(frozen=True, eq=False, slots=True)
class ClassMethod:
    function: Any


@dataclass(frozen=True, eq=False, slots=True)
class Super:
    """super(): attribute lookup along `owner`'s MRO after `start`."""

    start: Class
    owner: Class
    self: Any


class ModuleValue(Mutable):
    """An imported module; its frame holds its names once it has been evaluated."""

    __slots__ = ("frame", "lookup", "name", "path", "state")

    def __init__(self, name: str, path: str = "", lookup: Callable[[str], Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.path = path
        self.lookup = lookup          # modules of ours resolve names by a table
        self.frame: Frame | None = None
        self.state = "new"

    def __repr__(self) -> str:
        return f"<module '{self.name}'>"


@dataclass(frozen=True, eq=False, slots=True)
class Unavailable:
    """A name imported from a package that is not there: an error only when it is used."""

    name: str
    reason: str
    span: Span | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """torch.device"""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        inner = f"type='{self.type}'" + ("" if self.index is None else f", index={self.index}")
        return f"device({inner})"


@dataclass(frozen=True, slots=True)
class TypeForm:
    """A subscripted typing form, `Optional[int]`: kept for annotations, never for values."""

    origin: Any
    arguments: tuple[Any, ...] = ()


class Iterating(Mutable):
    """An iterator over values that are already there (generators of the language run to their end first)."""

    __slots__ = ()
    python_name = "generator"

    def __init__(self, items: Iterator[Any] | list[Any]) -> None:
        super().__init__()
        self.slots["items"] = list(items)
        self.slots["at"] = 0

    def next(self) -> Any:
        """The next item, or MISSING."""
        at = self.slots["at"]
        if at >= len(self.slots["items"]):
            return MISSING
        self.write("at", at + 1)
        return self.slots["items"][at]


class LanguageError(Exception):
    """An exception of the evaluated program, on its way to an `except` clause or to the user."""

    def __init__(self, value: Instance, span: Span | None = None, hint: str | None = None) -> None:
        super().__init__(value)
        self.value = value
        self.span = span
        self.hint = hint
        self.chain: tuple[Any, ...] = ()
