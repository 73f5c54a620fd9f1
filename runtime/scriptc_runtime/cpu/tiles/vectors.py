"""Products of a matrix and a vector, and attention of one query: the matrix is read once, where it lies."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from scriptc_runtime.cpu.tiles.geometry import LANES, SUMMED_ROWS, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import I32, VECTOR, Tile, broadcast, constant, multiply_add
from scriptc_runtime.cpu.tiles.rows import Part, Row, splat

CHAINS = 2       # vectors of a row whose sums are kept apart


def dots_tile() -> Tile:
    """y[row] = the sum over k of w[row][k] x[k], for up to SUMMED_ROWS rows.

    Arguments: w, bytes from row to row, rows (one at least), x, bytes of a row, y. No more is read or written.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        w, step, rows, x, width, y = made.args
        row, fma = Row(module, made), multiply_add(module)
        # Of rows that are not there the first one again.
        starts = [w, *(b.select(b.icmp_signed("<", constant(index), rows), b.add(w, b.mul(step, constant(index))), w)
                       for index in range(1, SUMMED_ROWS))]

        def body(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            vector = row.load(b, x, part)
            return [b.call(fma, [row.load(b, start, part), vector, total]) for start, total in zip(starts, held, strict=True)]

        zero = ir.Constant(VECTOR, [0.0] * LANES)
        b, found = row.sweep(b, width, [zero] * SUMMED_ROWS, body, CHAINS)
        totals = [b.fadd(first, second) for first, second in zip(*found, strict=True)]
        kept = LANES
        while kept > 1:      # of two vectors the halves of their sums side by side, until every lane is a row's sum
            kept //= 2
            if len(totals) == 1:
                totals.append(totals[0])
            low = [lane for lane in range(2 * LANES) if lane // kept % 2 == 0]
            high = [lane for lane in range(2 * LANES) if lane // kept % 2 == 1]
            totals = [b.fadd(*(b.shuffle_vector(p, q, ir.Constant(ir.VectorType(I32, LANES), half)) for half in (low, high)))
                      for p, q in zip(totals[::2], totals[1::2], strict=True)]
        lanes = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
        row.store(b, totals[0], y, Part(constant(0), b.icmp_signed("<", lanes, splat(b, b.trunc(rows, I32)))))
        b.ret_void()

    return Tile("scriptc_dots", 6, write)


def mixture_tile(rows: int, adds: bool) -> Tile:
    """y = (y, if it `adds`) + the sum over rows of x[row] w[row]. Arguments: x, w, bytes from row to row, bytes of a row, y."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, w, step, width, y = made.args
        row, fma = Row(module, made), multiply_add(module)
        factors = [broadcast(b, x, 4 * index) for index in range(rows)]
        starts = [b.add(w, b.mul(step, constant(index))) for index in range(rows)]

        def body(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            total = row.load(b, y, part) if adds else None
            for start, factor in zip(starts, factors, strict=True):
                value = row.load(b, start, part)
                total = b.fmul(value, factor) if total is None else b.call(fma, [value, factor, total])
            row.store(b, total, y, part)
            return []

        b, _ = row.sweep(b, width, [], body, CHAINS)
        b.ret_void()

    return Tile(f"scriptc_mixture_{rows}_{int(adds)}", 5, write)


def vector_tiles() -> tuple[Tile, ...]:
    return (dots_tile(), *(mixture_tile(rows, adds) for rows in (1, SUMMED_ROWS) for adds in (False, True)))


class Vectors(NamedTuple):
    """numba functions; they are said where they are made."""

    dots: Any
    mix: Any


def vectors(intrinsic: Any) -> Vectors:
    """The two ways in which a matrix meets a vector, for any sizes but 0."""
    some = intrinsic("scriptc_dots")
    one, more_one, many, more_many = (intrinsic(f"scriptc_mixture_{rows}_{adds}") for rows in (1, SUMMED_ROWS) for adds in (0, 1))
    at_once = SUMMED_ROWS

    @compiled
    def dots(w: Any, step: Any, rows: Any, x: Any, width: Any, y: Any) -> None:
        """y[row] = w[row] x of `rows` rows of `width` bytes."""
        for row in range(0, rows, at_once):
            some(w + row * step, step, min(rows - row, at_once), x, width, y + row * 4)

    @compiled
    def mix(x: Any, rows: Any, w: Any, step: Any, width: Any, y: Any) -> None:
        """y = x w of `rows` rows of `width` bytes."""
        row = 1
        if rows >= at_once:
            many(x, w, step, width, y)
            row = at_once
        else:
            one(x, w, step, width, y)
        while rows - row >= at_once:
            more_many(x + row * 4, w + row * step, step, width, y)
            row += at_once
        while row < rows:
            more_one(x + row * 4, w + row * step, step, width, y)
            row += 1

    return Vectors(dots, mix)


def vector_kernels(word: Any, vectors: Vectors) -> dict[str, Any]:
    """`matvec` as a numba function (table, thread, threads)."""
    dots, mix = vectors
    vector = VECTOR_BYTES

    @compiled
    def matvec(d: Any, t: Any, n: Any) -> None:
        """Matrices times vectors; the threads share out the results, by 16. A matrix's rows belong to results (`turned`) or to elements of x."""
        matrix, x, y, places, x_places, y_places = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5)
        batch, results, depth, step, turned = word(d, 6), word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        blocks = (results + 15) // 16
        part, end = batch * blocks * t // n, batch * blocks * (t + 1) // n
        while part < end:
            index = part // blocks
            block = part - index * blocks
            held = min(blocks - block, end - part)
            first = block * 16
            count = min(results - first, held * 16)
            source, target = matrix + word(places, index), y + word(y_places, index) + block * vector
            if turned:
                dots(source + first * step, step, count, x + word(x_places, index), depth * 4, target)
            else:
                mix(x + word(x_places, index), depth, source + block * vector, step, count * 4, target)
            part += held

    return {"matvec": matvec}
