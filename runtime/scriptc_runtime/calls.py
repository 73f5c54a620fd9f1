"""Repeated calls: what was found out about the arguments of one call serves the next one that looks the same.

The first call of a method binds its arguments by name, checks them against the signature and looks up a plan. A call with arrays of the
same dtypes and shapes in the same places needs none of that again.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from operator import is_
from typing import Any

import numpy as np

from scriptc.ir.graph import Fixed, Function, Group, Leaf, Structure
from scriptc.ir.types import TensorType
from scriptc_runtime import tape
from scriptc_runtime.arguments import rebuild
from scriptc_runtime.device import Device, DeviceArray
from scriptc_runtime.differentiation import Differentiable
from scriptc_runtime.plan.plan import Plan
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import detached
from scriptc_runtime.tensor import Tensor

_over = Tensor._over
_recording: ContextVar[bool] = tape._enabled


class Repeated:
    """One method of a module, called with arrays of these dtypes and shapes."""

    __slots__ = ("_arrays", "_asked", "_checks", "_compiled", "_device", "_fresh", "_names", "_plan",
                 "_rebuild", "_record", "_single", "_state", "_wait", "_wanted")

    def __init__(self, compiled: Differentiable, plan: Plan, inputs: Sequence[np.ndarray], state: Sequence[Tensor],
                 wait: bool, device: Device | None = None) -> None:
        function = compiled.function
        self._device = device
        self._checks = tuple((a.dtype, a.shape) for a in inputs)
        self._state = tuple(state)
        self._arrays = [t._array for t in state]
        self._plan = plan
        self._wait = wait
        self._fresh = plan.fresh
        self._wanted = [t for t in state if t._requires_grad]
        self._single = function.structure == Leaf(0)
        self._rebuild: Callable[[list[Any]], Any] = _rebuilder(function.structure)
        names = {name: index for index, (name, t) in enumerate(zip(function.state, state, strict=True)) if t._requires_grad}
        self._compiled, self._names = compiled, names
        self._record: Callable[..., None] | None = None
        self._asked = False

    def __call__(self, args: Sequence[Any]) -> Any:
        """The results; NotImplemented for a call that does not look the same."""
        if len(args) != len(self._checks):
            return NotImplemented
        arguments: list[Any] = []
        device = self._device
        for argument, (dtype, shape) in zip(args, self._checks):  # noqa: B905  (their lengths were compared)
            if type(argument) is not np.ndarray:
                if type(argument) is not Tensor or argument._requires_grad:
                    return NotImplemented
                argument = argument._array
            if argument.shape != shape or (argument.dtype is not dtype and argument.dtype != dtype):
                return NotImplemented
            if (type(argument) is DeviceArray) is (device is None):
                if device is None:
                    return NotImplemented
                argument = device.upload(argument)
            arguments.append(argument)
        wanted: Sequence[Tensor] = ()
        if self._state:
            for tensor, array in zip(self._state, self._arrays):  # noqa: B905
                if tensor._array is not array:
                    return NotImplemented
            arguments += self._arrays
            if _recording.get():
                wanted = [t for t in self._state if t._requires_grad]
                if wanted and not (len(wanted) == len(self._wanted) and all(map(is_, wanted, self._wanted))):
                    return NotImplemented
        if self._wait:
            with waiting():
                results = self._plan.run(arguments, self._arrays)
        else:
            results = self._plan.run(arguments, self._arrays)
        if not self._fresh:
            results = [detached(r, arguments) for r in results]
        if not wanted and self._single:
            return _over(results[0])
        tensors = [_over(r) for r in results]
        if wanted:
            if not self._asked:     # differentiating takes longer than many a call, and few models that are loaded are ever differentiated
                self._record, self._asked = self._compiled.lazy_recorder(self._state, self._names), True
            if self._record is not None:
                self._record(arguments, tensors)
        return self._rebuild(tensors)


def repeats(function: Function) -> bool:
    """True if calls of this function can be told apart by the dtypes and shapes of positional arrays alone."""
    return (not function.updates and not function.input_updates
            and all(isinstance(v.type, TensorType) for v in function.inputs) and all(isinstance(r.type, TensorType) for r in function.results)
            and [p.structure for p in function.parameters] == [Leaf(i) for i in range(len(function.inputs))]
            and not any(p.keyword_only for p in function.parameters) and _is_plain(function.structure))


def _is_plain(structure: Structure) -> bool:
    """True unless containers among the arguments get new contents."""
    return not isinstance(structure, Group) or (structure.kind != "effects" and all(map(_is_plain, structure.items)))


def _rebuilder(structure: Structure) -> Callable[[list[Any]], Any]:
    """`rebuild` for this structure, without a walk where it is simple."""
    if structure == Leaf(0):
        return _first
    if isinstance(structure, Group) and structure.kind == "tuple" and structure.items == tuple(map(Leaf, range(len(structure.items)))):
        return tuple
    if isinstance(structure, Fixed):
        return lambda results: structure.value
    return lambda results: rebuild(structure, results)


def _first(results: list[Any]) -> Any:
    return results[0]
