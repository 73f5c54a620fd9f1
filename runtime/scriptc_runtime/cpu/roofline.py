"""What this machine can do at most, measured: products in cache, and copies that no cache holds."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from scriptc.records import Record
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.dense import Dense
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.versions import frozen

SIDE = 512                  # of the matrices that are multiplied: three of them fit the cache of one core
COPIED = 64 << 20           # bytes, more than caches hold
TRIES = 7


class Peaks(Record):
    """Floating point operations and bytes of memory in a second, on so many threads."""

    flops: float
    bandwidth: float
    threads: int

    def least_seconds(self, flops: int, traffic: int) -> float:
        """How long work must take at least: the slower of arithmetic and memory (Williams, Waterman and Patterson 2009)."""
        return max(flops / self.flops, traffic / self.bandwidth)


def peaks() -> Peaks:
    """The peaks on the threads that calls use now; takes about a quarter of a second."""
    threads = team.get_num_threads()
    return Peaks(2 * SIDE**3 / _fastest(_product()), 2 * COPIED / _fastest(lambda: _copies(threads)), threads)


def _fastest(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(TRIES):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _product() -> Callable[[], None]:
    draw = np.random.default_rng(0)
    x, made = draw.standard_normal((SIDE, SIDE)).astype(np.float32), np.empty((SIDE, SIDE), np.float32)
    weight = frozen(draw.standard_normal((SIDE, SIDE)).astype(np.float32))
    dense = Dense(SIDE, SIDE, SIDE, lambda x, weight, bias, *, out: np.matmul(x, weight.T, out=out[0]))

    def run() -> None:
        with waiting():
            dense(x, weight, None, out=(made,))
    run()
    return run


_memory: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}


def _copies(threads: int) -> None:
    """Each thread copies its part; numpy lets go of the interpreter's lock."""
    if threads not in _memory:
        count = COPIED // 4 // threads
        _memory[threads] = [(np.ones(count, np.float32), np.zeros(count, np.float32)) for _ in range(threads)]
    first, *others = _memory[threads]
    helpers = [threading.Thread(target=np.copyto, args=(target, source)) for source, target in others]
    for helper in helpers:
        helper.start()
    np.copyto(first[1], first[0])
    for helper in helpers:
        helper.join()
