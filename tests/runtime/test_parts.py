"""Modules inside a loaded model: each in a mode of its own, as torch has it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scriptc

SOURCE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(2), Block(4))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.drop(self.body(x).mean((2, 3))))
"""


def batch(number: int, size: int = 5) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((size, 2, 6, 6)).astype(np.float32) + number


@pytest.fixture
def nets(tmp_path: Path) -> tuple[scriptc.Module, Any]:
    """The net with the same weights by us and by torch."""
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    torch.manual_seed(0)
    theirs = names["Net"]()
    for number in range(3):
        theirs(torch.from_numpy(batch(number)))
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.py").write_text(SOURCE)
    scriptc.compile(tmp_path / "net.py", entry="Net()", inputs=["float32[N,2,6,6]"], weights=tmp_path / "net.pth").save(tmp_path / "net.pt")
    return scriptc.load(tmp_path / "net.pt"), theirs


def same_step(mine: scriptc.Module, theirs: Any, number: int) -> None:
    """Results, gradients and buffers of one forward and backward."""
    import torch

    result, expected = mine(batch(number)), theirs(torch.from_numpy(batch(number)))
    assert np.allclose(result.numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    mine.zero_grad()
    theirs.zero_grad()
    result.square().sum().backward()
    expected.square().sum().backward()
    for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        scale = max(0.05, float(q.grad.abs().max()))
        assert np.abs(p.grad.numpy() - q.grad.numpy()).max() <= 1e-4 * scale, name
    for name, value in theirs.state_dict().items():
        assert np.allclose(mine.state_dict()[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-5), name


@pytest.mark.oracle
def test_parts_have_modes_of_their_own(nets: tuple[scriptc.Module, Any]) -> None:
    mine, theirs = nets
    mine.train()
    theirs.train()
    mine.drop.eval()
    theirs.drop.eval()
    same_step(mine, theirs, 3)
    mine.body[0].eval()
    theirs.body[0].eval()
    same_step(mine, theirs, 4)
    mine.body.eval()
    theirs.body.eval()
    mine.get_submodule("body.1").train()
    theirs.body[1].train()
    assert (mine.body[0].training, mine.body[1].training, mine.head.training) == (False, True, True)
    same_step(mine, theirs, 5)
    mine.eval()
    theirs.eval()
    mine.body[1].norm.train()
    theirs.body[1].norm.train()
    same_step(mine, theirs, 6)
    mine.eval()
    theirs.eval()
    same_step(mine, theirs, 7)


@pytest.mark.oracle
def test_a_training_step_sees_the_modes_of_parts(nets: tuple[scriptc.Module, Any]) -> None:
    import torch

    mine, theirs = nets
    for net in (mine, theirs):
        net.train()
        net.drop.eval()
        net.body.eval()
    step = scriptc.train_step(mine, loss=scriptc.nn.functional.mse_loss, optimizer=scriptc.optim.SGD(mine.parameters(), lr=0.1))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for number in range(3):
        if number == 2:
            mine.body.train()
            theirs.body.train()
        x, target = batch(number), np.ones((5, 3), np.float32)
        loss = torch.nn.functional.mse_loss(theirs(torch.from_numpy(x)), torch.from_numpy(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert np.isclose(step(x, target).item(), loss.item(), rtol=1e-4)
    for name, value in theirs.state_dict().items():
        assert np.allclose(mine.state_dict()[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-5), name


@pytest.mark.oracle
def test_a_single_image_suffices_where_norms_evaluate(nets: tuple[scriptc.Module, Any]) -> None:
    mine, _ = nets
    mine.train()
    mine.body.eval()
    assert mine(batch(0, 1)).shape == (1, 3)


@pytest.mark.oracle
def test_parts_name_their_parameters(nets: tuple[scriptc.Module, Any]) -> None:
    mine, _ = nets
    assert [n for n, _ in mine.body[1].named_parameters()] == ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    mine.body.requires_grad_(False, "*.conv.*")
    assert [n for n, p in mine.named_parameters() if not p.requires_grad] == [f"body.{i}.conv.{n}" for i in (0, 1) for n in ("weight", "bias")]
    with pytest.raises(AttributeError, match="neck"):
        mine.get_submodule("neck")
    with pytest.raises(AttributeError, match="neck"):
        mine.body.neck  # noqa: B018
