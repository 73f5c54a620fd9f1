"""Dicts whose keys are only known at run time: the rules' types, Python's meaning, and what is refused."""
from __future__ import annotations

import pytest

from scriptc.interp.registry import REFERENCES
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import FLOAT, INT, STR, DictType, IntType, ListType, TensorType, float32

COUNTS = DictType(STR, INT)


def test_a_write_joins_the_types_of_keys_and_values() -> None:
    b = Builder()
    made = b.emit_one("dict_set", [Value(COUNTS), "k", 3])
    assert made.type == COUNTS
    empty = b.emit_one("dict_new", [b.emit_one("list_new", (), {"element": "None"}), b.emit_one("list_new", (), {"element": "None"})])
    assert b.emit_one("dict_set", [empty, 3, 1.5]).type == DictType(INT, FLOAT)


def test_what_a_dict_gives_has_its_types() -> None:
    b, items = Builder(), Value(COUNTS)
    assert b.emit_one("dict_keys", [items]).type == ListType(STR)
    assert b.emit_one("dict_values", [items]).type == ListType(INT)
    assert isinstance(b.emit_one("dict_get", [items, "a"]).type, IntType)
    assert [v.type for v in b.emit("dict_pop", [items, "a"])] == [COUNTS, INT]


@pytest.mark.parametrize("operands", [("dict_set", COUNTS, INT, INT), ("dict_set", COUNTS, STR, STR), ("dict_get", COUNTS, INT),
                                      ("dict_set", COUNTS, TensorType(float32, (2,)), INT)])
def test_keys_and_values_of_another_kind_are_refused(operands: tuple[str, *tuple[object, ...]]) -> None:
    name, *kinds = operands
    with pytest.raises(OpError):
        REGISTRY[name].infer(kinds, {})


def test_the_reference_is_pythons_dict() -> None:
    new, put, get, pop = (REFERENCES[f"dict_{n}"] for n in ("new", "set", "get", "pop"))
    items = new(["a", "b", "a"], [1, 2, 3])
    assert list(items.items()) == [("a", 3), ("b", 2)]
    assert list(put(items, "a", 7).items()) == [("a", 7), ("b", 2)] and items["a"] == 3
    assert pop(items, "a") == ({"b": 2}, 3)
    with pytest.raises(KeyError, match="z"):
        get(items, "z")
