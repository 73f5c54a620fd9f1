"""The pipeline: which passes run, in which order, and why."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scriptc.ir.graph import Function, Op, Program
from scriptc.ir.passes.canonicalize import canonicalize
from scriptc.ir.passes.cse import share_common_subexpressions
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.passes.fold import Evaluate, fold
from scriptc.ir.passes.hoist import hoist
from scriptc.ir.passes.shapes import propagate_shapes
from scriptc.ir.printer import print_function
from scriptc.ir.verify import verify_function


@dataclass(frozen=True, slots=True)
class Pass:
    """One step: a pure function, the facts it relies on, and the facts that hold after it."""

    name: str
    run: Callable[[Function, Evaluate], Function]
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()


def _pass(name: str, run: Callable[[Function], Function], needs: str = "", gives: str = "") -> Pass:
    return Pass(name, lambda function, _: run(function), frozenset(needs.split()), frozenset(gives.split()))


PIPELINE: tuple[Pass, ...] = (
    _pass("dce", eliminate_dead_code, gives="live"),                         # staging leaves views and sizes that nobody reads
    _pass("shapes", propagate_shapes, gives="precise"),                      # known sizes are what the next passes feed on
    Pass("fold", fold, frozenset(("precise",)), frozenset(("folded",))),     # conditions become literals,
    _pass("canonicalize", canonicalize, needs="folded", gives="canonical"),  # so that branches are decided
    _pass("cse", share_common_subexpressions, needs="canonical", gives="shared"),   # canonical forms are more often equal
    _pass("hoist", hoist, needs="shared"),                                   # what was shared may be all that a loop repeats
    _pass("canonicalize-again", canonicalize, needs="shared"),               # equal operands show more ops to change nothing
    _pass("cse-again", share_common_subexpressions),                         # hoisted ops meet those that stood outside
    _pass("dce-again", eliminate_dead_code, gives="live"),
)


def keep(op: Op, operands: Sequence[Any]) -> Sequence[Any] | None:
    """An `evaluate` that folds nothing."""
    return None


def optimize(function: Function, evaluate: Evaluate = keep) -> Function:
    """Run every pass. SCRIPTC_VERIFY=2 verifies the result of each; SCRIPTC_DEBUG=passes prints those that changed it."""
    check = os.environ.get("SCRIPTC_VERIFY") == "2"
    show = "passes" in os.environ.get("SCRIPTC_DEBUG", "").split(",")
    for step in PIPELINE:
        before, function = function, step.run(function, evaluate)
        if check:
            verify_function(function)
        if show:
            text = print_function(function)
            if text != print_function(before):
                sys.stderr.write(f"--- after {step.name}\n{text}")
    return function


def optimize_program(program: Program, evaluate: Evaluate = keep) -> Program:
    """Every function of a program through the pipeline; `evaluate` is the meaning of ops on known operands (see `fold`)."""
    functions = {name: optimize(f, evaluate) for name, f in program.functions.items()}
    return Program(functions, program.state, program.modules, program.sources, program.entry)
