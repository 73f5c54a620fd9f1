"""Steps that look at memory and move nothing: what they see follows from the layout of their operand alone."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Op

VIEWS = frozenset(("reshape", "reshape_as", "permute", "expand", "expand_as", "squeeze", "unsqueeze", "slice", "select", "diagonal", "unfold",
                   "flip", "checkpointed"))

View = Callable[[np.ndarray], np.ndarray]


def view_of(op: Op, operands: Sequence[Any]) -> View:
    """The function from the first operand to the result, the others being known."""
    rest = tuple(operands[1:])
    if op.name == "reshape":
        return lambda x: x.reshape(rest)
    if op.name == "reshape_as":
        shape = rest[0].shape
        return lambda x: x.reshape(shape)
    if op.name == "select":     # a view even where one element is left
        lead = (slice(None),) * (op.attributes["dim"] % operands[0].ndim)
        index = rest[0]
        return lambda x: x[(*lead, index, ...)]
    run = REFERENCES[op.name]
    return lambda x: run(x, *rest, **op.attributes)


def lies_in(part: np.ndarray, whole: np.ndarray) -> bool:
    """True if `part`, made of `whole`, is a view of it and no copy."""
    return part.size == 0 or np.may_share_memory(part, whole)
