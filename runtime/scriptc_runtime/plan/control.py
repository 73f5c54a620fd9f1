"""`if` and `loop` as steps: their regions get plans of their own, made when they are first entered, by shape."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scriptc.errors import CallError, diagnostic
from scriptc.ir.graph import Op, Region, Value
from scriptc.ir.types import Type
from scriptc_runtime.plan.bind import BoundOp, signature_of, type_of_value
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.plan import Kernel, Plan

STEP_BUDGET = 10_000_000  # turns of one loop: a hostile file must not run for ever

MakePlan = Callable[[Region, Sequence[Value], Mapping[Value, Type], Mapping[Value, Any]], Plan]


class Subprogram:
    """A region with the values it captures: called with its parameters, it plans itself by their shapes."""

    def __init__(self, region: Region, captured: Sequence[Value], constants: Mapping[Value, Any], make_plan: MakePlan) -> None:
        self._region = region
        self._arguments = (*region.params, *captured)
        self._constants = constants
        self._make_plan = make_plan
        self._plans: PlanCache[Plan] = PlanCache()

    def plan(self, values: Sequence[Any]) -> Plan:
        """The plan for these parameters and captured values."""
        return self._plans.get(signature_of(values), lambda: self._planned(values))

    def _planned(self, values: Sequence[Any]) -> Plan:
        types = {value: type_of_value(content, value.type)
                 for value, content in zip(self._arguments, values, strict=True)}
        return self._make_plan(self._region, self._arguments, types, self._constants)


def branch_kernel(bound: BoundOp, captured: Sequence[Value], constants: Mapping[Value, Any], make_plan: MakePlan) -> Kernel:
    """`if` as a kernel over (condition, captured values)."""
    branches = [Subprogram(region, captured, constants, make_plan) for region in bound.op.regions]

    def run(condition: bool, *values: Any) -> Any:
        taken = branches[0] if condition else branches[1]
        results = taken.plan(values).run(values)
        return results[0] if len(results) == 1 else tuple(results)

    return Kernel("if", run)


def loop_kernel(bound: BoundOp, captured: Sequence[Value], constants: Mapping[Value, Any], make_plan: MakePlan) -> Kernel:
    """`loop` as a kernel over (trip count, condition, carried values, captured values)."""
    body = Subprogram(bound.op.regions[0], captured, constants, make_plan)
    count = len(bound.op.operands) - 2
    op = bound.op

    def run(trip_count: int, condition: bool, *values: Any) -> Any:
        carried, around = list(values[:count]), values[count:]
        turn = 0
        key: tuple[object, ...] | None = None
        plan: Plan | None = None
        while turn < trip_count and condition:
            if turn == STEP_BUDGET:
                raise budget_error(op)
            arguments = (turn, *carried, *around)
            current = signature_of(arguments)
            if plan is None or current != key:
                key, plan = current, body.plan(arguments)
            condition, *carried = plan.run(arguments)
            turn += 1
        return carried[0] if count == 1 else tuple(carried)

    return Kernel("loop", run)


def budget_error(op: Op) -> CallError:
    """R0111: a loop ran longer than any program should."""
    return CallError(diagnostic("R0111", op.location, limit=STEP_BUDGET))

