"""Kernels whose loops are text (positions given by tensors, orders, dropout, pooling, resampling) and ops that are formulas, as native commands."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu.driver.segment import Segment
from scriptc_runtime.cpu.driver.views import VIEWS
from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
from scriptc_runtime.plan.plan import Frame
from scriptc_runtime.runner import Runner

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value
from scriptc.ir.types import TensorType, dtype_of
from tests.runtime.test_kernels import assert_kernel_agrees

NAN, INF = np.float32("nan"), np.float32("inf")


def randoms(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def positions(size: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, size, shape)


X = randoms(3, 70, 50)
ODD = np.where(X > 1.5, NAN, np.where(X < -2, -INF, np.round(X, 1)))      # with nan, infinities and equal elements
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("embedding", [randoms(90, 48), positions(90, 7, 60)], {}),
    ("embedding", [randoms(90, 1), positions(90, 4).astype(np.int32)], {}),
    ("embedding", [randoms(90, 48).astype(np.float16), positions(90, 7)], {}),
    ("embedding_gradient", [randoms(5, 40, 33), randoms(90, 33), positions(90, 5, 40)], {"padding_idx": 3}),
    ("embedding_gradient", [randoms(5, 40, 33), randoms(90, 33), positions(90, 5, 40)], {"padding_idx": -1}),
    ("index_select", [X, positions(70, 30)], {"dim": 1}),
    ("index_select", [X > 0, positions(50, 9)], {"dim": -1}),
    ("index", [X, None, positions(70, 8, 5) - 70], {}),
    ("index", [X, np.arange(3)[:, None], positions(70, 3, 5) - 70], {}),
    ("index_add", [X, positions(70, 40), randoms(3, 40, 50)], {"dim": 1}),
    ("index_put", [X, randoms(3, 8, 5, 50), None, positions(70, 8, 5) - 70], {"accumulate": True}),
    ("gather", [X, positions(70, 3, 40, 50)], {"dim": 1}),
    ("gather", [X, positions(50, 3, 70, 2)], {"dim": -1}),
    ("scatter", [X, np.argsort(X, 1)[:, :40], randoms(3, 40, 50)], {"dim": 1}),
    ("scatter", [X, positions(50, 3, 70, 9), randoms(3, 70, 9)], {"dim": 2, "reduce": "add"}),
    ("cumsum", [X], {"dim": 1}),
    ("cumsum", [positions(9, 40, 6)], {"dim": -1}),
    ("argmax", [ODD], {"dim": 1, "keepdim": True}),
    ("argmin", [ODD], {"dim": -1}),
    ("argmax", [X], {"dim": None}),
    ("max_with_index", [ODD], {"dim": 2}),
    ("min_with_index", [ODD], {"dim": 0}),
    ("topk", [ODD, 12], {"dim": -1}),
    ("topk", [ODD, 9], {"dim": 1, "largest": False}),
    ("topk", [np.full((2, 5), NAN), 5], {"dim": 1}),
    ("dropout", [randoms(3, 41, 50), np.array([2**63 + 5, 7], np.uint64)], {"p": 0.3}),
    ("dropout_mask", [randoms(45), np.array([2**63 + 5, 2**32 - 3], np.uint64)], {"p": 0.1}),
    ("dropout", [randoms(3), np.array([1, 2], np.uint64)], {"p": 1.0}),
    ("pad", [X, 1.5, 2, 3, 1, 0], {"mode": "constant"}),
    ("pad", [X, 0.0, -2, 3, 1, -4], {"mode": "constant"}),
    *(("pad", [X[:, None], 0.0, 2, 3, 1, 4], {"mode": mode}) for mode in ("reflect", "replicate", "circular")),
    ("cat", [np.zeros(0, np.float32), X, X], {"dim": 1}),
    ("roll", [X, 3, -5], {"dims": (1, 2)}),
    ("repeat", [X, 2, 1, 3, 2], {}),
    ("repeat_interleave", [X, 3], {"dim": 1}),
    ("pixel_shuffle", [randoms(2, 12, 5, 7)], {"factor": 2}),
    ("pixel_unshuffle", [randoms(2, 3, 6, 8)], {"factor": 2}),
    ("tril", [X, 2], {}),
    ("triu", [X > 0, -1], {}),
    ("max_pool", [ODD[None]], {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (2, 1), "ceil_mode": False}),
    ("max_pool", [ODD], {"kernel_size": (3,), "stride": (2,), "padding": (1,), "dilation": (1,), "ceil_mode": True}),
    ("avg_pool", [X[None]], {"kernel_size": (3, 3), "stride": (1, 2), "padding": (1, 1), "ceil_mode": False, "count_include_pad": True,
                             "divisor_override": None}),
    ("adaptive_avg_pool", [X[None], 35, 10], {}),
    ("interpolate", [X[None], 33, 101], {"mode": "bilinear", "align_corners": True, "scale_factors": None, "antialias": False}),
    ("var", [X], {"dims": (1, 2), "correction": 1.0, "keepdim": True}),
    ("norm", [X], {"p": 2.0, "dims": (2,), "keepdim": False}),
    ("logsumexp", [np.where(X > 1, -INF, X)], {"dims": (1,), "keepdim": False}),
    ("any", [X > 2.5], {"dims": (2,), "keepdim": True}),
    ("all", [X], {"dims": None, "keepdim": False}),
    ("softmax", [X], {"dim": 1}),
    ("log_softmax", [X], {"dim": 0}),
    ("floor_divide", [positions(90, 50) - 45, 7], {}),
    ("remainder", [positions(90, 50) - 45, 7], {}),
    ("conv_transpose", [randoms(2, 24, 9, 7), randoms(24, 20, 3, 3), randoms(20)],
     {"stride": (2, 2), "padding": (1, 1), "output_padding": (1, 0), "dilation": (1, 1), "groups": 1}),
    ("einsum", [randoms(2, 4, 6), randoms(6), randoms(2, 3, 4)], {"equation": "bij,j,bki->bk"}),
    ("batch_norm_train", [randoms(33, 20), randoms(20), randoms(20)], {"eps": 1e-5}),
    ("batch_norm_gradient", [randoms(33, 20), randoms(33, 20) + 1, randoms(20), np.abs(randoms(20)), randoms(20)], {"eps": 1e-5}),
]
for shape in ((40, 9), (5, 9, 6, 7)):
    scores, target = randoms(*shape), positions(9, shape[0], *shape[2:])
    target[0] = -100
    for reduction, smoothing, weight in (("mean", 0.0, None), ("sum", 0.1, None), ("none", 0.2, np.abs(randoms(9)))):
        settings = {"reduction": reduction, "ignore_index": -100}
        loss = np.array(0.7, np.float32) if reduction != "none" else randoms(*target.shape)
        CASES += [("cross_entropy", [scores, target, weight], {**settings, "label_smoothing": smoothing}),
                  ("cross_entropy_gradient", [loss, scores, target, weight], {**settings, "label_smoothing": smoothing}),
                  ("nll_loss", [scores, target, weight], settings), ("nll_loss_gradient", [loss, scores, target, weight], settings)]


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)])
def test_commands_give_what_the_reference_gives(index: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name, operands, attributes = CASES[index]
    seen: list[Any] = []
    plain = Frame.run

    def run(self: Frame, *arguments: Any) -> Any:
        result = plain(self, *arguments)
        seen.extend(self._items)
        return result

    monkeypatch.setattr(Frame, "run", run)
    assert_kernel_agrees(name, operands, attributes)
    assert all(isinstance(item, Segment) or item.args[-1].name in VIEWS for item in seen), "a step of its own"


def runner(name: str, operands: list[Any], attributes: dict[str, Any]) -> Runner:
    """A program of one op."""
    builder = Builder()
    values = [Value(TensorType(dtype_of(o), o.shape)) if isinstance(o, np.ndarray) else o for o in operands]
    results = builder.emit(name, values, attributes)
    inputs = tuple(v for v in values if isinstance(v, Value))
    return Runner(Function(name, tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs))), inputs, {}, builder.take(), results,
                           Group("tuple", ())))


@pytest.mark.parametrize(("name", "operands", "attributes"), [
    ("embedding", [randoms(9, 4), positions(9, 6)], {}), ("index_select", [X, positions(70, 6)], {"dim": 1}),
    ("gather", [X, positions(70, 3, 6, 50)], {"dim": 1}), ("index_add", [X, positions(70, 4), randoms(3, 4, 50)], {"dim": 1}),
    ("cross_entropy", [randoms(6, 9), positions(9, 6), None], {})], ids=lambda v: v if isinstance(v, str) else "")
def test_a_position_out_of_range_is_told_and_the_next_call_is_right(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    program = runner(name, operands, attributes)
    given = [o for o in operands if isinstance(o, np.ndarray)]
    wanted = program.run(given)[0]
    for bad in (1 << 40, -(1 << 40), 70, -1):
        if name == "index_select" and bad == 70:
            continue
        wrong = [o.copy() for o in given]
        wrong[1].reshape(-1)[-1] = bad
        with pytest.raises(IndexError):
            program.run(wrong)
        np.testing.assert_array_equal(program.run(given)[0], wanted)


def test_sums_at_repeated_positions_have_the_same_bits_on_any_number_of_threads() -> None:
    operands = [randoms(400, 33), randoms(50, 33), positions(5, 400)]
    found = []
    before = get_num_threads()
    for count in (1, 2, 1):
        set_num_threads(count)
        found.append(runner("embedding_gradient", operands, {}).run(operands)[0])
    set_num_threads(before)
    assert all(np.array_equal(f, found[0]) for f in found)
