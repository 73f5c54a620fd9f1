"""Gradients against difference quotients, through branches, loops and containers; what is saved; what is refused."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scriptc.errors import CompileError
from scriptc.interp.interpreter import run_function
from scriptc.ir.autodiff import Gradient, differentiate
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Leaf, Value, walk
from scriptc.ir.printer import print_function
from scriptc.ir.reader import parse_function
from scriptc.ir.types import TensorType, complex64, float32, float64
from scriptc.ir.verify import verify_function
from scriptc.location import Location, Source, Span

LAYER = """\
func f(%x: float64[N, 4]) -> float64[N, 3]
  state @w: float64[3, 4]
  state @b: float64[3]
  %0 = linear(%x, @w, @b) : float64[N, 3]
  %1 = relu(%0) : float64[N, 3]
  %2 = softmax(%1) {dim=1} : float64[N, 3]
  return %2
"""

BROADCAST = """\
func f(%x: float64[N, 1, 4], %y: float64[3, 1]) -> float64[N, 3, 4], float64[]
  state @b: float64[]
  %0 = mul(%x, %y) : float64[N, 3, 4]
  %1 = add(%0, @b) : float64[N, 3, 4]
  %2 = sub(%1, %x) : float64[N, 3, 4]
  %3 = mean(%2) {dims=None, keepdim=False} : float64[]
  return %2, %3
"""

NESTED = """\
func f(%x: float64[4], %n: int, %go: bool) -> float64[4]
  state @w: float64[4]
  %0 = loop(%n, True, %x) : float64[4]
    region(%i: int, %h: float64[4])
      %1 = mul(%h, @w) : float64[4]
      %2 = sin(%1) : float64[4]
      %3 = loop(2, True, %2) : float64[4]
        region(%j: int, %k: float64[4])
          %4 = mul(%k, %h) : float64[4]
          %5 = add(%4, @w) : float64[4]
          yield True, %5
      %6 = if(%go) : float64[4]
        region()
          %7 = exp(%3) : float64[4]
          yield %7
        region()
          yield %h
      yield True, %6
  return %0
"""

LOOP_IN_BRANCH = """\
func f(%x: float64[4], %go: bool) -> float64[4]
  state @w: float64[4]
  %0 = if(%go) : float64[4]
    region()
      %1 = loop(3, True, %x) : float64[4]
        region(%i: int, %h: float64[4])
          check(%go) {exception="ValueError", message=""}
          %2 = mul(%h, @w) : float64[4]
          %3 = if(%go) : float64[4]
            region()
              %4 = sin(%2) : float64[4]
              yield %4
            region()
              yield %2
          yield True, %3
      yield %1
    region()
      %5 = mul(%x, @w) : float64[4]
      yield %5
  return %0
"""

RECURRENT = """\
func f(%x: float64[T, 4], %n: int(T)) -> float64[?, 4]
  state @w: float64[4, 4]
  %0 = full(0.0, 4) {dtype=float64} : float64[4]
  %1 = list_new() {element="float64[4]"} : List[float64[4]]
  %2, %3 = loop(%n, True, %0, %1) : float64[4], List[float64[4]]
    region(%i: int, %h: float64[4], %outs: List[float64[4]])
      %4 = select(%x, %i) {dim=0} : float64[4]
      %5 = matmul(%h, @w) : float64[4]
      %6 = add(%4, %5) : float64[4]
      %7 = tanh(%6) : float64[4]
      %8 = list_append(%outs, %7) : List[float64[4]]
      yield True, %7, %8
  %9 = stack_list(%3) {dim=0} : float64[?, 4]
  return %9
"""

LISTS = """\
func f(%x: float64[2, 4], %n: int) -> float64[?, 4], float64[4]
  state @w: float64[4]
  %a = select(%x, 0) {dim=0} : float64[4]
  %b = select(%x, 1) {dim=0} : float64[4]
  %1 = list_new(%a, %b) {element="float64[4]"} : List[float64[4]]
  %2 = list_append(%1, @w) : List[float64[4]]
  %3 = list_extend(%2, %1) : List[float64[4]]
  %4 = list_reverse(%3) : List[float64[4]]
  %5, %6 = list_pop(%4, %n) : List[float64[4]], float64[4]
  %7 = mul(%6, %6) : float64[4]
  %8 = list_set(%5, 0, %7) : List[float64[4]]
  %9 = list_get(%8, 2) : float64[4]
  %10 = mul(%9, @w) : float64[4]
  %11 = list_append(%8, %10) : List[float64[4]]
  %12 = stack_list(%11) {dim=0} : float64[?, 4]
  %13 = cat_list(%4) {dim=0} : float64[?]
  %14 = mul(%13, %13) : float64[?]
  %15 = sum(%14) {dims=None, keepdim=False} : float64[]
  %16 = mul(%15, @w) : float64[4]
  return %12, %16
"""

OUTER_LIST = """\
func f(%x: float64[3, 4], %n: int) -> float64[4]
  state @w: float64[4]
  %a = unstack_list(%x) {dim=0} : List[float64[4]]
  %1 = loop(%n, True, @w) : float64[4]
    region(%i: int, %h: float64[4])
      %2 = list_get(%a, %i) : float64[4]
      %3 = mul(%h, %2) : float64[4]
      yield True, %3
  return %1
""".replace("unstack_list(%x) {dim=0}", 'list_new(%p, %q, %p) {element="float64[4]"}').replace("  %a =", """\
  %p = select(%x, 0) {dim=0} : float64[4]
  %q = select(%x, 1) {dim=0} : float64[4]
  %a =""")

OPTIONAL = """\
func f(%x: float64[4], %n: int, %p: bool) -> float64[4]
  state @w: float64[4]
  %none = optional_none() {element="float64[4]"} : Optional[float64[4]]
  %1 = loop(%n, True, %none) : Optional[float64[4]]
    region(%i: int, %h: Optional[float64[4]])
      %2 = optional_is_none(%h) : bool
      %3 = if(%2) : float64[4]
        region()
          %4 = mul(%x, @w) : float64[4]
          yield %4
        region()
          %5 = optional_get(%h) : float64[4]
          %6 = mul(%5, %x) : float64[4]
          yield %6
      %7 = optional_wrap(%3) : Optional[float64[4]]
      yield True, %7
  %8 = if(%p) : Optional[float64[4]]
    region()
      yield %x
    region()
      yield %1
  %9 = optional_get(%8) : float64[4]
  %10 = optional_get(%1) : float64[4]
  %11 = add(%9, %10) : float64[4]
  return %11
"""

RANDOM = """\
func f(%x: float64[4], %n: int) -> float64[4]
  state @s: uint64[2]
  %0, %1 = loop(%n, True, %x, @s) : float64[4], uint64[2]
    region(%i: int, %h: float64[4], %g: uint64[2])
      %2, %3 = dropout(%h, %g) {p=0.5, feature=0} : float64[4], uint64[2]
      %4 = mul(%2, %x) : float64[4]
      %5 = add(%4, %h) : float64[4]
      yield True, %5, %3
  update @s = %1
  return %0
"""

PARTS = """\
func f(%x: float64[4, 3], %y: float64[4, 3], %z: float64[4, 3]) -> float64[3], float64[1, 3], float64[4]
  %a = select(%x, 2) {dim=0} : float64[3]
  %b = select(%x, -1) {dim=0} : float64[3]
  %c = slice(%x, 0, 2, 1) {dim=0} : float64[2, 3]
  %d = sum(%c) {dims=(0,), keepdim=False} : float64[3]
  %1 = mul(%a, %d) : float64[3]
  %2 = mul(%1, %b) : float64[3]
  %e = slice(%y, 0, 2, 1) {dim=0} : float64[2, 3]
  %f = slice(%y, 1, 3, 1) {dim=0} : float64[2, 3]
  %3 = mul(%e, %f) : float64[2, 3]
  %4 = slice(%3, 1, 2, 1) {dim=0} : float64[1, 3]
  %g = select(%z, 0) {dim=1} : float64[4]
  %h = select(%z, 1) {dim=1} : float64[4]
  %i = select(%z, 2) {dim=1} : float64[4]
  %5 = mul(%g, %h) : float64[4]
  %6 = div(%5, %i) : float64[4]
  return %2, %4, %6
"""

SHARED = """\
func f(%x: float64[2, 3, 4], %y: float64[5, 4], %v: float64[4]) -> float64[2, 3, 4], float64[5, 4], float64[4]
  state @b: float64[4]
  state @w: float64[4, 4]
  state @c: float64[4]
  %0 = linear(%x, @w, @b) : float64[2, 3, 4]
  %1 = tanh(%0) : float64[2, 3, 4]
  %2 = linear(%1, @w, @c) : float64[2, 3, 4]
  %3 = exp(@b) : float64[4]
  %4 = linear(%y, @w, %3) : float64[5, 4]
  %5 = matmul(%4, @w) : float64[5, 4]
  %6 = linear(%v, @w, None) : float64[4]
  return %2, %5, %6
"""

CONSTANT = """\
func f(%x: float64[4]) -> float64[4], float64[4]
  %0 = floor(%x) : float64[4]
  %1 = mul(%0, %x) : float64[4]
  %2 = sign(%x) : float64[4]
  return %1, %2
"""


def gradient_of(text: str) -> tuple[Function, Gradient]:
    function = parse_function(text)
    verify_function(function)
    floating = {i for i, v in enumerate(function.inputs) if isinstance(v.type, TensorType) and v.type.dtype is float64}
    state = {n for n, v in function.state.items() if isinstance(v.type, TensorType) and v.type.dtype is float64}
    gradient = differentiate(function, wrt_inputs=floating, wrt_state=state)
    verify_function(gradient.forward)
    verify_function(gradient.backward)
    return function, gradient


def draw(kind: Any, seed: int) -> Any:
    if kind.dtype is not float64:
        return np.array([seed, 0], np.uint64)
    return np.random.default_rng(seed).standard_normal([d if isinstance(d, int) else 5 for d in kind.shape])


@pytest.mark.parametrize(("text", "rest"), [
    (LAYER, []), (BROADCAST, []), (PARTS, []), (SHARED, []),
    (CONSTANT, []), (RECURRENT, [5]), (LISTS, [-2]), (LISTS, [1]), (OUTER_LIST, [3]), (OUTER_LIST, [0]),
    *((NESTED, [n, go]) for n in (0, 1, 3) for go in (True, False)), (LOOP_IN_BRANCH, [True]), (LOOP_IN_BRANCH, [False]),
    (OPTIONAL, [3, False]), (OPTIONAL, [2, True]), (RANDOM, [3]),
], ids=lambda v: v.split("(")[0] if isinstance(v, str) else str(v))
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_equals_the_difference_quotient(text: str, rest: list[Any], seed: int) -> None:
    function, gradient = gradient_of(text)
    tensors = [draw(v.type, seed * 10 + i) for i, v in enumerate(function.inputs[:len(function.inputs) - len(rest)])]
    inputs = [*tensors, *rest]
    state = {n: draw(v.type, seed * 10 + 7 + i) for i, (n, v) in enumerate(function.state.items())}
    forward = run_function(gradient.forward, inputs, state)
    plain = run_function(function, inputs, state)
    count = len(function.results)
    for a, b in zip(forward.results, plain.results, strict=False):
        np.testing.assert_array_equal(a, b)
    weights = [np.random.default_rng(i).standard_normal(forward.results[i].shape) for i in gradient.result_indices]
    found = run_function(gradient.backward, [*weights, *forward.results[count:]], state).results

    def loss(inputs: list[Any], state: dict[str, Any]) -> float:
        results = run_function(function, inputs, state).results
        return sum(float((results[i] * w).sum()) for i, w in zip(gradient.result_indices, weights, strict=True))

    step = 1e-6
    for position, key in enumerate([*gradient.wrt_inputs, *gradient.wrt_state]):
        base = inputs[key] if isinstance(key, int) else state[key]
        direction = np.random.default_rng(position).standard_normal(base.shape)

        def at(distance: float, key: int | str = key, base: Any = base, direction: Any = direction) -> float:
            moved = base + distance * direction
            if isinstance(key, int):
                return loss([moved if i == key else v for i, v in enumerate(inputs)], state)
            return loss(inputs, {**state, key: moved})
        assert found[position].shape == base.shape
        assert found[position].dtype == base.dtype
        quotient = (at(step) - at(-step)) / (2 * step)
        assert float((found[position] * direction).sum()) == pytest.approx(quotient, rel=1e-5, abs=1e-6)


def test_only_what_backward_reads_is_saved() -> None:
    function, gradient = gradient_of(LAYER)
    # x for the weight's gradient, relu's and softmax's results; weights are read from the state.
    assert [str(v.type) for v in gradient.saved] == ["float64[N, 4]", "float64[N, 3]", "float64[N, 3]"]
    assert gradient.saved[0] is function.inputs[0]
    assert gradient.saved[1] is function.ops[1].result
    assert gradient.saved[2] is function.results[0]
    assert list(gradient.backward.state) == ["w", "b"]


def test_parts_are_joined_and_shared_weights_get_one_product() -> None:
    backward = gradient_of(PARTS)[1].backward
    assert [len(op.operands) for op in backward.ops if op.name == "stack"] == [3]
    assert [len(op.operands) for op in backward.ops if op.name == "cat"] == [3]     # y's parts overlap
    backward = gradient_of(SHARED)[1].backward
    # Two and two: the gradient of a computed bias is wanted before that of the weight is complete.
    assert [len(op.operands) for op in backward.ops if op.name == "cat"] == [2, 2, 2, 2]


def test_sizes_are_saved_instead_of_tensors() -> None:
    _, gradient = gradient_of("""\
func f(%x: float64[N, 4]) -> float64[]
  %0 = mean(%x) {dims=None, keepdim=False} : float64[]
  return %0
""")
    assert {str(v.type) for v in gradient.saved} == {"int(N)", "int(4*N)"}


def test_state_that_the_call_changes_is_saved() -> None:
    _, gradient = gradient_of("""\
func f(%x: float64[4]) -> float64[4]
  state @scale: float64[4]
  %0 = mul(%x, @scale) : float64[4]
  %1 = add(@scale, 1.0) : float64[4]
  update @scale = %1
  return %0
""")
    assert not gradient.backward.state
    assert len(gradient.saved) == 2
    assert list(gradient.forward.updates) == ["scale"]


def test_a_result_that_depends_on_nothing_gets_no_gradient() -> None:
    function = parse_function("func f(%x: float64[4], %y: float64[4]) -> float64[4], float64[4]\n"
                              "  %0 = exp(%x) : float64[4]\n  return %y, %0\n")
    gradient = differentiate(function, wrt_inputs={0})
    assert gradient.result_indices == (1,)


def test_what_nothing_depends_on_gets_zeros_even_where_it_is_infinite() -> None:
    function = parse_function("func f(%x: float64[4], %y: float64[N]) -> float64[4]\n  %0 = exp(%x) : float64[4]\n  return %0\n")
    gradient = differentiate(function, wrt_inputs={0, 1})
    forward = run_function(gradient.forward, [np.zeros(4), np.full(3, np.inf)], {})
    found = run_function(gradient.backward, [np.ones(4), *forward.results[1:]], {})
    assert found.results[1].tolist() == [0, 0, 0]


def test_half_precision_gradients_keep_the_dtype() -> None:
    function = parse_function("func f(%x: bfloat16[4]) -> float32[4]\n  %0 = cast(%x) {dtype=float32} : float32[4]\n"
                              "  %1 = exp(%0) : float32[4]\n  return %1\n")
    assert str(differentiate(function, wrt_inputs={0}).backward.results[0].type) == "bfloat16[4]"


def test_effects_are_not_repeated_in_backward() -> None:
    _, gradient = gradient_of(LOOP_IN_BRANCH)
    assert any(op.name == "check" for op in walk(gradient.forward.ops))
    assert not any(op.name == "check" for op in walk(gradient.backward.ops))


def test_an_op_without_gradient_is_refused_at_its_place() -> None:
    source = Source("model.py", "y = cumprod(x)\n")
    x = Value(TensorType(float32, (4,)), "x")
    builder = Builder()
    with builder.at(Location(Span(source, 4, 14))):
        y = builder.emit_one("products_of_others", [x], {"dim": 0})
    function = Function("f", (), (x,), {}, builder.take(), (y,), Leaf(0))
    with pytest.raises(CompileError, match=r"model.py:1:5: error E0501: products_of_others has no gradient"):
        differentiate(function, wrt_inputs={0})


def test_a_gradient_through_complex_numbers_is_refused() -> None:
    x = Value(TensorType(float32, (4,)), "x")
    builder = Builder()
    z = builder.emit_one("cast", [x], {"dtype": complex64})
    y = builder.emit_one("cast", [builder.emit_one("mul", [z, z])], {"dtype": float32})
    function = Function("f", (), (x,), {}, builder.take(), (y,), Leaf(0))
    with pytest.raises(CompileError, match=r"E0501: cast has no gradient: .*complex"):
        differentiate(function, wrt_inputs={0})


def test_backward_prints_and_reads_back() -> None:
    _, gradient = gradient_of(NESTED)
    for function in (gradient.forward, gradient.backward):
        text = print_function(function)
        assert print_function(parse_function(text)) == text
