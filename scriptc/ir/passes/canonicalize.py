"""Canonical forms: ops that change nothing, sizes that are known, branches that are decided."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from scriptc.ir.graph import Function, Literal, Op, Region, Value, literal
from scriptc.ir.rewrite import RewriteBuilder, rewrite
from scriptc.ir.types import NONE, IntType, OptionalType, TensorType, Type


def canonicalize(function: Function) -> Function:
    """Drop what changes nothing, name what is known, and take the branches that are decided.

        %0 = reshape(%x, 2, 3) : float32[2, 3]     (x is float32[2, 3])
        %1 = size(%0) {dim=0} : int(2)         =>  %4 = relu(%x)
        %2 = if(True)                              return %4, 2
          region()
            %4 = relu(%0)
            yield %4
          ...
        return %2, %1
    """
    return rewrite(function, simplify)


def simplify(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """The simpler values that stand for an op's results; None to keep it."""
    rule = RULES.get(op.name)
    if rule is not None:
        found = rule(op, builder)
        if found is not None:
            return found
    if len(op.results) == 1 and op.name.startswith(SIZES):
        known = known_int(op.result)
        return None if known is None else [literal(known)]
    return None


# Ops whose int result is what its type says, and nothing else.
SIZES = ("scalar_", "size", "rank", "numel", "list_length")


def known_int(value: Value) -> int | None:
    """The number an int is known to be."""
    return value.type.value if isinstance(value.type, IntType) and isinstance(value.type.value, int) else None


def is_number(value: Value, number: float) -> bool:
    """True for the literal `number`, not for a bool."""
    return isinstance(value, Literal) and not isinstance(value.data, bool | str) and value.data == number


def is_literal(value: Value, data: object) -> bool:
    """True for the literal True, False, None or string `data`."""
    return isinstance(value, Literal) and type(value.data) is type(data) and value.data == data


def same_type(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """reshape(x, ...) -> x where the result has x's very type, every size a number or the same expression."""
    first = op.operands[0]
    kind = first.type
    known = isinstance(kind, TensorType) and kind.shape is not None and None not in kind.shape
    return [first] if known and kind == op.result.type else None


def permuted(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """permute by the identity -> x; permute(permute(x)) -> one permute"""
    dims = op.attributes["dims"]
    assert isinstance(dims, tuple)
    order = [d % len(dims) for d in dims if isinstance(d, int)]
    if order == list(range(len(order))):
        return [op.operands[0]]
    inner = builder.producer(op.operands[0], "permute")
    if inner is None:
        return None
    first = inner.attributes["dims"]
    assert isinstance(first, tuple)
    return builder.emit("permute", inner.operands, {"dims": tuple(first[d] for d in order)})


def reshaped(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """reshape(reshape(x)) -> one reshape"""
    found = same_type(op, builder)
    inner = builder.producer(op.operands[0], "reshape")
    if found is not None or inner is None:
        return found
    kind = op.result.type
    again = builder.emit("reshape", [inner.operands[0], *op.operands[1:]])
    return again if again[0].type == kind else None


def neutral(number: float, right_only: bool) -> Callable[[Op, RewriteBuilder], Sequence[Value] | None]:
    """x op number -> x, where the result has x's type."""
    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        a, b = op.operands
        if is_number(b, number) and a.type == op.result.type:
            return [a]
        if not right_only and is_number(a, number) and b.type == op.result.type:
            return [b]
        return None
    return rule


def connective(stays: bool) -> Callable[[Op, RewriteBuilder], Sequence[Value] | None]:
    """x and True -> x, x and False -> False; with `stays` False the same for `or`."""
    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        for one, other in (op.operands, op.operands[::-1]):
            if is_literal(one, stays):
                return [other]
            if is_literal(one, not stays):
                return [one]
        return [op.operands[0]] if op.operands[0] is op.operands[1] else None
    return rule


def negated(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """not not x -> x"""
    inner = builder.producer(op.operands[0], "scalar_not")
    return None if inner is None else [inner.operands[0]]


def unpacked(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """tuple_get(tuple_new(a, b)) -> a"""
    made = builder.producer(op.operands[0], "tuple_new")
    index = op.attributes["index"]
    return None if made is None or not isinstance(index, int) else [made.operands[index]]


def list_item(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """list_get(list_new(a, b), 1) -> b"""
    made, index = builder.producer(op.operands[0], "list_new"), known_int(op.operands[1])
    if made is None or index is None or not -len(made.operands) <= index < len(made.operands):
        return None
    item = made.operands[index]
    return [item] if coerces(item.type, op.result.type) else None


def list_size(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """list_length(list_new(a, b)) -> 2"""
    made = builder.producer(op.operands[0], "list_new")
    return None if made is None else [literal(len(made.operands))]


def none_or_not(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """optional_is_none(optional_wrap(x)) -> False"""
    value = op.operands[0]
    if value.type == NONE or builder.producer(value, "optional_none"):
        return [literal(True)]
    return [literal(False)] if builder.producer(value, "optional_wrap") else None


def unwrapped(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """optional_get(optional_wrap(x)) -> x"""
    made = builder.producer(op.operands[0], "optional_wrap")
    return None if made is None else [made.operands[0]]


def passed(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """A check that holds is dropped."""
    return [] if is_literal(op.operands[0], True) else None


def decided(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """if(True) -> its first region; an `if` whose regions compute nothing and agree -> what they yield"""
    condition = op.operands[0]
    if isinstance(condition, Literal):
        return inlined(op, op.regions[0 if condition.data else 1], builder)
    first, second = op.regions
    agreed = not first.ops and not second.ops and all(
        a is b or (isinstance(a, Literal) and isinstance(b, Literal) and is_literal(a, b.data))
        for a, b in zip(first.results, second.results, strict=True))
    return inlined(op, first, builder) if agreed else None


def inlined(op: Op, region: Region, builder: RewriteBuilder) -> Sequence[Value] | None:
    """The region's ops where `op` stood. None if what it yields cannot stand for the op's results."""
    pairs = list(zip(region.results, op.results, strict=True))
    if not all(a.type == NONE or coerces(a.type, element_of(r.type)) for a, r in pairs):
        return None
    for inner in region.ops:
        builder.append(inner)
    return [as_optional(value, result.type, builder) for value, result in pairs]


def element_of(kind: Type) -> Type:
    return kind.element if isinstance(kind, OptionalType) else kind


def coerces(kind: Type, wanted: Type) -> bool:
    """True if a value of type `kind` may stand where `wanted` was: the same, or the same with more sizes known."""
    if isinstance(kind, OptionalType):
        return coerces(kind.element, wanted)
    if isinstance(kind, TensorType) and isinstance(wanted, TensorType):
        return kind.dtype is wanted.dtype
    return kind == wanted or (isinstance(kind, IntType) and isinstance(wanted, IntType))


def as_optional(value: Value, kind: Type, builder: RewriteBuilder) -> Value:
    """`value`, made an optional where `kind` is one and it is not: branches coerce what they yield."""
    if not isinstance(kind, OptionalType) or isinstance(value.type, OptionalType):
        return value
    if value.type == NONE:
        return builder.emit_one("optional_none", (), {"element": str(kind.element)})
    return builder.emit_one("optional_wrap", [value])


def never_entered(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
    """A loop of no iterations -> what it was given."""
    count, go, *carried = op.operands
    trips = known_int(count)
    if not is_literal(go, False) and (trips is None or trips > 0):
        return None
    pairs = list(zip(carried, op.results, strict=True))
    if not all(a.type == NONE or coerces(a.type, element_of(r.type)) for a, r in pairs):
        return None
    return [as_optional(value, result.type, builder) for value, result in pairs]


RULES: dict[str, Callable[[Op, RewriteBuilder], Sequence[Value] | None]] = {
    "reshape": reshaped, "expand": same_type, "cast": same_type, "reshape_as": same_type, "expand_as": same_type,
    "sum_to": same_type, "permute": permuted,
    # x + 0 is not x for -0.0; x * 1 and x / 1 are.
    "mul": neutral(1, False), "div": neutral(1, True), "pow": neutral(1, True),
    "scalar_and": connective(True), "scalar_or": connective(False), "scalar_not": negated,
    "tuple_get": unpacked, "list_get": list_item, "list_length": list_size,
    "optional_is_none": none_or_not, "optional_get": unwrapped,
    "check": passed, "if": decided, "loop": never_entered,
}
