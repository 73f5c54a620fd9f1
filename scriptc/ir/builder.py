"""The one mutable object of the IR: `Builder` appends ops, infers their types, and nests regions."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from scriptc.errors import CompileError, Diagnostic, diagnostic
from scriptc.ir.graph import Literal, Op, Region, Value, literal
from scriptc.ir.registry import REGISTRY, OpDef, OpError
from scriptc.ir.types import Type
from scriptc.location import UNKNOWN, Location

Operand = Value | int | float | bool | complex | str | None


def located(error: OpError, location: Location, op: str, operand_types: Sequence[Type]) -> Diagnostic:
    """The diagnostic for an op that refuses its operands: the rule's words, the user's place, the operands' types."""
    notes = [f"in {op}({', '.join(str(t) for t in operand_types)})"]
    return diagnostic(error.code, location, notes=notes, **error.values)  # type: ignore[arg-type]


class Builder:
    """Collects ops in order. Every emitted op carries the current location; its types come from the op's own rule."""

    def __init__(self) -> None:
        self.location: Location = UNKNOWN
        self._lists: list[list[Op]] = [[]]

    @contextmanager
    def at(self, location: Location) -> Iterator[None]:
        """Ops emitted inside carry `location`."""
        before, self.location = self.location, location
        try:
            yield
        finally:
            self.location = before

    def emit(self, definition: OpDef | str, operands: Sequence[Operand] = (), attributes: Mapping[str, object] | None = None,
             regions: tuple[Region, ...] = (), names: Sequence[str] = ()) -> tuple[Value, ...]:
        """Append one op and return its results. CompileError at the current location if its rule refuses."""
        if isinstance(definition, str):
            definition = REGISTRY[definition]
        values = tuple(o if isinstance(o, Value) else literal(o) for o in operands)
        try:
            checked = definition.check_attributes(attributes or {})
            kinds = definition.infer([v.type for v in values], checked, regions)
        except OpError as error:
            raise CompileError(located(error, self.location, definition.name, [v.type for v in values])) from None
        results = tuple(Value(kind, names[i] if i < len(names) else "") for i, kind in enumerate(kinds))
        self._lists[-1].append(Op(definition.name, values, checked, results, regions, self.location, definition.version))
        return results

    def emit_one(self, definition: OpDef | str, operands: Sequence[Operand] = (), attributes: Mapping[str, object] | None = None,
                 regions: tuple[Region, ...] = ()) -> Value:
        """`emit` for an op with exactly one result."""
        (value,) = self.emit(definition, operands, attributes, regions)
        return value

    def begin(self) -> None:
        """Start collecting the ops of a region."""
        self._lists.append([])

    def end(self, params: Sequence[Value], results: Sequence[Value]) -> Region:
        """Finish the innermost region."""
        return Region(tuple(params), tuple(self._lists.pop()), tuple(results))

    def discard(self) -> None:
        """Drop the innermost region: a trial run whose types were all that mattered."""
        self._lists.pop()

    def suspend(self) -> list[Op]:
        """Set the innermost list aside; `reopen` continues it."""
        return self._lists.pop()

    def reopen(self, ops: list[Op]) -> None:
        """Make a list that was set aside (or an empty one) the innermost again."""
        self._lists.append(ops)

    def append(self, op: Op) -> None:
        """Append a finished op as it is (passes that copy)."""
        self._lists[-1].append(op)

    @property
    def position(self) -> int:
        """How many ops the innermost region has so far."""
        return len(self._lists[-1])

    def since(self, position: int) -> list[Op]:
        """The innermost region's ops from `position` on."""
        return self._lists[-1][position:]

    @property
    def depth(self) -> int:
        """How many regions are open."""
        return len(self._lists) - 1

    def take(self) -> tuple[Op, ...]:
        """All ops of the outermost list; the builder is empty after."""
        ops = tuple(self._lists[0])
        self._lists = [[]]
        return ops


def is_literal(value: Value) -> bool:
    """True for operands known when the program was compiled."""
    return isinstance(value, Literal)
