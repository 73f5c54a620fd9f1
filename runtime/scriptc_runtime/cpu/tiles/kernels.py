"""The loops around the register tiles, in numba's Python. Every kernel reads one table of 64-bit words and works as thread `t` of `n`.

Words are addresses, byte distances and counts; `blocked` writes the tables and names the words. All addresses are checked there.
"""
from __future__ import annotations

import functools
from typing import Any

from scriptc_runtime.cpu.tiles import loops, registers
from scriptc_runtime.cpu.tiles.attention import attention_kernels, attention_tiles
from scriptc_runtime.cpu.tiles.batch_norms import batch_norm_kernels, batch_norm_tiles
from scriptc_runtime.cpu.tiles.cells import cell_kernels, cell_tiles
from scriptc_runtime.cpu.tiles.functions import accumulation_tile, combination_tile, function_tile
from scriptc_runtime.cpu.tiles.geometry import (
    COMBINATIONS,
    FEW_TILES,
    FUNCTIONS,
    INPUT_2,
    INPUT_4,
    LANES,
    LANEWISE_ROWS,
    MOST_ROWS,
    NARROW,
    OUTPUT_2,
    OUTPUT_4,
    PANEL,
    POOLED,
    STRAIGHT_ROWS,
    VECTOR_BYTES,
    WIDE,
)
from scriptc_runtime.cpu.tiles.gradients import gradient_kernels, gradient_tiles
from scriptc_runtime.cpu.tiles.loops import compiled, words
from scriptc_runtime.cpu.tiles.moves import move_kernels, move_tiles, weave_tile
from scriptc_runtime.cpu.tiles.packing import packing, packing_tiles
from scriptc_runtime.cpu.tiles.parts import product_name
from scriptc_runtime.cpu.tiles.products import matmul_kernels
from scriptc_runtime.cpu.tiles.reductions import reduction_kernels, reduction_tiles
from scriptc_runtime.cpu.tiles.registers import (
    Tile,
    lanewise_tile,
    product_tile,
    winograd_input,
    winograd_output,
)
from scriptc_runtime.cpu.tiles.rows import row_kernels, row_tiles
from scriptc_runtime.cpu.tiles.transposes import transpose_kernels, transpose_tiles
from scriptc_runtime.cpu.tiles.vectors import vector_kernels, vector_tiles, vectors
from scriptc_runtime.cpu.tiles.winograd import winograd_kernels

LANEWISE = (*((rows, 0) for rows in LANEWISE_ROWS), *((rows, step) for rows in STRAIGHT_ROWS for step in (1, 2)))
ACCUMULATED = tuple((name, rows) for name in ("sum", "maximum") for rows in (1, POOLED))


@functools.cache
def tiles() -> tuple[Tile, ...]:
    """Every tile that the kernels call."""
    return (*(product_tile(rows, blocks, LANES) for blocks in (PANEL, 1) for rows in range(1, MOST_ROWS + 1)),
            *(product_tile(rows, blocks, run) for run in NARROW for blocks in (PANEL, 1) for rows in LANEWISE_ROWS),
            *(product_tile(rows, panels * PANEL, LANES, panels) for panels, most in WIDE.items() for rows in range(1, most + 1)),
            *map(function_tile, FUNCTIONS), *map(combination_tile, COMBINATIONS),
            *(accumulation_tile(name, rows) for name, rows in ACCUMULATED), *(lanewise_tile(rows, step) for rows, step in LANEWISE), weave_tile(),
            *move_tiles(), *cell_tiles(), *row_tiles(), *attention_tiles(), *packing_tiles(), *reduction_tiles(), *vector_tiles(),
            *transpose_tiles(), *gradient_tiles(), *batch_norm_tiles(),
            *(winograd_input(m) for m in (INPUT_2, INPUT_4)), *(winograd_output(m) for m in (OUTPUT_2, OUTPUT_4)))


@functools.cache
def _by_name() -> dict[str, Tile]:
    return {tile.name: tile for tile in tiles()}


def tile_named(name: str) -> Tile:
    """One of `tiles`."""
    return _by_name()[name]


def intrinsic(name: str) -> Any:
    """A tile as a numba function of addresses."""
    tile = tile_named(name)
    return loops.instruction(tile.count, lambda builder, arguments: builder.call(tile.declare(builder.module), arguments))


def chain(tiles: dict[int, str] | list[str]) -> Any:
    """One numba function (number, the tile's addresses...) that calls the tile of that number: a jump, not a row of questions."""
    names = tiles if isinstance(tiles, dict) else dict(enumerate(tiles))
    made = {number: tile_named(name) for number, name in names.items()}
    count = next(iter(made.values())).count

    def generate(builder: Any, arguments: Any) -> None:
        end = builder.append_basic_block("end")
        choice = builder.switch(arguments[0], end)
        for number, tile in made.items():
            block = builder.append_basic_block(tile.name)
            choice.add_case(registers.constant(number), block)
            with builder.goto_block(block):
                builder.call(tile.declare(builder.module), arguments[1:])
                builder.branch(end)
        builder.position_at_end(end)

    return loops.instruction(count + 1, generate)


def product_chains(run: int) -> tuple[Any, Any]:
    """The product tiles for two blocks of channels and for one, by rows."""
    rows = LANEWISE_ROWS if run in NARROW else range(1, MOST_ROWS + 1)
    return tuple(chain({r: product_name(r, blocks, run) for r in rows}) for blocks in (PANEL, 1))


def wide_chains() -> tuple[Any, Any]:
    """The product tiles for four panels and for two, by rows."""
    return tuple(chain({r: product_name(r, panels * PANEL, LANES) for r in range(1, most + 1)}) for panels, most in WIDE.items())


def product_kernel(pair: Any, single: Any, function: Any, wide: tuple[Any, Any] | None = None, every: bool = True) -> Any:
    """Rows of A times panels of B, by chunks of rows whose A stays in the cache; then a function of each element, if there is one.

    Threads share out the rows, tile by tile; or, where there are few or B is larger than A, the tiles of panels, so that each reads a part of B.
    `wide`: the tiles of several panels for few rows. There is a tile for `every` number of rows, or for those of LANEWISE_ROWS.
    """
    word = words()[0]
    most, panel_blocks, vector, few = MOST_ROWS, PANEL, VECTOR_BYTES, FEW_TILES
    few_for_four, few_for_two = WIDE.values() if wide else (0, 0)
    four, two = wide or (pair, pair)

    @compiled
    def product(d: Any, t: Any, n: Any) -> None:
        a, b, c, bias, residual = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_rows, c_rows, table, limits = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        places, blocks, panel, chunk = word(d, 9), word(d, 10), word(d, 11), word(d, 12)
        images, a_image, c_image, by_panels = word(d, 13), word(d, 14), word(d, 15), word(d, 16)
        which, parameters, b_image = word(d, 17), word(d, 18), word(d, 19)
        step = word(table, 6)
        pairs = (blocks + panel_blocks - 1) // panel_blocks
        tiles = (places + most - 1) // most
        begin, end, first, last = 0, tiles, 0, pairs * tiles
        if by_panels or tiles < few * n:
            first, last, chunk = pairs * tiles * t // n, pairs * tiles * (t + 1) // n, places
        else:
            begin, end = tiles * t // n, tiles * (t + 1) // n
        stride = max(1, chunk // most)
        for image in range(images):
            source, weights, target = a + image * a_image, b + image * b_image, c + image * c_image
            added = residual + image * c_image if residual else 0
            for base in range(begin, end, tiles if chunk == places else stride):
                p, until = first // tiles, (last + tiles - 1) // tiles
                while p < until:
                    start, stop = max(base, first - p * tiles), min(end, last - p * tiles)
                    if chunk < places:
                        stop = min(stop, base + stride)
                    row, last_row = places * start // tiles, places * stop // tiles
                    if not every:
                        row, last_row = start * most, min(places, stop * most)
                    block = p * panel_blocks
                    shift = block * step
                    extra = added + shift if added else 0
                    here, held = weights + p * panel, min(panel_blocks, blocks - block)
                    whole = min(until - p, (blocks - block) // panel_blocks)    # panels that are not half one
                    if places <= few_for_four and whole >= 4:
                        four(places, source, here, target + shift, bias + block * vector, extra, a_rows, c_rows, table, limits, panel)
                        held = 4 * panel_blocks
                        p += 4
                    elif places <= few_for_two and whole >= 2:
                        two(places, source, here, target + shift, bias + block * vector, extra, a_rows, c_rows, table, limits, panel)
                        held = 2 * panel_blocks
                        p += 2
                    else:
                        # While a panel is multiplied its tiles fetch the next one, a quarter each.
                        following = here + panel if p + 1 < until else weights + b_image + first // tiles * panel
                        tile, place = start, row
                        while place < last_row:
                            soon = following + (tile - start) * (panel // 4) if tile - start < 4 else here
                            tile += 1
                            rows = places * tile // tiles - place
                            if not every:
                                more = last_row - place
                                rows = 14 if more >= 14 else 8 if more >= 8 else 7 if more == 7 else 4 if more >= 4 else 2 if more >= 2 else 1
                            if held > 1:
                                pair(rows, source, here, target + shift, bias + block * vector, extra, a_rows + place * 8, c_rows + place * 8,
                                     table, limits, soon)
                            else:
                                single(rows, source, here, target + shift, bias + block * vector, extra, a_rows + place * 8,
                                       c_rows + place * 8, table, limits, soon)
                            place += rows
                        p += 1
                    if which >= 0 and last_row > row:
                        for q in range(held):
                            made = target + shift + q * step
                            function(which, made, c_rows + row * 8, made, c_rows + row * 8, last_row - row, parameters)

    return product


@functools.cache
def kernels() -> dict[str, Any]:
    """The kernels by name, each a numba function (table, thread, threads)."""
    from numba import types

    word, number, put, clear = words()
    weighted = chain({16 * step + rows: f"scriptc_weighted_{rows}x{step}" for rows, step in LANEWISE})
    most, vector, few, pooled = MOST_ROWS, VECTOR_BYTES, FEW_TILES, POOLED

    function = chain([f"scriptc_function_{name}" for name in FUNCTIONS])
    pair, single = product_chains(LANES)
    packed, by_vector = packing(clear, intrinsic, chain, pair, single), vectors(intrinsic)
    products = {f"product_{run}": product_kernel(*product_chains(run), function, every=False) for run in NARROW}
    accumulate = chain([f"scriptc_accumulate_{name}_{rows}" for name, rows in ACCUMULATED])
    weave = intrinsic("scriptc_weave")
    combine = chain([f"scriptc_combine_{name}" for name in COMBINATIONS])

    @compiled
    def depthwise(d: Any, t: Any, n: Any) -> None:
        """Each channel by itself."""
        a, b, c, bias, residual = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_rows, c_rows, taps, count, limits = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        places, blocks, a_block, c_block = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        images, a_image, c_image, b_block, which, parameters = word(d, 14), word(d, 15), word(d, 16), word(d, 17), word(d, 18), word(d, 19)
        tiles = (places + most - 1) // most
        begin, end, first, last = 0, tiles, 0, images * blocks * tiles
        if tiles < few * n:
            first, last = images * blocks * tiles * t // n, images * blocks * tiles * (t + 1) // n
        else:
            begin, end = tiles * t // n, tiles * (t + 1) // n
        for part in range(first // tiles, (last + tiles - 1) // tiles):
            image = part // blocks
            block = part - image * blocks
            source, shift = a + image * a_image + block * a_block, image * c_image + block * c_block
            extra = residual + shift if residual else 0
            place = max(begin, first - part * tiles) * most
            stop = min(places, min(end, last - part * tiles) * most)
            here = place
            while place < stop:
                left = stop - place
                rows = 14 if left >= 14 else 8 if left >= 8 else 7 if left == 7 else 4 if left >= 4 else 2 if left >= 2 else 1
                kind = rows
                if rows == 14 or rows == 7:
                    distance = word(a_rows, place + rows - 1) - word(a_rows, place)
                    for step in (1, 2):
                        if distance == (rows - 1) * step * vector:
                            kind = 16 * step + rows
                weighted(kind, source, b + block * b_block, c + shift, bias + block * vector, extra, a_rows + place * 8,
                         c_rows + place * 8, taps, count, limits)
                place += rows
            if which >= 0 and stop > here:
                function(which, c + shift, c_rows + here * 8, c + shift, c_rows + here * 8, stop - here, parameters)

    @compiled
    def apply(d: Any, t: Any, n: Any) -> None:
        """A function of each element, block by block."""
        a, a_rows, a_block, a_image = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        c, c_rows, c_block, c_image = word(d, 4), word(d, 5), word(d, 6), word(d, 7)
        which, parameters, places, blocks, images = word(d, 8), word(d, 9), word(d, 10), word(d, 11), word(d, 12)
        total = images * blocks
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            block = part - image * blocks
            function(which, a + image * a_image + block * a_block, a_rows, c + image * c_image + block * c_block, c_rows, places, parameters)

    @compiled
    def binary(d: Any, t: Any, n: Any) -> None:
        """Two activations combined; an operand of one place is repeated by offsets that are all the same."""
        a, a_rows, a_block, a_image = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        b, b_rows, b_block, b_image = word(d, 4), word(d, 5), word(d, 6), word(d, 7)
        c, c_rows, c_block, c_image = word(d, 8), word(d, 9), word(d, 10), word(d, 11)
        which, limits, places, blocks, images = word(d, 12), word(d, 13), word(d, 14), word(d, 15), word(d, 16)
        total = images * blocks
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            block = part - image * blocks
            combine(which, a + image * a_image + block * a_block, a_rows, b + image * b_image + block * b_block, b_rows,
                    c + image * c_image + block * c_block, c_rows, places, limits)

    @compiled
    def pool(d: Any, t: Any, n: Any) -> None:
        """The sum times a factor, or the maximum, of a window per place; windows are lists of offsets of their own length."""
        a, windows, starts, factors = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        a_block, a_image, c, c_rows, c_block, c_image = word(d, 4), word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        which, places, blocks, images = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        total = images * blocks
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // blocks
            block = part - image * blocks
            source, target = a + image * a_image + block * a_block, c + image * c_image + block * c_block
            place = 0
            while place < places:
                first = word(starts, place)
                count = word(starts, place + 1) - first
                rows = 1
                while rows < pooled and place + rows < places and word(starts, place + rows + 1) - word(starts, place + rows) == count:
                    rows += 1
                if rows < pooled:
                    rows = 1
                accumulate(2 * which + (rows > 1), source, windows + first * 8, count, target, c_rows + place * 8, factors + place * 4)
                place += rows

    @compiled
    def border(d: Any, t: Any, n: Any) -> None:
        """Zero the border of every block."""
        base, height, width, top, left = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        lines, columns, blocks = word(d, 5), word(d, 6), word(d, 7)
        for part in range(blocks * t // n, blocks * (t + 1) // n):
            start = base + part * lines * columns * vector
            for y in range(lines):
                line = start + y * columns * vector
                if y < top or y >= top + height:
                    for x in range(columns):
                        clear(line + x * vector)
                else:
                    for x in range(left):
                        clear(line + x * vector)
                    for x in range(left + width, columns):
                        clear(line + x * vector)

    @compiled
    def interleave(d: Any, t: Any, n: Any) -> None:
        """Planes [C, H, W] to pixels [H + border, W + border, channels], the border and missing channels zero."""
        source, target, channels, height, width = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        top, left, lines, columns, images, held = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        zero = types.float32(0)
        total = images * lines
        for part in range(total * t // n, total * (t + 1) // n):
            image = part // lines
            y = part - image * lines
            line = target + part * columns * held * 4
            if y < top or y >= top + height:
                for x in range(columns * held):
                    put(line + x * 4, zero)
                continue
            woven = width // 16 * 16 if held == 3 and channels == 3 else 0
            if woven > 0:
                weave(source + (image * channels * height + (y - top)) * width * 4, height * width * 4, line + left * held * 4, woven // 16)
            for q in range(held):
                place = line + q * 4
                for x in range(left):
                    put(place + x * held * 4, zero)
                for x in range(left + width, columns):
                    put(place + x * held * 4, zero)
                plane = source + ((image * channels + q) * height + (y - top)) * width * 4
                for x in range(woven, width):
                    put(place + (left + x) * held * 4, number(plane + x * 4) if q < channels else zero)

    return {"product": product_kernel(pair, single, function, wide_chains()), **products, "depthwise": depthwise,
            **winograd_kernels(word, intrinsic, pair, single), "apply": apply, "binary": binary, "pool": pool, "border": border,
            "interleave": interleave, **move_kernels(word, intrinsic, chain), **cell_kernels(word, intrinsic),
            **row_kernels(word, intrinsic, chain), **attention_kernels(word, clear, intrinsic, chain, packed, by_vector),
            **matmul_kernels(word, packed), **vector_kernels(word, by_vector),
            **reduction_kernels(word, intrinsic, chain), **transpose_kernels(word, intrinsic), **gradient_kernels(word, intrinsic, chain),
            **batch_norm_kernels(words(), intrinsic)}
