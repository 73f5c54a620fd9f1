"""Sums and extrema of rows and of columns. Sums are kept in double precision: exact however long, and the same for any number of threads."""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.geometry import COLUMN_BLOCKS, LANES, REDUCTIONS, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import F32, I32, I64, VECTOR, Tile, address, constant, load_vector, store_vector
from scriptc_runtime.cpu.tiles.rows import MASK, Part, Row, add, splat, total

F64 = ir.DoubleType()
DOUBLES = ir.VectorType(F64, LANES)
BEGIN = {"sum": 0.0, "max": float("-inf"), "min": float("inf")}


def combined(b: ir.IRBuilder, kind: str, held: Any, value: Any) -> Any:
    """The reduction so far with one more vector; an extremum keeps the first nan."""
    if kind == "sum":
        return b.fadd(held, b.fpext(value, DOUBLES))
    better = b.fcmp_ordered(">" if kind == "max" else "<", value, held)
    return b.select(b.or_(better, b.fcmp_unordered("uno", value, value)), value, held)


def start(kind: str) -> ir.Constant:
    return ir.Constant(DOUBLES if kind == "sum" else VECTOR, [BEGIN[kind]] * LANES)


def factor_of(b: ir.IRBuilder, place: Any) -> Any:
    return splat(b, b.load(address(b, place, 0, F64)))


def finished(b: ir.IRBuilder, kind: str, value: Any, factor: Any) -> Any:
    """float32 values; sums times the factor."""
    return b.fptrunc(b.fmul(value, factor), VECTOR) if kind == "sum" else value


def row_tile(kind: str) -> Tile:
    """A row's sum times a factor, or its extremum, nan if one is nan. Arguments: x, its bytes, where it goes, the (double) factor's address."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, width, y, factor = made.args
        row = Row(module, made)
        b, found = row.sweep(b, width, [start(kind)],
                             lambda b, part, held: [combined(b, kind, held[0], row.load(b, x, part, BEGIN[kind]))])

        def both(b: ir.IRBuilder, x: Any, y: Any) -> Any:
            return add(b, x, y) if kind == "sum" else combined(b, kind, x, y)

        value = finished(b, kind, total(b, [f[0] for f in found], both), factor_of(b, factor))
        b.store(b.extract_element(value, ir.Constant(I32, 0)), address(b, y, 0, F32)).align = 4
        b.ret_void()

    return Tile(f"scriptc_row_{kind}", 4, write)


def columns_tile(kind: str, blocks: int) -> Tile:
    """`row_tile` of each of up to `blocks` vectors of columns. Arguments: x, bytes from row to row, rows, bytes of a row, y, the factor's address.

    With one block a row may be less than a vector; with more it is whole vectors.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, step, rows, width, y, factor = made.args
        row = Row(module, made)
        mask: Any = None
        if blocks == 1:
            lanes = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
            mask = b.icmp_unsigned("<", lanes, splat(b, b.trunc(b.lshr(width, constant(2)), I32)))
            assert mask.type == MASK
        before = b.block
        head, inside, end = (made.append_basic_block(name) for name in ("head", "inside", "end"))
        b.branch(head)
        b = ir.IRBuilder(head)
        left, place = b.phi(I64), b.phi(I64)
        held = [b.phi(start(kind).type) for _ in range(blocks)]
        for phi, value in zip((left, place, *held), (rows, x, *[start(kind)] * blocks), strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed(">", left, constant(0)), inside, end)
        b = ir.IRBuilder(inside)
        for block, phi in enumerate(held):
            value = load_vector(b, place, block * VECTOR_BYTES) if mask is None else row.load(b, place, Part(constant(0), mask))
            phi.add_incoming(combined(b, kind, phi, value), inside)
        left.add_incoming(b.sub(left, constant(1)), inside)
        place.add_incoming(b.add(place, step), inside)
        b.branch(head)
        b = ir.IRBuilder(end)
        times = factor_of(b, factor)
        for block, phi in enumerate(held):
            value = finished(b, kind, phi, times)
            if mask is None:
                store_vector(b, value, y, block * VECTOR_BYTES)
            else:
                row.store(b, value, y, Part(constant(0), mask))
        b.ret_void()

    return Tile(f"scriptc_columns_{kind}_{blocks}", 6, write)


def reduction_tiles() -> tuple[Tile, ...]:
    return (*map(row_tile, REDUCTIONS), *(columns_tile(kind, blocks) for kind in REDUCTIONS for blocks in (COLUMN_BLOCKS, 1)))


def reduction_kernels(word: Any, intrinsic: Any, chain: Any) -> dict[str, Any]:
    """`reduce_rows` and `reduce_columns` as numba functions (table, thread, threads)."""
    across = chain([f"scriptc_row_{kind}" for kind in REDUCTIONS])
    down, narrow = (chain([f"scriptc_columns_{kind}_{blocks}" for kind in REDUCTIONS])
                    for name, blocks in (("down", COLUMN_BLOCKS), ("narrow", 1)))
    wide, vector = COLUMN_BLOCKS * VECTOR_BYTES, VECTOR_BYTES

    @compiled
    def reduce_rows(d: Any, t: Any, n: Any) -> None:
        x, y, which, factor, width = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        count, inner, x_outer, x_inner = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        for row in range(count * t // n, count * (t + 1) // n):
            outer = row // inner
            across(which, x + outer * x_outer + (row - outer * inner) * x_inner, width, y + row * 4, factor)

    @compiled
    def reduce_columns(d: Any, t: Any, n: Any) -> None:
        """Columns of `count` matrices of `rows` rows of `width` bytes, some at a time."""
        x, y, which, factor, width, step, rows = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5), word(d, 6)
        count, inner, x_outer, x_inner = word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        parts = (width + wide - 1) // wide
        total = count * parts
        for part in range(total * t // n, total * (t + 1) // n):
            matrix = part // parts
            outer = matrix // inner
            place = (part - matrix * parts) * wide
            source, target = x + outer * x_outer + (matrix - outer * inner) * x_inner + place, y + matrix * width + place
            if width - place >= wide:
                down(which, source, step, rows, wide, target, factor)
            else:
                for block in range(0, width - place, vector):
                    narrow(which, source + block, step, rows, min(width - place - block, vector), target + block, factor)

    return {"reduce_rows": reduce_rows, "reduce_columns": reduce_columns}
