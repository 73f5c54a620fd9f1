"""Repeated calls: the short way answers what the long way does, and steps aside for calls that look different."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import no_grad
from scriptc_runtime.module import Module

from scriptc.errors import CallError
from scriptc.ir.dims import symbol
from scriptc.ir.graph import Function, Program
from scriptc.ir.ops.elementwise import tanh
from scriptc.ir.types import TensorType, float32

ROWS = TensorType(float32, (symbol("N"), 4))
WEIGHT = TensorType(float32, (4,))


@pytest.fixture
def module(function_of: Callable[..., Function], program_of: Callable[..., Program]) -> Module:
    tensors = {"w": np.arange(4, dtype=np.float32)}
    return Module(program_of(tensors, function_of(lambda x, w: tanh(x * w + 1.0), {"x": ROWS}, {"w": WEIGHT})), tensors)


def expected(x: np.ndarray, w: Any = (0, 1, 2, 3)) -> np.ndarray:
    return np.tanh(x * np.asarray(w, np.float32) + np.float32(1))


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32)


def test_calls_of_other_shapes_and_kinds_still_get_their_answers(module: Module) -> None:
    for x in (rows(3), rows(3), rows(5), rows(3), rows(6)[::2], np.asfortranarray(rows(3))):
        np.testing.assert_allclose(module(x), expected(x), rtol=1e-6)
    np.testing.assert_allclose(module(x=rows(3)), expected(rows(3)), rtol=1e-6)
    np.testing.assert_allclose(module(rows(3).tolist()), expected(rows(3)), rtol=1e-6)


def test_a_wrong_argument_after_a_right_one_is_refused(module: Module) -> None:
    module(rows(3))
    for wrong in (rows(3).astype(np.float64), rows(3)[:, :2], None):
        with pytest.raises(CallError):
            module(wrong)
    with pytest.raises(CallError):
        module(rows(3), rows(3))


def test_results_of_repeated_calls_do_not_share_memory(module: Module) -> None:
    first, second = module(rows(3)).numpy(), module(rows(3)).numpy()
    before = first.copy()
    second[...] = 0
    np.testing.assert_array_equal(first, before)


def test_repeated_calls_see_new_weights(module: Module) -> None:
    module(rows(3))
    module.load_state_dict({"w": np.ones(4, np.float32)})
    np.testing.assert_allclose(module(rows(3)), expected(rows(3), (1, 1, 1, 1)), rtol=1e-6)


def test_repeated_calls_are_recorded_for_backward(module: Module) -> None:
    x, gradients = rows(3), []
    for _ in range(3):
        module.zero_grad()
        module(x).sum().backward()
        gradients.append(next(module.parameters()).grad.numpy().copy())
    np.testing.assert_allclose(gradients[0], ((1 - expected(x) ** 2) * x).sum(0), rtol=1e-5)
    np.testing.assert_array_equal(gradients[1], gradients[0])
    np.testing.assert_array_equal(gradients[2], gradients[0])
    with no_grad():
        assert not module(x).requires_grad
    module.requires_grad_(False)
    assert not module(x).requires_grad
    module.requires_grad_(True)
    assert module(x).requires_grad


def test_threads_get_the_answers_of_their_own_arguments(module: Module) -> None:
    wrong: list[int] = []

    def work(n: int) -> None:
        x = rows(n)
        first = module(x).numpy().copy()
        wrong.extend(n for _ in range(200) if not np.array_equal(module(x).numpy(), first))
        if not np.allclose(first, expected(x), rtol=1e-5):
            wrong.append(n)
    threads = [threading.Thread(target=work, args=(n % 3 + 1,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
