"""The CPU engine's kernels against the numpy references, on the geometries that break kernels."""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.runner import Runner

from scriptc.interp.registry import REFERENCES
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, dtype_of


def randoms(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape).astype(np.float32)


def assert_kernel_agrees(name: str, operands: Sequence[Any], attributes: Mapping[str, Any], kernel: str | None = None) -> None:
    """The engine's result is the reference's within 1e-5, on the first run and on one that reuses working memory."""
    builder = Builder()
    values = [Value(TensorType(dtype_of(o), o.shape)) if isinstance(o, np.ndarray) else o for o in operands]
    results = builder.emit(name, values, attributes)
    inputs = tuple(v for v in values if isinstance(v, Value))
    function = Function(name, tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs))), inputs, {}, builder.take(), results,
                        Group("tuple", ()))
    runner, arrays = Runner(function), [o for o in operands if isinstance(o, np.ndarray)]
    before = [a.copy() for a in arrays]
    runner.run(arrays)
    got = runner.run(arrays)
    wanted = REFERENCES[name](*operands, **REGISTRY[name].check_attributes(attributes))
    for g, w in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        if not isinstance(w, np.ndarray):
            assert type(g) is type(w) and g == w
            continue
        assert g.shape == w.shape and g.dtype == w.dtype
        scale = float(np.abs(w[np.isfinite(w)]).max(initial=1.0))
        assert np.allclose(g, w, rtol=1e-5, atol=1e-5 * scale, equal_nan=True)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, before, strict=True)), "an input was changed"
    if kernel is not None:
        assert [s.kernel.name for s in runner.plan(arrays).steps] == [kernel]


def convolutions() -> Iterator[Any]:
    for spatial, (groups, out), (k, s, p, d) in itertools.product(
            (1, 2, 3), ((1, 6), (2, 4), (4, 4), (4, 8)), ((1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (2, 1, 0, 2))):
        yield spatial, groups, out, k, {"stride": (s,) * spatial, "padding": (p,) * spatial, "dilation": (d,) * spatial,
                                        "groups": groups}


@pytest.mark.parametrize(("spatial", "groups", "out", "k", "attributes"), list(convolutions()))
def test_convolution_and_its_gradients(spatial: int, groups: int, out: int, k: int, attributes: dict[str, Any]) -> None:
    x, w, b = randoms(2, 4, *(7,) * spatial), randoms(out, 4 // groups, *(k,) * spatial), randoms(out)
    assert_kernel_agrees("convolution", [x, w, b], attributes)
    assert_kernel_agrees("convolution", [x, w, None], attributes)
    g = randoms(*REFERENCES["convolution"](x, w, b, **attributes).shape)
    assert_kernel_agrees("convolution_input_gradient", [g, w, x], attributes, "convolution.input_gradient")
    assert_kernel_agrees("convolution_weight_gradient", [g, x, w], attributes, "convolution.weight_gradient")


@pytest.mark.parametrize("spatial", (1, 2, 3))
def test_conv_transpose(spatial: int) -> None:
    attributes = {"stride": (2,) * spatial, "padding": (1,) * spatial, "dilation": (1,) * spatial, "groups": 2,
                  "output_padding": (1,) * spatial}
    assert_kernel_agrees("conv_transpose", [randoms(2, 4, *(5,) * spatial), randoms(4, 3, *(3,) * spatial), randoms(6)], attributes,
                         "conv_transpose")


@pytest.mark.parametrize(("k", "s", "p", "ceil"), list(itertools.product((2, 3), (1, 2), (0, 1), (False, True))))
def test_pooling_and_its_gradients(k: int, s: int, p: int, ceil: bool) -> None:
    x = np.round(randoms(2, 3, 7, 6))  # ties
    window = {"kernel_size": (k, k), "stride": (s, s), "padding": (p, p), "ceil_mode": ceil}
    peak = {**window, "dilation": (1, 1)}
    assert_kernel_agrees("max_pool", [x], peak, "max_pool")
    g = randoms(*REFERENCES["max_pool"](x, **peak).shape)
    assert_kernel_agrees("max_pool_gradient", [g, x], peak, "max_pool.gradient")
    for counted in (False, True):
        average = {**window, "count_include_pad": counted, "divisor_override": None}
        assert_kernel_agrees("avg_pool", [x], average)
        assert_kernel_agrees("avg_pool_gradient", [g, x], average)


def test_max_pool_keeps_nan() -> None:
    x = randoms(1, 1, 4, 4)
    x[0, 0, 1, 1] = np.nan
    assert_kernel_agrees("max_pool", [x], {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)})


@pytest.mark.parametrize(("spatial", "mode", "sizes", "options"), [
    (1, "nearest", (11,), {}), (1, "linear", (3,), {}), (2, "nearest", (12, 14), {}), (2, "nearest", (5, 3), {"scale_factors": (0.8, 0.45)}),
    (2, "nearest-exact", (4, 9), {}), (2, "bilinear", (12, 14), {}), (2, "bilinear", (1, 20), {"align_corners": True}),
    (2, "bilinear", (3, 4), {"antialias": True}), (2, "bicubic", (13, 3), {}), (3, "trilinear", (4, 9, 5), {}), (3, "nearest", (12, 3, 7), {}),
])
def test_interpolate(spatial: int, mode: str, sizes: tuple[int, ...], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = {"mode": mode, "align_corners": False, "scale_factors": None, "antialias": False, **options}
    x = randoms(2, 3, *(6, 7, 5)[:spatial])
    assert_kernel_agrees("interpolate", [x, *sizes], attributes, "interpolate")
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    assert_kernel_agrees("interpolate", [x, *sizes], attributes, "interpolate")
    assert_kernel_agrees("interpolate", [x.transpose(1, 0, *range(2, x.ndim)), *sizes], attributes)


def test_nearest_copies_infinities_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x = randoms(1, 2, 3, 3)
    x[0, 0, 1, 1] = np.inf
    attributes = {"mode": "nearest", "align_corners": False, "scale_factors": None, "antialias": False}
    assert np.array_equal(REFERENCES["interpolate"](x, 6, 6, **attributes), x.repeat(2, 2).repeat(2, 3))
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    assert_kernel_agrees("interpolate", [x, 6, 6], attributes, "interpolate")


@pytest.mark.parametrize("sizes", [(1, 1), (4, 3), (3, 5)])
def test_adaptive_avg_pool(sizes: tuple[int, int]) -> None:
    assert_kernel_agrees("adaptive_avg_pool", [randoms(2, 3, 8, 6), *sizes], {})


@pytest.mark.parametrize(("name", "operands", "attributes"), [
    ("softmax", [randoms(3, 4, 5)], {"dim": 1}),
    ("softmax", [np.full((2, 3), -np.inf, np.float32)], {"dim": 1}),
    ("log_softmax", [randoms(3, 4, 5) * 50], {"dim": -1}),
    ("layer_norm", [randoms(3, 4, 5), randoms(4, 5), randoms(4, 5)], {"axes": 2, "eps": 1e-5}),
    ("layer_norm", [randoms(3, 4, 5), None, None], {"axes": 1, "eps": 1e-5}),
    ("rms_norm", [randoms(3, 4, 5), randoms(5)], {"axes": 1, "eps": 1e-5}),
    ("linear", [randoms(3, 4, 5), randoms(6, 5), randoms(6)], {}),
    ("linear", [randoms(5), randoms(6, 5), None], {}),
    ("linear", [randoms(2, 5), randoms(5), None], {}),
    ("matmul", [randoms(5), randoms(5)], {}),
    ("matmul", [randoms(3, 4, 5), randoms(5, 6)], {}),
    ("matmul", [randoms(2, 3, 4, 5), randoms(3, 5, 2)], {}),
    ("matmul", [randoms(4, 5), randoms(5)], {}),
    ("matmul", [randoms(0, 5), randoms(5, 3)], {}),
    ("scaled_dot_product_attention", [randoms(2, 3, 4, 5), randoms(2, 3, 6, 5), randoms(2, 3, 6, 5), None],
     {"causal": False, "scale": None}),
    ("scaled_dot_product_attention", [randoms(2, 3, 4, 5), randoms(2, 3, 4, 5), randoms(2, 3, 4, 5), None],
     {"causal": True, "scale": 0.3}),
    ("scaled_dot_product_attention", [randoms(2, 4, 5), randoms(2, 4, 5), randoms(2, 4, 5), randoms(4, 4)],
     {"causal": False, "scale": None}),
    ("batch_norm", [randoms(2, 3, 4, 4), randoms(3), np.abs(randoms(3)), randoms(3), randoms(3)], {"eps": 1e-5}),
])
def test_products_and_normalizations(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    assert_kernel_agrees(name, operands, attributes)


@pytest.mark.parametrize(("name", "gates", "states", "bidirectional", "batch_first", "bias"), [
    (name, gates, states, *flags) for (name, gates, states) in (("lstm", 4, 2), ("gru", 3, 1), ("rnn", 1, 1))
    for flags in ((False, False, True), (True, True, True), (False, True, False))])
def test_recurrent_layers(name: str, gates: int, states: int, bidirectional: bool, batch_first: bool, bias: bool) -> None:
    directions = 2 if bidirectional else 1
    weights = []
    for layer in range(2):
        for _ in range(directions):
            weights += [randoms(gates * 6, 5 if layer == 0 else 6 * directions), randoms(gates * 6, 6)]
            weights += [randoms(gates * 6), randoms(gates * 6)] if bias else []
    attributes: dict[str, Any] = {"num_layers": 2, "bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    if name == "rnn":
        attributes["nonlinearity"] = "relu"
    assert_kernel_agrees(name, [randoms(3, 3, 5), *(randoms(2 * directions, 3, 6) for _ in range(states)), *weights], attributes, name)
