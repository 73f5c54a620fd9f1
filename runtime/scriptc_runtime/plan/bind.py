"""Shapes made concrete: every value's type for the shapes of one call, by re-running each op's own rule.

Sizes become numbers; what only the data decides stays unknown. Scalar arithmetic over known sizes is folded, and an
`if` whose condition is known then is replaced by the branch it takes, so that a plan has no tests of shapes left.
"""
from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from scriptc.errors import CallError, diagnostic
from scriptc.interp.registry import REFERENCES
from scriptc.ir.builder import located
from scriptc.ir.graph import Literal, Op, Region, Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import (
    INT,
    NONE,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
    dtype_of,
    join,
)
from scriptc.records import Record
from scriptc_runtime.device import ARRAYS
from scriptc_runtime.plan.policy import memory_limit

FEW = 16    # elements of a constant that a plan holds
_NUMBERS = frozenset((int,))
ROUNDS = 4  # how often a loop's carried types may widen before they are simply unknown


class BoundOp(Record, eq=False):
    """An op with the types its operands and results have in this call.

    `captured` are the values its regions read from around it: as the regions name them, and as they are bound.
    """

    op: Op
    operands: tuple[Value, ...]
    operand_types: tuple[Type, ...]
    result_types: tuple[Type, ...]
    captured: tuple[tuple[Value, Value], ...] = ()

    @property
    def reads(self) -> tuple[Value, ...]:
        """Every value this op reads, captured ones included."""
        return (*self.operands, *[bound for _, bound in self.captured]) if self.captured else self.operands

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def results(self) -> tuple[Value, ...]:
        return self.op.results


class Binding(Record):
    """A region bound to concrete types: its remaining ops, the values that became constants, and its results."""

    ops: tuple[BoundOp, ...]
    types: Mapping[Value, Type]
    constants: Mapping[Value, Any]
    results: tuple[Value, ...]


def bind(region: Region, types: Mapping[Value, Type], constants: Mapping[Value, Any]) -> Binding:
    """Bind `region`, whose parameters and captured values have `types`, and `constants` where they are known.

    CallError if an op's rule refuses the concrete types (shapes that do not fit), at the op's place.
    """
    binder = _Binder(dict(types), dict(constants), {})
    try:
        binder.walk(region.ops)
    except OpError as error:
        raise CallError(located(error, binder.current.location, binder.current.name,
                                [binder.type_of(v) for v in map(binder.resolve, binder.current.operands)])) from None
    results = tuple(map(binder.resolve, region.results))
    for value in results:
        binder.type_of(value)       # one that is known around the region may be read by nothing else here
    return Binding(tuple(binder.ops), binder.types, binder.constants, results)


class _Binder:
    def __init__(self, types: MutableMapping[Value, Type], constants: MutableMapping[Value, Any],
                 aliases: dict[Value, Value]) -> None:
        self.types = types
        self.constants = constants
        self.aliases = aliases  # results of a replaced `if` -> the branch's results; of what `_same_value` dissolves -> the operand
        self.ops: list[BoundOp] = []
        self.current: Op = Op("", (), {}, ())

    def resolve(self, value: Value) -> Value:
        while value in self.aliases:
            value = self.aliases[value]
        return value

    def type_of(self, value: Value) -> Type:
        if isinstance(value, Literal):
            return value.type
        if value not in self.types:
            # What was known around a region is a constant in it, without a type of its own there.
            content = self.constants[value]
            self.types[value] = IntType(content) if type(content) is int else type_of_value(content, value.type)
        return self.types[value]

    def known(self, value: Value) -> bool:
        return isinstance(value, Literal) or value in self.constants

    def content(self, value: Value) -> Any:
        return value.data if isinstance(value, Literal) else self.constants[value]

    def walk(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self.current = op
            operands = tuple(map(self.resolve, op.operands))
            if op.name == "if" and self.known(operands[0]):
                taken = op.regions[0] if self.content(operands[0]) else op.regions[1]
                self.walk(taken.ops)
                self.aliases.update(zip(op.results, map(self.resolve, taken.results), strict=True))
                continue
            if op.name == "check" and self.known(operands[0]) and self.content(operands[0]) is True:
                continue
            kinds = tuple(map(self.type_of, operands))
            if self._same_value(op, operands, kinds):
                continue
            if op.name == "optional_get" and kinds[0] == NONE:      # it raises when, and if, it runs
                kinds = (erase(op.operands[0].type),)
            if op.regions:
                results = self._control(op, kinds)
            else:
                results = (_list_of(op, kinds),) if op.name == "list_new" else REGISTRY[op.name].infer(kinds, op.attributes)
            for kind in results:
                check_memory(op, kind)
            self.types.update(zip(op.results, results, strict=True))
            if not self._fold(op, operands, results):
                around = self._captured(op) if op.regions else ()
                self.ops.append(BoundOp(op, operands, kinds, results, around))

    def _same_value(self, op: Op, operands: tuple[Value, ...], kinds: tuple[Type, ...]) -> bool:
        """Dissolve an op whose result is its operand, or a constant, because it is known now what an optional holds."""
        result = op.results[0] if op.results else None
        if op.name in ("detach", "optional_wrap") or (op.name == "optional_get" and holds(kinds[0])):
            # Gradients have been derived, and a copy of a weight would be packed again in each call.
            self.aliases[result] = operands[0]      # type: ignore[index]
        elif op.name == "optional_none":
            self.constants[result], self.types[result] = None, NONE     # type: ignore[index]
        elif op.name == "optional_is_none" and not isinstance(kinds[0], OptionalType):
            self.constants[result] = kinds[0] == NONE   # type: ignore[index]
        else:
            return False
        return True

    def _captured(self, op: Op) -> tuple[tuple[Value, Value], ...]:
        """The captured values that are not known now; those that are become constants under both names."""
        around: list[tuple[Value, Value]] = []
        for value in captured(op):
            bound = self.resolve(value)
            if self.known(bound):
                self.constants[value] = self.content(bound)
                self.types[value] = self.type_of(bound)
            else:
                around.append((value, bound))
        return tuple(around)

    def _fold(self, op: Op, operands: tuple[Value, ...], results: tuple[Type, ...]) -> bool:
        """Make the op's results constants if they are known now."""
        definition = REGISTRY[op.name]
        if definition.effects or op.regions or not results:
            return False
        if op.name == "full" and is_small(results[0]) and all(map(self.known, operands)):
            content = REFERENCES["full"](*map(self.content, operands), **op.attributes).view()
            content.flags.writeable = False
            self.constants[op.results[0]] = content
            return True
        if all(isinstance(r, IntType) and isinstance(r.value, int) for r in results):
            for value, kind in zip(op.results, results, strict=True):
                self.constants[value] = kind.value  # type: ignore[union-attr]
            return True
        if definition.family != "scalar" or len(results) != 1 or not all(map(self.known, operands)):
            return False
        try:
            content = REFERENCES[op.name](*map(self.content, operands), **op.attributes)
        except (ArithmeticError, ValueError, TypeError):
            return False  # it raises when, and if, it runs
        self.constants[op.results[0]] = content
        if type(content) is int:
            self.types[op.results[0]] = IntType(content)
        return True

    def _control(self, op: Op, kinds: tuple[Type, ...]) -> tuple[Type, ...]:
        if op.name == "if":
            branches = [self._trial(region, ()) for region in op.regions]
            return tuple(_joined([b[i] for b in branches if b is not None], value.type)
                         for i, value in enumerate(op.results))
        body = op.regions[0]
        carried: tuple[Type, ...] = tuple(map(widen, kinds[2:]))
        for _ in range(ROUNDS):
            after = self._trial(body, (INT, *carried))
            if after is None:
                break
            wider = tuple(_joined([before, widen(now)], param.type)
                          for before, now, param in zip(carried, after[1:], body.params[1:], strict=True))
            if wider == carried:
                return carried
            carried = wider
        return tuple(erase(param.type) for param in body.params[1:])

    def _trial(self, region: Region, params: tuple[Type, ...]) -> tuple[Type, ...] | None:
        """The result types of a nested region; None where it cannot run with these types (it may never be entered)."""
        nested = _Binder(ChainMap({}, self.types), ChainMap({}, self.constants), dict(self.aliases))
        nested.types.update(zip(region.params, params, strict=True))
        try:
            nested.walk(region.ops)
        except OpError:
            return None
        return tuple(nested.type_of(nested.resolve(v)) for v in region.results)


def _list_of(op: Op, kinds: Sequence[Type]) -> Type:
    """The type of a new list. Its attribute names sizes as the program does, its items have them as numbers."""
    element: Type | None = widen(kinds[0]) if kinds else None
    for kind in kinds[1:]:
        element = None if element is None else join(element, widen(kind))
    return erase(op.results[0].type) if element is None else ListType(element)


def check_memory(op: Op, kind: Type) -> None:
    """CallError R0123 if one value of this type would take more than a call may use; views take nothing."""
    if not is_static(kind) or op.name in ("expand", "expand_as"):
        return
    assert isinstance(kind, TensorType) and kind.shape is not None
    size = math.prod(d for d in kind.shape if isinstance(d, int)) * kind.dtype.itemsize
    if size > memory_limit():
        raise CallError(diagnostic("R0123", op.location, op=op.name, type=kind, size=f"{size:,}", limit=f"{memory_limit():,}"))


def _joined(kinds: Sequence[Type], declared: Type) -> Type:
    """The join of what the paths give; what was declared if they have none."""
    if not kinds:
        return erase(declared)
    result: Type | None = kinds[0]
    for kind in kinds[1:]:
        result = None if result is None else join(result, kind)
    return erase(declared) if result is None or not _same_form(result, declared) else result


def _same_form(kind: Type, declared: Type) -> bool:
    return type(kind) is type(declared) or isinstance(declared, OptionalType)


def holds(kind: Type) -> bool:
    """True for the type of a value that is no optional, or of an optional that is known to hold a value."""
    return kind != NONE and not isinstance(kind, OptionalType)


def widen(kind: Type) -> Type:
    """A carried value's type: an int changes from turn to turn."""
    return INT if isinstance(kind, IntType) else kind


def erase(kind: Type) -> Type:
    """A declared type without its symbols: sizes that are not numbers are unknown."""
    if isinstance(kind, TensorType):
        return kind if kind.shape is None else kind.with_shape(tuple(d if isinstance(d, int) else None for d in kind.shape))
    if isinstance(kind, IntType):
        return kind if isinstance(kind.value, int) else INT
    if isinstance(kind, ListType):
        return ListType(erase(kind.element))
    if isinstance(kind, TupleType):
        return TupleType(tuple(map(erase, kind.elements)))
    if isinstance(kind, DictType):
        return DictType(erase(kind.key), erase(kind.value))
    if isinstance(kind, OptionalType):
        return OptionalType(erase(kind.element))
    return kind


def type_of_value(value: Any, declared: Type) -> Type:
    """The concrete type of a value that arrives at run time, declared as `declared`; of an optional, what it holds (`NONE`: nothing)."""
    if isinstance(declared, OptionalType):
        return NONE if value is None else type_of_value(value, declared.element)
    if isinstance(value, ARRAYS):
        return TensorType(dtype_of(value.dtype), value.shape)
    if isinstance(declared, TupleType) and isinstance(value, tuple):
        return TupleType(tuple(map(type_of_value, value, declared.elements)))
    return erase(declared)


def signature_of(values: Sequence[Any]) -> tuple[object, ...]:
    """What distinguishes plans: shape and dtype of arrays, and where there is None; everything else counts by its declared type only."""
    return tuple(_signature(v) for v in values)


def _signature(value: Any) -> object:
    if isinstance(value, ARRAYS):
        return value.dtype, value.shape
    if isinstance(value, tuple):
        return tuple(_signature(v) for v in value)
    return "none" if value is None else None


def form_of(values: Sequence[Any]) -> tuple[object, ...]:
    """What distinguishes plans that leave sizes open: dtype and rank of arrays, and where there is None."""
    return tuple(_form(v) for v in values)


def _form(value: Any) -> object:
    if isinstance(value, ARRAYS):
        return value.dtype, value.ndim
    if isinstance(value, tuple):
        return tuple(map(_form, value))
    return "none" if value is None else None


def is_settled(kind: Type) -> bool:
    """True for a type that says all that a plan may depend on: values of it need not be looked at."""
    if isinstance(kind, TupleType):
        return all(map(is_settled, kind.elements))
    return is_static(kind) if isinstance(kind, TensorType) else not isinstance(kind, OptionalType)


def is_static(kind: Type) -> bool:
    """True for a tensor whose shape is known down to the last size."""
    return isinstance(kind, TensorType) and kind.shape is not None and _NUMBERS.issuperset(map(type, kind.shape))


def is_small(kind: Type) -> bool:
    """True for a tensor of a few elements, which a plan may hold."""
    return is_static(kind) and math.prod(kind.shape) <= FEW  # type: ignore[arg-type, union-attr]


def captured(op: Op) -> tuple[Value, ...]:
    """The values that an op's regions read from around it, in order of first use."""
    found: dict[Value, None] = {}
    for region in op.regions:
        _captured(region, set(), found)
    return tuple(found)


def _captured(region: Region, outer: set[Value], found: dict[Value, None]) -> None:
    own = outer | set(region.params)
    for op in region.ops:
        found.update((v, None) for v in op.operands if v not in own and not isinstance(v, Literal))
        for inner in op.regions:
            _captured(inner, own, found)
        own.update(op.results)
    found.update((v, None) for v in region.results if v not in own and not isinstance(v, Literal))
