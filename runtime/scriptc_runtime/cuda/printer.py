"""Kernels of elementwise formulas: the CPU's printer writes the formula, this module what is around it on a device.

Threads stride over the elements, taking 16 bytes at a time where elements lie side by side. Sizes, strides and constants are
arguments, so the text depends on the structure of a formula and of its operands' strides only; indices have 32 bits where they suffice.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal, Value
from scriptc.ir.types import DTYPES, TensorType
from scriptc_runtime.cpu.printer import Element, FormulaPrinter, Late, Unprintable, operands_of, trace
from scriptc_runtime.cpu.scalars import CONVERSIONS, FLOATS, INTEGERS
from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.mathematics import namespace
from scriptc_runtime.cuda.spelling import HALVES, spelling
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.fusion import Group

WIDEST = 16           # bytes of an access
LONG = 24             # lines of a formula beyond which a thread takes four elements at most: each is written out
_DTYPES = frozenset((*CONVERSIONS, *HALVES))
LOADS = {"float16": "h4({0})", "bfloat16": "g4({0})", "bool": "({0} != 0)"}
STORES = {"float16": "h2({0})", "bfloat16": "g2({0})", "bool": "u1(1 if {0} else 0)"}


def computed(dtype: str) -> str:
    """The dtype in which elements are computed."""
    return "float32" if dtype in HALVES else dtype


@dataclass(frozen=True, slots=True)
class Constant:
    """An argument that every element shares: a number, or (None) group input `late`, which arrives with the call."""

    dtype: str
    value: Any
    late: int | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """What is computed of one element of each input: lines over x0, x1, ... and k0, k1, ..., and the names of the results."""

    lines: tuple[str, ...]
    inputs: tuple[str, ...]          # dtypes in memory
    outputs: tuple[tuple[str, str], ...]    # (name, dtype in memory)
    constants: tuple[Constant, ...] = ()

    def element(self) -> list[str]:
        """The formula as a function `element` of one element of each input and the constants."""
        given = [*(f"x{i}" for i in range(len(self.inputs))), *(f"k{i}" for i in range(len(self.constants)))]
        return [f"def element({', '.join(given)}):", *(f"    {line}" for line in self.lines),
                f"    return {', '.join(name for name, _ in self.outputs)}"]


class DevicePrinter(FormulaPrinter, frozen=False, eq=False):
    """The formula printer with the device's spellings, and constants as arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: list[Constant] = []

    def spelling(self, name: str, dtype: str) -> str | None:
        return spelling(name, dtype)

    def constant(self, value: Any, dtype: str) -> Element:
        dtype = computed(dtype)
        key = (dtype, (type(value), value if value == value else "nan", math.copysign(1, value) if isinstance(value, float) else 0))
        if key not in self.known:
            if isinstance(value, complex) or (isinstance(value, float) and dtype not in FLOATS):
                raise Unprintable("a float constant among integers")
            if dtype in INTEGERS and not -(2**63) <= int(value) < 2**63:
                raise Unprintable("an int beyond 64 bits")
            self.known[key] = self.shared(Constant(dtype, value))
        return self.known[key]

    def shared(self, constant: Constant) -> Element:
        self.constants.append(constant)
        name = f"k{len(self.constants) - 1}"
        return Element(name, constant.dtype, self)

    def convert(self, value: Element, dtype: str) -> Element:
        if dtype in HALVES:     # rounded as it will be when it is stored
            number = value if value.dtype == "float32" else self.convert(value, "float32")
            return self.assign(LOADS[dtype].format(STORES[dtype].format(number.name)), "float32")
        if value.dtype in FLOATS and dtype in INTEGERS:
            return self.assign(f"{CONVERSIONS[dtype]}(whole({value.name}))", dtype)
        return super().convert(value, dtype)

    def select(self, condition: Any, a: Any, b: Any) -> Element:
        dtype = next(v.dtype for v in (a, b) if isinstance(v, Element))
        if not isinstance(condition, Element):
            raise Unprintable("where")
        test = condition if condition.dtype == "bool" else self.convert(condition, "bool")
        return self.assign(f"({self.operand(a, dtype)} if {test.name} else {self.operand(b, dtype)})", dtype)

    def power(self, x: Element, exponent: Any) -> Element:
        if x.dtype not in FLOATS and exponent == 0.5:
            raise Unprintable("pow")
        return super().power(x, exponent)


_DIVISIONS = ("floor_divide", "remainder", "fmod")


def printable(bound: BoundOp) -> bool:
    """True if this op alone can be printed."""
    if any(isinstance(k, TensorType) and k.dtype.name not in _DTYPES for k in (*bound.operand_types, *bound.result_types)):
        return False
    kind = bound.result_types[0]
    assert isinstance(kind, TensorType)
    if bound.name in _DIVISIONS and kind.dtype.name not in (*FLOATS, *HALVES):
        return False      # they raise
    if bound.name == "round" and bound.op.attributes.get("decimals"):
        return False
    printer = DevicePrinter()
    try:
        trace(_widened(bound), {v: _input(printer, i, k) for i, (v, k) in enumerate(zip(bound.operands, bound.operand_types, strict=True))
                                if not isinstance(v, Literal)}, printer)
    except Unprintable:
        return False
    return True


def _input(printer: DevicePrinter, index: int, kind: Any) -> Any:
    if isinstance(kind, TensorType):
        return Element(f"x{index}", computed(kind.dtype.name), printer)
    return Late(index, str(kind).startswith("float"))


def _widened(bound: BoundOp) -> BoundOp:
    """The op over the dtypes in which it is computed."""
    def wide(kind: Any) -> Any:
        return TensorType(DTYPES[computed(kind.dtype.name)], kind.shape) if isinstance(kind, TensorType) else kind
    return BoundOp(bound.op, bound.operands, tuple(map(wide, bound.operand_types)), tuple(map(wide, bound.result_types)))


@dataclass(frozen=True, slots=True)
class GroupFormula:
    """A group's formula, which group inputs are its tensors, and the shape with which each takes part in broadcasting."""

    formula: Formula
    tensors: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]


def formula_of(group: Group) -> GroupFormula:
    """Print the formula of a group. Unprintable if an operand is two shapes at once."""
    printer = DevicePrinter()
    kinds, shapes = operands_of(group)
    tensors = tuple(i for i, v in enumerate(group.inputs) if isinstance(kinds[v], TensorType))
    names: dict[Value, Any] = {}
    for position, index in enumerate(tensors):
        value = group.inputs[index]
        names[value] = Element(f"x{position}", computed(kinds[value].dtype.name), printer)
    for index, value in enumerate(group.inputs):
        if index not in tensors:
            names[value] = Late(index, str(kinds[value]) == "float")

    def late(element: Late, dtype: str) -> Element:
        if element.is_float and dtype not in FLOATS:
            raise Unprintable("a float scalar among integers")
        return printer.shared(Constant(dtype, None, element.index))

    results: dict[Value, str] = {}
    for bound in group.ops:
        names[bound.results[0]] = trace(_widened(bound), names, printer, late)
        kind = bound.result_types[0]
        assert isinstance(kind, TensorType)
        results[bound.results[0]] = kind.dtype.name
    outputs = tuple((names[v].name, results[v]) for v in group.outputs)
    formula = Formula(tuple(printer.lines), tuple(kinds[group.inputs[i]].dtype.name for i in tensors), outputs, tuple(printer.constants))
    return GroupFormula(formula, tensors, tuple(shapes[group.inputs[i]] for i in tensors))


def broadcast_strides(own: Sequence[int], strides: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an operand of sizes `own` over the loop nest of `shape`: 0 where it is repeated."""
    added = len(shape) - len(own)
    return (0,) * added + tuple(0 if n == 1 else s for n, s in zip(own, strides, strict=True))


def collapsed(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The loop nest with as few loops as the strides of all tensors allow; one loop at least."""
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for dim, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(m[-1] == s[dim] * size for m, s in zip(merged, strides, strict=True)):
            sizes[-1] *= size
            for m, s in zip(merged, strides, strict=True):
                m[-1] = s[dim]
        else:
            sizes.append(size)
            for m, s in zip(merged, strides, strict=True):
                m.append(s[dim])
    if not sizes:
        return [1], [[1] for _ in strides]
    return sizes, merged


@dataclass(frozen=True, slots=True)
class Access:
    """How tensor number `index` is reached: `strides` over the loops, and its alignment in bytes."""

    dtype: str
    strides: tuple[int, ...]
    alignment: int


@dataclass(slots=True)
class Printed:
    """A kernel's text, and its arguments after the tensors: sizes and strides as `index` numbers.

    `threads`: things that threads stride over, or `grid`: how many blocks of how many threads it takes.
    """

    text: Text
    numbers: list[int] = field(default_factory=list)
    index: type[np.generic] = np.uint32
    threads: int = 1
    grid: tuple[int, int] | None = None


def print_kernel(formula: Formula, sizes: Sequence[int], inputs: Sequence[Access], outputs: Sequence[Access], *, vectors: bool, wide: bool,
                 fastmath: bool = False) -> Printed:
    """The kernel of a formula over a loop nest; `vectors`: 16-byte accesses may be used, `wide`: 64-bit indices."""
    width = _width(sizes, inputs, outputs, 4 if len(formula.lines) > LONG else WIDEST) if vectors else 1
    index = "u8" if wide else "u4"
    numbers: list[int] = []
    names: dict[tuple[int, str], str] = {}

    def number(value: int, letter: str) -> str:
        numbers.append(value)
        return names.setdefault((len(numbers), letter), f"{letter}{len(numbers) - 1}")

    count = math.prod(sizes) // width
    total = number(count, "n")
    body: list[str] = []
    loops = [sizes[-1] // width, *reversed(sizes[:-1])]     # from the innermost out
    left = "q0"
    if len(loops) > 1:
        for depth, size in enumerate(loops[:-1]):
            limit = number(size, "z")
            body += [f"d{depth} = {index}({left} % {limit})", f"r{depth} = {index}({left} // {limit})"]
            left = f"r{depth}"
    body.append(f"d{len(loops) - 1} = {left}")
    places = []
    for position, reached in enumerate((*inputs, *outputs)):
        terms = []
        for depth, stride in enumerate(reversed(reached.strides)):
            if depth == 0 and stride == 1:
                terms.append(f"d0 * {index}({width})" if width > 1 else "d0")
            elif stride:
                terms.append(f"d{depth} * {number(stride, 's')}")
        body.append(f"p{position} = {index}({' + '.join(terms) or '0'})")
        places.append(f"p{position}")
    for position, reached in enumerate(inputs):
        body += _loads(f"v{position}", f"x{position}", places[position], reached, width, index)
    constants = [f"k{i}" for i in range(len(formula.constants))]
    given = [f"x{i}" for i in range(len(inputs))]
    results = [name for name, _ in formula.outputs]
    for lane in range(width):
        targets = ", ".join(f"e{number}_{lane}" for number in range(len(results)))
        arguments = ", ".join([*(f"{x}_{lane}" for x in given), *constants])
        body.append(f"{targets} = element({arguments})")
    for position, reached in enumerate(outputs):
        body += _stores(f"o{position}", f"e{position}", places[len(inputs) + position], reached, width, index)
    parameters = [*(f"v{i}" for i in range(len(inputs))), *(f"o{i}" for i in range(len(outputs))), *(names[i + 1, letter] for i, letter in
                  sorted((i - 1, letter) for i, letter in names)), *constants]
    kernel = [f"def kernel({', '.join(parameters)}):", f"    q0 = {index}(cuda.grid(1))", f"    q1 = {index}(cuda.gridsize(1))",
              f"    while q0 < {total}:", *(f"        {line}" for line in body), f"        q0 = {index}(q0 + q1)"]
    text = Text("\n".join((*formula.element(), *kernel)) + "\n", namespace, fastmath)
    return Printed(text, numbers, np.uint64 if wide else np.uint32, count)


def _width(sizes: Sequence[int], inputs: Sequence[Access], outputs: Sequence[Access], most: int) -> int:
    """How many neighbours are taken at once: they lie side by side, or are one value, in every tensor. 16 bytes of the widest elements."""
    if any(o.strides[-1] != 1 for o in outputs) or any(i.strides[-1] not in (0, 1) for i in inputs):
        return 1
    tensors = [a for a in (*inputs, *outputs) if a.strides[-1] == 1]
    width = min(most, WIDEST // max(_size_of(a.dtype).itemsize for a in tensors))
    while width > 1 and (sizes[-1] % width or not any(_is_vector(a, width) for a in tensors)):
        width //= 2
    return width


def _is_vector(reached: Access, width: int) -> bool:
    """True if `width` neighbours can be reached at once: they begin at multiples of their size."""
    return (reached.strides[-1] == 1 and reached.alignment % (width * _size_of(reached.dtype).itemsize) == 0
            and all(s % width == 0 for s in reached.strides[:-1]))


def _size_of(dtype: str) -> np.dtype:
    return DTYPES[dtype].numpy


def _loads(tensor: str, name: str, place: str, reached: Access, width: int, index: str) -> list[str]:
    pattern = LOADS.get(reached.dtype, "{0}")
    if width == 1:
        return [f"{name}_0 = " + pattern.format(f"{tensor}[{place}]")]
    if reached.strides[-1] == 0:
        return [f"{name}_0 = " + pattern.format(f"{tensor}[{place}]"), *(f"{name}_{lane} = {name}_0" for lane in range(1, width))]
    if _is_vector(reached, width):
        raw = [f"r{name[1:]}_{lane}" for lane in range(width)]
        return [f"{', '.join(raw)} = load{width}({tensor}, {place})", *(f"{name}_{lane} = " + pattern.format(r) for lane, r in enumerate(raw))]
    return [f"{name}_{lane} = " + pattern.format(f"{tensor}[{index}({place} + {index}({lane}))]") for lane in range(width)]


def _stores(tensor: str, name: str, place: str, reached: Access, width: int, index: str) -> list[str]:
    pattern = STORES.get(reached.dtype, "{0}")
    if width == 1:
        return [f"{tensor}[{place}] = " + pattern.format(f"{name}_0")]
    if _is_vector(reached, width):
        return [f"store{width}({tensor}, {place}, {', '.join(pattern.format(f'{name}_{lane}') for lane in range(width))})"]
    return [f"{tensor}[{index}({place} + {index}({lane}))] = " + pattern.format(f"{name}_{lane}") for lane in range(width)]
