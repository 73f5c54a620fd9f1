"""Where the time of a call goes: each step of a plan timed by itself, with the arithmetic and the memory its ops cannot do without."""
from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from scriptc.ir.graph import Literal
from scriptc.ir.types import TensorType, Type
from scriptc.records import Record
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.plan import Plan, Step

Part: TypeAlias = tuple[tuple[BoundOp, ...], Callable[[], None]]     # ops, and what computes them; no ops: a change of layout


@runtime_checkable
class Parted(Protocol):
    """A kernel of many ops that can run them one after another."""

    def parts(self, *operands: Any, out: tuple[Any, ...]) -> Iterator[Part]:
        """The parts of one call, to be run in order, each as often as one likes."""
        ...


class Timing(Record):
    """The median seconds of some ops that run as one, their floating point operations, and the bytes they read and write at least."""

    ops: tuple[BoundOp, ...]
    kernel: str
    seconds: float
    flops: int
    traffic: int


def profile(plan: Plan, arguments: Sequence[Any], repeats: int) -> list[Timing]:
    """Every step of `plan`, run `repeats` times by itself. Results go to memory of their own: no argument is changed.

    Steps that a call would join run apart, so that their sum may be more than the time of a call.
    """
    slots = plan.template.copy()
    for slot, argument in zip(plan.arguments, arguments, strict=True):
        slots[slot] = argument
    made: list[Timing] = []
    for step in plan.steps:
        made += _timed(step, slots, plan, repeats)
    return made


def _timed(step: Step, slots: list[Any], plan: Plan, repeats: int) -> list[Timing]:
    kernel, operands = step.kernel, [slots[i] for i in step.inputs]
    if not kernel.writes_out:
        results: list[Any] = []
        seconds = _median(lambda: results.append(kernel.run(*operands)), repeats)
        values = (results[-1],) if len(step.outputs) == 1 else results[-1] or ()
        slots_filled(slots, step, values)
        return [_timing(step.ops, kernel.name, seconds)]
    out = tuple(plan.memory.empty(b.shape, b.dtype) for b in step.buffers)
    slots_filled(slots, step, out)
    if isinstance(kernel.run, Parted):
        return [_timing(ops, kernel.name, _median(run, repeats)) for ops, run in kernel.run.parts(*operands, out=out)]
    return [_timing(step.ops, kernel.name, _median(lambda: kernel.run(*operands, out=out), repeats))]


def slots_filled(slots: list[Any], step: Step, values: Sequence[Any]) -> None:
    """Put a step's results where later steps find them."""
    for slot, value in zip(step.outputs, values, strict=True):
        slots[slot] = value


def _median(run: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _timing(ops: tuple[BoundOp, ...], kernel: str, seconds: float) -> Timing:
    return Timing(ops, kernel, seconds, sum(map(flops, ops)), traffic(ops))


def flops(bound: BoundOp) -> int:
    """Floating point operations: two per multiplication of a product, one per element of anything else. 0 where a size is not known."""
    kinds = [k for k in (*bound.operand_types, *bound.result_types) if isinstance(k, TensorType)]
    if not kinds or not all(map(is_static, kinds)):
        return 0
    shapes = [_shape(k) for k in bound.operand_types]
    results = sum(math.prod(_shape(k)) for k in bound.result_types if isinstance(k, TensorType))
    if bound.name == "convolution":
        return 2 * results * math.prod(shapes[1][1:])
    if bound.name == "conv_transpose":
        return 2 * math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if bound.name in ("linear", "matmul"):
        return 2 * results * shapes[0][-1]
    if bound.name == "scaled_dot_product_attention":
        return 4 * math.prod(shapes[0]) * shapes[1][-2]
    if bound.name in ("lstm", "gru", "rnn"):
        return 2 * shapes[0][0] * shapes[0][1] * sum(math.prod(s) for s in shapes[1:] if len(s) == 2)
    return results


def traffic(ops: Sequence[BoundOp]) -> int:
    """Bytes that come from outside the ops or are not read by them again."""
    inside = {r for bound in ops for r in bound.results}
    read = {o for bound in ops for o in bound.operands}
    sizes = {o: _bytes(k) for bound in ops for o, k in zip(bound.operands, bound.operand_types, strict=True)
             if o not in inside and not isinstance(o, Literal)}
    sizes.update((r, _bytes(k)) for bound in ops for r, k in zip(bound.results, bound.result_types, strict=True) if r not in read)
    return sum(sizes.values())


def _shape(kind: Type) -> tuple[int, ...]:
    return tuple(d for d in kind.shape or () if isinstance(d, int)) if isinstance(kind, TensorType) else ()


def _bytes(kind: Type) -> int:
    return math.prod(_shape(kind)) * kind.dtype.itemsize if isinstance(kind, TensorType) and is_static(kind) else 0
