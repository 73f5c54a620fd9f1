"""Functions of tensors that run as one program: recorded on first use for the types they are called with, fused and differentiated whole."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Leaf, Value
from scriptc.ir.passes.pipeline import optimize
from scriptc.ir.types import TensorType
from scriptc.records import Record
from scriptc_runtime import tape
from scriptc_runtime.device import ARRAYS
from scriptc_runtime.differentiation import Differentiable
from scriptc_runtime.eager import common_device
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.recording import Recorded, Recorder
from scriptc_runtime.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class _Program(Record):
    """A recorded call: its inputs are the tensors given, then those that the function made itself (`captured`)."""

    differentiable: Differentiable
    captured: tuple[Tensor, ...]


_programs: PlanCache[_Program] = PlanCache(capacity=512)


def composite(*tensors: str) -> Callable[[F], F]:
    """Run a function of tensors as one program. The parameters named are tensors, or what makes one, or None; the others settings.

    The function is called with tensors that have no elements, only types: it must not ask for elements.
    """
    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            for name in tensors:
                if given[name] is not None and not isinstance(given[name], Tensor):
                    given[name] = Tensor(given[name])
            if any(isinstance(given[name], Recorded) for name in tensors):      # part of what somebody else records
                return function(**given)
            return _run(function, tensors, given)
        return call  # type: ignore[return-value]
    return decorate


def _run(function: Callable[..., Any], names: Sequence[str], given: Mapping[str, Any]) -> Tensor:
    inputs: list[Tensor] = [given[name] for name in names if given[name] is not None]
    device = common_device(inputs)
    if device is not None:
        inputs = [t._moved(device) for t in inputs]
    target = "cpu" if device is None else device.target
    key = (function, target, tuple(map(_kind, given.values())))
    program = _programs.get(key, lambda: _recorded(function, names, given, target))
    captured = program.captured if device is None else tuple(t._moved(device) for t in program.captured)
    sources = [*inputs, *captured]
    arrays = [t._array for t in sources]
    wanted = [i for i, t in enumerate(inputs) if t.requires_grad] if tape.is_grad_enabled() else []
    if wanted:
        recorded: Tensor = program.differentiable.call_recorded(arrays, sources, wanted, {})[0]
        return recorded
    result = program.differentiable.runner.run(arrays)[0]
    return Tensor(result) if isinstance(result, ARRAYS) else result


def _kind(value: Any) -> object:
    """What a program depends on in an argument."""
    return (value._array.dtype, value.shape) if isinstance(value, Tensor) else (type(value), value, str(value))


def _recorded(function: Callable[..., Any], names: Sequence[str], given: Mapping[str, Any], target: str) -> _Program:
    builder = Builder()
    recorder = Recorder(builder)
    values = {name: Value(TensorType(given[name].dtype, given[name].shape), name) for name in names if given[name] is not None}
    result = function(**{**given, **{name: recorder.tensor(value) for name, value in values.items()}})
    captured = list(recorder.captured.values())
    inputs = (*values.values(), *(v for _, v in captured))
    made = Function(function.__name__, (), inputs, {}, builder.take(), (recorder.value_of(result),), Group("tuple", (Leaf(0),)))
    return _Program(Differentiable(optimize(made), target), tuple(t for t, _ in captured))
