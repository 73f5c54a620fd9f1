"""Attention in a core's cache: the scores of a few rows at a time, their softmax, and their product with the values."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import Lanes
from scriptc_runtime.cpu.tiles.geometry import MASKS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.packing import Packing
from scriptc_runtime.cpu.tiles.registers import Tile
from scriptc_runtime.cpu.tiles.rows import LOWEST, Part, Row, add, larger, select, store_float, total
from scriptc_runtime.cpu.tiles.vectors import Vectors


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
            value = select(b, part, Lanes(module, b).weight(b.fsub(score(b, part), most)), 0.0)
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
    return tuple(map(scores_tile, MASKS))


def attention_kernels(word: Any, clear: Any, intrinsic: Any, chain: Any, packing: Packing, vectors: Vectors) -> dict[str, Any]:
    """`attention` as a numba function (table, thread, threads)."""
    scores = chain([f"scriptc_scores_{mask}" for mask in MASKS])
    _, scaled, padded, pack_columns, pack_rows, multiply = packing
    dots, mix = vectors
    panel_blocks, vector = PANEL, VECTOR_BYTES

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
        direct = word(d, 41)
        key_blocks, value_blocks = (keys + 15) // 16, (values + 15) // 16
        depth = (features + 15) // 16 * 16
        total = heads * chunks
        known = -1
        for part in range(total * t // n, total * (t + 1) // n):
            head = part // chunks
            chunk = part - head * chunks
            first, last = length * chunk // chunks, length * (chunk + 1) // chunks
            if direct:      # so few queries that packing would take longer
                for row in range(first, last):
                    seen = min(keys, row + 1) if causal else keys
                    padded(q + word(q_places, head) + row * q_step, queries, features * 4, scale)
                    dots(k + word(k_places, head), k_step, seen, queries, features * 4, weights)
                    scores(kind, weights, seen * 4, mask + word(mask_places, head) + row * mask_step, factors)
                    mix(weights, seen, v + word(v_places, head), v_step, values * 4, made)
                    scaled(made, y + word(y_places, head) + row * y_step, values * 4, factors)
                continue
            # Heads that share their keys and values follow each other.
            if known < 0 or word(k_places, head) != word(k_places, known) or word(v_places, head) != word(v_places, known):
                pack_columns(k + word(k_places, head), k_step, keys, features * 4, packed)
                pack_rows(v + word(v_places, head), v_step, keys, values * 4, columns)
            known = head
            rows = last - first
            for row in range(rows):
                padded(q + word(q_places, head) + (first + row) * q_step, queries + row * q_pitch, features * 4, scale)
            shown = min(keys, last) if causal else keys
            blocks = (shown + 15) // 16
            wide = min((blocks + panel_blocks - 1) // panel_blocks * panel_blocks, key_blocks)
            multiply(queries, packed, weights, blank, rows, wide, depth * panel_blocks * vector, q_rows, s_rows, to_scores, limits, 0)
            for row in range(rows):
                place = weights + row * s_pitch
                seen = min(keys, first + row + 1) if causal else keys
                scores(kind, place, seen * 4, mask + word(mask_places, head) + (first + row) * mask_step, factors + row * 4)
                for block in range((seen + 15) // 16, blocks):
                    clear(place + block * vector)
            # How deep this product is depends on the chunk: its table says it, one of the thread's for each depth.
            multiply(weights, columns, made, blank, rows, value_blocks, key_blocks * 16 * panel_blocks * vector, s_rows, o_rows,
                     tables + blocks * 64, limits, 0)
            for row in range(rows):
                scaled(made + row * o_pitch, y + word(y_places, head) + (first + row) * y_step, values * 4, factors + row * 4)

    return {"attention": attention}
