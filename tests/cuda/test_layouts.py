"""Kernels over every dtype, size and order in memory: reductions, copies of turned tensors, sorting, places with the same target."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scriptc_runtime.cuda.engine import device
from scriptc_runtime.cuda.kernels.reduce import Form, column_kernel, row_kernel
from scriptc_runtime.cuda.launches import Work
from scriptc_runtime.device import placed

from tests.cuda.agreement import assert_op_agrees

DTYPES = ["float32", "float64", "float16", ml_dtypes.bfloat16, "int64", "int32", "int16", "int8", "uint8", "bool"]


def numbers(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    drawn = np.random.default_rng(sum(shape)).integers(-5, 6, shape)
    return (drawn % 3 if np.dtype(dtype).kind == "u" else drawn).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize(("shape", "dims"), [((2, 80), (1,)), ((3, 40, 16), (1,)), ((130,), None), ((7, 3), (1,)), ((3, 5, 9), (0, 2))], ids=str)
def test_reductions(dtype: Any, shape: tuple[int, ...], dims: Any) -> None:
    for name in ("sum", "amax", "any"):
        assert_op_agrees(name, [numbers(shape, dtype)], {"dims": dims, "keepdim": False} if name != "any" or dims else {"dims": None}, calls=1)


@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16, "int64", "int8", "bool"], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize(("shape", "dim"), [((2, 80), 1), ((1, 9, 2), 1), ((130,), None)], ids=str)
def test_places_of_extremes(dtype: Any, shape: tuple[int, ...], dim: int | None) -> None:
    assert_op_agrees("argmin", [numbers(shape, dtype)], {"dim": dim}, calls=1)
    if dim is not None:
        assert_op_agrees("max_with_index", [numbers(shape, dtype)], {"dim": dim}, calls=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_extreme_numbers(value: float) -> None:
    x = np.full((2, 90), value, np.float32)
    x[1, 3:5] = [1.0, -2.0]
    for name in ("amax", "amin", "sum"):
        assert_op_agrees(name, [x], {"dims": (1,)}, calls=1)
    for name in ("argmax", "argmin"):
        assert_op_agrees(name, [x], {"dim": 1}, calls=1)
    assert_op_agrees("sort", [x[:, :9]], {"dim": 1, "descending": True, "stable": True}, calls=1)
    assert_op_agrees("cummax", [x[:, :9]], {"dim": 1}, calls=1)
    assert_op_agrees("logcumsumexp", [x[:, :9]], {"dim": 1}, calls=1)


def run(kernel: Any, grid: Any, block: int, out: np.ndarray, *arguments: Any) -> np.ndarray:
    """What a kernel writes."""
    work = Work(device())
    y = work.empty(out.shape, out.dtype)
    work.launch(kernel, grid, block, *(placed(a, work.engine) if isinstance(a, np.ndarray) else a if a is not None else y for a in arguments))
    work.run()
    return y.host()


@pytest.mark.parametrize(("vector", "width"), [(4, 600), (1, 70), (4, 263)])
def test_rows_of_several_warps(vector: int, width: int) -> None:
    x = np.arange(width, dtype=np.float32).reshape(1, -1)
    form = Form("sum", "float32", "float32", True, block=64, threads=64, vector=vector, tail=width % vector > 0)
    found = run(row_kernel(form), (1, 1), 64, np.empty(1, np.float32), x, None, *map(np.int64, (1, width, width + -width % vector, 1)))
    assert found[0] == x.sum()


def test_columns_of_a_whole_block() -> None:
    x = np.arange(2 * 37 * 8, dtype=np.float32).reshape(2, 37, 8)
    form = Form("sum", "float32", "float32", True, block=64, threads=2, vector=4)
    found = run(column_kernel(form), (2, 1), 64, np.empty((2, 8), np.float32), x, None, *map(np.int64, (37, 8, 1, 37, 1)))
    np.testing.assert_array_equal(found, x.sum(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_copies_of_turned_tensors(dtype: Any) -> None:
    engine = device()
    for shape, dims in (((5, 9), (1, 0)), ((3, 8, 11), (2, 1, 0)), ((3, 8, 5), (0, 2, 1)), ((2, 3, 4, 5), (3, 0, 2, 1)),
                        ((2, 3, 4, 5), (1, 3, 2, 0))):
        x = numbers(shape, dtype)
        uploaded = placed(x, engine)
        turned = uploaded.view([x.shape[d] for d in dims], [uploaded.strides[d] for d in dims])
        np.testing.assert_array_equal(turned.copy().host(), x.transpose(dims))
        target = placed(np.zeros_like(x), engine)      # and into a turned tensor
        inner = target.view([x.shape[d] for d in dims], [target.strides[d] for d in dims])
        engine.copy(inner, placed(np.ascontiguousarray(x.transpose(dims)), engine))
        np.testing.assert_array_equal(target.host(), x)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_elementwise_over_all_widths(dtype: Any) -> None:
    for size in (48, 24, 6, 5):
        x = numbers((3, size), dtype)
        assert_op_agrees("maximum", [x, x[::-1].copy()], {}, calls=1)
        assert_op_agrees("lt", [x, x[:1]], {}, calls=1)
    turned = numbers((size, 6), dtype)
    assert_op_agrees("maximum", [turned.T.copy(), numbers((6, size), dtype)], {}, calls=1)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_sorting_is_stable(dtype: Any) -> None:
    for shape, dim, descending in (((1, 21), 1, False), ((9, 2), 0, True)):
        assert_op_agrees("sort", [numbers(shape, dtype)], {"dim": dim, "descending": descending, "stable": True}, calls=1)
    assert_op_agrees("topk", [numbers((2, 3), dtype), 1], {"dim": 1, "largest": True}, calls=1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int8"])
def test_many_entries_fall_on_one_place(dtype: Any) -> None:
    x, index = numbers((5, 3), dtype), np.array([1, 4, 1, 1, 0, 4, 1, -1, 1, 3, 1])
    source = numbers((11, 3), dtype)
    assert_op_agrees("index_put", [x, source, index], {"accumulate": True}, calls=1)
    assert_op_agrees("index_put", [x, source, index], {"accumulate": False}, calls=1)
    assert_op_agrees("index_put", [x, source[0], index], {"accumulate": True}, calls=1)
    assert_op_agrees("index_add", [x, index % 5, source], {"dim": 0}, calls=1)
    assert_op_agrees("scatter", [x.T.copy(), (index % 5)[None], source.T.copy()], {"dim": 1, "reduce": "none"}, calls=1)


@pytest.mark.parametrize(("name", "operands", "attributes"), [
    ("index", [numbers((3, 4), "float32"), np.array([0, 3])], {}), ("index", [numbers((3, 4), "float32"), None, np.array([-5])], {}),
    ("index_put", [numbers((3, 4), "float32"), numbers((4,), "float32"), np.array([3])], {}),
    ("take", [numbers((3, 4), "float32"), np.array([12])], {}),
    ("index_add", [numbers((3, 4), "float32"), np.array([-1]), numbers((1, 4), "float32")], {"dim": 0}),
    ("scatter", [numbers((3, 4), "float32"), np.array([[4]]), numbers((1, 1), "float32")], {"dim": 1}), ("one_hot", [np.array([1, 3]), 3], {}),
    ("multinomial", [np.array([0.5, -0.5], np.float32), np.array([1, 0], np.uint64), 1], {"replacement": True})])
def test_what_is_out_of_range_is_refused(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    assert_op_agrees(name, operands, attributes, calls=2)


STATE = np.array([7, 5], np.uint64)


@pytest.mark.parametrize(("name", "operands", "attributes"), [
    ("normal", [STATE, 3, 5], {"mean": 1.0, "std": 2.0, "dtype": "float32"}), ("normal", [STATE, 2], {"mean": 0.0, "std": 1.0, "dtype": "float64"}),
    ("random_integers", [STATE, 7], {"low": -3, "high": 9, "dtype": "int64"}), ("random_permutation", [STATE, 13], {}),
    ("multinomial", [np.array([[0.1, 0.0, 0.6, 0.3], [1.0, 2.0, 3.0, 4.0]], np.float32), STATE, 6], {"replacement": True}),
    ("multinomial", [np.array([[0.1, 0.2, 0.6, 0.3], [1.0, 2.0, 3.0, 4.0]], np.float32), STATE, 3], {"replacement": False}),
    ("eye", [3, 4], {"dtype": "float32"}), ("linspace", [-1.0, 2.0, 7], {"dtype": "float32"}), ("linspace", [0, 10, 5], {"dtype": "int64"}),
    ("one_hot", [np.array([[0, 2], [1, 1]]), 4], {}), ("from_scalars", [1.5, 2, True], {"shape": (3,), "dtype": "float32"}),
    ("searchsorted", [np.array([1.0, 2.0, np.nan]), np.array([np.nan, 5.0, 1.0])], {"right": False}),
    ("diagonal_scatter", [numbers((3, 4), "float32"), numbers((3,), "float32")], {"offset": 1})])
def test_numbers_without_samples(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    from scriptc.ir.types import DTYPES as TYPES

    if "dtype" in attributes:
        attributes = {**attributes, "dtype": TYPES[attributes["dtype"]]}
    engine: Any = device()
    before = sum(engine.host_calls.values())
    assert_op_agrees(name, operands, attributes)
    assert sum(engine.host_calls.values()) == before
