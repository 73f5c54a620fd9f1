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
    VECTOR_BYTES,
    WIDE,
)
from scriptc_runtime.cpu.tiles.gradients import gradient_kernels, gradient_tiles
from scriptc_runtime.cpu.tiles.loops import compiled, words
from scriptc_runtime.cpu.tiles.moves import move_kernels, move_tiles
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


@functools.cache
def tiles() -> tuple[Tile, ...]:
    """Every tile that the kernels call."""
    return (*(product_tile(rows, blocks, LANES) for blocks in (PANEL, 1) for rows in range(1, MOST_ROWS + 1)),
            *(product_tile(rows, blocks, run) for run in NARROW for blocks in (PANEL, 1) for rows in LANEWISE_ROWS),
            *(product_tile(rows, panels * PANEL, LANES, panels) for panels, most in WIDE.items() for rows in range(1, most + 1)),
            *map(function_tile, FUNCTIONS), *map(combination_tile, COMBINATIONS), *map(accumulation_tile, ("sum", "maximum")),
            *map(lanewise_tile, LANEWISE_ROWS), *move_tiles(), *cell_tiles(), *row_tiles(), *attention_tiles(), *packing_tiles(), *reduction_tiles(),
            *vector_tiles(), *transpose_tiles(), *gradient_tiles(), *batch_norm_tiles(),
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

    `wide`: the tiles of several panels for few rows. There is a tile for `every` number of rows, or for those of LANEWISE_ROWS.
    """
    word = words()[0]
    most, panel_blocks, vector = MOST_ROWS, PANEL, VECTOR_BYTES
    few_for_four, few_for_two = WIDE.values() if wide else (0, 0)
    four, two = wide or (pair, pair)

    @compiled
    def product(d: Any, t: Any, n: Any) -> None:
        a, b, c, bias, residual = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_rows, c_rows, table, limits = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        places, blocks, panel, chunk = word(d, 9), word(d, 10), word(d, 11), word(d, 12)
        images, a_image, c_image, by_panels = word(d, 13), word(d, 14), word(d, 15), word(d, 16)
        which, parameters = word(d, 17), word(d, 18)
        step = word(table, 6)
        pairs = (blocks + panel_blocks - 1) // panel_blocks
        chunks = (places + chunk - 1) // chunk
        first_pair, last_pair, first_chunk, last_chunk = 0, pairs, 0, chunks
        if by_panels:
            first_pair, last_pair = pairs * t // n, pairs * (t + 1) // n
        else:
            first_chunk, last_chunk = chunks * t // n, chunks * (t + 1) // n
        for image in range(images):
            source, target = a + image * a_image, c + image * c_image
            added = residual + image * c_image if residual else 0
            for part in range(first_chunk, last_chunk):
                start, stop = part * chunk, min((part + 1) * chunk, places)
                p = first_pair
                while p < last_pair:
                    block = p * panel_blocks
                    shift = block * step
                    extra = added + shift if added else 0
                    here, held = b + p * panel, min(panel_blocks, blocks - block)
                    whole = min(last_pair - p, (blocks - block) // panel_blocks)    # panels that are not half one
                    if stop - start <= few_for_four and whole >= 4:
                        four(stop - start, source, here, target + shift, bias + block * vector, extra, a_rows + start * 8, c_rows + start * 8,
                             table, limits, panel)
                        held = 4 * panel_blocks
                        p += 4
                    elif stop - start <= few_for_two and whole >= 2:
                        two(stop - start, source, here, target + shift, bias + block * vector, extra, a_rows + start * 8, c_rows + start * 8,
                            table, limits, panel)
                        held = 2 * panel_blocks
                        p += 2
                    else:
                        place = start
                        tiles = (stop - start + most - 1) // most
                        # While a panel is multiplied its tiles fetch the next one, an eighth each.
                        soon, left = b + (p + 1) * panel if p + 1 < last_pair else here, 8
                        while place < stop:
                            more = stop - place
                            rows = (more + tiles - 1) // max(tiles, 1)
                            if not every:
                                rows = 14 if more >= 14 else 8 if more >= 8 else 7 if more == 7 else 4 if more >= 4 else 2 if more >= 2 else 1
                            if held > 1:
                                pair(rows, source, here, target + shift, bias + block * vector, extra, a_rows + place * 8, c_rows + place * 8,
                                     table, limits, soon)
                            else:
                                single(rows, source, here, target + shift, bias + block * vector, extra, a_rows + place * 8,
                                       c_rows + place * 8, table, limits, soon)
                            left -= 1
                            soon = soon + panel // 8 if left > 0 else here
                            place += rows
                            tiles -= 1
                        p += 1
                    if which >= 0:
                        for q in range(held):
                            made = target + shift + q * step
                            function(which, made, c_rows + start * 8, made, c_rows + start * 8, stop - start, parameters)

    return product


@functools.cache
def kernels() -> dict[str, Any]:
    """The kernels by name, each a numba function (table, thread, threads)."""
    from numba import types

    word, number, put, clear = words()
    weighted = chain({r: f"scriptc_weighted_{r}" for r in LANEWISE_ROWS})
    input_2, input_4 = intrinsic("scriptc_winograd_in_4"), intrinsic("scriptc_winograd_in_6")
    output_2, output_4 = intrinsic("scriptc_winograd_out_4"), intrinsic("scriptc_winograd_out_6")
    most, panel_blocks, vector = MOST_ROWS, PANEL, VECTOR_BYTES

    function = chain([f"scriptc_function_{name}" for name in FUNCTIONS])
    pair, single = product_chains(LANES)
    packed, by_vector = packing(clear, intrinsic, chain, pair, single), vectors(intrinsic)
    products = {f"product_{run}": product_kernel(*product_chains(run), function, every=False) for run in NARROW}
    accumulate = chain([f"scriptc_accumulate_{name}" for name in ("sum", "maximum")])
    combine = chain([f"scriptc_combine_{name}" for name in COMBINATIONS])

    @compiled
    def depthwise(d: Any, t: Any, n: Any) -> None:
        """Each channel by itself."""
        a, b, c, bias, residual = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        a_rows, c_rows, taps, count, limits = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        places, blocks, a_block, c_block = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        images, a_image, c_image, b_block = word(d, 14), word(d, 15), word(d, 16), word(d, 17)
        for image in range(images):
            for block in range(blocks * t // n, blocks * (t + 1) // n):
                source, shift = a + image * a_image + block * a_block, image * c_image + block * c_block
                extra = residual + shift if residual else 0
                place = 0
                while place < places:
                    left = places - place
                    rows = 14 if left >= 14 else 8 if left >= 8 else 7 if left == 7 else 4 if left >= 4 else 2 if left >= 2 else 1
                    weighted(rows, source, b + block * b_block, c + shift, bias + block * vector, extra, a_rows + place * 8,
                             c_rows + place * 8, taps, count, limits)
                    place += rows

    @compiled
    def winograd(d: Any, t: Any, n: Any) -> None:
        """A 3x3 convolution with stride 1 by F(m x m, 3x3): transform tiles, multiply per element, transform back."""
        a, b, c, bias, residual = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        scratch, table, limits, rows_table = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        m, down, across, group = word(d, 9), word(d, 10), word(d, 11), word(d, 12)
        inputs, outputs, height, width = word(d, 13), word(d, 14), word(d, 15), word(d, 16)
        a_pitch, a_block, c_pitch, c_block = word(d, 17), word(d, 18), word(d, 19), word(d, 20)
        images, a_image, c_image, scratch_bytes, panel, element = word(d, 21), word(d, 22), word(d, 23), word(d, 24), word(d, 25), word(d, 26)
        size = m + 2
        elements = size * size
        transformed = scratch + t * scratch_bytes
        in_element, out_element = inputs * group * vector, outputs * group * vector
        products = transformed + elements * in_element
        pairs = (outputs + panel_blocks - 1) // panel_blocks
        tiles = down * across
        all_tiles = images * tiles
        groups = (all_tiles + group - 1) // group
        for part in range(groups * t // n, groups * (t + 1) // n):
            first = part * group
            held = min(group, all_tiles - first)
            for block in range(inputs):
                for q in range(held):
                    image = (first + q) // tiles
                    place = first + q - image * tiles
                    y = place // across
                    x = place - y * across
                    source = a + image * a_image + block * a_block + y * m * a_pitch + x * m * vector
                    target = transformed + (block * group + q) * vector
                    if m == 4:
                        input_4(source, a_pitch, target, in_element)
                    else:
                        input_2(source, a_pitch, target, in_element)
            for e in range(elements):
                for p in range(pairs):
                    block = p * panel_blocks
                    target = products + e * out_element + block * group * vector
                    here = b + e * element + p * panel
                    row = 0
                    while row < held:
                        rows = min(most, held - row)
                        if outputs - block > 1:
                            pair(rows, transformed + e * in_element, here, target, word(d, 27), 0, rows_table + row * 8,
                                 rows_table + row * 8, table, word(d, 28), here + panel)
                        else:
                            single(rows, transformed + e * in_element, here, target, word(d, 27), 0,
                                   rows_table + row * 8, rows_table + row * 8, table, word(d, 28), here + panel)
                        row += rows
            for block in range(outputs):
                for q in range(held):
                    image = (first + q) // tiles
                    place = first + q - image * tiles
                    y = place // across
                    x = place - y * across
                    shift = image * c_image + block * c_block + y * m * c_pitch + x * m * vector
                    extra = residual + shift if residual else 0
                    source = products + (block * group + q) * vector
                    lines, columns = min(m, height - y * m), min(m, width - x * m)
                    if m == 4:
                        output_4(source, out_element, c + shift, c_pitch, bias + block * vector, extra, lines, columns, limits)
                    else:
                        output_2(source, out_element, c + shift, c_pitch, bias + block * vector, extra, lines, columns, limits)

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
            for place in range(places):
                first = word(starts, place)
                accumulate(which, source, windows + first * 8, word(starts, place + 1) - first, target + word(c_rows, place),
                           factors + place * 4)

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
            for q in range(held):
                place = line + q * 4
                for x in range(left):
                    put(place + x * held * 4, zero)
                for x in range(left + width, columns):
                    put(place + x * held * 4, zero)
                plane = source + ((image * channels + q) * height + (y - top)) * width * 4
                for x in range(width):
                    put(place + (left + x) * held * 4, number(plane + x * 4) if q < channels else zero)

    return {"product": product_kernel(pair, single, function, wide_chains()), **products, "depthwise": depthwise, "winograd": winograd,
            "apply": apply, "binary": binary, "pool": pool, "border": border, "interleave": interleave, **move_kernels(word, intrinsic, chain),
            **cell_kernels(word, intrinsic),
            **row_kernels(word, intrinsic, chain), **attention_kernels(word, clear, intrinsic, chain, packed, by_vector),
            **matmul_kernels(word, packed), **vector_kernels(word, by_vector),
            **reduction_kernels(word, intrinsic, chain), **transpose_kernels(word, intrinsic), **gradient_kernels(word, intrinsic, chain),
            **batch_norm_kernels(words(), intrinsic)}
