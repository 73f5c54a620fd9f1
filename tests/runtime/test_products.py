"""Matrix products by tiles: every size of tile, against float64, with one thread and with two."""
from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import versions
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.dense import Dense, Epilogue, NativeDense
from scriptc_runtime.cpu.driver.native import In, Native, Out, Packed
from scriptc_runtime.cpu.tiles import layouts, library


def randoms(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


def run(native: Native, operands: Sequence[Any], shape: tuple[int, ...], threads: int = 1) -> np.ndarray:
    """The result of a kernel's commands; memory starts as nan, so that nothing is read unwritten."""
    result = np.full(shape, np.nan, np.float32)
    commands = native.commands(operands, [result], threads)
    assert commands is not None
    places: dict[object, int] = {In(i): a.ctypes.data for i, a in enumerate(operands) if a is not None}
    places[Out(0)] = result.ctypes.data
    packed = native.pack([operands[i] for i in native.packs])
    places.update((Packed(i), a.ctypes.data) for i, a in enumerate(packed))
    tables = [command.table(places) for command in commands]
    calls = np.array([(library.place(c.kernel), t.ctypes.data) for c, t in zip(commands, tables, strict=True)], np.int64)
    team.run(library.entry(), calls, threads)
    return result


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    exact = x.astype(np.float64) @ weight.astype(np.float64).T
    return exact if bias is None else exact + bias


def _sizes() -> list[tuple[int, int, int]]:
    """Rows, depth, columns: every number of rows that a tile has and one beyond, and others drawn."""
    draw = random.Random(0)
    return [(rows, draw.randint(1, 100), draw.randint(1, 130)) for rows in [*range(1, 33), *(draw.randint(33, 70) for _ in range(8))]]


@pytest.mark.parametrize(("rows", "depth", "columns"), [*_sizes(), (14, 16, 32), (8, 96, 128), (1, 1, 1), (5, 33, 16), (70, 100, 130),
                                                       *((rows, 20, 310) for rows in range(1, 9)), (3, 48, 144), (7, 16, 80)])
def test_a_product_of_any_size(rows: int, depth: int, columns: int) -> None:
    x, weight, bias = randoms(rows, depth), randoms(columns, depth, seed=1), randoms(columns, seed=2)
    native = NativeDense(Dense(rows, depth, columns, None))
    found = run(native, (x, weight, bias), (rows, columns))
    np.testing.assert_allclose(found, linear(x, weight, bias), rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(run(native, (x, weight, bias), (rows, columns), threads=2), found)


@pytest.mark.parametrize("rows", [1, 3, 8, 15, 40])
def test_what_follows_a_product(rows: int) -> None:
    x, weight, bias, scale, residual = randoms(rows, 50), randoms(70, 50, seed=1), randoms(70), randoms(70, seed=3), randoms(rows, 70)
    native = NativeDense(Dense(rows, 50, 70, None), (0, 1, 2), Epilogue(scale=3, residual=4, limits=(0.0, 3.0)))
    wanted = np.clip(linear(x, weight, bias) * scale + residual, 0, 3)
    np.testing.assert_allclose(run(native, (x, weight, bias, scale, residual), (rows, 70)), wanted, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 20])
def test_what_is_not_finite_stays_in_its_rows_and_columns(rows: int) -> None:
    x, weight = randoms(rows, 40), randoms(48, 40, seed=1)
    x[-1, 3], weight[5, 7] = np.inf, np.nan
    found = run(NativeDense(Dense(rows, 40, 48, None), (0, 1, None)), (x, weight, None), (rows, 48))
    with np.errstate(invalid="ignore"):
        wanted = linear(x, weight, None)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(wanted))


@pytest.mark.parametrize("size", [1, 17, 1 << 15])
def test_packed_weights_begin_on_a_line_of_the_cache(size: int) -> None:
    packed = layouts.pack_direct(randoms(size, 16)[:, :, None, None])
    assert packed.ctypes.data % 64 == 0


@pytest.mark.parametrize(("columns", "depth"), [(1, 1), (17, 33), (32, 16), (70, 100), (96, 48), (130, 7)])
def test_native_packing_is_that_of_layouts_and_sees_changes(columns: int, depth: int) -> None:
    weight, bias, dense = randoms(columns, depth), randoms(columns), Dense(3, depth, columns, None)
    for _ in range(3):
        panels, start = dense.pack(weight, bias)
        np.testing.assert_array_equal(panels, layouts.pack_direct(weight[:, :, None, None]))
        np.testing.assert_array_equal(start, layouts.pack_bias(bias, columns))
        weight *= 2
        bias += 1
    other = randoms(columns, 2 * depth)[:, ::2]     # no rows
    np.testing.assert_array_equal(dense.pack(other, None)[0], layouts.pack_direct(other[:, :, None, None]))
    assert not dense.pack(other, None)[1].any()


def test_what_a_call_reads_is_not_packed_over() -> None:
    weight, bias, dense = randoms(70, 100), randoms(70), Dense(3, 100, 70, None)
    versions.touch(weight)
    read = dense.pack(weight, bias)     # as a call in another thread has it
    kept = [array.copy() for array in read]
    for _ in range(3):
        versions.touch(weight)
        weight += 1
        bias += 1
        assert dense.pack(weight, bias)[0].ctypes.data != read[0].ctypes.data
    for array, before in zip(read, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_memory_that_no_call_reads_is_packed_into_again() -> None:
    weight, dense = randoms(70, 100), Dense(3, 100, 70, None)
    versions.touch(weight)
    places = set()
    for _ in range(6):
        versions.touch(weight)
        places.add(dense.pack(weight, None)[0].ctypes.data)
    assert len(places) == 2     # what is there is kept until the new one is whole
    inside = dense.pack(weight, None)[0][5:]
    versions.touch(weight)
    dense.pack(weight, None)
    versions.touch(weight)
    assert dense.pack(weight, None)[0].ctypes.data != inside.ctypes.data - 20, "a part of it is still held"


@pytest.mark.parametrize("ways", [8, 12])
def test_rows_that_collide_in_the_cache_give_the_same_bits_where_they_lie_and_copied(ways: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = randoms(20, 1024), randoms(33, 1024, seed=1), randoms(33)
    spread = run(NativeDense(Dense(20, 1024, 33, None)), (np.pad(x, ((0, 0), (0, 16)))[:, :1024], weight, bias), (20, 33))
    monkeypatch.setattr("scriptc_runtime.cpu.dense._ways", lambda: ways)
    np.testing.assert_array_equal(run(NativeDense(Dense(20, 1024, 33, None)), (x, weight, bias), (20, 33)), spread)
