"""What surrounds a training loop, on the device: clipping, loss scaling, averages, surgery."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Module, Tensor, optim, surgery
from scriptc_runtime.amp import GradScaler
from scriptc_runtime.device import device_named, placed
from scriptc_runtime.nn import utils
from scriptc_runtime.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import scriptc

NET = """
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x)
"""
X = np.ones((2, 4), np.float32)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Module:
    path = tmp_path_factory.mktemp("training") / "net.py"
    path.write_text(NET)
    return scriptc.compile(path, entry="Net()", inputs=["x:float32[N,4]"])


def pair(net: Module) -> list[Module]:
    """The model on the CPU and on the device, with gradients."""
    found = [copy.deepcopy(net), copy.deepcopy(net).to("cuda")]
    for model in found:
        for index, p in enumerate(model.parameters()):
            gradient = np.full(p.shape, 3.0 + index, np.float32)
            p.grad = Tensor(gradient if model is found[0] else placed(gradient, device_named("cuda")))  # type: ignore[arg-type]
    return found


def host(tensor: Any) -> np.ndarray:
    return tensor.cpu().numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("clip", [lambda ps: utils.clip_grad_norm_(ps, 1.0), lambda ps: utils.clip_grad_value_(ps, 0.5)])
def test_gradients_are_clipped_where_they_are(net: Module, clip: Callable[[Any], Any]) -> None:
    cpu, cuda = pair(net)
    clip(list(cpu.parameters()))
    clip(list(cuda.parameters()))
    for p, q in zip(cpu.parameters(), cuda.parameters(), strict=True):
        assert q.grad is not None and q.grad.device == "cuda:0" and np.allclose(host(q.grad), host(p.grad), rtol=1e-6)


def test_scaled_losses_step_as_on_the_cpu(net: Module) -> None:
    cpu, cuda = pair(net)
    for model in (cpu, cuda):
        optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), GradScaler(init_scale=4.0)
        scaler.step(optimizer)
        scaler.update()
    for p, q in zip(cpu.parameters(), cuda.parameters(), strict=True):
        assert q.device == "cuda:0" and np.allclose(host(q), host(p), rtol=1e-6)


def test_averages_are_on_the_device(net: Module) -> None:
    _, cuda = pair(net)
    average = AveragedModel(cuda, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(cuda)
    before = host(next(cuda.parameters())).copy()
    next(cuda.parameters()).copy_(before + 2.0)
    average.update_parameters(cuda)
    first = next(iter(average.parameters()))
    assert first.device == "cuda:0" and np.allclose(host(first), before + 1.0)


def test_surgery_leaves_models_on_the_device(net: Module) -> None:
    _, cuda = pair(net)
    surgery.add_lora(surgery.replace_head(cuda, "fc", 5, keep=True), "fc", rank=2)
    expected = host(cuda(X))
    surgery.merge_lora(cuda)
    assert {p.device for p in cuda.parameters()} == {"cuda:0"} and np.allclose(host(cuda(X)), expected, rtol=1e-6)
    assert np.allclose(expected[:, :3], np.asarray(net(X)), rtol=1e-5)
