"""Running sums, positions of extremes and the first few of an order, as loops over [outer, size, inner]."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import IntType, TensorType
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.printed import NO_FLOATS, Printed, kernel, shares
from scriptc_runtime.cpu.tiles.commands import At, Command
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

ENOUGH = 16384      # element operations that a thread must get for sharing to pay
MOST_CHOSEN = 32    # of a row: each one more is another pass over it
KINDS = ("float32", "float64", "int64", "int32")

# Tables: size, inner elements, outer turns from and up to, how many are chosen. nan is larger than any number, and the smallest where one is sought.
_HEAD = """def kernel({arguments}, n, c):
    z1 = n[0]
    z2 = n[1]
    z4 = n[2]
    z5 = n[3]
    z6 = n[4]
    for d0 in range(z4, z5):
        for d2 in range(z2):
            p0 = d0 * z1 * z2 + d2
"""
_SCAN = _HEAD.format(arguments="v0, o0") + """            o0[p0] = v0[p0]
            for d1 in range(1, z1):
                o0[p0 + d1 * z2] = o0[p0 + (d1 - 1) * z2] + v0[p0 + d1 * z2]
"""
_EXTREME = """            x1 = v0[p0]
            t1 = 0
            for d1 in range(1, z1):
                x2 = v0[p0 + d1 * z2]
                x3 = (x2 {sign} x1) | ((x2 != x2) & (x1 == x1))
                x1 = x2 if x3 else x1
                t1 = d1 if x3 else t1
"""
# The best of those that come after the last one chosen: worse than it, or equal and behind it.
_CHOICE = """            x4 = v0[p0]
            t4 = -1
            for d3 in range(z6):
                x1 = x4
                t1 = -1
                for d1 in range(z1):
                    x2 = v0[p0 + d1 * z2]
                    x5 = (x4 {sign} x2) | {later}
                    x6 = (x2 == x4) | ((x2 != x2) & (x4 != x4))
                    x7 = (t4 < 0) & (d3 == 0)
                    x8 = x7 | x5 | (x6 & (d1 > t4))
                    x3 = (x2 {sign} x1) | {better}
                    x9 = x8 & ((t1 < 0) | x3)
                    x1 = x2 if x9 else x1
                    t1 = d1 if x9 else t1
                p1 = (d0 * z6 + d3) * z2 + d2
                o0[p1] = x1
                o1[p1] = t1
                x4 = x1
                t4 = t1
"""
_LARGEST = {"sign": ">", "later": "((x4 != x4) & (x2 == x2))", "better": "((x2 != x2) & (x1 == x1))"}
_SMALLEST = {"sign": "<", "later": "((x4 == x4) & (x2 != x2))", "better": "((x2 == x2) & (x1 != x1))"}


class NativeOrder(Printed):
    """One command over all rows. `chosen`: how many of a row."""

    def __init__(self, code: Code, shape: tuple[int, ...], dim: int, chosen: int = 1) -> None:
        self._outer, self._size, self._inner = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1:])
        self._chosen = chosen
        super().__init__(code, math.prod(shape) * chosen)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        places = [At(In(0)), *(At(Out(i)) for i in range(len(results)))]
        command = self.calls([[*places, np.array([self._size, self._inner, first, last, self._chosen], np.int64), NO_FLOATS]
                              for first, last in shares(self._outer, threads, self.work, ENOUGH)])
        return None if command is None else [command]


def _served(site: Site) -> tuple[int, ...] | None:
    """The shape of an operand that the loops know."""
    x = site.tensor(0)
    if not is_static(x) or not x.shape or 0 in x.shape or x.dtype.name not in KINDS or not site.is_static:
        return None
    return x.shape  # type: ignore[return-value]


def _kernel(site: Site, code: Code | None, shape: tuple[int, ...], dim: int, chosen: int = 1) -> Kernel:
    reference = functools.partial(REFERENCES[site.op.name], **site.attributes)
    return kernel(site.op.name, reference, None if code is None else NativeOrder(code, shape, dim % len(shape), chosen))


@lowers("cumsum", target="cpu")
def lower_scan(site: Site) -> Kernel | None:
    """Running sums along a dimension."""
    shape = _served(site)
    if shape is None:
        return None
    made = site.result_types[0]
    assert isinstance(made, TensorType)
    return _kernel(site, code_for(_SCAN, (site.tensor(0).dtype.name, made.dtype.name)), shape, site.attributes["dim"])


@lowers("argmax", "argmin", target="cpu")
def lower_position(site: Site) -> Kernel | None:
    """The first position of an extreme, of each row or of all elements."""
    shape = _served(site)
    if shape is None:
        return None
    dim = site.attributes["dim"]
    if dim is None:
        shape, dim = (math.prod(shape),), 0
    text = _HEAD.format(arguments="v0, o0") + _EXTREME.format(sign=">" if site.op.name == "argmax" else "<") + "            o0[d0 * z2 + d2] = t1\n"
    return _kernel(site, code_for(text, (site.tensor(0).dtype.name, "int64")), shape, dim)


@lowers("max_with_index", "min_with_index", target="cpu")
def lower_extreme(site: Site) -> Kernel | None:
    """The extreme of each row, and its first position."""
    shape = _served(site)
    if shape is None:
        return None
    text = _HEAD.format(arguments="v0, o0, o1") + _EXTREME.format(sign=">" if site.op.name == "max_with_index" else "<") \
        + "            o0[d0 * z2 + d2] = x1\n            o1[d0 * z2 + d2] = t1\n"
    name = site.tensor(0).dtype.name
    return _kernel(site, code_for(text, (name, name, "int64")), shape, site.attributes["dim"])


@lowers("topk", target="cpu")
def lower_topk(site: Site) -> Kernel | None:
    """The first few in order, equal ones by their positions."""
    shape, k = _served(site), site.operand_types[1]
    if shape is None or not isinstance(k, IntType) or not isinstance(k.value, int):
        return None
    if not 0 < k.value <= min(MOST_CHOSEN, shape[site.attributes["dim"]]):
        return None
    text = _HEAD.format(arguments="v0, o0, o1") + _CHOICE.format(**(_LARGEST if site.attributes["largest"] else _SMALLEST))
    name = site.tensor(0).dtype.name
    return _kernel(site, code_for(text, (name, name, "int64")), shape, site.attributes["dim"], k.value)
