"""Gradient clipping and parameters as a vector: what torch.nn.utils does."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, optim
from scriptc_runtime.nn import utils

from scriptc.errors import CallError


def parameters(scale: float = 1.0, dtype: Any = np.float32) -> list[Parameter]:
    made = [Parameter(np.zeros((3, 4), dtype)), Parameter(np.zeros(5, dtype)), Parameter(np.zeros((0, 2), dtype)), Parameter(np.zeros(2, dtype))]
    for index, p in enumerate(made[:3]):   # the last has no gradient
        p.grad = (scale * np.sin(np.arange(p.numel()) + index)).reshape(p.shape).astype(dtype)
    return made


def twins(ours: list[Parameter]) -> list[Any]:
    torch = pytest.importorskip("torch")
    made = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in ours]
    for p, q in zip(ours, made, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad.numpy())
    return made


def same(ours: list[Parameter], others: list[Any], rtol: float = 1e-6) -> bool:
    return all(np.allclose(p.grad, q.grad.numpy(), rtol=rtol, equal_nan=True) for p, q in zip(ours, others, strict=True) if p.grad is not None)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("limit", [0.5, 100.0])
@pytest.mark.parametrize("norm", [2.0, float("inf"), 1.0, 0.5, 3, 0.0, float("-inf")])
def test_clipping_by_norm_matches_torch(norm: float, limit: float, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    ours = parameters(dtype=dtype)
    if np.isinf(norm):
        del ours[2]   # torch has no largest element of none
    others = twins(ours)
    tolerance = 5e-3 if dtype is np.float16 else 1e-6
    total = utils.clip_grad_norm_(ours, limit, norm)
    assert np.isclose(total.item(), torch.nn.utils.clip_grad_norm_(others, limit, norm).item(), rtol=tolerance)
    assert same(ours, others, tolerance)


@pytest.mark.oracle
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_norms_that_are_no_numbers(bad: float) -> None:
    torch = pytest.importorskip("torch")
    ours = parameters()
    assert ours[0].grad is not None
    ours[0].grad.numpy()[1, 1] = bad
    others = twins(ours)
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert same(ours, others, 0)
    utils.clip_grad_norm_(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(others, 1.0)
    assert same(ours, others)


def test_gradients_whose_squares_overflow_are_clipped() -> None:
    ours = parameters(1e25)
    total = utils.clip_grad_norm_(ours, 1.0).item()
    assert np.isfinite(total) and np.isclose(utils.get_total_norm([p.grad for p in ours[:3]]).item(), 1.0, rtol=1e-5)


def test_no_gradients_have_norm_zero() -> None:
    assert utils.clip_grad_norm_([Parameter(np.zeros(2, np.float32))], 1.0).item() == 0.0
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_a_single_tensor_and_a_generator_are_taken() -> None:
    one = parameters()[0]
    assert utils.clip_grad_norm_(one, 0.5).item() > 0.5
    assert np.isclose(utils.clip_grad_norm_((p for p in [one]), 10.0).item(), 0.5, rtol=1e-4)


@pytest.mark.oracle
def test_clipping_by_value_matches_torch() -> None:
    torch = pytest.importorskip("torch")
    ours = parameters(2.0)
    others = twins(ours)
    utils.clip_grad_value_(ours, 0.5)
    torch.nn.utils.clip_grad_value_(others, 0.5)
    assert same(ours, others, 0)


def test_read_only_gradients_are_copied_before_they_are_scaled() -> None:
    p = Parameter(np.zeros(2, np.float32))
    gradient = np.array([3.0, 4.0], np.float32)
    gradient.flags.writeable = False
    p.grad = gradient
    utils.clip_grad_norm_(p, 1.0)
    assert np.allclose(p.grad, [0.6, 0.8], atol=1e-5) and gradient[0] == 3.0  # type: ignore[arg-type]


def test_parameters_go_to_a_vector_and_back() -> None:
    a, b = Parameter(np.arange(6, dtype=np.float32).reshape(2, 3)), Parameter(np.array(7.0, np.float32))
    vector = utils.parameters_to_vector([a, b])
    assert np.array_equal(vector, [0, 1, 2, 3, 4, 5, 7])
    (vector * vector).sum().backward()
    assert np.array_equal(a.grad, 2 * a.numpy()) and b.grad is not None and b.grad.item() == 14  # type: ignore[arg-type]
    utils.vector_to_parameters(vector.detach() * 2, [a, b])
    assert b.item() == 14 and a.numpy()[1, 2] == 10
    with pytest.raises(CallError):
        utils.vector_to_parameters(np.zeros(6, np.float32), [a, b])


@pytest.mark.oracle
@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_gradients_accumulated_over_micro_batches_are_those_of_the_batch(chunks: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 3)).astype(np.float32), rng.standard_normal((1, 3)).astype(np.float32)
    ours, other = Parameter(w.copy()), torch.nn.Parameter(torch.tensor(w))
    optimizer, reference = optim.SGD([ours], lr=0.1, momentum=0.9), torch.optim.SGD([other], lr=0.1, momentum=0.9)
    for _ in range(3):
        for part in np.split(x, chunks):
            loss = ((ours * part).sum(1) - 1.0).abs().mean()
            (loss / chunks).backward()
        optimizer.step()
        optimizer.zero_grad()
        ((other * torch.tensor(x)).sum(1) - 1.0).abs().mean().backward()
        reference.step()
        reference.zero_grad()
    assert np.allclose(ours.numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6)
