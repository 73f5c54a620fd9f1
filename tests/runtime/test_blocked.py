"""Convolutional networks in blocked layout equal the reference op by op; which ops take part, and when weights are packed again."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import versions
from scriptc_runtime.cpu import team
from scriptc_runtime.module import Module
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.clusters import Cluster, gather

from scriptc.compiler import optimized
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.interp.interpreter import run_function
from scriptc.ir.graph import Op, Value
from scriptc.ir.types import TensorType, float32

HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
SEQUENCES = {
    "stem": "nn.Conv2d(3,32,3,padding=1,bias=False),nn.BatchNorm2d(32),nn.ReLU()",
    "winograd": "nn.Conv2d(3,64,3,padding=1),nn.ReLU(),nn.Conv2d(64,64,3,padding=1),nn.ReLU(),nn.Conv2d(64,160,3,padding=1)",
    "pool": "nn.Conv2d(3,64,7,stride=2,padding=3),nn.BatchNorm2d(64),nn.ReLU(),nn.MaxPool2d(3,2,1),nn.Conv2d(64,64,1)",
    "mean": "nn.Conv2d(3,64,3),nn.AdaptiveAvgPool2d(1)",
    "depthwise": "nn.Conv2d(3,64,3),nn.ReLU6(),nn.Conv2d(64,64,5,groups=64,padding=2,stride=2),nn.SiLU(),nn.BatchNorm2d(64),nn.Hardswish()",
    "grouped": "nn.Conv2d(3,64,3,padding=1),nn.ReLU(),nn.Conv2d(64,128,3,padding=1,groups=4,bias=False),nn.BatchNorm2d(128),nn.ReLU(),"
               "nn.Conv2d(128,128,3,stride=2,padding=1,groups=16)",
    "odd groups": "nn.Conv2d(3,48,3,padding=1),nn.ReLU(),nn.Conv2d(48,48,3,padding=1,groups=2),nn.ReLU(),nn.Conv2d(48,96,3,stride=2,groups=6)",
    "transposed": "nn.Conv2d(3,32,3,padding=1),nn.ReLU(),nn.ConvTranspose2d(32,24,4,stride=2,padding=1,bias=False),nn.BatchNorm2d(24),nn.SiLU(),"
                  "nn.ConvTranspose2d(24,20,3,stride=2,padding=1,output_padding=1),nn.ReLU(),nn.ConvTranspose2d(20,5,3,dilation=2)",
    "functions": "nn.Conv2d(3,32,3,padding=1),nn.Hardswish(),nn.Conv2d(32,32,3,padding=1),nn.SiLU(),nn.Conv2d(32,32,3,groups=32),nn.GELU(),"
                 "nn.Conv2d(32,64,3,groups=2),nn.Tanh()",
    "odd channels": "nn.Conv2d(3,30,3,padding=1),nn.ReLU(),nn.Conv2d(30,20,1),nn.MaxPool2d(2),nn.Sigmoid(),nn.AvgPool2d(3,2,1)",
}
RESIDUAL = HEADER + '''
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 32, 3, padding=1)
        self.b = nn.Conv2d(32, 32, 3, padding=1)
        self.c = nn.Conv2d(32, 32, 3, padding=1)
        self.d = nn.Conv2d(32, 32, 1)
        self.norm = nn.BatchNorm2d(32)
    def forward(self, x):
        x = F.relu(self.a(x))
        y = self.norm(self.c(F.relu(self.norm(self.b(x)))))
        y = F.relu(y + x)
        w = F.relu(self.norm(self.c(y)) + self.norm(self.d(y)))
        w = w * torch.sigmoid(self.d(F.adaptive_avg_pool2d(w, 1)))
        return torch.cat([w, y, F.gelu(y - w)], 1), y.sum()
'''
SEQUENCE = HEADER + "\nclass Net(nn.Sequential):\n    def __init__(self):\n        super().__init__({})\n"
BANDS = {
    "projected": "nn.Conv2d(3,16,3,padding=1),nn.Conv2d(16,256,1),nn.BatchNorm2d(256),nn.ReLU6(),"
                 "nn.Conv2d(256,256,3,stride=2,padding=1,groups=256),nn.ReLU6(),nn.Conv2d(256,24,1)",
    "alone": "nn.Conv2d(3,272,3,stride=1,padding=1),nn.Hardswish(),nn.Conv2d(272,272,5,padding=2,groups=272),nn.SiLU(),nn.Conv2d(272,32,3)",
    "no overlap": "nn.Conv2d(3,288,3,padding=2),nn.Conv2d(288,288,2,stride=3,groups=288),nn.ReLU(),nn.Conv2d(288,32,1),nn.Sigmoid()",
}
LINE = HEADER + '''
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(1, 32, 9, stride=2, padding=4)
        self.b = nn.Conv1d(32, 48, 3, dilation=2, padding=2)
    def forward(self, x):
        return F.max_pool1d(F.relu(self.b(F.elu(self.a(x)))), 2)
'''


def compiled(text: str, folder: Path, spec: str = "float32[N,3,H,W]") -> Compiled:
    path = folder / "model.py"
    path.write_text(text)
    made = optimized(compile_source(path, entry="Net()", inputs=[spec]), [])
    rng = np.random.default_rng(0)
    for name, array in made.tensors.items():
        if name.endswith("running_var"):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif name.endswith(("running_mean", "bias")):
            array[...] = rng.normal(0, 0.1, array.shape)
    return made


def flat(value: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in value] if isinstance(value, tuple) else [np.asarray(value)]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = team._wanted
    yield
    team._wanted = before


@pytest.mark.parametrize("text", [*(SEQUENCE.format(s) for s in SEQUENCES.values()), RESIDUAL], ids=[*SEQUENCES, "residual"])
@pytest.mark.parametrize("shape", [(1, 3, 40, 40), (2, 3, 37, 51)])
def test_network_equals_the_reference(text: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    program = compiled(text, tmp_path)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    model = Module(program.program, {n: versions.frozen(a) for n, a in program.tensors.items()}, wait=True)
    wanted = run_function(program.program.functions["forward"], [x], program.tensors).results
    for _ in range(2):   # the second call reuses memory
        for found, expected in zip(flat(model(x)), wanted, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * float(np.abs(expected).max()))
    plan = model._compiled("forward").runner.plan([x, *(model._state[n]._array for n in program.program.functions["forward"].state)])
    assert "blocked" in [step.kernel.name for step in plan.steps]


def test_convolutions_over_sequences(tmp_path: Path) -> None:
    program = compiled(LINE, tmp_path, "float32[N,1,L]")
    x = np.random.default_rng(1).standard_normal((2, 1, 301)).astype(np.float32)
    model = Module(program.program, program.tensors, wait=True)
    np.testing.assert_allclose(np.asarray(model(x)), run_function(program.program.functions["forward"], [x], program.tensors).results[0],
                               rtol=1e-4, atol=1e-5)


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    program = compiled(RESIDUAL, tmp_path)
    x = np.random.default_rng(1).standard_normal((1, 3, 64, 64)).astype(np.float32)
    results = []
    for count in (1, 2, 3):
        team.set_num_threads(count)
        model = Module(program.program, program.tensors, wait=True)
        results.append([flat(model(x)) for _ in range(3)][-1])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("text", BANDS.values(), ids=BANDS)
@pytest.mark.parametrize("shape", [(1, 3, 41, 44), (3, 3, 33, 30)])
def test_chains_run_band_by_band(text: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    program = compiled(SEQUENCE.format(text), tmp_path)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    wanted = run_function(program.program.functions["forward"], [x], program.tensors).results[0]
    results = []
    for count in (1, 2, 3):
        team.set_num_threads(count)
        model = Module(program.program, program.tensors, wait=True)
        results.append([np.asarray(model(x)) for _ in range(2)][-1])
        plan = model._compiled("forward").runner.plan([x, *(model._state[n]._array for n in program.program.functions["forward"].state)])
        region, = (step.kernel.run for step in plan.steps if step.kernel.name == "blocked")
        assert "bands" in [step.command.kernel for step in region.steps]
    np.testing.assert_allclose(results[0], wanted, rtol=1e-4, atol=2e-5 * float(np.abs(wanted).max()))
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_changed_weights_are_packed_again(tmp_path: Path) -> None:
    program = compiled(SEQUENCE.format(SEQUENCES["stem"]), tmp_path)
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)
    model = Module(program.program, {n: versions.frozen(a) for n, a in program.tensors.items()}, wait=True)
    model(x)
    weight = dict(model.named_parameters())["0.weight"]
    for change in (lambda: weight.copy_(np.asarray(weight) * 2), lambda: np.multiply(weight.numpy(), 0.5, out=weight.numpy()),
                   lambda: model.load_state_dict({"0.weight": np.asarray(weight) + 1}, strict=False)):
        change()
        wanted = run_function(program.program.functions["forward"], [x], model.tensors()).results[0]
        np.testing.assert_allclose(np.asarray(model(x)), wanted, rtol=1e-4, atol=1e-4)


def test_versions_are_lost_when_memory_is_handed_out() -> None:
    array = np.zeros(3)
    assert versions.version(array) is None, "nobody announced anything"
    versions.touch(array)
    first = versions.version(array)
    versions.touch(array)
    assert first is not None
    assert versions.version(array) not in (None, first)
    versions.leak(array)
    assert versions.version(array) is None
    fixed = versions.frozen(np.zeros(3)[:2])
    assert versions.version(fixed) == 0


def test_clusters_are_convex() -> None:
    """An op that needs a cluster's result and feeds another supported op parts the two."""
    kind = TensorType(float32, (2,))
    a, b, c, d, e = (Value(kind, n) for n in "abcde")

    def bound(name: str, reads: tuple[Value, ...], makes: Value) -> BoundOp:
        return BoundOp(Op(name, reads, {}, (makes,)), reads, (kind,) * len(reads), (kind,))

    ops = [bound("exp", (a,), b), bound("relu", (b,), c), bound("tanh", (c,), d), bound("exp", (d, c), e)]
    found = gather(ops, [e], lambda op: op.name != "tanh", lambda cluster: True)
    shape = [[o.name for o in item.ops] if isinstance(item, Cluster) else item.name for item in found]
    assert shape == [["exp", "relu"], "tanh", ["exp"]]
    assert isinstance(found[0], Cluster)
    assert found[0].outputs == (c,)
