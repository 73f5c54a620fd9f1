"""How activations and weights lie in memory for the tiles.

An activation [N, C, H, W] is blocked as [N, C/16, lines, columns, 16] with a border of zeros; one of few channels is interleaved as
[N, lines, columns, channels]. Weights are packed once into panels of 32 output channels, in the order in which the tiles read them.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scriptc.records import Record
from scriptc_runtime.cpu.tiles.geometry import LANES, NARROW, PANEL, VECTOR_BYTES, WEIGHT_2, WEIGHT_4
from scriptc_runtime.plan.plan import aligned_bytes

FLOAT_BYTES = 4
LEFT, LEFT_BYTES = 8, 8 << 20     # packs nobody reads any more whose memory is kept, all of different sizes; and their largest

_left: dict[int, np.ndarray] = {}


class Layout(Record):
    """Blocks of 16 channels with a border: `top`, `left` places before the image, `bottom`, `right` after it.

    `narrow`: not blocks but pixels of that many channels.
    """

    images: int
    channels: int
    height: int
    width: int
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    narrow: int = 0

    @property
    def blocks(self) -> int:
        return 1 if self.narrow else -(-self.channels // LANES)

    @property
    def lines(self) -> int:
        return self.top + self.height + self.bottom

    @property
    def columns(self) -> int:
        return self.left + self.width + self.right

    @property
    def place(self) -> int:
        """Bytes from place to place."""
        return self.narrow * FLOAT_BYTES if self.narrow else VECTOR_BYTES

    @property
    def pitch(self) -> int:
        """Bytes from line to line."""
        return self.columns * self.place

    @property
    def block_bytes(self) -> int:
        return self.lines * self.pitch

    @property
    def image_bytes(self) -> int:
        return self.blocks * self.block_bytes

    @property
    def nbytes(self) -> int:
        return self.images * self.image_bytes

    @property
    def inside(self) -> int:
        """Bytes from the start of a block to its first place that is no border."""
        return self.top * self.pitch + self.left * self.place

    @property
    def has_border(self) -> bool:
        return bool(self.top or self.left or self.bottom or self.right)

    def places(self, height: int, width: int, stride: tuple[int, int] = (1, 1), first: int = 0) -> np.ndarray:
        """Byte offset of every place (y, x), line by line, `stride` apart, from `first` on."""
        y = np.arange(height, dtype=np.int64)[:, None] * (stride[0] * self.pitch)
        x = np.arange(width, dtype=np.int64)[None, :] * (stride[1] * self.place)
        return (y + x).ravel() + first


def narrow_channels(channels: int) -> int:
    """The pixel size that holds so many channels; 0 if they are better blocked."""
    return next((n for n in NARROW if n >= channels), 0)


class Panel(Record):
    """Output channels `first` to `last` of a weight; their floats begin at row `first` * depth of the packed ones, `width` to a row."""

    first: int
    last: int
    width: int


def panels(channels: int) -> list[Panel]:
    """Two blocks of channels each; an odd block comes last, alone. What a block lacks in channels is zero."""
    blocks = -(-channels // LANES)
    ends = [*range(PANEL, blocks + 1, PANEL), *([blocks] if blocks % PANEL else [])]
    starts = [0, *ends[:-1]]
    return [Panel(start * LANES, min(end * LANES, channels), (end - start) * LANES) for start, end in zip(starts, ends, strict=True)]


def pack_direct(weight: np.ndarray, narrow: int = 0, scale: np.ndarray | None = None) -> np.ndarray:
    """Weights [O, I, KH, KW], times `scale` [O], in the order the product tile reads them: per panel of O, block of I, KH, KW, lane of I."""
    out, channels, high, wide = weight.shape
    lanes = narrow or LANES
    blocks = -(-channels // lanes)
    depth = blocks * lanes * high * wide
    whole = room(depth * (-(-out // LANES) * LANES), exact=channels == blocks * lanes and out % LANES == 0)
    for panel in panels(out):
        count = panel.last - panel.first
        target = whole[panel.first * depth:panel.first * depth + depth * panel.width].reshape(blocks, high, wide, lanes, panel.width)
        part = _scaled(weight, scale, panel)
        full = channels // lanes
        if full:
            inside = part[:, :full * lanes].reshape(count, full, lanes, high, wide)
            target[:full, ..., :count] = inside.transpose(1, 3, 4, 2, 0)
        if full < blocks:
            target[full, :, :, :channels - full * lanes, :count] = part[:, full * lanes:].transpose(2, 3, 1, 0)
    return whole


class _Owner:
    """Memory that arrays look into. When the last of them is gone it waits for the next pack of its size: fresh pages cost more than packing."""

    __slots__ = ("__array_interface__", "_memory", "_size")

    def __init__(self, size: int) -> None:
        found = _left.pop(size, None)
        self._size, self._memory = size, aligned_bytes(size * FLOAT_BYTES) if found is None else found
        self.__array_interface__ = {"shape": (size,), "typestr": "<f4", "data": (self._memory.ctypes.data, False), "version": 3}

    def __del__(self, left: dict[int, np.ndarray] = _left) -> None:
        if self._size * FLOAT_BYTES <= LEFT_BYTES:
            left[self._size] = self._memory
            for size in list(left)[:-LEFT]:
                left.pop(size, None)


def pack_transposed(weight: np.ndarray, taps: Sequence[Sequence[int]], scale: np.ndarray | None = None) -> np.ndarray:
    """Weights [I, O, KH, KW] of a transposed convolution, times `scale` [O]: for each phase of its result panels of the taps it meets."""
    turned = weight.reshape(*weight.shape[:2], -1).transpose(1, 0, 2)
    parts = [pack_direct(turned[:, :, None, list(met)], 0, scale) for met in taps]
    return np.concatenate(parts, out=room(sum(part.size for part in parts)))


def room(size: int, exact: bool = True) -> np.ndarray:
    """Floats to fill: zero where not all of them will be written. No vector of them lies on two lines of the cache.

    They are nobody else's as long as the array, or a view of it, is held.
    """
    made = np.asarray(_Owner(size))
    if not exact:
        made.fill(0)
    return made


def _scaled(weight: np.ndarray, scale: np.ndarray | None, panel: Panel) -> np.ndarray:
    """The panel's part of a weight, as float32: no more than a panel is copied at a time."""
    part = weight[panel.first:panel.last]
    return part if scale is None else part * scale[panel.first:panel.last, None, None, None].astype(np.float32)


def pack_groups(weight: np.ndarray, groups: int, unit: int) -> np.ndarray:
    """Weights [O, I / groups, KH, KW] of a grouped convolution: per `unit` input channels the packed weights of its outputs, one row each."""
    out, inside = weight.shape[:2]
    units = groups * inside // unit
    made = out // units
    whole = np.zeros((units, made, unit, *weight.shape[2:]), np.float32)
    for group in range(groups):
        first = group * inside
        target = slice(group * (out // groups) % made, group * (out // groups) % made + out // groups)
        whole[first // unit, target, first % unit:first % unit + inside] = weight[group * (out // groups):(group + 1) * (out // groups)]
    return np.stack([pack_direct(part) for part in whole])


def pack_winograd(weight: np.ndarray, m: int, scale: np.ndarray | None = None) -> np.ndarray:
    """Weights [O, I, 3, 3], times `scale` [O], transformed for F(m x m, 3x3): per element the panels of its matrix [I, O]."""
    transform = np.array(WEIGHT_4 if m == 4 else WEIGHT_2)
    both = np.kron(transform, transform).astype(np.float32)        # [element, tap]: both directions at once
    out, channels = weight.shape[:2]
    depth = -(-channels // LANES) * LANES
    element = winograd_element(depth, -(-out // LANES)) // FLOAT_BYTES
    whole = room(len(both) * element, exact=channels == depth and out % LANES == 0).reshape(len(both), -1)
    for panel in panels(out):
        count = panel.last - panel.first
        taps = np.ascontiguousarray(_scaled(weight, scale, panel).reshape(count, channels, 9).transpose(2, 1, 0))
        target = whole[:, panel.first * depth:panel.first * depth + depth * panel.width]
        for start in range(0, channels, LANES):
            # In small products: numpy's BLAS would split a large one over threads of its own, which cost more than it takes.
            part = taps[:, start:start + LANES]
            stop = start + part.shape[1]
            if count == panel.width:
                np.matmul(both, part.reshape(9, -1), out=target[:, start * count:stop * count])
            else:
                target.reshape(-1, depth, panel.width)[:, start:stop, :count] = (both @ part.reshape(9, -1)).reshape(-1, *part.shape[1:])
    return whole


def winograd_element(depth: int, blocks: int) -> int:
    """Bytes from one element's matrix to the next: not a multiple of 4096, which would put all elements in one set of a cache."""
    return depth * blocks * VECTOR_BYTES + VECTOR_BYTES


def pack_depthwise(weight: np.ndarray) -> np.ndarray:
    """Weights [C, 1, KH, KW] as [C/16, KH * KW, 16]."""
    channels = weight.shape[0]
    blocks = -(-channels // LANES)
    whole = room(blocks * LANES * weight[0].size, exact=channels == blocks * LANES).reshape(blocks, weight[0].size, LANES)
    padded = np.zeros((blocks * LANES, weight[0].size), np.float32)
    padded[:channels] = weight.reshape(channels, -1)
    whole[...] = padded.reshape(blocks, LANES, -1).transpose(0, 2, 1)
    return whole


def pack_bias(bias: np.ndarray | None, channels: int) -> np.ndarray:
    """A float per lane of every block, zero where there is no channel."""
    made = np.zeros(-(-channels // LANES) * LANES, np.float32)
    if bias is not None:
        made[:channels] = bias
    return made
