"""Marks of gradient checkpointing: put around the ops of modules, read by differentiation, dropped where ops run."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Op, Region, walk
from scriptc.records import replace

MARK = "checkpoint"


def segments(ops: Sequence[Op]) -> list[Op | list[Op]]:
    """The ops in order without marks, those between a pair of marks as a list. A mark that nothing closes counts for nothing."""
    found: list[Op | list[Op]] = []
    inside: list[Op] = []
    depth = 0
    for op in ops:
        if op.name == MARK:
            depth += 1 if op.attributes["begins"] else -1
            if depth <= 0:
                depth = 0
                if inside:
                    found.append(inside)
                inside = []
        elif depth:
            inside.append(op)
        else:
            found.append(op)
    return [*found, *inside]


def has_marks(ops: Sequence[Op]) -> bool:
    return any(op.name == MARK for op in walk(tuple(ops)))


def unmarked(region: Region) -> Region:
    """The region without marks: what is run."""
    if not has_marks(region.ops):
        return region
    ops = tuple(replace(op, regions=tuple(map(unmarked, op.regions))) if op.regions else op for op in region.ops if op.name != MARK)
    return Region(region.params, ops, region.results)


def marked(function: Function, part_of: Callable[[str], str | None]) -> Function:
    """`function` with marks around the ops of each part, and no others; `part_of` a module's path names the part it belongs to, if any."""
    return replace(function, ops=_marked(unmarked(function.body).ops, part_of))


def _marked(ops: Sequence[Op], part_of: Callable[[str], str | None]) -> tuple[Op, ...]:
    builder = Builder()
    before: str | None = None

    def enter(part: str | None) -> None:
        nonlocal before
        if part != before:
            if before is not None:
                builder.emit(MARK, (), {"begins": False})
            if part is not None:
                builder.emit(MARK, (), {"begins": True})
            before = part

    for op in ops:
        with builder.at(op.location):
            part = part_of(op.location.scope)
            enter(part)
            if op.regions and part is None:
                op = replace(op, regions=tuple(Region(r.params, _marked(r.ops, part_of), r.results) for r in op.regions))
            builder.append(op)
    enter(None)
    return builder.take()
