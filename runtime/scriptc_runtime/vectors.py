"""Test vectors bundled in an archive: recorded calls, run again and compared."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.errors import VerificationError, diagnostic
from scriptc.interp.interpreter import run_function
from scriptc.ir.archive.encode import state_tensor
from scriptc.ir.archive.reader import ArchiveFile
from scriptc.ir.archive.vectors import read_vectors
from scriptc.ir.graph import Program


def verify_vectors(program: Program, archive: ArchiveFile) -> int:
    """Run every recorded call with the reference interpreter; how many there are.

    VerificationError R0140 for the first result that differs by more than the call's tolerance.
    """
    calls = read_vectors(archive, program)
    state = {entry.name: state_tensor(archive, entry) for entry in program.state} if calls else {}
    for index, call in enumerate(calls):
        outcome = run_function(program.functions[call.function], list(call.inputs), state)
        for position, (found, expected) in enumerate(zip(outcome.results, call.results, strict=True)):
            worst = difference(found, expected)
            if not worst <= call.tolerance:
                raise VerificationError(diagnostic("R0140", call=index, function=call.function, result=position,
                                                   difference=f"{worst:.3g}", tolerance=f"{call.tolerance:.3g}"))
    return len(calls)


def difference(found: Any, expected: Any) -> float:
    """The largest difference relative to the largest expected magnitude; inf for another shape or dtype."""
    a, b = np.asarray(found), np.asarray(expected)
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    return float(np.max(np.abs(wide_a - wide_b)) / max(float(np.max(np.abs(wide_b))), 1e-30))
