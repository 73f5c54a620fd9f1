"""The pipeline: which passes run, in which order, and why."""
from __future__ import annotations

import os
from collections.abc import Callable

from scriptc.ir.graph import Function, Program
from scriptc.ir.passes.canonicalize import canonicalize
from scriptc.ir.passes.cse import share_common_subexpressions
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.verify import verify_function

Pass = Callable[[Function], Function]

PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("dce", eliminate_dead_code),                # staging leaves views and sizes that nobody read
    ("canonicalize", canonicalize),              # known sizes become literals, which makes more expressions equal
    ("cse", share_common_subexpressions),
    ("canonicalize-again", canonicalize),        # equal operands show more ops to change nothing
    ("dce-again", eliminate_dead_code),
)


def optimize(function: Function) -> Function:
    """Run every pass; with SCRIPTC_VERIFY=2 the result of each is verified."""
    check = os.environ.get("SCRIPTC_VERIFY") == "2"
    for _, run in PIPELINE:
        function = run(function)
        if check:
            verify_function(function)
    return function


def optimize_program(program: Program) -> Program:
    """Every function of a program through the pipeline."""
    functions = {name: optimize(f) for name, f in program.functions.items()}
    return Program(functions, program.state, program.modules, program.sources, program.entry)
