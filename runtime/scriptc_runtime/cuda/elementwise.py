"""Groups of elementwise ops: one printed kernel each."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scriptc_runtime.cpu.printer import Unprintable
from scriptc_runtime.cuda import movement
from scriptc_runtime.cuda.launches import Work
from scriptc_runtime.cuda.lowering import Emitted, OnHost
from scriptc_runtime.cuda.printer import formula_of, printable
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.fusion import Group
from scriptc_runtime.plan.lowering import lowers_groups
from scriptc_runtime.plan.plan import Kernel


@lowers_groups("cuda", accepts=printable)
def lower_group(group: Group) -> Kernel:
    """The kernel of a group."""
    name = "+".join(m.name for m in group.ops)
    try:
        printed = formula_of(group)
    except Unprintable:
        return _members(group, name)

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        movement.apply(work, printed.formula, [operands[i] for i in printed.tensors], results, late=operands, shapes=printed.shapes)

    step = Emitted(emit)
    return Kernel(name, step, writes_out=True, fresh=True, native=step)


def _members(group: Group, name: str) -> Kernel:
    """The members one by one on the host."""
    from scriptc.ir.graph import Literal

    def run(*operands: Any) -> Any:
        values = dict(zip(group.inputs, operands, strict=True))
        for member in group.ops:
            step = OnHost(member.name, member.op.attributes)
            values[member.results[0]] = step(*(v.data if isinstance(v, Literal) else values[v] for v in member.operands))
        found = tuple(values[v] for v in group.outputs)
        return found[0] if len(found) == 1 else found

    return Kernel(name, run, fresh=True)
