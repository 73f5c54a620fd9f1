"""Calling a model: signatures and their errors, modes, state, saving, threads."""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Module, Tensor, load, no_grad

from scriptc.errors import CallError
from scriptc.ir.dims import symbol
from scriptc.ir.graph import Fixed, Function, Group, Leaf, Parameter, Program
from scriptc.ir.ops.activation import relu
from scriptc.ir.ops.elementwise import tanh
from scriptc.ir.ops.linalg import linear
from scriptc.ir.ops.reduction import mean
from scriptc.ir.types import FLOAT, INT, OptionalType, TensorType, float32

Make = Callable[..., Any]
N = symbol("N")
X = TensorType(float32, (N, 3))
WEIGHTS = {"fc.weight": np.arange(12, dtype=np.float32).reshape(4, 3) / 10, "fc.bias": np.ones(4, np.float32)}
STATE = {"fc.weight": TensorType(float32, (4, 3)), "fc.bias": TensorType(float32, (4,))}


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.fixture
def model(function_of: Make, program_of: Make) -> Module:
    forward = function_of(lambda x, w, b: relu(linear(x, w, b)), {"x": X}, STATE)
    return Module(program_of(WEIGHTS, forward), {k: v.copy() for k, v in WEIGHTS.items()})


def test_numpy_in_tensor_out(model: Module) -> None:
    y = model(ones(2, 3))
    assert isinstance(y, Tensor)
    assert np.allclose(np.asarray(y), np.maximum(ones(2, 3) @ WEIGHTS["fc.weight"].T + 1, 0))
    assert np.asarray(y) is y.numpy()


@pytest.mark.parametrize(("args", "kwargs", "code", "text"), [
    ((), {}, "R0101", "needs argument 'x'"),
    ((), {"z": 1}, "R0102", "takes no argument 'z'"),
    ((ones(2, 3), 1), {}, "R0103", "takes 1 arguments, found 2"),
    (("text",), {}, "R0104", "found str 'text'"),
    ((None,), {}, "R0104", "found NoneType None"),
    ((ones(2, 3).astype(np.float64),), {}, "R0105", "x.astype('float32')"),
    ((ones(3),), {}, "R0106", "must have shape [N, 3], found [3]"),
    ((ones(2, 5),), {}, "R0107", "--input 'x:float32[N,*]'"),
    ((np.array(["a"]),), {}, "R0122", "not an array of numbers"),
    ((np.array([None]),), {}, "R0122", "not an array of numbers"),
])
def test_wrong_call_is_told(model: Module, args: Any, kwargs: Any, code: str, text: str) -> None:
    with pytest.raises(CallError) as caught:
        model(*args, **kwargs)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_symbols_agree_across_arguments(function_of: Make, program_of: Make) -> None:
    model = Module(program_of({}, function_of(lambda x, y: x + y, {"x": X, "y": TensorType(float32, (N, 1))})), {})
    assert model(ones(2, 3), y=ones(2, 1)).shape == (2, 3)
    with pytest.raises(CallError, match="size N is 2 in argument 'x' of forward\\(\\) but 4 in 'y'"):
        model(ones(2, 3), ones(4, 1))


def test_scalars_options_and_fixed_arguments(function_of: Make, program_of: Make) -> None:
    function = function_of(lambda x, n, f, o: x * n * f, {"x": X, "n": INT, "f": FLOAT, "o": OptionalType(X)})
    function = Function(**{f: getattr(function, f) for f in ("name", "inputs", "state", "ops", "results", "structure")},
                        parameters=(*function.parameters, Parameter("mode", Fixed("fast"))))
    model = Module(program_of({}, function), {})
    assert np.allclose(model(ones(1, 3), np.int64(2), 3), 6)
    assert np.allclose(model(ones(1, 3), 2, 0.5, mode="fast"), 1)
    for call, code in (((ones(1, 3), True, 1.0), "R0104"), ((ones(1, 3), 1.5, 1.0), "R0104"), ((ones(1, 3), 2**63, 1.0), "R0104"),
                       ((ones(1, 3), 1, "1"), "R0104"), ((ones(1, 3), 1, 1.0, None, "slow"), "R0109")):
        with pytest.raises(CallError) as caught:
            model(*call)
        assert caught.value.code == code


def test_containers_in_and_out(function_of: Make, program_of: Make) -> None:
    plain = function_of(lambda a, b: (a + b, a - b), {"a": X, "b": X},
                        structure=Group("object", (Leaf(0), Group("dict", (Leaf(1), Fixed("tag")), ("difference", "name"))), ("total", "rest"),
                                        "Output"))
    fields = {f: getattr(plain, f) for f in ("name", "inputs", "state", "ops", "results", "structure")}
    model = Module(program_of({}, Function(parameters=(Parameter("pair", Group("tuple", (Leaf(0), Leaf(1)))),), **fields)), {})
    result = model((ones(1, 3), ones(1, 3)))
    assert np.allclose(result.total, 2) and result["total"] is result[0] and result.keys() == ("total", "rest")
    assert result.rest["name"] == "tag" and np.allclose(result.rest["difference"], 0)
    with pytest.raises(CallError, match="a tuple of 2"):
        model((ones(1, 3),))
    with pytest.raises(AttributeError, match="Output has no field"):
        _ = result.missing


def test_modes_and_buffer_updates(function_of: Make, program_of: Make) -> None:
    kinds, tensors = {"running": TensorType(float32, (3,))}, {"running": np.zeros(3, np.float32)}
    evaluate = function_of(lambda x, r: x - r, {"x": X}, kinds)
    train = function_of(lambda x, r: (x * 2.0, {"running": r * 0.5 + mean(x, dims=(0,)) * 0.5}), {"x": X}, kinds, name="forward:train")
    frozen = tensors["running"].copy()
    frozen.flags.writeable = False
    model = Module(program_of(tensors, evaluate, train, buffers=["running"]), {"running": frozen})
    assert np.allclose(model(ones(2, 3)), 1)
    model.train()
    assert np.allclose(model(ones(2, 3)), 2) and model.training
    assert np.allclose(model.state_dict()["running"], 0.5)
    model.eval()
    assert np.allclose(model(ones(2, 3)), 0.5)
    assert [n for n, _ in model.named_buffers()] == ["running"] and not list(model.parameters())


def test_input_changed_in_place_reaches_the_callers_array(function_of: Make, program_of: Make) -> None:
    plain = function_of(lambda x: x + 1.0, {"x": X})
    fields = {f: getattr(plain, f) for f in ("name", "parameters", "inputs", "state", "ops", "results", "structure")}
    model = Module(program_of({}, Function(**fields, input_updates={0: plain.results[0]})), {})
    x = ones(1, 3)
    y = model(x)
    assert np.allclose(x, 2) and np.allclose(y, 2)
    x.flags.writeable = False
    with pytest.raises(CallError, match="R0121"):
        model(x)


def test_methods_by_name(function_of: Make, program_of: Make) -> None:
    model = Module(program_of({}, function_of(lambda x: x, {"x": X}), function_of(lambda x: tanh(x), {"x": X}, name="encode")), {})
    assert np.allclose(model.encode(ones(1, 3)), np.tanh(1)) and model.methods == ("forward", "encode")
    assert model.signature("encode") == "x: float32[N, 3]"
    with pytest.raises(AttributeError, match="no method 'decode'"):
        model.decode(ones(1, 3))


def test_state_dict_round_trip_and_refusals(model: Module) -> None:
    saved = {k: np.asarray(v).copy() for k, v in model.state_dict().items()}
    model.load_state_dict({k: v + 1 for k, v in saved.items()})
    assert np.allclose(model.state_dict()["fc.bias"], 2)
    for bad, text in (({"fc.weight": saved["fc.weight"]}, "missing fc.bias"), ({**saved, "x": saved["fc.bias"]}, "unexpected x"),
                      ({**saved, "fc.bias": ones(5)}, "fc.bias is \\[5\\], expected \\[4\\]")):
        with pytest.raises(CallError, match=text):
            model.load_state_dict(bad)
    assert model.load_state_dict({"x": ones(1)}, strict=False) == (["fc.weight", "fc.bias"], ["x"])
    assert np.allclose(model.state_dict()["fc.bias"], 2), "a refused state_dict changes nothing"


def test_tied_parameters_are_one(function_of: Make, program_of: Make) -> None:
    from scriptc.records import replace

    forward = function_of(lambda x, w, b: linear(x, w, b), {"x": X}, STATE)
    program = program_of(WEIGHTS, forward)
    tied = replace(program.state[0], name="head.weight", alias="fc.weight")
    model = Module(Program(program.functions, (*program.state, tied)), WEIGHTS)
    assert [n for n, _ in model.named_parameters()] == ["fc.weight", "fc.bias"]
    state = model.state_dict()
    assert list(state) == ["fc.weight", "fc.bias", "head.weight"]
    assert state["head.weight"].numpy() is state["fc.weight"].numpy()


def test_missing_or_unfit_tensors_are_refused(model: Module) -> None:
    with pytest.raises(CallError, match=r"missing fc.weight; fc.bias is float32\[3\], expected float32\[4\]"):
        Module(model.program, {"fc.bias": ones(3)})


def test_freezing_by_pattern(model: Module) -> None:
    model.requires_grad_(False, "*.bias")
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["fc.weight"]


def test_gradients_reach_parameters_in_both_modes(model: Module) -> None:
    gradients = []
    for _ in range(2):
        model.zero_grad()
        model(ones(2, 3)).sum().backward()
        gradients.append([p.grad.numpy().copy() for p in model.parameters()])  # type: ignore[union-attr]
        model.train()
    assert all(np.allclose(a, b) for a, b in zip(*gradients, strict=True))
    assert np.allclose(gradients[0][1], 2)
    with no_grad():
        assert not model(ones(2, 3)).requires_grad


def test_save_and_load(model: Module, tmp_path: Path) -> None:
    model.save(tmp_path / "net.pt")
    loaded = load(tmp_path / "net.pt")
    assert np.array_equal(np.asarray(loaded(ones(2, 3))), np.asarray(model(ones(2, 3))))
    assert not loaded.state_dict()["fc.weight"].numpy().flags.writeable, "weights are mapped, not copied"
    loaded.load_state_dict({k: np.zeros_like(v) for k, v in WEIGHTS.items()})
    assert np.allclose(loaded(ones(2, 3)), 0)


def test_devices(model: Module) -> None:
    assert model.to("cpu") is model
    with pytest.raises(CallError, match="R0114"):
        model.to("tpu")


def test_threads_may_call_one_model(model: Module) -> None:
    wanted = {n: np.asarray(model(ones(n, 3) * n)).copy() for n in range(1, 6)}
    wrong: list[int] = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(100) if not np.array_equal(np.asarray(model(ones(n, 3) * n)), wanted[n]))

    threads = [threading.Thread(target=work, args=(n,)) for n in wanted for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
