"""`if` and `loop` as steps: their regions get plans of their own, made when they are first entered, by shape."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scriptc.errors import CallError, diagnostic
from scriptc.ir.graph import Op, Region, Value
from scriptc.ir.types import INT, Type, join
from scriptc_runtime.plan.bind import BoundOp, form_of, is_settled, signature_of, type_of_value
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.plan import Kernel, Plan
from scriptc_runtime.plan.policy import is_waiting

STEP_BUDGET = 10_000_000  # turns of one loop: a hostile file must not run for ever
AT_ONCE = 8               # plans of one region that are made when their sizes are first seen
RECURRING = 16            # turns with the same sizes that pay for a plan of their own
MANY = 4096               # sizes that are counted

MakePlan = Callable[[Region, Sequence[Value], Mapping[Value, Type], Mapping[Value, Any]], Plan]


class Subprogram:
    """A region with the values it captures: called with its parameters, it plans itself by their shapes.

    A loop whose values grow (a cache of keys, a list that is stacked) has other sizes in each turn, and a plan takes longer to make than a
    turn to run. After `AT_ONCE` plans new sizes are therefore answered by one plan that leaves open what has varied; sizes that recur
    `RECURRING` times get a plan of their own all the same. It depends on the sizes alone, not on the time anything takes, which plan answers.
    """

    def __init__(self, region: Region, captured: Sequence[Value], kinds: Sequence[Type], constants: Mapping[Value, Any],
                 make_plan: MakePlan) -> None:
        """`kinds`: what is known of the parameters' and captured values' types; where they say all, there is one plan."""
        self._region = region
        self._kinds = tuple(kinds) if all(map(is_settled, kinds)) else None
        self._only: Plan | None = None
        self._arguments = (*region.params, *captured)
        self._constants = constants
        self._make_plan = make_plan
        self._plans: PlanCache[Plan] = PlanCache()
        self._turns: PlanCache[int] = PlanCache(MANY)                             # by sizes: how often they have been answered by an open plan
        self._open: PlanCache[tuple[tuple[Type, ...], Plan]] = PlanCache(AT_ONCE)     # by dtypes and ranks

    def plan(self, values: Sequence[Any]) -> Plan:
        """The plan for these parameters and captured values."""
        if self._kinds is not None:
            if self._only is None:
                self._only = self._planned(self._kinds)
            return self._only
        key = signature_of(values)
        found = self._plans.find(key)
        if found is not None:
            return found
        if len(self._plans) >= AT_ONCE and not is_waiting():
            turns = (self._turns.find(key) or 0) + 1
            self._turns.put(key, turns)
            if turns < RECURRING:
                return self._open_plan(values)
        return self._plans.put(key, self._planned(self._types(values)))

    def _open_plan(self, values: Sequence[Any]) -> Plan:
        """A plan for values of these dtypes and ranks, and of all sizes seen so far."""
        types = self._types(values)
        form = form_of(values)
        found = self._open.find(form)
        if found is not None:
            known, plan = found
            types = tuple(_wider(a, b) for a, b in zip(known, types, strict=True))
            if types == known:
                return plan
        return self._open.put(form, (types, self._planned(types)))[1]

    def _types(self, values: Sequence[Any]) -> tuple[Type, ...]:
        return tuple(type_of_value(content, value.type) for value, content in zip(self._arguments, values, strict=True))

    def _planned(self, types: Sequence[Type]) -> Plan:
        return self._make_plan(self._region, self._arguments, dict(zip(self._arguments, types, strict=True)), self._constants)


def _wider(known: Type, now: Type) -> Type:
    """The type of values of both types, which have the same form."""
    both = join(known, now)
    assert both is not None
    return both


def branch_kernel(bound: BoundOp, types: Mapping[Value, Type], constants: Mapping[Value, Any], make_plan: MakePlan) -> Kernel:
    """`if` as a kernel over (condition, captured values)."""
    names, kinds = [name for name, _ in bound.captured], [types[value] for _, value in bound.captured]
    branches = [Subprogram(region, names, kinds, constants, make_plan) for region in bound.op.regions]

    def run(condition: bool, *values: Any) -> Any:
        taken = branches[0] if condition else branches[1]
        results = taken.plan(values).run(values)
        return results[0] if len(results) == 1 else tuple(results)

    return Kernel("if", run)


def loop_kernel(bound: BoundOp, types: Mapping[Value, Type], constants: Mapping[Value, Any], make_plan: MakePlan) -> Kernel:
    """`loop` as a kernel over (trip count, condition, carried values, captured values)."""
    kinds = (INT, *bound.result_types, *[types[value] for _, value in bound.captured])
    body = Subprogram(bound.op.regions[0], [name for name, _ in bound.captured], kinds, constants, make_plan)
    count = len(bound.op.operands) - 2
    op = bound.op

    def run(trip_count: int, condition: bool, *values: Any) -> Any:
        carried, around = list(values[:count]), values[count:]
        turn = 0
        while turn < trip_count and condition:
            if turn == STEP_BUDGET:
                raise budget_error(op)
            arguments = (turn, *carried, *around)
            condition, *carried = body.plan(arguments).run(arguments)
            turn += 1
        return carried[0] if count == 1 else tuple(carried)

    return Kernel("loop", run)


def budget_error(op: Op) -> CallError:
    """R0111: a loop ran longer than any program should."""
    return CallError(diagnostic("R0111", op.location, limit=STEP_BUDGET))

