"""Ops of older archives are brought up to date one version at a time, or refused by name."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive import upgrades
from scriptc.ir.archive.encode import load_program
from scriptc.ir.archive.upgrades import PlainOp, upgrade
from scriptc.ir.registry import REGISTRY
from scriptc.records import replace

KNOWN: Mapping[str, Any] = {"scale": SimpleNamespace(version=3), "add": SimpleNamespace(version=1)}


def rename_factor(op: PlainOp) -> PlainOp:
    return replace(op, version=2, attributes={"factor": op.attributes["by"]})


def factor_to_operand(op: PlainOp) -> PlainOp:
    return replace(op, version=3, operands=[*op.operands, [op.attributes["factor"]]], attributes={})


STEPS = {("scale", 1): rename_factor, ("scale", 2): factor_to_operand,
         ("plus", 1): lambda op: replace(op, name="add")}


@pytest.mark.parametrize(("old", "new"), [
    (PlainOp("scale", 3, [0, [2.0]], {}), PlainOp("scale", 3, [0, [2.0]], {})),
    (PlainOp("scale", 2, [0], {"factor": 2.0}), PlainOp("scale", 3, [0, [2.0]], {})),
    (PlainOp("scale", 1, [0], {"by": 2.0}), PlainOp("scale", 3, [0, [2.0]], {})),
    (PlainOp("plus", 1, [0, 1], {}), PlainOp("add", 1, [0, 1], {})),
], ids=["current", "one step", "two steps", "renamed"])
def test_an_op_is_brought_to_the_current_version(old: PlainOp, new: PlainOp) -> None:
    assert upgrade(old, STEPS, KNOWN) == new


@pytest.mark.parametrize(("name", "version", "code"), [
    ("scale", 4, "A0132"), ("scale", 0, "A0133"), ("scale", -1, "A0133"), ("add", 2, "A0132"), ("nothing", 1, "A0131"),
])
def test_what_cannot_be_brought_there_is_refused(name: str, version: int, code: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        upgrade(PlainOp(name, version, [], {}), STEPS, KNOWN)
    assert caught.value.code == code


def test_a_ring_of_upgrades_ends() -> None:
    steps = {("a", 1): lambda op: replace(op, name="b"), ("b", 1): lambda op: replace(op, name="a")}
    with pytest.raises(ArchiveError):
        upgrade(PlainOp("a", 1, [], {}), steps, KNOWN)


def test_loading_upgrades_before_it_verifies(tampered: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrades, "UPGRADES", {("rectify", 4): lambda op: replace(op, name="relu", version=1)})
    data = tampered(lambda s: s["ir"]["ops"].__setitem__(0, ["rectify", 4]))
    program, archive = load_program(data)
    archive.close()
    assert (program.functions["forward"].ops[0].name, program.functions["forward"].ops[0].version) == ("relu", 1)


def test_every_upgrade_starts_from_an_older_version() -> None:
    assert all(REGISTRY[name].version > version for name, version in upgrades.UPGRADES if name in REGISTRY)
