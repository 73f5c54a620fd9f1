"""The gradients of the library's functions and modules, to inputs and parameters, are torch's."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.frontend.stage import Compiled
from scriptc.interp.interpreter import run_function
from scriptc.ir.autodiff import differentiate
from scriptc.ir.graph import Function
from tests.torchlib.expressions import EXPRESSIONS, MODULES
from tests.torchlib.test_library import arrays, compiled, eager, function_of, leaves, net_of

pytestmark = pytest.mark.oracle

FLOATING = (0, 1, 2, 3, 6)     # which of the inputs
# Torch itself has no gradient to a loss's weights, nor of these; and none where a result is overwritten that it has kept.
WITHOUT = ("v.abs()", "native_channel_shuffle", "sparse=True", "nn.ReLU(inplace=True)", "nn.ReLU6(True)")


def check(function: Function, program: Compiled, target: Any, parameters: dict[str, Any]) -> None:
    """Random gradients of the results, backwards on both sides."""
    import torch

    inputs = [torch.from_numpy(a).requires_grad_(i in FLOATING) for i, a in enumerate(arrays())]
    results = [leaf for leaf in leaves(target(*(t * 1 if t.requires_grad else t for t in inputs))) if isinstance(leaf, torch.Tensor)]
    parameters = {n: p for n, p in parameters.items() if n in function.state and p.requires_grad}
    gradient = differentiate(function, wrt_inputs=FLOATING, wrt_state=list(parameters))
    ours = run_function(gradient.forward, arrays(), program.tensors)
    count = len(function.results)
    assert len(results) == count
    generator = np.random.default_rng(0)
    seeds = {i: np.asarray(generator.standard_normal(r.shape)).astype(r.detach().numpy().dtype) for i, r in enumerate(results)
             if r.requires_grad and torch.isfinite(r).all()}
    given = [np.asarray(seeds[i] if i in seeds else np.zeros_like(ours.results[i])) for i in gradient.result_indices]
    found = run_function(gradient.backward, [*given, *ours.results[count:]], program.tensors).results
    order = [n for n in function.state if n in parameters]
    sources = [*(inputs[i] for i in FLOATING), *(parameters[n] for n in order)]
    wanted = torch.autograd.grad([results[i] for i in seeds], sources, [torch.from_numpy(s) for s in seeds.values()], allow_unused=True)
    for name, a, b, source in zip([*"xyzvs", *order], found, wanted, sources, strict=True):
        expected = np.zeros(source.shape) if b is None else b.numpy()
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(np.zeros(source.shape) if a is None else a, expected, rtol=1e-3, atol=2e-4 * scale, err_msg=name)


@pytest.mark.parametrize("group", EXPRESSIONS)
def test_of_functions(group: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = function_of([e for e in EXPRESSIONS[group] if not any(w in e for w in WITHOUT)])
    program = compiled(text, "f", tmp_path)
    check(program.program.functions["forward"], program, eager(text)["f"], {})


@pytest.mark.parametrize("group", [g for g in MODULES if "dropout" not in g])
def test_of_modules(group: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    parts = {made: call for made, call in MODULES[group].items() if not any(w in made for w in WITHOUT)}
    text = net_of(parts)
    torch.manual_seed(3)
    net = eager(text)["Net"]()
    weights = tmp_path / "weights.pt" if net.state_dict() else None
    if weights is not None:
        torch.save(net.state_dict(), weights)
    program = compiled(text, "Net()", tmp_path, weights)
    check(program.program.functions["forward:train"], program, net, dict(net.named_parameters()))
