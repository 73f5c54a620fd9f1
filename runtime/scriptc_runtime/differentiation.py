"""A function with its gradient: what a call on the tape runs forward, and what `backward` runs in return."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scriptc.ir.graph import Function
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.runner import Runner


class Differentiable:
    """One function: its plain `runner`, and a forward and backward pair per set of things that want a gradient."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.runner = Runner(function)
        self._pairs: PlanCache[Any] = PlanCache()

    def call_recorded(self, arguments: Sequence[Any], sources: Sequence[Any], wrt_inputs: Sequence[int],
                      wrt_state: Mapping[str, int], lazily: bool = False) -> list[Any]:
        """x"""
        raise NotImplementedError
