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
from scriptc_runtime.cuda.reductions import reduce
from scriptc_runtime.cuda.scans import scan_rows
from scriptc_runtime.cuda.search import positions
from scriptc_runtime.cuda.sorting import order_of_lines
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_TOP, _UNIT = np.uint64(8), np.float32(2.0**-24)


def _unit(word: Any) -> Any:
    """A word's top 24 bits as a float32 in [0, 1)."""
    return np.float32(word >> _TOP) * _UNIT


def _whole(word: Any) -> Any:
    return np.int64(word)


@functools.cache
def drawing_kernel(units: bool) -> Any:
    """out[4 b + k] = word k of block b, as a float32 in [0, 1) or as it is."""
    taken = access.device_function(_unit if units else _whole)

    @cuda.jit
    def draw(state: Any, out: Any, blocks: Any, count: Any) -> None:
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
            out[at] = taken(c0)
            if at + 1 < count:
                out[at + 1] = taken(c1)
            if at + 2 < count:
                out[at + 2] = taken(c2)
            if at + 3 < count:
                out[at + 3] = taken(c3)
    return draw


@cuda.jit
def advance_state(state: Any, after: Any, blocks: Any) -> None:
    """The state behind `blocks` blocks."""
    if cuda.grid(1) == 0:
        after[0] = state[0]
        after[1] = np.uint64(state[1] + np.uint64(blocks))


def units(work: Work, state: DeviceArray, shape: tuple[int, ...], after: DeviceArray | None = None, *, words: bool = False) -> DeviceArray:
    """float32 of `shape` in [0, 1) (or `words` of 32 bits, as int64) from the state, and the state behind them."""
    count = math.prod(shape)
    blocks = -(-count // 4)
    held = work.contiguous(state)
    made = work.empty(shape, np.int64 if words else np.float32)
    work.each(drawing_kernel(not words), blocks, held, made, np.int64(blocks), np.int64(count))
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


@functools.cache
def _bell(dtype: str) -> Formula:
    lines = ("t0 = sqrt(f8(-2) * log1p(-f8(x0)))", "t1 = cos(f8(x1) * k2)", "t2 = f8(t0 * t1) * k1 + k0", f"t3 = {CONVERSIONS[computed(dtype)]}(t2)")
    return Formula(lines, ("float32", "float32"), (("t3", dtype),),
                   (Constant("float64", None, 0), Constant("float64", None, 1), Constant("float64", 2 * math.pi)))


@emits("normal")
def lower_normal(site: Site) -> Emit | str:
    """Box and Muller's transform of two numbers, in double precision (1958)."""
    kind, attributes = site.result_types[0], site.attributes
    shape, name = static_shape(kind), attributes["dtype"].name
    if name not in access.FLOATS:
        return f"no {name}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        drawn = units(work, operands[0], (*shape, 2), results[1])
        radius, angle = (drawn.view(shape, drawn.strides[:-1], k) for k in range(2)) if results[0].size else (drawn, drawn)
        movement.apply(work, _bell(name), [radius, angle], results[:1], late=[attributes["mean"], attributes["std"]])
    return emit


@functools.cache
def _folding(dtype: str) -> Formula:
    return Formula((f"t0 = {CONVERSIONS[computed(dtype)]}(x0 % k0 + k1)",), ("int64",), (("t0", dtype),),
                   (Constant("int64", None, 0), Constant("int64", None, 1)))


@emits("random_integers")
def lower_integers(site: Site) -> Emit | str:
    """Words modulo the range."""
    attributes = site.attributes
    shape, name = static_shape(site.result_types[0]), attributes["dtype"].name
    if name not in ("int64", "int32", "int16", "int8", "uint8", "float32", "float64"):
        return f"no {name}"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        words = units(work, operands[0], shape, results[1], words=True)
        movement.apply(work, _folding(name), [words], results[:1], late=[attributes["high"] - attributes["low"], attributes["low"]])
    return emit


@emits("random_permutation")
def lower_permutation(site: Site) -> Emit | str:
    """The order of as many words."""
    count = static_shape(site.result_types[0])[0]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        words = units(work, operands[0], (count,), results[1], words=True)
        if count:
            places, _ = order_of_lines(work, words, 1, count, 1, False)
            movement.cast(work, places.view((count,), (1,)), results[0])
    return emit


def _no_probability(value: int, limit: int) -> Exception:
    return RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")


@cuda.jit
def check_probabilities(p: Any, count: Any, flag: Any, number: Any) -> None:
    """Raise the flag for a number that is no probability."""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        if not (p[i] >= 0 and p[i] < np.inf) and cuda.atomic.compare_and_swap(flag, 0, number) == 0:
            flag[1] = 0


@cuda.jit
def keep_inside(places: Any, count: Any, limit: Any) -> None:
    """places = min(places, limit)"""
    for i in range(cuda.grid(1), count, cuda.gridsize(1)):
        places[i] = min(places[i], limit)


_ARRIVAL = Formula(("t0 = -log1p(-f8(x0)) / x1",), ("float32", "float64"), (("t0", "float64"),))     # nan for 0 / 0, which comes last
_SHARE = Formula(("t0 = x0 / x1",), ("float64", "float64"), (("t0", "float64"),))


@emits("multinomial")
def lower_multinomial(site: Site) -> Emit | str:
    """By the running sums of probabilities; without replacement by the order of exponential arrival times (Efraimidis and Spirakis 2006)."""
    shape, found = static_shape(site.tensor(0)), static_shape(site.result_types[0])
    if site.tensor(0).dtype.name not in access.FLOATS or math.prod(shape) == 0 or math.prod(found) == 0:
        return f"no {site.tensor(0)}"
    classes, drawn = shape[-1], found[-1]
    rows = math.prod(shape[:-1])
    if not site.attributes["replacement"] and drawn > classes:
        return "more than there are"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        p = work.empty((rows, classes), np.float64)
        movement.cast(work, work.contiguous(operands[0]).reshape((rows, classes)), p)
        work.each(check_probabilities, p.size, p, np.int64(p.size), *work.refusals(_no_probability))
        if not site.attributes["replacement"]:
            times = work.empty((rows, classes), np.float64)
            movement.apply(work, _ARRIVAL, [units(work, operands[1], (rows, classes), results[1]), p], [times])
            places, length = order_of_lines(work, times, rows, classes, 1, False)
            movement.cast(work, places.view((rows, drawn), (length, 1)), results[0].reshape((rows, drawn)))
            return
        total, share, edges, wanted = work.empty((rows, 1), np.float64), *(work.empty((rows, classes), np.float64) for _ in range(2)), \
            work.empty((rows, drawn), np.float64)
        reduce(work, "sum", p, (1,), total)
        movement.apply(work, _SHARE, [p, total], [share])
        scan_rows(work, share, edges)
        movement.cast(work, units(work, operands[1], (rows, drawn), results[1]), wanted)
        positions(work, edges, wanted, results[0], drawn, classes, right=True)
        work.each(keep_inside, results[0].size, results[0], np.int64(results[0].size), np.int64(classes - 1))
    return emit
