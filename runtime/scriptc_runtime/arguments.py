"""Arguments of a call against the signature of a compiled function, and its results back in the form of the source."""
from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc import records
from scriptc.errors import CallError, diagnostic
from scriptc.ir import dims
from scriptc.ir.dims import Symbol, Symbolic
from scriptc.ir.graph import Fixed, Function, Group, Leaf, Structure
from scriptc.ir.registry import shape_text
from scriptc.ir.types import (
    BOOL,
    FLOAT,
    NONE,
    STR,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
)
from scriptc.records import field
from scriptc_runtime.device import ARRAYS, Array, DeviceArray
from scriptc_runtime.tensor import Tensor, dtype_named


def signature(function: Function) -> str:
    """The parameters with their types, for people: `x: float32[N, 3], flag = True`."""
    parts = []
    for parameter in function.parameters:
        shown = _structure_text(parameter.structure, function)
        parts.append(f"{parameter.name}{shown}")
    return ", ".join(parts)


def _structure_text(structure: Structure, function: Function) -> str:
    if isinstance(structure, Leaf):
        return f": {function.inputs[structure.index].type}"
    if isinstance(structure, Fixed):
        return f" = {structure.value!r}"
    return f": {structure.kind} of {len(structure.items)}"


class Binder(records.Record, frozen=False, eq=False):
    """Puts the arguments of one call into the order of a function's inputs."""

    function: Function
    method: str
    leaves: list[Any] = field(default_factory=list)
    tensors: list[Tensor | None] = field(default_factory=list)      # the Tensor behind each input, for the tape
    given: dict[str, Any] = field(default_factory=dict)             # the caller's objects by parameter
    sizes: dict[str, tuple[int, str]] = field(default_factory=dict)  # symbol -> (size, argument that set it)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The function's inputs. CallError R0101 to R0109 naming the argument that does not fit."""
        function = self.function
        self.leaves = [None] * len(function.inputs)
        self.tensors = [None] * len(function.inputs)
        positional = [p for p in function.parameters if not p.keyword_only]
        if len(args) > len(positional):
            raise self._error("R0103", expected=len(positional), found=len(args), signature=signature(function))
        given = self.given = {p.name: value for p, value in zip(positional, args, strict=False)}
        known = {p.name for p in function.parameters}
        for name, value in kwargs.items():
            if name not in known:
                raise self._error("R0102", name=name, signature=signature(function))
            if name in given:
                raise self._error("R0104", name=name, expected="given once", found="it given twice")
            given[name] = value
        for parameter in function.parameters:
            if parameter.name in given:
                self._place(parameter.structure, given[parameter.name], parameter.name)
            elif not (parameter.optional or self._absent(parameter.structure)):
                raise self._error("R0101", name=parameter.name, signature=signature(function))
        return self.leaves

    def _error(self, code: str, **values: Any) -> CallError:
        return CallError(diagnostic(code, method=self.method, **values))

    def _absent(self, structure: Structure) -> bool:
        """True if the parameter may be left out: nothing in it comes from the caller, or it may be None."""
        if isinstance(structure, Leaf):
            return isinstance(self.function.inputs[structure.index].type, OptionalType)
        return isinstance(structure, Fixed) or all(map(self._absent, structure.items))

    def _place(self, structure: Structure, value: Any, name: str) -> None:
        if isinstance(structure, Leaf):
            content = self.convert(value, self.function.inputs[structure.index].type, name)
            self.leaves[structure.index] = content
            if isinstance(value, Tensor):
                self.tensors[structure.index] = value
            return
        if isinstance(structure, Fixed):
            if isinstance(value, Tensor | np.ndarray) or type(value) is not type(structure.value) or value != structure.value:
                raise self._error("R0109", name=name, expected=repr(structure.value), found=_kind(value))
            return
        items = self._items(structure, value, name)
        for index, (part, item) in enumerate(zip(structure.items, items, strict=True)):
            key = structure.keys[index] if structure.keys else index
            self._place(part, item, f"{name}.{key}" if structure.kind == "object" else f"{name}[{key!r}]")

    def _items(self, structure: Group, value: Any, name: str) -> list[Any]:
        """The parts of a container argument, in the structure's order."""
        wrong = self._error("R0104", name=name, expected=f"a {structure.kind} of {len(structure.items)}", found=_kind(value))
        if structure.kind == "dict":
            if not isinstance(value, Mapping) or set(value) != set(structure.keys):
                raise wrong
            return [value[k] for k in structure.keys]
        if structure.kind == "object":
            read: Callable[[str | int], Any] = (
                value.__getitem__ if isinstance(value, Mapping) else lambda k: getattr(value, str(k)))
            try:
                return [read(k) for k in structure.keys]
            except (KeyError, AttributeError):
                raise wrong from None
        if not isinstance(value, tuple | list) or len(value) != len(structure.items):
            raise wrong
        return list(value)

    def convert(self, value: Any, kind: Type, name: str) -> Any:
        """One argument in the form the function takes it: arrays, Python scalars, lists, tuples, dicts, None."""
        if isinstance(kind, TensorType):
            return self._tensor(value, kind, name)
        if isinstance(kind, OptionalType):
            return None if value is None else self.convert(value, kind.element, name)
        if isinstance(kind, IntType):
            return self._int(value, kind, name)
        if kind == FLOAT:
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise self._wrong(value, kind, name)
            return float(value)
        if kind == BOOL:
            if not isinstance(value, bool | np.bool_):
                raise self._wrong(value, kind, name)
            return bool(value)
        if kind in (STR, NONE):
            if not (isinstance(value, str) if kind == STR else value is None):
                raise self._wrong(value, kind, name)
            return value
        if isinstance(kind, ListType) and isinstance(value, list | tuple):
            return [self.convert(v, kind.element, f"{name}[{i}]") for i, v in enumerate(value)]
        if isinstance(kind, TupleType) and isinstance(value, list | tuple) and len(value) == len(kind.elements):
            return tuple(self.convert(v, k, f"{name}[{i}]") for i, (v, k) in enumerate(zip(value, kind.elements, strict=True)))
        if isinstance(kind, DictType) and isinstance(value, Mapping):
            return {self.convert(k, kind.key, f"a key of {name}"): self.convert(v, kind.value, f"{name}[{k!r}]")
                    for k, v in value.items()}
        raise self._wrong(value, kind, name)

    def _wrong(self, value: Any, kind: Type, name: str) -> CallError:
        return self._error("R0104", name=name, expected=str(kind), found=_kind(value))

    def _int(self, value: Any, kind: IntType, name: str) -> int:
        try:
            number = operator.index(value)
        except (TypeError, ValueError):
            raise self._wrong(value, kind, name) from None
        if isinstance(value, bool) or not -(2**63) <= number < 2**63:
            raise self._wrong(value, kind, name)
        if isinstance(kind.value, int) and kind.value != number:
            raise self._error("R0109", name=name, expected=kind.value, found=number)
        if isinstance(kind.value, Symbolic):
            self._agree(kind.value, number, name)
        return number

    def _tensor(self, value: Any, kind: TensorType, name: str) -> Array:
        if value is None or isinstance(value, str | bytes):
            raise self._error("R0104", name=name, expected=str(kind), found=_kind(value))
        if isinstance(value, ARRAYS):
            array = value
        else:
            try:
                array = Tensor(value)._array
            except (TypeError, ValueError):
                raise self._error("R0122", name=name, found=_kind(value)) from None
        try:
            found = dtype_named(array.dtype)
        except KeyError:
            raise self._error("R0122", name=name, found=f"an array of {array.dtype}") from None
        if found is not kind.dtype:
            raise self._error("R0105", name=name, expected=str(kind), found=f"{found}{list(array.shape)}", dtype=kind.dtype)
        if kind.shape is not None:
            if len(kind.shape) != array.ndim:
                raise self._error("R0106", name=name, expected=shape_text(kind.shape), found=list(array.shape))
            for dim, (declared, size) in enumerate(zip(kind.shape, array.shape, strict=True)):
                self._size(declared, size, kind, array, name, dim)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def _size(self, declared: dims.Dim, size: int, kind: TensorType, array: Array, name: str, dim: int) -> None:
        if isinstance(declared, int) and declared != size:
            assert kind.shape is not None
            relaxed = ",".join("*" if i == dim else dims.dim_text(d) for i, d in enumerate(kind.shape))
            raise self._error("R0107", name=name, expected=shape_text(kind.shape), found=list(array.shape), dim=dim,
                              relaxed=f"{kind.dtype}[{relaxed}]")
        if isinstance(declared, Symbolic):
            self._agree(declared, size, name)

    def _agree(self, declared: Symbolic, size: int, name: str) -> None:
        """Symbols have one size per call; sizes made of known symbols must be what they make."""
        single = declared.terms[0][0][0] if len(declared.terms) == 1 and declared.terms[0][1] == 1 else None
        if isinstance(single, Symbol) and len(declared.terms[0][0]) == 1 and single.name not in self.sizes:
            self.sizes[single.name] = size, name
            return
        expected = dims.evaluate(declared, {s: n for s, (n, _) in self.sizes.items()})
        if expected is not None and expected != size:
            where = next((w for s, (_, w) in self.sizes.items() if s in dims.symbols(declared)), name)
            raise self._error("R0108", symbol=str(declared), first=expected, where=where, second=size, name=name)


class Record:
    """A result that the source returned as an object (a dataclass, a namedtuple, a ModelOutput): fields by name or position."""

    __slots__ = ("_fields", "_label", "_values")

    def __init__(self, label: str, fields: Sequence[str], values: Sequence[Any]) -> None:
        self._label = label
        self._fields = tuple(fields)
        self._values = tuple(values)

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self._values[self._fields.index(name)]
        raise AttributeError(f"{self._label} has no field {name!r}; it has {', '.join(self._fields)}")

    def __getitem__(self, key: int | str | slice) -> Any:
        return getattr(self, key) if isinstance(key, str) else self._values[key]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> tuple[str, ...]:
        """The field names."""
        return self._fields

    def values(self) -> tuple[Any, ...]:
        """The fields, in order."""
        return self._values

    def items(self) -> list[tuple[str, Any]]:
        """(name, value) of each field."""
        return list(zip(self._fields, self._values, strict=True))

    def __repr__(self) -> str:
        return f"{self._label}({', '.join(f'{k}={v!r}' for k, v in self.items())})"


class NamedRecord(tuple[Any, ...]):
    """A named tuple of the source: fields by name or position. Its class is not rebuilt, for that would execute a name of the archive."""

    _fields: tuple[str, ...]
    _label: str

    def __new__(cls, label: str, fields: Sequence[str], values: Sequence[Any]) -> NamedRecord:
        made = super().__new__(cls, values)
        made._label, made._fields = label, tuple(fields)
        return made

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("_fields", ())
        if name in fields:
            return self[fields.index(name)]
        raise AttributeError(f"{self.__dict__.get('_label', 'the named tuple')} has no field {name!r}; it has {', '.join(fields)}")

    def _asdict(self) -> dict[str, Any]:
        """name -> value of each field."""
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        return f"{self._label}({', '.join(f'{k}={v!r}' for k, v in self._asdict().items())})"


def write_back(function: Function, given: Mapping[str, Any], leaves: Sequence[Any]) -> None:
    """Give lists and dicts among the arguments (by parameter name) the contents that the call left in them."""
    structure = function.structure
    if isinstance(structure, Group) and structure.kind == "effects":
        for name, after in zip(structure.keys[1:], structure.items[1:], strict=True):
            if name in given:
                _replace(given[str(name)], after, leaves)


def _replace(held: Any, after: Structure, leaves: Sequence[Any]) -> None:
    """The containers inside `held` stay the same objects as far as the structure says so."""
    if isinstance(after, Leaf):
        if isinstance(held, list):
            held[:] = leaves[after.index]
        elif isinstance(held, dict):
            held.clear()
            held.update(leaves[after.index])
        return
    if not isinstance(after, Group):
        return
    if isinstance(held, list):
        old = list(held)
        held[:] = [_merged(old[i] if i < len(old) else None, part, leaves) for i, part in enumerate(after.items)]
    elif isinstance(held, dict):
        content = {k: _merged(held.get(k), part, leaves) for k, part in zip(after.keys, after.items, strict=True)}
        held.clear()
        held.update(content)
    elif isinstance(held, tuple):
        for item, part in zip(held, after.items, strict=False):
            _replace(item, part, leaves)


def _merged(held: Any, after: Structure, leaves: Sequence[Any]) -> Any:
    if isinstance(after, Group) and isinstance(held, list if after.kind == "list" else dict if after.kind == "dict" else ()):
        _replace(held, after, leaves)
        return held
    return rebuild(after, leaves)


def rebuild(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The results in the form the source returned them."""
    if isinstance(structure, Group) and structure.kind == "effects":
        return rebuild(structure.items[0], leaves)
    if isinstance(structure, Leaf):
        return leaves[structure.index]
    if isinstance(structure, Fixed):
        return structure.value
    items = [rebuild(item, leaves) for item in structure.items]
    if structure.kind == "dict":
        return dict(zip(structure.keys, items, strict=True))
    if structure.kind == "object":
        return Record(structure.label, [str(k) for k in structure.keys], items)
    if structure.kind == "namedtuple":
        return NamedRecord(structure.label, [str(k) for k in structure.keys], items)
    return tuple(items) if structure.kind == "tuple" else items


def wrap(value: Any) -> Any:
    """Arrays as tensors, in containers too."""
    if isinstance(value, ARRAYS):
        return Tensor(value)
    if isinstance(value, list):
        return [wrap(v) for v in value]
    if isinstance(value, tuple):
        return tuple(wrap(v) for v in value)
    if isinstance(value, dict):
        return {k: wrap(v) for k, v in value.items()}
    return value


def _kind(value: Any) -> str:
    """A value as an error names it."""
    if isinstance(value, np.ndarray | DeviceArray | Tensor):
        array = value._array if isinstance(value, Tensor) else value
        return f"{array.dtype}{list(array.shape)}"
    if isinstance(value, int | float | str | None.__class__):
        return f"{type(value).__name__} {value!r}"[:80]
    return type(value).__name__
