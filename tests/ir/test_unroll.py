"""Loops as straight code: the same results, whatever stands in the loop; and when a loop stays."""
from __future__ import annotations

import numpy as np
import pytest

import scriptc.interp.ops
import scriptc.ir.ops  # noqa: F401
from scriptc.interp.interpreter import run_function
from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Function, Op, walk
from scriptc.ir.passes.unroll import unroll
from scriptc.ir.reader import parse_function
from scriptc.ir.verify import verify_function

RECURRENT = """\
func f(%x: float64[7, 4]) -> float64[?, 4], float64[4], int
  state @w: float64[4, 4]
  %0 = full(0.0, 4) {dtype=float64} : float64[4]
  %1 = list_new() {element="float64[4]"} : List[float64[4]]
  %2, %3 = loop(TURNS, True, %0, %1) : float64[4], List[float64[4]]
    region(%i: int, %h: float64[4], %outs: List[float64[4]])
      %k = scalar_mul(%i, 2) : int
      %j = scalar_mod(%k, 7) : int
      %4 = select(%x, %j) {dim=0} : float64[4]
      %5 = matmul(%h, @w) : float64[4]
      %6 = add(%4, %5) : float64[4]
      %7 = tanh(%6) : float64[4]
      %8 = list_append(%outs, %7) : List[float64[4]]
      yield True, %7, %8
  %n = list_length(%3) : int
  %9 = list_append(%3, %2) : List[float64[4]]
  %a = stack_list(%9) {dim=0} : float64[?, 4]
  return %a, %2, %n
"""

NESTED = """\
func f(%x: float64[4], %go: bool) -> float64[4], List[float64[4]]
  %l = list_new(%x) {element="float64[4]"} : List[float64[4]]
  %0, %m = loop(TURNS, True, %x, %l) : float64[4], List[float64[4]]
    region(%i: int, %h: float64[4], %o: List[float64[4]])
      %even = scalar_mod(%i, 2) : int
      %is = scalar_eq(%even, 0) : bool
      %1 = if(%is) : float64[4]
        region()
          %2 = loop(2, True, %h) : float64[4]
            region(%j: int, %k: float64[4])
              %3 = mul(%k, 1.5) : float64[4]
              yield True, %3
          yield %2
        region()
          %4 = sub(%h, 1.0) : float64[4]
          yield %4
      %5 = if(%go) : float64[4]
        region()
          %6 = list_get(%o, %i) : float64[4]
          %7 = add(%6, %1) : float64[4]
          yield %7
        region()
          yield %1
      %8 = list_append(%o, %5) : List[float64[4]]
      yield True, %5, %8
  return %0, %m
"""


def evaluate(op: Op, contents: object) -> list[object]:
    return [REFERENCES[op.name](*contents, **op.attributes)]  # type: ignore[misc]


def unrolled(text: str, turns: int) -> tuple[Function, Function]:
    function = parse_function(text.replace("TURNS", str(turns)))
    made = unroll(function, evaluate)
    verify_function(made)
    return function, made


@pytest.mark.parametrize("text", [RECURRENT, NESTED], ids=["recurrent", "nested"])
@pytest.mark.parametrize("turns", [0, 1, 7])
@pytest.mark.parametrize("go", [True, False])
def test_straight_code_computes_the_same(text: str, turns: int, go: bool) -> None:
    function, made = unrolled(text, turns)
    assert not any(op.name == "loop" for op in walk(made.ops))
    draw = np.random.default_rng(0)
    inputs = [draw.standard_normal((7, 4))] if text is RECURRENT else [draw.standard_normal(4), go]
    state = {"w": draw.standard_normal((4, 4))} if text is RECURRENT else {}
    for a, b in zip(run_function(made, inputs, state).results, run_function(function, inputs, state).results, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_sizes_become_known() -> None:
    _, made = unrolled(RECURRENT, 7)
    assert str(made.results[0].type) == "float64[8, 4]"
    assert not any(op.name.startswith("list") for op in made.ops)


def test_long_loops_and_those_of_unknown_length_stay() -> None:
    function, made = unrolled(NESTED, 7)
    assert unroll(function, evaluate, budget=10).ops != made.ops
    assert any(op.name == "loop" for op in unroll(function, evaluate, budget=10).ops)
    text = RECURRENT.replace("(%x: float64[7, 4])", "(%x: float64[7, 4], %turns: int)").replace("TURNS", "%turns")
    kept = unroll(parse_function(text), evaluate)
    verify_function(kept)
    assert any(op.name == "loop" for op in kept.ops)
