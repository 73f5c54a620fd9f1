"""The pipeline as a whole: stage specs, meaning preserved, debugging switches."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scriptc.interp.interpreter import evaluate, run_function
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Leaf, Parameter, Program, Value
from scriptc.ir.passes.pipeline import PIPELINE, optimize, optimize_program
from scriptc.ir.printer import print_function
from scriptc.ir.reader import parse_function
from scriptc.ir.types import TensorType, float32
from scriptc.ir.verify import verify_function
from tests.passes.test_golden import PASSES, cases

MIXED = """\
func f(%x: float32[N, 4], %n: int) -> float32[?, 4], int(N)
  state @w: float32[4, 4]
  %0 = size(%x) {dim=0} : int(N)
  %1 = scalar_mul(2.0, 0.5) : float
  %2 = mul(%x, %1) : float32[N, 4]
  %3 = loop(%n, True, %2) : float32[?, 4]
    region(%i: int, %h: float32[?, 4])
      %4 = permute(@w) {dims=(1, 0)} : float32[4, 4]
      %5 = matmul(%h, %4) : float32[?, 4]
      %6 = scalar_lt(%1, 2.0) : bool
      %7 = if(%6) : float32[?, 4]
        region()
          %8 = tanh(%5) : float32[?, 4]
          yield %8
        region()
          yield %h
      yield True, %7
  return %3, %0
"""


def test_every_pass_finds_what_it_needs() -> None:
    given: set[str] = set()
    for step in PIPELINE:
        assert step.needs <= given, step.name
        given |= step.gives


def test_the_pipeline_reaches_every_pass() -> None:
    assert {step.name.removesuffix("-again") for step in PIPELINE} == set(PASSES)


def test_the_pipeline_simplifies() -> None:
    assert print_function(optimize(parse_function(MIXED), evaluate)) == """\
func f(%x: float32[N, 4], %n: int) -> float32[N, 4], int(N)
  state @w: float32[4, 4]
  %0 = size(%x) {dim=0} : int(N)
  %1 = permute(@w) {dims=(1, 0)} : float32[4, 4]
  %2 = loop(%n, True, %x) : float32[N, 4]
    region(%i: int, %h: float32[N, 4])
      %3 = matmul(%h, %1) : float32[N, 4]
      %4 = tanh(%3) : float32[N, 4]
      yield True, %4
  return %2, %0
"""


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_the_meaning_stays(turns: int) -> None:
    function = parse_function(MIXED)
    draw = np.random.default_rng(turns).standard_normal
    inputs, state = [draw((3, 4)).astype(np.float32), turns], {"w": draw((4, 4)).astype(np.float32)}
    before, after = (run_function(f, inputs, state).results for f in (function, optimize(function, evaluate)))
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1] == 3


@pytest.mark.parametrize("source", [case[0] for name in PASSES for case in cases(name)])
def test_what_the_pipeline_makes_is_sound_and_stays(source: str) -> None:
    once = optimize(parse_function(source), evaluate)
    verify_function(once)
    assert print_function(optimize(once, evaluate)) == print_function(once)


def test_every_step_is_verified_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_VERIFY", "2")
    optimize(parse_function(MIXED), evaluate)


def test_the_stages_are_printed_when_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SCRIPTC_DEBUG", "ast,passes")
    optimize(parse_function(MIXED), evaluate)
    shown = capsys.readouterr().err
    assert "--- after fold\nfunc f(" in shown
    assert "--- after cse-again" not in shown


def test_a_program_keeps_all_but_its_functions() -> None:
    program = Program({"f": parse_function(MIXED)}, (), (), (), "Net()")
    made = optimize_program(program, evaluate)
    assert made.entry == "Net()"
    assert len(made.functions["f"].ops) == 3


def test_a_rewrite_that_shows_a_failure_leaves_the_function_alone() -> None:
    # The branch is taken, so the sizes are known, and the addition must fail: which is for the run time to say.
    function = parse_function("""\
func f(%x: float32[2], %y: float32[3], %n: int) -> float32[?]
  %0 = if(True) : float32[?]
    region()
      yield %x
    region()
      yield %y
  %1 = add(%0, %y) : float32[3]
  return %1
""".replace("float32[?]\n  %0", "float32[3]\n  %0"))
    verify_function(optimize(function, evaluate))


def test_long_functions_are_no_problem() -> None:
    x = Value(TensorType(float32, (8, 8)), "x")
    builder, y = Builder(), x
    for _ in range(1500):
        y = builder.emit_one("add", [builder.emit_one("relu", [y]), x])
    function = Function("f", (Parameter("x", Leaf(0)),), (x,), {}, builder.take(), (y,), Leaf(0))
    assert len(optimize(function, evaluate).ops) == 3000


def test_the_cases_are_files_of_this_folder() -> None:
    assert {path.stem for path in Path(__file__).parent.glob("*.ir")} == set(PASSES)
