"""Parameters stored in another dtype than they are computed with: the program reads them through a cast."""
from __future__ import annotations

from collections.abc import Sequence

from scriptc.ir.graph import Function, Op, Program, StateEntry, Value, walk
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.rewrite import RewriteBuilder, Rule, with_values
from scriptc.ir.surgery.surgeon import Surgeon, with_state
from scriptc.ir.types import DType, TensorType
from scriptc.records import replace


def stored_as(program: Program, dtype: DType) -> Program:
    """`program` with every floating parameter stored as `dtype`; all arithmetic, results and buffers stay as they are."""
    changed = {e.name: replace(e, type=e.type.with_dtype(dtype)) for e in program.state
               if e.kind == "parameter" and e.type.dtype.is_floating_point and e.type.dtype is not dtype}
    functions = {key: _stored(function, changed) for key, function in program.functions.items()}
    return with_state(program, functions, changed=changed)


def _stored(function: Function, changed: dict[str, StateEntry]) -> Function:
    walker = Surgeon(lambda op, builder: None)
    state = dict(function.state)
    direct: set[Value] = set()          # new values whose every reader is a cast
    for name in [n for n in state if n in changed]:
        old, new = state[name], Value(changed[name].type, name)
        state[name] = new
        if _only_cast(function, old):
            direct.add(new)
            walker.values[old] = new
        else:
            walker.values[old] = walker.builder.emit_one("cast", [new], {"dtype": _dtype(old)})
    walker.rule = _joining(direct)
    walker.ops(function.ops)
    made = with_values(replace(function, state=state), walker.builder.take(), walker.map)
    tail = Surgeon(lambda op, builder: None)
    tail.ops(made.ops)
    updates = {n: tail.builder.emit_one("cast", [v], {"dtype": changed[n].type.dtype}) if n in changed and _dtype(v) is not changed[n].type.dtype
               else v for n, v in made.updates.items()}
    return eliminate_dead_code(replace(made, ops=tail.builder.take(), updates=updates))


def _joining(direct: set[Value]) -> Rule:
    """Casts of stored values to the dtype they already have change nothing."""
    def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
        if op.name == "cast" and op.operands[0] in direct and _dtype(op.operands[0]) is op.attributes["dtype"]:
            return [op.operands[0]]
        return None
    return rule


def _only_cast(function: Function, value: Value) -> bool:
    """True if all that reads `value` is casts."""
    names = {op.name for op in walk(function.ops) if value in op.operands or any(value in r.results for r in op.regions)}
    outside = (*function.results, *function.updates.values(), *function.input_updates.values())
    return names == {"cast"} and value not in outside


def _dtype(value: Value) -> DType:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
