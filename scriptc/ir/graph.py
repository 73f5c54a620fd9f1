"""The program graph: immutable SSA values, ops with regions, functions, and the program that owns them.

Identity, not equality, is the key of a value. Regions are structured (`if`, `loop`): they have parameters and results,
and may read values of the regions around them. Ops have no side effects except those whose definition says so.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from scriptc.ir.types import BOOL, COMPLEX, FLOAT, NONE, STR, DType, IntType, TensorType, Type
from scriptc.location import UNKNOWN, Location, Source
from scriptc.records import Record, field

Attribute: TypeAlias = "int | float | bool | str | DType | tuple[Attribute, ...] | None"


class Value(Record, eq=False):
    """One SSA value. `name` is a hint for people (the user's variable, or the state entry it reads)."""

    type: Type
    name: str = ""


class Literal(Value, eq=False):
    """An operand known when the program was compiled: int, float, bool, complex, str or None."""

    data: int | float | bool | complex | str | None = None


def literal(data: int | float | bool | complex | str | None) -> Literal:
    """A literal operand of the type that Python gives `data`."""
    if data is None:
        return Literal(NONE)
    if isinstance(data, bool):
        return Literal(BOOL, "", data)
    if isinstance(data, int):
        return Literal(IntType(data), "", data)
    kind = {float: FLOAT, complex: COMPLEX, str: STR}[type(data)]
    return Literal(kind, "", data)


class Region(Record, eq=False):
    """A nested list of ops with parameters and results."""

    params: tuple[Value, ...]
    ops: tuple[Op, ...]
    results: tuple[Value, ...]


class Op(Record, eq=False):
    """One application of a registered op."""

    name: str
    operands: tuple[Value, ...]
    attributes: Mapping[str, Attribute]
    results: tuple[Value, ...]
    regions: tuple[Region, ...] = ()
    location: Location = UNKNOWN
    version: int = 1

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value


EMPTY: Mapping[str, Attribute] = MappingProxyType({})


class Leaf(Record):
    """One dynamic value inside a structure: the index into a function's inputs or results."""

    index: int


class Fixed(Record):
    """A part of a structure that was known when the program was compiled."""

    value: int | float | bool | complex | str | None


GROUP_KINDS = ("tuple", "list", "dict", "object", "namedtuple", "effects")
KEYED_KINDS = GROUP_KINDS[2:]


class Group(Record):
    """A container: kind `tuple`, `list`, `dict` (keys in `keys`), `object` or `namedtuple` (`label` is the class, `keys` its fields).

    Of kind `effects` only as the structure of a function's results: the first item is what the call returns, the others are
    the contents that arguments (lists and dicts, named by `keys`) have after it.
    """

    kind: str
    items: tuple[Structure, ...]
    keys: tuple[str | int, ...] = ()
    label: str = ""


Structure: TypeAlias = "Leaf | Fixed | Group"


def leaves(structure: Structure) -> Iterator[int]:
    """The leaf indices of a structure, in order."""
    if isinstance(structure, Leaf):
        yield structure.index
    elif isinstance(structure, Group):
        for item in structure.items:
            yield from leaves(item)


class Parameter(Record):
    """One argument of an exported method. `fixed` arguments were given a value when the program was compiled."""

    name: str
    structure: Structure
    keyword_only: bool = False
    optional: bool = False


class Function(Record, eq=False):
    """One exported method, for one mode (`forward`, `forward:train`) and one form of call.

    `inputs` are the leaves of the parameters' structures, `state` the entries of the program's state that are read
    (each Value stands for the entry's content when the call begins), `updates` the state entries written back
    when it returns, `input_updates` the inputs that the call mutates in place.
    """

    name: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[Value, ...]
    state: Mapping[str, Value]
    ops: tuple[Op, ...]
    results: tuple[Value, ...]
    structure: Structure
    updates: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    input_updates: Mapping[int, Value] = field(default_factory=lambda: MappingProxyType({}))
    location: Location = UNKNOWN

    @property
    def body(self) -> Region:
        """The function's ops as one region: parameters are inputs then state."""
        return Region((*self.inputs, *self.state.values()), self.ops, (*self.results, *self.updates.values(),
                                                                        *self.input_updates.values()))


class StateEntry(Record):
    """One tensor the program owns. `kind`: `parameter`, `buffer`, `constant` (folded) or `hidden` (not in state_dict).

    `alias` names the entry whose storage this one shares (tied weights).
    """

    name: str
    type: TensorType
    kind: str
    requires_grad: bool = False
    alias: str | None = None


class ModuleEntry(Record):
    """One module of the tree: its path (`layer1.0`), class name, and the representation of its configuration."""

    path: str
    class_name: str
    description: str = ""


class Program(Record, eq=False):
    """Everything an archive holds, except the tensors' bytes."""

    functions: Mapping[str, Function]
    state: tuple[StateEntry, ...]
    modules: tuple[ModuleEntry, ...] = ()
    sources: tuple[Source, ...] = ()
    entry: str = ""

    def state_entry(self, name: str) -> StateEntry:
        """The state entry called `name`. KeyError if there is none."""
        for entry in self.state:
            if entry.name == name:
                return entry
        raise KeyError(name)


def walk(ops: tuple[Op, ...]) -> Iterator[Op]:
    """Every op, regions included, in program order."""
    for op in ops:
        yield op
        for region in op.regions:
            yield from walk(region.ops)
