"""Convolution and pooling backwards: weight gradients as products over places, and gradients spread over the windows of a pool."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import place_of
from scriptc_runtime.cpu.tiles.geometry import CORRELATED_ROWS, LANES, LANEWISE_ROWS, PANEL, ROW_CHUNK, VECTOR_BYTES, WEIGHT_2, WEIGHT_4
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import (
    I32,
    I64,
    VECTOR,
    Matrix,
    Tile,
    broadcast,
    combination,
    constant,
    load_vector,
    load_word,
    multiply_add,
    store_vector,
)

INTEGERS = ir.VectorType(I32, LANES)


def over_pairs(made: ir.Function, b: ir.IRBuilder, first: Any, second: Any, count: Any, sums: int,
               body: Callable[[ir.IRBuilder, Any, Any, list[Any]], list[Any]]) -> tuple[ir.IRBuilder, list[Any]]:
    """Sums of vectors over `count` (not zero) pairs of offsets, one from each table; `body` adds one pair's part to them."""
    entry = b.block
    loop, after = made.append_basic_block("loop"), made.append_basic_block("after")
    b.branch(loop)
    b = ir.IRBuilder(loop)
    index = b.phi(I64)
    carried = [b.phi(VECTOR) for _ in range(sums)]
    index.add_incoming(constant(0), entry)
    for phi in carried:
        phi.add_incoming(ir.Constant(VECTOR, [0.0] * LANES), entry)
    shift = b.shl(index, constant(3))
    added = body(b, b.load(b.inttoptr(b.add(first, shift), I64.as_pointer())),
                 b.load(b.inttoptr(b.add(second, shift), I64.as_pointer())), list(carried))
    following = b.add(index, constant(1))
    index.add_incoming(following, loop)
    for phi, value in zip(carried, added, strict=True):
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, count), loop, after)
    return ir.IRBuilder(after), added


def correlation_tile(rows: int, blocks: int) -> Tile:
    """C[row][block] = sum over places of A[row + place] * B[block + place]: floats of A times vectors of B.

    Arguments: A, B, C (rows of neighbouring blocks), offsets of A's rows, offsets of A's places, of B's places, their count (not zero), byte
    distance of B's blocks.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, other, c, a_rows, a_places, b_places, count, b_block = made.args
        fma = multiply_add(module)
        starts = [b.add(a, load_word(b, a_rows, row)) for row in range(rows)]
        seconds = [other]
        for _ in range(1, blocks):
            seconds.append(b.add(seconds[-1], b_block))

        def body(b: ir.IRBuilder, left: Any, right: Any, sums: list[Any]) -> list[Any]:
            loaded = [load_vector(b, b.add(second, right)) for second in seconds]
            for row, start in enumerate(starts):
                value = broadcast(b, b.add(start, left))
                for block in range(blocks):
                    index = row * blocks + block
                    sums[index] = b.call(fma, [value, loaded[block], sums[index]])
            return sums

        b, sums = over_pairs(made, b, a_places, b_places, count, rows * blocks, body)
        for index, value in enumerate(sums):
            store_vector(b, value, c, index * VECTOR_BYTES)
        b.ret_void()

    return Tile(f"scriptc_correlate_{rows}x{blocks}", 8, write)


def lanewise_correlation_tile(rows: int) -> Tile:
    """C[row] = sum over places of A[row + place] * B[place], lane by lane. Arguments: A, B, C, offsets of rows, of A's and B's places, count."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, other, c, a_rows, a_places, b_places, count = made.args
        fma = multiply_add(module)
        starts = [b.add(a, load_word(b, a_rows, row)) for row in range(rows)]

        def body(b: ir.IRBuilder, left: Any, right: Any, sums: list[Any]) -> list[Any]:
            factor = load_vector(b, b.add(other, right))
            return [b.call(fma, [load_vector(b, b.add(start, left)), factor, held]) for start, held in zip(starts, sums, strict=True)]

        b, sums = over_pairs(made, b, a_places, b_places, count, rows, body)
        for index, value in enumerate(sums):
            store_vector(b, value, c, index * VECTOR_BYTES)
        b.ret_void()

    return Tile(f"scriptc_lanewise_{rows}", 7, write)


def weight_transform_tile(matrix: Matrix) -> Tile:
    """M W M^T of 3 x 3 vectors. Arguments: W, the offsets of its nine vectors, where the first element goes, byte distance of elements."""
    size = len(matrix)

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, taps, target, distance = made.args
        fma = multiply_add(module)
        weight = [[load_vector(b, b.add(source, load_word(b, taps, 3 * i + j))) for j in range(3)] for i in range(3)]
        half = [combination(b, fma, matrix, [weight[i][j] for i in range(3)]) for j in range(3)]
        where = target
        for i in range(size):
            for value in combination(b, fma, matrix, [column[i] for column in half]):
                store_vector(b, value, where)
                where = b.add(where, distance)
        b.ret_void()

    return Tile(f"scriptc_winograd_weight_{size}", 4, write)


def spreading_tile() -> Tile:
    """D[row] += g * factor for all rows. Arguments: D, its offsets, their count, g, the factor's address."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        target, rows, count, gradient, factor = made.args
        value = b.fmul(load_vector(b, gradient), broadcast(b, factor))
        add_where(made, b, target, rows, count, lambda b, index: value)

    return Tile("scriptc_spread", 5, write)


def winning_tile() -> Tile:
    """D[row] += g where A[row] is the first maximum of all rows (the first nan, if there is one), lane by lane.

    Arguments: A, its offsets, their count, D, its offsets, g.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, a_rows, count, target, rows, gradient = made.args
        value = load_vector(b, gradient)
        entry = b.block
        search, found = made.append_basic_block("search"), made.append_basic_block("found")
        start = load_vector(b, place_of(b, a, a_rows, constant(0)))
        b.branch(search)
        b = ir.IRBuilder(search)
        index, best, place = b.phi(I64), b.phi(VECTOR), b.phi(INTEGERS)
        index.add_incoming(constant(0), entry)
        best.add_incoming(start, entry)
        place.add_incoming(ir.Constant(INTEGERS, [0] * LANES), entry)
        seen = load_vector(b, place_of(b, a, a_rows, b.shl(index, constant(3))))
        better = b.and_(b.fcmp_unordered(">", seen, best), b.fcmp_ordered("ord", best, best))
        place_now = b.select(better, lanes_of(b, index), place)
        best_now = b.select(better, seen, best)
        following = b.add(index, constant(1))
        index.add_incoming(following, search)
        best.add_incoming(best_now, search)
        place.add_incoming(place_now, search)
        b.cbranch(b.icmp_signed("<", following, count), search, found)
        b = ir.IRBuilder(found)
        zero = ir.Constant(VECTOR, [0.0] * LANES)
        add_where(made, b, target, rows, count, lambda b, index: b.select(b.icmp_signed("==", place_now, lanes_of(b, index)), value, zero))

    return Tile("scriptc_win", 6, write)


def lanes_of(b: ir.IRBuilder, index: Any) -> Any:
    """A number in every lane."""
    undefined = ir.Constant(INTEGERS, ir.Undefined)
    return b.shuffle_vector(b.insert_element(undefined, b.trunc(index, I32), ir.Constant(I32, 0)), undefined,
                            ir.Constant(INTEGERS, [0] * LANES))


def add_where(made: ir.Function, b: ir.IRBuilder, target: Any, rows: Any, count: Any, value: Callable[[ir.IRBuilder, Any], Any]) -> None:
    """Add to the vectors at `count` (not zero) offsets, and return."""
    entry = b.block
    loop, end = made.append_basic_block("add"), made.append_basic_block("end")
    b.branch(loop)
    b = ir.IRBuilder(loop)
    index = b.phi(I64)
    index.add_incoming(constant(0), entry)
    where = place_of(b, target, rows, b.shl(index, constant(3)))
    store_vector(b, b.fadd(load_vector(b, where), value(b, index)), where)
    following = b.add(index, constant(1))
    index.add_incoming(following, loop)
    b.cbranch(b.icmp_signed("<", following, count), loop, end)
    ir.IRBuilder(end).ret_void()


def gradient_tiles() -> tuple[Tile, ...]:
    return (*(correlation_tile(rows, blocks) for blocks in (PANEL, 1) for rows in range(1, CORRELATED_ROWS + 1)),
            *map(lanewise_correlation_tile, LANEWISE_ROWS), *map(weight_transform_tile, (WEIGHT_2, WEIGHT_4)), spreading_tile(), winning_tile())


def gradient_kernels(word: Any, intrinsic: Any, chain: Any) -> dict[str, Any]:
    """`correlate`, `correlate_lanes`, `transform_weights` and `unpool` as numba functions (table, thread, threads)."""
    pair, single = (chain({r: f"scriptc_correlate_{r}x{blocks}" for r in range(1, CORRELATED_ROWS + 1)})
                    for blocks in (PANEL, 1))
    lanewise = chain({r: f"scriptc_lanewise_{r}" for r in LANEWISE_ROWS})
    transform_2, transform_4 = intrinsic("scriptc_winograd_weight_4"), intrinsic("scriptc_winograd_weight_6")
    spread, win = intrinsic("scriptc_spread"), intrinsic("scriptc_win")
    square, zeros = intrinsic("scriptc_turn"), intrinsic("scriptc_clear")
    most, panel_blocks, vector, lanes, chunk = CORRELATED_ROWS, PANEL, VECTOR_BYTES, LANES, ROW_CHUNK

    @compiled
    def correlate(d: Any, t: Any, n: Any) -> None:
        """The gradient [O, K] of a weight: `chunk` rows of K times two blocks of O in working memory, from there turned to their places."""
        a, b, out, a_rows, depth = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_places, b_places, count, b_block, channels = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        scratch, pair_rows, single_rows, lane_places = word(d, 10) + t * word(d, 11), word(d, 12), word(d, 13), word(d, 14)
        blocks = (channels + lanes - 1) // lanes
        pairs = (blocks + panel_blocks - 1) // panel_blocks
        chunks = (depth + chunk - 1) // chunk
        total = pairs * chunks
        for part in range(total * t // n, total * (t + 1) // n):
            p = part // chunks
            start = (part - p * chunks) * chunk
            held = min(chunk, depth - start)
            block = p * panel_blocks
            wide = min(panel_blocks, blocks - block)
            row = 0
            while row < held:
                rows = min(most, held - row)
                made = scratch + row * wide * vector
                if wide > 1:
                    pair(rows, a, b + block * b_block, made, a_rows + (start + row) * 8, a_places, b_places, count, b_block)
                else:
                    single(rows, a, b + block * b_block, made, a_rows + (start + row) * 8, a_places, b_places, count, b_block)
                row += rows
            offsets = pair_rows if wide > 1 else single_rows
            for q in range(wide):
                first = (block + q) * lanes
                written = out + (first * depth + start) * 4
                for row in range(0, held, lanes):
                    square(scratch + q * vector, offsets + row * 8, min(lanes, held - row), written + row * 4, lane_places,
                           min(lanes, channels - first), 1)

    @compiled
    def correlate_lanes(d: Any, t: Any, n: Any) -> None:
        """The gradient [C, K] of a weight of a convolution of each channel by itself."""
        a, b, out, a_rows, depth = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_places, b_places, count, a_block, b_block, channels = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        scratch, rows_of, lane_places = word(d, 11) + t * word(d, 12), word(d, 13), word(d, 14)
        blocks = (channels + lanes - 1) // lanes
        for block in range(blocks * t // n, blocks * (t + 1) // n):
            row = 0
            while row < depth:
                left = depth - row
                rows = 14 if left >= 14 else 8 if left >= 8 else 7 if left == 7 else 4 if left >= 4 else 2 if left >= 2 else 1
                lanewise(rows, a + block * a_block, b + block * b_block, scratch + row * vector, a_rows + row * 8, a_places, b_places, count)
                row += rows
            written = out + block * lanes * depth * 4
            for row in range(0, depth, lanes):
                square(scratch, rows_of + row * 8, min(lanes, depth - row), written + row * 4, lane_places,
                       min(lanes, channels - block * lanes), 1)

    @compiled
    def transform_weights(d: Any, t: Any, n: Any) -> None:
        """Weights in panels of the direct product to those of F(m x m, 3x3): per input channel and block of outputs."""
        source, target, m, inputs, outputs = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        pair_taps, single_taps, panel, element = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        for part in range(inputs * t // n, inputs * (t + 1) // n):
            group = part // lanes
            lane = part - group * lanes
            for block in range(outputs):
                p = block // panel_blocks
                q = block - p * panel_blocks
                wide = min(panel_blocks, outputs - p * panel_blocks)
                read = source + p * panel * 9 + (group * 9 * lanes + lane) * wide * vector + q * vector
                written = target + p * panel + part * wide * vector + q * vector
                taps = pair_taps if wide > 1 else single_taps
                if m == 4:
                    transform_4(read, taps, written, element)
                else:
                    transform_2(read, taps, written, element)

    @compiled
    def unpool(d: Any, t: Any, n: Any) -> None:
        """The gradient of a pool: to the first maximum of each window, or to all its places by a factor."""
        a, a_windows, starts, factors, a_block, a_image = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5)
        g, g_rows, g_block, g_image = word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        c, windows, c_block, c_image = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        places, blocks, images = word(d, 14), word(d, 15), word(d, 16)
        total = images * blocks
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            block = part - image * blocks
            target = c + image * c_image + block * c_block
            zeros(target, c_block // vector)
            for place in range(places):
                first = word(starts, place)
                count = word(starts, place + 1) - first
                if count == 0:
                    continue
                gradient = g + image * g_image + block * g_block + word(g_rows, place)
                if a:
                    win(a + image * a_image + block * a_block, a_windows + first * 8, count, target, windows + first * 8, gradient)
                else:
                    spread(target, windows + first * 8, count, gradient, factors + place * 4)

    return {"correlate": correlate, "correlate_lanes": correlate_lanes, "transform_weights": transform_weights, "unpool": unpool}
