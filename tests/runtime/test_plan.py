"""Planning: binding of shapes, fusion, the arena, control flow."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.plan import control
from scriptc_runtime.plan.control import Subprogram
from scriptc_runtime.plan.memory import Lifetime, plan_arena
from scriptc_runtime.plan.schedule import make_plan
from scriptc_runtime.runner import Runner

from scriptc.errors import CallError
from scriptc.ir.builder import Builder
from scriptc.ir.dims import symbol
from scriptc.ir.graph import Function, Leaf, Parameter, Value, literal
from scriptc.ir.ops.activation import relu
from scriptc.ir.ops.elementwise import add, exp, mul, tanh
from scriptc.ir.ops.reduction import sum_
from scriptc.ir.ops.shape import reshape, size
from scriptc.ir.types import INT, NONE, OptionalType, TensorType, Type, float32

N = symbol("N")
ROWS = TensorType(float32, (N, 4))
ROWS_OF_2 = TensorType(float32, (2, 4))
Make = Callable[..., Function]


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)


def test_elementwise_chain_becomes_one_step(function_of: Make) -> None:
    runner = Runner(function_of(lambda x, y: exp(tanh(x * y) + 1.0) - x, {"x": ROWS, "y": ROWS}))
    plan = runner.plan([rows(3), rows(3)])
    assert [s.kernel.name for s in plan.steps] == ["mul+tanh+add+exp+sub"]


def test_value_read_outside_ends_its_group_and_is_computed_once(function_of: Make) -> None:
    def body(x: Any) -> Any:
        y = tanh(x)
        total = sum_(y, dims=(1,), keepdim=True)
        return exp(y) * total
    plan = Runner(function_of(body, {"x": ROWS})).plan([rows(3)])
    assert [s.kernel.name for s in plan.steps] == ["tanh", "sum", "exp+mul"]


def test_sizes_are_folded_and_views_need_no_arithmetic(function_of: Make) -> None:
    runner = Runner(function_of(lambda x: reshape(x, size(x, dim=1), size(x, dim=0)), {"x": ROWS}))
    assert [s.kernel.name for s in runner.plan([rows(3)]).steps] == ["reshape"]
    assert runner.run([rows(3)])[0].shape == (4, 3)


def test_each_shape_has_its_plan_and_a_shape_that_recurs_reuses_it(function_of: Make) -> None:
    runner = Runner(function_of(lambda x: x * 2.0, {"x": ROWS}))
    assert runner.plan([rows(3)]) is runner.plan([rows(3, 1)])
    assert runner.plan([rows(3)]) is not runner.plan([rows(5)])


def test_shapes_that_do_not_fit_are_refused_at_the_op(function_of: Make) -> None:
    runner = Runner(function_of(lambda x, y: x + y, {"x": TensorType(float32, (N,)), "y": TensorType(float32, (symbol("M"),))}))
    with pytest.raises(CallError, match="cannot be broadcast"):
        runner.run([np.zeros(3, np.float32), np.zeros(4, np.float32)])


def test_result_never_shares_memory_with_an_argument(function_of: Make) -> None:
    runner = Runner(function_of(lambda x: reshape(x, -1), {"x": ROWS}))
    x = rows(3)
    assert not np.shares_memory(runner.run([x])[0], x)


def test_results_of_two_runs_do_not_share_the_arena(function_of: Make) -> None:
    runner = Runner(function_of(lambda x: reshape(tanh(x + x), -1), {"x": ROWS}))
    first = runner.run([rows(3)])[0]
    kept = first.copy()
    runner.run([rows(3, 1)])
    assert np.array_equal(first, kept)


def test_a_view_keeps_its_buffer_alive(function_of: Make) -> None:
    def body(x: Any) -> Any:
        y = tanh(x * 2.0)
        flat = reshape(y, -1)
        z = sum_(exp(x * 3.0) - 1.0, dims=(0, 1))
        return sum_(flat, dims=(0,)) + z
    x = rows(64)
    result = Runner(function_of(body, {"x": ROWS})).run([x])[0]
    assert np.allclose(result, np.tanh(x * 2).sum() + (np.exp(x * 3) - 1).sum(), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_living_buffers_never_overlap_in_the_arena(seed: int) -> None:
    chance = random.Random(seed)
    lifetimes = [Lifetime(chance.randrange(0, 5000), start, start + chance.randrange(0, 12)) for start in range(60)]
    offsets, total = plan_arena(lifetimes)
    for i, (a, at) in enumerate(zip(lifetimes, offsets, strict=True)):
        assert at % 64 == 0 and at + a.size <= total
        for b, bt in zip(lifetimes[:i], offsets[:i], strict=True):
            if a.start <= b.end and b.start <= a.end:
                assert at + a.size <= bt or bt + b.size <= at
    assert total < sum(life.size for life in lifetimes)


def counting_loop(trips: Any, step: Any) -> Function:
    """x, n -> x after the loop; `step` emits the next x from (builder, iteration, x)."""
    builder = Builder()
    x, n = Value(ROWS, "x"), Value(INT, "n")
    iteration, carried = Value(INT), Value(TensorType(float32, None))
    builder.begin()
    after = step(builder, iteration, carried)
    region = builder.end([iteration, carried], [literal(True), after])
    result = builder.emit_one("loop", [n if trips is None else trips, True, x], regions=(region,))
    return Function("f", (Parameter("x", Leaf(0)), Parameter("n", Leaf(1))), (x, n), {}, builder.take(), (result,), Leaf(0))


def test_loop_runs_its_trip_count() -> None:
    runner = Runner(counting_loop(None, lambda b, i, x: b.emit_one("add", [x, 1.0])))
    x = rows(2)
    assert np.allclose(runner.run([x, 5])[0], x + 5)
    assert np.allclose(runner.run([x, 0])[0], x)


def test_loop_may_change_the_shape_it_carries() -> None:
    runner = Runner(counting_loop(None, lambda b, i, x: b.emit_one("cat", [x, x], {"dim": 0})))
    assert runner.run([rows(1), 4])[0].shape == (16, 4)


def test_a_loop_whose_values_grow_is_not_planned_anew_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Any] = []
    of_region = Subprogram._planned
    monkeypatch.setattr(Subprogram, "_planned", lambda self, types: planned.append(types) or of_region(self, types))
    runner = Runner(counting_loop(None, lambda b, i, x: b.emit_one("cat", [b.emit_one("mul", [x, 0.5]), ones(b)], {"dim": 0})))
    wanted = rows(1)
    for _ in range(60):
        wanted = np.concatenate([wanted * np.float32(0.5), np.ones((1, 4), np.float32)])
    for _ in range(control.RECURRING + 1):
        assert np.array_equal(runner.run([rows(1), 60])[0], wanted)
        if len(planned) > control.AT_ONCE + 2:
            break
        assert planned[-1][1].shape == (None, 4)     # what varies is open, the rest is known
    else:
        pytest.fail("sizes that recur have no plan of their own")
    assert planned[-1][1].shape is not None and None not in planned[-1][1].shape


def ones(builder: Builder) -> Value:
    return builder.emit_one("full", [1.0, 1, 4], {"dtype": float32})


def test_loop_budget_stops_an_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scriptc_runtime.plan.control.STEP_BUDGET", 50)
    runner = Runner(counting_loop(2**63 - 1, lambda b, i, x: b.emit_one("neg", [x])))
    with pytest.raises(CallError, match="R0111"):
        runner.run([rows(1), 0])


def branching(condition: Any) -> Function:
    builder = Builder()
    x = Value(ROWS, "x")
    test = condition(builder, x)
    builder.begin()
    doubled = builder.emit_one("mul", [x, 2.0])
    yes = builder.end([], [doubled])
    builder.begin()
    summed = builder.emit_one("sum", [x], {"dims": (0,), "keepdim": True})
    no = builder.end([], [summed])
    result = builder.emit_one("if", [test], regions=(yes, no))
    after = builder.emit_one("add", [result, x])
    return Function("f", (Parameter("x", Leaf(0)),), (x,), {}, builder.take(), (after,), Leaf(0))


def test_condition_on_shapes_is_decided_when_planning() -> None:
    runner = Runner(branching(lambda b, x: b.emit_one("scalar_gt", [b.emit_one("size", [x], {"dim": 0}), 2])))
    assert [s.kernel.name for s in runner.plan([rows(3)]).steps] == ["mul+add"]
    assert [s.kernel.name for s in runner.plan([rows(2)]).steps] == ["sum", "add"]


def test_condition_on_data_is_decided_when_running() -> None:
    runner = Runner(branching(lambda b, x: b.emit_one("item", [b.emit_one("any", [b.emit_one("gt", [x, 0.0])], {})])))
    up, down = np.abs(rows(3)), -np.abs(rows(3))
    assert np.allclose(runner.run([up])[0], 3 * up)
    assert np.allclose(runner.run([down])[0], down.sum(0) + down, atol=1e-6)


def test_a_branch_entered_at_run_time_knows_the_sizes_known_around_it_and_what_is_optional() -> None:
    builder = Builder()
    x = Value(ROWS, "x")
    rows_of_x = builder.emit_one("size", [x], {"dim": 0})
    positive = builder.emit_one("item", [builder.emit_one("any", [builder.emit_one("gt", [x, 0.0])], {})])
    maybe = builder.emit_one("optional_wrap", [x])
    builder.begin()
    yes = builder.end([], [builder.emit_one("reshape", [builder.emit_one("optional_get", [maybe]), rows_of_x, 4])])
    builder.begin()
    no = builder.end([], [builder.emit_one("neg", [x])])
    result = builder.emit_one("if", [positive], regions=(yes, no))
    runner = Runner(Function("f", (Parameter("x", Leaf(0)),), (x,), {}, builder.take(), (result,), Leaf(0)))
    assert np.array_equal(runner.run([np.abs(rows(3))])[0], np.abs(rows(3)))


def test_an_optional_carried_by_a_loop_is_no_question_any_more_in_the_plan_of_a_turn() -> None:
    """carried: None, then x; each turn: 2 * carried if there is one, else x."""
    builder = Builder()
    x, n = Value(ROWS, "x"), Value(INT, "n")
    kind = OptionalType(ROWS)
    nothing = builder.emit_one("optional_none", (), {"element": str(ROWS)})
    iteration, carried = Value(INT), Value(kind)
    builder.begin()
    absent = builder.emit_one("optional_is_none", [carried])
    builder.begin()
    first = builder.end([], [builder.emit_one("detach", [x])])
    builder.begin()
    later = builder.end([], [builder.emit_one("mul", [builder.emit_one("optional_get", [carried]), 2.0])])
    after = builder.emit_one("if", [absent], regions=(first, later))
    region = builder.end([iteration, carried], [literal(True), builder.emit_one("optional_wrap", [after])])
    result = builder.emit_one("optional_get", [builder.emit_one("loop", [n, True, nothing], regions=(region,))])
    runner = Runner(Function("f", (Parameter("x", Leaf(0)), Parameter("n", Leaf(1))), (x, n), {}, builder.take(), (result,), Leaf(0)))
    with pytest.raises(TypeError):
        runner.run([rows(2), 0])
    assert np.array_equal(runner.run([rows(2), 1])[0], rows(2))
    assert np.array_equal(runner.run([rows(2), 4])[0], 8 * rows(2))
    of_turns = make_plan(region, (iteration, carried, x), {iteration: INT, carried: ROWS_OF_2, x: ROWS_OF_2}, {})
    assert [s.kernel.name for s in of_turns.steps] == ["mul"]
    of_first = make_plan(region, (iteration, carried, x), {iteration: INT, carried: NONE, x: ROWS_OF_2}, {})
    assert of_first.steps == ()


def test_sizes_that_the_data_decides_are_resolved_while_running(function_of: Make) -> None:
    def body(x: Any) -> Any:
        from scriptc.ir.ops.indexing import masked_select
        return exp(masked_select(x, x > 0.0) + 1.0)
    x = rows(8)
    assert np.allclose(Runner(function_of(body, {"x": ROWS})).run([x])[0], np.exp(x[x > 0] + 1), rtol=1e-5)


def test_exceptions_name_the_op(capsys: pytest.CaptureFixture[str]) -> None:
    builder = Builder()
    x = Value(ROWS, "x")
    builder.emit("check", [False, 3], {"exception": "ValueError", "message": "bad {0}"})
    function = Function("f", (Parameter("x", Leaf(0)),), (x,), {}, builder.take(), (x,), Leaf(0))
    with pytest.raises(ValueError, match="bad 3") as caught:
        Runner(function).run([rows(1)])
    assert "in check" in caught.value.__notes__[0]


def test_debug_switch_prints_the_plan(function_of: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SCRIPTC_DEBUG", "plan")
    Runner(function_of(lambda x: relu(x), {"x": ROWS}, name="forward")).run([rows(1)])
    assert "plan forward: 1 steps" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [INT])
def test_int_arguments_do_not_multiply_plans(function_of: Make, kind: Type) -> None:
    runner = Runner(function_of(lambda x, n: mul(add(x, 0.0), n), {"x": ROWS, "n": kind}))
    assert runner.plan([rows(2), 3]) is runner.plan([rows(2), 4])
    assert np.allclose(runner.run([rows(2), 3])[0], rows(2) * 3)


def test_value_beyond_the_memory_limit_is_refused_before_it_is_made() -> None:
    builder = Builder()
    x = Value(ROWS, "x")
    size_ = builder.emit_one("scalar_mul", [builder.emit_one("size", [x], {"dim": 0}), 2**45])
    y = builder.emit_one("full", [0.0, size_], {"dtype": float32})
    function = Function("f", (Parameter("x", Leaf(0)),), (x,), {}, builder.take(), (y,), Leaf(0))
    with pytest.raises(CallError, match="R0123"):
        Runner(function).run([rows(2)])
