"""The verifier finds each kind of fault, reports all of them, and never fails in another way."""
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

import scriptc.ir.ops  # noqa: F401  (declares every op)
from scriptc.errors import InternalError
from scriptc.ir.graph import Fixed, Function, Group, Leaf, Literal, Op, Program, Region, Value
from scriptc.ir.reader import parse_function, parse_program
from scriptc.ir.types import BOOL, FLOAT, INT, TensorType, float32
from scriptc.ir.verify import verify, verify_function
from tests.ir import strategies

SOUND = """\
func f(%x: float32[N, 4], %n: int) -> float32[N, 4]
  state @w: float32[4]
  %0 = mul(%x, @w) : float32[N, 4]
  %1 = loop(%n, True, %0) : float32[N, 4]
    region(%i: int, %h: float32[N, 4])
      %2 = relu(%h) : float32[N, 4]
      yield True, %2
  update @w = @w
  return %1
"""


def test_a_sound_function_passes() -> None:
    verify_function(parse_function(SOUND))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("mul(%x, @w) : float32[N, 4]", "mul(%x, @w) : float32[N, 5]", "mul gives float32[N, 4], the program says float32[N, 5]"),
    ("%2 = relu(%h) : float32[N, 4]", "%2 = relu(%h) : float32[?, 4]", "relu gives float32[N, 4]"),
    ("relu(%h)", "rolu(%h)", "there is no op 'rolu'"),
    ("relu(%h)", "relu@7(%h)", "relu is at version 1, the program has 7"),
    ("relu(%h)", "relu(%h, %h)", "relu takes 1 operands, found 2"),
    ("relu(%h)", "relu(%i)", "relu needs at least one tensor operand"),
    ("relu(%h)", "relu(%h) {slope=1}", "relu has no attribute slope"),
    ("relu(%h)", "leaky_relu(%h)", "attribute negative_slope"),
    ("return %1", "return %2", "used where it is not defined"),
    ("return %1", "return %1 -> ($0, $1)", "the result names value 1 of 1"),
    ("yield True, %2", "yield %2, %2", "first result of a loop's region must be a bool"),
    ("yield True, %2", "yield True", "loop needs one region"),
    ("region(%i: int, %h: float32[N, 4])", "region(%i: int, %h: float32[3, 4])", "E0420"),
    ("update @w = @w", "update @w = %n", "updates state 'w' of type float32[4] with int"),
    ("update @w = @w", "update $0 = %n", "updates input 0 of type float32[N, 4] with int"),
    ("update @w = @w", "update $9 = %x", "updates input 9 of 2"),
    ("%0 = mul", "%9 = mul(%x, \"a\") : float32[N, 4]\n  %0 = mul", "must be"),
])
def test_a_fault_is_found(old: str, new: str, message: str) -> None:
    assert old in SOUND
    text = SOUND.replace(old, new, 1)
    with pytest.raises(InternalError) as caught:
        verify_function(parse_function(text))
    assert message in str(caught.value)


def test_every_fault_is_reported_with_the_lines_around_it() -> None:
    text = SOUND.replace("mul(%x, @w) : float32[N, 4]", "mul(%x, @w) : float64[N, 4]").replace("relu(%h)", "rolu(%h)")
    with pytest.raises(InternalError) as caught:
        verify_function(parse_function(text))
    assert [d.message for d in caught.value.diagnostics] == [
        "f: mul gives float32[N, 4], the program says float64[N, 4]", "f: there is no op 'rolu'",
        "a loop value of type float32[N, 4] begins as float64[N, 4] and goes on as float32[N, 4]"]
    assert "> " + "  %0 = mul(%x, @w) : float64[N, 4]" in str(caught.value)
    assert "region(%i: int, %h: float32[N, 4])" in str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("float32[4] buffer", "float32[5] buffer", "reads state 'w' as float32[4], but it is float32[5]"),
    ("@w: float32[4] buffer", "@v: float32[4] buffer", "reads state 'w', which the program does not have"),
    ("buffer", "thing", "unknown kind 'thing'"),
    ("buffer", "buffer alias @v", "shares the storage of 'v', which is not of its type"),
    ("state @w", "state @w: float32[4] buffer\nstate @w", "listed twice"),
])
def test_faults_of_the_state_are_found(old: str, new: str, message: str) -> None:
    text = 'program ""\nstate @w: float32[4] buffer\n'
    verify(parse_program(text + SOUND))
    with pytest.raises(InternalError, match=message.replace("[", "\\[")):
        verify(parse_program(text.replace(old, new, 1) + SOUND))


def one_op(op: Op, *inputs: Value) -> Function:
    return Function("f", (), inputs, {}, (op,), op.results, Fixed(None))


X = Value(TensorType(float32, (2,)), "x")


@pytest.mark.parametrize("function", [
    one_op(Op("relu", (X,), {}, (X,)), X),
    one_op(Op("relu", (Value(X.type),), {}, (Value(X.type),)), X),
    one_op(Op("add", (X, Literal(FLOAT, "", object())), {}, (Value(X.type),)), X),  # type: ignore[arg-type]
    one_op(Op("add", (X, Literal(INT, "", 1.5)), {}, (Value(X.type),)), X),
    one_op(Op("relu", (X,), {}, (Value(X.type),), (Region((), (), ()),)), X),
    one_op(Op("permute", (X,), {"dims": (10**30,)}, (Value(X.type),)), X),
    one_op(Op("permute", (Value(TensorType(float32)),), {"dims": ()}, (Value(X.type),)), X),
    one_op(Op("if", (Literal(BOOL, "", True),), {}, ()), X),
    one_op(Op("if", (), {}, ()), X),
    Function("f", (), (X,), {}, (), (X,), Group("bag", (Leaf(0),))),
    Function("f", (), (X,), {}, (), (X,), Group("dict", (Leaf(0),))),
    Function("f", (), (X, X), {}, (), (X,), Leaf(0)),
    Function("f", (), (X,), {}, (), (X,), Leaf(-1)),
], ids=range(13))
def test_broken_objects_are_reported(function: Function) -> None:
    with pytest.raises(InternalError):
        verify_function(function)


def nested(depth: int) -> Function:
    results: tuple[Value, ...] = ()
    region = Region((), (), ())
    for _ in range(depth):
        region = Region((), (Op("if", (Literal(BOOL, "", True),), {}, results, (region, Region((), (), ()))),), ())
    return Function("f", (), (), {}, region.ops, (), Fixed(None))


def test_regions_may_be_nested_64_deep_and_no_deeper() -> None:
    verify_function(nested(64))
    with pytest.raises(InternalError, match="nested deeper than 64"):
        verify_function(nested(900))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.programs())
def test_any_program_passes_or_is_reported(program: Program) -> None:
    try:
        verify(program)
    except InternalError as error:
        assert error.diagnostics
