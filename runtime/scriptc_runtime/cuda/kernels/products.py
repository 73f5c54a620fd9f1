"""Matrix products and convolutions on the tensor cores: float32 at the accuracy of float32, bfloat16 and float16 with float32 sums.

Of float32, each operand is split in two TF32 numbers, x = high + low, and high*high + high*low + low*high is accumulated: the term left out is
below 2**-21 of the product (Ootomo and Yokota 2022, "Recovering single precision accuracy from Tensor Cores"). Tensor cores round sums
towards zero, so the sum over each block of the depth is added to the accumulators outside, rounded to nearest. Infinities are not split: inf * x
is inf, as in plain float32.

c[z, row, column] = sum over k of a[z, row, k] * b[z, k, column], plus a bias per `row` or per `column` if one is named; a convolution is one
whose columns are pixels.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from scriptc_runtime.cuda.kernels.layouts import Layout
from scriptc_runtime.cuda.kernels.operands import Block, Source
from scriptc_runtime.cuda.kernels.tensor_core import DEPTH, Tile, functions
from scriptc_runtime.cuda.kernels.text import FLOAT, HALF, INDEX, Lines, compiled, word_type

STAGES = {"tf32x3": 3, "bfloat16": 4, "float16": 4}       # blocks in flight: of the largest tiles 96 KiB
BAND = 8         # rows of blocks that are walked column by column: what neighbours read stays in the L2 cache

# From the largest on; a launch takes the one that promises the shortest time.
TILES = {
    "tf32x3": (Tile(128, 128, 64, 32), Tile(64, 128, 32, 32), Tile(64, 64, 32, 32), Tile(32, 64, 16, 32)),
    "bfloat16": (Tile(128, 128, 64, 64), Tile(64, 64, 32, 32)),
}
TILES["float16"] = TILES["bfloat16"]


def shared_bytes(tile: Tile, kind: str) -> int:
    """Dynamic shared memory of a kernel."""
    return STAGES[kind] * (tile.rows + tile.columns) * DEPTH[kind] * (4 if kind == "tf32x3" else 2)


ARGUMENTS = {
    "a": FLOAT, "b": FLOAT, "bias": FLOAT, "c": FLOAT, "table": INDEX,
    "a_rows": "int64", "b_rows": "int64", "depth_all": "int64", "a_ld": "int64", "b_ld": "int64", "c_ld": "int64",
    "a_start": "int64", "b_start": "int64", "c_start": "int64",
    # z counts (outer, inner, part of the depth); the strides of a, b and c from one outer or inner to the next, and of the bias for inner
    "inner": "int64", "splits": "int64", "per_split": "int64", "a_outer": "int64", "a_inner": "int64", "b_outer": "int64", "b_inner": "int64",
    "c_outer": "int64", "c_inner": "int64", "bias_inner": "int64",
    # of images: elements from one to the next (of a, b and c), the size of the planes read, pixels and width of those that rows or columns count
    "a_images": "int64", "b_images": "int64", "c_images": "int64", "height": "int64", "width": "int64", "pixels": "int64", "out_width": "int64",
    "stride_h": "int64", "stride_w": "int64", "channels": "int64",
}


@functools.cache
def product_kernel(tile: Tile, a: Source, b: Source, bias: str, *, kind: str = "tf32x3", images: bool = False, split: bool = False,
                   quads: bool = False) -> Any:
    """The compiled kernel, over arrays of float32, or of the words of `kind`; a grid of (tiles of the result) x outer x inner x splits blocks.

    `images`: columns are pixels of planes of the result. `split`: c is float32 [part, z, row, column] of partial sums, and no bias is added.
    `quads`: four columns lie side by side at aligned places, and there are no others.
    """
    itemsize, depth, stages = (4 if kind == "tf32x3" else 2), DEPTH[kind], STAGES[kind]
    layouts = Layout(a.deep, tile.rows, depth, itemsize), Layout(b.deep, tile.columns, depth, itemsize)
    first, second = Block("a", a, layouts[0], 0, tile.threads), Block("b", b, layouts[1], stages * layouts[0].size, tile.threads)
    again = kind == "tf32x3"
    text = Lines()
    text.add("shared = cuda.shared.array(0, word)")
    if itemsize == 2:
        text.add("nothing = uint16(0)")
    text.add(_prologue(tile))
    for block, name in ((first, "row0"), (second, "column0")):
        text.add(block.setup(name))
    level = 1
    if again:
        text.add(["safe = 0", "going = 1", "while going != 0:"])
        level = 2
        if b.taps:
            text.add(["b_tap = divide(depth_start, channels)", "b_c = depth_start - b_tap * channels"], level)
    text.add(["sums = zeros()", "k0 = depth_start"], level)
    for stage in range(stages - 1):
        _copy_both(text, first, second, str(stage), level)
    text.add(["stage = 0", f"ahead = {stages - 1}", f"turns = divide(depth_end - depth_start + {depth - 1}, {depth})"], level)
    text.add("for turn in range(turns):", level)
    text.add([f"copy_wait_{stages - 2}()", "cuda.syncthreads()"], level + 1)
    _copy_both(text, first, second, "ahead", level + 1)
    text.add([f"sums = multiply(sums, shared, stage * {first.layout.size}, {second.start} + stage * {second.layout.size}, warp_row, warp_column, "
              f"lane, {'safe' if again else '0'})",
              f"stage = pick(stage < {stages - 1}, stage + 1, 0)", f"ahead = pick(ahead < {stages - 1}, ahead + 1, 0)"], level + 1)
    text.add("copy_wait_0()", level)
    if again:
        text.add(["going = pick((cuda.syncthreads_or(lost(sums)) != 0) & (safe == 0), 1, 0)", "safe = 1"], level)
    _results(text, tile, bias, kind, images=images, split=split, quads=quads)
    arguments = ARGUMENTS if itemsize == 4 else {
        **ARGUMENTS, **dict.fromkeys(("a", "b", "bias"), HALF), "c": FLOAT if split else HALF}
    return compiled(arguments, text, {**functions(tile, *layouts, kind), "word": word_type(itemsize)}, about=f"{tile} {a} {b} {kind}",
                    threads=tile.threads, blocks=2 if itemsize == 2 and tile.sums <= 64 else 1)


def _prologue(tile: Tile) -> Iterator[str]:
    """Which block, warp and lane this is, and its part of the depth."""
    yield from ("t = int64(cuda.threadIdx.x)", "lane = t & 31", "warp = t >> 5")
    yield from (f"warp_row = (warp // {tile.warps_across}) * {tile.warp_rows}", f"warp_column = (warp % {tile.warps_across}) * {tile.warp_columns}")
    yield f"down = (a_rows + {tile.rows - 1}) // {tile.rows}"
    yield f"across = (b_rows + {tile.columns - 1}) // {tile.columns}"
    yield from ("tiles = down * across", "z_all = divide(int64(cuda.blockIdx.x), tiles)", "number = int64(cuda.blockIdx.x) - z_all * tiles")
    yield f"band = divide(number, {BAND} * across)"
    yield f"high = min({BAND}, down - {BAND} * band)"
    yield f"inside = number - band * {BAND} * across"
    yield "column0 = divide(inside, high)"
    yield f"row0 = ({BAND} * band + inside - column0 * high) * {tile.rows}"
    yield f"column0 = column0 * {tile.columns}"
    yield from ("z = divide(z_all, splits)", "part = z_all - z * splits", "z_outer = divide(z, inner)",
                "z_inner = z - z_outer * inner")
    yield "a_base = a_start + z_outer * a_outer + z_inner * a_inner"
    yield "b_base = b_start + z_outer * b_outer + z_inner * b_inner"
    yield from ("depth_start = part * per_split", "depth_end = min(depth_all, depth_start + per_split)")


def _copy_both(text: Lines, first: Block, second: Block, stage: str, level: int) -> None:
    text.add("if k0 < depth_end:", level)
    for block in (first, second):
        text.add(block.copies(stage, "k0"), level + 1)
    text.add(["copy_commit()", f"k0 += {first.layout.depth}"], level)


def _results(text: Lines, tile: Tile, bias: str, kind: str, *, images: bool, split: bool, quads: bool) -> None:
    """Sixteen rows of each warp at a time go through shared memory, so that lines of the result are written whole."""
    if split:
        text.add("c_base = (part * divide(int64(cuda.gridDim.x), tiles * splits) + z) * a_rows * b_rows")
    else:
        text.add(["c_base = c_start + z_outer * c_outer + z_inner * c_inner", "bias_base = z_inner * bias_inner"])
    text.add(f"for i in range({tile.tall}):")
    text.add(["cuda.syncthreads()", f"put(sums, i, shared, (warp // {tile.warps_across}) * 16, warp_column, lane)", "cuda.syncthreads()"], 2)
    text.add(f"for e in range(t * 4, {16 * tile.warps_down * tile.columns}, {4 * tile.threads}):", 2)
    text.add([f"line = e // {tile.columns}", f"column = column0 + e - line * {tile.columns}",
              f"row = row0 + (line >> 4) * {tile.warp_rows} + 16 * i + (line & 15)", "v0, v1, v2, v3 = shared_4(shared, e)"], 3)
    read, write = ("{0}[{1}]", "{0}") if kind == "tf32x3" else (f"from_{kind}({{0}}[{{1}}])", f"to_{kind}({{0}})")
    if split:
        read, write = "{0}[{1}]", "{0}"
    if quads:
        text.add("if row < a_rows and column < b_rows:", 3)
        text.add(f"index = {_index(images, split)}", 4)
        for k in range(4):
            _add_bias(text, f"v{k}", bias, read, f" + {k}", 4)
        text.add(f"store_4(c, index, {', '.join(write.format(f'v{k}') for k in range(4))})", 4)
        return
    text.add("if row < a_rows:", 3)
    for k in range(4):
        text.add("if column < b_rows:", 4)
        text.add(f"index = {_index(images, split)}", 5)
        _add_bias(text, f"v{k}", bias, read, "", 5)
        text.add(f"c[index] = {write.format(f'v{k}')}", 5)
        text.add("column += 1", 4)


def _index(images: bool, split: bool) -> str:
    if split:
        return "c_base + row * b_rows + column"
    return "c_base + row * c_ld + " + ("column + divide(column, pixels) * (c_images - pixels)" if images else "column")


def _add_bias(text: Lines, value: str, bias: str, read: str, more: str, level: int) -> None:
    if bias:
        text.add(f"{value} += " + read.format("bias", "bias_base + " + ("row" if bias == "row" else f"column{more}")), level)


REDUCE = {"partial": FLOAT, "bias": FLOAT, "c": FLOAT, "splits": "int64", "total": "int64", "rows": "int64", "columns": "int64",
          "inner": "int64", "c_start": "int64", "c_outer": "int64", "c_inner": "int64", "c_ld": "int64", "c_step": "int64", "c_images": "int64",
          "pixels": "int64", "bias_inner": "int64"}


@functools.cache
def reduction_kernel(bias: str, *, kind: str = "tf32x3", images: bool = False) -> Any:
    """Adds the partial sums of a split product in order, a thread an element, and the bias. Columns are `c_step` elements apart."""
    text = Lines()
    text.add(["i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)", "if i < total:"])
    text.add(["v = float32(0)", "for s in range(splits):"], 2)
    text.add("v += partial[s * total + i]", 3)
    text.add(["line = divide(i, columns)", "column = i - line * columns", "z = divide(line, rows)", "row = line - z * rows",
              "z_outer = divide(z, inner)", "z_inner = z - z_outer * inner", "c_base = c_start + z_outer * c_outer + z_inner * c_inner",
              "index = " + (_index(images, False) if images else "c_base + row * c_ld + column * c_step"), "bias_base = z_inner * bias_inner"], 2)
    read, write = ("{0}[{1}]", "{0}") if kind == "tf32x3" else (f"from_{kind}({{0}}[{{1}}])", f"to_{kind}({{0}})")
    _add_bias(text, "v", bias, read, "", 2)
    text.add(f"c[index] = {write.format('v')}", 2)
    return compiled(REDUCE if kind == "tf32x3" else {**REDUCE, **dict.fromkeys(("bias", "c"), HALF)}, text, about=f"sums {kind}")
