"""Tensors and the tape: sharing memory with numpy, promotion, indexing, gradients of eager code."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scriptc_runtime
from scriptc_runtime import Tensor, enable_grad, is_grad_enabled, no_grad, tensor
from scriptc_runtime.nn import functional as F

from scriptc.errors import CallError
from scriptc.ir.types import bool_, float32, float64, int64


def test_shares_memory_with_numpy_and_dlpack() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = Tensor(array)
    assert np.asarray(x) is array and np.from_dlpack(x).base is not None  # type: ignore[arg-type]
    assert np.shares_memory(np.from_dlpack(x), array)  # type: ignore[arg-type]
    assert tensor(array).numpy() is not array


@pytest.mark.parametrize(("data", "dtype"), [([1.0, 2.0], float32), ([1, 2], int64), ([True], bool_), (np.zeros(2), float64),
                                             (2.5, float32), (3, int64)])
def test_dtype_of_new_tensors_is_torchs(data: Any, dtype: Any) -> None:
    assert Tensor(data).dtype is dtype


@pytest.mark.parametrize(("a", "b", "dtype"), [
    (np.float32([1]), 2, "float32"), (np.int64([1]), 2.5, "float32"), (np.int32([1]), np.int64([1]), "int64"),
    (np.float32([1]), np.array(2.0), "float32"), (np.float32([1]), np.float64([2]), "float64"), (np.uint8([1]), np.int8([1]), "int16"),
    (np.array(2), np.float32([1]), "float32"), (np.array([True]), 3, "int64"),
])
def test_promotion_follows_torch(a: Any, b: Any, dtype: str) -> None:
    left = Tensor(a)
    right = Tensor(b) if isinstance(b, np.ndarray) else b
    assert (left + right).dtype.name == dtype
    assert ((left * 1) / right).dtype.is_floating_point


def test_numpy_on_the_left_gives_a_tensor() -> None:
    assert isinstance(np.ones(2, np.float32) * tensor([1.0, 2.0]), Tensor)


def test_indexing_matches_numpy() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x = Tensor(array)
    for key in (0, -1, slice(1, 3), (slice(None), 1), (..., 2), (0, ..., slice(None, None, 2)), (None, 1), (0, 1, 2),
                (slice(None), slice(-2, None)), [1, 0], (slice(None), np.array([2, 0]))):
        assert np.array_equal(np.asarray(x[key]), array[key]), key


def test_gradient_of_eager_code() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    ((x * x).sum() + x[0].exp().sum()).backward()
    assert np.allclose(x.grad, 2 * x.numpy() + np.exp(x.numpy()) * [[1], [0]], rtol=1e-6)  # type: ignore[arg-type]
    (x * 2.0).backward(np.ones((2, 2), np.float32))
    assert np.allclose(x.grad, 2 * x.numpy() + np.exp(x.numpy()) * [[1], [0]] + 2, rtol=1e-6), "gradients add up"  # type: ignore[arg-type]


def test_gradient_through_broadcasting_and_promotion() -> None:
    a, b = tensor([[1.0], [2.0]], requires_grad=True), Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    (a * b).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert a.grad.dtype is float32 and np.allclose(a.grad, [[6], [6]])
    assert b.grad.dtype is float64 and np.allclose(b.grad, [3, 3, 3])


@pytest.mark.parametrize("mode", ["always", "never"])
def test_gradient_through_a_long_chain_of_calls(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", mode)
    x = tensor([0.5], requires_grad=True)
    y = x
    for _ in range(50):
        y = y * 1.02
    y.backward(np.ones(1, np.float32))
    assert np.allclose(x.grad, 1.02**50, rtol=1e-5)  # type: ignore[arg-type]


def test_no_grad_and_detach_leave_the_tape() -> None:
    x = tensor([1.0], requires_grad=True)
    with no_grad():
        assert not (x * 2).requires_grad and not is_grad_enabled()
        with enable_grad():
            assert (x * 2).requires_grad
    assert not (x.detach() * 2).requires_grad
    assert (x * 2).requires_grad

    @no_grad()
    def quiet() -> Tensor:
        return x * 2  # type: ignore[no-any-return]
    assert not quiet().requires_grad


def test_mistakes_around_backward_are_told() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(CallError, match="R0117"):
        (x * 2).backward()
    with pytest.raises(CallError, match="R0118"):
        tensor(1.0).backward()
    y = (x * x).sum()
    y.backward()
    with pytest.raises(CallError, match="R0119"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(RuntimeError, match="floating point"):
        tensor([1], requires_grad=False).requires_grad_()
    with pytest.raises(CallError, match="cannot be broadcast"):
        x + tensor([1.0, 2.0, 3.0])
    with pytest.raises(CallError, match="shape"):
        F.mse_loss(x, tensor([[1.0], [2.0]]))
    with pytest.raises(CallError, match="reduction"):
        F.l1_loss(x, x, reduction="avg")


def test_item_and_formatting() -> None:
    assert tensor([[2.5]]).item() == 2.5 and f"{tensor(2.5):.2f}" == "2.50" and float(tensor(1.5)) == 1.5
    with pytest.raises(ValueError, match="one element"):
        tensor([1.0, 2.0]).item()
    assert repr(tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(tensor([1])) == "tensor([1], dtype=int64)"


def test_public_names_resolve() -> None:
    assert all(hasattr(scriptc_runtime, name) for name in scriptc_runtime.__all__)


LOSSES = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "binary_cross_entropy", "kl_div"]


@pytest.mark.oracle
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_and_their_gradients_match_torch(name: str, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0.05, 0.95, (4, 5)).astype(np.float32), rng.uniform(0, 1, (4, 5)).astype(np.float32)
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    a = getattr(F, name)(ours, t, reduction=reduction)
    b = getattr(torch.nn.functional, name)(theirs, torch.tensor(t), reduction=reduction)
    assert np.allclose(np.asarray(a), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    a.sum().backward()
    b.sum().backward()
    assert np.allclose(ours.grad, theirs.grad.numpy(), rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.oracle
@pytest.mark.parametrize("arguments", [{}, {"label_smoothing": 0.1}, {"ignore_index": 1}, {"reduction": "sum"}, {"reduction": "none"}])
def test_cross_entropy_matches_torch(arguments: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 5)).astype(np.float32), rng.integers(0, 5, 6)
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    a, b = F.cross_entropy(ours, t, **arguments), torch.nn.functional.cross_entropy(theirs, torch.tensor(t), **arguments)
    assert np.allclose(np.asarray(a), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    a.sum().backward()
    b.sum().backward()
    assert np.allclose(ours.grad, theirs.grad.numpy(), rtol=1e-5, atol=1e-6)  # type: ignore[arg-type]
