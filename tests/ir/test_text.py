"""The text form: what is printed is read back, and what is malformed is refused with a place."""
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scriptc.ir.ops  # noqa: F401  (declares every op)
from scriptc.errors import CompileError
from scriptc.ir.builder import Builder
from scriptc.ir.equality import equal_functions, equal_programs
from scriptc.ir.graph import Function, Leaf, Program, Value
from scriptc.ir.printer import print_function, print_program
from scriptc.ir.reader import parse_function, parse_program
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import TensorType, Type, float32
from scriptc.ir.verify import verify_function
from scriptc.location import Location, Source, Span
from tests.ir import strategies

EXAMPLE = """\
program "Net()"
state @fc.weight: float32[10, 64] parameter grad
state @head.weight: float32[10, 64] parameter alias @fc.weight
state @"an odd/key": float32[10] buffer
module fc: Linear "in_features=64, out_features=10"
module "": Net

func forward(%x: float32[N, 64], %flag: bool) -> float32[N, 10], int(N)
  args x: $0, *flag?: {"on": $1, 3: (None, complex(0.0, -1.0))}
  state @fc.weight: float32[10, 64]
  state @"an odd/key" %"": float32[10]
  %0 = linear(%x, @fc.weight, None) : float32[N, 10]
  %1 = if(%flag) : float32[N, 10]
    region()
      %2 = leaky_relu(%0) {negative_slope=0.01} : float32[N, 10]
      yield %2
    region()
      yield %0
  %3, %h = max_with_index(%1) {dim=1, keepdim=True} : float32[N, 1], int64[N, 1]
  %h.1 = size(%3) {dim=0} : int(N)
  check(True, %h.1) {exception="ValueError", message="\\u202e \\"{}\\"\\n"}
  %4 = cast@2(%1) {dtype=float32} : float32[N, 10]
  update @"an odd/key" = @"an odd/key"
  update $0 = %x
  return %4, %h.1 -> object "Out" {"logits": $0, "rest": [$1, "s"]}
"""


def test_printing_what_was_read_gives_the_text_back() -> None:
    assert print_program(parse_program(EXAMPLE)) == EXAMPLE


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.programs())
def test_reading_what_was_printed_gives_the_program_back(program: Program) -> None:
    text = print_program(program)
    again = parse_program(text)
    assert equal_programs(program, again)
    assert print_program(again) == text


@settings(max_examples=60, deadline=None)
@given(strategies.types)
def test_types_are_read_back(kind: Type) -> None:
    assert parse_type(str(kind)) == kind


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="float32[]()?.,N1*+-/% intLisTupDcOae\n", max_size=40))
def test_text_that_is_no_type_is_refused_with_a_value_error(text: str) -> None:
    try:
        kind = parse_type(text)
    except ValueError:
        return
    assert parse_type(str(kind)) == kind


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_text_is_refused_with_a_place(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(EXAMPLE)))
    end = data.draw(st.integers(start, min(start + 5, len(EXAMPLE))))
    damaged = EXAMPLE[:start] + data.draw(st.text(alphabet='%@$#"(){}[]:=,x1\n ', max_size=4)) + EXAMPLE[end:]
    try:
        parse_program(damaged)
    except CompileError as error:
        assert error.code == "E0503"
        assert error.diagnostics[0].location is not None


@pytest.mark.parametrize(("text", "message"), [
    ("func f() -> int\n  return %0\n", "%0 is not defined here"),
    ("func f(%x: int) -> int\n  return %x.1\n", "%x.1 is not defined here"),
    ("func f(%x: int, %x: int)\n  return\n", "%x is defined twice"),
    ("func f(%x: integer)\n  return\n", "not a type"),
    ("func f(%x: int) -> float\n  return %x\n", "the function's head says float"),
    ("func f(%x: int)\n  %0 = relu(%x)\n  return\n", "1 results, but 0 types"),
    ("func f()\n  return @w\n", "reads no state called w"),
    ("func f()\n  if(True)\n    region()\n  return\n", "expected '('"),
    ("func f()\n", "expected 'return'"),
    ("func f()\n  return 1 2\n", "expected the end of the line"),
    ("func f()\n  print() {pattern=\"\\q\"}\n  return\n", "not a string literal"),
    ("func f()\n" + "".join(f"{'  ' * d}if(True)\n{'  ' * d}region()\n" for d in range(1, 80)), "nested deeper"),
    ("func f()\n  return -> " + "(" * 5000 + "\n", "nested too deeply"),
], ids=range(13))
def test_malformed_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(CompileError, match="E0503") as caught:
        parse_function(text)
    assert message in str(caught.value)


def place(line: str) -> Function:
    source = Source("model.py", line)
    x = Value(TensorType(float32, (2,)), "x")
    builder = Builder()
    with builder.at(Location(Span(source, 4, 8), "layer1.0")):
        y = builder.emit_one("relu", [x])
    return Function("f", (), (x,), {}, builder.take(), (y,), Leaf(0))


def test_places_are_comments() -> None:
    function = place("y = relu(x)")
    text = print_function(function)
    assert "%0 = relu(%x) : float32[2]   # model.py:1:5 layer1.0\n" in text
    assert equal_functions(parse_function(text), function)
    assert "#" not in print_function(function, locations=False)


@pytest.mark.parametrize(("old", "new"), [
    ("Net()", "Net(1)"), (" parameter grad", " parameter"), ("%h.1", "%k.1"), ("0.01", "0.02"), ("dim=1", "dim=0"), ("cast@2", "cast"),
    ("yield %0", "yield %x"), ("-1.0", "1.0"), ("3: (None", "4: (None"), ("$0 = %x", "$0 = %0"), ("leaky_relu", "relu"), ("*flag", "flag"),
    ('"rest"', '"more"'), ("alias @fc", "alias @f"), ("keepdim=True", "keepdim=1"), ("int(N)\n  check", "int(M)\n  check"),
])
def test_equality_sees_the_difference(old: str, new: str) -> None:
    assert old in EXAMPLE
    changed = EXAMPLE.replace(old, new).replace("-> float32[N, 10], int(N)\n", "-> float32[N, 10], int(M)\n" if "int(M)" in new else
                                                "-> float32[N, 10], int(N)\n")
    assert not equal_programs(parse_program(changed), parse_program(EXAMPLE))


def test_hints_may_be_left_out_of_the_comparison() -> None:
    a = parse_function("func f(%x: int) -> int\n  return %x\n")
    b = parse_function("func f(%y: int) -> int\n  args x: $0\n  return %y\n")
    assert not equal_functions(a, b)
    assert equal_functions(a, b, hints=False)


def test_a_large_function_is_printed_and_read() -> None:
    x = Value(TensorType(float32, (8, 8)), "x")
    builder, y = Builder(), x
    for _ in range(1000):
        y = builder.emit_one("add", [builder.emit_one("relu", [y]), x])
    function = Function("f", (), (x,), {}, builder.take(), (y,), Leaf(0))
    again = parse_function(print_function(function))
    verify_function(again)
    assert equal_functions(again, function)
