"""What stands for a value of the program in a printed routine."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import TypeAlias

from scriptc.records import Record
from scriptc_runtime.cpu.printer import Element

TINY = 16   # elements of a tensor that lives in variables

Shape: TypeAlias = tuple[int, ...]


class Cells(Record):
    """A tensor of at most TINY elements, each in a variable, in row-major order."""

    dtype: str
    shape: Shape
    elements: tuple[Element, ...]


class Memory(Record):
    """A larger tensor: element `index` stands at `pointer[offset + sum(index * strides)]`. `root` tells memory apart; `base` is its address."""

    dtype: str
    shape: Shape
    strides: Shape
    pointer: str
    offset: str
    root: int
    base: str

    @property
    def is_contiguous(self) -> bool:
        return all(s == own for s, own, size in zip(self.strides, contiguous(self.shape), self.shape, strict=True) if size != 1)


class Buffer(Record, frozen=False, eq=False):
    """Room for the items of a list: its number, and what an item is once one was seen."""

    number: int
    dtype: str = ""
    shape: Shape | None = None       # None: a Python scalar
    known: bool = False


class Items(Record, frozen=False, eq=False, slots=True):
    """A list: the first `length` items of a buffer. `spent`: something may stand behind the last item already."""

    buffer: Buffer
    length: Element | int
    spent: bool = False


class Stacked(Record):
    """The items of a list as one tensor; only an output can be one."""

    items: Items


Tensor: TypeAlias = Cells | Memory
Content: TypeAlias = "Cells | Memory | Items | Stacked | Element | int | float | bool | None"


def contiguous(shape: Sequence[int]) -> Shape:
    """The strides of a row-major array, in elements."""
    steps, step = [0] * len(shape), 1
    for dim in range(len(shape) - 1, -1, -1):
        steps[dim] = step
        step *= shape[dim]
    return tuple(steps)


def places(shape: Shape) -> Iterator[Shape]:
    """Every index, in row-major order."""
    return product(*map(range, shape))


def flat(index: Sequence[int], shape: Shape) -> int:
    """Where an index stands in a row-major array of `shape`, which is broadcast to the index."""
    own = index[len(index) - len(shape):]
    return sum(i * s for i, s, size in zip(own, contiguous(shape), shape, strict=True) if size != 1)


def numel(shape: Sequence[int]) -> int:
    return prod(shape)
