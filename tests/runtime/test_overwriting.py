"""Results that take an argument's place: when they do, when they must not, and that the values are the same either way."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, optim
from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import Runner

from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, float32

SQUARE = TensorType(float32, (4, 4))
Make = Callable[..., Function]


def later(p: Expr, g: Expr) -> Any:
    return p - g, REGISTRY["matmul"](p, p)     # in the other order the product reads p first


def transposed(p: Expr, g: Expr) -> Any:
    return p - p.transpose(0, 1) * g


def looked_at(p: Expr, g: Expr) -> Any:
    return p - g, p.transpose(0, 1)


def broadcast(p: Expr, g: Expr) -> Any:
    return REGISTRY["select"](p, 0, dim=0) + g


def first_row(p: Expr, g: Expr) -> Any:
    return REGISTRY["expand"](REGISTRY["select"](p, 0, dim=0), 4, 4) * 2.0 + p


CASES = {"plain": (lambda p, g: p - g * 2.0, True), "unread": (lambda p, g: g * 2.0, True), "product first": (lambda p, g: p - p @ g, True),
         "transposed": (transposed, False), "result looks at it": (looked_at, False), "a row of it": (broadcast, False),
         "itself and a row": (first_row, False), "product": (lambda p, g: p @ g, False), "itself": (lambda p, g: p, False)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
def test_a_result_overwrites_only_what_nobody_reads_any_more(name: str, compiled: bool, function_of: Make) -> None:
    body, overwrites = CASES[name]
    function = function_of(body, {"p": SQUARE, "g": SQUARE})
    p, g = (np.random.default_rng(s).standard_normal((4, 4)).astype(np.float32) for s in (0, 1))
    wanted = Runner(function).run([p.copy(), g])
    plan = Runner(function).plan_of_types(over={0: 0}, held=[0])
    with waiting(compiled):
        for _ in range(2):      # the second time the segment knows the array
            mine = p.copy()
            results = plan.run([mine, g])
            assert (0 in plan.written) == overwrites == (results[0] is mine and name != "itself")
            for result, other in zip(results, wanted, strict=True):
                assert np.array_equal(result, other)


def test_a_later_reader_keeps_the_argument(function_of: Make) -> None:
    function = function_of(later, {"p": SQUARE, "g": SQUARE})
    plan = Runner(function).plan_of_types(over={0: 0}, held=())
    p, g = np.eye(4, dtype=np.float32) * 3, np.ones((4, 4), np.float32)
    results = plan.run([p, g])
    assert np.array_equal(results[1], np.eye(4) * 9)
    assert np.array_equal(results[0], np.eye(4) * 3 - 1)


def stepped(name: str, settings: dict[str, Any], *, compiled: bool = True, threads: int = 1, order: str = "C") -> list[np.ndarray]:
    """Parameters and states after three steps."""
    draw = np.random.default_rng(0)
    parameters = [Parameter(np.array(draw.standard_normal(s), np.float32, order=order)) for s in ((300, 200), (7,), (), (0, 3))]  # type: ignore[call-overload]
    optimizer = getattr(optim, name)([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.2}], **settings)
    before, used = [p.numpy() for p in parameters], get_num_threads()
    set_num_threads(threads)
    try:
        for step in range(3):
            for p in parameters[step % 2:]:     # the first one has no gradient in the second step
                p.grad = draw.standard_normal(p.shape).astype(np.float32)
            parameters[0].grad = parameters[0].grad if step != 1 else None
            with waiting(compiled):
                optimizer.step()
    finally:
        set_num_threads(used)
    assert all(p.numpy() is array for p, array in zip(parameters, before, strict=True))
    return [*before, *(np.asarray(v) for p in parameters for v in optimizer.state[p].values())]


FORMS = [("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}), ("SGD", {"momentum": 0.9, "nesterov": True}),
         ("AdamW", {"amsgrad": True}), ("Adam", {"weight_decay": 0.1, "maximize": True})]


@pytest.mark.parametrize(("name", "settings"), FORMS)
def test_steps_have_the_same_bits_however_they_run(name: str, settings: dict[str, Any]) -> None:
    wanted = stepped(name, settings)
    for way in ({"compiled": False}, {"threads": 2}, {"order": "F"}):
        for mine, other in zip(stepped(name, settings, **way), wanted, strict=True):  # type: ignore[arg-type]
            assert np.array_equal(mine, other)


def test_a_step_is_one_native_call() -> None:
    parameters = [Parameter(np.ones((32, n), np.float32)) for n in (3, 5, 64)]
    optimizer = optim.AdamW(parameters)
    for _ in range(2):
        for p in parameters:
            p.grad = np.ones(p.shape, np.float32)
        with waiting():
            optimizer.step()
    (prepared,) = optimizer._stepper._prepared._entries.values()
    (frame,) = prepared._plan._frames
    assert len(prepared._plan.steps) == len(parameters)
    assert [type(item).__name__ for item in frame._items] == ["Segment"]


def test_a_gradient_of_another_shape_is_refused() -> None:
    p = Parameter(np.ones((3, 4), np.float32))
    optimizer = optim.SGD([p])
    p.grad = np.ones((4, 3), np.float32)
    with pytest.raises(RuntimeError, match="a gradient has shape"):
        optimizer.step()
