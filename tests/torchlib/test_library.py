"""What users of PyTorch write: each expression, compiled, gives what eager torch gives.

Expressions of one group are compiled together as one function that returns them all; where that is refused they are compiled one by one,
so that the message names the culprit.
"""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.compiler import optimized
from scriptc.errors import CompileError
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.interp.interpreter import run_function
from tests.frontend.conftest import HEADER
from tests.frontend.test_control_flow import flat
from tests.torchlib.expressions import EXPRESSIONS, MODULES

pytestmark = pytest.mark.oracle

INPUTS = ("x:float32[N,4]", "y:float32[N,4]", "z:float32[N,3,8,8]", "v:float32[4]", "i:int64[N,4]", "b:bool[N,4]", "s:float32[N,L,6]")


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)
    return [normal(3, 4), normal(3, 4), normal(3, 3, 8, 8), normal(4), rng.integers(-3, 4, (3, 4)), rng.random((3, 4)) < 0.5, normal(3, 5, 6)]


def compiled(text: str, entry: str, folder: Path, weights: Path | None = None) -> Compiled:
    from scriptc.compiler import compile_program

    path = folder / "model.py"
    path.write_text(HEADER + text)
    if weights is not None:
        return compile_program(path, entry=entry, inputs=INPUTS, weights=weights)
    return optimized(compile_source(path, entry=entry, inputs=INPUTS), [])


def eager(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(HEADER + text, names)
    return names


def function_of(expressions: list[str]) -> str:
    return "def f(x, y, z, v, i, b, s):\n    return (" + "".join(f"\n        {e}," for e in expressions) + ")\n"


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def assert_equal(found: list[Any], wanted: list[Any], what: str) -> None:
    import torch

    assert len(found) == len(wanted), what
    for a, b in zip(found, wanted, strict=True):
        if isinstance(b, torch.Tensor):
            b = b.detach()
            array = np.asarray(a)
            assert array.shape == tuple(b.shape), what
            assert str(array.dtype) == str(b.dtype).removeprefix("torch."), what
            np.testing.assert_allclose(array, b.numpy(), rtol=2e-5, atol=2e-6, err_msg=what)
        else:
            assert a == pytest.approx(b), what


@pytest.mark.parametrize("group", EXPRESSIONS)
def test_expressions(group: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    expressions = EXPRESSIONS[group]
    faults = []
    try:
        batches = [(expressions, compiled(function_of(expressions), "f", tmp_path))]
    except CompileError:
        batches = []
        for e in expressions:
            try:
                batches.append(([e], compiled(function_of([e]), "f", tmp_path)))
            except CompileError as error:
                faults.append(f"{e}: {error.diagnostics[0].code} {error.diagnostics[0].message}")
    for batch, program in batches:
        function = program.program.functions["forward"]
        structure: Any = function.structure
        results = run_function(function, arrays(), program.tensors).results
        for e, part in zip(batch, structure.items, strict=True):
            wanted = eager(function_of([e]))["f"](*map(torch.from_numpy, arrays()))[0]
            try:
                assert_equal(leaves(flat(part, results)), leaves(wanted), e)
            except AssertionError as error:
                faults.append(f"{e}: {str(error).strip()[:300]}")
    assert not faults, "\n" + "\n".join(faults)


def net_of(parts: dict[str, str]) -> str:
    """A module with one submodule a constructor; its forward returns what each is to return."""
    made = "".join(f"        self.part{n} = {constructor}\n" for n, constructor in enumerate(parts))
    uses = "".join(f"            {call.replace('self.part', f'self.part{n}')},\n" for n, call in enumerate(parts.values()))
    return ("class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" + made
            + "    def forward(self, x, y, z, v, i, b, s):\n        return (\n" + uses + "        )\n")


def module_faults(parts: dict[str, str], folder: Path) -> list[str]:
    """What differs from torch in eval and in train mode, with torch's weights: results, and buffers afterwards."""
    import torch

    text = net_of(parts)
    torch.manual_seed(3)
    net = eager(text)["Net"]()
    weights = folder / "weights.pt" if net.state_dict() else None
    if weights is not None:
        torch.save(net.state_dict(), weights)
    try:
        program = compiled(text, "Net()", folder, weights)
    except CompileError as error:
        if len(parts) == 1:
            return [f"{next(iter(parts))}: {error.diagnostics[0].code} {error.diagnostics[0].message}"]
        return [fault for made, call in parts.items() for fault in module_faults({made: call}, folder)]
    faults = []
    for training in (False, True):
        if training and any("Dropout" in made for made in parts):
            continue    # the random numbers of methods are our own
        state = copy.deepcopy(net.state_dict())
        function = program.program.functions["forward:train" if training else "forward"]
        structure: Any = function.structure
        outcome = run_function(function, arrays(), program.tensors)
        wanted = net.train(training)(*map(torch.from_numpy, arrays()))
        after = {**program.tensors, **dict(outcome.updates)}
        for n, made in enumerate(parts):
            try:
                assert_equal(leaves(flat(structure.items[n], list(outcome.results))), leaves(wanted[n]), made)
                for name, tensor in net.state_dict().items():
                    if name.startswith(f"part{n}."):
                        np.testing.assert_allclose(np.asarray(after[name]), tensor.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
            except AssertionError as error:
                faults.append(f"{made} ({'train' if training else 'eval'}): {str(error).strip()[:300]}")
        net.load_state_dict(state)
    return faults


@pytest.mark.parametrize("group", MODULES)
def test_modules(group: str, tmp_path: Path) -> None:
    """A module with torch's own weights gives torch's output, and its buffers change as torch's do."""
    pytest.importorskip("torch")
    faults = module_faults(MODULES[group], tmp_path)
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("group", MODULES)
def test_modules_print_as_torch_prints_them(group: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = net_of(dict.fromkeys(MODULES[group], "repr(self.part)"))
    structure: Any = compiled(text, "Net()", tmp_path).program.functions["forward"].structure
    found = [item.value for item in structure.items]
    assert found == list(eager(text)["Net"]()(*arrays()))
