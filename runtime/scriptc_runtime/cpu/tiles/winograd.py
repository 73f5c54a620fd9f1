"""Convolutions by F(m x m, 3x3): tiles are transformed, multiplied element by element of the transform, and transformed back.

Either each thread takes groups of tiles through all three steps in memory of its own (`winograd`), or all threads together take many tiles
through each step: `winograd_in`, products, `winograd_out`. Then each thread reads only its part of the weights.
"""
from __future__ import annotations

from typing import Any

from scriptc_runtime.cpu.tiles.geometry import MOST_ROWS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled


def winograd_kernels(word: Any, intrinsic: Any, pair: Any, single: Any) -> dict[str, Any]:
    """The three as numba functions (table, thread, threads). They read the same table."""
    input_2, input_4 = intrinsic("scriptc_winograd_in_4"), intrinsic("scriptc_winograd_in_6")
    output_2, output_4 = intrinsic("scriptc_winograd_out_4"), intrinsic("scriptc_winograd_out_6")
    most, panel_blocks, vector = MOST_ROWS, PANEL, VECTOR_BYTES

    @compiled
    def transform(d: Any, first: Any, held: Any, begin: Any, end: Any, transformed: Any) -> None:
        """Of `held` tiles from `first` on, in each block, those numbered `begin` to `end`."""
        a, m, down, across, group, inputs = word(d, 0), word(d, 9), word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        a_pitch, a_block, a_image = word(d, 17), word(d, 18), word(d, 22)
        tiles, distance = down * across, inputs * group * vector
        for number in range(begin, end):
            block = number // held
            q = number - block * held
            image = (first + q) // tiles
            place = first + q - image * tiles
            y = place // across
            x = place - y * across
            source = a + image * a_image + block * a_block + y * m * a_pitch + x * m * vector
            target = transformed + (block * group + q) * vector
            if m == 4:
                input_4(source, a_pitch, target, distance)
            else:
                input_2(source, a_pitch, target, distance)

    @compiled
    def restore(d: Any, first: Any, held: Any, begin: Any, end: Any, products: Any) -> None:
        """The same tiles' results, with bias, residual and limits."""
        c, bias, residual, limits = word(d, 2), word(d, 3), word(d, 4), word(d, 7)
        m, down, across, group, outputs = word(d, 9), word(d, 10), word(d, 11), word(d, 12), word(d, 14)
        height, width, c_pitch, c_block, c_image = word(d, 15), word(d, 16), word(d, 19), word(d, 20), word(d, 23)
        tiles, distance = down * across, outputs * group * vector
        for number in range(begin, end):
            block = number // held
            q = number - block * held
            image = (first + q) // tiles
            place = first + q - image * tiles
            y = place // across
            x = place - y * across
            shift = image * c_image + block * c_block + y * m * c_pitch + x * m * vector
            extra = residual + shift if residual else 0
            source = products + (block * group + q) * vector
            lines, columns = min(m, height - y * m), min(m, width - x * m)
            if m == 4:
                output_4(source, distance, c + shift, c_pitch, bias + block * vector, extra, lines, columns, limits)
            else:
                output_2(source, distance, c + shift, c_pitch, bias + block * vector, extra, lines, columns, limits)

    @compiled
    def winograd(d: Any, t: Any, n: Any) -> None:
        b, scratch, table, rows_table = word(d, 1), word(d, 5), word(d, 6), word(d, 8)
        m, tiles, group, inputs, outputs = word(d, 9), word(d, 10) * word(d, 11) * word(d, 21), word(d, 12), word(d, 13), word(d, 14)
        panel, element, bias, limits = word(d, 25), word(d, 26), word(d, 27), word(d, 28)
        elements = (m + 2) * (m + 2)
        transformed = scratch + t * word(d, 24)
        in_element, out_element = inputs * group * vector, outputs * group * vector
        products = transformed + elements * in_element
        groups = (tiles + group - 1) // group
        for part in range(groups * t // n, groups * (t + 1) // n):
            first = tiles * part // groups
            held = tiles * (part + 1) // groups - first
            transform(d, first, held, 0, inputs * held, transformed)
            parts = (held + most - 1) // most
            for e in range(elements):
                for block in range(0, outputs, panel_blocks):
                    source, weights = transformed + e * in_element, b + e * element + block // panel_blocks * panel
                    target = products + e * out_element + block * group * vector
                    for number in range(parts):
                        row = held * number // parts
                        rows, places = held * (number + 1) // parts - row, rows_table + row * 8
                        if outputs - block > 1:
                            pair(rows, source, weights, target, bias, 0, places, places, table, limits, weights + panel)
                        else:
                            single(rows, source, weights, target, bias, 0, places, places, table, limits, weights + panel)
            restore(d, first, held, 0, outputs * held, products)

    @compiled
    def winograd_in(d: Any, t: Any, n: Any) -> None:
        first, held = word(d, 29), word(d, 30)
        total = held * word(d, 13)
        transform(d, first, held, total * t // n, total * (t + 1) // n, word(d, 5))

    @compiled
    def winograd_out(d: Any, t: Any, n: Any) -> None:
        first, held, size = word(d, 29), word(d, 30), word(d, 9) + 2
        total = held * word(d, 14)
        restore(d, first, held, total * t // n, total * (t + 1) // n, word(d, 5) + size * size * word(d, 13) * word(d, 12) * vector)

    return {"winograd": winograd, "winograd_in": winograd_in, "winograd_out": winograd_out}
