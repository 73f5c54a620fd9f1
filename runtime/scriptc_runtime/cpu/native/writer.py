"""The text of a routine as it grows: statements, variables, tables of constants, memory."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scriptc.records import field
from scriptc_runtime.cpu.native.machine import POINTERS
from scriptc_runtime.cpu.native.values import TINY, Buffer, Cells, Items, Memory, Shape, Tensor, contiguous, flat, numel, places
from scriptc_runtime.cpu.printer import Element, FormulaPrinter, Unprintable
from scriptc_runtime.cpu.scalars import CONVERSIONS

MOST_LINES = 3000          # of one routine: numba's time grows with them
MOST_SCRATCH = 4 << 20     # bytes; beyond them the time goes to memory, not to calls
LINE = 64                  # bytes of a cache line: where scratch tensors begin

# What a routine answers; BUDGET + n: its n-th loop ran too long.
DONE, ELSEWHERE, STOPPED, FULL, BUDGET = 0, 1, 2, 3, 16

# The first words of its table.
POLL, LIMIT, FUEL, SCRATCH = range(4)

_RESERVED = frozenset(CONVERSIONS.values())
_SIZES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1}


class Writer(FormulaPrinter, frozen=False, eq=False):
    """Statements at the present depth. `integers` is the routine's table of words, `floats` that of doubles."""

    depth: int = 1
    scratch: int = 0                                   # bytes
    buffers: list[Buffer] = field(default_factory=list)
    lists: list[Items] = field(default_factory=list)
    rooms: list[tuple[int, int]] = field(default_factory=list)   # per buffer the words of its address and of its capacity
    work: int = 0                                      # element operations written so far in this turn, roughly
    _names: int = 0
    _roots: int = 0
    _pointers: dict[tuple[str, str], str] = field(default_factory=dict)

    # Statements.

    def put(self, text: str) -> None:
        if len(self.lines) >= MOST_LINES:
            raise Unprintable("too long")
        self.lines.append("    " * self.depth + text)

    def name(self, letter: str) -> str:
        """A new variable; never the name of a conversion (`i8`), which it would hide."""
        self._names += 1
        name = f"{letter}{self._names}"
        return self.name(letter) if name in _RESERVED else name

    def assign(self, text: str, dtype: str) -> Element:
        name = self.name("t")
        self.put(f"{name} = {CONVERSIONS[dtype]}({text})")
        self.work += 1
        return Element(name, dtype, self)

    def give_up(self, condition: str) -> None:
        """Leave the routine where the references know better."""
        self.put(f"if {condition}:")
        self.put(f"    return {ELSEWHERE}")

    def inside(self, header: str, write: Callable[[], None]) -> None:
        """A block of statements under a header."""
        self.put(header)
        self.depth += 1
        self.put("x0 = i8(0)")
        write()
        self.depth -= 1

    def word(self, value: int | None = None) -> int:
        """A new place in the table of words."""
        self.integers.append(value)
        return len(self.integers) - 1

    # Scalars.

    def scalar(self, value: Any, dtype: str) -> Element:
        """A scalar of the program as a variable or constant of a dtype."""
        if isinstance(value, Element):
            return self.convert(value, dtype)
        if value is None or isinstance(value, str):
            raise Unprintable("not a number")
        if dtype == "float64":
            return self.constant(float(value), dtype)
        return Element(f"{CONVERSIONS[dtype]}({int(value)})", dtype, self) if int(value) >= 0 else self.constant(int(value), dtype)

    def index(self, value: Any) -> str:
        """An int as text for arithmetic on places."""
        if isinstance(value, Element):
            return self.convert(value, "int64").name
        if int(value) < 0:
            return self.constant(int(value), "int64").name
        return str(int(value))

    # Memory.

    def allocate(self, dtype: str, shape: Shape) -> Memory:
        """Scratch for a tensor."""
        size = _SIZES[dtype]
        start = self.scratch
        self.scratch += -(-numel(shape) * size // LINE) * LINE
        if self.scratch > MOST_SCRATCH:
            raise Unprintable("too much memory")
        return self.memory(dtype, shape, f"n[{SCRATCH}]", str(start // size))

    def memory(self, dtype: str, shape: Shape, address: str, offset: str = "0") -> Memory:
        """A row-major tensor at an address that is known when the routine begins."""
        key = address, POINTERS[dtype]
        if key not in self._pointers:
            number = len(self._pointers)
            self._pointers[key] = f"{number}"
            self.head.append(f"d{number} = {address}")
            self.head.append(f"p{number} = {POINTERS[dtype]}(d{number})")
        number_text = self._pointers[key]
        self._roots += 1
        return Memory(dtype, shape, contiguous(shape), f"p{number_text}", offset, self._roots, f"d{number_text}")

    def from_table(self, table: str, index: int, dtype: str) -> Element:
        name = f"k{len(self.head)}"
        place = f"{table}[{index}]"
        self.head.append(f"{name} = ({place} != 0)" if dtype == "bool" else f"{name} = {CONVERSIONS[dtype]}({place})")
        return Element(name, dtype, self)

    def address(self, memory: Memory) -> str:
        """Where a tensor begins, as text."""
        return f"{memory.base} + {_SIZES[memory.dtype]} * ({memory.offset})"

    def load(self, memory: Memory, place: str) -> Element:
        text = f"{memory.pointer}[{memory.offset} + {place}]"
        return self.assign(f"{text} != 0" if memory.dtype == "bool" else text, memory.dtype)

    def store(self, memory: Memory, place: str, element: Element) -> None:
        text = f"u1(1 if {element.name} else 0)" if memory.dtype == "bool" else element.name
        self.put(f"{memory.pointer}[{memory.offset} + {place}] = {text}")

    # Tensors.

    def cells(self, tensor: Tensor) -> Cells:
        """The elements in variables. Unprintable if there are too many."""
        if isinstance(tensor, Cells):
            return tensor
        if numel(tensor.shape) > TINY:
            raise Unprintable("a tensor too large for variables")
        return Cells(tensor.dtype, tensor.shape, tuple(
            self.load(tensor, str(sum(i * s for i, s in zip(index, tensor.strides, strict=True)))) for index in places(tensor.shape)))

    def settled(self, memory: Memory) -> Tensor:
        """A tensor in the form of its size: small ones in variables."""
        return self.cells(memory) if numel(memory.shape) <= TINY else memory

    def laid_out(self, tensor: Tensor) -> Memory:
        """The tensor in memory."""
        if isinstance(tensor, Memory):
            return tensor
        made = self.allocate(tensor.dtype, tensor.shape)
        self.copy(made, tensor)
        return made

    def row_major(self, tensor: Tensor) -> Tensor:
        """The tensor without gaps."""
        if isinstance(tensor, Cells) or tensor.is_contiguous:
            return tensor
        made = self.allocate(tensor.dtype, tensor.shape)
        self.copy(made, tensor)
        return made

    def copy(self, target: Memory, source: Tensor) -> None:
        """Fill memory with a tensor of its shape."""
        if isinstance(source, Cells):
            for index, element in zip(places(source.shape), source.elements, strict=True):
                self.store(target, str(sum(i * s for i, s in zip(index, target.strides, strict=True))), element)
            return

        def body(at: Sequence[str]) -> None:
            self.store(target, at[0], self.load(source, at[1]))
        self.loops(source.shape, (target.strides, source.strides), body)

    def loops(self, shape: Shape, strides: Sequence[Shape], body: Callable[[Sequence[str]], None]) -> None:
        """Nested loops over a shape; `body` gets the text of each operand's place. Dimensions that lie alike become one."""
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
        names = [self.name("i") for _ in sizes]
        before = self.work
        for name, size in zip(names, sizes, strict=True):
            self.put(f"for {name} in range({size}):")
            self.depth += 1
        body([" + ".join(f"{n} * {s}" if s != 1 else n for n, s in zip(names, m, strict=True) if s) or "0" for m in merged])
        self.depth -= len(sizes)
        self.work = before + (self.work - before) * numel(shape)

    def broadcast(self, tensor: Tensor, index: Shape) -> Element:
        """The element of a small tensor that stands at an index of the shape it is broadcast to."""
        cells = self.cells(tensor)
        return cells.elements[flat(index, cells.shape)]


def broadcast_strides(memory: Memory, shape: Shape) -> Shape:
    """The steps of a tensor over a shape it is broadcast to."""
    missing = len(shape) - len(memory.shape)
    return (0,) * missing + tuple(0 if size == 1 else step for size, step in zip(memory.shape, memory.strides, strict=True))
