"""Matrix products on the device: which kernel, which tile, how many parts of the depth; `linear` and `matmul`."""
from __future__ import annotations

import functools
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES, TensorType
from scriptc_runtime.cuda.engine import Engine
from scriptc_runtime.cuda.kernels.operands import DENSE, Source
from scriptc_runtime.cuda.kernels.products import (
    ARGUMENTS,
    REDUCE,
    TILES,
    product_kernel,
    reduction_kernel,
    shared_bytes,
)
from scriptc_runtime.cuda.kernels.tensor_core import DEPTH, Tile
from scriptc_runtime.cuda.kernels.vectors import MOST_ROWS, WARPS, vector_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.printer import broadcast_strides, collapsed
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

KINDS = {"float32": "tf32x3", "bfloat16": "bfloat16", "float16": "float16"}
MOST = 1 << 31                # rows, columns and depth: they are divided in 32 bits
REDUCTION_THREADS = 256
SIMULATED_TILE = Tile(32, 32, 16, 16)     # threads of the simulator are dear

# A multiprocessor's multiplications and the memory's bytes in a second, and what a launch costs: to compare tiles with, so only ratios count.
RATE, BANDWIDTH, LAUNCH_S = {"tf32x3": 4e11, "bfloat16": 2.4e12, "float16": 2.4e12}, 2.5e12, 2e-6
EFFICIENCY = {(128, 128): 1.0, (64, 128): 0.85, (64, 64): 0.65, (32, 64): 0.45}


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand of a product: the array, how the kernel reads it, elements from line to line, and from one outer and inner product to the next."""

    array: DeviceArray
    source: Source
    ld: int
    outer: int = 0
    inner: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Where a product goes: `images` 0 unless columns are pixels of planes; `step` between columns (only of split products)."""

    array: DeviceArray
    ld: int
    outer: int = 0
    inner: int = 0
    images: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True)
class Geometry:
    """Of operands that are images: the planes read, the pixels that rows, columns or the depth count, and the table of the window."""

    height: int = 0
    width: int = 0
    pixels: int = 1
    out_width: int = 1
    stride: tuple[int, int] = (1, 1)
    channels: int = 1
    table: DeviceArray | None = None


@functools.lru_cache(maxsize=4096)
def chosen(kind: str, rows: int, columns: int, depth: int, count: int, multiprocessors: int) -> tuple[Tile, int]:
    """The tile, and into how many parts the depth is split, that promise the shortest time."""
    best: tuple[float, Tile, int] | None = None
    blocks_of_depth = -(-depth // DEPTH[kind])
    for tile in TILES[kind]:
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * count
        resident = 2 if tile.threads <= 128 else 1
        for splits in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
            if splits > 1 and blocks_of_depth < 2 * splits:
                break
            waves = -(-blocks * splits // (multiprocessors * resident))
            steps = -(-blocks_of_depth // splits) + 5
            step = resident * tile.rows * tile.columns * DEPTH[kind] / (RATE[kind] * EFFICIENCY[tile.rows, tile.columns])
            time = waves * steps * step + LAUNCH_S
            if splits > 1:
                time += LAUNCH_S + rows * columns * count * 4 * (2 * splits + 1) / BANDWIDTH
            if best is None or time < best[0]:
                best = time, tile, splits
    assert best is not None
    return best[1], best[2]


def product(work: Work, a: Operand, b: Operand, c: Result, rows: int, columns: int, depth: int, *, outer: int = 1, inner: int = 1,
            geometry: Geometry | None = None, bias: DeviceArray | None = None, along: str = "column", bias_inner: int = 0,
            always_split: bool = False) -> None:
    """c = a b for each of outer x inner, with a bias per `row` or `column`. `always_split`: the result's columns are not neighbours."""
    dtype = c.array.dtype
    if rows <= MOST_ROWS and outer * inner == 1 and geometry is None and a.source.deep and b.source.deep and along == "column":
        vector = a.source.vector and b.source.vector
        kernel = vector_kernel(rows, dtype.name, vector=vector, bias=bias is not None)
        work.launch(kernel, -(-columns // WARPS), 32 * WARPS, a.array, b.array, unread(work.engine, dtype.name) if bias is None else bias, c.array,
                    *map(np.int64, (columns, depth, a.ld, b.ld, c.ld)))
        return
    geometry = geometry or Geometry()
    kind = KINDS[dtype.name]
    if work.engine.driver.simulated:
        tile, splits = SIMULATED_TILE, 1 + (depth > 2 * DEPTH[kind] and rows * columns < 2048)
    else:
        tile, splits = chosen(kind, rows, columns, depth, outer * inner, work.engine.properties.multiprocessors)
    split = always_split or splits > 1
    blocks = math.ceil(depth / DEPTH[kind])
    per_split = math.ceil(blocks / splits) * DEPTH[kind]
    splits = -(-depth // per_split)
    biased = along if bias is not None else ""
    table = geometry.table if geometry.table is not None else unread(work.engine, "int32")
    images = c.images > 0
    aligned = c.array.address % (4 * dtype.itemsize) == 0 and not any(
        n % 4 for n in (c.ld, c.outer, c.inner, c.images, geometry.pixels if images else columns))
    total = rows * columns * outer * inner
    partial = work.empty((splits, total), np.dtype(np.float32)) if split else None
    words = dict.fromkeys(list(ARGUMENTS)[5:], 0)
    words.update(
        a_rows=rows, b_rows=columns, depth_all=depth, a_ld=a.ld, b_ld=b.ld, c_ld=c.ld, inner=inner, splits=splits, per_split=per_split,
        a_outer=a.outer, a_inner=a.inner, b_outer=b.outer, b_inner=b.inner, c_outer=c.outer, c_inner=c.inner, bias_inner=bias_inner,
        a_images=a.images, b_images=b.images, c_images=c.images, height=geometry.height, width=geometry.width, pixels=geometry.pixels,
        out_width=geometry.out_width, stride_h=geometry.stride[0], stride_w=geometry.stride[1], channels=geometry.channels)
    kernel = product_kernel(tile, a.source, b.source, "" if split else biased, kind=kind, images=images and not split, split=split,
                            quads=columns % 4 == 0 if split else aligned)
    grid = -(-rows // tile.rows) * -(-columns // tile.columns) * outer * inner * splits
    given = unread(work.engine, dtype.name) if bias is None else bias
    work.launch(kernel, grid, tile.threads, a.array, b.array, given, partial if split else c.array, table,
                *map(np.int64, words.values()), shared=shared_bytes(tile, kind))
    if split:
        reduction = reduction_kernel(biased, kind=kind, images=images)
        words = dict(zip(list(REDUCE)[3:], (splits, total, rows, columns, inner, 0, c.outer, c.inner, c.ld, c.step, c.images,
                                            geometry.pixels if images else 1, bias_inner), strict=True))
        threads = 8 if work.engine.driver.simulated else REDUCTION_THREADS
        work.launch(reduction, -(-total // threads), threads, partial, given, c.array, *map(np.int64, words.values()))


@functools.cache
def unread(engine: Engine, dtype: str) -> DeviceArray:
    """An array for an argument that a kernel does not read."""
    return engine.upload(np.zeros(16, DTYPES[dtype].numpy))


def matrix(array: DeviceArray, lead: Sequence[int], row: int, step: int, rows: int, depth: int) -> Operand:
    """An operand of rows x depth at strides (`row`, `step`), `lead` of the outer and the inner products; copied where no kernel reads it."""
    piece = 16 // array.dtype.itemsize
    for deep, line, along, size in ((True, row, step, depth), (False, step, row, rows)):
        if along == 1 or size == 1:
            vector = array.address % 16 == 0 and size % piece == 0 and not any(s % piece for s in (line, *lead))
            return Operand(array, Source(DENSE, deep, vector), line, *lead)
    raise AssertionError("a matrix must have neighbours along a line")


def _is_readable(array: DeviceArray) -> bool:
    """True if a kernel reads the matrices of an array as they lie."""
    (m, n), (s, t) = array.shape[-2:], array.strides[-2:]
    return t == 1 or n == 1 or s == 1 or m == 1


@emits("linear")
def lower_linear(site: Site) -> Emit | str:
    """x weightT + bias, whatever x's rank."""
    refusal = refused(site, "products", KINDS)
    if refusal:
        return refusal
    if site.tensor(1).rank != 2:
        return "a weight that is a vector"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, weight, bias = operands
        y = results[0]
        columns, depth = weight.shape
        if not y.size:
            return
        if not depth:
            fill_or_copy(work, y, bias)
            return
        rows = y.size // columns
        flat = work.contiguous(x).reshape((rows, depth))
        weight = weight if _is_readable(weight) else work.contiguous(weight)
        product(work, matrix(flat, (0, 0), depth, 1, rows, depth), matrix(weight, (0, 0), weight.strides[0], weight.strides[1], columns, depth),
                Result(y, columns), rows, columns, depth, bias=None if bias is None else work.contiguous(bias))
    return emit


@emits("matmul")
def lower_matmul(site: Site) -> Emit | str:
    """a b over broadcast leading dimensions; a vector is a matrix of one row (a) or column (b)."""
    return refused(site, "products", KINDS) or _emit_matmul


def refused(site: Site, what: str, dtypes: Container[str]) -> str:
    """Why kernels of these dtypes, with 32-bit counts, do not serve an op (`what` in the plural); empty if they do."""
    kinds = [k for k in (*site.operand_types, *site.result_types) if isinstance(k, TensorType)]
    if any(k.dtype.name not in dtypes for k in kinds):
        return f"{what} of {kinds[0].dtype.name}"
    if any(math.prod(static_shape(k)) >= MOST for k in kinds):
        return "2**31 elements or more"
    return ""


def fill_or_copy(work: Work, target: DeviceArray, bias: DeviceArray | None) -> None:
    """A product over nothing: zeros, or the bias."""
    if bias is None:
        work.fill(target, 0)
    else:
        work.copy(target, bias.view(target.shape, (0,) * (target.ndim - 1) + (bias.strides[0],)))


def _emit_matmul(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
    a, b = operands
    y = results[0]
    if not y.size:
        return
    if a.ndim == 1:
        a = a.view((1, *a.shape), (0, *a.strides))
        y = y.view((*y.shape[:-1], 1, *y.shape[-1:]), (*y.strides[:-1], 0, *y.strides[-1:])) if b.ndim > 1 else y.view((1,), (0,))
    if b.ndim == 1:
        b = b.view((*b.shape, 1), (*b.strides, 0))
        y = y.view((*y.shape, 1), (*y.strides, 1))
    rows, depth, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if not depth:
        work.fill(results[0], 0)
        return
    a, b = (m if _is_readable(m) else work.contiguous(m) for m in (a, b))
    lead = y.shape[:-2]
    if a.is_contiguous and not any(n != 1 for n in b.shape[:-2]) and a.size == math.prod(lead) * rows * depth:     # rows of all matrices alike
        rows, lead = rows * math.prod(lead), ()
        a = a.view((rows, depth), (depth, 1))
        y = y.view((rows, columns), (columns, 1))
        b = b.view(b.shape[-2:], b.strides[-2:])
    sizes, strides = collapsed(lead, [broadcast_strides(m.shape[:-2], m.strides[:-2], lead) for m in (a, b, y)])
    if len(sizes) > 2:
        a, b = (expanded(work, m, lead) for m in (a, b))
        sizes, strides = collapsed(lead, [m.strides[:-2] for m in (a, b, y)])
    if len(sizes) == 1:
        sizes, strides = [1, *sizes], [[0, *s] for s in strides]
    if math.prod(sizes) == 1:
        strides = [[0, 0] for _ in strides]
    product(work, matrix(a, strides[0], a.strides[-2], a.strides[-1], rows, depth),
            matrix(b, strides[1], b.strides[-1], b.strides[-2], columns, depth), Result(y, columns, *strides[2]), rows, columns, depth,
            outer=sizes[0], inner=sizes[1])


def expanded(work: Work, array: DeviceArray, lead: tuple[int, ...]) -> DeviceArray:
    """A contiguous copy with all leading dimensions."""
    whole = array.view((*lead, *array.shape[-2:]), (*broadcast_strides(array.shape[:-2], array.strides[:-2], lead), *array.strides[-2:]))
    made = work.empty(whole.shape, whole.dtype)
    work.copy(made, whole)
    return made
