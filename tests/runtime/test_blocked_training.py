"""Training of convolutional networks in blocked layout: results, gradients and running statistics equal the reference op by op."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.cpu import team
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import Runner

from scriptc.interp.interpreter import run_function
from scriptc.ir.autodiff import Gradient, differentiate
from tests.runtime.test_blocked import HEADER, RESIDUAL, SEQUENCE, compiled

SEQUENCES = {
    "norm": "nn.Conv2d(3,32,3,padding=1,bias=False),nn.BatchNorm2d(32),nn.ReLU(),nn.Conv2d(32,40,3,padding=1),nn.BatchNorm2d(40),nn.ReLU6(),"
            "nn.Conv2d(40,33,3,stride=2,padding=1)",
    "pools": "nn.Conv2d(3,64,7,stride=2,padding=3),nn.BatchNorm2d(64),nn.ReLU(),nn.MaxPool2d(3,2,1),nn.Conv2d(64,64,1,stride=2),nn.AvgPool2d(2),"
             "nn.Conv2d(64,20,1),nn.AdaptiveAvgPool2d(2)",
    "winograd": "nn.Conv2d(3,64,3,padding=1),nn.ReLU(),nn.Conv2d(64,64,3,padding=1),nn.ReLU(),nn.Conv2d(64,160,3,padding=2)",
    "depthwise": "nn.Conv2d(3,48,3),nn.BatchNorm2d(48),nn.ReLU6(),nn.Conv2d(48,48,3,groups=48,padding=1,stride=2),nn.BatchNorm2d(48),nn.ReLU6(),"
                 "nn.Conv2d(48,24,1,bias=False),nn.BatchNorm2d(24)",
    "grouped": "nn.Conv2d(3,64,3,padding=1),nn.BatchNorm2d(64),nn.ReLU(),nn.Conv2d(64,128,3,padding=1,groups=4),nn.BatchNorm2d(128),nn.SiLU(),"
               "nn.Conv2d(128,32,3,dilation=2)",
    "line": None,
}
LINE = HEADER + '''
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(3, 32, 9, stride=2, padding=4)
        self.norm = nn.BatchNorm1d(32)
        self.b = nn.Conv1d(32, 48, 3, dilation=2, padding=2)
    def forward(self, x):
        return F.max_pool1d(F.relu(self.b(F.relu(self.norm(self.a(x))))), 2)
'''
SHARED = HEADER + '''
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.conv = nn.Conv2d(32, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        for _ in range(2):      # the same weights twice: their gradients are summed
            x = F.relu(x + self.norm(self.conv(x)))
        return x
'''
NETWORKS = {**{name: SEQUENCE.format(layers) for name, layers in SEQUENCES.items() if layers}, "line": LINE, "residual": RESIDUAL,
            "shared weights": SHARED}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = team._wanted
    yield
    team._wanted = before


def trained(text: str, folder: Path, shape: tuple[int, ...]) -> tuple[Gradient, list[np.ndarray]]:
    """The gradient of a network to all its parameters and its input, and the operands of its forward."""
    program = compiled(text, folder, "float32[N,3,L]" if len(shape) == 3 else "float32[N,3,H,W]")
    function = program.program.functions["forward:train"]
    wanted = [n for n in function.state if program.tensors[n].dtype == np.float32 and "running" not in n]
    gradient = differentiate(function, wrt_inputs=(0,), wrt_state=wanted)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    return gradient, [x, *(program.tensors[n] for n in function.state)]


def step(gradient: Gradient, operands: list[np.ndarray]) -> list[np.ndarray]:
    """The forward's results and new statistics, then the gradients, by plans."""
    with waiting():
        made = Runner(gradient.forward).run(operands)
        return [*made, *Runner(gradient.backward).run(backward_operands(gradient, operands, made))]


def backward_operands(gradient: Gradient, operands: list[np.ndarray], made: list[np.ndarray]) -> list[np.ndarray]:
    count = len(gradient.forward.results) - len(gradient.saved)
    incoming = [np.random.default_rng(i).standard_normal(made[i].shape).astype(np.float32) for i in gradient.result_indices]
    state = dict(zip(gradient.forward.state, operands[1:], strict=True))
    return [*incoming, *made[count:count + len(gradient.saved)], *(state[n] for n in gradient.backward.state)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("batch", "size"), [(1, 40), (5, 23)])
def test_a_step_equals_the_reference(name: str, batch: int, size: int, tmp_path: Path) -> None:
    shape = (batch, 3, 10 * size) if name == "line" else (batch, 3, size, size + 4)
    gradient, operands = trained(NETWORKS[name], tmp_path, shape)
    for _ in range(2):      # the second run reuses memory
        found = step(gradient, operands)
    count = len(gradient.forward.results) + len(gradient.forward.updates)
    forward = run_function(gradient.forward, operands[:1], dict(zip(gradient.forward.state, operands[1:], strict=True)))
    wanted = [*forward.results, *forward.updates.values()]
    # The same values to both backwards: a relu that is nearly zero may fall on either side.
    inner = backward_operands(gradient, operands, found)
    given = len(inner) - len(gradient.backward.state)
    wanted += run_function(gradient.backward, inner[:given], dict(zip(gradient.backward.state, inner[given:], strict=True))).results
    assert len(found) == len(wanted) > count
    largest = [float(np.abs(np.asarray(b, np.float64)).max()) for b in wanted]
    # The gradient to a bias before a normalisation is zero but for rounding: of the size of its terms.
    floor = 0.1 * max(largest[count:])
    for a, b, scale in zip(found, wanted, largest, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(scale, floor))


def test_forward_and_backward_are_one_cluster_each(tmp_path: Path) -> None:
    gradient, operands = trained(NETWORKS["depthwise"], tmp_path, (2, 3, 32, 32))
    forward, backward = Runner(gradient.forward), Runner(gradient.backward)
    with waiting():
        made = forward.run(operands)
    inner = backward_operands(gradient, operands, made)
    for plan in (forward.plan(operands), backward.plan(inner)):
        names = [s.kernel.name for s in plan.steps]
        assert names.count("blocked") == 1
        assert not [n for n in names if "convolution" in n or "batch_norm" in n or "pool" in n]


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    gradient, operands = trained(NETWORKS["residual"], tmp_path, (2, 3, 64, 64))
    results = []
    for count in (1, 2, 3):
        team.set_num_threads(count)
        results.append([step(gradient, operands) for _ in range(2)][-1])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
