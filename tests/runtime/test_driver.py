"""Steps joined in one native call give what they give one by one."""
from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.cpu import jit
from scriptc_runtime.cpu.driver.segment import Segment
from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.plan.plan import Frame

import scriptc

HEADER = """import torch
import torch.nn.functional as F
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(40, 96)
        self.second = nn.Linear(96, 40, bias=False)
        self.scale = nn.Parameter(torch.rand(40))

    def forward(self, x):
"""

HEADS = ("q, k, v = self.first(x).view(x.size(0), x.size(1), 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0);"
         "z = F.scaled_dot_product_attention(q, k, v, is_causal=True);")

# What forward does with x [B, T, 40].
BODIES = {
    "epilogues": "return x + self.second(F.gelu(self.first(x)))",
    "a factor per column": "return x + self.scale * self.second(F.relu(self.first(x)))",
    "a value read twice": "y = self.first(x); return self.second(torch.tanh(y)) + self.second(y)",
    "views in between": "y = self.first(x).view(x.size(0), x.size(1), 4, 24).transpose(1, 2); return self.second(y.transpose(1, 2).flatten(2)) + 1",
    "copies of views": "y = self.first(x).transpose(0, 1).reshape(x.size(0), x.size(1), 96); return self.second(y) * 2",
    "a view is the result": "return self.second(self.first(x)).transpose(1, 2)",
    "the input seen as something else": "return self.first(x[:, 1:].flip(1)).sum(1) + self.first(x[:, 0])",
    "joined": "y = self.first(x); return self.second(torch.cat([y[:, :1], y], 1)), torch.stack([x, x + 1], 2)",
    "norms and softmax": "y = F.layer_norm(self.first(x), (96,)); return self.second(F.softmax(y, -1)) + self.scale, F.log_softmax(y[:, 0], -1)",
    "heads": HEADS + "return z.transpose(1, 2).flatten(2) * 2, F.softmax(z, -1)",
    "heads that are the result": HEADS + "return z, z + 1",
    "parts replaced": "y = self.first(x); y = y.slice_scatter(x[:, :, :5], 2, 3, 8); return self.second(y.select_scatter(x[:, 0, :1], 1, -1)) + 1",
    "an element replaced": "z = (self.scale * 2).select_scatter(x.sum(), 0, 3); return self.second(self.first(x)) * z",
    "parts replaced in place": "y = self.first(x).clone(); y[:, :, ::3] = 2.0; y[:, 0] = y[:, 0] + 1; return self.second(y)",
    "numpy in the middle": "y = self.second(self.first(x)); return self.first(y.cumsum(1) + y), y",
    "a parameter seen as something else": "return F.linear(self.first(x), self.second.weight.view(40, 96)[:20]) - 1",
    "columns that are computed": "return F.linear(x, self.first.weight * 2) + 1",
    "no rows": "return self.second(F.silu(self.first(x[:, :0])))",
    "nothing but views": "return x.transpose(1, 2)[:, 3:5], x[0]",
    "several results of one buffer": "y = F.relu(self.first(x)); return y, y[:, 0], y + 1",
}


def build(tmp_path: Path, body: str) -> scriptc.Module:
    source = tmp_path / "model.py"
    source.write_text(HEADER + "".join(f"        {line.strip()}\n" for line in body.split(";")))
    scriptc.compile(source, entry="Model()", inputs=["float32[B,T,40]"]).save(tmp_path / "model.pt")
    model = scriptc.load(tmp_path / "model.pt")
    model.eval()
    return model


def flat(result: object) -> list[np.ndarray]:
    return [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,))]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


@pytest.mark.parametrize("name", BODIES)
def test_joined_steps_agree_with_the_reference(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    draw = np.random.default_rng(0)
    inputs = [draw.standard_normal((b, t, 40)).astype(np.float32) for b, t in ((1, 1), (2, 5), (3, 40), (2, 5))]
    monkeypatch.setenv("SCRIPTC_JIT", "never")
    model = build(tmp_path, BODIES[name])
    expected = [flat(model(x)) for x in inputs]
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = scriptc.load(tmp_path / "model.pt")
    model.eval()
    found = [flat(model(x)) for x in inputs]
    for wanted, got in zip(expected, found, strict=True):
        for a, b in zip(wanted, got, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
    again = [flat(model(x)) for x in inputs]
    assert all(np.array_equal(a, b) for x, y in zip(found, again, strict=True) for a, b in zip(x, y, strict=True))


def test_results_stay_what_they_were_when_the_model_is_called_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, BODIES["several results of one buffer"])
    first = flat(model(np.ones((2, 3, 40), np.float32)))
    kept = [a.copy() for a in first]
    model(np.full((2, 3, 40), 7, np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_changed_weights_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, "return self.second(self.first(x))")
    x = np.ones((2, 3, 40), np.float32)
    before = flat(model(x))[0]
    state = {name: np.asarray(value) * 2 for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    after = flat(model(x))[0]
    assert not np.allclose(before, after)
    state = {name: value / 2 for name, value in state.items()}
    model.load_state_dict(state)
    np.testing.assert_allclose(flat(model(x))[0], before, rtol=1e-6)


def test_a_frame_that_ran_with_other_weights_meanwhile_sees_its_own_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, "return self.scale + self.second(self.first(x))")
    x = np.ones((2, 3, 40), np.float32)
    with scriptc.no_grad():
        wanted = [flat(model(x))[0] for _ in range(3)][-1]
        repeated = model._repeated["forward"]
        others = [np.zeros_like(a) for a in repeated._arrays]
        for array in others:
            array.flags.writeable = False
        assert not repeated._plan.run([x, *others])[0].any()
        np.testing.assert_array_equal(flat(model(x))[0], wanted)
        assert not repeated._plan.run([x, *others], others)[0].any()
        assert not repeated._plan.run([x + 1, *others], others)[0].any()
        np.testing.assert_array_equal(flat(model(x))[0], wanted)


def test_inputs_that_nobody_can_write_are_read_in_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, "return self.second(self.first(x))")
    inputs = [np.full((2, 3, 40), value, np.float32) for value in (1, 2, 1, 3)]
    with scriptc.no_grad():
        wanted = [flat(model(x))[0] for x in inputs]
        for x in inputs:
            x.flags.writeable = False
        for _ in range(2):
            for x, y in zip(inputs, wanted, strict=True):
                np.testing.assert_array_equal(flat(model(x))[0], y)


def items_of(model: scriptc.Module, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the frame of one call runs."""
    seen: list[list[object]] = []
    plain = Frame.run

    def run(self: Frame, *arguments: object) -> object:
        result = plain(self, *arguments)  # type: ignore[arg-type]
        seen.append(list(self._items))
        return result

    monkeypatch.setattr(Frame, "run", run)
    model(x)
    return seen[-1]


def test_a_program_of_native_steps_is_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, "return x + self.second(F.gelu(self.first(x).transpose(0, 1).contiguous().transpose(0, 1)))")
    assert [type(item) for item in items_of(model, np.ones((2, 30, 40), np.float32), monkeypatch)] == [Segment]


def test_heads_are_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, HEADS + "y = F.layer_norm(z.transpose(1, 2).flatten(2), (32,)); return F.linear(y, self.first.weight[:, :32])")
    item, = items_of(model, np.ones((2, 30, 40), np.float32), monkeypatch)
    assert isinstance(item, Segment)
    names = [command.kernel for command in item._alive[2].commands]
    assert names == ["copy", "copy", "product", "attention", "normalize", "product"]      # the copies fill up x's 40 features


def test_arrays_that_are_no_whole_memory_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    model = build(tmp_path, BODIES["epilogues"])
    x = np.random.default_rng(1).standard_normal((5, 4, 80)).astype(np.float32)
    np.testing.assert_array_equal(flat(model(x.transpose(1, 0, 2)[:, :, ::2]))[0], flat(model(x.transpose(1, 0, 2)[:, :, ::2].copy()))[0])


@pytest.mark.parametrize("body", ["y = self.first(x); return self.second(y * torch.tanh(y)), y + y", "y = x * 2.0; return y + x, y"])
def test_work_alone_gets_steps_joined(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a compiler here: every kernel of the plan must ask for its own code, also the loop of a single op."""
    monkeypatch.setenv("SCRIPTC_JIT", "auto")
    monkeypatch.setattr(jit, "ENOUGH", 0)
    monkeypatch.setattr(library, "WORTH_LOADING", 0)
    joined: list[Frame] = []
    plain = Frame.run

    def run(self: Frame, *arguments: object) -> object:
        result = plain(self, *arguments)  # type: ignore[arg-type]
        joined[:] = [self] if any(isinstance(item, Segment) for item in self._items) else []
        return result

    monkeypatch.setattr(Frame, "run", run)
    model = build(tmp_path, body)
    x = np.random.default_rng(0).standard_normal((2, 6, 40)).astype(np.float32)
    with scriptc.no_grad():
        before = flat(model(x))
        end = time.monotonic() + 120
        while not joined and time.monotonic() < end:
            time.sleep(0.01)
            model(x)
        assert joined
        for a, b in zip(before, flat(model(x)), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
