"""What follows from the program and the shapes alone (positions, masks, zeros): computed with the plan, not with each call."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Literal, Value, literal
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType
from scriptc.records import replace
from scriptc_runtime.plan.bind import Binding, BoundOp, is_static

MOST_BYTES = 4 << 20      # of one tensor that a plan keeps
REPEATS = frozenset(("expand", "expand_as"))      # of one array's memory
_UNKNOWN = object()


def evaluate(binding: Binding) -> Binding:
    """The binding without the ops whose results are known now; these are constants, which nobody may write to. Known numbers are literals."""
    constants: dict[Value, Any] = dict(binding.constants)
    ops: list[BoundOp] = []
    for bound in binding.ops:
        found = _results(bound, constants)
        if found is None:
            ops.append(bound if bound.op.regions else _with_numbers(bound, constants))
        else:
            constants.update(zip(bound.results, found, strict=True))
    return Binding(tuple(ops), binding.types, constants, binding.results)


def _with_numbers(bound: BoundOp, constants: dict[Value, Any]) -> BoundOp:
    operands = tuple(literal(constants[v]) if type(constants.get(v)) in (int, float, bool) else v for v in bound.operands)
    return bound if operands == bound.operands else replace(bound, operands=operands)


def _results(bound: BoundOp, constants: dict[Value, Any]) -> list[np.ndarray] | None:
    """What an op computes; None where that is not known, not a tensor, too large, or an error."""
    definition = REGISTRY[bound.name]
    if bound.op.regions or definition.effects or definition.family == "random" or not bound.results:
        return None
    if not all(isinstance(kind, TensorType) and is_static(kind) for kind in bound.result_types):
        return None
    if bound.name not in REPEATS and any(_bytes(kind) > MOST_BYTES for kind in bound.result_types):  # type: ignore[arg-type]
        return None
    operands = [v.data if isinstance(v, Literal) else constants.get(v, _UNKNOWN) for v in bound.operands]
    if any(operand is _UNKNOWN for operand in operands) or bound.name not in REFERENCES:
        return None
    try:
        with np.errstate(all="ignore"):
            made = REFERENCES[bound.name](*operands, **bound.op.attributes)
    except Exception:   # it raises when, and if, it runs
        return None
    return [_kept(array) for array in (made if isinstance(made, tuple) else (made,))]


def _bytes(kind: TensorType) -> int:
    return math.prod(kind.shape or ()) * kind.dtype.itemsize  # type: ignore[arg-type]


def _kept(array: np.ndarray) -> np.ndarray:
    """The array as one that cannot be written; it is a view, so that whoever would hand it out copies it."""
    array = np.asarray(array).view()
    array.flags.writeable = False
    return array
