"""Kernel calls of training: weights packed inside a plan, convolutions and pools backwards, batch normalisation by the batch's statistics."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scriptc_runtime.cpu.tiles import commands
from scriptc_runtime.cpu.tiles.commands import At, Command, Limits, Operands, Window, Word
from scriptc_runtime.cpu.tiles.geometry import GAPS, LANES, LOOSE, PANEL, ROW_CHUNK, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.layouts import FLOAT_BYTES, Layout, winograd_element

SCRATCH_BYTES = 8 * VECTOR_BYTES                           # of one thread of a normalisation
CORRELATION_BYTES = ROW_CHUNK * PANEL * VECTOR_BYTES       # of one thread of a weight gradient


class WeightShape(NamedTuple):
    """A convolution's weight [out, inputs, taps], of which a product sums over inputs."""

    out: int
    inputs: int
    taps: int

    def row_bytes(self) -> int:
        return self.inputs * self.taps * FLOAT_BYTES


def blocks_of(channels: int, lanes: int = LANES) -> int:
    return -(-channels // lanes)


def packed_bytes(out: int, inputs: int, taps: int, lanes: int = LANES) -> int:
    """Of a weight in panels: `out` channels are made of `inputs`."""
    return blocks_of(inputs, lanes) * lanes * taps * blocks_of(out) * VECTOR_BYTES


def _panel_parts(out: int) -> list[tuple[int, int, int]]:
    """(first channel, last, floats of a row) of the pairs of blocks together, then of an odd block alone."""
    blocks = blocks_of(out)
    paired = blocks // PANEL * PANEL
    parts = [(0, min(paired * LANES, out), PANEL * LANES)] if paired else []
    return parts + ([(paired * LANES, out, LANES)] if blocks > paired else [])


def _row_places(count: int, panel: int, width: int) -> np.ndarray:
    """Where each block's vectors begin in panels of `width` floats a row, `panel` bytes apart."""
    block = np.arange(blocks_of(count), dtype=np.int64)
    per_panel = width // LANES
    return (block // per_panel) * panel + (block % per_panel) * VECTOR_BYTES


def _turn(source: Word, target: Word, rows: tuple[np.ndarray, int], row_places: np.ndarray, columns: np.ndarray, upright: bool = False,
          outer: tuple[int, int, int] = (1, 0, 0), inner: tuple[int, int, int] = (1, 0, 0), most: int | None = None) -> Command:
    """`rows`: their offsets and count; `outer`, `inner`: a count and the byte steps of source and target."""
    # Behind the rows of a matrix stand those of the next one: the last matrix alone must be read exactly.
    how = GAPS * int((columns < 0).any()) + LOOSE * int(min(outer[1] or inner[1], inner[1]) >= VECTOR_BYTES)
    return Command("turn", [source, target, *rows, row_places, columns, len(columns), int(upright), *outer, *inner,
                            outer[0] * inner[0] if most is None else most, how])


def pack_forward(weight: object, packed: object, shape: WeightShape, lanes: int = LANES) -> list[Command]:
    """`pack_direct` inside a plan: from a weight as it is stored to panels."""
    out, inputs, taps = shape
    depth = blocks_of(inputs, lanes) * lanes * taps
    channel, tap = np.divmod(np.arange(inputs * taps, dtype=np.int64), taps)
    places = ((channel // lanes) * taps + tap) * lanes + channel % lanes
    made = [fill(packed, packed_bytes(*shape, lanes))] if inputs % lanes else []
    for first, last, width in _panel_parts(out):
        rows = np.arange(last - first, dtype=np.int64) * shape.row_bytes()
        made.append(_turn(At(weight, first * shape.row_bytes()), At(packed, first * depth * FLOAT_BYTES), (rows, last - first),
                          _row_places(last - first, depth * PANEL * VECTOR_BYTES, width), places * (width * FLOAT_BYTES)))
    return made


def pack_backward(weight: object, packed: object, shape: WeightShape, taps: Sequence[int], offset: int = 0) -> list[Command]:
    """Panels of the inputs' channels, summed over outputs, for some of the taps in order; from byte `offset` of `packed`."""
    out, inputs, count = shape
    depth = blocks_of(out) * LANES * len(taps)
    positions = np.full(count, -1, np.int64)
    positions[list(taps)] = np.arange(len(taps))
    made = []
    for first, last, width in _panel_parts(inputs):
        row = width * FLOAT_BYTES
        places = np.where(positions < 0, -1, positions * (LANES * row))
        rows = np.arange(last - first, dtype=np.int64) * (count * FLOAT_BYTES)
        made.append(_turn(
            At(weight, first * count * FLOAT_BYTES), At(packed, offset + first * depth * FLOAT_BYTES), (rows, last - first),
            _row_places(last - first, depth * PANEL * VECTOR_BYTES, width), places, count == 1,
            (blocks_of(out), LANES * shape.row_bytes(), len(taps) * LANES * row), (LANES, shape.row_bytes(), row), out))
    return made


def pack_lanes(weight: object, packed: object, channels: int, order: Sequence[int]) -> list[Command]:
    """Weights [C, 1, K] of a convolution of each channel by itself as [C/16, K, 16]: tap t at place order[t]."""
    count = len(order)
    rows = np.arange(channels, dtype=np.int64) * (count * FLOAT_BYTES)
    return [_turn(At(weight), At(packed), (rows, channels), np.arange(blocks_of(channels), dtype=np.int64) * (count * VECTOR_BYTES),
                  np.array(order, np.int64) * VECTOR_BYTES)]


def transform_weights(panels: object, packed: object, out: int, inputs: int, m: int, backward: bool) -> Command:
    """Panels of a 3x3 weight to those of F(m x m, 3x3); `backward`: taps in reverse order."""
    depth = blocks_of(inputs) * LANES
    taps = np.arange(9, dtype=np.int64)[::-1 if backward else 1] * (LANES * VECTOR_BYTES)
    return Command("transform_weights", [At(panels), At(packed), m, depth, blocks_of(out), np.ascontiguousarray(taps * PANEL),
                                         np.ascontiguousarray(taps), depth * PANEL * VECTOR_BYTES, winograd_element(depth, blocks_of(out))])


def transformed_bytes(out: int, inputs: int, m: int) -> int:
    return (m + 2) ** 2 * winograd_element(blocks_of(inputs) * LANES, blocks_of(out))


def fill(value: object, size: int) -> Command:
    """Zeros in whole vectors."""
    return Command("fill", [At(value), size // VECTOR_BYTES])


# Gradients of convolutions to their input: per remainder of places by the stride, a convolution of the result's gradient.

class Phase(NamedTuple):
    """Along one dimension: the places first, first + stride, ... of the input, the taps that reach them, and where the gradient is read.

    Tap j of `taps` meets the gradient at `start` + index of the place - j * `step`.
    """

    first: int
    places: int
    taps: tuple[int, ...]
    start: int
    step: int


def phases(size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Phase]:
    """All phases of a dimension of `size` places; one without taps gets no gradient."""
    found = []
    for first in range(min(stride, size)):
        count = -(-(size - first) // stride)
        taps = tuple(k for k in range(kernel) if (first + padding - k * dilation) % stride == 0)
        start = (first + padding - taps[0] * dilation) // stride if taps else 0
        found.append(Phase(first, count, taps, start, dilation // math.gcd(stride, dilation)))
    return found


def phases_of(source: tuple[int, int], window: Window) -> list[tuple[Phase, Phase]]:
    lines, columns = (phases(*numbers) for numbers in zip(source, window.size, window.stride, window.padding, window.dilation, strict=True))
    return [(y, x) for y in lines for x in columns]


def gradient_border(source: tuple[int, int], made: tuple[int, int], window: Window) -> tuple[int, int, int, int]:
    """Lines above, columns left, lines below and columns right of the result's gradient [made] that `input_gradient` reads."""
    before, after = [0, 0], [0, 0]
    for pair in phases_of(source, window):
        for dim, phase in enumerate(pair):
            if phase.taps:
                before[dim] = max(before[dim], (len(phase.taps) - 1) * phase.step - phase.start)
                after[dim] = max(after[dim], phase.start + phase.places - made[dim])
    return before[0], before[1], after[0], after[1]


def has_gaps(window: Window) -> bool:
    """True if some places of the input are met by no window at all."""
    return any(not phase.taps for pair in phases_of((window.stride[0], window.stride[1]), window) for phase in pair)


def taps_of(target: tuple[int, int], window: Window) -> list[list[int]]:
    """The taps, as numbers of the kernel's elements, that each phase of an image with places in all of its windows meets."""
    return [[a * window.size[1] + b for a in y.taps for b in x.taps] for y, x in phases_of(target, window) if y.taps and x.taps]


def pack_input_gradient(weight: object, packed: object, target: Layout, window: Window, shape: WeightShape) -> list[Command]:
    """The panels that `input_gradient` reads, inside a plan, of a weight as it is stored."""
    made: list[Command] = []
    offset = 0
    for taps in taps_of((target.height, target.width), window):
        made += pack_backward(weight, packed, shape, taps, offset)
        offset += packed_bytes(shape.inputs, shape.out, len(taps))
    return made


def input_gradient(operands: Operands, source: Layout, target: Layout, window: Window, shape: WeightShape) -> list[Command]:
    """The gradient to a convolution's input, which is what a transposed convolution computes.

    `operands`: x the result's gradient, y the input's, `weight` the panels. Places that no window meets become 0, without the bias.
    """
    running: list[Command] = []
    offset = 0
    pairs = phases_of((target.height, target.width), window)
    if any(not (y.taps and x.taps) for y, x in pairs):
        running.append(fill(operands.y, target.nbytes))
    for y, x in pairs:
        count = len(y.taps) * len(x.taps)
        if not count:
            continue
        size = packed_bytes(shape.inputs, shape.out, count)
        table = np.array([source.blocks, source.block_bytes, len(y.taps), -y.step * source.pitch, len(x.taps), -x.step * source.place,
                          target.block_bytes], np.int64)
        rows = source.places(y.places, x.places), target.places(y.places, x.places, window.stride, _first(target, y, x))
        made, residual = commands.ends_of(operands, target)
        ends = (At(operands.x, source.inside + y.start * source.pitch + x.start * source.place), At(operands.weight, offset), made,
                commands.bias_word(operands.bias, target), residual)
        running.append(commands.product(ends, operands.ending, rows, table, (source, target), target.blocks,
                                        source.blocks * LANES * count, source.blocks * VECTOR_BYTES, size))
        offset += size
    return running


def _first(target: Layout, y: Phase, x: Phase) -> int:
    return y.first * target.pitch + x.first * target.place


def depthwise_input_gradient(operands: Operands, source: Layout, target: Layout, window: Window,
                             channels: int) -> tuple[list[Command], list[Command]]:
    """The same of a convolution of each channel by itself."""
    pairs = phases_of((target.height, target.width), window)
    total = window.size[0] * window.size[1]
    order, running, offset = [0] * total, [], 0
    if any(not (y.taps and x.taps) for y, x in pairs):
        running.append(fill(operands.y, target.nbytes))
    for y, x in pairs:
        taps = [a * window.size[1] + b for a in y.taps for b in x.taps]
        if not taps:
            continue
        for index, tap in enumerate(taps):
            order[tap] = offset + index
        down, across = np.arange(len(y.taps), dtype=np.int64), np.arange(len(x.taps), dtype=np.int64)
        steps = (down[:, None] * (-y.step * source.pitch) + across[None, :] * (-x.step * source.place)).ravel()
        made, residual = commands.ends_of(operands, target)
        places = source.places(y.places, x.places)
        running.append(Command("depthwise", [
            At(operands.x, source.inside + y.start * source.pitch + x.start * source.place), At(operands.bias, offset * VECTOR_BYTES), made,
            commands.bias_word(None, target), residual, places, target.places(y.places, x.places, window.stride, _first(target, y, x)), steps,
            len(steps), np.array(operands.limits, np.float32), len(places), target.blocks, source.block_bytes, target.block_bytes,
            source.images, source.image_bytes, target.image_bytes, total * VECTOR_BYTES, *operands.ending.words]))
        offset += len(taps)
    return pack_lanes(operands.weight, operands.bias, channels, order), running


def weight_gradient(g: object, gradient: Layout, x: object, source: Layout, out: object, window: Window, scratch: object) -> Command:
    """The gradient of a convolution's weight, as weights are stored: products of the input and the result's gradient over all places."""
    taps = source.places(window.size[0], window.size[1], window.dilation)
    channel = np.arange(source.channels, dtype=np.int64)
    start = channel * FLOAT_BYTES if source.narrow else channel // LANES * source.block_bytes + channel % LANES * FLOAT_BYTES
    rows = (start[:, None] + taps[None, :]).ravel()
    depth = len(rows)
    chunk = np.arange(ROW_CHUNK, dtype=np.int64)
    return Command("correlate", [
        At(x, commands.start(source, window)), At(g, gradient.inside), At(out), rows, depth,
        *_all_places(gradient, source, window), gradient.block_bytes, gradient.channels, At(scratch), CORRELATION_BYTES,
        chunk * (PANEL * VECTOR_BYTES), chunk * VECTOR_BYTES, np.arange(LANES, dtype=np.int64) * (depth * FLOAT_BYTES)])


def depthwise_weight_gradient(g: object, gradient: Layout, x: object, source: Layout, out: object, window: Window,
                              scratch: object) -> Command:
    """The same of a convolution of each channel by itself."""
    taps = source.places(window.size[0], window.size[1], window.dilation)
    depth = len(taps)
    return Command("correlate_lanes", [
        At(x, commands.start(source, window)), At(g, gradient.inside), At(out), taps, depth,
        *_all_places(gradient, source, window), source.block_bytes, gradient.block_bytes, gradient.channels, At(scratch),
        lanewise_scratch(window), np.arange(depth, dtype=np.int64) * VECTOR_BYTES, np.arange(LANES, dtype=np.int64) * (depth * FLOAT_BYTES)])


def lanewise_scratch(window: Window) -> int:
    """Bytes of working memory of one thread."""
    return window.size[0] * window.size[1] * VECTOR_BYTES


def _all_places(gradient: Layout, source: Layout, window: Window) -> tuple[np.ndarray, np.ndarray, int]:
    """Offsets of what each place of the result meets in the input, and of the place itself, over all images; their count."""
    image = np.arange(gradient.images, dtype=np.int64)[:, None]
    met = (image * source.image_bytes + source.places(gradient.height, gradient.width, window.stride)).ravel()
    own = (image * gradient.image_bytes + gradient.places(gradient.height, gradient.width)).ravel()
    return met, own, len(own)


# Pools and normalisation.

def unpool(g: object, gradient: Layout, x: object, source: Layout, y: object, target: Layout, ranges: tuple[list[range], list[range]],
           count: int | None) -> Command:
    """The gradient of a pool to its input: `count` None: to each window's first maximum in x; else shared by so many, or by all (0)."""
    offsets, starts = commands.windows_of(target, *ranges)
    seen = commands.windows_of(source, *ranges)[0] if count is None else None
    sizes = np.diff(starts)
    factors = 1.0 / np.maximum(np.full_like(sizes, count) if count else sizes, 1)
    return Command("unpool", [
        None if count is not None else At(x, source.inside), seen, starts, factors.astype(np.float32), source.block_bytes, source.image_bytes,
        At(g, gradient.inside), gradient.places(gradient.height, gradient.width), gradient.block_bytes, gradient.image_bytes,
        At(y), offsets + target.inside, target.block_bytes, target.image_bytes, gradient.height * gradient.width, target.blocks,
        target.images])


def _activation(value: object, layout: Layout) -> tuple[Word, ...]:
    return At(value, layout.inside), layout.places(layout.height, layout.width), layout.block_bytes, layout.image_bytes


class Parameters(NamedTuple):
    """Words for [C] arrays of a normalisation; None where there is none."""

    weight: Word
    bias: Word
    mean: Word
    var: Word


def norm_train(x: object, source: Layout, y: object, target: Layout, residual: object, parameters: Parameters, eps: float, limits: Limits,
               scratch: object) -> Command:
    """Normalisation by the batch's own statistics, which are written to `parameters.mean` and `var`."""
    added = None if residual is None else At(residual, target.inside)
    return Command("norm_train", [
        *_activation(x, source), *_activation(y, target), added, *parameters, source.height * source.width, source.blocks, source.images,
        source.channels, np.array([eps], np.float32), np.array(limits, np.float32), At(scratch), SCRATCH_BYTES])


def norm_gradient(g: object, gradient: Layout, x: object, source: Layout, mask: tuple[object, Layout] | None, y: object | None, target: Layout,
                  statistics: Parameters, made: tuple[Word, Word], eps: float, limits: Limits, scratch: object) -> Command:
    """Its gradient: of x to `y`, of weight and bias to `made`. `mask`: an activation within whose limits the gradient passes."""
    masked: tuple[Word, ...] = (None, None, 0, 0) if mask is None else _activation(*mask)
    place = (None, None, 0, 0) if y is None else _activation(y, target)
    return Command("norm_gradient", [
        *_activation(g, gradient), *_activation(x, source), *masked, *place, statistics.mean, statistics.var, statistics.weight, *made,
        source.height * source.width, source.blocks, source.images, source.channels, np.array([eps], np.float32),
        np.array(limits, np.float32), At(scratch), SCRATCH_BYTES])


def channel_sums(x: object, layout: Layout, out: Word, scratch: object) -> Command:
    """The sum of each channel over images and places."""
    return Command("channel_sums", [*_activation(x, layout), out, layout.height * layout.width, layout.blocks, layout.images, layout.channels,
                                    At(scratch), SCRATCH_BYTES])
