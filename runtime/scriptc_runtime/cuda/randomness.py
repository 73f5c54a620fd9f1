"""Random ops from a Philox state (Salmon et al. 2011): the same numbers as on the CPU, one block of four words a thread."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.ops.random import mask_shape
from scriptc.ir.types import DTYPES
from scriptc_runtime.cpu.scalars import CONVERSIONS
from scriptc_runtime.cuda import access, movement
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.cuda.printer import Constant, Formula, computed
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_TOP, _UNIT = np.uint64(8), np.float32(2.0**-24)


@cuda.jit
def draw_units(state: Any, out: Any, blocks: Any, count: Any) -> None:
    """out[4 b + k] = word k of block b as a float32 in [0, 1)."""
    for b in range(cuda.grid(1), blocks, cuda.gridsize(1)):
        index = np.uint64(state[1] + np.uint64(b))
        c0, c1 = np.uint64(index & _LOW), np.uint64(index >> _SHIFT)
        c2, c3 = np.uint64(0), np.uint64(0)
        k0, k1 = np.uint64(state[0] & _LOW), np.uint64(state[0] >> _SHIFT)
        for _ in range(10):
            p0, p1 = np.uint64(c0 * _M0), np.uint64(c2 * _M1)
            c0, c1, c2, c3 = np.uint64((p1 >> _SHIFT) ^ c1 ^ k0), np.uint64(p1 & _LOW), np.uint64((p0 >> _SHIFT) ^ c3 ^ k1), np.uint64(p0 & _LOW)
            k0, k1 = np.uint64((k0 + _W0) & _LOW), np.uint64((k1 + _W1) & _LOW)
        at = 4 * np.int64(b)
        out[at] = np.float32(c0 >> _TOP) * _UNIT
        if at + 1 < count:
            out[at + 1] = np.float32(c1 >> _TOP) * _UNIT
        if at + 2 < count:
            out[at + 2] = np.float32(c2 >> _TOP) * _UNIT
        if at + 3 < count:
            out[at + 3] = np.float32(c3 >> _TOP) * _UNIT


@cuda.jit
def advance_state(state: Any, after: Any, blocks: Any) -> None:
    """The state behind `blocks` blocks."""
    if cuda.grid(1) == 0:
        after[0] = state[0]
        after[1] = np.uint64(state[1] + np.uint64(blocks))


def units(work: Work, state: DeviceArray, shape: tuple[int, ...], after: DeviceArray | None = None) -> DeviceArray:
    """float32 of `shape` in [0, 1) from the state, and the state behind them."""
    count = math.prod(shape)
    blocks = -(-count // 4)
    held = work.contiguous(state)
    made = work.empty(shape, np.float32)
    work.each(draw_units, blocks, held, made, np.int64(blocks), np.int64(count))
    if after is not None:
        work.launch(advance_state, 1, 1, held, after, np.int64(blocks))
    return made


@functools.cache
def _dropping(dtype: str, p: float, masks: bool) -> Formula:
    name = computed(dtype)
    number = CONVERSIONS[name]
    scale = 0.0 if p >= 1 else 1.0 / (1.0 - p)
    kept = f"t0 = ({number}(k1) if x1 >= k0 else {number}(0))"
    lines = (kept,) if masks else (kept, f"t1 = {number}(x0 * t0)")
    return Formula(lines, (dtype, "float32"), (("t0" if masks else "t1", dtype),), (Constant("float32", p), Constant(name, scale)))


@emits("dropout", "dropout_mask")
def lower_dropout(site: Site) -> Emit | str:
    """x where a number is at least p, scaled; zeros elsewhere."""
    shape, attributes = static_shape(site.tensor(0)), site.attributes
    if site.tensor(0).dtype.name not in access.FLOATS:
        return f"no {site.tensor(0).dtype}"
    masks = site.op.name == "dropout_mask"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, state = operands
        own = mask_shape(shape, attributes["feature"])
        drawn = units(work, state, own, None if masks else results[1])
        movement.apply(work, _dropping(dtype_name(x), attributes["p"], masks), [x, drawn], results[:1])
    return emit


@functools.cache
def _spreading(dtype: str, low: float, high: float) -> Formula:
    name = computed(dtype)
    return Formula(("t0 = f4(f4(x0 * k0) + k1)", f"t1 = {CONVERSIONS[name]}(t0)"), ("float32",), (("t1", dtype),),
                   (Constant("float32", high - low), Constant("float32", low)))


@emits("uniform")
def lower_uniform(site: Site) -> Emit | str:
    """Numbers between two."""
    kind, attributes = site.result_types[0], site.attributes
    shape = static_shape(kind)
    name = attributes["dtype"].name
    if name not in access.FLOATS or name not in DTYPES:
        return f"no {name}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        drawn = units(work, operands[0], shape, results[1])
        movement.apply(work, _spreading(name, attributes["low"], attributes["high"]), [drawn], results[:1])
    return emit


@functools.cache
def _deciding(dtype: str) -> Formula:
    number = CONVERSIONS[computed(dtype)]
    return Formula((f"t0 = ({number}(1) if x1 < x0 else {number}(0))",), (dtype, "float32"), (("t0", dtype),))


@emits("bernoulli")
def lower_bernoulli(site: Site) -> Emit | str:
    """1 with probability p."""
    shape = static_shape(site.tensor(0))
    if site.tensor(0).dtype.name not in ("float32", "float64"):
        return f"no {site.tensor(0).dtype}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        drawn = units(work, operands[1], shape, results[1])
        movement.apply(work, _deciding(dtype_name(operands[0])), [operands[0], drawn], results[:1])
    return emit
