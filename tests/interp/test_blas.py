"""numpy's BLAS has one thread while an op's reference runs, and as many as before afterwards."""
from __future__ import annotations

import threading

import numpy as np
import pytest

from scriptc.interp import blas
from scriptc.interp.registry import REFERENCES

KNOWN = blas._threads()
pytestmark = pytest.mark.skipif(KNOWN is None, reason="numpy has another BLAS here")


@pytest.fixture
def threads() -> blas._Threads:
    assert KNOWN is not None
    return KNOWN


def test_calls_run_alone_and_leave_no_trace(threads: blas._Threads) -> None:
    before = threads.get()
    threads.set(2)
    try:
        assert blas.alone(threads.get)() == 1
        assert blas.alone(blas.alone(threads.get))() == 1
        assert threads.get() == 2
        with pytest.raises(RuntimeError):
            REFERENCES["matmul"](np.ones((2, 3)), np.ones((2, 3)))
        assert threads.get() == 2
    finally:
        threads.set(before)


def test_the_last_of_several_calls_puts_it_back(threads: blas._Threads) -> None:
    before = threads.get()
    threads.set(2)
    try:
        inside, leave, seen = threading.Event(), threading.Event(), []

        @blas.alone
        def long() -> None:
            inside.set()
            leave.wait()
            seen.append(threads.get())

        other = threading.Thread(target=long)
        other.start()
        inside.wait()
        blas.alone(lambda: None)()
        leave.set()
        other.join()
        assert seen == [1]
        assert threads.get() == 2
    finally:
        threads.set(before)
