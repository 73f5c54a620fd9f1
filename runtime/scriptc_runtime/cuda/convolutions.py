"""Convolutions on the device: products whose columns are pixels, or a thread an element for groups of few channels and unusual dtypes."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda.engine import Engine
from scriptc_runtime.cuda.kernels.direct import direct_kernel
from scriptc_runtime.cuda.kernels.operands import DENSE, IMAGE, Source
from scriptc_runtime.cuda.kernels.tensor_core import DEPTH
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits
from scriptc_runtime.cuda.products import KINDS, Geometry, Operand, Result, product, refused
from scriptc_runtime.device import DeviceArray, contiguous_strides
from scriptc_runtime.plan.lowering import Site

DTYPES = ("float32", "float64", "float16", "bfloat16")
FEW = 8                  # channels of a group, in or out, below which a tile would be mostly empty
OUTSIDE = -(1 << 30)     # a place of the window that lies in no image

Pair = tuple[int, int]


class Window:
    """The sizes of a convolution of x [N, C, *S] with weight [O, C/groups, *K] to y [N, O, *S'], in three and in two dimensions."""

    def __init__(self, x: Sequence[int], weight: Sequence[int], y: Sequence[int], attributes: Any) -> None:
        fill = 3 - (len(x) - 2)
        self.batch, self.channels, self.features = x[0], x[1], y[1]
        self.source, self.target = (1,) * fill + tuple(x[2:]), (1,) * fill + tuple(y[2:])
        self.kernel = (1,) * fill + tuple(weight[2:])
        self.stride, self.dilation = ((1,) * fill + tuple(attributes[n]) for n in ("stride", "dilation"))
        self.padding = (0,) * fill + tuple(attributes["padding"])
        self.groups = attributes["groups"]
        self.own, self.made = self.channels // self.groups, self.features // self.groups
        self.taps = math.prod(self.kernel)
        self.planes, self.pixels = math.prod(self.source), math.prod(self.target)

    @property
    def is_flat(self) -> bool:
        """True if it is one of two dimensions at most."""
        return self.kernel[0] == self.source[0] == self.target[0] == 1 and self.padding[0] == 0

    @property
    def size(self) -> Pair:
        """Height and width of x."""
        return self.source[1], self.source[2]

    @property
    def made_size(self) -> Pair:
        """Height and width of y."""
        return self.target[1], self.target[2]

    @property
    def step(self) -> Pair:
        """The last two strides."""
        return self.stride[1], self.stride[2]

    @property
    def is_pointwise(self) -> bool:
        """True if every element is made from the one at its place."""
        return self.taps == 1 and self.stride == (1, 1, 1) and not any(self.padding)

    def sizes(self) -> list[int]:
        """What `direct` kernels want to know."""
        return [self.batch, self.channels, *self.source, self.features, *self.target, *self.kernel, self.groups, *self.stride, *self.padding,
                *self.dilation]

    def offsets(self) -> list[tuple[int, int]]:
        """How far each place of the window is from its pixel's first."""
        (_, kh, kw), (_, ph, pw), (_, dh, dw) = self.kernel, self.padding, self.dilation
        return [(i * dh - ph, j * dw - pw) for i in range(kh) for j in range(kw)]


@functools.lru_cache(maxsize=1024)
def _table(engine: Engine, offsets: tuple[Pair, ...], channels: int, plane: int) -> DeviceArray:
    """Lines (offset, dh, dw, 0): per place of the window if `channels` is 0, else per channel and place; then one that is outside."""
    lines = [(c * plane, h, w, 0) for c in range(max(channels, 1)) for h, w in offsets]
    return engine.upload(np.array([*lines, (0, OUTSIDE, OUTSIDE, 0)], np.int32).reshape(-1))


def _by_tiles(window: Window, dtype: np.dtype) -> bool:
    return dtype.name in KINDS and window.is_flat and (window.groups == 1 or min(window.own, window.made) >= FEW)


def _direct(work: Work, which: str, window: Window, a: DeviceArray, b: DeviceArray, bias: DeviceArray | None, c: DeviceArray) -> None:
    given = b if bias is None else bias
    work.each(direct_kernel(which, c.dtype.name), c.size, a, b, given, c, np.int64(bias is not None), np.int64(c.size),
              *map(np.int64, window.sizes()))


def _packed(work: Work, weight: DeviceArray, shape: tuple[int, ...], order: tuple[int, ...]) -> DeviceArray:
    """The weight as `shape`, with its dimensions in another order, contiguous."""
    strides = contiguous_strides(shape)
    source = weight.view([shape[d] for d in order], [strides[d] for d in order])
    return source if source.is_contiguous else work.contiguous(source)


def _images(work: Work, planes: DeviceArray, weights: DeviceArray, y: DeviceArray, *, groups: int, rows: int, channels: int, offsets: list[Pair],
            size: Pair, pixels: Pair, stride: Pair, upsample: int, pointwise: bool, bias: DeviceArray | None, by_taps: bool) -> None:
    """y[n, group, row, pixel] = sum over the window of weights[group, row, ...] * planes[n, group, channel, place] + bias[group, row].

    `size` is the planes' and `pixels` the result's; weights are [.., taps, channels] if `by_taps`, else [.., channels, taps].
    """
    depth, plane, count, batch = len(offsets) * channels, size[0] * size[1], pixels[0] * pixels[1], y.shape[0]
    piece = 16 // y.dtype.itemsize
    a = Operand(weights, Source(DENSE, True, weights.address % 16 == 0 and depth % piece == 0), depth, 0, rows * depth)
    if pointwise:
        source = Source(DENSE, False, plane % piece == 0 and planes.address % 16 == 0, planes=True)
        table = None
    else:
        source = Source(IMAGE, False, taps=by_taps, upsample=upsample)
        table = _table(work.engine, tuple(offsets), 0 if by_taps else channels, plane)
    b = Operand(planes, source, plane, 0, channels * plane, groups * channels * plane)
    product(work, a, b, Result(y, count, 0, rows * count, groups * rows * count), rows, batch * count, depth, inner=groups,
            geometry=Geometry(*size, count, pixels[1], stride, channels, table), bias=bias, along="row", bias_inner=rows)


@emits("convolution")
def lower_convolution(site: Site) -> Emit | str:
    """Products of the weight with windows of x."""
    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, weight, bias = operands
        y = results[0]
        if not y.size:
            return
        x, weight = work.contiguous(x), work.contiguous(weight)
        bias = None if bias is None else work.contiguous(bias)
        window = Window(x.shape, weight.shape, y.shape, site.attributes)
        if not _by_tiles(window, y.dtype) or not x.size:
            _direct(work, "forward", window, x, weight, bias, y)
            return
        by_taps = not window.is_pointwise and window.own % DEPTH[KINDS[y.dtype.name]] == 0
        if by_taps and window.taps > 1:
            weight = _packed(work, weight, (window.features, window.own, window.taps), (0, 2, 1))
        _images(work, x, weight, y, groups=window.groups, rows=window.made, channels=window.own, offsets=window.offsets(), size=window.size,
                pixels=window.made_size, stride=window.step, upsample=1, pointwise=window.is_pointwise, bias=bias, by_taps=by_taps)
    return refused(site, "convolutions", DTYPES) or emit


def _input_gradient(work: Work, g: DeviceArray, weight: DeviceArray, window: Window, bias: DeviceArray | None, y: DeviceArray) -> None:
    """y = what x gets of g, plus a bias per channel."""
    if not _by_tiles(window, y.dtype) or window.stride[1] != window.stride[2] or not g.size:
        if bias is None:
            _direct(work, "input", window, g, weight, None, y)
            return
        made = work.empty(y.shape, y.dtype)
        _direct(work, "input", window, g, weight, None, made)
        _add_bias(work, made, bias, y)
        return
    by_taps = not window.is_pointwise and window.made % DEPTH[KINDS[y.dtype.name]] == 0
    order = (0, 2, 3, 1) if by_taps else (0, 2, 1, 3)
    turned = _packed(work, weight, (window.groups, window.made, window.own, window.taps), order)
    offsets = [(-h, -w) for h, w in window.offsets()]
    _images(work, g, turned, y, groups=window.groups, rows=window.own, channels=window.made, offsets=offsets, size=window.made_size,
            pixels=window.size, stride=(1, 1), upsample=window.stride[1], pointwise=window.is_pointwise, bias=bias, by_taps=by_taps)


def _add_bias(work: Work, x: DeviceArray, bias: DeviceArray, y: DeviceArray) -> None:
    from scriptc_runtime.cuda.movement import add

    add(work, x, bias.view(x.shape, (0, bias.strides[0]) + (0,) * (x.ndim - 2)), y)


@emits("convolution_input_gradient")
def lower_input_gradient(site: Site) -> Emit | str:
    """Products of the turned weight with windows of g, between whose places stride - 1 zeros are thought."""
    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, weight = work.contiguous(operands[0]), work.contiguous(operands[1])
        if results[0].size:
            _input_gradient(work, g, weight, Window(results[0].shape, weight.shape, g.shape, site.attributes), None, results[0])
    return refused(site, "convolutions", DTYPES) or emit


@emits("conv_transpose")
def lower_conv_transpose(site: Site) -> Emit | str:
    """The input gradient of a convolution, plus a bias."""
    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, weight, bias = operands
        if results[0].size:
            x, weight = work.contiguous(x), work.contiguous(weight)
            _input_gradient(work, x, weight, Window(results[0].shape, weight.shape, x.shape, site.attributes),
                            None if bias is None else work.contiguous(bias), results[0])
    return refused(site, "convolutions", DTYPES) or emit


@emits("convolution_weight_gradient")
def lower_weight_gradient(site: Site) -> Emit | str:
    """Products of g with windows of x, summed over the pixels of all images."""
    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, x = work.contiguous(operands[0]), work.contiguous(operands[1])
        dw = results[0]
        if not dw.size:
            return
        window = Window(x.shape, dw.shape, g.shape, site.attributes)
        if not _by_tiles(window, dw.dtype) or not g.size or not x.size or (window.groups > 1 and window.own < FEW):
            _direct(work, "weight", window, g, x, None, dw)
            return
        rows, plane, pixels, piece = window.made, window.planes, window.pixels, 16 // dw.dtype.itemsize
        depth = window.batch * pixels
        # A place of the window at a time where a tile of channels is well filled, else all elements of the window as columns.
        by_taps = window.own >= 4 * FEW or window.groups > 1
        vector = pixels % piece == 0 and g.address % 16 == 0
        a = Operand(g, Source(DENSE, True, vector, planes=True), pixels, rows * pixels, 0, window.features * pixels)
        table = _table(work.engine, tuple(window.offsets()), 0 if by_taps else window.own, plane)
        geometry = Geometry(*window.size, pixels, window.target[2], window.step, window.own, table)
        b = Operand(x, Source(IMAGE, True, taps=by_taps), plane, window.own * plane, 0, window.channels * plane)
        count = window.own * window.taps
        if by_taps:
            product(work, a, b, Result(dw, count, rows * count, 1, step=window.taps), rows, window.own, depth, outer=window.groups, inner=window.taps,
                    geometry=geometry, always_split=True)
        else:
            product(work, a, b, Result(dw, count), rows, count, depth, geometry=geometry)
    return refused(site, "convolutions", DTYPES) or emit
