"""Results that take an argument's place: an updated parameter is written where it was, by the loop that reads it last."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from scriptc.ir.graph import Literal, Value
from scriptc.records import replace
from scriptc_runtime.plan.bind import Binding, BoundOp, is_static
from scriptc_runtime.plan.clusters import Cluster
from scriptc_runtime.plan.fusion import Group, Unit

IsFresh = Callable[["BoundOp | Cluster"], bool]


def overwriting(units: Sequence[Unit], is_fresh: IsFresh, binding: Binding,
                wanted: Sequence[tuple[Value, Value]]) -> tuple[list[Unit], dict[Value, Value]]:
    """`units`, groups among them saying what they overwrite; and the results that do, with the argument each takes the place of.

    `wanted`: pairs of result and argument. A result may overwrite if a group of ops makes it, of the argument's shape and dtype, while nothing
    reads the argument later, and the group itself reads it at most at the same place. `is_fresh`: what is no view of its operands.
    """
    behind, last = _reads(units, is_fresh, {argument for _, argument in wanted})
    seen = set().union(*(behind.get(v, _NOTHING) for v in binding.results))
    maker = {value: index for index, unit in enumerate(units) if isinstance(unit, Group) for value in unit.outputs}
    changed = list(units)
    found: dict[Value, Value] = {}
    for result, argument in wanted:
        index = maker.get(result)
        if index is None or result in found or argument in found.values() or argument in seen or last.get(argument, -1) > index \
                or binding.types[result] != binding.types[argument]:
            continue
        group = changed[index]
        assert isinstance(group, Group)
        through = [i for i, value in enumerate(group.inputs) if argument in behind.get(value, _NOTHING)]
        if through and not (len(through) == 1 and group.inputs[through[0]] is argument and _in_step(group, argument)):
            continue
        found[result] = argument
        if through:
            changed[index] = replace(group, over=(*group.over, (group.outputs.index(result), through[0])))
    return changed, found


_NOTHING: frozenset[Value] = frozenset()


def _reads(units: Sequence[Unit], is_fresh: IsFresh, arguments: set[Value]) -> tuple[dict[Value, frozenset[Value]], dict[Value, int]]:
    """Which arguments' memory a value may be a view of, and the last unit that reads each argument."""
    behind: dict[Value, frozenset[Value]] = {argument: frozenset((argument,)) for argument in arguments}
    last: dict[Value, int] = {}
    for index, unit in enumerate(units):
        reads = unit.inputs if isinstance(unit, Group | Cluster) else unit.reads
        roots = _NOTHING.union(*(behind.get(v, _NOTHING) for v in reads if not isinstance(v, Literal)))
        last.update(dict.fromkeys(roots, index))
        if roots and not isinstance(unit, Group) and not is_fresh(unit):
            behind.update(dict.fromkeys(unit.outputs if isinstance(unit, Cluster) else unit.results, roots))
    return behind, last


def _in_step(group: Group, argument: Value) -> bool:
    """True if every op of the group reads the argument with the group's own shape: element by element."""
    for member in group.ops:
        for value, kind in zip(member.operands, member.operand_types, strict=True):
            if value is argument and (member.name == "batch_norm" or not is_static(kind) or kind.shape != group.shape):  # type: ignore[union-attr]
                return False
    return True
