"""Tensors joined along a dimension, put into a part of another, or padded: copies into the parts of the result."""
from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.ops.shape import cropped
from scriptc.interp.ops.views import along, positioned
from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import FLOAT_CATEGORY, INT_CATEGORY, TensorType
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.printed import kernel
from scriptc_runtime.cpu.tiles.commands import At, Command
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel


@lowers("cat", "stack", target="cpu")
def lower_joined(site: Site) -> Kernel | None:
    """`cat` and `stack` of tensors of one dtype and known shapes, written into their buffer."""
    result = site.result_types[0]
    kinds = [k for k in site.operand_types if isinstance(k, TensorType)]
    if not is_static(result) or not isinstance(result, TensorType) or len(kinds) != len(site.operand_types) or not kinds:
        return None
    if any(not is_static(k) or k.dtype is not result.dtype for k in kinds):
        return None
    joins = site.op.name == "stack"
    if any(k.rank != (result.rank or 0) - joins for k in kinds):
        return None     # torch.cat skips tensors of shape [0], whatever the rank of the others
    dim = site.attributes["dim"] % (result.rank or 1)

    def run(*arrays: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        for array, part in zip(arrays, parts(out[0], arrays, dim, joins), strict=True):
            np.copyto(part, array)

    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=NativeJoin(dim, joins))


def parts(result: np.ndarray, arrays: Sequence[np.ndarray], dim: int, joins: bool) -> list[np.ndarray]:
    """Where in the result each array goes."""
    lead: tuple[Any, ...] = (slice(None),) * dim
    if joins:
        return [result[(*lead, index, ...)] for index in range(len(arrays))]
    ends = np.cumsum([array.shape[dim] for array in arrays])
    return [result[(*lead, slice(end - array.shape[dim], end))] for array, end in zip(arrays, ends, strict=True)]


class NativeJoin(Native):
    """A copy per operand."""

    strided = True

    def __init__(self, dim: int, joins: bool) -> None:
        self._dim, self._joins = dim, joins

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Copies; none of nothing."""
        made = []
        for index, (array, part) in enumerate(zip(operands, parts(results[0], operands, self._dim, self._joins), strict=True)):
            if part.size:
                made.append(copy(array, part, At(In(index)), At(Out(0), address(part) - address(results[0]))))
        return None if None in made else made   # type: ignore[return-value]


@lowers("slice_scatter", "select_scatter", target="cpu")
def lower_scattered(site: Site) -> Kernel | None:
    """A tensor of known shape with a part of it replaced, in the buffer of the result."""
    if not is_static(site.result_types[0]) or not is_static(site.operand_types[1]) or site.tensor(1).dtype is not site.tensor(0).dtype:
        return None
    reference, dim = REFERENCES[site.op.name], site.attributes["dim"]

    def run(*operands: Any, out: tuple[np.ndarray, ...]) -> None:
        np.copyto(out[0], reference(*operands, dim=dim))

    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=NativeScatter(dim))


class NativeScatter(Native):
    """A copy of the whole, then one of the part."""

    strided = True

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Two copies; None where the place is not known, or not there."""
        x, source, *numbers = operands
        if not x.size or not all(type(number) is int for number in numbers):
            return None
        try:
            place = positioned(x, self._dim, *numbers) if len(numbers) == 1 else along(x, self._dim, slice(*numbers))
            part = results[0][(*place, ...)]    # a view even where it is one element
            given = np.broadcast_to(source, part.shape)
        except (IndexError, ValueError):    # the kernel tells what is wrong
            return None
        made = [copy(x, results[0], At(In(0)), At(Out(0)))]
        if part.size:
            made.append(copy(given, part, At(In(1)), At(Out(0), address(part) - address(results[0]))))
        return None if None in made else made   # type: ignore[return-value]


@lowers("pad", target="cpu")
def lower_pad(site: Site) -> Kernel | None:
    """One number around x; what is negative is cut off."""
    x = site.tensor(0)
    if site.attributes["mode"] != "constant" or not is_static(x) or not site.is_static or x.dtype.category not in (FLOAT_CATEGORY, INT_CATEGORY):
        return None
    return kernel("pad", functools.partial(REFERENCES["pad"], mode="constant"), NativePad())


class NativePad(Native):
    """A copy of what is inside, and one of the number for each border."""

    strided = True

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Copies; None where an amount is not known, or nothing is left."""
        x, value, *amounts = operands
        y = results[0]
        if not all(type(number) is int for number in amounts) or isinstance(value, np.ndarray) or not y.size or not x.size:
            return None
        inner, widths = cropped(x, tuple(amounts))
        if not inner.size:
            return None
        inside = tuple(slice(before, before + size) for (before, _), size in zip(widths, inner.shape, strict=True))
        made = [copy(inner, y[inside], At(In(0), address(inner) - address(x)), At(Out(0), address(y[inside]) - address(y)))]
        number = np.full(1, value, y.dtype)
        for dim, (before, after) in enumerate(widths):
            for border in (slice(0, before), slice(y.shape[dim] - after, y.shape[dim])):
                part = y[(*inside[:dim], border, ...)]
                if part.size:
                    made.append(copy(np.broadcast_to(number, part.shape), part, number, At(Out(0), address(part) - address(y))))
        return None if None in made else made   # type: ignore[return-value]
