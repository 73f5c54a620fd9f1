"""Reading and adding at positions given by tensors, as loops over [outer, positions, inner]; a position out of range is told after the call."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import TensorType, float32
from scriptc.records import Record
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.printed import NO_FLOATS, UNSIGNED, Printed, kernel, shares
from scriptc_runtime.cpu.tiles.commands import At, Command, Fault, Word
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

ENOUGH = 16384      # elements that a thread must get for sharing to pay
INDICES = ("int64", "int32")
NO_CLASS = -2**63   # of a loss whose targets are all classes: what it would leave out
SUMS = ("float32", "float64", "int64", "int32")

# Tables: outer turns, positions, inner elements, size along the dimension, the lowest position allowed, turns from and up to. v0 positions, v1 what
# is read, o0 what is made, o1 what is told. A position that is not there is taken as 0: memory is never left.
_HEAD = """def kernel(v0, v1, o0, o1, n, c):
    z0 = n[0]
    z1 = n[1]
    z2 = n[2]
    z3 = n[3]
    k0 = n[4]
    z4 = n[5]
    z5 = n[6]
"""
_PLACE = """
x0 = i8(v0[{place}])
x1 = (x0 < k0) | (x0 >= z3)
o1[1] = x0 if x1 else o1[1]
o1[0] = 1 if x1 else o1[0]
x2 = 0 if x1 else (x0 + z3 if x0 < 0 else x0)
"""


def _indented(text: str, depth: int) -> str:
    return "".join(f"{'    ' * depth}{line}\n" for line in text.strip().splitlines())


# o0[a, i, :] = v1[a, v0[i], :]
_TAKE = _HEAD + """    for d0 in range(z0):
        for d1 in range(z4, z5):
""" + _indented(_PLACE.format(place="d1"), 3) + """            p0 = (d0 * z3 + x2) * z2
            p1 = (d0 * z1 + d1) * z2
            for d2 in range(z2):
                o0[p1 + d2] = v1[p0 + d2]
"""
# o0[a, i, b] = v1[a, v0[a, i, b], b]
_GATHER = _HEAD + """    for d0 in range(z4, z5):
        for d1 in range(z1):
            p1 = (d0 * z1 + d1) * z2
            for d2 in range(z2):
""" + _indented(_PLACE.format(place="p1 + d2"), 4) + """                o0[p1 + d2] = v1[(d0 * z3 + x2) * z2 + d2]
"""
_LOSS = _GATHER.replace("= v1[", "= -v1[")
# o0[a, v0[i], b] += v1[a, i, b] for the elements b from z4 up to z5
_ADD = _HEAD + """    for d0 in range(z0):
        for d1 in range(z1):
""" + _indented(_PLACE.format(place="d1"), 3) + """            p0 = (d0 * z3 + x2) * z2
            p1 = (d0 * z1 + d1) * z2
            for d2 in range(z4, z5):
                o0[p0 + d2] = o0[p0 + d2] + v1[p1 + d2]
"""
# o0[a, v0[a, i, b], b] = or += v1[a, i, b], or v1[0] everywhere
_SCATTER = _HEAD + """    k1 = n[7]
    for d0 in range(z4, z5):
        for d1 in range(z1):
            p1 = (d0 * z1 + d1) * z2
            for d2 in range(z2):
""" + _indented(_PLACE.format(place="p1 + d2"), 4) + """                p0 = (d0 * z3 + x2) * z2 + d2
                o0[p0] = {value}
"""
_SET, _SUM = _SCATTER.format(value="v1[(p1 + d2) * k1]"), _SCATTER.format(value="o0[p0] + v1[(p1 + d2) * k1]")


class Sizes(Record):
    """Around a dimension: turns before it, positions, elements after it, and its size."""

    outer: int
    positions: int
    inner: int
    size: int

    def table(self, lowest: int, first: int, last: int, *more: int) -> np.ndarray:
        return np.array([self.outer, self.positions, self.inner, self.size, lowest, first, last, *more], np.int64)

    @property
    def elements(self) -> int:
        return self.outer * self.positions * self.inner


def out_of_bounds(size: int) -> Any:
    return lambda bad: IndexError(f"index {bad} is out of bounds for dimension with size {size}")


def _around(shape: tuple[int, ...], dim: int, positions: int) -> Sizes:
    return Sizes(math.prod(shape[:dim]), positions, math.prod(shape[dim + 1:]), shape[dim])


def _known(*kinds: Any) -> bool:
    return all(isinstance(k, TensorType) and is_static(k) and 0 not in (k.shape or ()) for k in kinds)


class _Indexed(Printed):
    """`x`, `index`: which operands they are. `negative` positions count from the end."""

    def __init__(self, code: Code, sizes: Sizes, x: int, index: int, *, negative: bool = False, error: Any = None) -> None:
        super().__init__(code, sizes.elements)
        self._sizes, self._x, self._index = sizes, x, index
        self._lowest = -sizes.size if negative else 0
        self._error = error or out_of_bounds(sizes.size)

    def _fault(self) -> Fault:
        return Fault(np.zeros(2, np.int64), self._error)


class NativeTake(_Indexed):
    """The slices of x at positions, for all of one dimension's neighbours alike."""

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        fault, sizes = self._fault(), self._sizes
        parts: list[list[Word]] = [[At(In(self._index)), At(In(self._x)), At(Out(0)), fault.words, sizes.table(self._lowest, first, last), NO_FLOATS]
                                   for first, last in shares(sizes.positions, threads, sizes.elements, ENOUGH)]
        command = self.calls(parts, fault)
        return None if command is None else [command]


class NativeGather(_Indexed):
    """An element of x for each position."""

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        fault, sizes = self._fault(), self._sizes
        parts: list[list[Word]] = [[At(In(self._index)), At(In(self._x)), At(Out(0)), fault.words, sizes.table(self._lowest, first, last), NO_FLOATS]
                                   for first, last in shares(sizes.outer, threads, sizes.elements, ENOUGH)]
        command = self.calls(parts, fault)
        return None if command is None else [command]


class NativeAdd(_Indexed):
    """Slices added at positions of x, or of zeros (`x` -1); row `empty` is zero at the end."""

    def __init__(self, code: Code, sizes: Sizes, x: int, index: int, source: int, *, negative: bool = False, empty: int | None = None,
                 error: Any = None) -> None:
        super().__init__(code, sizes, x, index, negative=negative, error=error)
        self._source, self._empty = source, empty

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """A copy, then the additions; each thread has columns of its own, so that the order of additions is always the same."""
        y, fault, sizes = results[0], self._fault(), self._sizes
        made = [copy(*_begin(operands, self._x, y), At(Out(0)))]
        parts: list[list[Word]] = [[At(In(self._index)), At(In(self._source)), At(Out(0)), fault.words, sizes.table(self._lowest, first, last),
                                    NO_FLOATS] for first, last in shares(sizes.inner, threads, sizes.elements, ENOUGH)]
        made.append(self.calls(parts, fault))
        if self._empty is not None:
            place = self._empty % len(y)
            zero: np.ndarray = np.zeros(1, y.dtype)
            made.append(copy(np.broadcast_to(zero, y.shape[1:]), y[place], zero, At(Out(0), place * y.strides[0])))
        return None if None in made else made   # type: ignore[return-value]


class NativeScatter(_Indexed):
    """Elements written or added at positions of a copy of x; `source`: an operand, or a number."""

    def __init__(self, code: Code, sizes: Sizes, index: int, source: int | np.ndarray) -> None:
        super().__init__(code, sizes, 0, index)
        self._source = source

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """A copy, then what is written."""
        fault, sizes = self._fault(), self._sizes
        source, step = (self._source, 0) if isinstance(self._source, np.ndarray) else (At(In(self._source)), 1)
        made = [copy(*_begin(operands, self._x, results[0]), At(Out(0)))]
        made.append(self.calls([[At(In(self._index)), source, At(Out(0)), fault.words, sizes.table(self._lowest, first, last, step), NO_FLOATS]
                                for first, last in shares(sizes.outer, threads, sizes.elements, ENOUGH)], fault))
        return None if None in made else made   # type: ignore[return-value]


def _begin(operands: Sequence[Any], x: int, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
    """What a result is before anything is added: an operand, or zeros."""
    if x >= 0:
        return operands[x], y, At(In(x))
    zero: np.ndarray = np.zeros(1, y.dtype)
    return np.broadcast_to(zero, y.shape), y, zero


def _moved(source: str, x: TensorType, index: TensorType) -> Code | None:
    """A loop that moves x's elements; None for positions of other types."""
    if index.dtype.name not in INDICES or x.dtype.itemsize not in UNSIGNED:
        return None
    as_ = UNSIGNED[x.dtype.itemsize]
    return code_for(source, (index.dtype.name, as_, as_, "int64"))


def _summed(source: str, x: TensorType, index: TensorType) -> Code | None:
    """A loop that adds elements of x's type."""
    if index.dtype.name not in INDICES or x.dtype.name not in SUMS:
        return None
    return code_for(source, (index.dtype.name, x.dtype.name, x.dtype.name, "int64"))


def _reference(site: Site) -> Any:
    return functools.partial(REFERENCES[site.op.name], **site.attributes)


def _taken(site: Site, x: int, index: int, dim: int, *, negative: bool = False, error: Any = None) -> Kernel | None:
    """The kernel of slices of operand `x` at the positions of operand `index`."""
    if not _known(site.tensor(x), site.tensor(index), site.result_types[0]):
        return None
    shape: tuple[int, ...] = site.tensor(x).shape  # type: ignore[assignment]
    code = _moved(_TAKE, site.tensor(x), site.tensor(index))
    sizes = _around(shape, dim, math.prod(site.tensor(index).shape))  # type: ignore[arg-type]
    native = None if code is None else NativeTake(code, sizes, x, index, negative=negative, error=error)
    return kernel(site.op.name, _reference(site), native)


def _not_in_table(bad: int) -> Exception:
    return IndexError("index out of range in self")


@lowers("embedding", target="cpu")
def lower_embedding(site: Site) -> Kernel | None:
    """Rows of a table."""
    return _taken(site, 0, 1, 0, error=_not_in_table)


@lowers("index_select", target="cpu")
def lower_index_select(site: Site) -> Kernel | None:
    """Slices along a dimension."""
    rank = site.tensor(0).rank
    return _taken(site, 0, 1, site.attributes["dim"] % rank) if rank else None


@lowers("index", target="cpu")
def lower_index(site: Site) -> Kernel | None:
    """One tensor of positions; several, and masks, are the reference's."""
    place = _only_position(site, 1)
    return None if place is None else _taken(site, 0, 1 + place, place, negative=True)


def _only_position(site: Site, first: int) -> int | None:
    """Which dimension the only tensor of positions is for, among the operands from `first` on."""
    places = [i for i, kind in enumerate(site.operand_types[first:]) if isinstance(kind, TensorType)]
    if len(places) != 1 or site.tensor(first + places[0]).dtype.name not in INDICES:
        return None
    return places[0]


@lowers("gather", target="cpu")
def lower_gather(site: Site) -> Kernel | None:
    """Positions for all of x's other dimensions."""
    x, index = site.tensor(0), site.tensor(1)
    found = _everywhere(x, index, site.attributes["dim"])
    if found is None or not _known(site.result_types[0]):
        return None
    code = _moved(_GATHER, x, index)
    return kernel("gather", _reference(site), None if code is None else NativeGather(code, found, 0, 1))


def _everywhere(x: TensorType, index: TensorType, dim: int) -> Sizes | None:
    """The sizes of positions that are as many as x's elements but for dimension `dim`."""
    if not x.rank or not _known(x, index):
        return None
    dim %= x.rank
    shape: tuple[int, ...] = x.shape  # type: ignore[assignment]
    places: tuple[int, ...] = index.shape  # type: ignore[assignment]
    if (*shape[:dim], *shape[dim + 1:]) != (*places[:dim], *places[dim + 1:]):
        return None
    return _around(shape, dim, places[dim])


@lowers("nll_loss", target="cpu")
def lower_nll_loss(site: Site) -> Kernel | None:
    """One element of each row, where every target is a class."""
    x, index, attributes = site.tensor(0), site.tensor(1), site.attributes
    if attributes["ignore_index"] != NO_CLASS or attributes["reduction"] != "none" or isinstance(site.operand_types[2], TensorType):
        return None
    if x.dtype is not float32 or x.rank != 2 or not _known(x, index):
        return None
    rows, classes = x.shape  # type: ignore[misc]
    code = code_for(_LOSS, (index.dtype.name, "float32", "float32", "int64"))
    native = None if code is None else NativeGather(code, Sizes(rows, 1, 1, classes), 0, 1, error=_no_class)  # type: ignore[arg-type]
    return kernel("nll_loss", _reference(site), native)


def _no_class(bad: int) -> Exception:
    return IndexError(f"Target {bad} is out of bounds.")


@lowers("scatter", target="cpu")
def lower_scatter(site: Site) -> Kernel | None:
    """Elements written or added at positions."""
    x, index, reduce = site.tensor(0), site.tensor(1), site.attributes["reduce"]
    found = _everywhere(x, index, site.attributes["dim"])
    if found is None or reduce not in ("none", "add"):
        return None
    source = site.operand_types[2]
    if not isinstance(source, TensorType) or source.shape != index.shape:
        return None
    code = _moved(_SET, x, index) if reduce == "none" else _summed(_SUM, x, index)
    return kernel("scatter", _reference(site), None if code is None else NativeScatter(code, found, 1, 2))


@lowers("index_add", target="cpu")
def lower_index_add(site: Site) -> Kernel | None:
    """Slices added along a dimension."""
    x, index = site.tensor(0), site.tensor(1)
    if not x.rank or not _known(x, index, site.operand_types[2]) or site.attributes["alpha"] != 1:
        return None
    sizes = _around(x.shape, site.attributes["dim"] % x.rank, math.prod(index.shape))  # type: ignore[arg-type]
    code = _summed(_ADD, x, index)
    return kernel("index_add", _reference(site), None if code is None else NativeAdd(code, sizes, 0, 1, 2))


@lowers("index_put", target="cpu")
def lower_index_put(site: Site) -> Kernel | None:
    """Slices added at one tensor of positions."""
    place = _only_position(site, 2)
    if place is None or not site.attributes["accumulate"]:
        return None
    x, value, index = site.tensor(0), site.tensor(1), site.tensor(2 + place)
    if not _known(x, value, index):
        return None
    shape: tuple[int, ...] = x.shape  # type: ignore[assignment]
    if value.shape != (*shape[:place], *index.shape, *shape[place + 1:]):  # type: ignore[misc]
        return None
    code = _summed(_ADD, x, index)
    sizes = _around(shape, place, math.prod(index.shape))  # type: ignore[arg-type]
    return kernel("index_put", _reference(site), None if code is None else NativeAdd(code, sizes, 0, 2 + place, 1, negative=True))


@lowers("embedding_gradient", target="cpu")
def lower_embedding_gradient(site: Site) -> Kernel | None:
    """Rows added up in a table of zeros."""
    g, weight, index = (site.tensor(i) for i in range(3))
    if not _known(g, weight, index) or g.dtype is not weight.dtype:
        return None
    sizes = _around(weight.shape, 0, math.prod(index.shape))  # type: ignore[arg-type]
    code = _summed(_ADD, weight, index)
    native = None if code is None else NativeAdd(code, sizes, -1, 2, 0, empty=site.attributes["padding_idx"], error=_not_in_table)
    return kernel("embedding_gradient", _reference(site), native)
