"""The verifier: every value defined before it is used, every type what the op's own rule gives.

It runs under every pass in tests, and always when an archive is loaded. It collects what is wrong, each fault with the
lines of the program around it, and raises once. No program, however broken or hostile, makes it fail in another way.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scriptc.errors import Diagnostic, InternalError, diagnostic
from scriptc.ir.builder import located
from scriptc.ir.graph import (
    GROUP_KINDS,
    KEYED_KINDS,
    Function,
    Group,
    Leaf,
    Literal,
    Op,
    Parameter,
    Program,
    Region,
    Structure,
    Value,
    literal,
)
from scriptc.ir.registry import REGISTRY, OpDef, OpError
from scriptc.ir.types import TensorType, Type, join
from scriptc.location import Location

MAX_REGION_DEPTH = 64
MAX_REPORTED = 20
STATE_KINDS = ("parameter", "buffer", "constant", "hidden")

# What a type rule may raise on operands that no compiled source gives it, besides OpError.
RULE_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def verify(program: Program) -> None:
    """InternalError with every fault found (E0502 or the op's own code); nothing if the program is sound."""
    faults = state_faults(program)
    types: Mapping[str, Type] = {entry.name: entry.type for entry in program.state}
    for function in program.functions.values():
        faults += function_faults(function, types)
        if len(faults) > MAX_REPORTED:
            break
    if faults:
        raise InternalError(*faults[:MAX_REPORTED])


def verify_function(function: Function) -> None:
    """The same for one function, whose state is taken to be what the function says."""
    names = {*function.state, *function.updates}
    known = {name: (function.state if name in function.state else function.updates)[name].type for name in names}
    faults = function_faults(function, known)
    if faults:
        raise InternalError(*faults[:MAX_REPORTED])


def state_faults(program: Program) -> list[Diagnostic]:
    """What is wrong with the state entries: names twice, unknown kinds, aliases that lead nowhere."""
    types = {entry.name: entry.type for entry in program.state if entry.alias is None}
    messages: list[str] = []
    seen: set[str] = set()
    for entry in program.state:
        if entry.name in seen:
            messages.append(f"state {entry.name!r} is listed twice")
        seen.add(entry.name)
        if entry.kind not in STATE_KINDS:
            messages.append(f"state {entry.name!r} is of the unknown kind {entry.kind!r}")
        if entry.alias is not None and types.get(entry.alias) != entry.type:
            messages.append(f"state {entry.name!r} shares the storage of {entry.alias!r}, which is not of its type")
    return [diagnostic("E0502", message=message) for message in messages]


def function_faults(function: Function, state: Mapping[str, Type]) -> list[Diagnostic]:
    """What is wrong with a function of a program whose state has these types."""
    checker = _Checker(function)
    checker.arguments(state)
    checker.ops(function.ops, 0)
    checker.outcome(state)
    return checker.faults


class _Checker:
    """One function's walk: which values are visible, and the faults found."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.visible: set[Value] = set()
        self.ever: set[Value] = set()
        self.faults: list[Diagnostic] = []
        self.too_deep = False

    def fault(self, message: str, op: Op | None = None) -> None:
        location: Location = self.function.location if op is None else op.location
        self.report(diagnostic("E0502", location, message=f"{self.function.name}: {message}"), op)

    def report(self, found: Diagnostic, op: Op | None) -> None:
        from scriptc.ir.printer import excerpt  # of a program that is wrong

        around = () if op is None or self.too_deep else excerpt(self.function, op)
        self.faults.append(Diagnostic(found.code, found.message, found.location, (*found.notes, *around), found.hint))

    @property
    def enough(self) -> bool:
        return len(self.faults) > MAX_REPORTED

    def define(self, values: Iterable[Value], op: Op | None = None) -> None:
        for value in values:
            if value in self.ever or isinstance(value, Literal):
                self.fault(f"a value of type {value.type} is defined twice", op)
            self.ever.add(value)
            self.visible.add(value)

    def use(self, values: Iterable[Value], op: Op | None = None) -> None:
        for value in values:
            if isinstance(value, Literal):
                self.literal(value, op)
            elif value not in self.visible:
                self.fault(f"a value of type {value.type} is used where it is not defined", op)

    def literal(self, value: Literal, op: Op | None) -> None:
        if not isinstance(value.data, int | float | complex | str | None):
            self.fault(f"a {type(value.data).__name__} stands as a literal", op)
            return
        kind = literal(value.data).type
        if kind != value.type and join(value.type, kind) != value.type:
            self.fault(f"the literal {str(value.data)[:80]!r} is said to be of type {value.type}", op)

    def arguments(self, state: Mapping[str, Type]) -> None:
        function = self.function
        for name, value in function.state.items():
            if name not in state:
                self.fault(f"reads state {name!r}, which the program does not have")
            elif join(value.type, state[name]) != value.type:
                self.fault(f"reads state {name!r} as {value.type}, but it is {state[name]}")
        self.define(function.inputs)
        self.define(function.state.values())
        for parameter in function.parameters:
            self.parameter(parameter)

    def parameter(self, parameter: Parameter) -> None:
        self.structure(parameter.structure, len(self.function.inputs), f"argument {parameter.name!r}")

    def outcome(self, state: Mapping[str, Type]) -> None:
        """Results and updates."""
        function = self.function
        self.use(function.results)
        self.use(function.updates.values())
        self.use(function.input_updates.values())
        for name, value in function.updates.items():
            known = state.get(name)
            if known is None:
                self.fault(f"updates state {name!r}, which the program does not have")
            elif not same_dtype(known, value.type):
                self.fault(f"updates state {name!r} of type {known} with {value.type}")
        for index, value in function.input_updates.items():
            if not 0 <= index < len(function.inputs):
                self.fault(f"updates input {index} of {len(function.inputs)}")
            elif not same_dtype(function.inputs[index].type, value.type):
                self.fault(f"updates input {index} of type {function.inputs[index].type} with {value.type}")
        self.structure(function.structure, len(function.results), "the result")

    def structure(self, structure: Structure, count: int, what: str) -> None:
        pending: list[Structure] = [structure]
        while pending:
            part = pending.pop()
            if isinstance(part, Leaf) and not 0 <= part.index < count:
                self.fault(f"{what} names value {part.index} of {count}")
            elif isinstance(part, Group):
                pending += part.items
                if part.kind not in GROUP_KINDS:
                    self.fault(f"{what} holds the unknown container {part.kind!r}")
                if len(part.keys) != (len(part.items) if part.kind in KEYED_KINDS else 0):
                    self.fault(f"{what} holds a {part.kind} of {len(part.items)} items with {len(part.keys)} keys")

    def ops(self, ops: Sequence[Op], depth: int) -> None:
        if depth > MAX_REGION_DEPTH:
            self.too_deep = True
            self.fault(f"regions are nested deeper than {MAX_REGION_DEPTH}")
            return
        for op in ops:
            if self.enough:
                return
            self.use(op.operands, op)
            for region in op.regions:
                self.region(region, op, depth)
            self.types(op)
            self.define(op.results, op)

    def region(self, region: Region, op: Op, depth: int) -> None:
        self.define(region.params, op)
        self.ops(region.ops, depth + 1)
        self.use(region.results, op)
        # What a region defines is not visible behind it.
        self.visible.difference_update(region.params)
        for inner in region.ops:
            self.visible.difference_update(inner.results)

    def types(self, op: Op) -> None:
        definition = REGISTRY.get(op.name)
        if definition is None:
            self.fault(f"there is no op {op.name!r}", op)
        elif op.version != definition.version:
            self.fault(f"{op.name} is at version {definition.version}, the program has {op.version}", op)
        elif op.regions and not definition.takes_regions:
            self.fault(f"{op.name} takes no regions", op)
        else:
            self.inferred(op, definition)

    def inferred(self, op: Op, definition: OpDef) -> None:
        """The declared types against those of the op's rule."""
        kinds = [o.type for o in op.operands]
        try:
            attributes = definition.check_attributes(op.attributes)
            found = definition.infer(kinds, attributes, op.regions)
        except OpError as error:
            self.report(located(error, op.location, op.name, kinds), op)
            return
        except RULE_FAILURES as error:
            self.fault(f"{op.name} does not take {', '.join(map(str, kinds))[:200]}: {type(error).__name__}: {error}"[:400], op)
            return
        missing = [name for name in attributes if name not in op.attributes]
        if missing:
            self.fault(f"{op.name} lacks attribute {', '.join(missing)}", op)
        declared = tuple(r.type for r in op.results)
        if found != declared:
            self.fault(f"{op.name} gives {type_list(found)}, the program says {type_list(declared)}", op)


def type_list(kinds: Sequence[Type]) -> str:
    """Types for a message; `nothing` for none."""
    return ", ".join(map(str, kinds)) or "nothing"


def same_dtype(a: Type, b: Type) -> bool:
    """True for two tensors of one dtype, and for two equal types of another kind."""
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return a.dtype is b.dtype
    return a == b
