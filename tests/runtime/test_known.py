"""What a plan knows before it runs: constants, sizes that a forward saved, and parts of a gradient that lie next to each other."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime import runner
from scriptc_runtime.plan.plan import Plan

import scriptc

HEADER = """import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(12))

    def forward(self, x):
"""


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans made since."""
    made: list[Plan] = []
    plain = runner.make_plan

    def make_plan(*arguments: object, **more: object) -> Plan:
        made.append(plain(*arguments, **more))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(runner, "make_plan", make_plan)
    return made


def build(tmp_path: Path, body: str) -> scriptc.Module:
    (tmp_path / "model.py").write_text(HEADER + "".join(f"        {line.strip()}\n" for line in body.split(";")))
    scriptc.compile(tmp_path / "model.py", entry="Model()", inputs=["float32[B,12]"]).save(tmp_path / "model.pt")
    return scriptc.load(tmp_path / "model.pt")


def names(plan: Plan) -> list[str]:
    return [step.op.name for step in plan.steps if step.op is not None]


def backwards(plans: list[Plan]) -> list[Plan]:
    """Those of the model's backward."""
    return [plan for plan in plans if plan.name.startswith("forward") and plan.name.endswith("backward")]


def test_masks_and_positions_are_computed_once(tmp_path: Path, plans: list[Plan]) -> None:
    model = build(tmp_path, "mask = torch.full((x.size(0), 12), -1.0).triu(1) + torch.arange(12); return x * self.scale + mask.cos()")
    with scriptc.no_grad():
        for count in (2, 3):
            x = np.ones((count, 12), np.float32)
            mask = np.triu(np.full((count, 12), -1.0), 1) + np.arange(12)
            np.testing.assert_allclose(np.asarray(model(x)), np.asarray(model.state_dict()["scale"]) + np.cos(mask), rtol=1e-5, atol=1e-6)
    assert not {"full", "triu", "arange", "cos"} & set(names(plans[-1]))


def test_a_constant_that_is_returned_belongs_to_the_caller(tmp_path: Path) -> None:
    model = build(tmp_path, "m = torch.ones(2, 3); return m, m[0], x")
    x = np.ones((1, 12), np.float32)
    for _ in range(2):
        with scriptc.no_grad():
            for result in model(x)[:2]:
                assert (np.asarray(result) == 1).all()
                result.zero_()


PARTS: dict[str, tuple[str, set[str]]] = {
    "chunks": ("a, b, c = x.chunk(3, 1); return a * b + c", {"cat"}),
    "one of the chunks twice": ("a, b, c = x.chunk(3, 1); return a * b + c * a", {"cat"}),
    "split unevenly": ("a, b = x.split([5, 7], 1); return a.sum() * b", {"cat"}),
    "unbound": ("q, k, v = x.view(x.size(0), 3, 4).unbind(1); return q * k * v", {"stack"}),
    "unbound from the front": ("q, k, v = x.view(x.size(0), 3, 4).permute(1, 0, 2).unbind(0); return q * k + v", {"stack"}),
    "a part is missing": ("a, b, c = x.chunk(3, 1); return a * c", {"slice_scatter"}),
    "parts overlap": ("return x[:, :7].sum() * x[:, 5:]", {"slice_scatter"}),
    "every other one": ("return x[:, ::2] * x[:, 1::2]", {"slice_scatter"}),
    "a row": ("return x[0] * x[-2]", {"select_scatter"}),
    "rows that are all there is": ("return x[0] * 2, x[-1] * self.scale", {"stack"}),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_of_a_gradient_are_put_next_to_each_other(case: str, tmp_path: Path, plans: list[Plan]) -> None:
    body, expected = PARTS[case]
    model = build(tmp_path, body)
    values = np.random.default_rng(0).standard_normal((2, 12)).astype(np.float32)
    x = scriptc.tensor(values, requires_grad=True)
    result = model(x)
    total = result.sum() if not isinstance(result, tuple) else result[0].sum() + result[1].sum()
    total.backward()
    assert expected == {"cat", "stack", "slice_scatter", "select_scatter"} & set(names(backwards(plans)[0]))
    assert x.grad is not None
    np.testing.assert_allclose(np.asarray(x.grad), quotient(model, values), rtol=2e-2, atol=2e-2)


def quotient(model: Callable[..., object], x: np.ndarray) -> np.ndarray:
    """The gradient of the sum of all results, by differences."""
    def total(x: np.ndarray) -> float:
        with scriptc.no_grad():
            result = model(x)
        return sum(float(np.asarray(r, np.float64).sum()) for r in (result if isinstance(result, tuple) else (result,)))

    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-2
        found[place] = (total(x + step) - total(x - step)) / 2e-2
    return found


def test_sizes_that_forward_saved_are_known_to_backward(tmp_path: Path, plans: list[Plan]) -> None:
    model = build(tmp_path, "return (x * self.scale).view(x.size(0), 3, -1).mean(1)")
    for count in range(2, 9):
        x = scriptc.tensor(np.ones((count, 12), np.float32), requires_grad=True)
        model(x).sum().backward()
        np.testing.assert_allclose(np.asarray(x.grad), np.broadcast_to(np.asarray(model.state_dict()["scale"]) / 3, (count, 12)), rtol=1e-6)
    assert all(kind is None or "?" not in str(kind) for plan in plans for kind in plan.kinds)


def test_ints_that_are_others_each_time_are_no_part_of_a_plan(tmp_path: Path, plans: list[Plan]) -> None:
    model = build(tmp_path, "n = int(x[0, 0].item()); return x * self.scale * n")
    for number in range(1, 12):
        x = scriptc.tensor(np.full((2, 12), number, np.float32), requires_grad=True)
        model(x).sum().backward()
        np.testing.assert_allclose(np.asarray(x.grad), np.broadcast_to(np.asarray(model.state_dict()["scale"]) * number, (2, 12)), rtol=1e-6)
    assert len(backwards(plans)) <= runner.FEW + 1
