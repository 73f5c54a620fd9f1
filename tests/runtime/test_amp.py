"""Loss scaling: call for call what torch.amp.GradScaler does."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, Tensor, optim
from scriptc_runtime.amp import GradScaler

from scriptc.errors import CallError

SETTINGS = {"init_scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.25, "growth_interval": 3}
BAD = (2, 3, 9)    # the steps whose gradients overflow


def ours() -> tuple[Parameter, optim.SGD, GradScaler]:
    parameter = Parameter(np.ones(3, np.float32))
    return parameter, optim.SGD([parameter], lr=0.1), GradScaler(**SETTINGS)  # type: ignore[arg-type]


def gradient(step: int) -> np.ndarray:
    made = np.array([1.0, -2.0, 0.5], np.float32) * (step + 1)
    if step in BAD:
        made[step % 3] = np.inf if step % 2 else np.nan
    return made


@pytest.mark.oracle
@pytest.mark.parametrize("explicitly", [False, True])
def test_scales_and_steps_are_torchs(explicitly: bool) -> None:
    torch = pytest.importorskip("torch")
    p, optimizer, scaler = ours()
    q = torch.nn.Parameter(torch.ones(3))
    reference, other = torch.optim.SGD([q], lr=0.1), torch.amp.GradScaler("cpu", **SETTINGS)
    other.scale(torch.zeros(()))   # torch makes its scale when it is first used
    for step in range(14):
        assert scaler.get_scale() == other.get_scale()
        p.grad, q.grad = gradient(step) * scaler.get_scale(), torch.tensor(gradient(step) * other.get_scale())
        if explicitly:
            scaler.unscale_(optimizer)
            other.unscale_(reference)
            assert np.allclose(p.grad, q.grad.numpy(), equal_nan=True)  # type: ignore[arg-type]
        scaler.step(optimizer)
        other.step(reference)
        scaler.update()
        other.update()
        assert np.allclose(p.numpy(), q.detach().numpy(), rtol=1e-6)
        assert scaler.state_dict() == other.state_dict()


def test_losses_are_scaled_on_the_tape() -> None:
    p, optimizer, scaler = ours()
    loss = (p * np.array([1, 2, 3], np.float32)).sum()
    first, (second,) = scaler.scale([loss, (loss,)])
    assert first.item() == 8.0 * loss.item() == second.item()
    first.backward()
    scaler.step(optimizer)
    assert np.allclose(p.numpy(), 1 - 0.1 * np.array([1, 2, 3]))


def test_gradients_in_half_precision_are_unscaled_in_float32() -> None:
    p = Parameter(np.ones(2, np.float16))
    p.grad = Tensor(np.array([2.0**-20, 1.0], np.float16) * np.float16(1024.0))
    optimizer, scaler = optim.SGD([p], lr=1.0), GradScaler(init_scale=1024.0 * 1024.0)
    scaler.unscale_(optimizer)
    assert p.grad.numpy().dtype == np.float32 and p.grad.numpy()[0] == 2.0**-30 and p.grad.numpy()[0] > 0


def test_calls_out_of_order_are_refused() -> None:
    p, optimizer, scaler = ours()
    with pytest.raises(RuntimeError, match="No inf checks"):
        scaler.update()
    p.grad = gradient(0)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, lambda: 0.0)


def test_a_disabled_scaler_passes_everything_through() -> None:
    p, optimizer, _ = ours()
    scaler = GradScaler(enabled=False, growth_factor=0.0)
    p.grad = np.array([np.inf, 1, 1], np.float32)
    loss = p.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    scaler.step(optimizer)
    scaler.update()
    assert p.numpy()[0] == -np.inf


def test_a_saved_scaler_goes_on() -> None:
    _, _, first = ours()
    p, optimizer, second = ours()
    for step in range(2):
        p.grad = gradient(step)
        first.step(optimizer)
        first.update()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict() and first.state_dict()["_growth_tracker"] == 2
    with pytest.raises(RuntimeError, match="empty"):
        second.load_state_dict({})


@pytest.mark.parametrize("settings", [{"growth_factor": 1.0}, {"backoff_factor": 1.0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(CallError, match="R0130"):
        GradScaler(**settings)
