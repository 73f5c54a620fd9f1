"""Convolutions a thread an element, over any number of planes and any dtype: for groups of few channels and for what the tiles do not serve.

Windows are those of three spatial dimensions; fewer have size 1 in front. Sums are float32, of float64 float64.
"""
from __future__ import annotations

import functools

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import Lines, compiled

SIZES = ("batch", "channels", "sd", "sh", "sw", "features", "td", "th", "tw", "kd", "kh", "kw", "groups", "stride_d", "stride_h", "stride_w",
         "pad_d", "pad_h", "pad_w", "dil_d", "dil_h", "dil_w")
_TYPES = {"float32": "float32[]", "float64": "float64[]", "float16": "uint16[]", "bfloat16": "uint16[]"}
_WINDOW = ("for i in range(kd):", "    for j in range(kh):", "        for k in range(kw):")


@functools.cache
def direct_kernel(which: str, dtype: str) -> Text:
    """The kernel `forward` (x, weight, bias -> y), `input` (g, weight, _ -> dx) or `weight` (g, x, _ -> dw): threads stride over the result."""
    text = Lines()
    half = dtype in ("float16", "bfloat16")
    zero = "float64(0)" if dtype == "float64" else "float32(0)"
    read, write = ((f"from_{dtype}({{}})", f"to_{dtype}({{}})") if half else ("{}", "{}"))
    text.add(["first = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)",
              "for e in range(first, total, int64(cuda.blockDim.x) * int64(cuda.gridDim.x)):"])
    text.add([f"v = {zero}", "rest = e", "own = channels // groups", "made = features // groups"], 2)
    {"forward": _forward, "input": _input, "weight": _weight}[which](text, read)
    text.add(f"c[e] = {write.format('v')}", 2)
    arguments = {**dict.fromkeys(("a", "b", "bias", "c"), _TYPES[dtype]), "has_bias": "int64", "total": "int64", **dict.fromkeys(SIZES, "int64")}
    return compiled(arguments, text, about=f"{which} {dtype}")


def _split(text: Lines, names: list[tuple[str, str]]) -> None:
    """Names for the coordinates of element `rest`, last first."""
    for name, size in names:
        text.add([f"{name} = rest % {size}", f"rest = rest // {size}"], 2)


def _forward(text: Lines, read: str) -> None:
    _split(text, [("w", "tw"), ("h", "th"), ("d", "td"), ("f", "features")])
    text.add(["n = rest", "group = f // made", "for ci in range(own):"], 2)
    text.add(_WINDOW, 3)
    text.add(["x = d * stride_d + i * dil_d - pad_d", "y = h * stride_h + j * dil_h - pad_h", "z = w * stride_w + k * dil_w - pad_w",
              "if x >= 0 and x < sd and y >= 0 and y < sh and z >= 0 and z < sw:"], 6)
    text.add(["place = (((n * channels + group * own + ci) * sd + x) * sh + y) * sw + z", "other = (((f * own + ci) * kd + i) * kh + j) * kw + k",
              f"v += {read.format('a[place]')} * {read.format('b[other]')}"], 7)
    text.add("if has_bias != 0:", 2)
    text.add(f"v += {read.format('bias[f]')}", 3)


def _input(text: Lines, read: str) -> None:
    _split(text, [("w", "sw"), ("h", "sh"), ("d", "sd"), ("c0", "channels")])
    text.add(["n = rest", "group = c0 // own", "ci = c0 - group * own", "for m in range(made):"], 2)
    text.add(_WINDOW, 3)
    text.add(["x = d + pad_d - i * dil_d", "y = h + pad_h - j * dil_h", "z = w + pad_w - k * dil_w",
              "if x >= 0 and y >= 0 and z >= 0 and x % stride_d == 0 and y % stride_h == 0 and z % stride_w == 0:"], 6)
    text.add(["x = x // stride_d", "y = y // stride_h", "z = z // stride_w", "if x < td and y < th and z < tw:"], 7)
    text.add(["f = group * made + m", "place = (((n * features + f) * td + x) * th + y) * tw + z",
              "other = (((f * own + ci) * kd + i) * kh + j) * kw + k", f"v += {read.format('a[place]')} * {read.format('b[other]')}"], 8)


def _weight(text: Lines, read: str) -> None:
    _split(text, [("k", "kw"), ("j", "kh"), ("i", "kd"), ("ci", "own")])
    text.add(["f = rest", "group = f // made", "for n in range(batch):"], 2)
    text.add(["for d in range(td):", "    for h in range(th):", "        for w in range(tw):"], 3)
    text.add(["x = d * stride_d + i * dil_d - pad_d", "y = h * stride_h + j * dil_h - pad_h", "z = w * stride_w + k * dil_w - pad_w",
              "if x >= 0 and x < sd and y >= 0 and y < sh and z >= 0 and z < sw:"], 6)
    text.add(["place = (((n * features + f) * td + d) * th + h) * tw + w", "other = (((n * channels + group * own + ci) * sd + x) * sh + y) * sw + z",
              f"v += {read.format('a[place]')} * {read.format('b[other]')}"], 7)
