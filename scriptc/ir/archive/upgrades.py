"""Bringing ops of older archives up to date, before anything looks at them.

An op's meaning never changes inside a version. A change of meaning is a new version (`@op(version=2)`) and one entry
here from the old one: a pure function over the plain form. Chains run one step at a time; every step keeps a stored
archive in the tests that proves it.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping

import scriptc.ir.ops  # noqa: F401  (declares every op)
from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.format import reject, shown
from scriptc.ir.registry import REGISTRY, OpDef
from scriptc.records import Record


class PlainOp(Record):
    """An op as the archive holds it: operands are value numbers or `[constant]`, attributes plain values."""

    name: str
    version: int
    operands: list[Plain]
    attributes: dict[str, Plain]


Upgrade = Callable[[PlainOp], PlainOp]

UPGRADES: Mapping[tuple[str, int], Upgrade] = {}
_MOST_STEPS = 100


def upgrade(op: PlainOp, upgrades: Mapping[tuple[str, int], Upgrade] | None = None,
            registry: Mapping[str, OpDef] | None = None) -> PlainOp:
    """`op` in the version this release knows. ArchiveError if the op is unknown, too new, or has no way up."""
    upgrades = UPGRADES if upgrades is None else upgrades
    registry = REGISTRY if registry is None else registry
    first = op
    for _ in range(_MOST_STEPS):
        known = registry.get(op.name)
        if known is not None and known.version == op.version:
            return op
        step = upgrades.get((op.name, op.version))
        if step is None:
            break
        op = step(op)
    known = registry.get(op.name)
    if known is None:
        reject("A0131", name=shown(op.name))
    if op.version > known.version:
        reject("A0132", name=op.name, found=op.version, known=known.version)
    reject("A0133", name=first.name, found=first.version, known=known.version)
