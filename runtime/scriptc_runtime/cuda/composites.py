"""Ops as formulas of other ops: written once with `Expr`, planned for the device, and launched as one step.

    @composite("log_softmax")
    def _(x, *, dim): ...

Operands that are absent are None. Where a member has no kernel, the host does the whole op.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Literal, Region, Value
from scriptc.ir.types import NONE, DType, IntType, OptionalType, TensorType, float32
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import Emitted, Viewing, emits
from scriptc_runtime.device import DeviceArray, contiguous_strides
from scriptc_runtime.plan.lowering import Site
from scriptc_runtime.plan.plan import Plan

Formula = Callable[..., Any]


def composite(*names: str, second: bool = False) -> Callable[[Formula], Formula]:
    """Register the formula of the ops `names`; `second` as of `emits`."""
    def register(formula: Formula) -> Formula:
        emits(*names, second=second)(lambda site: lower(site, formula))
        return formula
    return register


def lower(site: Site, formula: Formula, *, operands: Sequence[int] | None = None) -> Emit | str:
    """The work of a formula for a site. Half types are computed in float32. `operands`: those that take part, all by default."""
    builder = Builder()
    inputs: list[Value] = []
    places: list[int] = []
    given: list[Any] = []
    chosen = range(len(site.operand_types)) if operands is None else operands
    half: DType | None = None
    for index in chosen:
        kind = site.operand_types[index]
        if isinstance(kind, OptionalType):
            return "an operand that may be absent"
        if isinstance(kind, TensorType):
            value = Value(kind)
            inputs.append(value)
            places.append(index)
            expr = Expr(value, builder)
            if kind.dtype.name in ("float16", "bfloat16"):
                half = kind.dtype
                expr = expr.cast(float32)
            given.append(expr)
        elif kind == NONE:
            given.append(None)
        elif isinstance(kind, IntType) and isinstance(kind.value, int):
            given.append(kind.value)
        else:
            return f"an operand of type {kind}"
    made = formula(*given, **site.attributes)
    if isinstance(made, str):
        return made
    results = made if isinstance(made, tuple) else (made,)
    finished = [r.cast(k.dtype) if isinstance(k, TensorType) and half is not None and k.dtype is half else r
                for r, k in zip(results, site.result_types, strict=True)]
    return of_region(inputs, places, Region(tuple(inputs), builder.take(), tuple(r.value for r in finished)))


def of_region(inputs: Sequence[Value], places: Sequence[int], region: Region) -> Emit | str:
    """The work of a region over those operands of a site that stand at `places`."""
    from scriptc_runtime.plan.schedule import make_plan

    plan = make_plan(region, inputs, {v: v.type for v in inputs}, {}, target="cuda", routines=False)
    for step in plan.steps:
        if not isinstance(step.kernel.native, Emitted | Viewing):
            return f"{step.kernel.name} has no kernel"

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        put(work, plan, [operands[i] for i in places], results)
    return emit


def put(work: Work, plan: Plan, arguments: Sequence[Any], results: Sequence[DeviceArray]) -> None:
    """The launches of a plan, whose results are written to `results`."""
    slots = plan.template.copy()
    for slot, argument in zip(plan.arguments, arguments, strict=True):
        slots[slot] = argument
    arena = work.empty((max(plan.arena_size, 1),), np.uint8)
    wanted = dict(zip(plan.results, results, strict=True))
    op = work.op
    for step in plan.steps:
        operands = [slots[i] for i in step.inputs]
        native = step.kernel.native
        if isinstance(native, Viewing):
            slots[step.outputs[0]] = native.put(work, operands)
            continue
        out = []
        for slot, buffer in zip(step.outputs, step.buffers, strict=True):
            if buffer.offset is not None:
                view = DeviceArray(arena.device, arena.block, arena.offset + buffer.offset, buffer.shape, contiguous_strides(buffer.shape),
                                   buffer.dtype)
            else:
                own = wanted.get(slot)
                view = own if own is not None and own.shape == buffer.shape else work.empty(buffer.shape, buffer.dtype)
            slots[slot] = view
            out.append(view)
        native.put(work, operands, out)
        work.op = op
    for slot, result in zip(plan.results, results, strict=True):
        if slots[slot] is not result:
            work.copy(result, slots[slot])


def constant(value: Any) -> Any:
    """The content of a literal."""
    return value.data if isinstance(value, Literal) else value


def op(name: str, *operands: Any, **attributes: Any) -> Any:
    """Apply an op to expressions and scalars."""
    first = next(o for o in operands if isinstance(o, Expr))
    return first._apply(name, *operands, **attributes)
