"""Sizes as polynomials: quotients that are exact are polynomials again."""
from __future__ import annotations

import pytest

from scriptc.ir.dims import dim_text, floor_divide, parse_dim


@pytest.mark.parametrize(("numerator", "denominator", "quotient"), [
    ("N*C", "N", "C"),
    ("6*N*H+6*N", "2*N", "3*H+3"),
    ("32*T+128", "T+4", "32"),
    ("N*N-1", "N+1", "N-1"),
    ("H*N+N*W+H+W", "H+W", "N+1"),
    ("4*(N//2)", "N//2", "4"),
    ("N+2", "N+1", "(N+2)//(N+1)"),
    ("5*N", "2*N", "(5*N)//(2*N)"),
])
def test_a_quotient_is_a_polynomial_where_the_division_leaves_nothing(numerator: str, denominator: str, quotient: str) -> None:
    assert dim_text(floor_divide(parse_dim(numerator), parse_dim(denominator))) == quotient
