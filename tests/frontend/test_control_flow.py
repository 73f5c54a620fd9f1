"""Data-dependent control flow and aliasing: the compiled program equals eager torch for every input."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scriptc.frontend.stage import Compiled
from scriptc.interp.interpreter import run_function

# name -> (source of f, input types, calls)
PROGRAMS: dict[str, tuple[str, tuple[str, ...], list[tuple[Any, ...]]]] = {
    "while on a tensor": ("""
        def f(x):
            n = 0
            while x.sum() < 100:
                x = x * 2 + 1
                n = n + 1
            return x, n
        """, ("x:float32[N]",), [(np.ones(3, "f"),), (np.full(5, 50, "f"),), (np.full(2, 0.1, "f"),)]),
    "if on a sum": ("""
        def f(x):
            if x.sum() > 0:
                y = x * 2
            else:
                y = -x
            return y + 1
        """, ("x:float32[N,M]",), [(np.ones((2, 3), "f"),), (-np.ones((3, 1), "f"),)]),
    "operators on a tensor that may be None": ("""
        def f(x):
            y = x * 2 if x.sum() > 0 else None
            if y is None:
                return x
            return -y + (y > 1) * y[0] + 3 * y - y ** 2
        """, ("x:float32[N]",), [(np.ones(3, "f"),), (-np.ones(2, "f"),)]),
    "early return in a branch": ("""
        def f(x):
            if x.sum() > 10:
                return x
            y = x + 1
            if y.sum() > 10:
                return y * 2
            return y * 3
        """, ("x:float32[N]",), [(np.ones(20, "f"),), (np.full(6, 1.5, "f"),), (np.ones(2, "f"),)]),
    "early return in a loop": ("""
        def f(x):
            for i in range(x.size(0)):
                if x[i] > 5:
                    return x[i] * 10
                x = x + 1
            return x.sum()
        """, ("x:float32[N]",), [(np.array([1, 2, 9], "f"),), (np.array([0, 0], "f"),), (np.array([6.0], "f"),)]),
    "break and continue": ("""
        def f(x):
            total = torch.zeros(())
            for i in range(x.size(0)):
                if x[i] < 0:
                    continue
                if x[i] > 10:
                    break
                total = total + x[i]
            return total, i
        """, ("x:float32[N]",), [(np.array([1, -2, 3], "f"),), (np.array([1, 11, 3], "f"),), (np.array([-1, -1, 2, 12, 5], "f"),)]),
    "rnn as a loop": ("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = nn.Linear(5, 3)
            def forward(self, x):
                h = torch.zeros(x.size(0), 3)
                outs = []
                for t in range(x.size(1)):
                    h = torch.tanh(self.cell(torch.cat([x[:, t], h], 1)))
                    outs.append(h)
                return torch.stack(outs, 1), h
        """, ("x:float32[B,T,2]",), [(np.random.default_rng(0).standard_normal((2, 4, 2)).astype("f"),),
                                     (np.random.default_rng(1).standard_normal((1, 7, 2)).astype("f"),)]),
    "list append in a loop": ("""
        def f(x):
            parts = []
            for i in range(x.size(0)):
                parts.append(x[i] * i)
            return torch.stack(parts), len(parts)
        """, ("x:float32[N,2]",), [(np.ones((3, 2), "f"),), (np.ones((5, 2), "f"),)]),
    "slice assignment in a loop": ("""
        def f(x):
            y = torch.zeros_like(x)
            for i in range(x.size(0)):
                y[i] = x[x.size(0) - 1 - i]
                y[i, 0] += 1
            return y
        """, ("x:float32[N,2]",), [(np.arange(6, dtype="f").reshape(3, 2),)]),
    "nested loops with break": ("""
        def f(x):
            count = 0
            for i in range(x.size(0)):
                for j in range(x.size(1)):
                    if x[i, j] < 0:
                        break
                    count += 1
            return count
        """, ("x:float32[N,M]",), [(np.array([[1, -1], [1, 1]], "f"),), (np.array([[-1, 1]], "f"),)]),
    "views write through": ("""
        def f(x):
            y = x.clone()
            w = y[:, 0]
            w += 1
            y.t()[1].mul_(3)
            y.view(-1)[0] = 7
            return y, w
        """, ("x:float32[N,2]",), [(np.ones((3, 2), "f"),)]),
    "none joined with a tensor": ("""
        def f(x):
            y = None
            if x.sum() > 0:
                y = x * 2
            if y is not None:
                return y
            return x - 1
        """, ("x:float32[N]",), [(np.ones(2, "f"),), (-np.ones(2, "f"),)]),
    "raise under a condition": ("""
        def f(x):
            if x.sum() < 0:
                raise ValueError(f"negative sum for {x.size(0)} numbers")
            return x.sqrt()
        """, ("x:float32[N]",), [(np.ones(2, "f"),), (-np.ones(2, "f"),)]),
    "short circuit": ("""
        def f(x):
            if x.size(0) > 2 and x[2] > 0:
                return x[2]
            return x[0]
        """, ("x:float32[N]",), [(np.array([1.0], "f"),), (np.array([1, 2, 3], "f"),), (np.array([1, 2, -3], "f"),)]),
    "unrolled modules with an early exit": ("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(4)])
            def forward(self, x):
                used = 0
                for layer in self.layers:
                    x = layer(x)
                    used += 1
                    if x.abs().max() < 0.2:
                        break
                return x, used
        """, ("x:float32[N,3]",), [(np.ones((2, 3), "f"),), (np.full((1, 3), 30, "f"),)]),
    "chained comparison and ternary": ("""
        def f(x):
            s = x.sum().item()
            return x + (1 if 0 < s < 5 else -1), s
        """, ("x:float32[N]",), [(np.ones(2, "f"),), (np.ones(9, "f"),)]),
    "integer arithmetic on sizes": ("""
        def f(x):
            n = x.size(0)
            return x.view(n // 2, 2), n % 3, -7 // n, (n * 3 - 1) ** 2
        """, ("x:float32[N]",), [(np.arange(4, dtype="f"),), (np.arange(8, dtype="f"),)]),
    "detached parts": ("""
        def f(x):
            y = x * x
            z = y.detach()
            return (y * z).sum() + (x.data * x).sum()
        """, ("x:float32[N]",), [(np.array([1, -2, 3], "f"),)]),
    "a write through a detached tensor": ("""
        def f(x):
            y = x * x
            y.detach()[0].mul_(2)
            return y
        """, ("x:float32[N]",), [(np.array([1, -2, 3], "f"),)]),
    "parts without gradient": ("""
        class Net(nn.Module):
            @torch.no_grad()
            def nearest(self, x):
                return (x * 3).view(-1) + x.view(-1)
            def forward(self, x):
                with torch.no_grad():
                    scale = torch.exp(x).view(-1)
                    kept = x.view(-1)
                    with torch.enable_grad():
                        inner = x * 2
                return (x * scale + self.nearest(x) * x).sum() + kept.sum() + inner.sum()
        """, ("x:float32[N]",), [(np.array([1, -2, 0.5], "f"),)]),
}


def eager(source: str, header: str) -> Any:
    """The function or module of a test's own source, run by CPython with torch: the oracle."""
    import textwrap

    import torch

    names: dict[str, Any] = {}
    exec(compile(header + textwrap.dedent(source), "<test>", "exec"), names)
    torch.manual_seed(0)
    return names["Net"]().eval() if "Net" in names else names["f"]


@pytest.mark.oracle
@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_program_equals_eager_torch(name: str, compile_text: Callable[..., Compiled]) -> None:
    torch = pytest.importorskip("torch")
    from tests.frontend.conftest import HEADER

    source, inputs, calls = PROGRAMS[name]
    compiled = compile_text(source, "Net()" if "class Net" in source else "f", inputs)
    function = compiled.program.functions["forward"]
    oracle = eager(source, HEADER)
    for arguments in calls:
        with torch.no_grad():
            try:
                expected: Any = oracle(*(torch.from_numpy(a.copy()) for a in arguments))
            except (ValueError, RuntimeError) as error:
                with pytest.raises(type(error)) as raised:
                    run_function(function, arguments, compiled.tensors)
                assert str(raised.value) == str(error)
                continue
        found = flat(function.structure, run_function(function, arguments, compiled.tensors).results)
        wanted = list(expected) if isinstance(expected, tuple) else [expected]
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            if isinstance(b, torch.Tensor):
                np.testing.assert_allclose(np.asarray(a), b.numpy(), rtol=1e-5, atol=1e-6)
            else:
                assert a == pytest.approx(b)


def flat(structure: Any, results: list[Any]) -> list[Any]:
    """The returned values in order, fixed ones included."""
    from scriptc.ir.graph import Fixed, Group, Leaf

    if isinstance(structure, Leaf):
        return [results[structure.index]]
    if isinstance(structure, Fixed):
        return [structure.value]
    assert isinstance(structure, Group)
    return [v for item in structure.items for v in flat(item, results)]


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["while on a tensor", "rnn as a loop", "early return in a branch", "detached parts",
                                  "parts without gradient"])
def test_gradients_flow_through_control_flow(name: str, compile_text: Callable[..., Compiled]) -> None:
    torch = pytest.importorskip("torch")
    from scriptc.ir.autodiff import differentiate
    from tests.frontend.conftest import HEADER

    source, inputs, calls = PROGRAMS[name]
    compiled = compile_text(source, "Net()" if "class Net" in source else "f", inputs)
    function = compiled.program.functions["forward"]
    gradient = differentiate(function, wrt_inputs={0})
    oracle = eager(source, HEADER)
    for arguments in calls:
        x = torch.from_numpy(arguments[0].copy()).requires_grad_()
        out = oracle(x)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
        forward = run_function(gradient.forward, arguments, compiled.tensors)
        count = len(function.results)
        seeds = [np.ones_like(forward.results[i]) if i == 0 else np.zeros_like(forward.results[i]) for i in gradient.result_indices]
        found = run_function(gradient.backward, [*seeds, *forward.results[count:]], compiled.tensors)
        np.testing.assert_allclose(found.results[0], x.grad.numpy(), rtol=1e-4, atol=1e-5)
