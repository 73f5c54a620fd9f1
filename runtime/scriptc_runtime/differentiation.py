"""A function with its gradient: what a call on the tape runs forward, and what `backward` runs in return."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scriptc.errors import CallError, CompileError, diagnostic
from scriptc.ir.graph import Function
from scriptc.records import Record
from scriptc_runtime import tape
from scriptc_runtime.device import Device, DeviceArray, device_of
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import Runner
from scriptc_runtime.tensor import Tensor

if TYPE_CHECKING:
    from scriptc.ir.autodiff import Gradient


class _Pair(Record):
    """The two halves of a gradient, ready to run; or the reason why there is none."""

    gradient: Gradient | None
    forward: Runner | None
    backward: Runner | None
    failure: CompileError | None = None


class Differentiable:
    """One function: its plain `runner`, and a forward and backward pair per set of things that want a gradient."""

    def __init__(self, function: Function, target: str = "cpu") -> None:
        self.function = function
        self._target = target
        self.runner = Runner(function, target)
        self._pairs: PlanCache[_Pair] = PlanCache()

    def call_recorded(self, arguments: Sequence[Any], sources: Sequence[Tensor | None], wrt_inputs: Sequence[int],
                      wrt_state: Mapping[str, int], lazily: bool = False) -> list[Any]:
        """Run on `arguments` (inputs, then state) and put the call on the tape; results as tensors, updates as arrays.

        `sources` holds the tensor behind each argument; gradients go to those at `wrt_inputs` and at the positions in
        `wrt_state`. With `lazily` nothing is saved, and `backward` runs the forward again (evaluation is rarely followed
        by it).
        """
        pair = self._pair(tuple(wrt_inputs), tuple(n for n in self.function.state if n in wrt_state))
        if pair.gradient is None or not pair.gradient.result_indices:
            lazily = True
        saved: list[Any] = []
        if lazily:
            raw = self.runner.run(arguments)
        else:
            with waiting():
                raw, saved = self._forward(pair, arguments)
        count = len(self.function.results)
        results = [_tensor(r) for r in raw[:count]]
        if pair.gradient is not None and not pair.gradient.result_indices:
            return [*results, *raw[count:]]
        inputs = [sources[i] for i in sorted(wrt_inputs)] + [sources[wrt_state[n]] for n in self.function.state if n in wrt_state]
        indices = pair.gradient.result_indices if pair.gradient is not None else tuple(
            i for i, r in enumerate(results) if isinstance(r, Tensor) and r.dtype.is_floating_point)
        outputs = [results[i] for i in indices]
        shapes = [(o.shape, o._array.dtype, device_of(o._array)) for o in outputs]

        def pull(gradients: tape.Gradients) -> tape.Gradients:
            return self._pull(pair, gradients, arguments, shapes, None if lazily else saved)

        tape.record(self.function.name, [t for t in inputs if t is not None], outputs, pull)
        return [*results, *raw[count:]]

    def lazy_recorder(self, state: Sequence[Tensor], wanted: Mapping[str, int]) -> Callable[[Sequence[Any], Sequence[Tensor]], None] | None:
        """What puts a call that has run, with its arguments and results, on the tape, as `call_recorded` does lazily.

        Gradients go to the state entries in `wanted` (name -> place in `state`). None if the results never have any.
        """
        pair = self._pair((), tuple(n for n in self.function.state if n in wanted))
        if pair.gradient is not None and not pair.gradient.result_indices:
            return None
        indices = None if pair.gradient is None else pair.gradient.result_indices
        inputs = tuple(state[wanted[n]] for n in self.function.state if n in wanted)
        name = self.function.name

        def record(arguments: Sequence[Any], results: Sequence[Tensor]) -> None:
            outputs = [results[i] for i in indices] if indices is not None else [t for t in results if t.dtype.is_floating_point]
            shapes = [(o._array.shape, o._array.dtype, device_of(o._array)) for o in outputs]
            tape.record(name, inputs, outputs, lambda gradients: self._pull(pair, gradients, arguments, shapes, None))
        return record

    def _pull(self, pair: _Pair, gradients: tape.Gradients, arguments: Sequence[Any],
              shapes: Sequence[tuple[tuple[int, ...], np.dtype, Device | None]], saved: Sequence[Any] | None) -> tape.Gradients:
        """The gradients of what was asked for; the forward runs again where nothing was saved."""
        if pair.gradient is None or pair.backward is None:
            raise _not_differentiable(self.function, pair)
        incoming = [_incoming(g, *known) for g, known in zip(gradients, shapes, strict=True)]
        state = dict(zip(self.function.state, arguments[len(self.function.inputs):], strict=True))
        with waiting():
            kept = self._forward(pair, arguments)[1] if saved is None else saved
            return pair.backward.run([*incoming, *kept, *(state[n] for n in pair.gradient.backward.state)])

    def _forward(self, pair: _Pair, arguments: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(results and updates, saved values) of the saving forward."""
        assert pair.forward is not None and pair.gradient is not None
        count = len(self.function.results)
        saved = range(count, count + len(pair.gradient.saved))
        raw = pair.forward.run(arguments, sharing=saved)
        return [*raw[:count], *raw[saved.stop:]], raw[saved.start:saved.stop]

    def _pair(self, wrt_inputs: tuple[int, ...], wrt_state: tuple[str, ...]) -> _Pair:
        return self._pairs.get((wrt_inputs, wrt_state), lambda: self._differentiated(wrt_inputs, wrt_state))

    def _differentiated(self, wrt_inputs: tuple[int, ...], wrt_state: tuple[str, ...]) -> _Pair:
        from scriptc.ir.autodiff import differentiate  # at the first gradient: inference needs none of it

        try:
            gradient = differentiate(self.function, wrt_inputs=wrt_inputs, wrt_state=wrt_state)
        except CompileError as error:
            return _Pair(None, None, None, error)
        return _Pair(gradient, Runner(gradient.forward, self._target), Runner(gradient.backward, self._target, counts=True))


def _incoming(gradient: Any, shape: tuple[int, ...], dtype: np.dtype, device: Device | None) -> Any:
    """A gradient that came, or zeros where none did."""
    if isinstance(gradient, DeviceArray):
        return gradient.astype(dtype, copy=False)
    given = np.zeros(shape, dtype) if gradient is None else np.asarray(gradient, dtype)
    return given if device is None else device.upload(given)


def _tensor(value: Any) -> Any:
    from scriptc_runtime.arguments import wrap

    return wrap(value)


def _not_differentiable(function: Function, pair: _Pair) -> CallError:
    reason = "; ".join(d.message for d in pair.failure.diagnostics) if pair.failure is not None else "nothing flows"
    return CallError(diagnostic("R0116", what=f"{function.name}()", reason=reason))
