"""Elementwise kernels whose operands lie across the result: tiles go through shared memory, so that both are reached along their own neighbours."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scriptc.ir.types import DTYPES
from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.mathematics import namespace
from scriptc_runtime.cuda.numba_cuda import SIMULATED
from scriptc_runtime.cuda.printer import LOADS, STORES, Access, Formula, Printed

LANES, LINES = (4, 2) if SIMULATED else (32, 8)      # threads of a block: side by side, and below each other
LEAST = 3 if SIMULATED else 16                       # sizes from which on tiles are worth it
MOST_BLOCKS = 1 << 30
_WORDS = {"float32": "f4", "float64": "f8", "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "u1", "float16": "u2",
          "bfloat16": "u2"}


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of `side` elements, whose lines are `pitch` elements apart in shared memory: lanes that read across meet no common bank."""

    side: int
    pitch: int


def tile_of(dtype: str) -> Tile:
    """The tile for elements of a dtype: small ones take larger tiles, so that lines are long."""
    size = DTYPES[dtype].itemsize
    side = LANES if size >= 4 else 2 * LANES
    return Tile(side, side + max(1, 4 // size))


def crossing(sizes: Sequence[int], inputs: Sequence[Access], outputs: Sequence[Access]) -> int | None:
    """The loop along which operands have their neighbours while results have theirs along the last one; None if there is no such loop."""
    last = len(sizes) - 1
    if sizes[last] < LEAST or any(o.strides[last] != 1 for o in outputs):
        return None
    for reached in inputs:
        if reached.strides[last] > 1 and reached.dtype in _WORDS:
            for loop in range(last):
                if reached.strides[loop] == 1 and sizes[loop] >= LEAST:
                    blocks = -(-sizes[last] // LANES) * -(-sizes[loop] // LANES) * math.prod(sizes[:last]) // sizes[loop]
                    return loop if blocks < MOST_BLOCKS else None
    return None


def print_tiled(formula: Formula, sizes: Sequence[int], inputs: Sequence[Access], outputs: Sequence[Access], loop: int, *, wide: bool,
                fastmath: bool = False) -> Printed:
    """The kernel of a formula over a loop nest, tiled over the last loop and `loop`: a block for each tile."""
    return _Tiled(formula, sizes, inputs, outputs, loop, "u8" if wide else "u4").printed(wide, fastmath)


class _Tiled:
    """The text: s0 and s1 count along the last loop, j0 and j1 along the other one."""

    def __init__(self, formula: Formula, sizes: Sequence[int], inputs: Sequence[Access], outputs: Sequence[Access], loop: int, index: str) -> None:
        self.formula, self.sizes, self.inputs, self.outputs, self.loop, self.index = formula, sizes, inputs, outputs, loop, index
        self.numbers: list[int] = []
        self.body: list[str] = []
        self.across = [k for k, a in enumerate(inputs) if a.strides[loop] == 1 and a.strides[-1] > 1 and a.dtype in _WORDS]
        self.tiles = {k: tile_of(inputs[k].dtype) for k in self.across}
        self.side = max(t.side for t in self.tiles.values())
        self.parts = [(r, h) for r in range(0, self.side, LINES) for h in range(0, self.side, LANES)]

    def number(self, value: int) -> str:
        self.numbers.append(value)
        return f"n{len(self.numbers) - 1}"

    def plus(self, name: str, more: int) -> str:
        return f"{self.index}({name} + {self.index}({more}))" if more else name

    def begin(self) -> int:
        """Where the block and the thread are; how many blocks there are."""
        index, side = self.index, self.side
        across, down = -(-self.sizes[-1] // side), -(-self.sizes[self.loop] // side)
        self.body += [f"a{k} = cuda.shared.array({side * self.pitch(k)}, {_WORDS[self.inputs[k].dtype]})" for k in self.across]
        self.body += [f"t0 = {index}(cuda.threadIdx.x)", f"t1 = {index}(t0 % {index}({LANES}))", f"t2 = {index}(t0 // {index}({LANES}))",
                      f"z2 = {index}(cuda.blockIdx.x)"]
        left = "z2"
        places: list[str] = []
        for size in (across, down):
            limit = self.number(size)
            places.append(f"z{len(places) + 3}")
            self.body += [f"{places[-1]} = {index}({left} % {limit})", f"r{len(places)} = {index}({left} // {limit})"]
            left = f"r{len(places)}"
        self.outer = [d for d in reversed(range(len(self.sizes) - 1)) if d != self.loop]
        for depth, d in enumerate(self.outer):
            limit = self.number(self.sizes[d])
            self.body += [f"d{d} = {index}({left} % {limit})", f"r{depth + 3} = {index}({left} // {limit})"]
            left = f"r{depth + 3}"
        self.body += [f"s0 = {index}(z3 * {index}({side}) + t1)", f"j0 = {index}(z4 * {index}({side}) + t2)",
                      f"s1 = {index}(z3 * {index}({side}) + t2)", f"j1 = {index}(z4 * {index}({side}) + t1)",
                      f"z0 = {self.number(self.sizes[-1])}", f"z1 = {self.number(self.sizes[self.loop])}"]
        for k, reached in enumerate((*self.inputs, *self.outputs)):
            terms = [f"d{d} * {self.number(reached.strides[d])}" for d in self.outer if reached.strides[d]]
            self.body.append(f"p{k} = {index}({' + '.join(terms) or '0'})")
        return across * down * math.prod(self.sizes[d] for d in self.outer)

    def pitch(self, k: int) -> int:
        return self.side + self.tiles[k].pitch - self.tiles[k].side

    def load(self) -> None:
        """The tiles: all accesses first, so that they are on their way together. Beyond the edge the first element is read, and not used."""
        index = self.index
        for k in self.across:
            step = self.number(self.inputs[k].strides[-1])
            for n, (r, h) in enumerate(self.parts):
                i, j = self.plus("s1", r), self.plus("j1", h)
                self.body.append(f"q{k}_{n} = v{k}[{index}(p{k} + {i} * {step} + {j}) if {i} < z0 and {j} < z1 else p{k}]")
        for k in self.across:
            for n, (r, h) in enumerate(self.parts):
                self.body.append(f"a{k}[{self.plus('t2', r)} * {index}({self.pitch(k)}) + {self.plus('t1', h)}] = q{k}_{n}")
        self.body.append("cuda.syncthreads()")

    def place(self, k: int, reached: Access, i: str, j: str) -> str:
        terms = [f"p{k}"]
        for name, stride in ((i, reached.strides[-1]), (j, reached.strides[self.loop])):
            if stride:
                terms.append(name if stride == 1 else f"{name} * {self.steps[k, stride]}")
        return f"{self.index}({' + '.join(terms)})"

    def compute(self) -> None:
        index = self.index
        tensors = (*self.inputs, *self.outputs)
        self.steps = {(k, s): self.number(s) for k, a in enumerate(tensors) if k not in self.across for s in (a.strides[-1], a.strides[self.loop])
                      if s > 1}
        constants = [f"k{n}" for n in range(len(self.formula.constants))]
        results = ", ".join(f"e{n}" for n in range(len(self.outputs)))
        for r, h in self.parts:
            i, j = self.plus("s0", h), self.plus("j0", r)
            self.body.append(f"if {i} < z0 and {j} < z1:")
            for k, reached in enumerate(self.inputs):
                raw = f"a{k}[{self.plus('t1', h)} * {index}({self.pitch(k)}) + {self.plus('t2', r)}]" if k in self.across else \
                    f"v{k}[{self.place(k, reached, i, j)}]"
                self.body.append(f"    x{k} = " + LOADS.get(reached.dtype, "{0}").format(raw))
            self.body.append(f"    {results} = element({', '.join([*(f'x{k}' for k in range(len(self.inputs))), *constants])})")
            for n, reached in enumerate(self.outputs):
                self.body.append(f"    o{n}[{self.place(len(self.inputs) + n, reached, i, j)}] = "
                                 + STORES.get(reached.dtype, "{0}").format(f"e{n}"))

    def printed(self, wide: bool, fastmath: bool) -> Printed:
        blocks = self.begin()
        self.load()
        self.compute()
        constants = [f"k{n}" for n in range(len(self.formula.constants))]
        parameters = [*(f"v{k}" for k in range(len(self.inputs))), *(f"o{k}" for k in range(len(self.outputs))),
                      *(f"n{k}" for k in range(len(self.numbers))), *constants]
        source = [*self.formula.element(), f"def kernel({', '.join(parameters)}):", *(f"    {line}" for line in self.body)]
        text = Text("\n".join(source) + "\n", namespace, fastmath, launch_bounds=(LANES * LINES, 1))
        return Printed(text, self.numbers, np.uint64 if wide else np.uint32, blocks, (blocks, LANES * LINES))
