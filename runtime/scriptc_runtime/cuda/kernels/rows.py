"""Softmax and the norms over the last dimension: a row is read once, kept in registers, and written once.

A group of 32 to 1024 threads has a row; each thread has up to 32 of its elements, four by four where rows begin at multiples of four.
Rows that do not fit are walked as often as the formula needs. Half types are computed in float32.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scriptc_runtime.cuda.kernels.text import FLOAT, HALF, Lines, compiled

BLOCK = 256          # threads of a block that has several rows
FEW, HELD = 16, 32   # elements that a thread keeps: of rows that few threads have, and at most
MANY, MOST = 512, 1024     # threads of a row from which on more elements are better than more threads, and at most


@dataclass(frozen=True, slots=True)
class Form:
    """What a kernel is compiled for: `name` (softmax, log_softmax, layer_norm, rms_norm), `dtype`, threads of a row, elements of a thread (0: rows
    are walked), whether rows are read four by four, and which of weight and bias there are."""

    name: str
    dtype: str
    threads: int
    held: int
    vector: bool
    weight: bool = False
    bias: bool = False

    @property
    def rows(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK // self.threads)

    @property
    def piece(self) -> int:
        return 4 if self.vector else 1


def form_for(name: str, dtype: str, width: int, *, aligned: bool, weight: bool = False, bias: bool = False) -> Form:
    """The form for rows of `width` elements; `aligned`: arrays begin at multiples of 16 bytes."""
    vector = aligned and width % 4 == 0
    piece = 4 if vector else 1
    threads = 32
    while threads < MOST and threads * (FEW if threads < MANY else HELD) < width:
        threads *= 2
    turns = -(-width // (threads * piece))
    held = turns * piece if turns * piece <= HELD else 0
    return Form(name, dtype, threads, held, vector, weight, bias)


ARGUMENTS = {"x": FLOAT, "weight": FLOAT, "bias": FLOAT, "y": FLOAT, "rows": "int64", "width": "int64", "eps": "float32"}


@functools.cache
def row_kernel(form: Form) -> Any:
    """The compiled kernel: a grid of ceil(rows / form.rows) blocks of form.rows * form.threads threads."""
    text = Lines()
    if form.threads > 32:
        text.add(f"meeting = cuda.shared.array({form.rows * form.threads // 32}, float32)")
    text.add(["t = int64(cuda.threadIdx.x)", f"group = t // {form.threads}", f"member = t - group * {form.threads}",
              f"row = int64(cuda.blockIdx.x) * {form.rows} + group", "there = row < rows", "at = row * width"])
    _Rows(form, text).write()
    arguments = ARGUMENTS if form.dtype == "float32" else {**ARGUMENTS, **dict.fromkeys(("x", "weight", "bias", "y"), HALF)}
    return compiled(arguments, text, about=repr(form), threads=form.rows * form.threads)


class _Rows:
    """The text of one form."""

    def __init__(self, form: Form, text: Lines) -> None:
        self.form, self.text = form, text

    def write(self) -> None:
        form = self.form
        if form.held:
            self._each(self._loaded)
        if form.name in ("softmax", "log_softmax"):
            self._softmax()
        else:
            self._norm()

    def _turns(self) -> Iterator[tuple[str, list[str]]]:
        """(where in the row, the names of its elements) of each piece that a thread keeps."""
        piece = self.form.piece
        for turn in range(self.form.held // piece):
            yield f"member * {piece} + {turn * piece * self.form.threads}", [f"x{turn}_{k}" for k in range(piece)]

    def _each(self, act: Any) -> None:
        """Text for each piece: unrolled over what is kept, or a loop that loads it anew."""
        if self.form.held:
            for place, names in self._turns():
                self.text.add(f"column = {place}")
                act(names, 1)
        else:
            names = [f"x{k}" for k in range(self.form.piece)]
            self.text.add(f"for column in range(member * {self.form.piece}, width, {self.form.piece * self.form.threads}):")
            self._loaded(names, 2)
            act(names, 2)

    def _read(self, array: str, index: str, names: list[str]) -> str:
        convert = "{}" if self.form.dtype == "float32" else f"from_{self.form.dtype}({{}})"
        if len(names) == 1:
            return f"{names[0]} = " + convert.format(f"{array}[{index}]")
        if self.form.dtype == "float32":
            return f"{', '.join(names)} = load_4({array}, {index})"
        raw = [f"r{k}" for k in range(4)]
        return f"{', '.join(raw)} = load_4({array}, {index}); " + "; ".join(f"{n} = {convert.format(r)}" for n, r in zip(names, raw, strict=True))

    def _loaded(self, names: list[str], level: int) -> None:
        if self.form.held:
            self.text.add(f"{' = '.join(names)} = float32(0)", level)
            self.text.add("if there and column < width:", level)
            level += 1
        self.text.add(self._read("x", "at + column" if self.form.held else "(at if there else 0) + column", names), level)

    def _gathered(self, start: str, step: Any) -> None:
        """`total` over the row of what `step(name)` adds or takes in."""
        self.text.add(f"total = float32({start})")

        def act(names: list[str], level: int) -> None:
            if self.form.held:
                self.text.add("if column < width:", level)
                level += 1
            self.text.add([step(n) for n in names], level)
        self._each(act)
        combine = step("other")
        threads = self.form.threads
        mask = min(threads, 32) // 2
        while mask:
            self.text.add([f"other = shuffle_xor(total, {mask})", combine])
            mask //= 2
        if threads > 32:
            warps = threads // 32
            self.text.add(["cuda.syncthreads()", "if t & 31 == 0:"])
            self.text.add("meeting[t >> 5] = total", 2)
            self.text.add(["cuda.syncthreads()", f"total = meeting[group * {warps}]", f"for w in range(1, {warps}):"])
            self.text.add([f"other = meeting[group * {warps} + w]", combine], 2)

    def _stored(self, change: Any) -> None:
        """Write what `change(name, k)` makes of each element."""
        def act(names: list[str], level: int) -> None:
            self.text.add("if there and column < width:", level)
            level += 1
            for array in ("weight", "bias"):
                if getattr(self.form, array):
                    self.text.add(self._read(array, "column", [f"{array[0]}{k}" for k in range(len(names))]), level)
            values = [f"v{k}" for k in range(len(names))]
            self.text.add([f"v{k} = {change(n, k)}" for k, n in enumerate(names)], level)
            if self.form.dtype != "float32":
                self.text.add([f"{v} = to_{self.form.dtype}({v})".replace(f"{v} =", f"h{v[1:]} =") for v in values], level)
                values = [f"h{v[1:]}" for v in values]
            self.text.add(f"store_4(y, at + column, {', '.join(values)})" if len(names) == 4 else f"y[at + column] = {values[0]}", level)
        self._each(act)

    def _softmax(self) -> None:
        self._gathered("-np.inf", lambda n: f"total = max(total, {n})")
        self.text.add("most = total")
        if self.form.name == "softmax" and self.form.held:      # what was computed for the sum is kept
            def act(names: list[str], level: int) -> None:
                self.text.add([f"{n} = math.exp({n} - most)" for n in names], level)
            self._each(act)
            self._gathered("0", lambda n: f"total += {n}")
            self.text.add("scale = float32(1) / total")
            self._stored(lambda n, k: f"{n} * scale")
            return
        self._gathered("0", lambda n: f"total += {n}" if n == "other" else f"total += math.exp({n} - most)")
        if self.form.name == "softmax":
            self.text.add("scale = float32(1) / total")
            self._stored(lambda n, k: f"math.exp({n} - most) * scale")
        else:
            self.text.add("less = math.log(total)")
            self._stored(lambda n, k: f"{n} - most - less")

    def _norm(self) -> None:
        mean = ""
        if self.form.name == "layer_norm":
            self._gathered("0", lambda n: f"total += {n}")
            self.text.add("mean = total / float32(width)")
            mean = " - mean"
        self._gathered("0", lambda n: f"total += {n}" if n == "other" else f"total += ({n}{mean}) * ({n}{mean})")
        self.text.add("scale = float32(1) / math.sqrt(total / float32(width) + eps)")

        def change(n: str, k: int) -> str:
            made = f"({n}{mean}) * scale"
            made = f"{made} * w{k}" if self.form.weight else made
            return f"{made} + b{k}" if self.form.bias else made
        self._stored(change)
