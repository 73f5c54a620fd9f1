"""Kernel calls as tables: what each kernel reads, with the places of buffers left open until a call has its memory.

A maker answers with a Command whose `needs` say which words are addresses of which value; `Command.table` fills them in.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scriptc.records import Record, field
from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, PANEL, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.layouts import Layout, winograd_element

Limits = tuple[float, float]
Function = tuple[int, tuple[float, float]]      # one of FUNCTIONS and its parameters
NO_LIMITS: Limits = (-np.inf, np.inf)
NO_FUNCTION = -1             # where a product could apply one of FUNCTIONS
CACHE_BYTES = 256 << 10      # of activations that one chunk of rows reads, so that they stay in a core's second cache
ENDED_ROWS = 8 * MOST_ROWS   # of a chunk that goes through a function: its results are in the first cache, or close
FEW_PLACES = 400             # of an image: where there are less, the places of all images are taken together
GROUP = {4: 14, 2: 28}       # Winograd tiles that a thread transforms together
CORE_BYTES = 1 << 20         # of a core's second cache: what is read again and again should fit it
SPREAD_BYTES = 16 << 20      # of working memory where all threads transform tiles together
FEW_GROUPS = 4               # of Winograd tiles: fewer cannot be shared out evenly


class At(NamedTuple):
    """The address of a value, and bytes from there."""

    value: object
    offset: int = 0


Word = int | At | np.ndarray | None


class Working(NamedTuple):
    """In `At`: working memory that is any command's while it runs."""


class Fault(Record):
    """How a kernel tells that an operand is none it can work on: `words` (int64) are 1 and a number then, and `error` makes of it what is raised."""

    words: np.ndarray
    error: Callable[[int], Exception]


class Command(Record, frozen=False):
    """One kernel call. `words` are numbers, arrays of its own (their address is meant), or places of values.

    `working`: bytes at `At(Working())`, which hold anything when the command begins. `fault`: what to look at when it has run.
    """

    kernel: str
    words: Sequence[Word]
    held: list[np.ndarray] = field(default_factory=list)
    working: int = 0
    fault: Fault | None = None

    def needs(self) -> list[object]:
        """The values whose addresses it reads."""
        return [w.value for w in self.words if isinstance(w, At)]

    def table(self, addresses: Mapping[object, int]) -> np.ndarray:
        """The words as the kernel reads them."""
        return np.array([0 if w is None else w.ctypes.data if isinstance(w, np.ndarray) else
                         addresses[w.value] + w.offset if isinstance(w, At) else w for w in self.words], np.int64)


class Window(NamedTuple):
    """Kernel size, stride, padding and dilation."""

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


class Operands(NamedTuple):
    """The values of a convolution and what it does at the end."""

    x: object
    weight: object
    bias: object
    y: object
    residual: object = None
    limits: Limits = NO_LIMITS
    function: Function | None = None

    @property
    def ending(self) -> Ending:
        return Ending(self.limits, self.function)


class Ending(NamedTuple):
    """What happens to each element in the end: it is limited, or goes through a function."""

    limits: Limits = NO_LIMITS
    function: Function | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        return (NO_FUNCTION, None) if self.function is None else (self.function[0], np.array(self.function[1], np.float32))


def start(layout: Layout, window: Window) -> int:
    """Bytes from a block's start to the first place the window reads: the border may be wider than the padding."""
    return (layout.top - window.padding[0]) * layout.pitch + (layout.left - window.padding[1]) * layout.place


def ends_of(operands: Operands, target: Layout, first: int = 0) -> tuple[At, At | None]:
    residual = None if operands.residual is None else At(operands.residual, target.inside + first)
    return At(operands.y, target.inside + first), residual


class Part(NamedTuple):
    """The blocks that one group of a convolution reads and makes, and where its weights begin (bytes)."""

    source: int
    sources: int
    target: int
    targets: int
    weight: int = 0


def direct(operands: Operands, source: Layout, target: Layout, window: Window, weight_bytes: int, part: Part | None = None) -> Command:
    """A convolution, or one group of it; weight as `pack_direct` makes it."""
    part = part or Part(0, source.blocks, 0, target.blocks)
    rows = source.places(target.height, target.width, window.stride), target.places(target.height, target.width)
    y, residual = ends_of(operands, target, part.target * target.block_bytes)
    ends = (At(operands.x, start(source, window) + part.source * source.block_bytes), At(operands.weight, part.weight), y,
            bias_word(operands.bias, target, part.target), residual)
    return direct_places(ends, operands.ending, source, target, window, rows, weight_bytes, part)


def direct_places(ends: tuple[Word, ...], ending: Ending, source: Layout, target: Layout, window: Window, rows: tuple[np.ndarray, np.ndarray],
                  weight_bytes: int, part: Part | None = None) -> Command:
    """A convolution at some places of each image. `ends`, `rows`: as for `product`."""
    part = part or Part(0, source.blocks, 0, target.blocks)
    (high, wide), (down, across) = window.size, window.dilation
    lanes = source.narrow or LANES
    table = np.array([part.sources, source.block_bytes, high, down * source.pitch, wide, across * source.place, target.block_bytes], np.int64)
    per_row = window.stride[0] * window.stride[1] * part.sources * source.place
    return product(ends, ending, rows, table, (source, target), part.targets, part.sources * lanes * high * wide, per_row, weight_bytes)


def bias_word(bias: object, target: Layout, first: int = 0) -> Word:
    """The address of a bias from block `first` on; zeros where there is none."""
    return np.zeros(target.blocks * LANES, np.float32) if bias is None else At(bias, first * VECTOR_BYTES)


def product(ends: tuple[Word, ...], ending: Ending, rows: tuple[np.ndarray, np.ndarray], table: np.ndarray, layouts: tuple[Layout, Layout],
            blocks: int, depth: int, per_row: int, weight_bytes: int) -> Command:
    """The product tiles over the places of every image.

    `ends`: A, B, C, bias and residual; `rows`: offsets of A's and C's places in an image; `depth`: rows of B; `per_row`: bytes of A that a
    place takes, so that chunks of places fit a cache. Places of small images are taken together.
    """
    source, target = layouts
    a_rows, c_rows = rows
    images = source.images
    if images > 1 and len(a_rows) < FEW_PLACES:
        a_rows, c_rows = (
            (np.arange(images, dtype=np.int64)[:, None] * layout.image_bytes + offsets).ravel()
            for layout, offsets in ((source, a_rows), (target, c_rows)))
        images = 1
    places = len(a_rows)
    by_panels = weight_bytes > per_row * places
    chunk = places if by_panels else max(MOST_ROWS, CACHE_BYTES // per_row // MOST_ROWS * MOST_ROWS)
    if ending.function is not None:
        chunk = min(chunk, ENDED_ROWS)
    return Command("product" if not source.narrow else f"product_{source.narrow}", [
        *ends, a_rows, c_rows, table, np.array(ending.limits, np.float32), places, blocks, depth * PANEL * VECTOR_BYTES, chunk, images,
        source.image_bytes, target.image_bytes, int(by_panels), *ending.words, 0])


def depthwise(operands: Operands, source: Layout, target: Layout, window: Window) -> Command:
    """A convolution of each channel by itself; weight as `pack_depthwise` makes it."""
    rows = (source.places(target.height, target.width, window.stride), target.places(target.height, target.width),
            source.places(window.size[0], window.size[1], window.dilation))
    y, residual = ends_of(operands, target)
    ends = At(operands.x, start(source, window)), At(operands.weight), y, bias_word(operands.bias, target), residual
    return lanewise(ends, operands.ending, rows, source, target)


def lanewise(ends: tuple[Word, ...], ending: Ending, rows: tuple[np.ndarray, np.ndarray, np.ndarray], source: Layout, target: Layout) -> Command:
    """The same at some places of each image: `rows` are their offsets in `source` and `target`, and those of the taps; `ends` as for `product`."""
    a_rows, c_rows, taps = rows
    return Command("depthwise", [
        *ends, a_rows, c_rows, taps, len(taps), np.array(ending.limits, np.float32), len(a_rows), target.blocks,
        source.block_bytes, target.block_bytes, source.images, source.image_bytes, target.image_bytes, len(taps) * VECTOR_BYTES, *ending.words])


def winograd_border(target: Layout, m: int, padding: tuple[int, int]) -> tuple[int, int]:
    """Lines below and columns right of the image that whole tiles read."""
    down, across = -(-target.height // m) * m + 2, -(-target.width // m) * m + 2
    return down - target.height - 2 + padding[0], across - target.width - 2 + padding[1]


class Tiling(NamedTuple):
    """The tiles of F(m x m, 3x3) over an image, and how many are transformed together: by all threads, or by each of them (`spread` False)."""

    m: int
    down: int
    across: int
    group: int
    spread: bool

    @property
    def elements(self) -> int:
        return (self.m + 2) ** 2


def tiling(source: Layout, target: Layout, m: int) -> Tiling:
    """By what is read from beyond a core's cache: weights once for each group of tiles, and groups that do not fit there themselves."""
    down, across, size = -(-target.height // m), -(-target.width // m), (m + 2) ** 2 * VECTOR_BYTES
    tiles, each = down * across * target.images, size * (source.blocks + target.blocks)
    weights = size * LANES * source.blocks * target.blocks
    group = GROUP[m]
    if weights <= CORE_BYTES and tiles >= FEW_GROUPS * group:
        return Tiling(m, down, across, group, False)

    def traffic(count: int) -> int:
        return weights * count + (2 * tiles * each if -(-tiles // count) * each > CORE_BYTES else 0)

    least, fitting = -(-tiles * each // SPREAD_BYTES), -(-tiles * each // CORE_BYTES)
    return Tiling(m, down, across, -(-tiles // min(least, fitting, key=traffic)), True)


def winograd_scratch(source: Layout, target: Layout, m: int, threads: int) -> int:
    """Bytes of working memory."""
    plan = tiling(source, target, m)
    return plan.elements * (source.blocks + target.blocks) * plan.group * VECTOR_BYTES * (1 if plan.spread else threads)


def winograd(operands: Operands, source: Layout, target: Layout, window: Window, m: int, scratch: object) -> list[Command]:
    """A 3x3 convolution with stride 1; weight as `pack_winograd` makes it."""
    plan = tiling(source, target, m)
    group, depth = plan.group, source.blocks * LANES
    rows = np.arange(group, dtype=np.int64) * VECTOR_BYTES
    table = np.array([1, 0, 1, 0, source.blocks, group * VECTOR_BYTES, group * VECTOR_BYTES], np.int64)
    element, panel = winograd_element(depth, target.blocks), depth * PANEL * VECTOR_BYTES
    y, residual = ends_of(operands, target)
    no_bias, no_limits = bias_word(None, target), np.array(NO_LIMITS, np.float32)
    words: list[Word] = [
        At(operands.x, start(source, window)), At(operands.weight), y, bias_word(operands.bias, target), residual, At(scratch), table,
        np.array(operands.limits, np.float32), rows, m, plan.down, plan.across, group, source.blocks, target.blocks, target.height, target.width,
        source.pitch, source.block_bytes, target.pitch, target.block_bytes, source.images, source.image_bytes, target.image_bytes,
        winograd_scratch(source, target, m, 1), panel, element, no_bias, no_limits]
    if not plan.spread:
        return [Command("winograd", words)]
    made, tiles = [], plan.down * plan.across * target.images
    read, written = source.blocks * group * VECTOR_BYTES, target.blocks * group * VECTOR_BYTES      # bytes of an element
    for first in range(0, tiles, group):
        held = min(group, tiles - first)
        made += [Command("winograd_in", [*words, first, held]), Command("product", [
            At(scratch), At(operands.weight), At(scratch, plan.elements * read), no_bias, None, rows, rows, table, no_limits, held,
            target.blocks, panel, held, plan.elements, read, written, 1, NO_FUNCTION, None, element]),
            Command("winograd_out", [*words, first, held])]
    return made


def apply(x: object, source: Layout, y: object, target: Layout, which: int, parameters: tuple[float, float]) -> Command:
    """A function of each element."""
    height, width = target.height, target.width
    return Command("apply", [
        At(x, source.inside), source.places(height, width), source.block_bytes, source.image_bytes, At(y, target.inside),
        target.places(height, width), target.block_bytes, target.image_bytes, which, np.array(parameters, np.float32), height * width,
        target.blocks, target.images])


def binary(x: object, source: Layout, other: object, second: Layout, y: object, target: Layout, which: int, limits: Limits) -> Command:
    """Two activations combined; one of a single place, channel or image is repeated."""
    height, width = target.height, target.width

    def rows(layout: Layout) -> tuple[np.ndarray, int, int]:
        stride = (int(layout.height > 1), int(layout.width > 1))
        offsets = layout.places(height, width, stride)
        return offsets, layout.block_bytes, layout.image_bytes if layout.images > 1 else 0

    return Command("binary", [
        At(x, source.inside), *rows(source), At(other, second.inside), *rows(second), At(y, target.inside), target.places(height, width),
        target.block_bytes, target.image_bytes, which, np.array(limits, np.float32), height * width, target.blocks, target.images])


def pool(x: object, source: Layout, y: object, target: Layout, window: Window, average: bool, counts_padding: bool = True) -> Command:
    """The maximum or the mean of each window; what lies outside the image is left out (and counted by a mean if `counts_padding`)."""
    lines, columns = pool_ranges(source, target, window)
    return _pool(x, source, y, target, lines, columns, average, int(np.prod(window.size)) if counts_padding else 0)


def adaptive_pool(x: object, source: Layout, y: object, target: Layout) -> Command:
    """The mean of windows that cover the image evenly."""
    lines, columns = adaptive_ranges(source, target)
    return _pool(x, source, y, target, lines, columns, True, 0)


def pool_ranges(source: Layout, target: Layout, window: Window) -> tuple[list[range], list[range]]:
    """Lines and columns of the image that each window holds."""
    return (_ranges(target.height, window.size[0], window.stride[0], window.padding[0], window.dilation[0], source.height),
            _ranges(target.width, window.size[1], window.stride[1], window.padding[1], window.dilation[1], source.width))


def adaptive_ranges(source: Layout, target: Layout) -> tuple[list[range], list[range]]:
    """The same for windows that cover the image evenly."""
    lines, columns = (
        [range(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        for size, count in ((source.height, target.height), (source.width, target.width)))
    return lines, columns


def _ranges(count: int, size: int, stride: int, padding: int, dilation: int, held: int) -> list[range]:
    found = []
    for index in range(count):
        first = index * stride - padding
        skipped = max(0, -(first // dilation)) if first < 0 else 0
        found.append(range(first + skipped * dilation, min(held, first + (size - 1) * dilation + 1), dilation))
    return found


def _pool(x: object, source: Layout, y: object, target: Layout, lines: list[range], columns: list[range], average: bool,
          count: int) -> Command:
    offsets, starts = windows_of(source, lines, columns)
    sizes = np.diff(starts)
    factors = 1.0 / (np.full(len(sizes), count) if count else np.maximum(sizes, 1)) if average else np.ones(len(sizes))
    return Command("pool", [
        At(x, source.inside), offsets, starts, factors.astype(np.float32), source.block_bytes, source.image_bytes, At(y, target.inside),
        target.places(target.height, target.width), target.block_bytes, target.image_bytes, 0 if average else 1,
        target.height * target.width, target.blocks, target.images])


def windows_of(layout: Layout, lines: list[range], columns: list[range]) -> tuple[np.ndarray, np.ndarray]:
    """The byte offsets of each window's places, one window after the other, and where each begins in them."""
    down = [np.array(r, np.int64) * layout.pitch for r in lines]
    right = np.concatenate([np.array(r, np.int64) for r in columns] or [np.zeros(0, np.int64)]) * layout.place
    owner = np.repeat(np.arange(len(columns)), [len(r) for r in columns])       # the window that each place of `right` belongs to
    # A line's places are down x right; sorted by window, each window's stand together. Few lines differ in how many places lie below each other.
    orders = {high: np.argsort(np.tile(owner, high), kind="stable") for high in {len(d) for d in down}}
    offsets = [(d[:, None] + right).ravel()[orders[len(d)]] for d in down]
    sizes = np.outer([len(r) for r in lines], [len(r) for r in columns]).ravel()
    return (np.concatenate([*offsets, np.zeros(1, np.int64)]),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)]))


def border(y: object, layout: Layout) -> Command:
    """Zeros around every block of `y`."""
    return Command("border", [At(y), layout.height, layout.width, layout.top, layout.left, layout.lines, layout.columns,
                              layout.images * layout.blocks])


def enter(x: object, y: object, layout: Layout) -> Command:
    """Planes [N, C, H, W] of `x` to the layout of `y`, its border zero."""
    words: list[Word] = [At(x), At(y), layout.channels, layout.height, layout.width, layout.top, layout.left, layout.lines, layout.columns,
                         layout.images]
    if layout.narrow:
        return Command("interleave", [*words, layout.narrow])
    return Command("block", [*words, _planes(layout), _places(layout)])


def leave(x: object, layout: Layout, y: object) -> Command:
    """Blocks of `x` to planes of `y`."""
    return Command("unblock", [At(x), At(y), layout.channels, layout.height, layout.width, layout.top, layout.left, layout.lines, layout.columns,
                               layout.images, _planes(layout), _places(layout)])


def _planes(layout: Layout) -> np.ndarray:
    """Byte offsets of a block's planes."""
    return np.arange(LANES, dtype=np.int64) * (layout.height * layout.width * 4)


def _places(layout: Layout) -> np.ndarray:
    """Byte offsets of the image's places in a block."""
    return layout.places(layout.height, layout.width, first=layout.inside)
