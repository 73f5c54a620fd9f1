"""torch.autocast on the processor: the dtypes and numbers of torch, in results and gradients."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scriptc

pytestmark = pytest.mark.oracle

SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1)
        self.batch = nn.BatchNorm2d(8)
        self.norm = nn.LayerNorm(8)
        self.project = nn.Linear(8, 24)
        self.head = nn.Linear(8, 3)

    def forward(self, x, target):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = F.relu(self.batch(self.conv(x)))
            rows = self.norm(y.flatten(2).transpose(1, 2))
            q, k, v = self.project(rows).chunk(3, -1)
            rows = rows + F.scaled_dot_product_attention(q, k, v)
            scores = torch.bmm(rows, rows.transpose(1, 2)).softmax(-1)
            with torch.autocast("cpu", enabled=False):
                plain = self.head(rows.float().mean(1))
            pooled = self.head(rows.mean(1))
            loss = F.mse_loss(pooled, plain) + F.cross_entropy(pooled, target) + F.smooth_l1_loss(pooled, plain)
            on = torch.is_autocast_enabled("cpu")
        with torch.autocast("cuda", dtype=torch.float16):
            outside = self.head(plain @ self.head.weight)
        return pooled, plain, scores, loss, outside, torch.tensor(on)


class Decorated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)

    @torch.amp.autocast("cpu")
    def forward(self, x):
        return self.layer(x) + x, self.half(x)

    @torch.autocast(device_type="cpu", dtype=torch.float16)
    def half(self, x):
        return x @ self.other.weight
"""


def both(entry: str, inputs: list[str], folder: Path) -> tuple[scriptc.Module, Any]:
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    torch.manual_seed(0)
    theirs = names[entry]()
    torch.save(theirs.state_dict(), folder / "net.pth")
    (folder / "net.py").write_text(SOURCE)
    return scriptc.compile(folder / "net.py", entry=f"{entry}()", inputs=inputs, weights=folder / "net.pth"), theirs


def check(found: Any, expected: Any, tolerance: float) -> None:
    assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
    a, b = np.asarray(found).astype(np.float64), expected.detach().double().numpy()
    assert a.shape == b.shape and np.abs(a - b).max() <= tolerance * max(1.0, float(np.abs(b).max()))


@pytest.mark.parametrize("training", [False, True])
def test_results_and_gradients_are_torchs(training: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = both("Net", ["x:float32[N,2,4,5]", "target:int64[N]"], tmp_path)
    mine.train(training)
    theirs.train(training)
    x, target = np.random.default_rng(0).standard_normal((3, 2, 4, 5)).astype(np.float32), np.array([0, 2, 1])
    found, expected = mine(x, target), theirs(torch.from_numpy(x), torch.from_numpy(target))
    for a, b, tolerance in zip(found, expected, (2e-2, 2e-2, 2e-2, 2e-2, 2e-2, 0), strict=True):
        check(a, b, tolerance)
    found[3].backward()
    expected[3].backward()
    for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None and p.grad.dtype is p.dtype, name
        scale = float(q.grad.abs().max()) + 1e-2
        assert np.abs(p.grad.numpy() - q.grad.numpy()).max() <= 5e-2 * scale, name


def test_as_a_decorator(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = both("Decorated", ["float32[N,4]"], tmp_path)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    for a, b in zip(mine(x), theirs(torch.from_numpy(x)), strict=True):
        check(a, b, 2e-2)
