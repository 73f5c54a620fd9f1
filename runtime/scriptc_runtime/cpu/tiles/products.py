"""Products of matrices both of which change at every call, a panel of the second at a time packed where its product is made; and packing alone."""
from __future__ import annotations

from typing import Any

from scriptc_runtime.cpu.tiles.geometry import PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.packing import Packing


def matmul_kernels(word: Any, packing: Packing) -> dict[str, Any]:
    """`matmul` and `pack` as numba functions (table, thread, threads)."""
    turn, scaled, padded, pack_columns, pack_rows, multiply = packing
    panel_blocks, vector = PANEL, VECTOR_BYTES

    @compiled
    def matmul(d: Any, t: Any, n: Any) -> None:
        """Chunks of rows times panels of columns, of which each thread has a part. How a's rows are read: 0 where they lie, 1 copied, 2 turned."""
        a, b, c, a_places, b_places, c_places = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5)
        batch, rows, depth, columns = word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        reading, a_rows, a_step, a_pitch = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        turned, b_step, c_step, chunks = word(d, 14), word(d, 15), word(d, 16), word(d, 17)
        held_rows, c_rows, o_rows, table, blank, limits, one = (word(d, 18), word(d, 19), word(d, 20), word(d, 21), word(d, 22), word(d, 23),
                                                                word(d, 24))
        panel = word(d, 25) + t * word(d, 26)
        held, made = panel + word(d, 27), panel + word(d, 28)
        slice_, last_table = word(d, 29), word(d, 30)
        blocks = (columns + 15) // 16
        panels = (blocks + panel_blocks - 1) // panel_blocks
        o_pitch = panel_blocks * vector
        part, end = batch * chunks * panels * t // n, batch * chunks * panels * (t + 1) // n
        while part < end:       # all panels of a chunk that are this thread's, by slices of the depth
            chunk = part // panels
            first_panel = part - chunk * panels
            last_panel = min(panels, first_panel + end - part)
            matrix = chunk // chunks
            first, last = rows * (chunk - matrix * chunks) // chunks, rows * (chunk - matrix * chunks + 1) // chunks
            count = last - first
            for start in range(0, depth, slice_):
                deep = min(slice_, depth - start)
                whole = (deep + 15) // 16 * 16
                steps = table if deep == slice_ else last_table
                source = a + word(a_places, matrix) + start * (a_step if reading == 2 else 4)
                if reading == 1:
                    for row in range(count):
                        padded(source + word(a_rows, first + row), held + row * a_pitch, deep * 4, one)
                if reading == 2:
                    for row in range(0, count, 16):
                        for k in range(0, deep, 16):
                            turn(source + k * a_step + (first + row) * 4, a_step, min(deep - k, 16), min(count - row, 16) * 4,
                                 held + row * a_pitch + k * 4, a_pitch)
                for p in range(first_panel, last_panel):
                    block = p * panel_blocks
                    wide = min(panel_blocks, blocks - block)
                    width = min(columns - block * 16, wide * 16)
                    if turned:
                        pack_columns(b + word(b_places, matrix) + block * 16 * b_step + start * 4, b_step, width, deep * 4, panel)
                    else:
                        pack_rows(b + word(b_places, matrix) + block * vector + start * b_step, b_step, deep, width * 4, panel)
                    target = c + word(c_places, matrix) + first * c_step + block * vector
                    straight = width == wide * 16       # else it is the last panel, the only one whose sums are kept in `made`
                    place, places = (target, c_rows) if straight else (made, o_rows)
                    so_far = place if start > 0 else 0
                    if reading:
                        multiply(held, panel, place, blank, count, wide, whole * o_pitch, held_rows, places, steps, limits, so_far)
                    else:
                        multiply(source, panel, place, blank, count, wide, whole * o_pitch, a_rows + first * 8, places, steps, limits, so_far)
                    if not straight and start + deep == depth:
                        for row in range(count):
                            scaled(made + row * o_pitch, target + row * c_step, width * 4, one)
            part += last_panel - first_panel

    @compiled
    def pack(d: Any, t: Any, n: Any) -> None:
        """Panels of a matrix whose rows are the columns of the product."""
        source, step, rows, width, target = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        columns = panel_blocks * 16
        panels = (rows + columns - 1) // columns
        bytes_ = (width + vector - 1) // vector * 16 * panel_blocks * vector
        for p in range(panels * t // n, panels * (t + 1) // n):
            pack_columns(source + p * columns * step, step, min(rows - p * columns, columns), width, target + p * bytes_)

    return {"matmul": matmul, "pack": pack}
