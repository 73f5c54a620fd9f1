"""Averages of weights: torch.optim.swa_utils step for step, on loaded models."""
from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Module, load
from scriptc_runtime.optim import swa_utils

import scriptc
from scriptc.errors import CallError
from scriptc.ir.types import DTYPES, TensorType

MAKERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "equal": lambda m: {}, "equal one by one": lambda m: {"avg_fn": m.get_swa_avg_fn()},
    "ema": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9)}, "ema one by one": lambda m: {"avg_fn": m.get_ema_avg_fn(0.8)},
    "buffers too": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9), "use_buffers": True},
}


@pytest.fixture
def model(function_of: Callable[..., Any], program_of: Callable[..., Any]) -> Module:
    """y = x * weight + shift, with `shift` a buffer."""
    kind = TensorType(DTYPES["float32"], (3,))
    function = function_of(lambda x, w, b: x * w + b, {"x": kind}, {"weight": kind, "shift": kind})
    tensors = {"weight": np.array([1, 2, 3], np.float32), "shift": np.zeros(3, np.float32)}
    return Module(program_of(tensors, function, buffers=["shift"]), tensors)


def twin() -> Any:
    torch = pytest.importorskip("torch")
    made = torch.nn.Module()
    made.weight = torch.nn.Parameter(torch.tensor([1.0, 2, 3]))
    made.register_buffer("shift", torch.zeros(3))
    return made


@pytest.mark.oracle
@pytest.mark.parametrize("average", MAKERS)
def test_averages_match_torch(model: Module, average: str) -> None:
    torch = pytest.importorskip("torch")
    other = twin()
    mine = swa_utils.AveragedModel(model, **MAKERS[average](swa_utils))
    theirs = torch.optim.swa_utils.AveragedModel(other, **MAKERS[average](torch.optim.swa_utils))
    rng = np.random.default_rng(0)
    for _ in range(10):
        for name, tensor in model.state_dict().items():
            step = rng.standard_normal(3).astype(np.float32)
            tensor.copy_(tensor.numpy() + step)
            other.state_dict()[name].add_(torch.tensor(step))
        mine.update_parameters(model)
        theirs.update_parameters(other)
    expected = theirs.state_dict()
    found = mine.state_dict()
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.allclose(found[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6), name


def test_an_average_is_a_model_of_its_own(model: Module) -> None:
    average = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5))
    average.update_parameters(model)
    next(model.parameters()).copy_(np.array([3, 4, 5], np.float32))
    average.update_parameters(model)
    x = np.ones(3, np.float32)
    assert np.allclose(average.eval()(x), [2, 3, 4]) and np.allclose(model(x), [3, 4, 5])


def test_a_saved_average_goes_on(model: Module) -> None:
    first = swa_utils.AveragedModel(model)
    for value in (1.0, 2.0, 6.0):
        next(model.parameters()).copy_(np.full(3, value, np.float32))
        first.update_parameters(model)
    second = swa_utils.AveragedModel(model)
    second.load_state_dict(first.state_dict())
    next(model.parameters()).copy_(np.full(3, 11.0, np.float32))
    second.update_parameters(model)
    assert np.allclose(next(iter(second.parameters())), 5.0)


def test_averages_that_make_no_sense_are_refused(model: Module) -> None:
    with pytest.raises(CallError, match="R0130"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(CallError, match="R0130"):
        swa_utils.AveragedModel(model, avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
    with pytest.raises(CallError, match="R0115"):
        swa_utils.AveragedModel(model).load_state_dict(model.state_dict())


def test_a_copied_model_shares_nothing(model: Module) -> None:
    model.requires_grad_(False).train()
    made = copy.deepcopy(model)
    next(made.parameters()).zero_()
    assert next(model.parameters()).numpy()[0] == 1 and made.training and not next(made.parameters()).requires_grad


def test_what_requires_a_gradient_is_saved(model: Module, tmp_path: Any) -> None:
    model.requires_grad_(False, "weight").save(tmp_path / "frozen.pt")
    assert not next(load(tmp_path / "frozen.pt").parameters()).requires_grad
    model.requires_grad_(True).save(tmp_path / "free.pt")
    assert next(load(tmp_path / "free.pt").parameters()).requires_grad



NORMS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3, momentum=None), nn.ReLU())

    def forward(self, x):
        return self.second(self.first(x)).mean((2, 3))
"""


def images(number: int) -> np.ndarray:
    """Batches of several sizes, means and deviations."""
    return (np.random.default_rng(number).standard_normal((3 + number, 2, 9, 9)) * (1 + number) + number).astype(np.float32)


@pytest.mark.oracle
def test_batch_norms_get_the_statistics_of_all_batches(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {}
    exec(NORMS, names)
    torch.manual_seed(0)
    theirs = names["Net"]()
    for number in range(3):     # running statistics that are not those of a fresh net
        theirs(torch.from_numpy(images(number)))
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.py").write_text(NORMS)
    mine = scriptc.compile(tmp_path / "net.py", entry="Net()", inputs=["float32[N,2,9,9]"], weights=tmp_path / "net.pth")
    averaged = swa_utils.AveragedModel(mine)
    swa_utils.update_bn([images(n) for n in range(4)], averaged)
    torch.optim.swa_utils.update_bn([(torch.from_numpy(images(n)), None) for n in range(4)], theirs)
    found = averaged.module.state_dict()
    for name, value in theirs.state_dict().items():
        assert np.allclose(found[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-5), name
    assert not averaged.module.training
    assert np.allclose(averaged(images(5)).numpy(), theirs.eval()(torch.from_numpy(images(5))).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_without_batch_norms_is_left_alone(model: Module) -> None:
    swa_utils.update_bn(iter(()), model)
    assert np.array_equal(model.state_dict()["shift"].numpy(), np.zeros(3))
