"""Losses and distances on tensors: values and gradients of torch.nn.functional."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Tensor
from scriptc_runtime.nn import functional
from scriptc_runtime.plan.policy import waiting

from scriptc.errors import CallError

rng = np.random.default_rng(0)
A, B = rng.standard_normal((4, 5)).astype(np.float32), rng.standard_normal((4, 5)).astype(np.float32)
C = rng.standard_normal((4, 5)).astype(np.float32)
P, Q = (1 / (1 + np.exp(-A))).astype(np.float32), (1 / (1 + np.exp(-B))).astype(np.float32)
LOGP = (A - np.log(np.exp(A).sum(1, keepdims=True))).astype(np.float32)
DIST = (np.exp(B) / np.exp(B).sum(1, keepdims=True)).astype(np.float32)
HOLES = np.where(DIST > 0.2, DIST, 0).astype(np.float32)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 1.5], np.float32)
CLASSES = np.array([1, 0, 4, 2])
IGNORED = np.array([1, -100, 4, -100])
SIGNS, SIGN_ROW = np.where(B > 0, 1, -1).astype(np.float32), np.array([1, -1, 1, -1], np.float32)
LISTED = np.array([[3, 0, -1, 1, 1], [2, -1, 4, 4, 4], [-1, 0, 0, 0, 0], [4, 3, 2, 1, 0]])
FRAMES = (lambda x: (x - np.log(np.exp(x).sum(2, keepdims=True))).astype(np.float32))(rng.standard_normal((9, 3, 5)))
SIZES, COUNTS = np.array([9, 8, 5]), np.array([3, 2, 1])
SPELLED = np.array([[1, 2, 2], [3, 1, 0], [4, 0, 0]])

# name of the function, positional arguments (floating arrays get gradients where `wrt` says so), settings, wrt
Case = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]
CASES: dict[str, Case] = {
    "cross entropy": ("cross_entropy", (A, CLASSES), {}, (0,)),
    "cross entropy, all options": ("cross_entropy", (A, IGNORED, WEIGHT), {"label_smoothing": 0.1}, (0,)),
    "cross entropy, no reduction": ("cross_entropy", (A, IGNORED), {"reduction": "none"}, (0,)),
    "cross entropy, probabilities": ("cross_entropy", (A, DIST, WEIGHT), {"label_smoothing": 0.2}, (0,)),
    "cross entropy, other classes ignored": ("cross_entropy", (A, CLASSES), {"ignore_index": 2, "reduction": "sum"}, (0,)),
    "nll": ("nll_loss", (LOGP, IGNORED, WEIGHT), {}, (0,)),
    "mse": ("mse_loss", (A, B), {}, (0, 1)), "mse, weighted": ("mse_loss", (A, B), {"weight": P}, (0,)),
    "l1": ("l1_loss", (A, B), {"reduction": "sum"}, (0, 1)), "l1, weighted": ("l1_loss", (A, B), {"weight": P}, (0,)),
    "smooth l1": ("smooth_l1_loss", (A, B), {}, (0, 1)), "smooth l1, beta": ("smooth_l1_loss", (A, B), {"beta": 0.3, "reduction": "none"}, (0, 1)),
    "smooth l1, no beta": ("smooth_l1_loss", (A, B), {"beta": 0.0}, (0,)),
    "huber": ("huber_loss", (A, B), {}, (0, 1)), "huber, delta": ("huber_loss", (A, B), {"delta": 0.4, "weight": P}, (0,)),
    "bce": ("binary_cross_entropy", (P, Q), {}, (0, 1)), "bce, weighted": ("binary_cross_entropy", (P, Q, WEIGHT), {"reduction": "sum"}, (0,)),
    "bce at the ends": ("binary_cross_entropy", (np.array([0, 1, 0, 1], np.float32), np.array([0, 1, 1, 0], np.float32)), {}, (0,)),
    "bce with logits": ("binary_cross_entropy_with_logits", (A * 30, Q), {}, (0, 1)),
    "bce with logits, all options": ("binary_cross_entropy_with_logits", (A, Q), {"weight": WEIGHT, "pos_weight": WEIGHT, "reduction": "none"}, (0,)),
    "kl": ("kl_div", (LOGP, HOLES), {"reduction": "batchmean"}, (0,)), "kl of logarithms": ("kl_div", (LOGP, B), {"log_target": True}, (0, 1)),
    "kl, sum": ("kl_div", (LOGP, DIST), {"reduction": "sum"}, (0, 1)),
    "poisson": ("poisson_nll_loss", (A, P * 4), {"full": True}, (0,)),
    "poisson of rates": ("poisson_nll_loss", (P, P * 4), {"log_input": False}, (0,)),
    "gaussian": ("gaussian_nll_loss", (A, B, P), {}, (0, 1, 2)),
    "gaussian, full": ("gaussian_nll_loss", (A, B, P), {"full": True, "eps": 0.6}, (0, 2)),
    "gaussian, by row": ("gaussian_nll_loss", (A, B, P[:, 0]), {}, (0, 2)), "gaussian, one": ("gaussian_nll_loss", (A, B, P[:, :1]), {}, (0, 2)),
    "soft margin": ("soft_margin_loss", (A, SIGNS), {}, (0,)),
    "hinge": ("hinge_embedding_loss", (A, SIGNS), {"margin": 0.7}, (0,)),
    "multilabel soft margin": ("multilabel_soft_margin_loss", (A, (B > 0).astype(np.float32)), {"weight": WEIGHT}, (0,)),
    "multilabel margin": ("multilabel_margin_loss", (A, LISTED), {}, (0,)),
    "multilabel margin, one row": ("multilabel_margin_loss", (A[0], LISTED[0]), {}, (0,)),
    "multi margin": ("multi_margin_loss", (A, CLASSES), {}, (0,)),
    "multi margin, all options": ("multi_margin_loss", (A, CLASSES), {"p": 2, "margin": 0.6, "weight": WEIGHT, "reduction": "none"}, (0,)),
    "multi margin, one row": ("multi_margin_loss", (A[0], CLASSES[0]), {}, (0,)),
    "margin ranking": ("margin_ranking_loss", (A, B, SIGNS), {"margin": 0.2}, (0, 1)),
    "cosine embedding": ("cosine_embedding_loss", (A, B, SIGN_ROW), {"margin": -0.2}, (0, 1)),
    "cosine embedding, one row": ("cosine_embedding_loss", (A[0], B[0], SIGN_ROW[0]), {}, (0, 1)),
    "triplet": ("triplet_margin_loss", (A, B, C), {}, (0, 1, 2)),
    "triplet, all options": ("triplet_margin_loss", (A, B, C), {"margin": 0.5, "p": 1.0, "swap": True, "reduction": "none"}, (0, 1, 2)),
    "triplet with distance": ("triplet_margin_with_distance_loss", (A, B, C), {"swap": True}, (0, 1, 2)),
    "ctc": ("ctc_loss", (FRAMES, SPELLED, SIZES, COUNTS), {}, (0,)),
    "ctc in one row": ("ctc_loss", (FRAMES, np.array([1, 2, 2, 3, 1, 4]), SIZES, COUNTS), {"reduction": "sum"}, (0,)),
    "ctc, another blank": ("ctc_loss", (FRAMES, SPELLED - 1, SIZES, COUNTS), {"blank": 4}, (0,)),
    "ctc, too short": ("ctc_loss", (FRAMES[:3], SPELLED, np.array([3, 3, 3]), COUNTS), {"zero_infinity": True, "reduction": "none"}, (0,)),
    "normalize": ("normalize", (A,), {"dim": 0}, (0,)), "normalize in another norm": ("normalize", (A,), {"p": 3.0}, (0,)),
    "cosine similarity": ("cosine_similarity", (A, B), {}, (0, 1)),
    "cosine similarity, broadcast": ("cosine_similarity", (A, B[:1]), {"dim": -1}, (0, 1)),
    "pairwise distance": ("pairwise_distance", (A, B), {"p": 1.5, "keepdim": True}, (0, 1)),
    "glu": ("glu", (A[:, :4],), {}, (0,)), "glu by rows": ("glu", (A,), {"dim": 0}, (0,)),
    "elu": ("elu", (A, 0.7), {}, (0,)), "celu": ("celu", (A, 0.7), {}, (0,)), "selu": ("selu", (A,), {}, (0,)),
    "relu6": ("relu6", (A * 9,), {}, (0,)),
    "leaky relu": ("leaky_relu", (A, 0.2), {}, (0,)),
    "hardtanh": ("hardtanh", (A, -0.5, 0.6), {}, (0,)), "softplus": ("softplus", (A, 2.0, 1.0), {}, (0,)),
    "gelu by tanh": ("gelu", (A,), {"approximate": "tanh"}, (0,)), "softmin": ("softmin", (A, 1), {}, (0,)),
}


COMPILED = ("huber, delta", "bce at the ends", "gaussian", "kl", "triplet")   # as native loops; the others as numpy, whose answers are the same


def tolerance(name: str) -> dict[str, float]:
    return {"rtol": 2e-4, "atol": 2e-5} if name == "ctc_loss" else {"rtol": 2e-5, "atol": 2e-6}


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_match_torch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if case not in COMPILED:
        monkeypatch.setenv("SCRIPTC_JIT", "never")
    name, arguments, settings, wrt = CASES[case]

    def both(value: Any, needs: bool) -> tuple[Any, Any]:
        if not isinstance(value, np.ndarray | np.generic):
            return value, value
        array = np.array(value)
        return Tensor(array, requires_grad=needs), torch.tensor(array, requires_grad=needs)

    pairs = [both(a, i in wrt) for i, a in enumerate(arguments)]
    named = {k: both(v, False) for k, v in settings.items()}
    ours = getattr(functional, name)(*[p[0] for p in pairs], **{k: v[0] for k, v in named.items()})
    theirs = getattr(torch.nn.functional, name)(*[p[1] for p in pairs], **{k: v[1] for k, v in named.items()})
    assert np.allclose(ours.detach().numpy(), theirs.detach().numpy(), **tolerance(name), equal_nan=True)
    assert ours.shape == tuple(theirs.shape)
    seed = np.cos(np.arange(theirs.numel(), dtype=np.float32)).reshape(tuple(theirs.shape))
    ours.backward(seed)
    theirs.backward(torch.tensor(seed))
    for i in wrt:
        assert np.allclose(pairs[i][0].grad.numpy(), pairs[i][1].grad.numpy(), **tolerance(name), equal_nan=True), i


@pytest.mark.oracle
def test_one_hot_matches_torch() -> None:
    torch = pytest.importorskip("torch")
    for classes in (-1, 7):
        assert np.array_equal(functional.one_hot(CLASSES, classes), torch.nn.functional.one_hot(torch.tensor(CLASSES), classes).numpy())


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n in functional.__all__ if n.endswith(("_loss", "entropy", "logits", "elu", "glu", "normalize", "kl_div"))])
def test_arguments_and_defaults_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, name)
    if not inspect.isfunction(function):
        pytest.skip("torch does not say")
    left = ("size_average", "reduce", "inplace", "out")
    theirs = {k: p.default for k, p in inspect.signature(function).parameters.items() if k not in left}
    ours = {k: p.default for k, p in inspect.signature(getattr(functional, name)).parameters.items()}
    assert list(ours) == list(theirs)
    assert all(a == b for k, a in ours.items() if not isinstance(b := theirs[k], inspect.Parameter) and b is not inspect.Parameter.empty)


def test_log1p_of_a_loop_is_that_of_the_c_library() -> None:
    spread = np.exp(rng.uniform(-85, 85, 4096))
    x = np.concatenate([spread, -np.exp(rng.uniform(-85, -1e-3, 4096)),
                        rng.uniform(-1e-3, 1e-3, 4096), rng.uniform(-0.999, 2, 4096)]).astype(np.float32)
    ends = np.array([0.0, -0.0, -1.0, -2.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38], np.float32)
    with waiting(), np.errstate(all="ignore"):
        found, found_ends = (np.asarray(Tensor(a).log1p()) for a in (x, ends))
        exact, exact_ends = np.log1p(x.astype(np.float64)), np.log1p(ends)
    assert np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))) <= 3
    assert np.array_equal(found_ends, exact_ends, equal_nan=True) and np.array_equal(np.signbit(found_ends[:2]), [False, True])


def test_a_loss_is_one_step_on_the_tape() -> None:
    x = Tensor(A.copy(), requires_grad=True)
    loss = functional.huber_loss(x, B, delta=0.5)
    assert loss._node is not None and loss._node.inputs == (x,) and loss._node.name == "huber_loss"


def test_losses_take_what_numpy_takes_and_nothing_is_recorded_without_gradients() -> None:
    assert functional.mse_loss([1.0, 2.0], [1.0, 4.0]).item() == 2.0
    assert functional.mse_loss(A, B)._node is None


@pytest.mark.parametrize("call", [
    lambda: functional.mse_loss(A, B[:2]), lambda: functional.l1_loss(A, B, "average"), lambda: functional.huber_loss(A, B, delta=0.0),
    lambda: functional.smooth_l1_loss(A, B, beta=-1.0), lambda: functional.multi_margin_loss(A, CLASSES, p=3),
    lambda: functional.triplet_margin_loss(A, B, C, margin=0.0), lambda: functional.margin_ranking_loss(A, B, SIGN_ROW),
    lambda: functional.gaussian_nll_loss(A, B, P[:2]), lambda: functional.glu(A)])
def test_arguments_that_make_no_sense_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(CallError) as caught:
        call()
    assert caught.value.code == "R0120"


def test_ops_of_the_registry_are_functions_too() -> None:
    assert np.allclose(functional.square(np.array([3.0], np.float32)), 9.0)
    with pytest.raises(AttributeError):
        functional.no_such_function  # noqa: B018


def test_names_are_importable_by_torchs_path() -> None:
    import scriptc.nn.functional as F

    assert F is functional and F.mse_loss is functional.mse_loss


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("cross_entropy", (A, np.array([1, 0, 7, 2])), "Target 7 is out of bounds"),
    ("cross_entropy", (A, np.array([1, 0, -1, 2])), "Target -1 is out of bounds"),
    ("nll_loss", (LOGP, np.array([1, 5, 0, 2])), "Target 5 is out of bounds"),
    ("multi_margin_loss", (A, np.array([1, 0, 9, 2])), "index 9 is out of bounds"),
    ("multilabel_margin_loss", (A, np.where(LISTED == 4, 8, LISTED)), "index 8 is out of bounds"),
    ("ctc_loss", (FRAMES, np.where(SPELLED == 4, 6, SPELLED), SIZES, COUNTS), "Target 6 is out of bounds"),
    ("ctc_loss", (FRAMES, np.where(SPELLED == 4, -2, SPELLED), SIZES, COUNTS), "Target -2 is out of bounds"),
])
def test_a_class_that_is_none_is_told_by_its_number(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        getattr(functional, name)(*arguments)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_probabilities_outside_of_0_and_1_are_told(value: float) -> None:
    p = np.array([0.5, value, 1.0, 0.0], np.float32)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        functional.binary_cross_entropy(p, np.ones(4, np.float32))
