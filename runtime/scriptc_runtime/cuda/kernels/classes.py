"""Classification losses over rows of scores: a warp has a row, its lanes the classes; scores are float32, sums are taken in order.

Row r is (n, s) of x [N, C, S]: class c is at (n * classes + c) * inner + s. A class out of range raises the flag and counts as none.
"""
from __future__ import annotations

import functools

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import FLOAT, Lines, compiled, word_type

WARPS = 4            # of a block
TOTAL_THREADS = 256  # of the one block that adds up rows

_COMMON = {"rows": "int64", "classes": "int64", "inner": "int64", "ignored": "int64", "weighted": "int64", "smoothing": "float32"}
FORWARD = {"x": FLOAT, "target": "int64[]", "weight": FLOAT, "losses": FLOAT, "weights": FLOAT, "flag": "int64[]", "number": "int64", **_COMMON}
BACKWARD = {"g": FLOAT, "x": FLOAT, "target": "int64[]", "weight": FLOAT, "total": FLOAT, "dx": FLOAT, "per_row": "int64", "mean": "int64", **_COMMON}
TOTALS = {"losses": FLOAT, "weights": FLOAT, "result": FLOAT, "total": FLOAT, "rows": "int64", "mean": "int64"}


def _row(text: Lines) -> None:
    text.add(["t = int64(cuda.threadIdx.x)", "lane = t & 31", f"row = int64(cuda.blockIdx.x) * {WARPS} + (t >> 5)", "there = row < rows",
              "r = min(row, rows - 1)", "n = r // inner", "base = n * classes * inner + r - n * inner", "wanted = target[r]",
              "taken = wanted != ignored", "label = wanted if taken and wanted >= 0 and wanted < classes else int64(0)"])


def _statistics(text: Lines) -> None:
    """`most` and `less`: log_softmax of a score v is v - most - less."""
    text.add(["most = float32(-np.inf)", "for c in range(lane, classes, 32):", "    most = max(most, x[base + c * inner])"])
    for mask in (16, 8, 4, 2, 1):
        text.add(f"most = max(most, shuffle_xor(most, {mask}))")
    text.add(["total_exp = float32(0)", "for c in range(lane, classes, 32):", "    total_exp += math.exp(x[base + c * inner] - most)"])
    for mask in (16, 8, 4, 2, 1):
        text.add(f"total_exp += shuffle_xor(total_exp, {mask})")
    text.add("less = math.log(total_exp)")


@functools.cache
def forward_kernel(*, logarithms: bool) -> Text:
    """losses and weights of rows; `logarithms`: x is log-probabilities already (nll_loss)."""
    text = Lines()
    _row(text)
    text.add(["if there and lane == 0 and taken and (wanted < 0 or wanted >= classes):",
              "    if cuda.atomic.compare_and_swap(flag, int64(0), number) == 0:", "        flag[1] = wanted", "        flag[2] = classes"])
    if logarithms:
        text.add(["most = float32(0)", "less = float32(0)"])
    else:
        _statistics(text)
    text.add(["w = float32(1) if taken else float32(0)", "if taken and weighted != 0:", "    w = weight[label]",
              "loss = (most + less - x[base + label * inner]) * w if taken else float32(0)", "if smoothing != float32(0):", "    spread = float32(0)",
              "    for c in range(lane, classes, 32):", "        q = most + less - x[base + c * inner]",
              "        spread += q * weight[c] if weighted != 0 else q"])
    for mask in (16, 8, 4, 2, 1):
        text.add(f"    spread += shuffle_xor(spread, {mask})")
    text.add(["    loss = loss * (float32(1) - smoothing) + (spread * (smoothing / float32(classes)) if taken else float32(0))",
              "if there and lane == 0:", "    losses[row] = loss", "    weights[row] = w"])
    return compiled(FORWARD, text, about=f"losses {logarithms}", threads=32 * WARPS)


@functools.cache
def total_kernel() -> Text:
    """total = the sum of weights, result = the sum of losses, over the total if `mean`: one block, always in the same order."""
    text = Lines()
    text.add([f"a = cuda.shared.array({TOTAL_THREADS}, word)", f"b = cuda.shared.array({TOTAL_THREADS}, word)", "t = int64(cuda.threadIdx.x)",
              "threads = int64(cuda.blockDim.x)", "u = float32(0)", "v = float32(0)", "for r in range(t, rows, threads):", "    u += losses[r]",
              "    v += weights[r]", "a[t] = u", "b[t] = v", "cuda.syncthreads()", "half = threads // 2", "while half > 0:", "    if t < half:",
              "        a[t] += a[t + half]", "        b[t] += b[t + half]", "    cuda.syncthreads()", "    half = half // 2", "if t == 0:",
              "    total[0] = b[0]", "    result[0] = a[0] / b[0] if mean != 0 else a[0]"])
    return compiled(TOTALS, text, {"word": word_type(4)}, about="totals", threads=TOTAL_THREADS)


@functools.cache
def backward_kernel(*, logarithms: bool) -> Text:
    """dx of rows: g is one number or one for each row (`per_row`), divided by the total if `mean`."""
    text = Lines()
    _row(text)
    if not logarithms:
        _statistics(text)
    text.add(["factor = g[r] if per_row != 0 else g[0]", "if mean != 0:", "    factor = factor / total[0]", "if taken and there:",
              "    own = weight[label] if weighted != 0 else float32(1)"])
    if logarithms:
        text.add(["    for c in range(lane, classes, 32):", "        dx[base + c * inner] = -own * factor if c == label else float32(0)"])
    else:
        text.add(["    each = smoothing / float32(classes)", "    sum_wanted = own * (float32(1) - smoothing)", "    if smoothing != float32(0):",
                  "        if weighted != 0:", "            for c in range(classes):", "                sum_wanted += each * weight[c]",
                  "        else:", "            sum_wanted += smoothing", "    for c in range(lane, classes, 32):",
                  "        p = math.exp(x[base + c * inner] - most - less) * sum_wanted",
                  "        if smoothing != float32(0):", "            p -= each * weight[c] if weighted != 0 else each",
                  "        if c == label:", "            p -= own * (float32(1) - smoothing)", "        dx[base + c * inner] = p * factor"])
    text.add(["elif there:", "    for c in range(lane, classes, 32):", "        dx[base + c * inner] = float32(0) * factor"])
    return compiled(BACKWARD, text, about=f"gradient {logarithms}", threads=32 * WARPS)
