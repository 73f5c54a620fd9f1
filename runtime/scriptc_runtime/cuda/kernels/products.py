"""Matrix products and convolutions on the tensor cores: float32 at the accuracy of float32, bfloat16 and float16 with float32 sums.

Of float32, each operand is split in two TF32 numbers, x = high + low, and high*high + high*low + low*high is accumulated: the term left out is
below 2**-21 of the product (Ootomo and Yokota 2022, "Recovering single precision accuracy from Tensor Cores"). Tensor cores round sums
towards zero, so the sum over each block of the depth is added to the accumulators outside, rounded to nearest. Infinities are not split: inf * x
is inf, as in plain float32.

c[z, row, column] = epilogue(sum over k of a[z, row, k] * b[z, k, column]); a convolution is one whose columns are pixels.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc_runtime.cuda.kernels.layouts import Layout
from scriptc_runtime.cuda.kernels.operands import Block, Source
from scriptc_runtime.cuda.kernels.tensor_core import DEPTH, Tile, functions
from scriptc_runtime.cuda.kernels.text import FLOAT, HALF, INDEX, Text, compiled

STAGES = 3       # blocks in flight; three of 128 + 128 rows are the 48 KiB that a kernel may have without asking
BAND = 8         # rows of blocks that are walked column by column: what neighbours read stays in the L2 cache

# From the largest on; a launch takes the first that fills the GPU.
TILES = (Tile(128, 128, 64, 32), Tile(64, 128, 32, 32), Tile(64, 64, 32, 32), Tile(32, 64, 16, 32))


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What happens to a sum before it is stored: a bias per `row` or `column`, a residual that lies like the result, an activation (`relu`)."""

    bias: str = ""
    residual: bool = False
    activation: str = ""


ARGUMENTS = {
    "a": FLOAT, "b": FLOAT, "bias": FLOAT, "residual": FLOAT, "c": FLOAT, "table": INDEX,
    "a_rows": "int64", "b_rows": "int64", "depth_all": "int64", "a_ld": "int64", "b_ld": "int64", "c_ld": "int64",
    "a_start": "int64", "b_start": "int64", "c_start": "int64",
    # z counts (outer, inner, part of the depth); the strides of a, b and c from one outer or inner to the next, and of the bias for inner
    "inner": "int64", "splits": "int64", "per_split": "int64", "a_outer": "int64", "a_inner": "int64", "b_outer": "int64", "b_inner": "int64",
    "c_outer": "int64", "c_inner": "int64", "bias_inner": "int64",
    # of images: elements from one to the next (of a, b and c), the size of the planes read, pixels and width of those that rows or columns count
    "a_images": "int64", "b_images": "int64", "c_images": "int64", "height": "int64", "width": "int64", "pixels": "int64", "out_width": "int64",
    "stride_h": "int64", "stride_w": "int64",
}


@functools.cache
def product_kernel(tile: Tile, a: Source, b: Source, epilogue: Epilogue, *, kind: str = "tf32x3", images: bool = False, split: bool = False,
                   quads: bool = False) -> Any:
    """The compiled kernel, over arrays of float32, or of the words of `kind`.

    `images`: columns are pixels of planes of the result. `split`: c is float32 [part, z, row, column] of partial sums, and there is no epilogue.
    `quads`: four columns lie side by side at aligned places, and there are no others.
    """
    itemsize = 4 if kind == "tf32x3" else 2
    text = Text()
    first, second = (Block(n, s, Layout(s.deep, r, DEPTH[kind], itemsize), tile.threads) for n, s, r in (("a", a, tile.rows), ("b", b, tile.columns)))
    word = "float32" if itemsize == 4 else "uint16"
    for block in (first, second):
        text.add([f"{block.name}_shared = cuda.shared.array({STAGES * block.layout.size}, {word})", f"{block.name}_zero = {word}(0)"])
    text.add(_prologue(tile))
    for block, name in ((first, "row0"), (second, "column0")):
        text.add(block.setup(name))
    text.add(["sums = zeros()", "k0 = depth_start"])
    for stage in range(STAGES - 1):
        _copy_both(text, first, second, str(stage), DEPTH[kind], 1)
    text.add(["stage = 0", f"ahead = {STAGES - 1}", f"turns = (depth_end - depth_start + {DEPTH[kind] - 1}) // {DEPTH[kind]}"])
    text.add("for turn in range(turns):")
    text.add([f"copy_wait_{STAGES - 2}()", "cuda.syncthreads()"], 2)
    _copy_both(text, first, second, "ahead", DEPTH[kind], 2)
    text.add([f"sums = multiply(sums, a_shared, stage * {first.layout.size}, b_shared, stage * {second.layout.size}, warp_row, warp_column, lane)",
              f"stage = pick(stage < {STAGES - 1}, stage + 1, 0)", f"ahead = pick(ahead < {STAGES - 1}, ahead + 1, 0)"], 2)
    text.add("copy_wait_0()")
    _results(text, tile, epilogue, kind, images=images, split=split, quads=quads)
    zeros, multiply, put = functions(tile, first.layout, second.layout, kind)
    arguments = ARGUMENTS if itemsize == 4 else {
        **ARGUMENTS, **dict.fromkeys(("a", "b", "bias", "residual"), HALF), "c": FLOAT if split else HALF}
    return compiled("product", arguments, text, {"zeros": zeros, "multiply": multiply, "put": put, "uint16": np.uint16},
                    about=f"{tile} {a} {b} {kind}")


def _prologue(tile: Tile) -> Iterator[str]:
    """Which block, warp and lane this is, and its part of the depth."""
    yield from ("t = int64(cuda.threadIdx.x)", "lane = t & 31", "warp = t >> 5")
    yield from (f"warp_row = (warp // {tile.warps_across}) * {tile.warp_rows}", f"warp_column = (warp % {tile.warps_across}) * {tile.warp_columns}")
    yield f"down = (a_rows + {tile.rows - 1}) // {tile.rows}"
    yield f"across = (b_rows + {tile.columns - 1}) // {tile.columns}"
    yield "number = int64(cuda.blockIdx.x)"
    yield f"band = number // ({BAND} * across)"
    yield f"high = min({BAND}, down - {BAND} * band)"
    yield f"inside = number - band * {BAND} * across"
    yield f"row0 = ({BAND} * band + inside % high) * {tile.rows}"
    yield f"column0 = (inside // high) * {tile.columns}"
    yield from ("z = int64(cuda.blockIdx.y)", "part = z % splits", "z = z // splits", "z_outer = z // inner", "z_inner = z - z_outer * inner")
    yield "a_base = a_start + z_outer * a_outer + z_inner * a_inner"
    yield "b_base = b_start + z_outer * b_outer + z_inner * b_inner"
    yield from ("depth_start = part * per_split", "depth_end = min(depth_all, depth_start + per_split)")


def _copy_both(text: Text, first: Block, second: Block, stage: str, depth: int, level: int) -> None:
    text.add("if k0 < depth_end:", level)
    for block in (first, second):
        text.add(block.copies(stage, "k0"), level + 1)
    text.add(["copy_commit()", f"k0 += {depth}"], level)


def _results(text: Text, tile: Tile, epilogue: Epilogue, kind: str, *, images: bool, split: bool, quads: bool) -> None:
    """Sixteen rows of each warp at a time go through shared memory, so that lines of the result are written whole."""
    if split:
        text.add("c_base = (part * (int64(cuda.gridDim.y) // splits) + z) * a_rows * b_rows")
    else:
        text.add(["c_base = c_start + z_outer * c_outer + z_inner * c_inner", "bias_base = z_inner * bias_inner"])
    text.add(f"for i in range({tile.tall}):")
    text.add(["cuda.syncthreads()", f"put(sums, i, a_shared, (warp // {tile.warps_across}) * 16, warp_column, lane)", "cuda.syncthreads()"], 2)
    text.add(f"for e in range(t * 4, {16 * tile.warps_down * tile.columns}, {4 * tile.threads}):", 2)
    text.add([f"line = e // {tile.columns}", f"column = column0 + e - line * {tile.columns}",
              f"row = row0 + (line >> 4) * {tile.warp_rows} + 16 * i + (line & 15)", "v0, v1, v2, v3 = shared_4(a_shared, e)"], 3)
    read, write = ("{0}[{1}]", "{0}") if kind == "tf32x3" else (f"from_{kind}({{0}}[{{1}}])", f"to_{kind}({{0}})")
    if split:
        read, write = "{0}[{1}]", "{0}"
    if quads:
        text.add("if row < a_rows and column < b_rows:", 3)
        text.add(f"index = {_index(images, split)}", 4)
        for k in range(4):
            _apply(text, f"v{k}", epilogue if not split else Epilogue(), read, f" + {k}", 4)
        text.add(f"store_4(c, index, {', '.join(write.format(f'v{k}') for k in range(4))})", 4)
        return
    text.add("if row < a_rows:", 3)
    for k in range(4):
        text.add("if column < b_rows:", 4)
        text.add(f"index = {_index(images, split)}", 5)
        _apply(text, f"v{k}", epilogue if not split else Epilogue(), read, "", 5)
        text.add(f"c[index] = {write.format(f'v{k}')}", 5)
        text.add("column += 1", 4)


def _index(images: bool, split: bool) -> str:
    if split:
        return "c_base + row * b_rows + column"
    return "c_base + row * c_ld + " + ("(column // pixels) * c_images + column % pixels" if images else "column")


def _apply(text: Text, value: str, epilogue: Epilogue, read: str, more: str, level: int) -> None:
    if epilogue.bias:
        text.add(f"{value} += " + read.format("bias", "bias_base + " + ("row" if epilogue.bias == "row" else f"column{more}")), level)
    if epilogue.residual:
        text.add(f"{value} += " + read.format("residual", f"index{more}"), level)
    if epilogue.activation == "relu":
        text.add(f"{value} = float32(0) if {value} < float32(0) else {value}", level)


REDUCE = {"partial": FLOAT, "bias": FLOAT, "residual": FLOAT, "c": FLOAT, "splits": "int64", "total": "int64", "rows": "int64", "columns": "int64",
          "inner": "int64", "c_start": "int64", "c_outer": "int64", "c_inner": "int64", "c_ld": "int64", "c_images": "int64", "pixels": "int64",
          "bias_inner": "int64"}


@functools.cache
def reduction_kernel(epilogue: Epilogue, *, kind: str = "tf32x3", images: bool = False) -> Any:
    """Adds the partial sums of a split product in order, a thread an element, and applies the epilogue."""
    text = Text()
    text.add(["i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)", "if i < total:"])
    text.add(["v = float32(0)", "for s in range(splits):"], 2)
    text.add("v += partial[s * total + i]", 3)
    text.add(["line = i // columns", "column = i - line * columns", "z = line // rows", "row = line - z * rows", "z_outer = z // inner",
              "z_inner = z - z_outer * inner", "c_base = c_start + z_outer * c_outer + z_inner * c_inner", f"index = {_index(images, False)}",
              "bias_base = z_inner * bias_inner"], 2)
    read, write = ("{0}[{1}]", "{0}") if kind == "tf32x3" else (f"from_{kind}({{0}}[{{1}}])", f"to_{kind}({{0}})")
    _apply(text, "v", epilogue, read, "", 2)
    text.add(f"c[index] = {write.format('v')}", 2)
    return compiled("reduction", REDUCE if kind == "tf32x3" else {**REDUCE, **dict.fromkeys(("bias", "residual", "c"), HALF)}, text)
