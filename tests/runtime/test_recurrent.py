"""Recurrent layers step by step in native code, and the products of a loop's inputs before the loop, against the reference."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
from scriptc_runtime.module import Module
from scriptc_runtime.plan.plan import Plan
from scriptc_runtime.runner import Runner

from scriptc.compiler import compile_program
from scriptc.interp.interpreter import run_function

HEADER = "import torch\nimport torch.nn as nn\n\n\n"
Compiled = Callable[..., tuple[list[str], float]]


@pytest.fixture
def compared(tmp_path: Path) -> Compiled:
    """(steps of the plan, largest difference from the reference) of a class `Net` called with one random array."""
    def run(text: str, shape: tuple[int, ...]) -> tuple[list[str], float]:
        source = tmp_path / "net.py"
        source.write_text(HEADER + text)
        compiled = compile_program(source, entry="Net()", inputs=[f"x:float32[{','.join(map(str, shape))}]"])
        function = compiled.program.functions["forward"]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        reference = run_function(function, [x], compiled.tensors).results
        module = Module(compiled.program, compiled.tensors, wait=True)
        module.requires_grad_(False)
        results = module(x)
        again = module(x)
        results, again = ([r] if not isinstance(r, tuple) else list(r) for r in (results, again))
        assert all(np.array_equal(a, b) for a, b in zip(results, again, strict=True))
        plan: Plan = Runner(function).plan([x, *(compiled.tensors[n] for n in function.state)])
        return [s.kernel.name for s in plan.steps], max(float(np.abs(a - b).max()) for a, b in zip(results, reference, strict=True))
    return run


LAYER = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.{kind}({arguments})

    def forward(self, x):
        y, last = self.layer(x)
        return (y, *last) if isinstance(last, tuple) else (y, last)
"""


@pytest.mark.parametrize(("kind", "arguments", "shape"), [
    ("LSTM", "19, 37", (12, 1, 19)), ("LSTM", "19, 16, num_layers=2, bidirectional=True", (7, 3, 19)),
    ("LSTM", "16, 33, bias=False, batch_first=True", (2, 9, 16)), ("GRU", "19, 37", (12, 1, 19)),
    ("GRU", "8, 48, bidirectional=True, batch_first=True", (4, 6, 8)), ("RNN", "8, 20", (10, 2, 8)),
    ("RNN", "8, 20, nonlinearity='relu'", (10, 2, 8)), ("GRU", "8, 24", (5, 9, 8)),
    ("LSTM", "16, 32", (11, 1, 16)), ("LSTM", "32, 48, num_layers=2, bidirectional=True, batch_first=True", (3, 6, 32)),
    ("GRU", "16, 48, num_layers=2, bidirectional=True, bias=False", (5, 17, 16)), ("GRU", "48, 16, batch_first=True", (1, 4, 48)),
    ("RNN", "16, 32, num_layers=2, bidirectional=True", (6, 3, 16)), ("RNN", "32, 16, nonlinearity='relu', batch_first=True", (2, 5, 32)),
])
def test_layers_equal_the_reference(compared: Compiled, kind: str, arguments: str, shape: tuple[int, ...]) -> None:
    assert compared(LAYER.format(kind=kind, arguments=arguments), shape)[1] < 3e-6


CELL = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(20, 24)

    def forward(self, x):
        h, c = torch.zeros(x.size(1), 24), torch.zeros(x.size(1), 24)
        out = []
        for t in range({turns}):
            h, c = self.cell(x[t], (h, c))
            out.append(h)
            {end}
        return torch.stack(out), c
"""


def test_products_of_a_loops_inputs_are_one_product(compared: Compiled) -> None:
    steps, error = compared(CELL.format(turns="x.size(0)", end=""), (60, 2, 20))
    assert error < 2e-6
    assert "linear.packed" not in steps[1:]
    assert steps[-1] == "routine"
    assert len(steps) <= 2


@pytest.mark.parametrize(("turns", "end"), [("x.size(0) - 1", ""), ("x.size(0)", "if bool(h[0, 0] > 0.9):\n                break")])
def test_loops_that_end_early_compute_no_more_than_they_did(compared: Compiled, turns: str, end: str) -> None:
    steps, error = compared(CELL.format(turns=turns, end=end), (60, 2, 20))
    assert error < 2e-6
    assert steps == ["routine"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_given_states_and_one_or_two_threads(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    given, passed = ("h, c", "(h, c)") if kind == "LSTM" else ("h", "h")
    source.write_text(f"{HEADER}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
                      f"        self.layer = nn.{kind}(32, 64, num_layers=2, bidirectional=True)\n\n    def forward(self, x, {given}):\n"
                      f"        return self.layer(x, {passed})\n")
    states = [np.random.default_rng(i).standard_normal((4, 3, 64)).astype(np.float32) for i in range(2 if kind == "LSTM" else 1)]
    inputs = [np.random.default_rng(5).standard_normal((6, 3, 32)).astype(np.float32), *states]
    names = ["x:float32[6,3,32]", *(f"{n}:float32[4,3,64]" for n in "hc"[:len(states)])]
    compiled = compile_program(source, entry="Net()", inputs=names)
    module = Module(compiled.program, compiled.tensors, wait=True)
    module.requires_grad_(False)
    wanted = run_function(compiled.program.functions["forward"], inputs, compiled.tensors).results
    before, found = get_num_threads(), []
    for threads in (1, 2):
        set_num_threads(threads)
        y, last = module(*inputs)
        found.append([np.asarray(v) for v in (y, *(last if isinstance(last, tuple) else (last,)))])
    set_num_threads(before)
    for one, two, reference in zip(*found, wanted, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, reference, rtol=1e-5, atol=3e-6)
