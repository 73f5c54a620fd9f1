"""Chains of convolutions that run band by band of lines, so that what lies between them stays in a core's cache.

A chain is a convolution, one of each channel by itself that alone reads its result, and, if that is alone in reading the next, a 1x1 convolution:
the blocks of MobileNets. Each thread takes lines of the last result from top to bottom; of the first result it holds the lines that one band
needs. Of these the next band needs the last ones again: they are copied to the top.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.ir.graph import Value
from scriptc.records import Record
from scriptc_runtime.cpu.blocked.nodes import Node, convolution_window
from scriptc_runtime.cpu.tiles import commands
from scriptc_runtime.cpu.tiles.commands import CORE_BYTES, At, Command, Operands, Window
from scriptc_runtime.cpu.tiles.layouts import Layout
from scriptc_runtime.cpu.tiles.move_commands import copy

BAND_BYTES = CORE_BYTES // 2      # of what lies between the convolutions of a chain, in one band


class Chain(Record):
    """The numbers of its nodes: the first convolution, the one of each channel, and the last if there is one."""

    first: int
    lanewise: int
    last: int | None

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.first, self.lanewise) if self.last is None else (self.first, self.lanewise, self.last)


def chains(nodes: Sequence[Node], how: Callable[[Node], str | None], layouts: dict[Value, Layout], kept: set[Value]) -> list[Chain]:
    """The chains whose first result no cache of a core holds. `kept`: values that are read outside; `how` is None for what is no convolution."""
    readers: dict[Value, list[int]] = {}
    makers = {node.result: number for number, node in enumerate(nodes) if node.result is not None}
    for number, node in enumerate(nodes):
        for value in node.reads:
            readers.setdefault(value, []).append(number)

    def private(node: Node) -> bool:
        """True if one other node reads the result, and reads only that at its input."""
        return node.result is not None and node.result not in kept and len(readers.get(node.result, [])) == 1 and node.residual is None

    found: list[Chain] = []
    taken: set[int] = set()
    for number, node in enumerate(nodes):
        if not node.inputs:
            continue
        before = makers.get(node.inputs[0])
        if before is None or before in taken or how(node) != "depthwise" or node.kind != "convolution" or how(nodes[before]) != "direct":
            continue
        first = nodes[before]
        if not private(first) or layouts[node.inputs[0]].nbytes <= CORE_BYTES or convolution_window(node.op).dilation != (1, 1):
            continue
        following = readers[node.result][0] if private(node) else None      # type: ignore[index]
        if following is not None and not _is_pointwise(nodes[following], how):
            following = None
        found.append(Chain(before, number, following))
        taken.update(found[-1].numbers)
    return found


def _is_pointwise(node: Node, how: Callable[[Node], str | None]) -> bool:
    return how(node) == "direct" and convolution_window(node.op) == Window((1, 1))


class Stage(Record):
    """A convolution of a chain: its operands, its window, and the bytes of its weight."""

    operands: Operands
    window: Window
    weight_bytes: int


class Bands(Record):
    """What the commands of a chain are made from. `source` is what the first stage reads, `middle` its result, `target` the last result."""

    stages: tuple[Stage, ...]
    source: Layout
    middle: Layout
    target: Layout
    scratch: object
    parts: int

    @property
    def window(self) -> Window:
        return self.stages[1].window

    @property
    def lines(self) -> int:
        """Lines of the last result in a band: what lies between fits a part of the cache."""
        per_line = self.middle.blocks * self.middle.pitch * self.window.stride[0]
        if len(self.stages) > 2:
            per_line += self.middle.blocks * self.narrow.pitch
        return min(self.target.height, max(2, BAND_BYTES // per_line))

    @property
    def held(self) -> Layout:
        """The lines of the first result that a band reads."""
        lines = (self.lines - 1) * self.window.stride[0] + self.window.size[0]
        return Layout(1, self.middle.channels, lines, self.middle.width, 0, self.window.padding[1], 0, self.middle.columns - self.middle.width
                      - self.window.padding[1])

    @property
    def narrow(self) -> Layout:
        """The same places of the second result; one line."""
        return Layout(1, self.middle.channels, 1, self.target.width)

    @property
    def part_bytes(self) -> int:
        """Working memory of a part."""
        return self.held.nbytes + (self.lines * self.narrow.nbytes if len(self.stages) > 2 else 0)

    def commands(self) -> list[Command]:
        """`bands`, and behind it the commands of all parts."""
        whole, height = self.target.images * self.target.height, self.target.height
        made: list[Command] = []
        starts = [0]
        for part in range(self.parts):
            line, end = whole * part // self.parts, whole * (part + 1) // self.parts
            while line < end:       # image by image
                image = line // height
                stop = min(end, (image + 1) * height)
                made += self._strip(part, image, line - image * height, stop - image * height)
                line = stop
            starts.append(len(made))
        return [Command("bands", [self.parts, *starts]), *made]

    def _strip(self, part: int, image: int, first: int, last: int) -> list[Command]:
        """The lines `first` to `last` of an image's last result."""
        (size, _), (stride, _), (padding, _), _ = self.window
        held, base = self.held, part * self.part_bytes
        made = [_border(self.scratch, base, held, 0, held.height)]
        count = -(-(last - first) // self.lines)
        ready = first * stride - padding      # lines of the first result before this one are there
        for number in range(count):
            start, stop = first + (last - first) * number // count, first + (last - first) * (number + 1) // count
            top, below = start * stride - padding, (stop - 1) * stride - padding + size      # of the first result's lines, in terms of the image
            if top < 0:
                made.append(_border(self.scratch, base, held, -top, held.height))
            if below > self.middle.height:
                made.append(_border(self.scratch, base, held, 0, self.middle.height - top))
            fresh = range(max(ready, top, 0), min(below, self.middle.height))
            if fresh:
                made.append(self._first(image, fresh, base + (fresh.start - top) * held.pitch))
            made += self._rest(image, start, stop, base)
            ready, kept = below, below - (stop * stride - padding)
            if kept > 0 and number + 1 < count:
                made.append(_moved(self.scratch, base, held, stop * stride - padding - top, kept))
        return made

    def _first(self, image: int, lines: range, place: int) -> Command:
        stage, source, held = self.stages[0], self.source, self.held
        band = _image(source)
        x = At(stage.operands.x, commands.start(source, stage.window) + image * source.image_bytes
               + lines.start * stage.window.stride[0] * source.pitch)
        rows = source.places(len(lines), held.width, stage.window.stride), held.places(len(lines), held.width)
        ends = (x, At(stage.operands.weight), At(self.scratch, place + held.left * held.place), commands.bias_word(stage.operands.bias, held), None)
        return commands.direct_places(ends, stage.operands.ending, band, held, stage.window, rows, stage.weight_bytes)

    def _rest(self, image: int, start: int, stop: int, base: int) -> list[Command]:
        stage, held, target = self.stages[1], self.held, self.target
        count = stop - start
        shift = image * target.image_bytes + start * target.pitch
        if len(self.stages) == 2:
            y, residual = commands.ends_of(stage.operands, target, shift)
            made = _image(target)
            rows = target.places(count, target.width)
        else:
            made = Layout(1, self.middle.channels, self.lines, target.width)
            y, residual = At(self.scratch, base + held.nbytes), None
            rows = made.places(count, made.width)
        taps = held.places(stage.window.size[0], stage.window.size[1])
        a_rows = held.places(count, target.width, stage.window.stride)
        lanewise = commands.lanewise((At(self.scratch, base), At(stage.operands.weight), y, commands.bias_word(stage.operands.bias, held), residual),
                                     stage.operands.ending, (a_rows, rows, taps), held, made)
        if len(self.stages) == 2:
            return [lanewise]
        stage = self.stages[2]
        z, residual = commands.ends_of(stage.operands, target, shift)
        ends = (y, At(stage.operands.weight), z, commands.bias_word(stage.operands.bias, target), residual)
        return [lanewise, commands.direct_places(ends, stage.operands.ending, made, target, stage.window,
                                                 (rows, target.places(count, target.width)), stage.weight_bytes)]


def _image(layout: Layout) -> Layout:
    """One image of it."""
    return Layout(1, layout.channels, layout.height, layout.width, layout.top, layout.left, layout.bottom, layout.right, layout.narrow)


def _border(scratch: object, base: int, held: Layout, top: int, bottom: int) -> Command:
    """Zeros beside the lines, and before line `top` and from line `bottom` on."""
    command = commands.border(scratch, held)
    words: list[Any] = list(command.words)
    words[0], words[1], words[3] = At(scratch, base), bottom - top, top
    return Command("border", words)


def _moved(scratch: object, base: int, held: Layout, line: int, count: int) -> Command:
    """`count` lines from `line` on to the top."""
    lines = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (held.blocks, count * held.pitch // 4), (held.block_bytes, 4))
    command = copy(lines, lines, At(scratch, base + line * held.pitch), At(scratch, base))
    assert command is not None
    return command
