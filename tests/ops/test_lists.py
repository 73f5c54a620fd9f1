"""Ops on lists of tensors and on optionals: meaning, errors, and gradients against differences."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scriptc.interp.interpreter import run_function
from scriptc.interp.registry import REFERENCES
from scriptc.ir.autodiff import differentiate
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import FLOAT, INT, IntType, ListType, OptionalType, TensorType, TupleType, float32, float64
from tests.ops.agreement import GRADIENT_TOLERANCE
from tests.samples import normal

ELEMENT = TensorType(float64, (None, 3))
XS = (normal(1, 3), normal(2, 3), normal(4, 3))


def new(b: Builder, *items: Any) -> Value:
    return b.emit_one("list_new", items, {"element": str(ELEMENT)})


def joined(b: Builder, items: Value) -> Value:
    """The list's tensors in a row, each weighted by where it stands."""
    whole = b.emit_one("cat_list", [items], {"dim": 0})
    return b.emit_one("mul", [whole, b.emit_one("cumsum", [whole], {"dim": 0})])


PROGRAMS: dict[str, Callable[[Builder, Value, Value, Value], Value]] = {
    "list_new": lambda b, x, y, z: joined(b, new(b, x, y, x)),
    "list_append": lambda b, x, y, z: joined(b, b.emit_one("list_append", [new(b, x, y), z])),
    "list_get": lambda b, x, y, z: b.emit_one("list_get", [new(b, x, y, z), -2]),
    "list_set": lambda b, x, y, z: joined(b, b.emit_one("list_set", [new(b, x, y), 0, z])),
    "list_extend": lambda b, x, y, z: joined(b, b.emit_one("list_extend", [new(b, x), new(b, y, z)])),
    "list_slice": lambda b, x, y, z: joined(b, b.emit_one("list_slice", [new(b, x, y, z), -1, -4, -2])),
    "list_pop": lambda b, x, y, z: joined(b, b.emit_one("list_append", list(b.emit("list_pop", [new(b, x, y, z), -3])))),
    "list_insert": lambda b, x, y, z: joined(b, b.emit_one("list_insert", [new(b, x, y), -1, z])),
    "list_insert, clamped": lambda b, x, y, z: joined(b, b.emit_one("list_insert", [new(b, x, y), 9, z])),
    "list_insert, clamped in front": lambda b, x, y, z: joined(b, b.emit_one("list_insert", [new(b, x, y), -9, z])),
    "list_reverse": lambda b, x, y, z: joined(b, b.emit_one("list_reverse", [new(b, x, y, z)])),
    "cat_list": lambda b, x, y, z: b.emit_one("cat_list", [new(b, x, y, z)], {"dim": -2}),
    "stack_list": lambda b, x, y, z: b.emit_one("stack_list", [new(b, y, b.emit_one("slice", [z, 0, 2, 1], {"dim": 0}))], {"dim": 1}),
    "optional_get": lambda b, x, y, z: b.emit_one("optional_get", [b.emit_one("optional_wrap", [y])]),
}


def function_of(program: Callable[[Builder, Value, Value, Value], Value]) -> Function:
    b = Builder()
    inputs = tuple(Value(TensorType(float64, x.shape)) for x in XS)
    result = program(b, *inputs)
    parameters = tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs)))
    return Function("lists", parameters, inputs, {}, b.take(), (result,), Group("tuple", ()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_flow_through_lists(name: str) -> None:
    function = function_of(PROGRAMS[name])
    gradient = differentiate(function, wrt_inputs=(0, 1, 2))
    forward = run_function(gradient.forward, list(XS), {})
    seed = np.random.default_rng(3).standard_normal(forward.results[0].shape)
    found = run_function(gradient.backward, [seed, *forward.results[1:]], {}).results
    directions = [np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate(XS)]

    def moved(step: float) -> float:
        results = run_function(function, [x + step * d for x, d in zip(XS, directions, strict=True)], {}).results
        return float((results[0] * seed).sum())

    along = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True))
    assert np.isclose(along, (moved(1e-6) - moved(-1e-6)) / 2e-6, rtol=GRADIENT_TOLERANCE, atol=GRADIENT_TOLERANCE)


def test_every_container_op_with_a_gradient_is_tried() -> None:
    with_gradient = {n for n, op in REGISTRY.items() if op.family == "container" and op.vjp is not None}
    assert with_gradient - {n.partition(",")[0] for n in PROGRAMS} - {"optional_wrap"} == set()


ITEMS = [1, 2, 3]
LISTS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("list_get", (ITEMS, -1), 3), ("list_set", (ITEMS, 1, 7), [1, 7, 3]), ("list_append", (ITEMS, 4), [1, 2, 3, 4]), ("list_length", (ITEMS,), 3),
    ("list_extend", (ITEMS, [4]), [1, 2, 3, 4]), ("list_slice", (ITEMS, 2, -10, -1), [3, 2, 1]), ("list_pop", (ITEMS, 0), ([2, 3], 1)),
    ("list_insert", (ITEMS, -1, 9), [1, 2, 9, 3]), ("list_reverse", (ITEMS,), [3, 2, 1]), ("list_slice_set", (ITEMS, [8, 9], 0, 9, 2), [8, 2, 9]),
    ("optional_wrap", (3,), 3), ("optional_get", (3,), 3), ("optional_is_none", (None,), True), ("optional_is_none", (0,), False),
]


@pytest.mark.parametrize(("op", "operands", "expected"), LISTS)
def test_lists_are_those_of_python_and_operands_stay_as_they_were(op: str, operands: tuple[Any, ...], expected: Any) -> None:
    assert REFERENCES[op](*operands) == expected
    assert ITEMS == [1, 2, 3]


@pytest.mark.parametrize(("op", "operands", "attributes", "error", "message"), [
    ("list_get", (ITEMS, 3), {}, IndexError, "list index out of range"),
    ("list_set", (ITEMS, -4, 0), {}, IndexError, "list assignment index out of range"),
    ("list_pop", ([], 0), {}, IndexError, "pop from empty list"),
    ("list_pop", (ITEMS, 3), {}, IndexError, "pop index out of range"),
    ("list_slice_set", (ITEMS, [1], 0, 2, 1), {}, ValueError, "slice of size 2"),
    ("stack_list", ([],), {"dim": 0}, RuntimeError, "non-empty"),
    ("cat_list", ([],), {"dim": 0}, RuntimeError, "non-empty"),
    ("stack_list", (list(XS),), {"dim": 0}, RuntimeError, "equal size"),
    ("optional_get", (None,), {}, TypeError, "NoneType"),
])
def test_errors_are_those_of_python_and_torch(op: str, operands: tuple[Any, ...], attributes: dict[str, Any], error: type[Exception],
                                              message: str) -> None:
    with pytest.raises(error, match=message):
        REFERENCES[op](*operands, **attributes)


FLOATS = ListType(TensorType(float32, (2,)))


@pytest.mark.parametrize(("op", "operands", "attributes", "code"), [
    ("list_new", [FLOAT], {"element": "int"}, "E0469"),
    ("list_new", [], {"element": "float32["}, "E0468"),
    ("list_append", [FLOATS, FLOAT], {}, "E0469"),
    ("list_set", [FLOATS, INT, FLOAT], {}, "E0469"),
    ("list_insert", [ListType(INT), INT, FLOAT], {}, "E0469"),
    ("list_extend", [FLOATS, ListType(FLOAT)], {}, "E0469"),
    ("list_slice_set", [FLOATS, ListType(FLOAT), INT, INT, INT], {}, "E0469"),
    ("list_get", [FLOAT, INT], {}, "E0405"),
    ("stack_list", [ListType(INT)], {"dim": 0}, "E0405"),
    ("stack_list", [FLOATS], {"dim": 2}, "E0411"),
    ("cat_list", [FLOATS], {"dim": 1}, "E0411"),
    ("tuple_get", [TupleType((FLOAT,))], {"index": 1}, "E0420"),
    ("optional_none", [], {"element": "?"}, "E0468"),
])
def test_what_does_not_fit_is_refused(op: str, operands: list[Any], attributes: dict[str, Any], code: str) -> None:
    with pytest.raises(OpError) as caught:
        REGISTRY[op].infer(operands, REGISTRY[op].check_attributes(attributes))
    assert caught.value.code == code


def test_a_list_takes_the_common_type_of_its_items() -> None:
    (kind,) = REGISTRY["list_append"].infer([FLOATS, TensorType(float32, (3,))], {})
    assert kind == ListType(TensorType(float32, (None,)))
    (kind,) = REGISTRY["optional_wrap"].infer([IntType(3)], {})
    assert kind == OptionalType(IntType(3))
