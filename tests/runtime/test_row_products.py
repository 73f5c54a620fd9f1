"""Reductions and products of matrices as native commands, against the numpy references, wherever the operands lie."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.runtime.native_ops import assert_agrees, native, randoms

REDUCTIONS = ("sum", "mean", "amax", "amin")


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_over_any_dimensions(name: str) -> None:
    x = randoms(3, 4, 1, 37)
    for count in range(1, 5):
        for dims in itertools.combinations(range(4), count):
            assert_agrees(name, [x], dims=dims, keepdim=False)
    assert_agrees(name, [x], dims=None, keepdim=True)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_every_width(name: str) -> None:
    for width in (*range(1, 71), 255, 1000):
        for x in (randoms(5, width), randoms(2, 5, width)):
            assert_agrees(name, [x], dims=(-1,), keepdim=False)
            assert_agrees(name, [x], dims=(-2,), keepdim=False)


LAYOUTS = {
    "columns of a wider one": lambda: randoms(3, 4, 5, 40)[..., 7:31],
    "turned around": lambda: randoms(3, 4, 5, 24)[::-1, ::-1, ::2],
    "permuted": lambda: randoms(4, 5, 3, 24).transpose(2, 0, 1, 3),
    "repeated": lambda: np.broadcast_to(randoms(4, 1, 24), (3, 4, 5, 24)),
    "elements apart": lambda: randoms(3, 4, 5, 48)[..., ::2],
    "all transposed": lambda: randoms(24, 5, 4, 3).transpose(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reductions_of_what_lies_anywhere(layout: str) -> None:
    x = LAYOUTS[layout]()
    for dims in ((0,), (1,), (2,), (3,), (0, 2), (1, 3), (0, 1), (2, 3), (0, 1, 2)):
        assert_agrees("sum", [x], dims=dims, keepdim=False)


@pytest.mark.parametrize("shape", [(4, 1), (1,), (3, 1, 7), (7,), (1, 4, 7), (), (5, 1, 1, 1)])
def test_sums_to_a_shape(shape: tuple[int, ...]) -> None:
    assert_agrees("sum_to", [randoms(5, 3, 4, 7), np.zeros(shape, np.float32)])


def test_sums_do_not_lose_what_is_small() -> None:
    x = np.full((2, 300_000), 0.1, np.float32)
    assert native("sum", [x], {"dims": (1,), "keepdim": False})[0] == np.float32(x[0].astype(np.float64).sum())
    assert native("sum", [x.T.copy()], {"dims": (0,), "keepdim": False})[1] == np.float32(x[0].astype(np.float64).sum())


@pytest.mark.parametrize("name", REDUCTIONS)
def test_nan_and_infinities(name: str) -> None:
    x = randoms(40, 20)
    x[3, 5], x[7, 2], x[8, 2], x[9, 19], x[11] = np.nan, np.inf, -np.inf, -np.inf, np.inf
    for dims in ((0,), (1,), (0, 1)):
        assert_agrees(name, [x], dims=dims, keepdim=False)


# M, K, N
SIZES = [(1, 1, 1), (1, 40, 17), (5, 16, 33), (14, 32, 64), (29, 31, 30), (128, 50, 16), (3, 7, 100), (200, 300, 5),
         (1, 300, 257), (1, 7, 9), (1, 1, 40), (1, 64, 1), (70, 129, 1), (9, 1, 1), (33, 8, 1),
         (20, 1601, 40), (5, 2304, 33), (260, 900, 20)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products_of_matrices_that_lie_either_way(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    for a in (randoms(m, k), randoms(k, m).T, randoms(2 * m, 2 * k)[::2, k:], randoms(k, 3 * m)[:, m:2 * m].T):
        for b in (randoms(k, n), randoms(n, k).T, randoms(k, 2 * n)[::-1, n:], randoms(2 * n, k)[::2].T):
            assert_agrees("matmul", [a, b])


@pytest.mark.parametrize(("left", "right"), [
    ((3, 5, 20), (20, 9)), ((2, 3, 5, 20), (2, 3, 20, 9)), ((2, 1, 5, 20), (3, 20, 9)), ((5, 20), (4, 20, 9)), ((1, 5, 20), (4, 20, 9)),
    ((20,), (20, 9)), ((5, 20), (20,)), ((20,), (20,)), ((4, 5, 20), (20,)), ((20,), (4, 20, 9)), ((6, 200, 40), (6, 40, 200))], ids=str)
def test_products_of_every_rank(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert_agrees("matmul", [randoms(*left), randoms(*right)])


def test_products_of_batches_that_lie_anywhere() -> None:
    heads = randoms(2, 20, 3, 4, 24).transpose(2, 0, 3, 1, 4)
    assert_agrees("matmul", [heads[0], heads[1].swapaxes(-1, -2)])
    assert_agrees("matmul", [heads[0].swapaxes(-1, -2), heads[1]])
    assert_agrees("matmul", [heads[0][:, ::-1], np.broadcast_to(heads[1][:, :1], heads[1].shape).swapaxes(-1, -2)])
    assert_agrees("matmul", [randoms(3, 4, 20).transpose(1, 0, 2), randoms(20, 9)])


def test_products_of_what_is_not_finite() -> None:
    a, b = randoms(20, 30), randoms(30, 40)
    a[3, 4], b[7, 8], a[5, 6] = np.nan, np.inf, -np.inf
    assert_agrees("matmul", [a, b])
    for row in (3, 5, 6):
        assert_agrees("matmul", [a[row:row + 1], b])
        assert_agrees("matmul", [a, b[:, row + 2:row + 3]])
