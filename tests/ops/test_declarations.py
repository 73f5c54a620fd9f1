"""An op's operands and attributes, read from its code object, are what Python's own tools read from the function."""
from __future__ import annotations

import inspect
import subprocess
import sys
import types
import typing

import pytest

import scriptc.ir.ops  # noqa: F401  (declares the ops)
from scriptc.ir.registry import REGISTRY, op

DECLARED = sorted(REGISTRY.values(), key=lambda d: d.name)


def plain(annotation: object) -> tuple[object, bool]:
    """(annotation without None, whether None was in it)."""
    if isinstance(annotation, types.UnionType):
        return next(a for a in typing.get_args(annotation) if a is not type(None)), True
    return annotation, False


@pytest.mark.parametrize("family", sorted({d.family for d in DECLARED}))
def test_declarations_are_their_signatures(family: str) -> None:
    for definition in (d for d in DECLARED if d.family == family):
        hints = typing.get_type_hints(definition.declaration)
        parameters = [p for p in inspect.signature(definition.declaration).parameters.values()
                      if not (p.name == "regions" and definition.takes_regions)]
        keywords = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        assert [(s.name, (s.annotation, s.optional), s.default) for s in definition.attributes.values()] == \
            [(p.name, plain(hints[p.name]), p.default) for p in keywords]
        assert [(o.name, (o.annotation, o.optional), o.variadic) for o in definition.operands] == \
            [(p.name, plain(hints[p.name]), p.kind is inspect.Parameter.VAR_POSITIONAL) for p in parameters if p not in keywords]


def test_an_annotation_that_is_no_type_is_refused_at_the_declaration() -> None:
    def odd(x: Unknown) -> Unknown:  # type: ignore[name-defined]  # noqa: F821
        """An op that will not be."""

    with pytest.raises(TypeError, match="Unknown is neither a type"):
        op(odd)
    assert "odd" not in REGISTRY


RELOADED = """
import importlib
import scriptc.ir.ops
from scriptc.interp.ops import FAMILIES
from scriptc.interp.registry import REFERENCES, WITHOUT
from scriptc.ir.registry import REGISTRY

for family in FAMILIES:
    importlib.import_module(f"scriptc.interp.ops.{family}")
families = {name: REGISTRY[name].family for name in dict.keys(REFERENCES)}
assert len(families) > 250 and not set(families.values()) & WITHOUT
for family in FAMILIES:
    dict.clear(REFERENCES)
    importlib.reload(importlib.import_module(f"scriptc.interp.ops.{family}"))
    assert {families[name] for name in dict.keys(REFERENCES)} == {family}, family
"""


def test_references_stand_in_the_file_of_their_family() -> None:
    subprocess.run([sys.executable, "-c", RELOADED], check=True)     # reloaded classes are others: not in this process
