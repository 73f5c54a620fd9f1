"""Gradient checkpointing: the same gradients from less memory, where the source or a user of the archive asks for it."""
from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import scriptc
from scriptc.errors import CallError
from scriptc.ir.autodiff import differentiate
from scriptc.ir.graph import walk

SOURCE = """
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Block(nn.Module):
    def __init__(self, width, drop=0.3):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.drop = nn.Dropout(drop)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(self.drop(torch.tanh(self.up(self.norm(x)))))


class Net(nn.Module):
    def __init__(self, how, width=16, depth=4, drop=0.3):
        super().__init__()
        self.how = how
        self.blocks = nn.ModuleList([Block(width, drop) for _ in range(depth)])
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        if self.how == "parts":
            x = checkpoint_sequential(list(self.blocks), 2, x, use_reentrant=False)
        else:
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False) if self.how == "blocks" else block(x)
        return self.head(x)


class Loop(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.block = Block(8)

    def forward(self, x):
        n = 0
        while bool(x.abs().max() < 3.0) and n < 5:
            x = checkpoint(self.block, x, use_reentrant=False) if self.how else self.block(x)
            x = x * 1.5
            n += 1
        return x
"""


def compiled(tmp_path: Path, entry: str, width: int = 16) -> scriptc.Module:
    (tmp_path / "net.py").write_text(SOURCE)
    model = scriptc.compile(tmp_path / "net.py", entry=entry, inputs=[f"float32[N,{width}]"], seed=1).train()
    model.manual_seed(5)
    return model


def gradients(model: scriptc.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    model.zero_grad()
    model(x).square().sum().backward()
    return {n: p.grad.numpy().copy() for n, p in model.named_parameters()}


def products(model: scriptc.Module) -> int:
    """How many linear layers the backward runs."""
    function = model.function()
    gradient = differentiate(function, wrt_state=[e.name for e in model.program.state if e.kind == "parameter"])
    return sum(op.name == "linear" for op in walk(gradient.backward.ops))


def saved(model: scriptc.Module) -> int:
    function = model.function()
    return len(differentiate(function, wrt_state=[e.name for e in model.program.state if e.kind == "parameter"]).saved)


@pytest.mark.parametrize("how", ["blocks", "parts"])
def test_gradients_are_the_same_and_less_is_saved(how: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    plain, other = compiled(tmp_path, "Net('')"), compiled(tmp_path, f"Net({how!r})")
    a, b = gradients(plain, x), gradients(other, x)
    for name in a:
        assert np.allclose(a[name], b[name], rtol=1e-5, atol=1e-6), name
    assert saved(other) < saved(plain)
    assert products(other) > products(plain) == 0
    with scriptc.no_grad():
        assert np.array_equal(plain.eval()(x).numpy(), other.eval()(x).numpy())


def test_a_user_of_an_archive_may_ask_for_it_and_take_it_back(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    model = compiled(tmp_path, "Net('')")
    expected, before = gradients(copy.deepcopy(model), x), saved(model)
    scriptc.surgery.checkpoint(model, "blocks.*")
    model.save(tmp_path / "net.pt")
    loaded = scriptc.load(tmp_path / "net.pt").train()
    assert saved(loaded) < before and products(loaded) == 4 * 2 - 4       # the last product of a block is not needed
    found = gradients(loaded, x)
    for name in expected:
        assert np.allclose(expected[name], found[name], rtol=1e-5, atol=1e-6), name
    scriptc.surgery.checkpoint(loaded, ())
    assert saved(loaded) == before and products(loaded) == 0
    with pytest.raises(CallError) as caught:
        scriptc.surgery.checkpoint(loaded, "layers.*")
    assert caught.value.code == "R0160"


def test_a_training_step_computes_again_instead_of_keeping(tmp_path: Path) -> None:
    """Both learn the same; what the step keeps for the backward shrinks."""
    generator = np.random.default_rng(0)
    batches = [(generator.standard_normal((512, 16)).astype(np.float32), generator.integers(0, 3, 512)) for _ in range(3)]
    losses, sizes = [], []
    for entry in ("Net('', depth=8, drop=0.0)", "Net('blocks', depth=8, drop=0.0)"):
        model = compiled(tmp_path, entry)
        step = scriptc.train_step(model, loss=scriptc.nn.functional.cross_entropy, optimizer=scriptc.optim.SGD(model.parameters(), lr=0.1))
        losses.append([step(*batch).item() for batch in batches])
        (call,) = step._calls._entries.values()
        (program,) = call._programs._entries.values()
        sizes.append(program._plan.arena_size)
    assert np.allclose(*losses, rtol=1e-5)
    assert sizes[1] < 0.6 * sizes[0], sizes


@pytest.mark.parametrize("rows", [1, 4])
def test_inside_a_loop(rows: int, tmp_path: Path) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    a, b = gradients(compiled(tmp_path, "Loop(False)", 8), x), gradients(compiled(tmp_path, "Loop(True)", 8), x)
    for name in a:
        assert np.allclose(a[name], b[name], rtol=1e-5, atol=1e-6), name
