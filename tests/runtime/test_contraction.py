"""einsum of two tensors as products of matrices, against numpy's, wherever the operands lie."""
from __future__ import annotations

import numpy as np
import pytest
from scriptc_runtime.cpu.contraction import contraction

from tests.runtime.native_ops import assert_agrees, randoms

SIZES = {"a": 3, "b": 2, "c": 5, "i": 17, "j": 33, "k": 20, "d": 4}
EQUATIONS = ["ik,kj->ij", "ik,kj->ji", "ki,jk->ij", "bik,bkj->bij", "bick,bjck->bcij", "bcij,bjcd->bicd", "abik,bkj->abij",
             "bid,dk->bik", "i,j->ij", "i,j->ji", "bik,bik->bi", "bi,bi->b", "i,i->", "ick,kcj->ij", "ick,jkc->ij", "bi,bj->ijb", "ki,k->i",
             "k,jk->j", "abc,cd->adb", "ab,cd->acbd", "aic,bjc->abij", "ai,bi->iab"]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_as_products(equation: str) -> None:
    first, second = equation.split("->")[0].split(",")
    shapes = [tuple(SIZES[letter] for letter in part) for part in (first, second)]
    assert contraction(equation, [len(shape) for shape in shapes]) is not None
    a, b = randoms(*shapes[0]), randoms(*shapes[1])
    assert_agrees("einsum", [a, b], equation=equation)
    assert_agrees("einsum", [randoms(*shapes[0][::-1]).transpose(), b], equation=equation)
    assert_agrees("einsum", [a, np.repeat(b, 2, -1)[..., ::2]], equation=equation)


@pytest.mark.parametrize("equation", ["ii,ij->ij", "ij,kj->k", "...ik,kj->...ij", "ij->ji", "ij,jk,kl->il"])
def test_what_is_no_product_of_matrices(equation: str) -> None:
    assert contraction(equation, [len(part.replace("...", "")) for part in equation.split("->")[0].split(",")]) is None
