"""One Python function per elementwise group, printed from the ops' scalar formulas for numba to compile.

Names come from counters, constants from the tables `n` (sizes, strides, ints) and `c` (floats), so the text depends on
the structure of a group only: groups of equal structure share one compilation, and nothing of a model's text is in it.
Letters of counted names: v and o arrays, z and s sizes and strides, d places along a dimension, p where a row begins, x elements,
k constants, t results. None of them makes the name of a conversion (`b1`, `i8`), which it would hide.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scriptc.ir.expressions import Operators
from scriptc.ir.graph import Literal, Value
from scriptc.ir.registry import OpDef
from scriptc.ir.types import TensorType
from scriptc.records import Record, field
from scriptc_runtime.cpu.scalars import BOOL_RESULTS, CONVERSIONS, spelling
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.fusion import Group

MAX_RANK = 4
WHOLE = {"floor_divide": "({0} // {1})", "remainder": "({0} % {1})"}     # by a known positive number: nothing to raise, nothing that overflows


class Unprintable(Exception):
    """A formula uses something that has no spelling."""


class Layout(Record):
    """How a group's operands lie over its loop nest: sizes of the loops, and per tensor its stride in each (0: broadcast)."""

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]


class Printed(Record, frozen=False, eq=False):
    """A printed group: the text, and what to put in the tables when it is called."""

    source: str
    pointers: tuple[str, ...]                  # element dtypes of the tensor arguments, inputs first
    tensors: tuple[int, ...]                   # which group inputs are tensors, in pointer order
    integers: list[int | None]                 # table n; None: a scalar that arrives with the call
    floats: list[float | None]                 # table c
    scalars: list[tuple[int, str, int]]        # (group input, table, index)
    shapes: tuple[tuple[int, ...], ...]        # the shape each tensor input must have when it is called
    outer: tuple[int, ...] = ()                # elements from turn to turn of the outermost loop, per pointer
    outputs: tuple[int, ...] = ()              # which group outputs have pointers of their own; the others overwrite an input


class Element(Operators):
    """One element inside a formula: the name it has in the printed text and its dtype."""

    __slots__ = ("dtype", "name", "printer")

    def __init__(self, name: str, dtype: str, printer: FormulaPrinter) -> None:
        self.name = name
        self.dtype = dtype
        self.printer = printer

    def __apply_op__(self, definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Element:
        return self.printer.apply(definition, arguments, attributes)


class FormulaPrinter(Record, frozen=False, eq=False):
    lines: list[str] = field(default_factory=list)      # the loop's body
    head: list[str] = field(default_factory=list)       # before the loops: constants
    integers: list[int | None] = field(default_factory=list)
    floats: list[float | None] = field(default_factory=list)
    known: dict[tuple[str, object], Element] = field(default_factory=dict)

    def spelling(self, name: str, dtype: str) -> str | None:
        """The pattern for op `name` on elements of `dtype`; None if there is none."""
        return spelling(name, dtype)

    def apply(self, definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Element:
        name = definition.name
        if name == "cast":
            return self.convert(arguments[0], attributes["dtype"].name)
        elements = [a for a in arguments if isinstance(a, Element)]
        if name == "where":
            return self.select(arguments[0], arguments[1], arguments[2])
        if name == "masked_fill":
            return self.select(arguments[1], arguments[2], arguments[0])
        if name == "clamp":
            return self.clamp(*arguments)
        if name == "pow" and isinstance(arguments[0], Element) and not isinstance(arguments[1], Element) \
                and arguments[1] in (0.5, 1, 2, 3):
            return self.power(arguments[0], arguments[1])
        if name in WHOLE and elements[0].dtype in ("int64", "int32") and type(arguments[1]) is int and arguments[1] > 0:
            return self.assign(WHOLE[name].format(elements[0].name, self.operand(arguments[1], elements[0].dtype)), elements[0].dtype)
        if name == "exp2":
            return self.apply_named("exp", self.apply_named("mul", elements[0], math.log(2.0)))
        if name == "round" and (attributes.get("decimals") or elements[0].dtype not in ("float32", "float64")):
            raise Unprintable(name)
        dtype = elements[0].dtype
        pattern = self.spelling(name, dtype)
        if pattern is None:
            if definition.formula is None:
                raise Unprintable(name)
            result = definition.formula(*arguments, **attributes)
            if not isinstance(result, Element):
                raise Unprintable(name)
            return result
        operands = [self.operand(a, dtype) for a in arguments]
        text = pattern.format(*operands, T=CONVERSIONS[dtype])
        return self.assign(text, "bool" if name in BOOL_RESULTS else dtype)

    def apply_named(self, name: str, *arguments: Any) -> Element:
        from scriptc.ir.registry import REGISTRY

        return self.apply(REGISTRY[name], arguments, {})

    def operand(self, value: Any, dtype: str) -> str:
        """The text of an operand in `dtype`."""
        if isinstance(value, Element):
            if value.dtype != dtype:
                return self.convert(value, dtype).name
            return value.name
        return self.constant(value, dtype).name

    def constant(self, value: Any, dtype: str) -> Element:
        """A constant of the model, by way of a table."""
        key = (dtype, (type(value), value if value == value else "nan", math.copysign(1, value) if isinstance(value, float) else 0))
        if key not in self.known:
            if isinstance(value, float) and dtype not in ("float32", "float64"):
                raise Unprintable("a float constant among integers")
            table, entry = (self.floats, float(value)) if dtype in ("float32", "float64") else (self.integers, int(value))
            if table is self.integers and not -(2**63) <= entry < 2**63:
                raise Unprintable("an int beyond 64 bits")
            table.append(entry)  # type: ignore[arg-type]
            self.known[key] = self.from_table("c" if table is self.floats else "n", len(table) - 1, dtype)
        return self.known[key]

    def from_table(self, table: str, index: int, dtype: str) -> Element:
        name = f"k{len(self.head)}"
        place = f"{table}[{index}]"
        self.head.append(f"{name} = ({place} != 0)" if dtype == "bool" else f"{name} = {CONVERSIONS[dtype]}({place})")
        return Element(name, dtype, self)

    def assign(self, text: str, dtype: str) -> Element:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {CONVERSIONS[dtype]}({text})")
        return Element(name, dtype, self)

    def convert(self, value: Element, dtype: str) -> Element:
        if value.dtype == dtype:
            return value
        if dtype not in CONVERSIONS or (value.dtype.startswith("float") and not dtype.startswith("float") and dtype != "bool"):
            raise Unprintable(f"a cast of {value.dtype} to {dtype}")
        if dtype == "bool":
            return self.assign(f"({value.name} != {CONVERSIONS[value.dtype]}(0))", "bool")
        return self.assign(f"{CONVERSIONS[dtype]}({value.name})", dtype)

    def select(self, condition: Any, a: Any, b: Any) -> Element:
        dtype = next(v.dtype for v in (a, b) if isinstance(v, Element))
        if not isinstance(condition, Element) or dtype == "bool":
            raise Unprintable("where")
        return self.assign(f"({self.operand(a, dtype)} if {condition.name} else {self.operand(b, dtype)})", dtype)

    def clamp(self, x: Any, low: Any, high: Any) -> Element:
        result = x
        if low is not None:
            result = self.apply_named("maximum", result, low)
        return result if high is None else self.apply_named("minimum", result, high)

    def power(self, x: Element, exponent: Any) -> Element:
        """The powers that are cheaper than a call of `pow`."""
        if exponent == 0.5:
            return self.apply_named("sqrt", x)
        return x if exponent == 1 else x * x if exponent == 2 else x * x * x

    def batch_norm(self, eps: float, x: Element, mean: Element, var: Element, weight: Any, bias: Any) -> Element:
        scale = self.apply_named("div", self.constant(1.0, x.dtype), self.apply_named("sqrt", var + eps))
        result = (x - mean) * (scale if weight is None else scale * weight)
        return result if bias is None else result + bias


def printable(bound: BoundOp) -> bool:
    """True if this op alone can be printed: its dtypes and everything in its formula have a spelling."""
    for kind in (*bound.operand_types, *bound.result_types):
        if isinstance(kind, TensorType) and kind.dtype.name not in CONVERSIONS:
            return False
    printer = FormulaPrinter()
    try:
        trace(bound, {v: _input(printer, i, v, k) for i, (v, k) in enumerate(zip(bound.operands, bound.operand_types, strict=True))
                       if not isinstance(v, Literal)}, printer)
    except Unprintable:
        return False
    return True


def _input(printer: FormulaPrinter, index: int, value: Value, kind: Any) -> Any:
    if isinstance(kind, TensorType):
        return Element(f"x{index}", kind.dtype.name, printer)
    return Late(index, str(kind).startswith("float"))


class Late(Record):
    """A scalar that arrives with the call: group input `index`."""

    index: int
    is_float: bool


def trace(bound: BoundOp, names: Mapping[Value, Any], printer: FormulaPrinter, late: Any = None) -> Element:
    """Print one op; `late` makes an element of a scalar that arrives with the call."""
    from scriptc.ir.registry import REGISTRY

    dtype = next(k.dtype.name for v, k in zip(reversed(bound.operands), reversed(bound.operand_types), strict=True)
                 if isinstance(k, TensorType))
    if bound.name == "masked_fill":
        first = bound.operand_types[0]
        assert isinstance(first, TensorType)
        dtype = first.dtype.name
    arguments: list[Any] = []
    for value in bound.operands:
        element = value.data if isinstance(value, Literal) else names[value]
        if isinstance(element, Late):
            element = Element("k0", dtype, printer) if late is None else late(element, dtype)
        arguments.append(element)
    if bound.name == "batch_norm":
        eps = bound.op.attributes["eps"]
        assert isinstance(eps, float)
        return printer.batch_norm(eps, *arguments)
    if bound.name == "where" and not isinstance(arguments[0], Element):
        raise Unprintable("where")
    return printer.apply(REGISTRY[bound.name], arguments, bound.op.attributes)


def operand_shape(bound: BoundOp, index: int) -> tuple[int, ...]:
    """The shape with which an operand takes part in broadcasting: batch_norm's parameters stand along dimension 1."""
    kind = bound.operand_types[index]
    assert isinstance(kind, TensorType) and kind.shape is not None
    shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
    if bound.name == "batch_norm" and index > 0:
        result = bound.result_types[0]
        assert isinstance(result, TensorType) and result.shape is not None
        return (*shape, *(1,) * (len(result.shape) - 2))
    return shape


def layout(shape: tuple[int, ...], operands: Sequence[tuple[int, ...]]) -> Layout:
    """The loop nest over `shape` with as few loops as the operands' broadcasting allows."""
    rank = len(shape)
    strides: list[list[int]] = []
    for own in operands:
        padded = (1,) * (rank - len(own)) + own
        steps, step = [0] * rank, 1
        for dim in range(rank - 1, -1, -1):
            steps[dim] = step if padded[dim] != 1 else 0
            step *= padded[dim]
        strides.append(steps)
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in operands]
    for dim in range(rank):
        if shape[dim] == 1:
            continue
        if sizes and all(m[-1] == s[dim] * shape[dim] for m, s in zip(merged, strides, strict=True)):
            sizes[-1] *= shape[dim]
            for m, s in zip(merged, strides, strict=True):
                m[-1] = s[dim]
        else:
            sizes.append(shape[dim])
            for m, s in zip(merged, strides, strict=True):
                m.append(s[dim])
    if not sizes:
        return Layout((1,), tuple((1,) for _ in operands))
    return Layout(tuple(sizes), tuple(map(tuple, merged)))


def operands_of(group: Group) -> tuple[dict[Value, Any], dict[Value, tuple[int, ...]]]:
    """The types of what a group's ops read, and the shapes of the tensors. Unprintable if one is two shapes at once."""
    kinds: dict[Value, Any] = {}
    shapes: dict[Value, tuple[int, ...]] = {}
    for bound in group.ops:
        for index, value in enumerate(bound.operands):
            if isinstance(value, Literal):
                continue
            kinds[value] = bound.operand_types[index]
            if isinstance(kinds[value], TensorType):
                shape = operand_shape(bound, index)
                if shapes.setdefault(value, shape) != shape:
                    raise Unprintable("an operand with two shapes")
    return kinds, shapes


def print_group(group: Group) -> Printed:
    """The loop of a group. Unprintable if it has too many loops, or an operand that is two shapes at once."""
    printer = FormulaPrinter()
    kinds, shapes = operands_of(group)
    tensors = [i for i, v in enumerate(group.inputs) if isinstance(kinds[v], TensorType)]
    results = {m.results[0]: m.result_types[0].dtype.name for m in group.ops}  # type: ignore[union-attr]
    plan = layout(group.shape, [shapes[group.inputs[i]] for i in tensors])
    rank = len(plan.sizes)
    if rank > MAX_RANK:
        raise Unprintable("too many loops")
    printer.integers += plan.sizes
    bases: list[str] = []           # per tensor: offset text outside the inner loop
    for strides in plan.strides:
        terms = []
        for dim, stride in enumerate(strides[:-1]):
            if stride:
                printer.integers.append(stride)
                terms.append(f"d{dim} * s{len(printer.integers) - 1}")
        bases.append(" + ".join(terms))
    used = range(rank, len(printer.integers))
    sizes_text = [f"z{d} = n[{d}]" for d in range(rank)] + [f"s{i} = n[{i}]" for i in used]
    names: dict[Value, Any] = {}
    outer: list[str] = []
    inner: list[str] = []
    for position, index in enumerate(tensors):
        value, dtype = group.inputs[index], kinds[group.inputs[index]].dtype.name
        text = f"v{position}[" + (f"p{position} + d{rank - 1}" if plan.strides[position][-1] else f"p{position}") + "]"
        text = f"({text} != 0)" if dtype == "bool" else text
        outer.append(f"p{position} = {bases[position] or '0'}")
        (inner if plan.strides[position][-1] else outer).append(f"x{position} = {text}")
        names[value] = Element(f"x{position}", dtype, printer)
    scalars: list[tuple[int, str, int]] = []
    for index, value in enumerate(group.inputs):
        if index not in tensors:
            names[value] = Late(index, str(kinds[value]) == "float")

    def late(element: Late, dtype: str) -> Element:
        table, letter = (printer.floats, "c") if element.is_float else (printer.integers, "n")
        if element.is_float and dtype not in ("float32", "float64"):
            raise Unprintable("a float scalar among integers")
        table.append(None)
        scalars.append((element.index, letter, len(table) - 1))
        return printer.from_table(letter, len(table) - 1, dtype)

    for bound in group.ops:
        names[bound.results[0]] = trace(bound, names, printer, late)
    stores = []
    overwritten = {number: tensors.index(index) for number, index in group.over}
    own = tuple(number for number in range(len(group.outputs)) if number not in overwritten)
    for number, value in enumerate(group.outputs):
        element = names[value]
        text = f"u1(1 if {element.name} else 0)" if results[value] == "bool" else element.name
        # Through the same pointer as the load: LLVM sees that no other element is touched, and goes on with vectors.
        over = overwritten.get(number)
        place = f"o{own.index(number)}[p{len(tensors)}" if over is None else f"v{over}[p{over}"
        stores.append(f"{place} + d{rank - 1}] = {text}")
    steps = [math.prod(plan.sizes[d + 1:]) for d in range(rank - 1)]
    terms = []
    for dim, step in enumerate(steps):
        printer.integers.append(step)
        sizes_text.append(f"s{len(printer.integers) - 1} = n[{len(printer.integers) - 1}]")
        terms.append(f"d{dim} * s{len(printer.integers) - 1}")
    outer.append(f"p{len(tensors)} = {' + '.join(terms) or '0'}")
    arguments = [*(f"v{p}" for p in range(len(tensors))), *(f"o{p}" for p in range(len(own))), "n", "c"]
    lines = [f"def kernel({', '.join(arguments)}):"]
    lines += [f"    {line}" for line in (*sizes_text, *printer.head)]
    for dim in range(rank - 1):
        lines.append(f"{'    ' * (dim + 1)}for d{dim} in range(z{dim}):")
    lines += [f"{'    ' * rank}{line}" for line in outer]
    lines.append(f"{'    ' * rank}for d{rank - 1} in range(z{rank - 1}):")
    lines += [f"{'    ' * (rank + 1)}{line}" for line in (*inner, *printer.lines, *stores)]
    pointers = (*(kinds[group.inputs[i]].dtype.name for i in tensors), *(results[group.outputs[number]] for number in own))
    return Printed("\n".join(lines) + "\n", pointers, tuple(tensors), printer.integers, printer.floats, scalars,
                   tuple(kinds[group.inputs[i]].shape for i in tensors),
                   (*(strides[0] for strides in plan.strides), *[math.prod(plan.sizes[1:])] * len(own)), own)
