"""`--seed S` gives the numbers of torch.manual_seed(S) followed by the same construction, draw for draw."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scriptc.errors import CompileError
from scriptc.frontend.stage import compile_source
from tests.torchlib.expressions import MODULES

pytestmark = pytest.mark.oracle

# What a function of nn.init is tried on: fewer than 16 elements, more, and more than the generator's block of 16 that is no multiple.
SHAPES = ((3, 4), (4, 4), (5, 7), (6, 2, 3), (4, 3, 3, 3))
INITIALISERS = (
    "uniform_(t)", "uniform_(t, -2.0, 3.0)", "normal_(t)", "normal_(t, 1.0, 0.02)", "trunc_normal_(t, std=0.02)",
    "trunc_normal_(t, 0.5, 1.0, -1.0, 1.5)", "constant_(t, 0.3)", "ones_(t)", "zeros_(t)", "xavier_uniform_(t)",
    "xavier_uniform_(t, gain=nn.init.calculate_gain('relu'))", "xavier_normal_(t, 2.0)", "kaiming_uniform_(t, a=math.sqrt(5))",
    "kaiming_uniform_(t, mode='fan_out', nonlinearity='relu')", "kaiming_normal_(t)", "kaiming_normal_(t, 0.2, 'fan_out', 'leaky_relu')",
    "orthogonal_(t)", "orthogonal_(t, gain=1.5)",
)
OTHERS = (
    "nn.init.eye_(nn.Parameter(torch.empty(3, 5)))", "nn.init.dirac_(nn.Parameter(torch.empty(6, 3, 3)), groups=2)",
    "nn.init.dirac_(nn.Parameter(torch.empty(4, 4, 3, 3)))", "nn.init.sparse_(nn.Parameter(torch.empty(20, 6)), 0.3)",
    "nn.Parameter(torch.randn(3, 4))", "nn.Parameter(torch.rand(17))", "nn.Parameter(torch.randn(33) * 0.02)",
    "nn.Parameter(torch.zeros(2, 9).uniform_(-1, 1))", "nn.Parameter(torch.randperm(9).float())",
    "nn.Parameter(torch.randint(0, 7, (11,)).float())", "nn.Parameter(torch.normal(0.0, 2.0, (5, 5)))", "nn.Parameter(torch.empty(5).normal_())",
    "nn.Parameter(torch.randn(15))", "nn.Parameter(torch.randn(16))", "nn.Parameter(torch.randn(1, 1, 5))",
    "nn.Parameter(torch.randn(2, 12, dtype=torch.float64))", "nn.Parameter(torch.rand(5, dtype=torch.float64))",
    "nn.Parameter(torch.normal(torch.zeros(20), torch.ones(20)))", "nn.Parameter(torch.randint_like(torch.ones(8), 5))",
    "nn.Parameter(torch.randn_like(torch.ones(3, 7)))", "nn.Parameter(torch.rand_like(torch.ones(3, 7)))",
    "nn.Parameter(torch.nn.init.trunc_normal_(torch.zeros(1, 3, 8), std=.02))",
)


def assert_same_numbers(constructors: list[str], folder: Path) -> None:
    import torch

    text = "import math\nimport torch\nimport torch.nn as nn\nfrom torch.nn import functional as F\nfrom collections import OrderedDict\n\n\n" \
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" \
        + "".join(f"        self.part{n} = {c}\n" for n, c in enumerate(constructors)) + "    def forward(self, x):\n        return x\n"
    (folder / "model.py").write_text(text)
    names: dict[str, object] = {}
    exec(text, names)
    torch.manual_seed(11)
    wanted = names["Net"]().state_dict()  # type: ignore[operator]
    found = compile_source(folder / "model.py", entry="Net()", inputs=["float32[1]"], seed=11, train=False).tensors
    faults = []
    for name, tensor in wanted.items():
        array = np.asarray(found[name])
        source = constructors[int(name.split(".")[0][4:])]
        loose = 10 if "orthogonal_" in source else 1      # a factorisation, by another library
        if array.shape != tuple(tensor.shape) or not np.allclose(array, tensor.numpy(), rtol=1e-6 * loose, atol=1e-7 * loose):
            faults.append(f"{name} ({source}): {array.reshape(-1)[:3]} for {tensor.reshape(-1)[:3].tolist()}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("group", MODULES)
def test_modules(group: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert_same_numbers(list(MODULES[group]), tmp_path)


def test_functions_of_init(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    calls = [call.replace("(t", f"(torch.empty{shape}") for call in INITIALISERS for shape in SHAPES]
    assert_same_numbers([f"nn.Parameter(nn.init.{call})" for call in calls], tmp_path)


def test_other_draws(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert_same_numbers(list(OTHERS), tmp_path)


LAZY = """
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))

    def forward(self, x):
        return self.body(x)
"""


def test_lazy_modules_take_their_sizes_from_the_call_that_is_compiled(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "model.py").write_text(LAZY)
    compiled = compile_source(tmp_path / "model.py", entry="Net()", inputs=["float32[2,3,4,4]"], seed=5)
    names: dict[str, object] = {}
    exec(LAZY, names)
    torch.manual_seed(5)
    net = names["Net"]()  # type: ignore[operator]
    net.eval()(torch.zeros(2, 3, 4, 4))
    for name, tensor in net.state_dict().items():
        np.testing.assert_allclose(compiled.tensors[name], tensor.numpy(), rtol=1e-6, err_msg=name)


def test_a_lazy_module_needs_a_size_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(LAZY)
    with pytest.raises(CompileError, match="lazy module's input size"):
        compile_source(tmp_path / "model.py", entry="Net()", inputs=["float32[2,C,4,4]"])
