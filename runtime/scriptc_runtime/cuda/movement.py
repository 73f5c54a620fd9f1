"""Formulas put to work on arrays at any strides: elementwise kernels, copies and fills."""
from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import dtype_of
from scriptc_runtime.cpu.scalars import CONVERSIONS
from scriptc_runtime.cuda.launches import Work
from scriptc_runtime.cuda.printer import Access, Constant, Formula, Printed, broadcast_strides, collapsed, computed, print_kernel
from scriptc_runtime.cuda.transposition import crossing, print_tiled
from scriptc_runtime.device import DeviceArray

MOST_32_BITS = 1 << 31


def apply(work: Work, formula: Formula, operands: Sequence[DeviceArray], results: Sequence[DeviceArray], *, late: Sequence[Any] = (),
          shapes: Sequence[tuple[int, ...]] | None = None) -> None:
    """results = formula(operands), broadcast to the shape of the results; `shapes` where operands take part with other ranks than their own.

    `late` are the group's inputs, of which constants take those that arrive with the call.
    """
    shape = results[0].shape
    if math.prod(shape) == 0:
        return
    own = [a.shape for a in operands] if shapes is None else shapes
    strides = [broadcast_strides(sizes, _restrided(a, sizes), shape) for a, sizes in zip(operands, own, strict=True)]
    strides += [r.strides for r in results]
    tensors = [*operands, *results]
    key = (formula, shape, tuple(strides), tuple(a.address % 16 for a in tensors))
    printed = _printed(*key)
    arguments = (*tensors, *map(printed.index, printed.numbers), *(_number(c, late) for c in formula.constants))
    if printed.grid is None:
        work.each(printed.text, printed.threads, *arguments)
    else:
        work.launch(printed.text, *printed.grid, *arguments)


def _restrided(array: DeviceArray, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The array's strides for `sizes`, which may have dimensions of size 1 that its shape has not."""
    if len(sizes) == array.ndim:
        return array.strides
    inner = iter(s for n, s in zip(array.shape, array.strides, strict=True) if n != 1)
    return tuple(0 if n == 1 else next(inner) for n in sizes)


@functools.lru_cache(maxsize=4096)
def _printed(formula: Formula, shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], alignments: tuple[int, ...]) -> Printed:
    own = strides[len(formula.inputs)]
    order = sorted(range(len(shape)), key=lambda d: -own[d]) if any(a < b for a, b in itertools.pairwise(own)) else range(len(shape))
    sizes, merged = collapsed([shape[d] for d in order], [[s[d] for d in order] for s in strides])     # results in the order of the memory
    reach = max(1 + sum((n - 1) * s for n, s in zip(sizes, m, strict=True)) for m in merged)
    dtypes = [*formula.inputs, *(dtype for _, dtype in formula.outputs)]
    accesses = [Access(d, tuple(m), a or 16) for d, m, a in zip(dtypes, merged, alignments, strict=True)]
    count, wide = len(formula.inputs), max(reach, math.prod(sizes)) >= MOST_32_BITS
    loop = crossing(sizes, accesses[:count], accesses[count:])
    if loop is not None:
        return print_tiled(formula, sizes, accesses[:count], accesses[count:], loop, wide=wide)
    return print_kernel(formula, sizes, accesses[:count], accesses[count:], vectors=True, wide=wide)


def _number(constant: Constant, late: Sequence[Any]) -> Any:
    value = constant.value if constant.late is None else late[constant.late]
    dtype = np.dtype(constant.dtype) if constant.dtype not in ("bool", "int8", "int16", "uint8") else np.dtype(np.int32)
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(dtype)[()]


@functools.cache
def identity(dtype: str) -> Formula:
    """Elements as they are."""
    return Formula((), (dtype,), (("x0", dtype),))


_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def bits(array: DeviceArray) -> DeviceArray:
    """The same memory as integers, which are moved without change."""
    return DeviceArray(array.device, array.block, array.offset, array.shape, array.strides, np.dtype(_BITS[array.dtype.itemsize]))


def copy(work: Work, target: DeviceArray, source: DeviceArray) -> None:
    """target = source; the source is broadcast."""
    assert source.dtype.itemsize in _BITS and source.dtype == target.dtype, (source.dtype, target.dtype)
    apply(work, identity(_BITS[source.dtype.itemsize]), [bits(source)], [bits(target)])


@functools.cache
def _filling(dtype: str) -> Formula:
    name = computed(dtype)
    line = "t0 = (k0 != 0)" if name == "bool" else f"t0 = {CONVERSIONS[name]}(k0)"
    return Formula((line,), (), (("t0", dtype),), (Constant(name, None, 0),))


def fill(work: Work, target: DeviceArray, value: Any) -> None:
    """Every element = value."""
    apply(work, _filling(dtype_of(target.dtype).name), [], [target], late=[value])


@functools.cache
def _sum(dtype: str) -> Formula:
    name = computed(dtype)
    text = "(x0 | x1)" if name == "bool" else f"{CONVERSIONS[name]}(x0 + x1)"
    return Formula((f"t0 = {text}",), (dtype, dtype), (("t0", dtype),))


def add(work: Work, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a + b, broadcast."""
    apply(work, _sum(dtype_of(out.dtype).name), [a, b], [out])


def cast(work: Work, source: DeviceArray, target: DeviceArray) -> None:
    """target = source in another dtype; floats to floats, integers to anything."""
    apply(work, casting(dtype_of(source.dtype).name, dtype_of(target.dtype).name), [source], [target])


@functools.cache
def casting(source: str, target: str) -> Formula:
    """The conversion of one dtype to another."""
    from scriptc_runtime.cuda.printer import DevicePrinter, Element

    printer = DevicePrinter()
    result = printer.convert(Element("x0", computed(source), printer), computed(target))
    return Formula(tuple(printer.lines), (source,), ((result.name, target),))
