"""Random streams: Philox for random ops at run time, and torch's CPU stream for construction.

Philox 4x32-10 (Salmon et al. 2011): block i of seed s is a function of (i, s) alone, so any part of the stream can be had
on its own. torch's stream is MT19937 with the conversions of ATen's CPU kernels, so that one seed gives torch's initial weights.
"""
from __future__ import annotations

import math
from typing import Self

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(seed: int, offset: int, count: int) -> np.ndarray:
    """`count` 32-bit words from block `offset` on, four to a block."""
    blocks = -(-count // 4)
    index = (np.arange(blocks, dtype=np.uint64) + np.uint64(offset % 2**64))
    c0, c1 = index & _LOW, index >> _SHIFT
    c2, c3 = np.zeros_like(c0), np.zeros_like(c0)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = ((p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW)
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1).reshape(-1)[:count].astype(np.uint32)


def blocks_for(count: int) -> int:
    """How many blocks `count` words use up."""
    return -(-count // 4)


def unit_floats(words: np.ndarray) -> np.ndarray:
    """float32 in [0, 1) from the top 24 bits."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


class TorchGenerator:
    """torch's CPU generator: the same numbers for the same seed and order of draws."""

    def __init__(self, seed: int) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Self:
        """Restart at `seed`; itself."""
        self.seed = seed
        state = np.random.MT19937()
        state._legacy_seeding(seed % 2**32)
        self._bits = np.random.Generator(state)
        self._raw = state
        self._next_normal: float | None = None
        return self

    def words(self, count: int) -> np.ndarray:
        """The next `count` 32-bit outputs."""
        return self._raw.random_raw(count).astype(np.uint32) if count else np.empty(0, np.uint32)

    def uniform(self, count: int, dtype: np.dtype) -> np.ndarray:
        """Uniform in [0, 1): 24 bits of one output for float32, 53 bits of two for float64."""
        if dtype == np.float64:
            return self.doubles(count)
        return (self.words(count) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)

    def doubles(self, count: int) -> np.ndarray:
        """float64 in [0, 1) from the low 53 bits of two outputs, the first the high word."""
        pairs = self.words(2 * count).astype(np.uint64).reshape(-1, 2)
        joined = (pairs[:, 0] << _SHIFT) | pairs[:, 1]
        return (joined & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53

    def normal(self, count: int, dtype: np.dtype) -> np.ndarray:
        """Standard normal numbers: blocks of 16 by Box-Muller, or one by one below 16 (ATen's normal_fill)."""
        if count < 16:
            return np.array([self._one_normal() for _ in range(count)], np.float64).astype(dtype)
        work = np.float64 if dtype == np.float64 else np.float32
        u = self.uniform(count, np.dtype(work))
        whole = count // 16 * 16
        out = np.empty(count, work)
        out[:whole] = _box_muller(u[:whole].reshape(-1, 16)).reshape(-1)
        if count % 16:
            # The last 16 are drawn anew, also those already filled.
            out[count - 16:] = _box_muller(self.uniform(16, np.dtype(work)).reshape(1, 16)).reshape(-1)
        return out.astype(dtype)

    def _one_normal(self) -> float:
        if self._next_normal is not None:
            value, self._next_normal = self._next_normal, None
            return value
        u1, u2 = self.doubles(2)
        radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self._next_normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    def integers(self, low: int, high: int, count: int) -> np.ndarray:
        """Integers in [low, high): output modulo the range."""
        span = high - low
        if span >= 2**32:
            pairs = self.words(2 * count).astype(np.uint64).reshape(-1, 2)
            return (((pairs[:, 0] << _SHIFT) | pairs[:, 1]) % np.uint64(span)).astype(np.int64) + low
        return (self.words(count).astype(np.int64) % span) + low

    def permutation(self, n: int) -> np.ndarray:
        """A random order of 0 .. n-1 by a forward Fisher-Yates shuffle."""
        order = list(range(n))  # swapping in a list takes a fifth of the time it takes in an array
        left = np.arange(n, 1, -1, dtype=np.uint32)
        for i, step in enumerate((self.words(len(left)) % left).tolist()):
            order[i], order[i + step] = order[i + step], order[i]
        return np.array(order, np.int64)

    def bernoulli(self, p: float, count: int) -> np.ndarray:
        """True with probability p: 53-bit uniforms below p (Tensor.bernoulli_ and dropout)."""
        return self.doubles(count) < p


def spread(numbers: np.ndarray, low: float, high: float, kind: np.dtype) -> np.ndarray:
    """Numbers in [0, 1) to [low, high), rounded once as torch's fused multiply-add does (a product of two float32 fits in float64)."""
    first, last = kind.type(low), kind.type(high)
    return np.asarray(numbers.astype(np.float64) * float(last - first) + float(first)).astype(kind)


def _box_muller(u: np.ndarray) -> np.ndarray:
    """Rows of 16 uniforms as 16 normals: radii from the first 8, angles from the last 8."""
    radius = np.sqrt(-2 * np.log1p(-u[:, :8]) if u.dtype == np.float64 else -2 * np.log(1 - u[:, :8]))
    angle = u.dtype.type(2 * math.pi) * u[:, 8:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)
