"""Threads that share calls: the bits of one thread, whoever listens, sleeps or is busy."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.dense import Dense
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.geometry import ASLEEP, RESERVED


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[team._Team]:
    """A team of its own."""
    made = team._Team()
    monkeypatch.setattr(team, "_team", made)
    yield made


class Product:
    """Two layers as commands, and what one thread makes of them."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.x, self.y, self.z = draw.standard_normal((5, 64)).astype(np.float32), np.zeros((5, 96), np.float32), np.zeros((5, 32), np.float32)
        first, second = Dense(5, 64, 96, None), Dense(5, 96, 32, None)
        packed = [d.pack(draw.standard_normal((d.columns, d.depth)).astype(np.float32), None) for d in (first, second)]
        commands = [first.product(self.x, packed[0][0], self.y, packed[0][1], first._a_rows, first._c_rows),
                    second.product(self.y, packed[1][0], self.z, packed[1][1], second._a_rows, second._c_rows)]
        self.tables = [c.table({}) for c in commands]
        self.calls = np.array([(library.place("product"), t.ctypes.data) for t in self.tables], np.int64)
        self.kept = first, second, packed, commands
        team.run(library.entry(), self.calls, 1)
        self.wanted = self.z.copy()

    def agrees(self, threads: int, work: int) -> bool:
        self.z.fill(np.nan)
        team.run(library.entry(), self.calls, threads, work)
        return np.array_equal(self.z, self.wanted)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("work", [0, team.LITTLE, team.ENOUGH])
def test_any_number_of_threads_gives_the_bits_of_one(crew: team._Team, threads: int, work: int) -> None:
    product = Product()
    assert all(product.agrees(threads, work) for _ in range(100))


def test_more_and_fewer_threads_in_turn(crew: team._Team) -> None:
    product = Product(1)
    assert all(product.agrees(threads, team.ENOUGH) for _ in range(20) for threads in (2, 5, 1, 3, 4))


def test_calls_of_several_threads_at_once(crew: team._Team) -> None:
    failures: list[int] = []

    def work(seed: int) -> None:
        product = Product(seed)
        if not all(product.agrees(3, team.ENOUGH) for _ in range(50)):
            failures.append(seed)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_helpers_fall_asleep_and_are_woken_again(crew: team._Team) -> None:
    product = Product(2)
    for _ in range(3):
        assert product.agrees(2, team.ENOUGH)
        until = time.monotonic() + 30
        while crew.posts[8] != ASLEEP and time.monotonic() < until:
            pass
        assert crew.posts[8] == ASLEEP


def test_a_helper_whose_caller_was_interrupted_goes_back_to_sleep(crew: team._Team) -> None:
    def interrupted(*words: int) -> None:
        raise KeyboardInterrupt

    product = Product(3)
    assert product.agrees(2, team.ENOUGH)
    while crew.posts[8] != ASLEEP:
        pass
    with pytest.raises(KeyboardInterrupt):
        crew.run(interrupted, product.calls.ctypes.data, 2, 2, team.ENOUGH)
    assert crew.posts[8] != RESERVED
    assert all(product.agrees(2, team.ENOUGH) for _ in range(50))


CHILD = """
import os, sys
from tests.runtime.test_team import Product
from scriptc_runtime.cpu import team
product = Product()
assert product.agrees(2, team.ENOUGH)
if sys.argv[1] == "fork":
    child = os.fork()
    assert product.agrees(2, team.ENOUGH)
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert product.agrees(2, team.ENOUGH)
"""


@pytest.mark.parametrize("way", ["exit", *(["fork"] if hasattr(os, "fork") else [])])
def test_a_process_ends_while_helpers_listen(way: str) -> None:
    assert subprocess.run([sys.executable, "-c", CHILD, way], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).returncode == 0
