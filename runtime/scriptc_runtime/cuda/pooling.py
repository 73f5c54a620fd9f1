"""Pooling over windows, a thread for each result; gradients are gathered by a thread for each input, so that no sum depends on order.

One, two and three spatial dimensions are one case: those that are missing have size 1.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc_runtime.cuda import access
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import dtype_name, emits, static_shape
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


def geometry(sizes: Sequence[int], out: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
             dilation: Sequence[int]) -> np.ndarray:
    """int64[18]: sizes, results, kernel, stride, padding, dilation of three dimensions."""
    missing = 3 - len(sizes)
    parts = [(1,) * missing + tuple(v) for v in (sizes, out, kernel, stride)] + [(0,) * missing + tuple(padding), (1,) * missing + tuple(dilation)]
    return np.array([n for part in parts for n in part], np.int64)


@functools.cache
def max_kernel(dtype: str, binned: bool) -> Any:
    """The largest element of each window (or bin) and its place in the plane; the first of equals, nan before all."""
    _, load, _ = access.elements(dtype)

    @cuda.jit
    def find_largest(x: Any, values: Any, places: Any, count: Any, q: Any, with_places: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            ow = i % q[5]
            oh = (i // q[5]) % q[4]
            od = (i // (q[5] * q[4])) % q[3]
            plane = (i // (q[5] * q[4] * q[3])) * (q[0] * q[1] * q[2])
            best = np.int64(-1)
            if binned:
                d0, h0, w0 = od * q[0] // q[3], oh * q[1] // q[4], ow * q[2] // q[5]
                deep, high = ((od + 1) * q[0] + q[3] - 1) // q[3] - d0, ((oh + 1) * q[1] + q[4] - 1) // q[4] - h0
                wide = ((ow + 1) * q[2] + q[5] - 1) // q[5] - w0
            else:
                d0, h0, w0 = od * q[9] - q[12], oh * q[10] - q[13], ow * q[11] - q[14]
                deep, high, wide = q[6], q[7], q[8]
            for a in range(deep):
                d = d0 + a * q[15]
                if d >= 0 and d < q[0]:
                    for b in range(high):
                        h = h0 + b * q[16]
                        if h >= 0 and h < q[1]:
                            for c in range(wide):
                                w = w0 + c * q[17]
                                if w >= 0 and w < q[2]:
                                    place = (d * q[1] + h) * q[2] + w
                                    if best < 0:
                                        best = place
                                    else:
                                        old = load(x[plane + best])
                                        new = load(x[plane + place])
                                        if (new > old or new != new) and old == old:
                                            best = place
            values[i] = x[plane + best]
            if with_places:
                places[i] = best
    return find_largest


@functools.cache
def max_gradient_kernel(dtype: str) -> Any:
    """Each input's share: the gradients of the windows whose largest it is."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def gather_largest(g: Any, places: Any, total: Any, count: Any, q: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            w = i % q[2]
            h = (i // q[2]) % q[1]
            d = (i // (q[2] * q[1])) % q[0]
            own = (d * q[1] + h) * q[2] + w
            plane = (i // (q[0] * q[1] * q[2])) * (q[3] * q[4] * q[5])
            value = number(0)
            for a in range(q[6]):
                td = d + q[12] - a * q[15]
                if td >= 0 and td % q[9] == 0 and td // q[9] < q[3]:
                    for b in range(q[7]):
                        th = h + q[13] - b * q[16]
                        if th >= 0 and th % q[10] == 0 and th // q[10] < q[4]:
                            for c in range(q[8]):
                                tw = w + q[14] - c * q[17]
                                if tw >= 0 and tw % q[11] == 0 and tw // q[11] < q[5]:
                                    at = plane + ((td // q[9]) * q[4] + th // q[10]) * q[5] + tw // q[11]
                                    if places[at] == own:
                                        value += number(load(g[at]))
            total[i] = store(value)
    return gather_largest


def _windows(site: Site, x: tuple[int, ...], out: tuple[int, ...]) -> np.ndarray:
    attributes = site.attributes
    spatial = len(attributes["kernel_size"])
    dilation = attributes.get("dilation", (1,) * spatial)
    return geometry(x[-spatial:], out[-spatial:], attributes["kernel_size"], attributes["stride"], attributes["padding"], dilation)


def _floating(site: Site) -> str | None:
    kind = site.operand_types[0]
    if not isinstance(kind, TensorType) or kind.dtype.name not in access.FLOATS:
        return f"no {kind}"
    return "an empty tensor" if math.prod(static_shape(kind)) == 0 else None


@emits("max_pool", "max_pool_with_indices")
def lower_max_pool(site: Site) -> Emit | str:
    """The largest of each window, with its place where that is asked for."""
    refused = _floating(site)
    if refused:
        return refused
    table = _windows(site, static_shape(site.tensor(0)), static_shape(site.result_types[0]))

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        with_places = len(results) == 2
        places = results[1] if with_places else work.empty((1,), np.int64)
        work.each(max_kernel(dtype_name(x), False), results[0].size, x, results[0], places, np.int64(results[0].size), work.constant(table),
                  np.int64(with_places))
    return emit


@emits("max_pool_gradient")
def lower_max_pool_gradient(site: Site) -> Emit | str:
    """The places anew, then every input's share."""
    refused = _floating(site)
    if refused:
        return refused
    out = static_shape(site.tensor(0))
    table = _windows(site, static_shape(site.tensor(1)), out)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, x = work.contiguous(operands[0]), work.contiguous(operands[1])
        values, places, q = work.empty(out, x.dtype), work.empty(out, np.int64), work.constant(table)
        work.each(max_kernel(dtype_name(x), False), g.size, x, values, places, np.int64(g.size), q, np.int64(1))
        work.each(max_gradient_kernel(dtype_name(x)), x.size, g, places, results[0], np.int64(x.size), q)
    return emit


@functools.cache
def mean_kernel(dtype: str) -> Any:
    """The sum of each window over its divisor: `fixed`, or the places in it, padding counted if `padded`."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def average_windows(x: Any, out: Any, count: Any, q: Any, fixed: Any, padded: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            ow = i % q[5]
            oh = (i // q[5]) % q[4]
            od = (i // (q[5] * q[4])) % q[3]
            plane = (i // (q[5] * q[4] * q[3])) * (q[0] * q[1] * q[2])
            d0 = od * q[9] - q[12]
            h0 = oh * q[10] - q[13]
            w0 = ow * q[11] - q[14]
            value = number(0)
            for d in range(max(d0, 0), min(d0 + q[6], q[0])):
                for h in range(max(h0, 0), min(h0 + q[7], q[1])):
                    for w in range(max(w0, 0), min(w0 + q[8], q[2])):
                        value += number(load(x[plane + (d * q[1] + h) * q[2] + w]))
            divisor = fixed
            if fixed == 0:
                if padded:
                    divisor = ((min(d0 + q[6], q[0] + q[12]) - d0) * (min(h0 + q[7], q[1] + q[13]) - h0) * (min(w0 + q[8], q[2] + q[14]) - w0))
                else:
                    divisor = ((min(d0 + q[6], q[0]) - max(d0, 0)) * (min(h0 + q[7], q[1]) - max(h0, 0)) * (min(w0 + q[8], q[2]) - max(w0, 0)))
            out[i] = store(number(value / number(divisor)))
    return average_windows


@functools.cache
def mean_gradient_kernel(dtype: str) -> Any:
    """Each input's share of the windows it lies in."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def spread_windows(g: Any, total: Any, count: Any, q: Any, fixed: Any, padded: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            w = i % q[2]
            h = (i // q[2]) % q[1]
            d = (i // (q[2] * q[1])) % q[0]
            plane = (i // (q[0] * q[1] * q[2])) * (q[3] * q[4] * q[5])
            value = number(0)
            for a in range(q[6]):
                td = d + q[12] - a
                if td >= 0 and td % q[9] == 0 and td // q[9] < q[3]:
                    d0 = td - q[12]
                    for b in range(q[7]):
                        th = h + q[13] - b
                        if th >= 0 and th % q[10] == 0 and th // q[10] < q[4]:
                            h0 = th - q[13]
                            for c in range(q[8]):
                                tw = w + q[14] - c
                                if tw >= 0 and tw % q[11] == 0 and tw // q[11] < q[5]:
                                    w0 = tw - q[14]
                                    divisor = fixed
                                    if fixed == 0:
                                        if padded:
                                            divisor = ((min(d0 + q[6], q[0] + q[12]) - d0) * (min(h0 + q[7], q[1] + q[13]) - h0)
                                                       * (min(w0 + q[8], q[2] + q[14]) - w0))
                                        else:
                                            divisor = ((min(d0 + q[6], q[0]) - max(d0, 0)) * (min(h0 + q[7], q[1]) - max(h0, 0))
                                                       * (min(w0 + q[8], q[2]) - max(w0, 0)))
                                    at = plane + ((td // q[9]) * q[4] + th // q[10]) * q[5] + tw // q[11]
                                    value += number(load(g[at])) / number(divisor)
            total[i] = store(value)
    return spread_windows


@emits("avg_pool", "avg_pool_gradient")
def lower_avg_pool(site: Site) -> Emit | str:
    """Means of windows, and where their gradients go."""
    refused = _floating(site)
    if refused:
        return refused
    attributes = site.attributes
    back = site.op.name == "avg_pool_gradient"
    first, second = static_shape(site.tensor(0)), static_shape(site.result_types[0])
    table = _windows(site, second if back else first, first if back else second)
    fixed, padded = np.int64(attributes["divisor_override"] or 0), np.int64(attributes["count_include_pad"])
    if attributes["divisor_override"] is not None and attributes["divisor_override"] < 1:
        return "a divisor that is not positive"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        kernel = mean_gradient_kernel if back else mean_kernel
        work.each(kernel(dtype_name(x)), results[0].size, x, results[0], np.int64(results[0].size), work.constant(table), fixed, padded)
    return emit


@functools.cache
def bins_kernel(dtype: str) -> Any:
    """The mean of each bin [floor(i n / m), ceil((i + 1) n / m)) of up to three dimensions."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def average_bins(x: Any, out: Any, count: Any, q: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            ow = i % q[5]
            oh = (i // q[5]) % q[4]
            od = (i // (q[5] * q[4])) % q[3]
            plane = (i // (q[5] * q[4] * q[3])) * (q[0] * q[1] * q[2])
            d0 = od * q[0] // q[3]
            d1 = ((od + 1) * q[0] + q[3] - 1) // q[3]
            h0 = oh * q[1] // q[4]
            h1 = ((oh + 1) * q[1] + q[4] - 1) // q[4]
            w0 = ow * q[2] // q[5]
            w1 = ((ow + 1) * q[2] + q[5] - 1) // q[5]
            value = number(0)
            for d in range(d0, d1):
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        value += number(load(x[plane + (d * q[1] + h) * q[2] + w]))
            out[i] = store(number(value / number((d1 - d0) * (h1 - h0) * (w1 - w0))))
    return average_bins


@functools.cache
def bins_gradient_kernel(dtype: str) -> Any:
    """Each input's share of the bins it lies in."""
    number, load, store = access.elements(dtype)

    @cuda.jit
    def spread_bins(g: Any, total: Any, count: Any, q: Any) -> None:
        for i in range(cuda.grid(1), count, cuda.gridsize(1)):
            w = i % q[2]
            h = (i // q[2]) % q[1]
            d = (i // (q[2] * q[1])) % q[0]
            plane = (i // (q[0] * q[1] * q[2])) * (q[3] * q[4] * q[5])
            value = number(0)
            for od in range(d * q[3] // q[0], ((d + 1) * q[3] + q[0] - 1) // q[0]):
                deep = ((od + 1) * q[0] + q[3] - 1) // q[3] - od * q[0] // q[3]
                for oh in range(h * q[4] // q[1], ((h + 1) * q[4] + q[1] - 1) // q[1]):
                    high = ((oh + 1) * q[1] + q[4] - 1) // q[4] - oh * q[1] // q[4]
                    for ow in range(w * q[5] // q[2], ((w + 1) * q[5] + q[2] - 1) // q[2]):
                        wide = ((ow + 1) * q[2] + q[5] - 1) // q[5] - ow * q[2] // q[5]
                        value += number(load(g[plane + (od * q[4] + oh) * q[5] + ow])) / number(deep * high * wide)
            total[i] = store(value)
    return spread_bins


@emits("adaptive_max_pool")
def lower_adaptive_max(site: Site) -> Emit | str:
    """The largest of as many bins as are asked for, and their places."""
    refused = _floating(site)
    if refused:
        return refused
    spatial = sum(not isinstance(k, TensorType) for k in site.operand_types)
    ones = (1,) * spatial
    table = geometry(static_shape(site.tensor(0))[-spatial:], static_shape(site.result_types[0])[-spatial:], ones, ones, (0,) * spatial, ones)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        work.each(max_kernel(dtype_name(x), True), results[0].size, x, *results, np.int64(results[0].size), work.constant(table), np.int64(1))
    return emit


@emits("adaptive_avg_pool", "adaptive_avg_pool_gradient")
def lower_adaptive(site: Site) -> Emit | str:
    """Means of as many bins as are asked for, and where their gradients go."""
    refused = _floating(site)
    if refused:
        return refused
    back = site.op.name == "adaptive_avg_pool_gradient"
    spatial = sum(not isinstance(k, TensorType) for k in site.operand_types)
    first, second = static_shape(site.tensor(0)), static_shape(site.result_types[0])
    sizes, out = (second, first) if back else (first, second)
    ones = (1,) * spatial
    table = geometry(sizes[-spatial:], out[-spatial:], ones, ones, (0,) * spatial, ones)
    if math.prod(second) == 0:
        return "an empty result"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x = work.contiguous(operands[0])
        kernel = bins_gradient_kernel if back else bins_kernel
        work.each(kernel(dtype_name(x)), results[0].size, x, results[0], np.int64(results[0].size), work.constant(table))
    return emit
