"""What must agree on the device: an op's result with the reference's, on a first call and on calls that replay it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scriptc_runtime.device import device_named, host, placed
from scriptc_runtime.runner import Runner

from scriptc.interp.interpreter import run_function
from scriptc.interp.registry import REFERENCES
from scriptc.ir.autodiff import differentiate
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, dtype_of

TOLERANCES = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 4e-2}


def one_op(name: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> Function:
    """A function of the op's tensor operands."""
    builder = Builder()
    values = [Value(TensorType(dtype_of(o), o.shape)) if isinstance(o, np.ndarray) else o for o in operands]
    results = builder.emit(name, values, attributes)
    inputs = tuple(v for v in values if isinstance(v, Value))
    return Function(name, tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs))), inputs, {}, builder.take(), results, Group("tuple", ()))


def assert_close(found: Any, wanted: Any, factor: float = 1.0) -> None:
    """Same type, dtype, shape; elements within what the dtype can hold; nan where nan."""
    if isinstance(wanted, list | tuple):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for f, w in zip(found, wanted, strict=True):
            assert_close(f, w, factor)
        return
    if not isinstance(wanted, np.ndarray):
        assert type(found) is type(wanted) and (found == wanted or found != found), (found, wanted)
        return
    assert found.shape == wanted.shape and found.dtype == wanted.dtype, (found.dtype, found.shape, wanted.dtype, wanted.shape)
    tolerance = TOLERANCES.get(wanted.dtype.name)
    if tolerance is None:
        np.testing.assert_array_equal(found, wanted)
        return
    f, w = found.astype(np.float64), wanted.astype(np.float64)
    scale = float(np.abs(w[np.isfinite(w)]).max(initial=1.0))
    np.testing.assert_allclose(f, w, rtol=tolerance * factor, atol=tolerance * factor * scale, equal_nan=True)


def outcome(call: Any) -> Any:
    """What a call gives: its results, or the exception it ends with."""
    try:
        with np.errstate(all="ignore"):
            return call()
    except Exception as error:
        return error


def assert_op_agrees(name: str, operands: Sequence[Any], attributes: Mapping[str, Any], calls: int = 3) -> None:
    """The device gives what the reference gives, error for error, each time."""
    device = device_named("cuda")
    assert device is not None
    function = one_op(name, operands, attributes)
    wanted = outcome(lambda: REFERENCES[name](*operands, **REGISTRY[name].check_attributes(attributes)))
    runner = Runner(function, "cuda")
    arrays = [o for o in operands if isinstance(o, np.ndarray)]
    before = [a.copy() for a in arrays]
    uploaded = [placed(a, device) for a in arrays]

    def call() -> Any:
        found = [host(r) for r in runner.run(uploaded)]
        device.synchronize()
        return found
    for _ in range(calls):
        found = outcome(call)
        if isinstance(wanted, Exception):
            assert isinstance(found, type(wanted)), f"expected {wanted!r}, found {found!r}"
            continue
        if isinstance(found, Exception):
            raise found
        for f, w in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
            assert_close(f, w)
    for array, old in zip(uploaded, before, strict=True):
        assert np.array_equal(host(array), old, equal_nan=old.dtype.kind == "f"), "an input was changed"


def assert_gradient_agrees(name: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> None:
    """The programs of the gradient give on the device what they give by the references."""
    device = device_named("cuda")
    assert device is not None
    function = one_op(name, operands, attributes)
    arrays = [o for o in operands if isinstance(o, np.ndarray)]
    wanted = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    gradient = differentiate(function, wrt_inputs=wanted)
    with np.errstate(all="ignore"):
        forward = run_function(gradient.forward, arrays, {})
    draw = np.random.default_rng(7)
    seeds = [draw.standard_normal(forward.results[i].shape).astype(forward.results[i].dtype) for i in gradient.result_indices]
    count = len(function.results)
    saved = forward.results[count:count + len(gradient.saved)]
    with np.errstate(all="ignore"):
        expected = run_function(gradient.backward, [*seeds, *saved], {}).results
    runner, backward = Runner(gradient.forward, "cuda"), Runner(gradient.backward, "cuda")
    uploaded = [placed(a, device) for a in arrays]
    for _ in range(2):
        raw = runner.run(uploaded)
        kept = raw[count:count + len(gradient.saved)]
        found = backward.run([*(placed(s, device) for s in seeds), *kept])
        for f, w in zip(found, expected, strict=True):
            if w is not None:
                assert_close(host(f), w, factor=5.0)
