"""The tensors of a file are fitted to a model by name, shape and dtype; what does not fit is told in full."""
from __future__ import annotations

import numpy as np
import pytest

from scriptc.errors import WeightsError
from scriptc.ir.types import DTYPES
from scriptc.ir.weights import Weights, match_names
from scriptc.ir.weights.read import select_tensors

F32, I64 = DTYPES["float32"], DTYPES["int64"]
MODEL = {"conv.weight": ((2, 3), F32), "conv.bias": ((2,), F32), "bn.num_batches_tracked": ((), I64)}


def file_of(**shapes: tuple[int, ...]) -> Weights:
    return Weights({name.replace("__", "."): np.ones(shape, np.float32) for name, shape in shapes.items()}, "w.pt", "npz")


def renamed(prefix: str) -> Weights:
    return Weights({prefix + name: np.ones(shape, dtype.numpy) for name, (shape, dtype) in MODEL.items()}, "w.pt", "npz")


def test_names_that_fit_are_taken_as_they_are() -> None:
    matched = match_names(renamed(""), MODEL)
    assert list(matched.tensors) == list(MODEL) and matched.notes == ()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "module.model.",
                                    "model._orig_mod."])
def test_the_prefix_of_a_wrapper_is_removed_where_the_names_then_fit(prefix: str) -> None:
    matched = match_names(renamed(prefix), MODEL)
    assert set(matched.tensors) == set(MODEL) and "removed" in matched.notes[0]


def test_a_wrapper_inside_the_model_is_removed_too() -> None:
    weights = file_of(conv__module__weight=(2, 3), conv___orig_mod__bias=(2,))
    assert set(match_names(weights, MODEL).tensors) == {"conv.weight", "conv.bias"}


def test_a_model_that_is_called_module_itself_keeps_its_names() -> None:
    expected = {"module.weight": ((2,), F32)}
    matched = match_names(file_of(module__weight=(2,)), expected)
    assert list(matched.tensors) == ["module.weight"] and matched.notes == ()


def test_the_count_of_batches_may_be_missing() -> None:
    matched = match_names(file_of(conv__weight=(2, 3), conv__bias=(2,)), MODEL)
    assert set(matched.tensors) == {"conv.weight", "conv.bias"} and matched.missing == ()


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(WeightsError) as caught:
        match_names(file_of(conv__weights=(2, 3), conv__bias=(7,)), MODEL)
    assert str(caught.value) == """\
error W0140: w.pt: 1 of the model's 3 tensors are missing in the weights file
       = conv.weight [2, 3]; did you mean the file's conv.weights?
  help: pass --no-strict (strict=False) to go on without them: they keep their initial values
error W0141: w.pt: 1 tensors of the weights file are not in the model
       = conv.weights [2, 3]
  help: pass --no-strict (strict=False) to go on without them, or check the arguments in --entry
error W0142: w.pt: 1 tensors have another shape than in the model
       = conv.bias: the model has [2], the file [7]
  help: the file is of a model built with other arguments: check --entry"""


def test_a_prefix_of_all_names_is_told_once() -> None:
    with pytest.raises(WeightsError, match=r"every name in the file has the prefix 'backbone\.'"):
        match_names(renamed("backbone."), MODEL)
    deeper = {"backbone." + name: kind for name, kind in MODEL.items()}
    with pytest.raises(WeightsError, match=r"the model's names have the prefix 'backbone\.'"):
        match_names(renamed(""), deeper)


def test_long_lists_are_shortened() -> None:
    expected = {f"layer{n}.weight": ((1,), F32) for n in range(40)}
    with pytest.raises(WeightsError, match="and 30 more"):
        match_names(file_of(x=(1,)), expected)


def test_without_strict_missing_and_unexpected_names_are_noted() -> None:
    matched = match_names(file_of(conv__weight=(2, 3), extra=(1,)), MODEL, strict=False)
    assert (matched.missing, matched.unexpected) == (("conv.bias",), ("extra",))
    assert matched.notes == ("not in the file, so at their initial values: conv.bias", "in the file, but not in the model: extra")


def test_another_shape_is_refused_even_without_strict() -> None:
    with pytest.raises(WeightsError) as caught:
        match_names(file_of(conv__bias=(3,)), MODEL, strict=False)
    assert caught.value.code == "W0142"


@pytest.mark.parametrize(("found", "expected", "values"), [
    ("float64", "float32", [1.5, -2.0]), ("float16", "float32", [1.5]), ("float32", "bfloat16", [1.5]),
    ("bfloat16", "float32", [1.5]), ("int32", "int64", [-1]), ("int64", "int32", [5]), ("uint8", "bool", [0, 1]),
    ("bool", "uint8", [1]), ("float8_e4m3fn", "float16", [0.5]),
])
def test_types_that_keep_the_values_are_converted_and_reported(found: str, expected: str, values: list[float]) -> None:
    weights = Weights({"x": np.array(values, DTYPES[found].numpy)}, "w.pt", "npz")
    matched = match_names(weights, {"x": ((len(values),), DTYPES[expected])})
    assert matched.tensors["x"].dtype == DTYPES[expected].numpy and matched.tensors["x"].astype(float).tolist() == values
    assert matched.notes == (f"converted 1 tensors from {found} to {expected}",)


@pytest.mark.parametrize(("found", "expected", "value"), [
    ("float32", "int64", 1), ("int64", "float32", 1), ("int64", "int32", 1 << 40), ("uint8", "bool", 2), ("int8", "uint8", -1),
    ("uint64", "int64", 1 << 63), ("int64", "uint64", -1), ("complex64", "float32", 1),
])
def test_types_that_would_change_the_values_are_refused(found: str, expected: str, value: int) -> None:
    weights = Weights({"x": np.array(value, DTYPES[found].numpy)}, "w.pt", "npz")
    with pytest.raises(WeightsError) as caught:
        match_names(weights, {"x": ((), DTYPES[expected])})
    assert caught.value.code == "W0143"


def test_tied_tensors_stay_one_array_when_converted() -> None:
    array = np.ones((2,), np.float64)
    matched = match_names(Weights({"a": array, "b": array}, "w.pt", "npz"), {"a": ((2,), F32), "b": ((2,), F32)})
    assert matched.tensors["a"] is matched.tensors["b"]


def test_a_scalar_saved_with_one_element_fits() -> None:
    assert match_names(file_of(scale=(1,)), {"scale": ((), F32)}).tensors["scale"].shape == ()


def test_sizes_that_are_not_known_fit_any() -> None:
    assert match_names(file_of(x=(2, 3)), {"x": ((None, 3), F32)}).tensors["x"].shape == (2, 3)
    assert match_names(file_of(x=(2, 3)), {"x": (None, F32)}).tensors["x"].shape == (2, 3)


W = np.ones(1)


@pytest.mark.parametrize(("tree", "names"), [
    ({"a": W, "b": {"c": W}}, ["a", "b.c"]), ({"state_dict": {"a": W}, "epoch": 1}, ["a"]), ({"model": {"state_dict": {"a": W}}}, ["a"]),
    ({"model": {"a": W}, "ema": {"a": W}}, ["a"]), ({"generator": {"a": W}, "step": 3}, ["a"]), ({"net": {"a": W}, "mean": W}, ["a"]),
    ({"encoder": {"a": W}, "decoder": {"a": W}}, ["encoder.a", "decoder.a"]), ({0: W, "x": [W]}, ["0"]),
    ({"weights": {"a": W}, "optimizer": {"state": {0: {"m": W}}, "param_groups": []}}, ["a"]),
])
def test_the_state_dict_is_found_in_what_scripts_save(tree: object, names: list[str]) -> None:
    assert list(select_tensors(tree)[0]) == names


@pytest.mark.parametrize(("tree", "key", "names"), [
    ({"model": {"a": W}, "ema": {"b": W}}, "ema", ["b"]), ({"x": {"y.z": {"a": W}}}, "x.y.z", ["a"]), ({"x": {1: {"a": W}}}, "x.1", ["a"]),
])
def test_a_key_names_the_part(tree: object, key: str, names: list[str]) -> None:
    assert list(select_tensors(tree, key)[0]) == names


@pytest.mark.parametrize(("tree", "key", "code"), [
    ({"a": {"w": W}, "b": {"w": W}, "step": 1}, None, "W0131"), ({"step": 1}, None, "W0130"), ([W], None, "W0130"), (W, None, "W0130"),
    ({"a": {"w": W}}, "b", "W0132"), ({"a": {"w": 1}}, "a", "W0130"), ([W], "a", "W0132"), ({"a.b": W, "a": {"b": W}}, None, "W0106"),
    ({1: W, "1": W}, None, "W0106"),
])
def test_what_holds_no_clear_state_dict_is_refused(tree: object, key: str | None, code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        select_tensors(tree, key)
    assert caught.value.code == code
