"""Kernels over rows as native commands: against the numpy references, and as exact as torch, wherever the rows lie."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scriptc.interp.registry import REFERENCES
from tests.runtime.native_ops import assert_agrees, native, randoms

WIDTHS = (*range(1, 71), 255, 384, 1000)
NORMS = {"layer_norm": 2, "rms_norm": 1}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_every_width(name: str) -> None:
    for width in WIDTHS:
        x = randoms(3, width) * 3 + 1
        parameters = [randoms(width, seed=1), randoms(width, seed=2)][:NORMS[name]]
        assert_agrees(name, [x, *parameters], 1e-5, axes=1, eps=1e-5)
    assert_agrees(name, [randoms(0, 4), *[None] * NORMS[name]], axes=1, eps=1e-5)


# How an operand of shape [3, 4, 24] lies in memory.
LAYOUTS = {
    "whole": lambda: randoms(3, 4, 24),
    "columns of a wider one": lambda: randoms(3, 4, 40)[..., 7:31],
    "rows turned around": lambda: randoms(3, 4, 24)[::-1, ::-1],
    "every other row": lambda: randoms(6, 8, 24)[::2, 1::2],
    "transposed rows": lambda: randoms(4, 3, 24).transpose(1, 0, 2),
    "one row repeated": lambda: np.broadcast_to(randoms(4, 1, 24)[:3], (3, 4, 24)),
    "elements apart": lambda: randoms(3, 4, 48)[..., ::2],
    "all transposed": lambda: randoms(24, 4, 3).transpose(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "attributes"), [("layer_norm", {"axes": 1, "eps": 1e-5}), ("rms_norm", {"axes": 1, "eps": 1e-5}),
                                                 ("softmax", {"dim": -1}), ("log_softmax", {"dim": 2})])
def test_rows_are_read_where_they_lie(name: str, attributes: Any, layout: str) -> None:
    x = LAYOUTS[layout]()
    assert_agrees(name, [x, *[randoms(24)] * NORMS.get(name, 0)], 1e-5, **attributes)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_norms_over_several_dimensions(axes: int) -> None:
    for x in (randoms(2, 3, 4, 5), randoms(2, 3, 4, 10)[..., ::2], randoms(2, 4, 3, 5).swapaxes(1, 2)):
        shape = x.shape[4 - axes:]
        assert_agrees("layer_norm", [x, randoms(*shape), randoms(*shape, seed=3).copy()], 1e-5, axes=axes, eps=1e-3)
        assert_agrees("layer_norm", [x, randoms(*shape[::-1]).transpose(), None], 1e-5, axes=axes, eps=1e-3)
        assert_agrees("layer_norm", [x, None, None], 1e-5, axes=axes, eps=1e-3)
        assert_agrees("rms_norm", [x, None], 1e-5, axes=axes, eps=1e-3)


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("size", [(), (1,), (7,), (5, 9), (4, 4, 4)])
def test_group_norm(groups: int, size: tuple[int, ...]) -> None:
    if groups == 6 and size in ((), (1,)):
        return      # one value per group is only the bias
    for x in (randoms(3, 6, *size), randoms(6, 3, *size).swapaxes(0, 1)):
        assert_agrees("group_norm", [x, randoms(6), randoms(6, seed=1)], 1e-5, groups=groups, eps=1e-5)
        assert_agrees("group_norm", [x, None, None], 1e-5, groups=groups, eps=1e-5)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_every_width(name: str) -> None:
    for width in WIDTHS:
        assert_agrees(name, [randoms(3, width) * 10], dim=-1)
    assert_agrees(name, [randoms(7)], dim=0)


INF, NAN = np.inf, np.nan
EXTREMES = {
    "all -inf": [-INF] * 20, "nan": [NAN, *range(19)], "nan at the end": [*range(19), NAN], "inf": [INF, *range(19)], "some -inf": [-INF, 0, 1] * 7,
    "large": [3e38, 1e38, -3e38] * 6, "all the same": [7.25] * 21, "far apart": [0, -200, -90, -103.5] * 5, "denormals": [1e-40, 3e-45, 0] * 6,
    "only -inf and nan": [-INF, NAN] * 9,
}


@pytest.mark.parametrize("case", EXTREMES)
def test_extreme_rows(case: str) -> None:
    x = np.array([EXTREMES[case], np.arange(len(EXTREMES[case]))], np.float32)
    for name in ("softmax", "log_softmax"):
        with np.errstate(all="ignore"):
            wanted = REFERENCES[name](x, dim=1)
        np.testing.assert_allclose(native(name, [x], {"dim": 1}), wanted, rtol=1e-6, atol=1e-37)
    if case != "large":     # whose squares are not float32
        for name, count in NORMS.items():
            with np.errstate(all="ignore"):
                wanted = REFERENCES[name](x, *[None] * count, axes=1, eps=1e-5)
            np.testing.assert_allclose(native(name, [x, *[None] * count], {"axes": 1, "eps": 1e-5}), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_errors_are_no_larger_than_a_few_times_torchs(offset: float) -> None:
    import torch
    import torch.nn.functional as F

    for width in (5, 64, 384, 4096, 50257):
        x, w, b = randoms(8, width) * 2 + offset, randoms(width), randoms(width, seed=1)
        t, tw, tb = map(torch.from_numpy, (x, w, b))
        for name, operands, attributes, run in (
                ("layer_norm", [x, w, b], {"axes": 1, "eps": 1e-5}, lambda t, w, b: F.layer_norm(t, (t.shape[1],), w, b)),
                ("rms_norm", [x, w], {"axes": 1, "eps": 1e-5}, lambda t, w, b: F.rms_norm(t, (t.shape[1],), w, 1e-5)),
                ("softmax", [x], {"dim": 1}, lambda t, w, b: F.softmax(t, 1)), ("log_softmax", [x], {"dim": 1}, lambda t, w, b: F.log_softmax(t, 1))):
            exact = run(t.double(), tw.double(), tb.double()).numpy()
            theirs = np.abs(run(t, tw, tb).numpy() - exact).max()
            ours = np.abs(native(name, operands, attributes) - exact).max()
            assert ours <= max(4 * theirs, np.finfo(np.float32).eps * np.abs(exact).max()), (name, width)


# length, keys, features, values
SIZES = [(1, 1, 1, 1), (5, 7, 3, 2), (16, 16, 16, 16), (17, 33, 20, 48), (29, 15, 64, 33), (1, 129, 64, 64), (130, 65, 32, 32), (40, 300, 8, 5)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("causal", [False, True])
def test_attention_of_every_size(sizes: tuple[int, int, int, int], causal: bool) -> None:
    length, keys, features, values = sizes
    q, k, v = randoms(2, 3, length, features), randoms(2, 3, keys, features), randoms(2, 3, keys, values)
    assert_agrees(ATTENTION, [q, k, v, None], causal=causal, scale=None)
    assert_agrees(ATTENTION, [q, k, v, None], causal=causal, scale=-0.7)


ATTENTION = "scaled_dot_product_attention"
MASK_SHAPES = [(20, 35), (35,), (1,), (1, 35), (20, 1), (3, 1, 1), (2, 1, 1, 35), (1, 3, 20, 35), (2, 3, 20, 1), (2, 1, 20, 35)]


@pytest.mark.parametrize("shape", MASK_SHAPES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_every_broadcast(shape: tuple[int, ...], causal: bool) -> None:
    q, k, v = randoms(2, 3, 20, 16), randoms(2, 3, 35, 16), randoms(2, 3, 35, 24)
    added = randoms(*shape)
    assert_agrees(ATTENTION, [q, k, v, added], causal=causal, scale=None)
    assert_agrees(ATTENTION, [q, k, v, added > 0.3], causal=causal, scale=None)
    added[added > 0.5] = -np.inf
    assert_agrees(ATTENTION, [q, k, v, added], causal=causal, scale=None)
    assert_agrees(ATTENTION, [q, k, v, np.zeros(shape, bool)], causal=causal, scale=None)


def test_heads_are_read_where_they_lie() -> None:
    whole = randoms(2, 20, 3, 4, 24)
    q, k, v = whole.transpose(2, 0, 3, 1, 4)
    mask = randoms(2, 4, 20, 40)[..., ::2] > 0
    assert_agrees(ATTENTION, [q, k, v, None], causal=True, scale=None)
    assert_agrees(ATTENTION, [q[:, ::-1], np.broadcast_to(k[:, :1], k.shape), v[:, :, ::-1], mask.copy()], causal=False, scale=None)
    assert_agrees(ATTENTION, [q[0], k[0], v, None], causal=False, scale=None)     # which are the same for all of v's


def test_what_is_not_finite_stays_in_its_rows() -> None:
    q, k, v = randoms(4, 8), randoms(20, 8), randoms(20, 8)
    q[1], q[2, 3], k[7, 1] = np.nan, np.inf, 3e38
    for mask in (None, np.where(randoms(4, 20) > 0, 0, -np.inf).astype(np.float32)):
        with np.errstate(all="ignore"):
            wanted = REFERENCES[ATTENTION](q, k, v, mask, causal=False, scale=1.0)
        np.testing.assert_allclose(native(ATTENTION, [q, k, v, mask], {"causal": False, "scale": 1.0}), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.oracle
def test_attention_is_as_exact_as_torchs() -> None:
    import torch
    import torch.nn.functional as F

    for length, features in ((128, 64), (300, 32), (1024, 40)):
        for causal in (False, True):
            q, k, v = (randoms(1, 2, length, features, seed=seed) * 2 for seed in range(3))
            exact = F.scaled_dot_product_attention(*(torch.from_numpy(a).double() for a in (q, k, v)), is_causal=causal).numpy()
            theirs = np.abs(F.scaled_dot_product_attention(*map(torch.from_numpy, (q, k, v)), is_causal=causal).numpy() - exact).max()
            assert np.abs(native(ATTENTION, [q, k, v, None], {"causal": causal, "scale": None}) - exact).max() <= 4 * theirs
