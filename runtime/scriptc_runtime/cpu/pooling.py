"""Pooling as running maxima and sums over shifted planes, one numpy pass per window element."""
from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from scriptc_runtime.cpu.linalg import is_native
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

    return Kernel("max_pool", run, writes_out=True, fresh=True)


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

    return Kernel("avg_pool", run, writes_out=True, fresh=True)


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

    return Kernel("adaptive_avg_pool", run, writes_out=True, fresh=True)


def _places(site: Site, kind: Any, spatial: int | None = None) -> tuple[int, ...]:
    """The spatial sizes of a pooled tensor."""
    count = len(site.attributes["kernel_size"]) if spatial is None else spatial
    return tuple(kind.shape[-count:])
