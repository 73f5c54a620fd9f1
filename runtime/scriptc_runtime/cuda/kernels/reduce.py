"""Reductions as text: 16-byte loads, several of them on their way in every thread, then exchanges between lanes and through shared memory.

`row_kernel`: elements side by side, a group of threads for each row. `column_kernel`: a block has a strip of columns, its threads walk down the
rows. `narrow_kernel`: a thread for each result. What is joined with what depends on sizes alone, so results are the same bits every time.
"""
from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from scriptc_runtime.cuda.compilation import Text, element_type
from scriptc_runtime.cuda.kernels.text import Lines, compiled

WARP = 32
# Blocks that fit on a multiprocessor: more of fewer loads each are on their way than of as many as the compiler likes.
RESIDENT = 4
PLACES = ("argmax", "argmin")       # what also tells where the element stands


@dataclass(frozen=True, slots=True)
class Form:
    """What a kernel is compiled for.

    `name`: sum, prod, amax, amin, any, all, count, argmax, argmin. `dtype`: of the elements in memory, `result` of what is written. `first`:
    the elements are a tensor's, not an earlier stage's. `block`: threads of a block, of which `threads` have a row, or stand side by side over
    columns. `vector`: elements of one access. `tail`: a few elements follow the last whole access. `divided`: sums are divided by a number.
    """

    name: str
    dtype: str
    result: str
    first: bool
    block: int = 256
    threads: int = 1
    vector: int = 1
    tail: bool = False
    divided: bool = False

    @property
    def kind(self) -> str:
        """The dtype of accumulators."""
        return accumulator(self.name, self.dtype)

    @property
    def turns(self) -> int:
        """Accesses that a thread has on their way."""
        return 4 if self.vector > 1 else 8

    @property
    def has_places(self) -> bool:
        return self.name in PLACES

    @property
    def groups(self) -> int:
        """Rows of a block, or threads below each other."""
        return self.block // self.threads


def accumulator(name: str, dtype: str) -> str:
    """The dtype in which elements of `dtype` are gathered: of 4 or 8 bytes."""
    if name in ("any", "all"):
        return "int32"
    if name == "count":
        return "int64"
    if dtype in ("float16", "bfloat16"):
        return "float32"
    if dtype.startswith("float"):
        return dtype
    return "int64" if name in ("sum", "prod") or dtype == "int64" else "int32"


def _start(form: Form) -> str:
    kind = form.kind
    if form.name in ("sum", "any", "count"):
        return f"{kind}(0)"
    if form.name in ("prod", "all"):
        return f"{kind}(1)"
    largest = form.name in ("amax", "argmax")
    if kind.startswith("float"):
        return f"{kind}({'-' if largest else ''}np.inf)"
    limits = np.iinfo(kind)
    return f"{kind}({limits.min if largest else limits.max})"


def _taken(form: Form, raw: str) -> str:
    """An element in memory as an accumulator."""
    value = f"from_{form.dtype}({raw})" if form.dtype in ("float16", "bfloat16") else raw
    if form.first and form.name in ("any", "all", "count"):
        return f"({form.kind}(1) if {value} != 0 else {form.kind}(0))"
    return value if form.dtype in (form.kind, "float16", "bfloat16") else f"{form.kind}({value})"


def _given(form: Form, value: str) -> str:
    """An accumulator as what is written."""
    if form.divided:
        value = f"{value} / divisor"
    if form.result in ("float16", "bfloat16"):
        return f"to_{form.result}({value})"
    return value if form.result == form.kind else f"{element_type(np.dtype(form.result)).name}({value})"


def _joined(form: Form, a: str, b: str) -> str:
    """Two accumulators as one."""
    if form.name in ("amax", "amin"):
        nan = f" or {a} != {a}" if form.kind.startswith("float") else ""
        return f"({a} if {a} {'>' if form.name == 'amax' else '<'} {b}{nan} else {b})"
    if form.name in ("any", "all"):
        return f"int32({a} {'|' if form.name == 'any' else '&'} {b})"
    return f"{a} {'*' if form.name == 'prod' else '+'} {b}"


class _Writer:
    """Text over accumulators a0, a1, ... and, where places are asked for, p0, p1, ..."""

    def __init__(self, form: Form) -> None:
        self.form, self.text = form, Lines()

    def begin(self) -> None:
        for k in range(self.form.vector):
            self.text.add(f"a{k} = {_start(self.form)}")
            if self.form.has_places:
                self.text.add(f"p{k} = int64({np.iinfo(np.int64).max})")

    def join(self, k: int, value: str, place: str, level: int) -> None:
        """Take a value (and its place) into accumulator k: the first place of equals, nan before all."""
        form = self.form
        if not form.has_places:
            self.text.add(f"a{k} = {_joined(form, f'a{k}', value)}", level)
            return
        better, same = f"{value} {'>' if form.name == 'argmax' else '<'} a{k}", f"{value} == a{k}"
        if form.kind.startswith("float"):
            better += f" or ({value} != {value} and a{k} == a{k})"
            same += f" or ({value} != {value} and a{k} != a{k})"
        self.text.add([f"if {better} or (({same}) and {place} < p{k}):", f"    a{k} = {value}", f"    p{k} = {place}"], level)

    def load(self, u: int, index: str, level: int) -> None:
        """r{u}_{k}: the elements of one access."""
        names = ", ".join(f"r{u}_{k}" for k in range(self.form.vector))
        self.text.add(f"{names} = " + (f"load_{self.form.vector}(x, {index})" if self.form.vector > 1 else f"x[{index}]"), level)

    def take(self, u: int, place: str, index: str, level: int) -> None:
        """The elements of an access into the accumulators; `place`: of the first one in its row, `index`: in memory."""
        form = self.form
        for k in range(form.vector):
            self.text.add(f"e = {_taken(form, f'r{u}_{k}')}", level)
            if form.has_places:
                self.text.add(f"q = {place} + {k}" if form.first else f"q = places[{index} + {k}]", level)
            self.join(k, "e", "q", level)

    def walk(self, step: int, index: str) -> None:
        """From `j` to `end` by `step`, where {index} says where element {0} of a row is: first several accesses together, then one by one."""
        turns = self.form.turns
        self.text.add(f"while j + {(turns - 1) * step} < end:")
        for u in range(turns):
            self.load(u, index.format(f"(j + {u * step})"), 2)
        for u in range(turns):
            self.take(u, f"(j + {u * step})", index.format(f"(j + {u * step})"), 2)
        self.text.add([f"    j += {turns * step}", "while j < end:"])
        self.load(0, index.format("j"), 2)
        self.take(0, "j", index.format("j"), 2)
        self.text.add(f"j += {step}", 2)

    def fold(self) -> None:
        """All accumulators of a thread into a0."""
        count = self.form.vector
        while count > 1:
            count //= 2
            for k in range(count):
                self.join(k, f"a{k + count}", f"p{k + count}", 1)

    def written(self, k: int, index: str, level: int) -> None:
        self.text.add(f"y[{index}] = {_given(self.form, f'a{k}')}", level)
        if self.form.has_places:
            self.text.add(f"to[{index}] = p{k}", level)

    def compiled(self, *numbers: str) -> Text:
        """The kernel of x, (places,) y, (to,) the numbers, (divisor)."""
        form = self.form
        arguments = {"x": f"{form.dtype}[]", **({"places": "int64[]"} if form.has_places and not form.first else {}), "y": f"{form.result}[]",
                     **({"to": "int64[]"} if form.has_places else {}), **dict.fromkeys(numbers, "int64"),
                     **({"divisor": form.kind} if form.divided else {})}
        return compiled(arguments, self.text, about=repr(form), threads=form.block, blocks=RESIDENT)


@functools.cache
def row_kernel(form: Form) -> Text:
    """y[row, part] of x[row, part * per : (part + 1) * per]: a grid of (ceil(rows / form.groups), parts) blocks.

    Arguments: x, (places,) y, (to,) rows, width, per, parts, (divisor). Accesses must not cross the end of a part.
    """
    writer = _Writer(form)
    text, threads = writer.text, form.threads
    if threads > WARP:
        text.add(f"meeting = cuda.shared.array({form.block // WARP}, {form.kind})")
        if form.has_places:
            text.add(f"places_meeting = cuda.shared.array({form.block // WARP}, int64)")
    text.add(["t = int64(cuda.threadIdx.x)", f"group = t // {threads}", f"member = t - group * {threads}",
              f"row = int64(cuda.blockIdx.x) * {form.groups} + group", "part = int64(cuda.blockIdx.y)", "there = row < rows",
              f"whole = width - width % {form.vector}" if form.tail else "whole = width",
              "end = min(whole, (part + 1) * per) if there else int64(0)", "at = row * width if there else int64(0)",
              f"j = part * per + member * {form.vector}"])
    writer.begin()
    writer.walk(threads * form.vector, "at + {}")
    if form.tail:
        text.add(["if there and part == parts - 1:", f"    for i in range(whole + member, width, {threads}):",
                  f"        e = {_taken(form, 'x[at + i]')}"])
        if form.has_places:
            text.add("q = int64(i)" if form.first else "q = places[at + i]", 3)
        writer.join(0, "e", "q", 3)
    writer.fold()
    mask = min(threads, WARP) // 2
    while mask:
        text.add(f"b = shuffle_xor(a0, {mask})")
        if form.has_places:
            text.add(f"q = shuffle_xor(p0, {mask})")
        writer.join(0, "b", "q", 1)
        mask //= 2
    if threads > WARP:
        warps = threads // WARP
        text.add(["if t & 31 == 0:", "    meeting[t >> 5] = a0", *(["    places_meeting[t >> 5] = p0"] if form.has_places else []),
                  "cuda.syncthreads()", f"a0 = meeting[group * {warps}]", *([f"p0 = places_meeting[group * {warps}]"] if form.has_places else []),
                  f"for w in range(1, {warps}):", f"    b = meeting[group * {warps} + w]",
                  *([f"    q = places_meeting[group * {warps} + w]"] if form.has_places else [])])
        writer.join(0, "b", "q", 2)
    text.add("if there and member == 0:")
    writer.written(0, "row * parts + part", 2)
    return writer.compiled("rows", "width", "per", "parts")


@functools.cache
def column_kernel(form: Form) -> Text:
    """y[outer, part, column] of x[outer, part * per : (part + 1) * per, column]: a grid of (strips * outer, parts) blocks.

    A strip has form.threads * form.vector columns. Arguments: x, y, height, columns, strips, per, parts, (divisor).
    """
    writer = _Writer(form)
    text, across, down = writer.text, form.threads, form.groups
    if down > 1:
        text.add(f"meeting = cuda.shared.array({form.block * form.vector}, {form.kind})")
    text.add(["t = int64(cuda.threadIdx.x)", f"line = t // {across}", f"lane = t - line * {across}", "outer = int64(cuda.blockIdx.x) // strips",
              "strip = int64(cuda.blockIdx.x) - outer * strips", "part = int64(cuda.blockIdx.y)",
              f"column = (strip * {across} + lane) * {form.vector}",
              "inside = column < columns", "end = min(height, (part + 1) * per) if inside else int64(0)",
              "at = outer * height * columns + (column if inside else int64(0))", "j = part * per + line"])
    writer.begin()
    writer.walk(down, "at + {} * columns")
    if down > 1:
        text.add(f"meeting[{k * form.block} + t] = a{k}" for k in range(form.vector))
    half = down // 2
    while half:
        text.add(["cuda.syncthreads()", f"if line < {half}:"])
        for k in range(form.vector):
            text.add(f"b = meeting[{k * form.block + half * across} + t]", 2)
            writer.join(k, "b", "", 2)
            text.add(f"meeting[{k * form.block} + t] = a{k}", 2)
        half //= 2
    text.add("if inside and line == 0:")
    for k in range(form.vector):
        writer.written(k, f"(outer * parts + part) * columns + column + {k}", 2)
    return writer.compiled("height", "columns", "strips", "per", "parts")


@functools.cache
def narrow_kernel(form: Form) -> Text:
    """y[outer, column] of x[outer, :, column] for `count` results: threads stride over them.

    Arguments: x, (places,) y, (to,) count, height, columns, (divisor).
    """
    writer = _Writer(form)
    text = writer.text
    text.add(["i = int64(cuda.grid(1))", "while i < count:", "    outer = i // columns", "    at = outer * height * columns + (i - outer * columns)",
              "    end = height", "    j = int64(0)"])
    inner = _Writer(form)
    inner.begin()
    inner.walk(1, "at + {} * columns")
    inner.written(0, "i", 1)
    text.add(str(inner.text).splitlines())
    text.add("i += int64(cuda.gridsize(1))", 2)
    return writer.compiled("count", "height", "columns")
