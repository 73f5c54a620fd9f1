"""Pooling of what no blocked kernel holds: a loop over each row's window elements, and numpy's passes over shifted planes while it is cold."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from scriptc.ir.types import float32
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.printed import Printed, shares
from scriptc_runtime.cpu.reductions import NativeReduction
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

# Index of the last dimensions, behind an ellipsis.
Window: TypeAlias = Any


class _Windows:
    """The window elements of one pooling as slices of the padded input."""

    def __init__(self, site: Site, operand: int, places: tuple[int, ...]) -> None:
        attributes = site.attributes
        self.kernel: tuple[int, ...] = attributes["kernel_size"]
        self.padding: tuple[int, ...] = attributes["padding"]
        spatial = len(self.kernel)
        stride = attributes["stride"]
        dilation = attributes.get("dilation", (1,) * spatial)
        self.shape: tuple[int, ...] = site.tensor(operand).shape  # type: ignore[assignment]
        self.lead = self.shape[:-spatial]
        self.places = places
        sizes = self.shape[-spatial:]
        # With ceil_mode the last window may reach beyond the padding.
        self.padded = tuple(max(p + size + p, (c - 1) * s + d * (k - 1) + 1) for size, p, c, s, d, k in
                            zip(sizes, self.padding, places, stride, dilation, self.kernel, strict=True))
        self.slices: list[Window] = [(..., *(slice(o * d, o * d + s * (c - 1) + 1, s) for o, d, s, c in
                                             zip(offset, dilation, stride, places, strict=True)))
                                     for offset in np.ndindex(*self.kernel)]
        self.inside: Window = (..., *(slice(p, p + s) for p, s in zip(self.padding, sizes, strict=True)))
        self.is_padded = self.padded != sizes

    def pad(self, x: np.ndarray, value: float) -> np.ndarray:
        """x with `value` around it."""
        if not self.is_padded:
            return x
        whole = np.full((*self.lead, *self.padded), value, x.dtype)
        whole[self.inside] = x
        return whole


# Planes z4 to z5 of z0 x z1 to z2 x z3: for each row the lines of the window that are in the image (v1), and for each of its columns the places
# at which it is (also v1, from k0 on). c: the factor of a sum.
_LOOP = """def kernel(v0, v1, o0, n, c):
    z0 = n[0]
    z1 = n[1]
    z2 = n[2]
    z3 = n[3]
    z4 = n[4]
    z5 = n[5]
    s0 = n[6]
    s1 = n[7]
    s2 = n[8]
    s3 = n[9]
    k1 = n[10]
    k2 = n[11]
    k3 = n[12]
    k0 = n[13]
    k4 = f4(c[0])
    for d0 in range(z4, z5):
        for d1 in range(z2):
            p1 = (d0 * z2 + d1) * z3
            for d2 in range(z3):
                o0[p1 + d2] = {first}
            for d3 in range(v1[2 * d1], v1[2 * d1 + 1]):
                p2 = (d0 * z0 + d1 * s0 - k1 + d3 * s2) * z1
                for d4 in range(k3):
                    p3 = p2 + d4 * s3 - k2
                    for d2 in range(v1[k0 + 2 * d4], v1[k0 + 2 * d4 + 1]):
                        x0 = v0[p3 + d2 * s1]
                        x1 = o0[p1 + d2]
                        o0[p1 + d2] = {step}
{end}"""
_MAXIMUM = _LOOP.format(first="-f4(inf)", step="x0 if (x0 > x1) | (x0 != x0) else x1", end="")
_MEAN = _LOOP.format(first="f4(0)", step="x1 + x0", end="""            for d2 in range(z3):
                o0[p1 + d2] = o0[p1 + d2] * k4
""")
ENOUGH = 16384      # element operations that a thread must get for sharing to pay


def _native(site: Site, windows: _Windows, factor: float | None) -> NativePool | None:
    """The loop of a maximum, or of a sum with a factor; None for volumes and other types."""
    if site.tensor(0).dtype is not float32 or len(windows.kernel) > 2 or 0 in (*windows.shape, *windows.places):
        return None
    code = code_for(_MAXIMUM if factor is None else _MEAN, ("float32", "int64", "float32"))
    return None if code is None else NativePool(code, site, windows, 1.0 if factor is None else factor)


class NativePool(Printed):
    """Windows over planes; one dimension is a plane of one line."""

    def __init__(self, code: Code, site: Site, windows: _Windows, factor: float) -> None:
        self._code, self._factor = code, np.array([factor])
        spatial = len(windows.kernel)

        def both(numbers: Sequence[int], line: int) -> tuple[int, int]:
            return (line, numbers[0]) if spatial == 1 else (numbers[0], numbers[1])

        self._planes = math.prod(windows.lead)
        self._size, self._made = both(windows.shape[-spatial:], 1), both(windows.places, 1)
        self._kernel, self._padding = both(windows.kernel, 1), both(windows.padding, 0)
        self._stride = both(site.attributes["stride"], 1)
        self._dilation = both(site.attributes.get("dilation", (1,) * spatial), 1)
        super().__init__(code, self._planes * math.prod(self._made) * math.prod(self._kernel))

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        (height, width), (down, across), (high, wide) = self._size, self._made, self._kernel
        lines = [self._inside(self._padding[0] - row * self._stride[0], self._dilation[0], height, high) for row in range(down)]
        places = [self._inside(self._padding[1] - column * self._dilation[1], self._stride[1], width, across) for column in range(wide)]
        ranges = np.array([*lines, *places], np.int64)
        parts: list[list[Word]] = [[At(In(0)), ranges, At(Out(0)),
                  np.array([height, width, down, across, first, last, *self._stride, *self._dilation, *self._padding, wide, 2 * down], np.int64),
                  self._factor] for first, last in shares(self._planes, threads, self.work, ENOUGH)]
        command = self.calls(parts)
        return None if command is None else [command]

    @staticmethod
    def _inside(before: int, step: int, size: int, count: int) -> tuple[int, int]:
        """The numbers i below `count` with 0 <= i * step - before < size: from, and up to."""
        first, last = max(0, -(-before // step)), min(count, -(-(size + before) // step))
        return first, max(first, last)


@lowers("max_pool", target="cpu")
def lower_max_pool(site: Site) -> Kernel | None:
    """The running maximum; nan wins, padding never does."""
    if not is_native(site):
        return None
    windows = _Windows(site, 0, _places(site, site.result_types[0]))

    def run(x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        whole = windows.pad(x, -np.inf)
        np.copyto(out[0], whole[windows.slices[0]])
        for window in windows.slices[1:]:
            np.maximum(out[0], whole[window], out=out[0])

    return Kernel("max_pool", run, writes_out=True, fresh=True, native=_native(site, windows, None))


@lowers("max_pool_gradient", target="cpu")
def lower_max_pool_gradient(site: Site) -> Kernel | None:
    """Each gradient goes to the first element of its window that is the maximum."""
    if not is_native(site):
        return None
    windows = _Windows(site, 1, _places(site, site.operand_types[0]))

    def run(g: np.ndarray, x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        whole = windows.pad(x, -np.inf)
        best = whole[windows.slices[0]].copy()
        for window in windows.slices[1:]:
            np.maximum(best, whole[window], out=best)
        is_nan = best != best
        total = np.zeros(whole.shape, g.dtype)
        open_ = np.ones(best.shape, bool)
        for window in windows.slices:
            seen = whole[window]
            hit = ((seen == best) | (is_nan & (seen != seen))) & open_
            total[window] += np.where(hit, g, g.dtype.type(0))
            open_ &= ~hit
        np.copyto(out[0], total[windows.inside] if windows.is_padded else total)

    return Kernel("max_pool.gradient", run, writes_out=True, fresh=True)


def _even(site: Site) -> bool:
    """True where every window has the same divisor, prod(kernel) or the override."""
    attributes = site.attributes
    return not attributes["ceil_mode"] and (
        not any(attributes["padding"]) or attributes["count_include_pad"] or attributes["divisor_override"] is not None)


def _divisor(site: Site) -> int:
    override = site.attributes["divisor_override"]
    return int(np.prod(site.attributes["kernel_size"])) if override is None else override


@lowers("avg_pool", target="cpu")
def lower_avg_pool(site: Site) -> Kernel | None:
    """The sum over shifted planes by one divisor; windows with divisors of their own are the reference's."""
    if not is_native(site) or not _even(site):
        return None
    windows = _Windows(site, 0, _places(site, site.result_types[0]))
    divisor = _divisor(site)

    def run(x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        whole = windows.pad(x, 0.0)
        np.copyto(out[0], whole[windows.slices[0]])
        for window in windows.slices[1:]:
            np.add(out[0], whole[window], out=out[0])
        np.divide(out[0], out[0].dtype.type(divisor), out=out[0])

    return Kernel("avg_pool", run, writes_out=True, fresh=True, native=_native(site, windows, 1.0 / divisor))


@lowers("avg_pool_gradient", target="cpu")
def lower_avg_pool_gradient(site: Site) -> Kernel | None:
    """Each gradient in equal shares to its window."""
    if not is_native(site) or not _even(site):
        return None
    windows = _Windows(site, 1, _places(site, site.operand_types[0]))
    divisor = _divisor(site)

    def run(g: np.ndarray, x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        share = g / g.dtype.type(divisor)
        total = np.zeros((*windows.lead, *windows.padded), g.dtype)
        for window in windows.slices:
            total[window] += share
        np.copyto(out[0], total[windows.inside])

    return Kernel("avg_pool.gradient", run, writes_out=True, fresh=True)


@lowers("adaptive_avg_pool", target="cpu")
def lower_adaptive_avg_pool(site: Site) -> Kernel | None:
    """Sizes that divide the input's: a mean over blocks."""
    if not is_native(site):
        return None
    shape: tuple[int, ...] = site.tensor(0).shape  # type: ignore[assignment]
    spatial = len(site.operand_types) - 1
    places = _places(site, site.result_types[0], spatial)
    sizes = shape[-spatial:]
    if any(not p or s % p for s, p in zip(sizes, places, strict=True)):
        return None
    blocks = tuple(n for s, p in zip(sizes, places, strict=True) for n in (p, s // p))
    lead = len(shape) - spatial
    axes = tuple(range(lead + 1, lead + 2 * spatial, 2))

    def run(x: np.ndarray, *_: Any, out: tuple[np.ndarray, ...]) -> None:
        np.mean(x.reshape(*x.shape[:lead], *blocks), axis=axes, out=out[0])

    native = None
    if site.tensor(0).dtype is float32 and 0 not in shape:
        native = NativeBlockMean((*shape[:lead], *blocks), frozenset(axes))
    return Kernel("adaptive_avg_pool", run, writes_out=True, fresh=True, native=native)


class NativeBlockMean(NativeReduction):
    """A mean over blocks of the last dimensions."""

    strided = False

    def __init__(self, shape: tuple[int, ...], axes: frozenset[int]) -> None:
        super().__init__("sum", axes, 1 / math.prod(shape[axis] for axis in axes), math.prod(shape))
        self._blocks = shape

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Those of the reduction of the blocks."""
        return super().commands([operands[0].reshape(self._blocks)], results, threads)


def _places(site: Site, kind: Any, spatial: int | None = None) -> tuple[int, ...]:
    """The spatial sizes of a pooled tensor."""
    count = len(site.attributes["kernel_size"]) if spatial is None else spatial
    return tuple(kind.shape[-count:])
