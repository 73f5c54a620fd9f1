"""Products of a few rows with a matrix whose lines are read once: a warp per column, the memory's speed is the limit."""
from __future__ import annotations

import functools

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import FLOAT, HALF, Lines, compiled

MOST_ROWS = 8        # beyond it the rows' own elements are read too often
WARPS = 4            # of a block
ARGUMENTS = {**dict.fromkeys(("a", "b", "bias", "c"), FLOAT), "columns": "int64", "depth": "int64", "a_ld": "int64", "b_ld": "int64", "c_ld": "int64"}


@functools.cache
def vector_kernel(rows: int, dtype: str, *, vector: bool, bias: bool) -> Text:
    """c[r, n] = sum over k of a[r, k] * b[n, k], plus bias[n]: a grid of ceil(columns / WARPS) blocks of 32 WARPS threads.

    `vector`: lines of a and b are read four elements at a time.
    """
    half = dtype != "float32"
    piece = 4 if vector else 1
    read = f"from_{dtype}({{}})" if half else "{}"
    text = Lines()
    text.add(["t = int64(cuda.threadIdx.x)", "lane = t & 31", f"column = int64(cuda.blockIdx.x) * {WARPS} + (t >> 5)",
              "line = min(column, columns - 1) * b_ld"])
    text.add(f"s{r} = float32(0)" for r in range(rows))
    text.add(f"for k in range(lane * {piece}, depth, {32 * piece}):")
    if vector:
        text.add("w0, w1, w2, w3 = load_4(b, line + k)", 2)
    else:
        text.add("w0 = b[line + k]", 2)
    for r in range(rows):
        text.add(f"x0, x1, x2, x3 = load_4(a, {r} * a_ld + k)" if vector else f"x0 = a[{r} * a_ld + k]", 2)
        text.add(f"s{r} += " + " + ".join(f"{read.format(f'x{i}')} * {read.format(f'w{i}')}" for i in range(piece)), 2)
    for r in range(rows):
        for mask in (16, 8, 4, 2, 1):
            text.add(f"s{r} += shuffle_xor(s{r}, {mask})")
    text.add("if lane == 0 and column < columns:")
    for r in range(rows):
        if bias:
            text.add(f"s{r} += {read.format('bias[column]')}", 2)
        text.add(f"c[{r} * c_ld + column] = " + (f"to_{dtype}(s{r})" if half else f"s{r}"), 2)
    arguments = {**ARGUMENTS, **dict.fromkeys(("a", "b", "bias", "c"), HALF)} if half else ARGUMENTS
    return compiled(arguments, text, about=f"{rows} {dtype} {vector}", threads=32 * WARPS)
