"""Squares of 16 x 16 floats turned: between planes and blocks of channels, between weights as they are stored and as tiles read them."""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.geometry import EVERY, GAPS, LANES, LOOSE, ONLY, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import (
    I32,
    I64,
    VECTOR,
    Tile,
    constant,
    load_vector,
    load_word,
    store_vector,
)

BIT = ir.IntType(1)
BITS = ir.VectorType(BIT, LANES)
INTEGERS = ir.VectorType(I32, LANES)


def first_lanes(b: ir.IRBuilder, count: Any) -> Any:
    """True in so many lanes, from the first on."""
    undefined = ir.Constant(INTEGERS, ir.Undefined)
    low = b.insert_element(undefined, b.trunc(count, I32), ir.Constant(I32, 0))
    every = b.shuffle_vector(low, undefined, ir.Constant(INTEGERS, [0] * LANES))
    return b.icmp_signed("<", ir.Constant(INTEGERS, list(range(LANES))), every)


def load_lanes(module: ir.Module, b: ir.IRBuilder, base: Any, mask: Any) -> Any:
    """A vector of which only the lanes in `mask` are read; the others are zero."""
    pointer = VECTOR.as_pointer()
    name = f"llvm.masked.load.v{LANES}f32.p0"
    found = module.globals.get(name) or ir.Function(module, ir.FunctionType(VECTOR, [pointer, I32, BITS, VECTOR]), name)
    return b.call(found, [b.inttoptr(base, pointer), ir.Constant(I32, 4), mask, ir.Constant(VECTOR, [0.0] * LANES)])


def store_lanes(module: ir.Module, b: ir.IRBuilder, value: Any, base: Any, mask: Any) -> None:
    """Write the lanes of a vector that are in `mask`."""
    pointer = VECTOR.as_pointer()
    name = f"llvm.masked.store.v{LANES}f32.p0"
    found = module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.VoidType(), [VECTOR, pointer, I32, BITS]), name)
    b.call(found, [value, b.inttoptr(base, pointer), ir.Constant(I32, 4), mask])


def turned(b: ir.IRBuilder, rows: list[Any]) -> list[Any]:
    """The columns of a square of vectors: in each of four rounds two rows exchange half of their lanes."""
    distance = LANES // 2
    while distance:
        for i in range(LANES):
            if not i & distance:
                upper, lower = rows[i], rows[i + distance]
                kept = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
                moved = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
                rows[i] = b.shuffle_vector(upper, lower, ir.Constant(INTEGERS, kept))
                rows[i + distance] = b.shuffle_vector(upper, lower, ir.Constant(INTEGERS, moved))
        distance //= 2
    return rows


def turning_tile() -> Tile:
    """Row r of a square, neighbouring floats at `source` + rows' offset r, becomes lane r of the vectors at `target` + columns' offset.

    Arguments: source, rows' offsets, their count, target, columns' offsets, their count, and how: by `EVERY` lane (zero where there is no
    row), `ONLY` the lanes of rows that are there, with `GAPS`, columns of negative offset that are left out; plus `LOOSE` where 16 floats of each
    row can be read, however many columns are meant: masked loads are not prefetched. At most 16 rows and columns; no rows make zeros.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, row_offsets, rows, target, column_offsets, columns, how = made.args
        whole, part = made.append_basic_block("whole"), made.append_basic_block("part")
        all_rows = b.icmp_signed("==", rows, constant(LANES))
        full = b.and_(b.and_(all_rows, b.icmp_signed("==", columns, constant(LANES))), b.icmp_signed("!=", how, constant(GAPS)))
        full = b.and_(full, b.icmp_signed("!=", how, constant(GAPS | LOOSE)))
        b.cbranch(full, whole, part)

        b = ir.IRBuilder(whole)
        vectors = turned(b, [load_vector(b, b.add(source, load_word(b, row_offsets, r))) for r in range(LANES)])
        for c, vector in enumerate(vectors):
            store_vector(b, vector, b.add(target, load_word(b, column_offsets, c)))
        b.ret_void()

        loosely, exactly, loaded_ = (made.append_basic_block(name) for name in ("loosely", "exactly", "loaded"))
        b = ir.IRBuilder(part)
        b.cbranch(b.and_(all_rows, b.icmp_signed(">=", how, constant(LOOSE))), loosely, exactly)
        b = ir.IRBuilder(loosely)
        more = [load_vector(b, b.add(source, load_word(b, row_offsets, r))) for r in range(LANES)]
        b.branch(loaded_)
        b = ir.IRBuilder(exactly)
        here, nothing = first_lanes(b, columns), ir.Constant(BITS, [0] * LANES)
        last = b.sub(rows, constant(1))
        last = b.select(b.icmp_signed("<", last, constant(0)), constant(0), last)
        only = []
        for r in range(LANES):
            index = b.select(b.icmp_signed("<", constant(r), rows), constant(r), last)
            offset = b.load(b.inttoptr(b.add(row_offsets, b.shl(index, constant(3))), I64.as_pointer()))
            mask = b.select(b.icmp_signed("<", constant(r), rows), here, nothing)
            only.append(load_lanes(module, b, b.add(source, offset), mask))
        b.branch(loaded_)
        b = ir.IRBuilder(loaded_)
        loaded = []
        for some_, any_ in zip(only, more, strict=True):
            phi = b.phi(VECTOR)
            phi.add_incoming(some_, exactly)
            phi.add_incoming(any_, loosely)
            loaded.append(phi)
        vectors = turned(b, loaded)
        end = made.append_basic_block("end")
        some, every = made.append_basic_block("some"), made.append_basic_block("every")
        b.cbranch(b.icmp_signed("==", how, constant(ONLY)), some, every)
        for start in (some, every):
            b = ir.IRBuilder(start)
            kept = first_lanes(b, rows) if start is some else None
            for c, vector in enumerate(vectors):
                inside, store, following = (made.append_basic_block(name) for name in ("inside", "store", "next"))
                b.cbranch(b.icmp_signed("<", constant(c), columns), inside, end)
                b = ir.IRBuilder(inside)
                offset = load_word(b, column_offsets, c)
                b.cbranch(b.icmp_signed(">=", offset, constant(0)), store, following)
                b = ir.IRBuilder(store)
                if kept is None:
                    store_vector(b, vector, b.add(target, offset))
                else:
                    store_lanes(module, b, vector, b.add(target, offset), kept)
                b.branch(following)
                b = ir.IRBuilder(following)
            b.branch(end)
        ir.IRBuilder(end).ret_void()

    return Tile("scriptc_turn", 7, write)


def passing_tile() -> Tile:
    """Up to 16 neighbouring floats to a whole vector, zero in the lanes that are not there. Arguments: source, count, target."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, count, target = made.args
        store_vector(b, load_lanes(module, b, source, first_lanes(b, count)), target)
        b.ret_void()

    return Tile("scriptc_pass", 3, write)


def clearing_tile() -> Tile:
    """Zeros in neighbouring vectors. Arguments: target, their count (not zero)."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        target, count = made.args
        entry, loop, end = b.block, made.append_basic_block("loop"), made.append_basic_block("end")
        b.branch(loop)
        b = ir.IRBuilder(loop)
        left, place = b.phi(I64), b.phi(I64)
        left.add_incoming(count, entry)
        place.add_incoming(target, entry)
        store_vector(b, ir.Constant(VECTOR, [0.0] * LANES), place)
        remaining = b.sub(left, constant(1))
        left.add_incoming(remaining, loop)
        place.add_incoming(b.add(place, constant(VECTOR_BYTES)), loop)
        b.cbranch(b.icmp_signed("!=", remaining, constant(0)), loop, end)
        ir.IRBuilder(end).ret_void()

    return Tile("scriptc_clear", 2, write)


def transpose_tiles() -> tuple[Tile, ...]:
    return turning_tile(), passing_tile(), clearing_tile()


def transpose_kernels(word: Any, intrinsic: Any) -> dict[str, Any]:
    """`turn`, `fill`, `block` and `unblock` as numba functions (table, thread, threads)."""
    square, straight, zeros = intrinsic("scriptc_turn"), intrinsic("scriptc_pass"), intrinsic("scriptc_clear")
    lanes, vector, every, only, gaps = LANES, VECTOR_BYTES, EVERY, ONLY, GAPS

    @compiled
    def turn(d: Any, t: Any, n: Any) -> None:
        """Matrices, two loops of them, whose rows become lanes; or, `upright`, rows of one column each that are neighbours already."""
        source, target, row_offsets, rows, row_places = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        column_offsets, columns, upright = word(d, 5), word(d, 6), word(d, 7)
        outer, source_outer, target_outer = word(d, 8), word(d, 9), word(d, 10)
        inner, source_inner, target_inner, most, how = word(d, 11), word(d, 12), word(d, 13), word(d, 14), word(d, 15)
        groups = (rows + lanes - 1) // lanes
        total = outer * inner * groups
        for part in range(total * t // n, total * (t + 1) // n):
            index = part // groups      # matrix by matrix: what is read lies together
            group = part - index * groups
            held = min(lanes, rows - group * lanes) if index < most else 0
            i = index // inner
            j = index - i * inner
            read = source + i * source_outer + j * source_inner
            written = target + i * target_outer + j * target_inner + word(row_places, group)
            if upright:
                straight(read + group * vector, held, written)
                continue
            for first in range(0, columns, lanes):
                square(read + first * 4, row_offsets + group * lanes * 8, held, written, column_offsets + first * 8,
                       min(lanes, columns - first), how if index < most - 1 else how & gaps)

    @compiled
    def fill(d: Any, t: Any, n: Any) -> None:
        """Zeros in so many vectors."""
        target, count = word(d, 0), word(d, 1)
        first, last = count * t // n, count * (t + 1) // n
        if last > first:
            zeros(target + first * vector, last - first)

    @compiled
    def block(d: Any, t: Any, n: Any) -> None:
        """Planes [C, H, W] to blocks [C/16][H + halo][W + halo][16], the halo and the channels that are not there zero."""
        source, target, channels, height, width = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        top, left, lines, columns, images = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        planes, places = word(d, 10), word(d, 11)
        blocks = (channels + lanes - 1) // lanes
        total, count, right = images * blocks, height * width, columns - left - width
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            first = (part - image * blocks) * lanes
            base = target + part * lines * columns * vector
            if top:
                zeros(base, top * columns)
            if lines > top + height:
                zeros(base + (top + height) * columns * vector, (lines - top - height) * columns)
            for y in range(top, top + height):
                if left:
                    zeros(base + y * columns * vector, left)
                if right:
                    zeros(base + (y * columns + left + width) * vector, right)
            read = source + (image * channels + first) * count * 4
            for place in range(0, count, lanes):
                square(read + place * 4, planes, min(lanes, channels - first), base, places + place * 8, min(lanes, count - place), every)

    @compiled
    def unblock(d: Any, t: Any, n: Any) -> None:
        """The inverse of `block`."""
        source, target, channels, height, width = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        lines, columns, images = word(d, 7), word(d, 8), word(d, 9)
        planes, places = word(d, 10), word(d, 11)
        blocks = (channels + lanes - 1) // lanes
        count = height * width
        total = images * blocks
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            first = (part - image * blocks) * lanes
            written = target + (image * channels + first) * count * 4
            base = source + part * lines * columns * vector
            for place in range(0, count, lanes):
                square(base, places + place * 8, min(lanes, count - place), written + place * 4, planes, min(lanes, channels - first), only)

    return {"turn": turn, "fill": fill, "block": block, "unblock": unblock}
