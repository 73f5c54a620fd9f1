"""Linear layers by the product tile: rows of x against weights that were packed once."""
from __future__ import annotations

import functools
from collections.abc import Sequence
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.records import Record
from scriptc_runtime import versions
from scriptc_runtime.cpu import packs, team
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import In, Native, Out, Packed
from scriptc_runtime.cpu.packs import Pack
from scriptc_runtime.cpu.scratch import Scratch
from scriptc_runtime.cpu.tiles import layouts, library
from scriptc_runtime.cpu.tiles.commands import CACHE_BYTES, NO_FUNCTION, NO_LIMITS, At, Command, Limits, Word
from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.cpu.tiles.parts import parts_of
from scriptc_runtime.cpu.tiles.product_commands import collides, is_row_major, pack

_FLOAT = 4
PACKING = 4           # multiplications in the time that it takes to pack a float
_KERNELS = "product", "pack", "copy"
_PARTS = parts_of(*_KERNELS)
BLOCKED_ROWS = 8      # from which on copying x in blocks costs less than rows that collide in the cache,
ENOUGH_WAYS = 12      # if its sets have fewer lines than that: else 14 rows in one set are read faster than blocks (4096 deep: 104 to 92 GFLOP/s)


class Epilogue(Record):
    """What follows the product: which operands are the factors of the columns and what is added; limits; then one of FUNCTIONS."""

    scale: int | None = None
    residual: int | None = None
    limits: Limits = NO_LIMITS
    function: int = NO_FUNCTION
    parameters: tuple[float, float] = (0.0, 0.0)


class Dense:
    """x [rows, depth] times weight [columns, depth] transposed, plus bias. `plain` does it while the library is being compiled."""

    def __init__(self, rows: int, depth: int, columns: int, plain: Any) -> None:
        self.rows, self.depth, self.columns = rows, depth, columns
        self._plain = plain
        self.full_depth = -(-depth // LANES) * LANES
        self.full_columns = -(-columns // LANES) * LANES
        self._padded = Scratch((rows, self.full_depth), np.dtype(np.float32), fill=0.0) if self.full_depth != depth else None
        self._wide = Scratch((rows, self.full_columns), np.dtype(np.float32)) if self.full_columns != columns else None
        places = np.arange(rows, dtype=np.int64)
        self._a_rows = places * (self.full_depth * _FLOAT)
        self._c_rows = places * (self.full_columns * _FLOAT)
        self._packed: tuple[Pack, tuple[int | None, ...]] | None = None

    def pack(self, weight: np.ndarray, bias: np.ndarray | None, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Panels of the weight, and the bias, both times `scale` [columns]; the same arrays while none has changed. Who holds them may read them."""
        arrays = weight, bias, scale
        counts = tuple(0 if a is None else versions.version(a) for a in arrays)
        known = self._packed
        if known is None or not all(map(is_, known[0].sources, arrays)) or known[1] != counts or None in counts:
            known = self._packed = packs.packed(("dense", self.columns), arrays, lambda: self._panels(weight, bias, scale)), counts
        return known[0].made    # type: ignore[return-value]

    def _panels(self, weight: np.ndarray, bias: np.ndarray | None, scale: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Always in memory of their own: a call in another thread may be reading what the weight held before."""
        if scale is not None:
            weight = weight * scale.reshape(-1, 1)
            bias = None if bias is None else bias * scale.reshape(-1)
        start = layouts.pack_bias(bias, self.columns)
        if not (weight.size and is_row_major(weight) and weight.flags.aligned):
            return layouts.pack_direct(weight[:, :, None, None]), start
        panels = layouts.room(self.full_depth * self.full_columns)
        words = pack(weight, panels).table({})
        calls = np.array([library.place("pack"), address(words)], np.int64)
        team.run_at(library.entry(), address(calls), 1, team.get_num_threads(), weight.size * PACKING)
        return panels, start

    def __call__(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        entry = library.ready(self.rows * self.depth * self.columns, _PARTS)
        if entry is None or (versions.version(weight) is None and self.rows < 4 * MOST_ROWS):
            self._plain(x, weight, bias, out=out)     # packing would cost more than it gives
            return
        panels, start = self.pack(weight, bias)
        source = np.ascontiguousarray(x).reshape(self.rows, self.depth)
        target = out[0].reshape(self.rows, self.columns)
        if self._padded is None and self._wide is None:
            self._run(entry, source, panels, start, target)
        elif self._wide is None:
            assert self._padded is not None
            with self._padded.lend() as padded:
                padded[:, :self.depth] = source
                self._run(entry, padded, panels, start, target)
        else:
            with self._wide.lend() as wide:
                if self._padded is not None:
                    with self._padded.lend() as padded:
                        padded[:, :self.depth] = source
                        self._run(entry, padded, panels, start, wide)
                else:
                    self._run(entry, source, panels, start, wide)
                np.copyto(target, wide[:, :self.columns])

    def product(self, x: Word, panels: Word, y: Word, bias: Word, a_rows: np.ndarray, c_rows: np.ndarray, step: int = VECTOR_BYTES,
                added: Word = None, epilogue: Epilogue | None = None) -> Command:
        """The product of rows that are whole blocks. `a_rows`, `c_rows`: their places; `step`: bytes from block to block of a row of x."""
        epilogue = epilogue or Epilogue()
        by_panels = self.full_columns > self.rows       # weights are more than activations
        chunk = self.rows if by_panels else max(MOST_ROWS, CACHE_BYTES // (self.full_depth * _FLOAT) // MOST_ROWS * MOST_ROWS)
        table = np.array([1, 0, 1, 0, self.full_depth // LANES, step, VECTOR_BYTES], np.int64)
        return Command("product", [
            x, panels, y, bias, added, a_rows, c_rows, table, np.array(epilogue.limits, np.float32), self.rows, self.full_columns // LANES,
            self.full_depth * PANEL * VECTOR_BYTES, chunk, 1, 0, 0, int(by_panels), epilogue.function, np.array(epilogue.parameters, np.float32), 0])

    def _run(self, entry: library.Entry, x: np.ndarray, panels: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        command = self.product(x, panels, y, bias, self._a_rows, self._c_rows)
        words = command.table({})
        call = np.array([library.place("product"), words.ctypes.data], np.int64)
        work = self.rows * self.full_depth * self.full_columns
        team.run(entry, call, team.get_num_threads(), work)


class NativeDense(Native):
    """A linear layer as commands. `places`: which operands are x, the weight and the bias (None: there is none)."""

    kernels = _KERNELS
    strided = True

    def __init__(self, dense: Dense, places: tuple[int, int, int | None] = (0, 1, 2), epilogue: Epilogue | None = None) -> None:
        self._dense = dense
        self._epilogue = epilogue or Epilogue()
        self._x = places[0]
        self._given = [p is not None for p in (*places[1:], self._epilogue.scale)]
        self.packs = tuple(p for p in (*places[1:], self._epilogue.scale) if p is not None)
        self.work = dense.rows * dense.depth * dense.columns

    def pack(self, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Panels of the weight, and the bias."""
        rest = iter(operands)
        weight, bias, scale = (next(rest) if given else None for given in self._given)
        assert weight is not None
        return self._dense.pack(weight, bias, scale)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """The product, with copies around it where rows do not lie as it reads or writes them."""
        dense, epilogue, x, y = self._dense, self._epilogue, operands[self._x], results[0]
        made: list[Command | None] = []
        rows, depth, columns = dense.rows, dense.full_depth, dense.full_columns
        source: Word = At(In(self._x))
        a_rows, step = row_offsets(x), VECTOR_BYTES
        if depth != dense.depth or (rows >= BLOCKED_ROWS and _ways() < ENOUGH_WAYS and collides(a_rows)):
            blocks = np.zeros((depth // LANES, rows + 1, LANES), np.float32)
            whole = dense.depth // LANES
            inside = np.lib.stride_tricks.as_strided(x, (*x.shape[:-1], whole, LANES), (*x.strides[:-1], VECTOR_BYTES, _FLOAT))
            target = blocks[:whole, :rows].transpose(1, 0, 2).reshape(inside.shape)
            made.append(copy(inside, target, source, target))
            if depth != dense.depth:
                rest = x[..., whole * LANES:]
                target = blocks[whole, :rows, :dense.depth - whole * LANES].reshape(rest.shape)
                made.append(copy(rest, target, At(In(self._x), whole * VECTOR_BYTES), target))
            source, a_rows, step = blocks, np.arange(rows, dtype=np.int64) * VECTOR_BYTES, (rows + 1) * VECTOR_BYTES
        result: Word = At(Out(0))
        wide = y
        if columns != dense.columns:
            result = wide = np.empty((rows, columns), np.float32)
        part = y if wide is y else wide[:, :dense.columns].reshape(y.shape)
        c_rows = row_offsets(wide)
        added: Word = None
        if epilogue.residual is not None:
            residual, added = operands[epilogue.residual], At(In(epilogue.residual))
            if wide is not y or not np.array_equal(row_offsets(residual), c_rows):
                made.append(copy(residual, part, added, result))
                added = result
        made.append(dense.product(source, At(Packed(0)), result, At(Packed(1)), a_rows, c_rows, step, added, epilogue))
        if wide is not y:
            made.append(copy(part, y, wide, At(Out(0))))
        return None if None in made else made   # type: ignore[return-value]


@functools.cache
def _ways() -> int:
    """Lines of a set of the first cache, where the system tells it; else as few as any processor has that we know."""
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index0/ways_of_associativity").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 8


def row_offsets(array: np.ndarray) -> np.ndarray:
    """Bytes from the first element to the beginning of each row, the last dimension."""
    offsets = np.zeros((), np.int64)
    for size, stride in zip(array.shape[:-1], array.strides[:-1], strict=True):
        offsets = offsets[..., None] + np.arange(size, dtype=np.int64) * stride
    return np.ascontiguousarray(offsets).reshape(-1)
