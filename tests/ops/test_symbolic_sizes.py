"""What the rules of shape and views prove about sizes with names, and what they must leave open."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptc.ir.dims import Dim, evaluate, parse_dim
from scriptc.ir.graph import literal
from scriptc.ir.ops.views import FAR, never_negative, sliced
from scriptc.ir.registry import REGISTRY
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import IntType, Type


def kind(text: object) -> Type:
    """A tensor type from its sizes, an int type from its size expression, a literal's from the literal."""
    if not isinstance(text, str):
        return literal(text).type  # type: ignore[arg-type]
    return parse_type(f"float32{text}") if text.startswith("[") else IntType(parse_dim(text))


RULES: list[tuple[str, tuple[object, ...], dict[str, Any], str]] = [
    ("reshape", ("[N, 64, 7, 7]", "N", -1), {}, "[N, 3136]"),
    ("reshape", ("[N, C*4]", "N", -1), {}, "[N, 4*C]"),
    ("reshape", ("[N, C, 4]", "N", "C*4"), {}, "[N, 4*C]"),
    ("reshape", ("[N, C*4]", -1, "C", 2), {}, "[2*N, C, 2]"),
    ("reshape", ("[N, T, 12]", "N", "T", 3, -1), {}, "[N, T, 3, 4]"),
    ("reshape", ("[N, H, W, 8]", -1, "H*W", 8), {}, "[N, H*W, 8]"),
    ("reshape", ("[N, 12]", -1, 4), {}, "[3*N, 4]"),
    ("reshape", ("[N, 12]", "?", 4), {}, "[3*N, 4]"),
    ("reshape", ("[N]", -1, 4), {}, "[(N)//(4), 4]"),
    ("reshape", ("[?, 3]", -1), {}, "[?]"),
    ("reshape", ("[...]", 2, -1), {}, "[2, ?]"),
    ("permute", ("[N, C, 3]",), {"dims": (2, 0, 1)}, "[3, N, C]"),
    ("permute", ("[...]",), {"dims": (1, 0)}, "[?, ?]"),
    ("expand", ("[N, 1]", -1, "M"), {}, "[N, M]"),
    ("expand", ("[3, 1]", "?", "?"), {}, "[3, ?]"),
    ("expand", ("[N, 1]", "?", 4), {}, "[?, 4]"),
    ("squeeze", ("[1, N, 1]",), {"dims": (0, 2)}, "[N]"),
    ("squeeze", ("[1, N]",), {"dims": (1,)}, "[...]"),
    ("cat", ("[N, 1, 8]", "[N, L, 8]"), {"dim": 1}, "[N, L+1, 8]"),
    ("cat", ("[?, 4]", "[N, 4]"), {"dim": -1}, "[N, 8]"),
    ("stack", ("[N, ?]", "[N, 3]"), {"dim": 1}, "[N, 2, 3]"),
    ("pad", ("[N, L]", 0.0, 1, 2), {}, "[N, L+3]"),
    ("pad", ("[N, L]", 0.0, "k", "-k"), {}, "[N, L]"),
    ("repeat", ("[N, 3]", 2, "M", 1), {}, "[2, M*N, 3]"),
    ("repeat_interleave", ("[N, 3]", 4), {"dim": 0}, "[4*N, 3]"),
    ("pixel_shuffle", ("[N, C*4, H, W]",), {"factor": 2}, "[N, C, 2*H, 2*W]"),
    ("pixel_unshuffle", ("[N, C, H*2, W*2]",), {"factor": 2}, "[N, 4*C, H, W]"),
    ("slice", ("[N, L+1, 8]", 1, FAR, 1), {"dim": 1}, "[N, L, 8]"),
    ("slice", ("[N, L+1, 8]", 0, 1, 1), {"dim": 1}, "[N, 1, 8]"),
    ("slice", ("[N, 10]", 2, 7, 2), {"dim": 1}, "[N, 3]"),
    ("slice", ("[N, 10]", 0, FAR, 1), {"dim": 0}, "[N, 10]"),
    ("slice", ("[N, 10]", 1, FAR, 1), {"dim": 0}, "[?, 10]"),
    ("slice", ("[3*C]", "C", "2*C", 1), {"dim": 0}, "[C]"),
    ("select", ("[N, L, 3]", "i"), {"dim": 1}, "[N, 3]"),
    ("diagonal", ("[N, 3, N]",), {"dim1": 0, "dim2": 2}, "[3, N]"),
    ("unfold", ("[N, L]",), {"dim": 1, "size": 4, "step": 2}, "[N, (L-4)//(2)+1, 4]"),
    ("matmul", ("[N, H, L, 8]", "[N, H, 8, M]"), {}, "[N, H, L, M]"),
    ("linear", ("[N, L, 8]", "[4, 8]", "[4]"), {}, "[N, L, 4]"),
    ("einsum", ("[N, H, L, 8]", "[N, H, M, 8]"), {"equation": "bhid,bhjd->bhij"}, "[N, H, L, M]"),
    ("embedding", ("[1000, 8]", "i64[N, L]"), {}, "[N, L, 8]"),
    ("gather", ("[N, L]", "i64[N, 3]"), {"dim": 1}, "[N, 3]"),
    ("index", ("[N, L, 8]", None, "i64[M, 2]"), {}, "[N, M, 2, 8]"),
    ("index", ("[N, L, 8]", "i64[M]", None, "i64[M]"), {}, "[M, L]"),
]


def operand(text: object) -> Type:
    return parse_type("int64" + text[3:]) if isinstance(text, str) and text.startswith("i64") else kind(text)


@pytest.mark.parametrize(("op", "operands", "attributes", "expected"), RULES, ids=str)
def test_sizes_are_inferred(op: str, operands: tuple[object, ...], attributes: dict[str, Any], expected: str) -> None:
    definition = REGISTRY[op]
    (found,) = definition.infer([operand(o) for o in operands], definition.check_attributes(attributes))
    assert str(found) == str(kind(expected))


def test_size_and_numel_are_expressions() -> None:
    x = kind("[N, 4, L]")
    assert REGISTRY["size"].infer([x], {"dim": -1}) == (IntType(parse_dim("L")),)
    assert REGISTRY["numel"].infer([x], {}) == (IntType(parse_dim("4*L*N")),)
    assert REGISTRY["size"].infer([kind("[...]")], {"dim": 0}) == (IntType(),)


EXPRESSIONS = st.sampled_from(["N", "N+1", "2*N", "N+M", "N*M", "3*N+2", "N//(2)", "N-1", "5"]).map(parse_dim)
PLACES = st.one_of(st.integers(-6, 6), st.sampled_from([FAR, 2**63 - 1]), EXPRESSIONS)


@given(EXPRESSIONS, PLACES, PLACES, st.integers(1, 3), st.integers(0, 6), st.integers(0, 6))
def test_a_proved_length_is_the_length_of_pythons_slice(size: Dim, start: Dim, stop: Dim, step: int, n: int, m: int) -> None:
    sizes = {"N": n, "M": m}
    length = sliced(size, start, stop, step)
    extent = evaluate(size, sizes)
    if extent is None or extent < 0 or length is None:
        return
    assert evaluate(length, sizes) == len(range(extent)[slice(evaluate(start, sizes), evaluate(stop, sizes), step)])


@given(EXPRESSIONS, EXPRESSIONS, st.integers(0, 9), st.integers(0, 9))
def test_what_is_never_negative_is_not(a: Dim, b: Dim, n: int, m: int) -> None:
    for dim in (a, b):
        value = evaluate(dim, {"N": n, "M": m})
        assert not never_negative(dim) or (value is not None and value >= 0)
