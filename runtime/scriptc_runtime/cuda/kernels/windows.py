"""Pooling, a thread an element of the result: windows of up to three dimensions, any dtype, sums in the order of the window.

Gradients are gathered, not scattered: each element asks the windows that hold it, so no order of threads can change a bit.
"""
from __future__ import annotations

import functools

from scriptc.ir.types import DTYPES
from scriptc_runtime.cuda.compilation import Text, element_type
from scriptc_runtime.cuda.kernels.text import Lines, compiled

SIZES = ("sd", "sh", "sw", "td", "th", "tw", "kd", "kh", "kw", "stride_d", "stride_h", "stride_w", "pad_d", "pad_h", "pad_w", "dil_d", "dil_h",
         "dil_w")
_AXES = (("d", "i", "x"), ("h", "j", "y"), ("w", "k", "z"))     # of the result's element, of the window's, of the place in the source


@functools.cache
def window_kernel(which: str, dtype: str, *, indices: bool = False, padded: bool = False) -> Text:
    """`max` (x -> y, and places), `max_gradient` (g, x -> dx), `mean` (x -> y) or `mean_gradient` (g -> dx); `padded`: means count padding.

    `divisor`: what means are divided by if it is not 0.
    """
    text, half = Lines(), dtype in ("float16", "bfloat16")
    zero = "float64(0)" if dtype == "float64" else "float32(0)"
    read, write = ((f"from_{dtype}({{}})", f"to_{dtype}({{}})") if half else ("{}", "{}"))
    text.add(["first = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)",
              "for e in range(first, total, int64(cuda.blockDim.x) * int64(cuda.gridDim.x)):"])
    gradient = which.endswith("gradient")
    text.add("rest = e", 2)
    for name, _, _ in reversed(_AXES):
        size = ("s" if gradient else "t") + name
        text.add([f"{name} = rest % {size}", f"rest = rest // {size}"], 2)
    text.add("plane = rest * sd * sh * sw", 2)
    if not gradient:
        if which == "max":
            _maximum(text, read, 2)
            text.add("c[e] = " + write.format("best"), 2)
            if indices:
                text.add("places[e] = at", 2)
        else:
            text.add(f"v = {zero}", 2)
            _walk(text, 2, [f"v += {read.format('a[plane + (x * sh + y) * sw + z]')}"])
            _divisor(text, padded, 2)
            text.add("c[e] = " + write.format("v / n"), 2)
    else:
        text.add([f"v = {zero}", "own = (d * sh + h) * sw + w", "grad = rest * td * th * tw"], 2)
        _covering(text)
        text.add("g = " + read.format("a[grad + (u * th + r) * tw + q]"), 8)
        text.add(["keep_d = d", "keep_h = h", "keep_w = w", "d = u", "h = r", "w = q"], 8)
        if which == "max_gradient":
            _maximum(text, read, 8, source="b")
            text.add(["if at == own:", "    v += g"], 8)
        else:
            _divisor(text, padded, 8)
            text.add("v += g / n", 8)
        text.add(["d = keep_d", "h = keep_h", "w = keep_w"], 8)
        text.add("c[e] = " + write.format("v"), 2)
    element = element_type(DTYPES[dtype].numpy).name + "[]"
    arguments = {"a": element, "b": element, "c": element, "places": "int64[]", "total": "int64", "divisor": "float32",
                 **dict.fromkeys(SIZES, "int64")}
    return compiled(arguments, text, about=f"{which} {dtype} {indices} {padded}")


def _walk(text: Lines, level: int, body: list[str]) -> None:
    """Over the elements of window (d, h, w) that lie inside."""
    for depth, (name, step, place) in enumerate(_AXES):
        text.add(f"for {step} in range(k{name}):", level + 2 * depth)
        text.add([f"{place} = {name} * stride_{name} + {step} * dil_{name} - pad_{name}", f"if {place} >= 0 and {place} < s{name}:"],
                 level + 2 * depth + 1)
    text.add(body, level + 6)


def _maximum(text: Lines, read: str, level: int, source: str = "a") -> None:
    """`best`, the first largest element of window (d, h, w), and where it is, `at`; nan is larger than all."""
    text.add(["at = int64(-1)", f"best = {read.format(f'{source}[plane]')}"], level)
    _walk(text, level, ["here = (x * sh + y) * sw + z", f"m = {read.format(f'{source}[plane + here]')}",
                        "if at < 0 or m > best or (m != m and best == best):", "    best = m", "    at = here"])


def _divisor(text: Lines, padded: bool, level: int) -> None:
    """`n`, what the mean of window (d, h, w) is divided by."""
    text.add("n = divisor", level)
    text.add("if divisor == float32(0):", level)
    text.add("n = float32(1)", level + 1)
    for name, _, _ in _AXES:
        low, high = f"{name} * stride_{name} - pad_{name}", f"s{name}" + (f" + pad_{name}" if padded else "")
        start = low if padded else f"max({low}, 0)"
        text.add(f"n = n * float32(min({low} + k{name}, {high}) - ({start}))", level + 1)


def _covering(text: Lines) -> None:
    """Over the windows (u, r, q) that hold element (d, h, w): one for each element of a window, where strides allow."""
    for depth, ((name, step, _), window) in enumerate(zip(_AXES, ("u", "r", "q"), strict=True)):
        text.add(f"for {step}0 in range(k{name}):", 2 + 2 * depth)
        text.add([f"{window} = {name} + pad_{name} - {step}0 * dil_{name}",
                  f"if {window} >= 0 and {window} % stride_{name} == 0 and {window} // stride_{name} < t{name}:"], 3 + 2 * depth)
        text.add(f"{window} = {window} // stride_{name}", 4 + 2 * depth)
