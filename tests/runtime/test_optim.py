"""Optimizers: step for step what torch computes."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, optim

from scriptc.errors import CallError

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}), ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {}), ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}), ("Adam", {"amsgrad": True, "lr": 0.05}),
    ("AdamW", {}), ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}), ("AdamW", {"lr": 0.01, "maximize": True}),
]


def gradient(values: np.ndarray, step: int) -> np.ndarray:
    """A gradient that depends on the parameter and changes from step to step."""
    return (np.sin(np.arange(values.size).reshape(values.shape) + step * 0.7) + 0.2 * values).astype(np.float32)


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal(5).astype(np.float32)]


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_fifty_steps_match_torch(name: str, settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = [Parameter(a) for a in start()], [torch.nn.Parameter(torch.tensor(a)) for a in start()]
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(50):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = gradient(p.numpy(), step)
            q.grad = torch.tensor(gradient(q.detach().numpy(), step))
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        assert np.allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)
    mine, other = a.state_dict(), b.state_dict()
    assert set(mine["param_groups"][0]) <= set(other["param_groups"][0])
    for number, entries in other["state"].items():
        kept = {k: v for k, v in entries.items() if v is not None}
        assert set(kept) == set(mine["state"][number])
        for key, value in kept.items():
            assert np.allclose(mine["state"][number][key], value.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.oracle
def test_defaults_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for name in ("SGD", "Adam", "AdamW"):
        ours = getattr(optim, name)([Parameter(np.zeros(1, np.float32))]).defaults
        theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))]).defaults
        assert all(theirs[key] == value for key, value in ours.items())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_saved_state_continues_bit_for_bit(name: str) -> None:
    def run(parameters: list[Parameter], optimizer: optim.Optimizer, steps: range) -> None:
        for step in steps:
            for p in parameters:
                p.grad = gradient(p.numpy(), step)
            optimizer.step()

    make = getattr(optim, name)
    settings = {"lr": 0.05, **({"momentum": 0.9} if name == "SGD" else {})}
    straight = [Parameter(a) for a in start()]
    run(straight, make(straight, **settings), range(20))
    first = [Parameter(a) for a in start()]
    before = make(first, **settings)
    run(first, before, range(10))
    second = [Parameter(p.numpy().copy()) for p in first]
    after = make(second, lr=1.0)
    after.load_state_dict(before.state_dict())
    run(second, after, range(10, 20))
    assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(straight, second, strict=True))


def test_groups_have_settings_of_their_own() -> None:
    a, b = Parameter(np.zeros(1, np.float32)), Parameter(np.zeros(1, np.float32))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    a.grad, b.grad = np.ones(1, np.float32), np.ones(1, np.float32)
    optimizer.step()
    assert a.item() == -0.5 and np.isclose(b.item(), -0.1)
    optimizer.zero_grad()
    assert a.grad is None


def test_read_only_parameters_are_copied_before_the_first_step() -> None:
    array = np.zeros(2, np.float32)
    array.flags.writeable = False
    parameter = Parameter(array)
    parameter.grad = np.ones(2, np.float32)
    optim.SGD([parameter], lr=1.0).step()
    assert np.array_equal(parameter.numpy(), [-1, -1]) and np.array_equal(array, [0, 0])


@pytest.mark.parametrize(("make", "code"), [
    (lambda p: optim.SGD([p], lr=-1.0), "R0130"), (lambda p: optim.SGD([p], nesterov=True), "R0130"),
    (lambda p: optim.SGD([], lr=0.1), "R0131"), (lambda p: optim.Adam([p], betas=(0.9, 1.0)), "R0130"),
    (lambda p: optim.SGD([p, p], lr=0.1), "R0130"), (lambda p: optim.SGD([1.0], lr=0.1), "R0130"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}), "R0132"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {0: {"momentum_buffer": np.zeros(9)}}, "param_groups": [{"params": [0]}]}), "R0132"),
])
def test_settings_that_make_no_sense_are_refused(make: Any, code: str) -> None:
    with pytest.raises(CallError) as caught:
        make(Parameter(np.zeros(2, np.float32)))
    assert caught.value.code == code
