"""Convolutions as matrix products over gathered windows (im2col), their gradients and transposes alike.

A 1x1 convolution with stride 1 needs no gathering; a depthwise one needs no product and is a sum of shifted planes.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.blas import alone
from scriptc.records import Record
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.scratch import Scratch
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

Sizes = tuple[int, ...]


class Geometry(Record):
    """One convolution in numbers: x [n, groups * per_group, *size], weight [out, per_group, *kernel], result [n, out, *places]."""

    n: int
    groups: int
    per_group: int
    out: int
    size: Sizes
    kernel: Sizes
    places: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes

    @property
    def channels(self) -> int:
        return self.groups * self.per_group

    @property
    def padded(self) -> Sizes:
        return tuple(s + 2 * p for s, p in zip(self.size, self.padding, strict=True))

    @property
    def points(self) -> int:
        return int(np.prod(self.places))

    @property
    def is_pointwise(self) -> bool:
        """True for 1x1, stride 1, no padding: the input is its own column matrix."""
        ones = (1,) * len(self.kernel)
        return self.kernel == ones and self.stride == ones and not any(self.padding)

    @property
    def is_depthwise(self) -> bool:
        return self.per_group == 1 and self.groups == self.out

    def windows(self) -> list[tuple[Any, tuple[slice, ...]]]:
        """Per kernel element its index and the strided slices of the padded input that it meets."""
        return [(offset, tuple(slice(o * d, o * d + s * (p - 1) + 1, s) for o, d, s, p in
                               zip(offset, self.dilation, self.stride, self.places, strict=True)))
                for offset in np.ndindex(*self.kernel)]

    def inside(self) -> tuple[slice, ...]:
        """Where the input lies in its padded form."""
        return tuple(slice(p, p + s) for p, s in zip(self.padding, self.size, strict=True))


def geometry(x: Sequence[Any], weight: Sequence[Any], places: Sequence[Any], attributes: Any) -> Geometry:
    """The numbers of one convolution from shapes and attributes."""
    return Geometry(int(x[0]), attributes["groups"], int(weight[1]), int(weight[0]), tuple(x[2:]), tuple(weight[2:]),
                    tuple(places), attributes["stride"], attributes["padding"], attributes["dilation"])


class Columns:
    """The column matrices of one input: [groups, per_group * prod(kernel), points] per image."""

    def __init__(self, g: Geometry, dtype: np.dtype) -> None:
        self.g = g
        self._windows = g.windows()
        self._padded = Scratch((g.channels, *g.padded), dtype, fill=0.0) if any(g.padding) else None
        self._columns = Scratch((g.channels, *g.kernel, *g.places), dtype)

    def lend(self) -> Any:
        """Working memory for `gather`."""
        return self._columns.lend()

    def gather(self, image: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Copy the windows of one image [C, *size] into `columns`; the matrices [groups, K, points]."""
        g = self.g
        if g.is_pointwise:
            return image.reshape(g.groups, g.per_group, g.points)
        if self._padded is None:
            self._copy(image, columns)
        else:
            with self._padded.lend() as padded:
                padded[(slice(None), *g.inside())] = image  # its border stays zero from call to call
                self._copy(padded, columns)
        return columns.reshape(g.groups, -1, g.points)

    def _copy(self, image: np.ndarray, columns: np.ndarray) -> None:
        for offset, window in self._windows:
            columns[(slice(None), *offset)] = image[(slice(None), *window)]

    def scatter(self, columns: np.ndarray, image: np.ndarray) -> None:
        """The transpose of `gather`: add column matrices up into one image."""
        g = self.g
        if g.is_pointwise:
            image[...] = columns.reshape(image.shape)
            return
        split = columns.reshape(g.channels, *g.kernel, *g.places)
        whole = np.zeros((g.channels, *g.padded), image.dtype) if any(g.padding) else image
        if whole is image:
            image[...] = 0
        for offset, window in self._windows:
            whole[(slice(None), *window)] += split[(slice(None), *offset)]
        if whole is not image:
            image[...] = whole[(slice(None), *g.inside())]


def add_bias(result: np.ndarray, bias: np.ndarray | None) -> None:
    if bias is not None:
        np.add(result, bias.reshape(-1, *(1,) * (result.ndim - 2)), out=result)


@lowers("convolution", target="cpu")
def lower_convolution(site: Site) -> Kernel | None:
    """The kernel for one geometry: depthwise, or gathered windows times the weight matrix."""
    if not is_native(site):
        return None
    result = site.result_types[0]
    g = geometry(site.tensor(0).shape, site.tensor(1).shape, result.shape[2:], site.attributes)  # type: ignore[arg-type, union-attr, index]
    dtype = site.tensor(0).dtype.numpy
    if g.is_depthwise:
        return Kernel("convolution.depthwise", _depthwise(g, dtype), writes_out=True, fresh=True)
    columns = Columns(g, dtype)

    @alone
    def run(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        matrices = weight.reshape(g.groups, g.out // g.groups, -1)
        products = out[0].reshape(g.n, g.groups, g.out // g.groups, g.points)
        if g.is_pointwise:
            np.matmul(matrices, x.reshape(g.n, g.groups, g.per_group, g.points), out=products)
        else:
            with columns.lend() as memory:
                for index in range(g.n):
                    np.matmul(matrices, columns.gather(x[index], memory), out=products[index])
        add_bias(out[0], bias)

    return Kernel("convolution.pointwise" if g.is_pointwise else "convolution.im2col", run, writes_out=True, fresh=True)


def _depthwise(g: Geometry, dtype: np.dtype) -> Any:
    """One kernel per channel: shifted planes, scaled and added."""
    padded = Scratch((g.channels, *g.padded), dtype, fill=0.0)
    product = Scratch((g.channels, *g.places), dtype)
    windows = g.windows()

    def run(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        scales = weight.reshape(g.out, *g.kernel)
        with padded.lend() as whole, product.lend() as term:
            for index in range(g.n):
                whole[(slice(None), *g.inside())] = x[index]
                total = out[0][index]
                for number, (offset, window) in enumerate(windows):
                    scale = scales[(slice(None), *offset)].reshape(-1, *(1,) * len(g.kernel))
                    np.multiply(whole[(slice(None), *window)], scale, out=term if number else total)
                    if number:
                        np.add(total, term, out=total)
        add_bias(out[0], bias)

    return run


def _input_gradient(g: Geometry, dtype: np.dtype) -> Any:
    columns = Columns(g, dtype)

    @alone
    def run(gradient: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
        matrices = weight.reshape(g.groups, g.out // g.groups, -1).transpose(0, 2, 1)
        rows = gradient.reshape(g.n, g.groups, g.out // g.groups, g.points)
        with columns.lend() as memory:
            products = memory.reshape(g.groups, -1, g.points)
            for index in range(g.n):
                np.matmul(matrices, rows[index], out=products)
                columns.scatter(products, out[index])

    return run


@lowers("convolution_input_gradient", target="cpu")
def lower_input_gradient(site: Site) -> Kernel | None:
    """weight^T times the gradient, scattered back over the windows."""
    if not is_native(site):
        return None
    g = geometry(site.tensor(2).shape, site.tensor(1).shape, site.tensor(0).shape[2:], site.attributes)  # type: ignore[arg-type, index]
    pull = _input_gradient(g, site.tensor(0).dtype.numpy)

    def run(gradient: np.ndarray, weight: np.ndarray, x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        pull(gradient, weight, out[0])

    return Kernel("convolution.input_gradient", run, writes_out=True, fresh=True)


@lowers("conv_transpose", target="cpu")
def lower_conv_transpose(site: Site) -> Kernel | None:
    """The input gradient of the convolution whose result has x's shape."""
    if not is_native(site):
        return None
    result = site.result_types[0]
    g = geometry(result.shape, site.tensor(1).shape, site.tensor(0).shape[2:], site.attributes)  # type: ignore[arg-type, union-attr, index]
    pull = _input_gradient(g, site.tensor(0).dtype.numpy)

    def run(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        pull(x, weight, out[0])
        add_bias(out[0], bias)

    return Kernel("conv_transpose", run, writes_out=True, fresh=True)


@lowers("convolution_weight_gradient", target="cpu")
def lower_weight_gradient(site: Site) -> Kernel | None:
    """The gradient times the transposed columns, summed over the batch."""
    if not is_native(site):
        return None
    g = geometry(site.tensor(1).shape, site.tensor(2).shape, site.tensor(0).shape[2:], site.attributes)  # type: ignore[arg-type, index]
    dtype = site.tensor(0).dtype.numpy
    columns = Columns(g, dtype)

    @alone
    def run(gradient: np.ndarray, x: np.ndarray, weight: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        total = out[0].reshape(g.groups, g.out // g.groups, -1)
        total[...] = 0
        rows = gradient.reshape(g.n, g.groups, g.out // g.groups, g.points)
        with columns.lend() as memory:
            for index in range(g.n):
                total += np.matmul(rows[index], columns.gather(x[index], memory).transpose(0, 2, 1))

    return Kernel("convolution.weight_gradient", run, writes_out=True, fresh=True)
