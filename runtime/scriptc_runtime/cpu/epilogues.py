"""A linear layer with what follows it: factors of its columns, an activation, or a tensor of the same shape that is added."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal
from scriptc.ir.types import TensorType, float32
from scriptc_runtime.cpu.blocked.nodes import function_of, limits_of
from scriptc_runtime.cpu.blocked.support import is_activation
from scriptc_runtime.cpu.dense import Dense, Epilogue, NativeDense
from scriptc_runtime.cpu.linalg import packed_sizes
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.clusters import Cluster
from scriptc_runtime.plan.lowering import lowers_chains
from scriptc_runtime.plan.plan import Kernel


def continues(chain: Sequence[BoundOp], bound: BoundOp) -> bool:
    """A factor per column first, then one activation or one sum."""
    head = chain[0]
    if packed_sizes(*head.operand_types[:2]) is None or not is_static(head.result_types[0]) or bound.result_types[0] != head.result_types[0]:
        return False
    if any(member.name != "mul" for member in chain[1:]):
        return False
    if bound.name == "mul":
        return len(chain) == 1 and _other_shape(chain, bound) == head.result_types[0].shape[-1:]  # type: ignore[union-attr, index]
    if bound.name == "add":
        return _other_shape(chain, bound) == head.result_types[0].shape  # type: ignore[union-attr]
    return is_activation(bound)


def _other_shape(chain: Sequence[BoundOp], bound: BoundOp) -> Any:
    """The shape of what a chain's value is combined with, if that is another float32 tensor."""
    value = chain[-1].results[0]
    if isinstance(bound.operands[0], Literal) or isinstance(bound.operands[1], Literal) or bound.operands[0] is bound.operands[1]:
        return None
    kind = bound.operand_types[1 if bound.operands[0] is value else 0]
    return kind.shape if isinstance(kind, TensorType) and kind.dtype is float32 else None


@lowers_chains("cpu", frozenset(("linear",)), continues)
def lower_chain(cluster: Cluster, fallback: Callable[[], Callable[..., list[Any]]]) -> Kernel:
    """The kernel of such a chain; op by op until the library is there."""
    head = cluster.ops[0]
    place = {value: index for index, value in enumerate(cluster.inputs)}
    scale = residual = None
    epilogue = Epilogue()
    before = head.results[0]
    for bound in cluster.ops[1:]:
        others = [place[v] for v in bound.operands if v is not before and not isinstance(v, Literal)]
        if bound.name == "mul":
            scale = others[0]
        elif bound.name == "add":
            residual = others[0]
        elif (limits := limits_of(bound)) is not None:
            epilogue = Epilogue(limits=limits)
        else:
            which, parameters = function_of(bound)
            epilogue = Epilogue(function=which, parameters=parameters)
        before = bound.results[0]
    epilogue = Epilogue(scale, residual, epilogue.limits, epilogue.function, epilogue.parameters)
    sizes = packed_sizes(*head.operand_types[:2])
    assert sizes is not None
    dense = Dense(*sizes, None)
    w, b = head.operands[1], head.operands[2]
    native = NativeDense(dense, (place[head.operands[0]], place[w], None if isinstance(b, Literal) else place[b]), epilogue)
    plain: list[Callable[..., list[Any]]] = []

    def run(*operands: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        if not plain:
            plain.append(fallback())
        np.copyto(out[0], plain[0](*operands)[0])

    return Kernel("linear+" + "+".join(b.name for b in cluster.ops[1:]), run, writes_out=True, fresh=True, native=native)
