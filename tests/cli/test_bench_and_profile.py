"""`bench`, `run --profile` and `inspect --memory`: what is measured, how inputs are made from a signature, and what is said of those that are not."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scriptc_cli.bench import statistics
from scriptc_cli.main import group
from scriptc_cli.samples import made_inputs
from scriptc_runtime.cpu.roofline import Peaks
from scriptc_runtime.plan.profile import Timing, flops, traffic

import scriptc

SOURCE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))

class Several(nn.Module):
    def forward(self, ids, pair, mask, scale: float, flag: bool = True):
        return ids.float().sum() * scale + pair[0].sum() + pair[1].sum() + mask.sum()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bench")
    (made / "net.py").write_text(SOURCE)
    scriptc.compile(made / "net.py", entry="Net()", inputs=["x:float32[N,3,H,W]"]).save(made / "net.pt")
    np.save(made / "x.npy", np.random.default_rng(0).standard_normal((1, 3, 12, 14)).astype(np.float32))
    return made


def verb(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(a) for a in arguments])


def test_bench_times_calls_on_inputs_of_the_sizes_given(folder: Path) -> None:
    done = verb("bench", folder / "net.pt", "--size", "N=2", "--size", "H=8", "--size", "W=9", "--iterations", 5, "--warmup", 1,
                "--threads", 1, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["inputs"] == ["float32[2, 3, 8, 9]"]
    assert report["iterations"] == 5
    assert 0 < report["min_s"] <= report["median_s"] <= report["p90_s"] <= report["p99_s"] <= report["max_s"]
    assert report["calls_per_s"] == pytest.approx(1 / report["median_s"])


def test_bench_takes_inputs_from_files(folder: Path) -> None:
    done = verb("bench", folder / "net.pt", "--input", f"x={folder / 'x.npy'}", "--iterations", 2, "--warmup", 0)
    assert done.exit_code == 0, done.output
    assert "forward(float32[1, 3, 12, 14])" in done.stdout
    assert "calls/s" in done.stdout


@pytest.mark.parametrize("arguments, told", [
    ((), "--size H=NUMBER --size N=NUMBER --size W=NUMBER"),
    (("--size", "N=1", "--size", "H=4", "--size", "W=4", "--size", "Q=1"), "no size Q"),
    (("--size", "N"), "expected NAME=NUMBER"),
    (("--input", "missing.npy"), "there is no file missing.npy"),
], ids=["none", "unknown", "malformed", "no file"])
def test_bench_says_what_it_lacks(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = verb("bench", folder / "net.pt", *arguments)
    assert done.exit_code == 2
    assert told in done.output


def test_statistics_of_known_times() -> None:
    found = statistics(np.arange(1.0, 102.0))
    assert found == {"median_s": 51.0, "p90_s": 91.0, "p99_s": 100.0, "min_s": 1.0, "max_s": 101.0, "calls_per_s": 1 / 51.0}


def test_inputs_follow_the_types_of_the_signature(folder: Path) -> None:
    model = scriptc.compile(folder / "net.py", entry="Several()",
                            inputs=["ids:int64[N,4]", "pair:(float32[N], float64[2])", "mask:bool[N]", "scale:float"])
    positional, named = made_inputs(model.function(), {"N": 3})
    ids, pair, mask, scale = positional
    assert ids.dtype == np.int64 and ids.shape == (3, 4) and set(ids.ravel()) <= {0, 1}
    assert [a.dtype for a in pair] == [np.float32, np.float64] and [a.shape for a in pair] == [(3,), (2,)]
    assert mask.all() and mask.dtype == np.bool_
    assert scale == 1.0 and named == {}
    np.testing.assert_array_equal(made_inputs(model.function(), {"N": 3})[0][1][0], pair[0])    # the same each time
    model(*positional, **named)


@pytest.fixture(scope="module")
def timings(folder: Path) -> list[Timing]:
    return scriptc.load(folder / "net.pt").profile(np.load(folder / "x.npy"), repeats=2)


def test_a_profile_accounts_for_every_op_once(timings: list[Timing], folder: Path) -> None:
    plan = scriptc.load(folder / "net.pt").plan(np.load(folder / "x.npy"))
    planned = [bound.op for step in plan.steps for bound in step.ops]
    timed = [bound.op.location.scope for timing in timings for bound in timing.ops]
    assert sorted(timed) == sorted(op.location.scope for op in planned)
    assert {"stem", "blocks.0.conv", "blocks.1.norm", "head"} <= set(timed)
    assert all(timing.seconds > 0 for timing in timings)


def test_a_profile_counts_the_work_of_products(timings: list[Timing]) -> None:
    bound = {b.op.location.scope: b for timing in timings for b in timing.ops if b.name in ("convolution", "linear")}
    assert flops(bound["stem"]) == 2 * (16 * 12 * 14) * (3 * 9)
    assert flops(bound["head"]) == 2 * 5 * 16
    assert traffic([bound["head"]]) == 4 * (16 + 5 * 16 + 5 + 5)


def test_a_profile_changes_neither_state_nor_inputs(folder: Path) -> None:
    model, x = scriptc.load(folder / "net.pt"), np.load(folder / "x.npy")
    before = {name: array.copy() for name, array in model.tensors().items()}
    wanted = np.asarray(model(x))
    model.profile(x, repeats=2)
    assert all(np.array_equal(before[name], array) for name, array in model.tensors().items())
    np.testing.assert_array_equal(np.asarray(model(x)), wanted)


def test_run_shows_modules_and_lines_and_writes_a_trace(folder: Path) -> None:
    trace = folder / "trace.json"
    done = verb("run", folder / "net.pt", "--input", folder / "x.npy", "--profile", trace, "--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["output"][0]) == 5
    assert "blocks.0.conv" in done.stderr and "net.py:12:" in done.stderr and "GFLOP/s" in done.stderr
    events: list[dict[str, Any]] = json.loads(trace.read_text())["traceEvents"]
    assert all(e["ph"] == "X" and e["dur"] > 0 for e in events)
    assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)
    assert any("self.norm(self.conv(x))" in e["args"]["source"] for e in events)


def test_the_roofline_is_the_slower_of_arithmetic_and_memory() -> None:
    machine = Peaks(flops=100.0, bandwidth=10.0, threads=1)
    assert machine.least_seconds(1000, 10) == 10.0
    assert machine.least_seconds(10, 1000) == 100.0


def test_inspect_tells_the_memory_of_a_call(folder: Path) -> None:
    done = verb("inspect", folder / "net.pt", "--memory", "--size", "N=1", "--size", "H=12", "--size", "W=14", "--json")
    assert done.exit_code == 0, done.output
    memory = json.loads(done.stdout)["memory"]
    assert memory["inputs"] == 4 * 3 * 12 * 14
    assert memory["results"] == 4 * 5
    assert memory["working"] >= 4 * 16 * 12 * 14
    assert memory["state"] >= 4 * (2 * 16 * 16 * 9 + 16 * 27)
