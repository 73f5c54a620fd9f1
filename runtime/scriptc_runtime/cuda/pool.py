"""A caching pool of device memory: blocks that are free again are kept for the next array of about their size.

All work runs on one stream, so a block may be handed on as soon as the host has no use for it: what reads it was launched before what writes it.
"""
from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

SMALLEST = 512                   # bytes, and the alignment of every block
COARSE = 1 << 20                 # from here on sizes are rounded to an eighth of their power of two


@dataclass(slots=True)
class Statistics:
    """In bytes and blocks: `held` is what the driver gave, `used` what arrays lie in."""

    held: int = 0
    used: int = 0
    peak: int = 0
    allocations: int = 0      # of the driver
    reuses: int = 0


class Block:
    """Bytes of the pool; they go back when the block is collected."""

    __slots__ = ("_pool", "address", "nbytes")

    def __init__(self, pool: Pool, address: int, nbytes: int) -> None:
        self._pool = pool
        self.address = address
        self.nbytes = nbytes

    def __del__(self) -> None:
        self._pool.give(self.address, self.nbytes)


def size_class(size: int) -> int:
    """How large a block is made for `size` bytes: at most an eighth is lost."""
    size = max(size, 1)
    step = SMALLEST if size < COARSE else 1 << (size.bit_length() - 4)
    return -(-size // step) * step


class Pool:
    """Blocks of one device, given and taken from any thread."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._free: dict[int, list[int]] = {}
        self._lock = threading.RLock()      # a collection may give a block back while one is being taken
        self.statistics = Statistics()

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes. MemoryError if the device has no more."""
        rounded = size_class(size)
        with self._lock:
            found = self._free.get(rounded)
            if found:
                address = found.pop()
                self.statistics.reuses += 1
            else:
                address = self._allocate(rounded)
            self.statistics.used += rounded
            self.statistics.peak = max(self.statistics.peak, self.statistics.used)
        return Block(self, address, rounded)

    def _allocate(self, size: int) -> int:
        try:
            address = self._driver.allocate(size)
        except MemoryError:
            self.release()
            address = self._driver.allocate(size)
        self.statistics.held += size
        self.statistics.allocations += 1
        return int(address)

    def give(self, address: int, size: int) -> None:
        """Take a block back."""
        with self._lock:
            self._free.setdefault(size, []).append(address)
            self.statistics.used -= size

    def release(self) -> None:
        """Give what is free back to the driver."""
        with self._lock:
            self._driver.synchronize()
            for size, addresses in self._free.items():
                for address in addresses:
                    self._driver.free(address)
                    self.statistics.held -= size
            self._free.clear()

    def free_blocks(self) -> Counter[int]:
        """How many blocks of each size wait."""
        with self._lock:
            return Counter({size: len(addresses) for size, addresses in self._free.items() if addresses})
