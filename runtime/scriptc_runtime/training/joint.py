"""The model and the loss as one function of concrete types."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.interp.registry import REFERENCES
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Group, Op, Value
from scriptc.ir.passes.pipeline import optimize
from scriptc.ir.passes.unroll import unroll
from scriptc.ir.registry import OpError
from scriptc.ir.rewrite import Rewriter
from scriptc.ir.types import TensorType, Type, dtype_of
from scriptc_runtime.arguments import rebuild
from scriptc_runtime.device import ARRAYS, Array
from scriptc_runtime.plan.bind import bind, is_static, type_of_value
from scriptc_runtime.recording import Recorded, Recorder
from scriptc_runtime.runner import Runner
from scriptc_runtime.tensor import Tensor

Loss = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Joint:
    """What a call computes before anything is differentiated.

    function: its inputs are the cells, then the captured tensors, then the model's inputs, then the arrays among the targets; its result is the
    loss, its updates (by the number of an input, as text) the new content of inputs. `cells`: the tensors of the model's state, tied ones once.
    """

    function: Function
    cells: tuple[Tensor, ...]
    captured: tuple[Tensor, ...]

    @property
    def owned(self) -> tuple[Tensor, ...]:
        """The tensors behind the first inputs."""
        return (*self.cells, *self.captured)


def count_targets(loss: Loss) -> int:
    """How many arguments a loss takes besides the model's result: those that have no default."""
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return max(1, len(positional) - 1)
    return max(0, sum(p.default is p.empty for p in positional) - 1)


def arrays_of(value: Any) -> list[Array]:
    """The arrays inside a target, in order."""
    if isinstance(value, Tensor):
        return [value._array]
    if isinstance(value, ARRAYS):
        return [value]
    if isinstance(value, list | tuple):
        return [a for item in value for a in arrays_of(item)]
    if isinstance(value, Mapping):
        return [a for item in value.values() for a in arrays_of(item)]
    if hasattr(value, "__array__"):
        return [np.asarray(value)]
    return []


def kind_of(value: Any) -> object:
    """What a recorded loss depends on in a target: dtypes and shapes of arrays, everything else as it is. TypeError if that cannot be compared."""
    if isinstance(value, Tensor | np.ndarray) or hasattr(value, "__array__"):
        (array,) = arrays_of(value)
        return array.dtype, array.shape
    if isinstance(value, list | tuple):
        return type(value), tuple(map(kind_of, value))
    if isinstance(value, Mapping):
        return tuple((k, kind_of(v)) for k, v in value.items())
    hash(value)
    return type(value), value


def joint_of(model_function: Function, state: Sequence[Tensor], leaves: Sequence[Any], loss: Loss, targets: Sequence[Any]) -> Joint:
    """Record `loss` behind the model. `state` are the tensors of the function's state in order, `leaves` its inputs.

    CallError R0150 if the loss cannot be recorded, R0151 if it is no tensor of one element.
    """
    cells = tuple({id(t): t for t in state}.values())
    place = {id(t): Value(TensorType(dtype_of(t._array.dtype), t._array.shape), t.name) for t in cells}
    known: dict[Value, Value] = {v: place[id(t)] for v, t in zip(model_function.state.values(), state, strict=True)}
    precise = {v: Value(type_of_value(leaf, v.type), v.name) for v, leaf in zip(model_function.inputs, leaves, strict=True)}
    function, chosen = _specialised(model_function, {**known, **precise})
    inputs = [chosen.get(v, v) for v in model_function.inputs]
    # Where the sizes of the program's text stayed symbols, those of this call.
    concrete = bind(function.body, {v: v.type for v in place.values()} | {v: p.type for v, p in zip(inputs, precise.values(), strict=True)}, {}).types
    builder = Builder()
    for op in function.ops:
        builder.append(op)
    recorder = Recorder(builder)
    kinds = [concrete.get(r, r.type) for r in function.results]
    if not all(map(is_static, kinds)):      # only the data tells: see what the model makes of it
        seen = Runner(model_function).run([*leaves, *(t._array for t in state)])
        kinds = [type_of_value(content, kind) for content, kind in zip(seen, kinds, strict=False)]
    results = [_outcome(recorder, builder, r, kind) for r, kind in zip(function.results, kinds, strict=True)]
    aims = [Value(TensorType(dtype_of(a.dtype), a.shape), "target") for a in arrays_of(list(targets))]
    remaining = iter(aims)
    value = loss(rebuild(model_function.structure, results), *[_recorded(recorder, t, remaining) for t in targets])
    if not isinstance(value, Recorded) or value.numel() != 1 or not value.dtype.is_floating_point:
        found = f"{value.dtype}{list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise CallError(diagnostic("R0151", message=f"the loss must be a floating tensor of one element made of the model's result, found {found}"))
    captured = tuple(t for t, _ in recorder.captured.values() if id(t) not in place)
    # A tensor of the state that the loss reads by itself is the cell.
    again = {v: place[id(t)] for t, v in recorder.captured.values() if id(t) in place}
    inward = (*place.values(), *(v for t, v in recorder.captured.values() if id(t) not in place), *inputs, *aims)
    positions = {v: i for i, v in enumerate(inward)}
    updates = {str(positions[known[model_function.state[n]]]): v for n, v in function.updates.items()}
    updates.update((str(len(cells) + len(captured) + i), v) for i, v in function.input_updates.items())
    joined = Function(model_function.name, (), inward, {}, builder.take(), (value._value,), Group("tuple", ()), updates)
    whole = optimize(_replaced(joined, again) if again else joined)
    return Joint(unroll(whole, _evaluated), cells, captured)


def _evaluated(op: Op, contents: Sequence[object]) -> Sequence[object] | None:
    """The results of a scalar op on known operands; None where it raises, which it does when it runs."""
    try:
        return [REFERENCES[op.name](*contents, **op.attributes)]
    except (ArithmeticError, ValueError, TypeError):
        return None


def _outcome(recorder: Recorder, builder: Builder, value: Value, concrete: Type) -> Any:
    """A result of the model as the loss sees it: a tensor with the sizes it has in this call, which every later call must have too."""
    if not isinstance(value.type, TensorType) or not isinstance(concrete, TensorType) or concrete.shape is None:
        raise CallError(diagnostic("R0150", what=f"a result of type {value.type}"))
    if not is_static(value.type):
        for dim, size in enumerate(concrete.shape):
            found = builder.emit_one("size", [value], {"dim": dim})
            builder.emit("check", [builder.emit_one("scalar_eq", [found, size]), found, size, dim], {  # type: ignore[list-item]
                "exception": "RuntimeError", "message": "the loss was recorded for a result of size {1} in dimension {2}, found {0}"})
        value = builder.emit_one("reshape", [value, *concrete.shape])  # type: ignore[list-item]
    return recorder.tensor(value)


def _recorded(recorder: Recorder, target: Any, values: Any) -> Any:
    """A target with its arrays recorded."""
    if isinstance(target, Tensor | np.ndarray) or hasattr(target, "__array__"):
        return recorder.tensor(next(values))
    if isinstance(target, list | tuple):
        return type(target)(_recorded(recorder, t, values) for t in target)
    if isinstance(target, Mapping):
        return {k: _recorded(recorder, t, values) for k, t in target.items()}
    return target


def _specialised(function: Function, known: Mapping[Value, Value]) -> tuple[Function, Mapping[Value, Value]]:
    """The function on other inputs and state of more precise types, whose types follow as far as the rules go."""
    for exact in (True, False):
        walker = Rewriter(lambda op, builder: None)
        chosen = dict(known) if exact else {old: new if old.type == new.type else old for old, new in known.items()}
        walker.values.update((old, new) for old, new in chosen.items() if old is not new)
        try:
            walker.ops(function.ops)
        except OpError:     # a loop whose values vary in size keeps the types of the program's text
            continue
        inputs = tuple(dict.fromkeys(walker.map(v) for v in (*function.state.values(), *function.inputs)))
        return Function(function.name, (), inputs, {}, walker.builder.take(), tuple(map(walker.map, function.results)), function.structure,
                        {n: walker.map(v) for n, v in function.updates.items()},
                        {i: walker.map(v) for i, v in function.input_updates.items()}), chosen
    raise AssertionError("a program's own types fit its ops")


def _replaced(function: Function, values: Mapping[Value, Value]) -> Function:
    """The function with some of the values it reads replaced by others of the same types."""
    made, _ = _specialised(function, values)
    return Function(function.name, (), function.inputs, {}, made.ops, made.results, function.structure, made.updates)
