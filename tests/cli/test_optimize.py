"""`optimize`: what is folded and dropped, what must stay, and that results are compared before anything is written."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scriptc_cli import optimize
from scriptc_cli.main import group
from scriptc_runtime.module import Module

import scriptc
from scriptc.interp.interpreter import evaluate
from scriptc.ir.archive.encode import load_program, save_program, state_tensor
from scriptc.ir.archive.vectors import RecordedCall, read_vectors
from scriptc.ir.freezing import shrink

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, bias=False, affine=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=bias)
        self.norm = nn.BatchNorm2d(8, affine=affine)
        self.fc = nn.Linear(8, 6)
        self.norm1 = nn.BatchNorm1d(6)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.norm1(self.fc(x.mean((2, 3))))

class ReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv(x + 1)

class UsedBefore(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y

class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x):
        return self.norm(self.fc(x))        # [N, 5, 5]: dimension 1 is not the features

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.register_buffer("limit", torch.ones(6))

    def forward(self, x):
        mask = torch.ones(6, 6).tril() * 2.0
        return self.fc(x) @ mask.T + self.limit.exp()
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("optimize") / "net.py"
    path.write_text(SOURCE)
    return path


def drawn(source: Path, entry: str, kind: str) -> Module:
    """A model whose every tensor is drawn anew: running statistics too."""
    model = scriptc.compile(source, entry=entry, inputs=[kind])
    draw = np.random.default_rng(0)
    model.load_state_dict({n: (draw.random(t.shape) + 0.5).astype(np.asarray(t).dtype) for n, t in model.state_dict().items()})
    return model


def verb(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(a) for a in arguments])


def names(program: Any, key: str = "forward") -> list[str]:
    return [op.name for op in program.functions[key].ops]


@pytest.mark.parametrize("entry", ["Net()", "Net(bias=True)", "Net(affine=False)"])
def test_batch_norms_are_folded_when_the_training_form_goes(source: Path, entry: str, tmp_path: Path) -> None:
    model = drawn(source, entry, "float32[N,3,H,W]")
    model.save(tmp_path / "net.pt")
    sizes = [text for size in ("N=2", "H=6", "W=5") for text in ("--size", size)]
    done = verb("optimize", tmp_path / "net.pt", "-o", tmp_path / "small.pt", "--drop-training", *sizes, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["largest_difference"] < 1e-5 and report["compared_calls"] == 1
    small = scriptc.load(tmp_path / "small.pt")
    assert "batch_norm" not in names(small.program)
    assert set(small.state_dict()) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}
    assert list(small.program.functions) == ["forward"]
    x = np.random.default_rng(1).standard_normal((3, 3, 7, 8)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(small(x)), np.asarray(model(x)), rtol=1e-4, atol=1e-5)
    assert [change.operation for change in small.history] == ["optimize"]
    assert verb("verify", tmp_path / "small.pt").exit_code == 0


def test_the_training_form_stays_whole_without_the_flag(source: Path, tmp_path: Path) -> None:
    model = drawn(source, "Net()", "float32[4,3,6,6]")
    model.save(tmp_path / "net.pt")
    assert verb("optimize", tmp_path / "net.pt", "-o", tmp_path / "kept.pt").exit_code == 0
    kept = scriptc.load(tmp_path / "kept.pt")
    assert set(kept.state_dict()) == set(model.state_dict())
    x = np.random.default_rng(1).standard_normal((4, 3, 6, 6)).astype(np.float32)
    for _ in range(2):      # training changes the statistics, and evaluation follows them
        for m in (model, kept):
            m.train()
            m(x)
            m.eval()
        np.testing.assert_array_equal(np.asarray(kept(x)), np.asarray(model(x)))


@pytest.mark.parametrize("entry, kind", [("ReadTwice()", "float32[2,3,4,4]"), ("UsedBefore()", "float32[2,3,4,4]"), ("Sequence()", "float32[2,5,4]")])
def test_what_others_read_is_not_folded(source: Path, entry: str, kind: str, tmp_path: Path) -> None:
    drawn(source, entry, kind).save(tmp_path / "net.pt")
    done = verb("optimize", tmp_path / "net.pt", "-o", tmp_path / "same.pt", "--drop-training", "--json")
    assert done.exit_code == 0, done.output
    assert "batch_norm" in names(load_program(str(tmp_path / "same.pt"))[0])


def test_what_follows_from_buffers_is_computed_ahead_only_when_they_are_frozen(source: Path) -> None:
    model = drawn(source, "Masked()", "float32[N,6]")
    kept = shrink(model.program, model.tensors(), evaluate, drop_training=False)
    assert "exp" in names(kept.program) and "limit" in kept.tensors
    frozen = shrink(model.program, model.tensors(), evaluate, drop_training=True)
    assert "exp" not in names(frozen.program) and "limit" not in frozen.tensors
    assert any("on constants ahead" in note for note in frozen.notes)
    x = np.ones((2, 6), np.float32)
    for made in (kept, frozen):
        np.testing.assert_allclose(np.asarray(Module(made.program, made.tensors)(x)), np.asarray(model(x)), rtol=1e-6)


def test_recorded_calls_are_what_is_compared_and_are_kept(source: Path, tmp_path: Path) -> None:
    model = drawn(source, "Net()", "float32[N,3,H,W]")
    x = np.random.default_rng(1).standard_normal((1, 3, 6, 6)).astype(np.float32)
    call = RecordedCall("forward", (x,), (np.asarray(model(x)),))
    save_program(tmp_path / "net.pt", model.program, model.tensors(), vectors=[call])
    done = verb("optimize", tmp_path / "net.pt", "-o", tmp_path / "small.pt", "--drop-training", "--json")     # no sizes are needed
    assert done.exit_code == 0, done.output
    program, file = load_program(str(tmp_path / "small.pt"))
    assert len(read_vectors(file, program)) == 1
    assert verb("verify", tmp_path / "small.pt").exit_code == 0


def test_results_beyond_the_tolerance_write_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(source, "Net()", "float32[2,3,6,6]").save(tmp_path / "net.pt")
    monkeypatch.setattr(optimize, "compared", lambda *args: (0.5, 1))
    done = CliRunner().invoke(group, ["optimize", str(tmp_path / "net.pt"), "-o", str(tmp_path / "small.pt")])
    assert isinstance(done.exception, scriptc.VerificationError) and done.exception.exit_code == 5
    assert "R0141" in str(done.exception)
    assert not (tmp_path / "small.pt").exists()


def test_a_dry_run_tells_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    drawn(source, "Net()", "float32[2,3,6,6]").save(tmp_path / "net.pt")
    before = sorted(tmp_path.iterdir())
    done = verb("optimize", tmp_path / "net.pt", "--drop-training", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "folded 2 batch norms" in done.stdout and "nothing was written" in done.stdout
    assert sorted(tmp_path.iterdir()) == before
    assert "-o OUT.pt" in verb("optimize", tmp_path / "net.pt").output


def test_what_is_folded_is_calculated_in_float64(source: Path) -> None:
    model = drawn(source, "Net(bias=True)", "float32[2,3,6,6]")
    old = {n: np.asarray(t, np.float64) for n, t in model.state_dict().items()}
    small = shrink(model.program, model.tensors(), evaluate, drop_training=True).tensors
    factor = old["norm.weight"] / np.sqrt(old["norm.running_var"] + 1e-5)
    np.testing.assert_array_equal(small["conv.weight"], (old["conv.weight"] * factor[:, None, None, None]).astype(np.float32))
    np.testing.assert_array_equal(small["conv.bias"], ((old["conv.bias"] - old["norm.running_mean"]) * factor + old["norm.bias"]).astype(np.float32))


def test_optimizing_twice_changes_nothing_more(source: Path, tmp_path: Path) -> None:
    drawn(source, "Net()", "float32[2,3,6,6]").save(tmp_path / "net.pt")
    for before, after in (("net", "once"), ("once", "twice")):
        assert verb("optimize", tmp_path / f"{before}.pt", "-o", tmp_path / f"{after}.pt", "--drop-training").exit_code == 0
    (once, file), (twice, other) = (load_program(str(tmp_path / f"{name}.pt")) for name in ("once", "twice"))
    assert names(once) == names(twice)
    assert all(np.array_equal(state_tensor(file, e), state_tensor(other, e)) for e in once.state)
