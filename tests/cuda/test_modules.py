"""Models on the device: loading, moving, running, training and saving, against the same model on the CPU."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.device import device_named

import scriptc

NET = """
import torch
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.norm = nn.LayerNorm(12)
        self.drop = nn.Dropout(0.25)
        self.last = nn.Linear(12, 3)

    def forward(self, x):
        return self.last(self.drop(self.norm(torch.relu(self.first(x)))))
"""
X = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
TARGET = np.array([0, 1, 2, 1, 0])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "net.py").write_text(NET)
    model = scriptc.compile(str(folder / "net.py"), entry="Net()", inputs=["x:float32[N,6]"])
    model.save(str(folder / "net.pt"))
    return folder / "net.pt"


def pair(archive: Path) -> list[Any]:
    """The model on the CPU and on the device, with the same random stream."""
    found = [scriptc.load(str(archive), device=device, wait=True) for device in ("cpu", "cuda")]
    for model in found:
        model.manual_seed(11)
    return found


def test_a_loaded_model_answers_with_tensors_of_its_device(archive: Path) -> None:
    cpu, cuda = pair(archive)
    found = cuda(X)
    assert found.device == "cuda:0" and cuda.device == "cuda:0"
    np.testing.assert_allclose(found.cpu().numpy(), cpu(X).numpy(), rtol=1e-5, atol=1e-5)


def test_tensors_of_a_device_are_no_numpy_arrays(archive: Path) -> None:
    found = pair(archive)[1](X)
    with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy\. Use Tensor\.cpu\(\)"):
        np.asarray(found)
    with pytest.raises(TypeError, match="to numpy"):
        found.numpy()


def test_a_model_moves_and_keeps_its_tensors(archive: Path) -> None:
    model = scriptc.load(str(archive))
    parameters = list(model.parameters())
    model.to("cuda")
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert {p.device for p in parameters} == {"cuda:0"}
    assert {p.device for p in model.cpu().parameters()} == {"cpu"}


def by_backward(model: Any) -> Callable[[], float]:
    optimizer = scriptc.optim.AdamW(model.parameters(), lr=1e-2)

    def step() -> float:
        target = scriptc.Tensor(TARGET)
        loss = scriptc.nn.functional.cross_entropy(model(X), target.cuda() if model.device != "cpu" else target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)
    return step


def by_train_step(model: Any) -> Callable[[], float]:
    step = scriptc.train_step(model, loss=scriptc.nn.functional.cross_entropy,
                              optimizer=scriptc.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9))
    return lambda: float(step(X, TARGET))


@pytest.mark.parametrize("stepping", [by_backward, by_train_step])
def test_training_follows_the_cpu(archive: Path, stepping: Callable[[Any], Callable[[], float]]) -> None:
    models = pair(archive)
    steps = [stepping(model.train()) for model in models]
    losses = [[step() for _ in range(4)] for step in steps]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for (name, a), (_, b) in zip(models[0].named_parameters(), models[1].named_parameters(), strict=True):
        np.testing.assert_allclose(b.cpu().numpy(), a.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_model_trained_on_the_device_is_saved_as_any_other(archive: Path, tmp_path: Path) -> None:
    model = pair(archive)[1].train()
    by_train_step(model)()
    model.eval().save(str(tmp_path / "tuned.pt"))
    again = scriptc.load(str(tmp_path / "tuned.pt"), wait=True)
    np.testing.assert_allclose(again(X).numpy(), model(X).cpu().numpy(), rtol=1e-5, atol=1e-5)


def test_tensors_of_two_devices_do_not_mix() -> None:
    x = scriptc.Tensor(np.ones(3, np.float32))
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        _ = x + x.cuda()


def test_gradients_cross_a_copy_to_the_device() -> None:
    x = scriptc.Tensor(np.array([1.0, 2.0, 3.0], np.float32), requires_grad=True)
    (x.cuda() * 2.0).sum().backward()
    assert x.grad is not None and x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0, 2.0])


def test_memory_goes_back_to_the_pool(archive: Path) -> None:
    engine: Any = device_named("cuda")
    model = pair(archive)[1]
    model(X)
    before = engine.statistics()
    for _ in range(5):
        model(X)
    after = engine.statistics()
    assert after["used"] == before["used"] and after["allocations"] == before["allocations"]
