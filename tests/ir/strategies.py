"""Hypothesis strategies for types and for programs that are well formed as text, whether or not they mean anything."""
from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from scriptc.ir import dims
from scriptc.ir.graph import (
    Fixed,
    Function,
    Group,
    Leaf,
    Literal,
    ModuleEntry,
    Op,
    Parameter,
    Program,
    Region,
    StateEntry,
    Structure,
    Value,
    literal,
)
from scriptc.ir.types import (
    BOOL,
    COMPLEX,
    DTYPES,
    FLOAT,
    INT,
    NONE,
    STR,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
)

dtypes = st.sampled_from(list(DTYPES.values()))
symbols = st.sampled_from(["N", "H", "W", "batch_1"]).map(dims.symbol)
_operations = st.sampled_from([dims.add, dims.subtract, dims.multiply, dims.floor_divide, dims.modulo])
sizes = st.recursive(
    st.integers(0, 1000) | symbols,
    lambda inner: st.builds(lambda f, a, b: f(a, b), _operations, inner, inner), max_leaves=5)
shape_sizes = (sizes | st.none()).map(lambda d: abs(d) if isinstance(d, int) else d)
tensor_types = st.builds(TensorType, dtypes, st.none() | st.lists(shape_sizes, max_size=4).map(tuple))
types = st.recursive(
    tensor_types | st.sampled_from([FLOAT, BOOL, COMPLEX, STR, NONE, INT]) | st.builds(IntType, sizes),
    lambda inner: st.builds(ListType, inner) | st.builds(OptionalType, inner) | st.builds(DictType, inner, inner)
    | st.lists(inner, max_size=3).map(lambda e: TupleType(tuple(e))), max_leaves=4)

names = st.sampled_from(["x", "h", "weight", "a.b.0", "0", ""]) | st.text(max_size=8)
constants = (st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8)
             | st.complex_numbers(allow_nan=False))
attributes: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | dtypes,
    lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
words = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@st.composite
def structures(draw: st.DrawFn, count: int, depth: int = 2) -> Structure:
    """A structure over `count` leaves."""
    kind = draw(st.sampled_from(["leaf", "fixed", "tuple", "list", "dict", "object"] if depth else ["leaf", "fixed"]))
    if kind == "leaf" and count:
        return Leaf(draw(st.integers(0, count - 1)))
    if kind in ("leaf", "fixed"):
        return Fixed(draw(constants))
    items = tuple(draw(st.lists(structures(count, depth - 1), max_size=3)))
    if kind in ("tuple", "list"):
        return Group(kind, items)
    keys = tuple(draw(st.text(max_size=4) | st.integers(-9, 9)) for _ in items)
    return Group(kind, items, keys, draw(names) if kind == "object" else "")


@st.composite
def _regions(draw: st.DrawFn, visible: tuple[Value, ...], depth: int) -> Region:
    params = tuple(draw(st.lists(st.builds(Value, types, names), max_size=2)))
    ops, inside = draw(_op_lists((*visible, *params), depth))
    return Region(params, ops, tuple(draw(st.lists(_operands(inside), max_size=2))))


def _operands(visible: tuple[Value, ...]) -> st.SearchStrategy[Value]:
    literals = constants.map(literal) | st.builds(Literal, types, st.just(""), constants)
    return literals | st.sampled_from(visible) if visible else literals


@st.composite
def _op_lists(draw: st.DrawFn, visible: tuple[Value, ...], depth: int) -> tuple[tuple[Op, ...], tuple[Value, ...]]:
    ops: list[Op] = []
    for _ in range(draw(st.integers(0, 3))):
        operands = tuple(draw(st.lists(_operands(visible), max_size=3)))
        given = draw(st.dictionaries(words, attributes, max_size=2))
        regions = tuple(draw(st.lists(_regions(visible, depth - 1), max_size=2))) if depth else ()
        results = tuple(draw(st.lists(st.builds(Value, types, names), max_size=2)))
        name = draw(words.filter(lambda w: w not in ("yield", "return", "update", "state", "args")))
        ops.append(Op(name, operands, given, results, regions, version=draw(st.integers(1, 3))))
        visible = (*visible, *results)
    return tuple(ops), visible


@st.composite
def functions(draw: st.DrawFn) -> Function:
    """A function whose text is well formed."""
    inputs = tuple(draw(st.lists(st.builds(Value, types, names), max_size=3)))
    state = {n: Value(draw(tensor_types), draw(names | st.just(n))) for n in draw(st.lists(names, max_size=2, unique=True))}
    ops, visible = draw(_op_lists((*inputs, *state.values()), 2))
    results = tuple(draw(st.lists(_operands(visible), max_size=3)))
    parameters = tuple(
        Parameter(draw(names), draw(structures(len(inputs))), draw(st.booleans()), draw(st.booleans()))
        for _ in range(draw(st.integers(0, 2))))
    updates = {n: draw(_operands(visible)) for n in draw(st.lists(names, max_size=2, unique=True))}
    input_updates = {i: draw(_operands(visible)) for i in draw(st.lists(st.integers(0, 5), max_size=2, unique=True))}
    return Function(draw(names), parameters, inputs, MappingProxyType(state), ops, results,
                    draw(structures(len(results))), MappingProxyType(updates), MappingProxyType(input_updates))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A program whose text is well formed."""
    keys = draw(st.lists(names, max_size=2, unique=True))
    entries = st.builds(StateEntry, names, tensor_types, names, st.booleans(), st.none() | names)
    modules = st.builds(ModuleEntry, names, names, st.text(max_size=8))
    return Program({k: draw(functions()) for k in keys}, tuple(draw(st.lists(entries, max_size=3))),
                   tuple(draw(st.lists(modules, max_size=2))), (), draw(st.text(max_size=8)))
