"""Running sums, products and extrema along lines, as text: a thread for each line, or a block for each, which combines its part as a tree."""
from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import Lines, compiled

EXTREMA = ("cummax", "cummin")


@dataclass(frozen=True, slots=True)
class Scan:
    """`name`: cumsum, cumprod, logcumsumexp, cummax, cummin; the dtype of elements in memory, and of results."""

    name: str
    dtype: str
    result: str

    @property
    def kind(self) -> str:
        """What is computed in."""
        return "float32" if self.result in ("float16", "bfloat16") else "int32" if self.result in ("int8", "int16", "uint8", "bool") else self.result

    @property
    def has_places(self) -> bool:
        return self.name in EXTREMA

    @property
    def start(self) -> str:
        """What changes nothing in front of other elements."""
        if self.name in ("cumsum", "cumprod"):
            return f"{self.kind}({int(self.name == 'cumprod')})"
        lowest = self.name != "cummin"
        if self.kind.startswith("float"):
            return f"{self.kind}({'-' if lowest else ''}np.inf)"
        return f"{self.kind}({np.iinfo(self.kind).min if lowest else np.iinfo(self.kind).max})"

    def taken(self, raw: str) -> str:
        return f"from_{self.dtype}({raw})" if self.dtype in ("float16", "bfloat16") else f"{self.kind}({raw})"

    def given(self, value: str) -> str:
        if self.result in ("float16", "bfloat16"):
            return f"to_{self.result}({self.kind}({value}))"
        return f"{'uint8' if self.result == 'bool' else self.result}({value})"

    def join(self, text: Lines, before: str, level: int) -> None:
        """a (and p) = those `before` (and p{before}) with a (and p) behind them."""
        if self.name in ("cumsum", "cumprod"):
            text.add(f"a = {self.kind}({before} {'*' if self.name == 'cumprod' else '+'} a)", level)
        elif self.has_places:
            keeps = f"{before} {'>' if self.name == 'cummax' else '<'} a"
            if self.kind.startswith("float"):
                keeps = f"({keeps} and a == a) or ({before} != {before} and a == a)"
            text.add([f"if {keeps}:", f"    a = {before}", f"    p = p{before}"], level)
        else:
            text.add([f"if {before} == a:", f"    a = {self.kind}(a + {self.kind}(0.6931471805599453))", "else:",
                      f"    d = {self.kind}({before} - a)",
                      f"    top = {before} if d > 0 else a", f"    a = {self.kind}(top + math.log1p(math.exp(-abs(d))))"], level)

    @property
    def arguments(self) -> dict[str, str]:
        return {"x": f"{self.dtype}[]", "y": f"{self.result}[]", **({"to": "int64[]"} if self.has_places else {}),
                **dict.fromkeys(("lines", "width", "inner"), "int64")}


@functools.cache
def line_kernel(scan: Scan) -> Text:
    """Each thread walks along its lines of x [outer, width, inner]; `lines` = outer * inner."""
    text = Lines()
    text.add(["line = int64(cuda.grid(1))", "while line < lines:", "    outer = line // inner",
              "    at = outer * width * inner + line - outer * inner",
              f"    b = {scan.start}", "    pb = int64(0)", "    for j in range(width):", f"        a = {scan.taken('x[at + j * inner]')}",
              "        p = int64(j)"])
    scan.join(text, "b", 3)
    text.add([f"        y[at + j * inner] = {scan.given('a')}", *(["        to[at + j * inner] = p"] if scan.has_places else []), "        b = a",
              "        pb = p", "    line += int64(cuda.gridsize(1))"])
    return compiled(scan.arguments, text, about=f"line {scan}")


@functools.cache
def block_kernel(scan: Scan, block: int) -> Text:
    """A block of `block` threads (a power of two) for each line of x [lines, width]."""
    text = Lines()
    text.add([f"meeting = cuda.shared.array({block}, {scan.kind})", f"places = cuda.shared.array({block}, int64)", "t = int64(cuda.threadIdx.x)",
              "at = int64(cuda.blockIdx.x) * width", f"c = {scan.start}", "pc = int64(0)", "begin = int64(0)", "while begin < width:",
              "    j = begin + t", f"    a = {scan.start}", "    p = int64(0)", "    if j < width:", f"        a = {scan.taken('x[at + j]')}",
              "        p = j", "    meeting[t] = a", "    places[t] = p", "    cuda.syncthreads()"])
    distance = 1
    while distance < block:
        text.add([f"b = {scan.start}", "pb = int64(0)", f"if t >= {distance}:", f"    b = meeting[t - {distance}]",
                  f"    pb = places[t - {distance}]",
                  "cuda.syncthreads()", f"if t >= {distance}:"], 2)
        scan.join(text, "b", 3)
        text.add(["meeting[t] = a", "places[t] = p", "cuda.syncthreads()"], 2)
        distance *= 2
    scan.join(text, "c", 2)
    text.add(["    if j < width:", f"        y[at + j] = {scan.given('a')}", *(["        to[at + j] = p"] if scan.has_places else []),
              f"    a = meeting[{block - 1}]", f"    p = places[{block - 1}]"])
    scan.join(text, "c", 2)
    text.add(["    c = a", "    pc = p", "    cuda.syncthreads()", f"    begin += {block}"])
    return compiled(scan.arguments, text, about=f"block {scan} {block}", threads=block)
