"""The interpreter: control flow, state, failures with their place, budgets."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scriptc.interp.interpreter import evaluate, run_function
from scriptc.ir.builder import Builder
from scriptc.ir.exceptions import exception_class
from scriptc.ir.graph import Function, Leaf, Value
from scriptc.ir.reader import parse_function
from scriptc.ir.types import INT
from scriptc.location import Location, Source, Span
from scriptc.records import replace


def run(text: str, *inputs: Any, budget: int = 1000, **state: np.ndarray) -> list[Any]:
    return run_function(parse_function(text), inputs, state, budget).results


COLLATZ = """\
func f(%n: int) -> int
  %0 = scalar_ne(%n, 1) : bool
  %1, %2 = loop(1000, %0, %n, 0) : int, int
    region(%i: int, %x: int, %steps: int)
      %3 = scalar_mod(%x, 2) : int
      %4 = scalar_eq(%3, 0) : bool
      %5 = if(%4) : int
        region()
          %6 = scalar_floordiv(%x, 2) : int
          yield %6
        region()
          %7 = scalar_mul(%x, 3) : int
          %8 = scalar_add(%7, 1) : int
          yield %8
      %9 = scalar_add(%steps, 1) : int
      %10 = scalar_ne(%5, 1) : bool
      yield %10, %5, %9
  return %2
"""


@pytest.mark.parametrize(("start", "steps"), [(1, 0), (2, 1), (6, 8), (27, 111)])
def test_loops_and_branches_follow_the_data(start: int, steps: int) -> None:
    assert run(COLLATZ, start) == [steps]


def test_a_loop_stops_at_its_trip_count() -> None:
    assert run(COLLATZ.replace("1000", "5"), 27) == [5]


def test_a_loop_that_goes_on_is_stopped_by_the_budget() -> None:
    with pytest.raises(RuntimeError, match="more than 50 loop iterations"):
        run(COLLATZ, 27, budget=50)


def test_state_updates_and_input_updates_are_given_back() -> None:
    function = parse_function("""\
func f(%x: float32[2]) -> float32[2]
  state @w: float32[2]
  %0 = add(%x, @w) : float32[2]
  %1 = mul(%0, 2.0) : float32[2]
  update @w = %0
  update $0 = %1
  return %1
""")
    w = np.array([10, 20], np.float32)
    outcome = run_function(function, [np.array([1, 2], np.float32)], {"w": w})
    assert outcome.updates["w"].tolist() == [11, 22]
    assert outcome.input_updates[0].tolist() == outcome.results[0].tolist() == [22, 44]
    assert w.tolist() == [10, 20]


@pytest.mark.parametrize(("name", "kind"), [("ValueError", ValueError), ("IndexError", IndexError), ("KeyboardInterrupt", RuntimeError),
                                            ("MyError", RuntimeError), ("__import__", RuntimeError)])
def test_a_failed_check_raises_the_exception_it_names(name: str, kind: type[Exception]) -> None:
    text = f'func f(%n: int)\n  check(False, %n) {{exception="{name}", message="got {{}}"}}\n  return\n'
    with pytest.raises(kind, match="got 3") as caught:
        run(text, 3)
    assert type(caught.value) is kind is exception_class(name)


def test_a_failure_tells_its_place() -> None:
    source = Source("model.py", "y = 1 // n\n")
    n = Value(INT, "n")
    builder = Builder()
    with builder.at(Location(Span(source, 4, 10), "body")):
        y = builder.emit_one("scalar_floordiv", [1, n])
    function = Function("f", (), (n,), {}, builder.take(), (y,), Leaf(0))
    with pytest.raises(ZeroDivisionError) as caught:
        run_function(function, [0], {})
    (note,) = caught.value.__notes__
    assert note.splitlines() == ["at model.py:1:5 in body", "     1 | y = 1 // n", "       |     ^^^^^^"]


def test_print_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    run('func f(%x: float32[2], %n: int)\n  print(%x, %n) {pattern="{} {}\\n"}\n  return\n', np.array([1, 2], np.float32), 3)
    assert capsys.readouterr().out == "tensor([1., 2.]) 3\n"


@pytest.mark.parametrize("kind", ["float32[2, N]", "int", "float", "bool", "str", "List[int]", "Dict[str, int]", "Tuple[int, float32[2]]",
                                  "Optional[int]", "None"])
def test_an_undefined_value_may_be_carried(kind: str) -> None:
    run(f'func f() -> {kind}\n  %0 = undefined() {{type="{kind}"}} : {kind}\n  return %0\n')


def test_wrong_arguments_are_refused() -> None:
    function = parse_function("func f(%x: int) -> int\n  state @w: float32[2]\n  return %x\n")
    with pytest.raises(ValueError, match="takes 1 inputs, found 0"):
        run_function(function, [], {})
    with pytest.raises(ValueError, match="reads state w, which is not given"):
        run_function(function, [1], {})


def test_evaluation_for_folding_gives_none_where_the_op_fails() -> None:
    (op,) = parse_function("func f() -> int\n  %0 = scalar_floordiv(7, 2) : int(3)\n  return %0\n".replace("-> int\n", "-> int(3)\n")).ops
    assert evaluate(op, [7, 2]) == (3,)
    assert evaluate(op, [7, 0]) is None
    assert evaluate(replace(op, name="scalar_add"), [2**63 - 1, 1]) is None
