"""Attention in a core's cache: the scores of a few rows at a time, their softmax, and their product with the values."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import Lanes
from scriptc_runtime.cpu.tiles.geometry import LANES, MASKS, MOST_ROWS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.registers import I32, I64, Tile, broadcast, constant, store_vector
from scriptc_runtime.cpu.tiles.rows import LOWEST, Part, Row, add, larger, splat, store_float, total


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


def select(b: ir.IRBuilder, part: Part, value: Any, missing: float) -> Any:
    """A vector whose lanes that are not there hold `missing`."""
    return value if part.mask is None else b.select(part.mask, value, ir.Constant(value.type, [missing] * LANES))


def scores_tile(mask: str) -> Tile:
    """A row of scores s, in place: exp(s + mask - max), 0 up to a whole vector; and 1 / their sum (0 where the mask shows nothing).

    Arguments: s, its bytes (not none), the mask's row, where the factor goes.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        s, width, masks, factor = made.args
        row, lanes = Row(module, made), Lanes(module, b)

        def score(b: ir.IRBuilder, part: Part) -> Any:
            value = row.load(b, s, part, LOWEST)
            if mask == "float":
                return b.fadd(value, row.load(b, masks, part))
            return b.select(row.flags(b, masks, part), value, lanes.all(LOWEST)) if mask == "bool" else value

        b, found = row.sweep(b, width, [lanes.all(LOWEST)], lambda b, part, held: [larger(b, score(b, part), held[0])])
        most = total(b, [f[0] for f in found], larger)
        if mask:
            most = b.select(b.fcmp_ordered("==", most, lanes.all(LOWEST)), lanes.all(0.0), most)

        def powers(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            value = select(b, part, Lanes(module, b).exp(b.fsub(score(b, part), most)), 0.0)
            row.store(b, value, s, Part(part.place, None))
            return [b.fadd(held[0], value)]

        b, found = row.sweep(b, width, [lanes.all(0.0)], powers)
        whole = total(b, [f[0] for f in found], add)
        result = b.fdiv(lanes.all(1.0), whole)
        if mask:
            result = b.select(b.fcmp_ordered("==", whole, lanes.all(0.0)), lanes.all(0.0), result)
        store_float(b, result, factor)
        b.ret_void()

    return Tile(f"scriptc_scores_{mask}", 4, write)


def attention_tiles() -> tuple[Tile, ...]:
    return (transpose_tile(), *map(panel_tile, range(1, PANEL + 1)), *map(scaled_tile, (False, True)), *map(scores_tile, MASKS))


def attention_kernels(word: Any, clear: Any, intrinsic: Any, chain: Any, pair: Any, single: Any) -> dict[str, Any]:
    """`attention` as a numba function (table, thread, threads)."""
    import numba

    compiled: Any = numba.njit(error_model="numpy")
    turn, scaled, padded = intrinsic("scriptc_transpose"), intrinsic("scriptc_scaled_0"), intrinsic("scriptc_scaled_1")
    panel = chain("panel", {blocks: intrinsic(f"scriptc_panel_{blocks}") for blocks in range(1, PANEL + 1)}, 5)
    scores = chain("scores", [intrinsic(f"scriptc_scores_{mask}") for mask in MASKS], 4)
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
                 limits: Any) -> None:
        """Rows times panels into blocks of c that follow each other; rows are shared out evenly among tiles."""
        for block in range(0, blocks, panel_blocks):
            tiles = (rows + most - 1) // most
            first = 0
            while tiles > 0:
                count = (rows - first + tiles - 1) // tiles
                here = b + block // panel_blocks * panel_bytes
                if blocks - block > 1:
                    pair(count, a, here, c + block * vector, bias, 0, a_rows + first * 8, c_rows + first * 8, table, limits)
                else:
                    single(count, a, here, c + block * vector, bias, 0, a_rows + first * 8, c_rows + first * 8, table, limits)
                first += count
                tiles -= 1

    @compiled
    def attention(d: Any, t: Any, n: Any) -> None:
        """One part is a chunk of the queries of one head; a thread packs a head's keys and values when it comes to it."""
        q, k, v, mask, y = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        q_places, k_places, v_places, mask_places, y_places = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        q_step, k_step, v_step, mask_step, y_step = word(d, 10), word(d, 11), word(d, 12), word(d, 13), word(d, 14)
        heads, length, keys, features, values = word(d, 15), word(d, 16), word(d, 17), word(d, 18), word(d, 19)
        kind, causal, scale, chunks, blank, limits = word(d, 20), word(d, 21), word(d, 22), word(d, 23), word(d, 24), word(d, 25)
        q_rows, s_rows, o_rows, to_scores, tables = word(d, 26), word(d, 27), word(d, 28), word(d, 29), word(d, 30)
        packed = word(d, 31) + t * word(d, 32)
        columns, queries, weights, made, factors = (packed + word(d, 33), packed + word(d, 34), packed + word(d, 35), packed + word(d, 36),
                                                    packed + word(d, 37))
        q_pitch, s_pitch, o_pitch = word(d, 38), word(d, 39), word(d, 40)
        key_blocks, value_blocks = (keys + 15) // 16, (values + 15) // 16
        depth = (features + 15) // 16 * 16
        total = heads * chunks
        known = -1
        for part in range(total * t // n, total * (t + 1) // n):
            head = part // chunks
            chunk = part - head * chunks
            first, last = length * chunk // chunks, length * (chunk + 1) // chunks
            if head != known:
                pack_columns(k + word(k_places, head), k_step, keys, features * 4, packed)
                pack_rows(v + word(v_places, head), v_step, keys, values * 4, columns)
                known = head
            rows = last - first
            for row in range(rows):
                padded(q + word(q_places, head) + (first + row) * q_step, queries + row * q_pitch, features * 4, scale)
            shown = min(keys, last) if causal else keys
            blocks = (shown + 15) // 16
            wide = min((blocks + panel_blocks - 1) // panel_blocks * panel_blocks, key_blocks)
            multiply(queries, packed, weights, blank, rows, wide, depth * panel_blocks * vector, q_rows, s_rows, to_scores, limits)
            for row in range(rows):
                place = weights + row * s_pitch
                seen = min(keys, first + row + 1) if causal else keys
                scores(kind, place, seen * 4, mask + word(mask_places, head) + (first + row) * mask_step, factors + row * 4)
                for block in range((seen + 15) // 16, blocks):
                    clear(place + block * vector)
            # How deep this product is depends on the chunk: its table says it, one of the thread's for each depth.
            multiply(weights, columns, made, blank, rows, value_blocks, key_blocks * 16 * panel_blocks * vector, s_rows, o_rows,
                     tables + blocks * 64, limits)
            for row in range(rows):
                scaled(made + row * o_pitch, y + word(y_places, head) + (first + row) * y_step, values * 4, factors + row * 4)

    return {"attention": attention}
