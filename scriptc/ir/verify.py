"""The verifier: every value defined before it is used, every type what the op's own rule gives.

It runs under every pass in tests, and always when an archive is loaded; it collects what is wrong and raises once.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from scriptc.errors import Diagnostic, InternalError, diagnostic
from scriptc.ir.builder import located
from scriptc.ir.graph import Function, Group, Leaf, Literal, Op, Program, Region, Structure, Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import TensorType, Type, join
from scriptc.location import Location

MAX_REGION_DEPTH = 64
MAX_REPORTED = 20


def verify(program: Program) -> None:
    """InternalError with every fault found, E0502 or the op's own code; nothing if the program is sound."""
    faults: list[Diagnostic] = []
    names = {entry.name: entry.type for entry in program.state}
    for function in program.functions.values():
        faults += function_faults(function, names)
        if len(faults) > MAX_REPORTED:
            break
    if faults:
        raise InternalError(*faults[:MAX_REPORTED])


def verify_function(function: Function) -> None:
    """The same for one function, whose state is taken as it says."""
    faults = function_faults(function, {name: v.type for name, v in function.state.items()})
    if faults:
        raise InternalError(*faults[:MAX_REPORTED])


def function_faults(function: Function, state: Mapping[str, Type]) -> list[Diagnostic]:
    """What is wrong with a function."""
    checker = Checker(function)
    for name, value in function.state.items():
        if name not in state:
            checker.fault(f"{function.name} reads state {name!r}, which the program does not have")
        elif join(value.type, state[name]) != value.type:
            checker.fault(f"{function.name} reads state {name!r} as {value.type}, but it is {state[name]}")
        checker.define(value)
    for value in function.inputs:
        checker.define(value)
    checker.ops(function.ops, 0)
    for value in (*function.results, *function.updates.values(), *function.input_updates.values()):
        checker.use(value, function.location)
    for name, value in function.updates.items():
        known = state.get(name)
        if known is None:
            checker.fault(f"{function.name} updates state {name!r}, which the program does not have")
        elif not same_dtype(known, value.type):
            checker.fault(f"{function.name} updates state {name!r} of type {known} with {value.type}")
    checker.structure(function.structure, len(function.results), "result")
    for parameter in function.parameters:
        checker.structure(parameter.structure, len(function.inputs), f"argument {parameter.name}")
    for index in function.input_updates:
        if not 0 <= index < len(function.inputs):
            checker.fault(f"{function.name} updates input {index} of {len(function.inputs)}")
    return checker.faults


def same_dtype(a: Type, b: Type) -> bool:
    return isinstance(a, TensorType) and isinstance(b, TensorType) and a.dtype is b.dtype


class Checker:
    """One function's walk: which values are visible, and the faults found."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.visible: set[Value] = set()
        self.ever: set[Value] = set()
        self.faults: list[Diagnostic] = []

    def fault(self, message: str, location: Location | None = None) -> None:
        self.faults.append(diagnostic("E0502", location, message=message))

    def define(self, value: Value) -> None:
        if value in self.ever or isinstance(value, Literal):
            self.fault(f"a value of type {value.type} is defined twice in {self.function.name}")
        self.ever.add(value)
        self.visible.add(value)

    def use(self, value: Value, location: Location) -> None:
        if not isinstance(value, Literal) and value not in self.visible:
            self.fault(f"a value of type {value.type} is used where it is not defined in {self.function.name}", location)

    def structure(self, structure: Structure, count: int, what: str) -> None:
        pending: list[Structure] = [structure]
        while pending:
            part = pending.pop()
            if isinstance(part, Leaf) and not 0 <= part.index < count:
                self.fault(f"{what} of {self.function.name} names value {part.index} of {count}")
            elif isinstance(part, Group):
                pending += part.items

    def ops(self, ops: Sequence[Op], depth: int) -> None:
        if depth > MAX_REGION_DEPTH:
            self.fault(f"regions nested deeper than {MAX_REGION_DEPTH}")
            return
        for op in ops:
            if len(self.faults) > MAX_REPORTED:
                return
            for operand in op.operands:
                self.use(operand, op.location)
            for region in op.regions:
                self.region(region, op, depth)
            self.types(op)
            for result in op.results:
                self.define(result)

    def region(self, region: Region, op: Op, depth: int) -> None:
        before = set(self.visible)
        for param in region.params:
            self.define(param)
        self.ops(region.ops, depth + 1)
        for result in region.results:
            self.use(result, op.location)
        self.visible = before

    def types(self, op: Op) -> None:
        definition = REGISTRY.get(op.name)
        if definition is None:
            self.fault(f"there is no op {op.name!r}", op.location)
            return
        if op.version != definition.version:
            self.fault(f"{op.name} is at version {definition.version}, the program has {op.version}", op.location)
            return
        kinds = [o.type for o in op.operands]
        try:
            inferred = definition.infer(kinds, definition.check_attributes(op.attributes), op.regions)
        except OpError as error:
            self.faults.append(located(error, op.location, op.name, kinds))
            return
        declared = tuple(r.type for r in op.results)
        if inferred != declared:
            self.fault(f"{op.name} gives {', '.join(map(str, inferred)) or 'nothing'}, the program says "
                       f"{', '.join(map(str, declared)) or 'nothing'}", op.location)


