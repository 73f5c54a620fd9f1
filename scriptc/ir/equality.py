"""Structural equality: whether two programs are the same up to the identity of their values.

Tests use it for round trips; source locations are not compared, because no text form carries them back.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from scriptc.ir.graph import Attribute, Fixed, Function, Group, Leaf, Literal, Op, Program, Region, Structure, Value

Constant: TypeAlias = "int | float | bool | complex | str | Attribute"


def equal_programs(a: Program, b: Program, *, hints: bool = True) -> bool:
    """True if both hold the same functions, state, modules and entry; `hints` False ignores the values' names."""
    return (a.entry == b.entry and a.state == b.state and a.modules == b.modules
            and list(a.functions) == list(b.functions)
            and all(equal_functions(a.functions[k], b.functions[k], hints=hints) for k in a.functions))


def equal_functions(a: Function, b: Function, *, hints: bool = True) -> bool:
    """True if both compute the same thing by the same ops in the same order."""
    return _Comparison(hints).functions(a, b)


def same_constant(a: Constant, b: Constant) -> bool:
    """Equality that tells 1 from 1.0 and True, 0.0 from -0.0, and takes nan for equal to nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_constant, a, b))
    return repr(a) == repr(b) if isinstance(a, float | complex) else a == b


def same_structure(a: Structure, b: Structure) -> bool:
    """Equality of structures, with `same_constant` for their fixed parts and keys."""
    if isinstance(a, Leaf) or isinstance(b, Leaf):
        return a == b
    if isinstance(a, Fixed) and isinstance(b, Fixed):
        return same_constant(a.value, b.value)
    return (isinstance(a, Group) and isinstance(b, Group) and a.kind == b.kind and a.label == b.label
            and same_constant(a.keys, b.keys) and len(a.items) == len(b.items)
            and all(map(same_structure, a.items, b.items)))


class _Comparison:
    """Pairs the values of two functions as they are defined."""

    def __init__(self, hints: bool) -> None:
        self.hints = hints
        self.partner: dict[Value, Value] = {}

    def define(self, a: Sequence[Value], b: Sequence[Value]) -> bool:
        if len(a) != len(b):
            return False
        for x, y in zip(a, b, strict=True):
            if x.type != y.type or (self.hints and x.name != y.name):
                return False
            self.partner[x] = y
        return True

    def use(self, a: Value, b: Value) -> bool:
        if isinstance(a, Literal) and isinstance(b, Literal):
            return a.type == b.type and same_constant(a.data, b.data)
        return self.partner.get(a) is b

    def uses(self, a: Sequence[Value], b: Sequence[Value]) -> bool:
        return len(a) == len(b) and all(map(self.use, a, b))

    def functions(self, a: Function, b: Function) -> bool:
        return (a.name == b.name and list(a.state) == list(b.state) and self.parameters(a, b)
                and self.define(a.inputs, b.inputs) and self.define(_values(a.state), _values(b.state))
                and self.ops(a.ops, b.ops) and self.uses(a.results, b.results)
                and same_structure(a.structure, b.structure)
                and list(a.updates) == list(b.updates) and self.uses(_values(a.updates), _values(b.updates))
                and list(a.input_updates) == list(b.input_updates)
                and self.uses(_values(a.input_updates), _values(b.input_updates)))

    def parameters(self, a: Function, b: Function) -> bool:
        return len(a.parameters) == len(b.parameters) and all(
            p.name == q.name and p.keyword_only == q.keyword_only and p.optional == q.optional
            and same_structure(p.structure, q.structure) for p, q in zip(a.parameters, b.parameters, strict=True))

    def ops(self, a: Sequence[Op], b: Sequence[Op]) -> bool:
        return len(a) == len(b) and all(map(self.op, a, b))

    def op(self, a: Op, b: Op) -> bool:
        return (a.name == b.name and a.version == b.version and self.uses(a.operands, b.operands)
                and list(a.attributes) == list(b.attributes)
                and all(same_constant(v, b.attributes[k]) for k, v in a.attributes.items())
                and len(a.regions) == len(b.regions) and all(map(self.region, a.regions, b.regions))
                and self.define(a.results, b.results))

    def region(self, a: Region, b: Region) -> bool:
        return self.define(a.params, b.params) and self.ops(a.ops, b.ops) and self.uses(a.results, b.results)


def _values(mapping: Mapping[Any, Value]) -> Sequence[Value]:
    return tuple(mapping.values())
