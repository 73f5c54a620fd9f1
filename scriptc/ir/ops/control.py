"""Structured control flow and effects: `if`, `loop`, `check`, `print`."""
from __future__ import annotations

from scriptc.ir.graph import Region
from scriptc.ir.ops.scalar import plain_pattern
from scriptc.ir.registry import AnyValue, Bool, Int, OpError, op
from scriptc.ir.types import BOOL, Type, join


@op(control=True)
def if_(condition: Bool, *, regions: tuple[Region, ...]) -> tuple[Type, ...]:
    """Run the first region if `condition` holds, else the second; results are the results of the region that ran.

    Both regions have no parameters and as many results; a result's type is the join of the two.
    """
    if len(regions) != 2 or any(r.params for r in regions) or len(regions[0].results) != len(regions[1].results):
        raise OpError("E0420", message="if needs two regions without parameters and with equally many results")
    return tuple(_joined(a.type, b.type) for a, b in zip(regions[0].results, regions[1].results, strict=True))


@op(control=True)
def loop(trip_count: Int, condition: Bool, *carried: AnyValue, regions: tuple[Region, ...]) -> tuple[Type, ...]:
    """Repeat the region while fewer than `trip_count` iterations have run and the condition holds.

    Region parameters: the iteration number (int, from 0), then the carried values. Region results: the condition for the
    next iteration (bool), then the carried values. Results of the loop: the last carried values (ONNX Loop's form;
    a `while` loop has trip_count 2**63 - 1).
    """
    (body,) = regions if len(regions) == 1 else (None,)
    if body is None or len(body.params) != len(carried) + 1 or len(body.results) != len(carried) + 1:
        raise OpError("E0420", message="loop needs one region over the iteration number and the carried values")
    if body.results[0].type != BOOL:
        raise OpError("E0420", message="the first result of a loop's region must be a bool")
    for before, inside, after in zip(carried, body.params[1:], body.results[1:], strict=True):
        if join(inside.type, before) != inside.type or join(inside.type, after.type) != inside.type:  # type: ignore[arg-type]
            raise OpError("E0420", message=f"a loop value of type {inside.type} begins as {before} and goes on as {after.type}")
    return tuple(p.type for p in body.params[1:])


def _joined(a: Type, b: Type) -> Type:
    kind = join(a, b)
    if kind is None:
        raise OpError("E0420", message=f"the branches give {a} and {b}, which have no common type")
    return kind


@op(effects=True, no_gradient="it has no result")
def check(condition: Bool, *values: AnyValue, exception: str, message: str) -> None:
    """Raise `exception` (a builtin class name, or `Name(Builtin)` for a class of the program's own) with `message` unless `condition` holds.

    `message` is a `str.format` pattern over `values`, filled only on failure.
    """
    plain_pattern(message, len(values))


@op(effects=True, no_gradient="it has no result")
def print_(*values: AnyValue, pattern: str) -> None:
    """Write `pattern.format(*values)` to standard output."""
    plain_pattern(pattern, len(values))


@op(effects=True, no_gradient="it has no result")
def checkpoint(*, begins: bool) -> None:
    """What stands between a mark that begins and the next that does not is computed again for the backward, which keeps none of it.

    That is gradient checkpointing (Chen et al. 2016). Marks inside others count for nothing.
    """


@op(no_gradient="it is never read")
def undefined(*, type: str) -> Type:
    """A placeholder of the given type (in text form) for a variable that this path leaves unassigned; never read."""
    from scriptc.ir.type_text import parse_type

    try:
        return parse_type(type)
    except ValueError as error:
        raise OpError("E0420", message=str(error)) from None
