"""Matrices made into panels, turned or as they are, and products of them: what kernels share whose operands change at every call."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import I32, I64, Tile, broadcast, constant, store_vector
from scriptc_runtime.cpu.tiles.rows import Part, Row, select, splat


def transpose_tile() -> Tile:
    """A block of up to 16 rows and columns turned: target[column] = the column of all rows; what is not there is 0.

    Arguments: source, bytes from row to row, rows (one at least), bytes of a row (no more than a vector), target, bytes from vector to vector.
    All 16 vectors are written.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, step, rows, width, target, distance = made.args
        row = Row(module, made)
        lanes = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
        here = b.icmp_unsigned("<", lanes, splat(b, b.trunc(b.lshr(width, constant(2)), I32)))
        none = ir.Constant(here.type, [0] * LANES)
        values = []
        for index in range(LANES):
            exists = b.icmp_signed("<", constant(index), rows)
            place = b.select(exists, b.add(source, b.mul(step, constant(index))), source)
            values.append(row.load(b, place, Part(constant(0), b.select(exists, here, none))))
        distance_ = 1
        while distance_ < LANES:
            low = [lane if not lane & distance_ else LANES + lane - distance_ for lane in range(LANES)]
            high = [lane + distance_ if not lane & distance_ else LANES + lane for lane in range(LANES)]
            for index in range(LANES):
                if not index & distance_:
                    first, second = values[index], values[index | distance_]
                    values[index], values[index | distance_] = (
                        b.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, LANES), order)) for order in (low, high))
            distance_ *= 2
        for value in values:
            store_vector(b, value, target)
            target = b.add(target, distance)
        b.ret_void()

    return Tile("scriptc_transpose", 6, write)


def panel_tile(blocks: int) -> Tile:
    """Rows of up to `blocks` vectors next to each other. Arguments: source, bytes from row to row, rows, bytes of a row, target.

    Lanes that are not there become 0.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, step, rows, width, target = made.args
        row = Row(module, made)
        count = splat(b, b.trunc(b.lshr(width, constant(2)), I32))
        masks = [b.icmp_signed("<", ir.Constant(ir.VectorType(I32, LANES), [block * LANES + lane for lane in range(LANES)]), count)
                 for block in range(blocks)]
        before = b.block
        head, inside, end = (made.append_basic_block(name) for name in ("head", "inside", "end"))
        b.branch(head)
        b = ir.IRBuilder(head)
        left, read, written = b.phi(I64), b.phi(I64), b.phi(I64)
        for phi, value in ((left, rows), (read, source), (written, target)):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed(">", left, constant(0)), inside, end)
        b = ir.IRBuilder(inside)
        for block, mask in enumerate(masks):
            store_vector(b, row.load(b, read, Part(constant(block * VECTOR_BYTES), mask)), written, block * VECTOR_BYTES)
        left.add_incoming(b.sub(left, constant(1)), inside)
        read.add_incoming(b.add(read, step), inside)
        written.add_incoming(b.add(written, constant(blocks * VECTOR_BYTES)), inside)
        b.branch(head)
        ir.IRBuilder(end).ret_void()

    return Tile(f"scriptc_panel_{blocks}", 5, write)


def scaled_tile(padded: bool) -> Tile:
    """y = x * factor; padded: also the lanes up to a whole vector, as 0. Arguments: x, y, their bytes, the factor's address."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, y, width, factor = made.args
        row = Row(module, made)
        times = broadcast(b, factor)

        def body(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            value = b.fmul(row.load(b, x, part), times)
            row.store(b, select(b, part, value, 0.0) if padded else value, y, Part(part.place, None) if padded else part)
            return []

        b, _ = row.sweep(b, width, [], body)
        b.ret_void()

    return Tile(f"scriptc_scaled_{int(padded)}", 4, write)


def packing_tiles() -> tuple[Tile, ...]:
    return (transpose_tile(), *map(panel_tile, range(1, PANEL + 1)), *map(scaled_tile, (False, True)))


class Packing(NamedTuple):
    """numba functions. `turn`, `scaled` and `padded` are the tiles; the others are said where they are made."""

    turn: Any
    scaled: Any
    padded: Any
    pack_columns: Any
    pack_rows: Any
    multiply: Any


def packing(clear: Any, intrinsic: Any, chain: Any, pair: Any, single: Any) -> Packing:
    """The functions, given the product tiles for two blocks and for one."""
    turn, scaled, padded = intrinsic("scriptc_transpose"), intrinsic("scriptc_scaled_0"), intrinsic("scriptc_scaled_1")
    panel = chain({blocks: f"scriptc_panel_{blocks}" for blocks in range(1, PANEL + 1)})
    most, panel_blocks, vector = MOST_ROWS, PANEL, VECTOR_BYTES

    @compiled
    def pack_columns(source: Any, step: Any, rows: Any, width: Any, target: Any) -> None:
        """Panels of the transposed of [rows, width bytes]: each row becomes a column. The depth is rounded up to whole vectors."""
        blocks = (rows + 15) // 16
        depth = (width + vector - 1) // vector
        for block in range(0, blocks, panel_blocks):
            wide = min(panel_blocks, blocks - block)
            base = target + block * depth * 16 * vector
            for q in range(wide):
                row = (block + q) * 16
                for part in range(depth):
                    turn(source + row * step + part * vector, step, min(rows - row, 16), min(width - part * vector, vector),
                         base + (part * 16 * wide + q) * vector, wide * vector)

    @compiled
    def pack_rows(source: Any, step: Any, rows: Any, width: Any, target: Any) -> None:
        """Panels of [rows, width bytes] as it is, the depth rounded up to a whole number of 16 rows by rows of 0."""
        blocks = (width + vector - 1) // vector
        depth = (rows + 15) // 16 * 16
        for block in range(0, blocks, panel_blocks):
            wide = min(panel_blocks, blocks - block)
            base = target + block * depth * vector
            panel(wide, source + block * vector, step, rows, width - block * vector, base)
            for row in range(rows * wide, depth * wide):
                clear(base + row * vector)

    @compiled
    def multiply(a: Any, b: Any, c: Any, bias: Any, rows: Any, blocks: Any, panel_bytes: Any, a_rows: Any, c_rows: Any, table: Any,
                 limits: Any, added: Any) -> None:
        """Rows times panels, and what is `added` to them (or 0), into blocks of c that follow each other; tiles share the rows out evenly."""
        for block in range(0, blocks, panel_blocks):
            tiles = (rows + most - 1) // most
            first = 0
            while tiles > 0:
                count = (rows - first + tiles - 1) // tiles
                here = b + block // panel_blocks * panel_bytes
                more = added + block * vector if added else 0
                if blocks - block > 1:
                    pair(count, a, here, c + block * vector, bias, more, a_rows + first * 8, c_rows + first * 8, table, limits, here)
                else:
                    single(count, a, here, c + block * vector, bias, more, a_rows + first * 8, c_rows + first * 8, table, limits, here)
                first += count
                tiles -= 1

    return Packing(turn, scaled, padded, pack_columns, pack_rows, multiply)
