"""Operands and attributes that the ops on shapes, positions and products refuse, and what the references raise."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import literal
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import TensorType, Type, bool_, float32, float64, int64


def f(*shape: int) -> TensorType:
    return TensorType(float32, shape)


def i(*shape: int) -> TensorType:
    return TensorType(int64, shape)


X, DOUBLE = f(2, 3, 4), TensorType(float64, (2, 3, 4))
CASES: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("reshape", [X, -1, -1], {}, "E0450"),
    ("reshape", [X, 5, -1], {}, "E0451"),
    ("reshape", [X, 0, -1], {}, "E0451"),
    ("reshape", [X, 24, -2], {}, "E0451"),
    ("reshape", [X, 5], {}, "E0451"),
    ("reshape_as", [X, f(5)], {}, "E0417"),
    ("permute", [X], {"dims": (0, 1)}, "E0452"),
    ("permute", [X], {"dims": (0, 1, -2)}, "E0412"),
    ("permute", [X], {"dims": (0, 1, 3)}, "E0411"),
    ("expand", [X, 3, 4], {}, "E0453"),
    ("expand", [X, 2, 5, 4], {}, "E0453"),
    ("expand_as", [X, f(2, 5, 4)], {}, "E0410"),
    ("squeeze", [X], {"dims": (3,)}, "E0411"),
    ("unsqueeze", [X], {"dim": 4}, "E0411"),
    ("slice", [X, 0, 1, 0], {"dim": 0}, "E0418"),
    ("slice", [f(), 0, 1, 1], {"dim": 0}, "E0411"),
    ("select", [X, 2], {"dim": 0}, "E0455"),
    ("select", [X, 0], {"dim": 3}, "E0411"),
    ("cat", [], {"dim": 0}, "E0406"),
    ("cat", [X, f(2, 4, 4)], {"dim": 0}, "E0456"),
    ("cat", [X, f(2, 3)], {"dim": 0}, "E0456"),
    ("cat", [X, DOUBLE], {"dim": 0}, "E0416"),
    ("stack", [X, f(2, 3, 5)], {"dim": 0}, "E0456"),
    ("stack", [X, X], {"dim": 4}, "E0411"),
    ("pad", [X, 0.0, 1, 1], {"mode": "mirror"}, "E0457"),
    ("pad", [X, 0.0, 1], {}, "E0458"),
    ("pad", [X, 0.0, *(1,) * 8], {}, "E0458"),
    ("pad", [X, 0.0, -3, -2], {}, "E0459"),
    ("pad", [X, 0.0, 4, 0], {"mode": "reflect"}, "E0460"),
    ("pad", [X, 0.0, 5, 0], {"mode": "circular"}, "E0460"),
    ("roll", [X, 1, 2], {"dims": (0,)}, "E0420"),
    ("repeat", [X, 2, 2], {}, "E0420"),
    ("repeat", [X, 1, -1, 1], {}, "E0418"),
    ("repeat_interleave", [X, -1], {"dim": 0}, "E0418"),
    ("diagonal", [X], {"dim1": 0, "dim2": -3}, "E0412"),
    ("diagonal", [f(3)], {"dim1": 0, "dim2": 1}, "E0411"),
    ("unfold", [X], {"dim": 0, "size": 3, "step": 1}, "E0420"),
    ("unfold", [X], {"dim": 0, "size": 1, "step": 0}, "E0418"),
    ("slice_scatter", [X, f(2, 3, 4), 0, 1, 1], {"dim": 0}, "E0417"),
    ("select_scatter", [X, f(2, 3, 4), 0], {"dim": 0}, "E0415"),
    ("diagonal_scatter", [X, f(4, 3)], {}, "E0410"),
    ("select_scatter", [X, TensorType(float64, (3, 4)), 0], {"dim": 0}, "E0416"),
    ("pixel_shuffle", [f(1, 6, 2, 2)], {"factor": 2}, "E0420"),
    ("pixel_unshuffle", [f(1, 6, 3, 2)], {"factor": 2}, "E0420"),
    ("pixel_shuffle", [f(4, 2)], {"factor": 2}, "E0415"),
    ("size", [f()], {"dim": 0}, "E0411"),
    ("item", [X], {}, "E0461"),
    ("gather", [X, f(2, 3, 4)], {"dim": 0}, "E0414"),
    ("gather", [X, i(2, 3)], {"dim": 0}, "E0415"),
    ("gather", [X, i(9, 4, 4)], {"dim": 0}, "E0417"),
    ("scatter", [X, i(2, 3, 4), f(2, 3, 3)], {"dim": 0}, "E0417"),
    ("scatter", [X, i(2, 3, 4), 1.0], {"dim": 0, "reduce": "mean"}, "E0420"),
    ("index_select", [X, i(2, 2)], {"dim": 0}, "E0415"),
    ("index_add", [X, i(2), f(3, 3, 4)], {"dim": 0}, "E0417"),
    ("index", [X, i(1), i(1), i(1), i(1)], {}, "E0462"),
    ("index", [X, i(2), i(3)], {}, "E0410"),
    ("index", [X, f(2)], {}, "E0414"),
    ("index_put", [X, TensorType(float64, ()), i(1)], {}, "E0416"),
    ("masked_select", [X, i(2, 3, 4)], {}, "E0408"),
    ("masked_select", [X, TensorType(bool_, (5,))], {}, "E0410"),
    ("embedding", [X, i(2)], {}, "E0415"),
    ("embedding", [f(5, 2), f(2)], {}, "E0414"),
    ("bincount", [i(2, 2)], {}, "E0415"),
    ("matmul", [f(), X], {}, "E0463"),
    ("matmul", [X, X], {}, "E0464"),
    ("matmul", [f(2, 3, 4), f(3, 4, 5)], {}, "E0410"),
    ("linear", [X, f(5, 3), None], {}, "E0465"),
    ("linear", [X, f(5, 4), f(4)], {}, "E0417"),
    ("einsum", [X], {"equation": "ij,jk"}, "E0466"),
    ("einsum", [X], {"equation": "ijk->l"}, "E0466"),
    ("einsum", [X], {"equation": "i+j"}, "E0466"),
    ("einsum", [X], {"equation": "ij"}, "E0467"),
    ("einsum", [f(2, 3), f(4, 2)], {"equation": "ij,jk"}, "E0417"),
    ("cdist", [X, f(3, 5)], {}, "E0417"),
]


@pytest.mark.parametrize(("op", "operands", "attributes", "code"), CASES, ids=str)
def test_what_does_not_fit_is_refused_with_its_code(op: str, operands: list[Any], attributes: dict[str, Any], code: str) -> None:
    kinds: list[Type] = [o if isinstance(o, TensorType) else literal(o).type for o in operands]
    with pytest.raises(OpError) as caught:
        REGISTRY[op].infer(kinds, REGISTRY[op].check_attributes(attributes))
    assert caught.value.code == code


x = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(("op", "operands", "attributes", "error", "message"), [
    ("reshape", (x, 5, -1), {}, RuntimeError, r"shape '\[5, -1\]' is invalid for input of size 24"),
    ("expand", (x, 3, 3, 4), {}, RuntimeError, "must match the existing size"),
    ("select", (x, 2), {"dim": 0}, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    ("select_scatter", (x, x[0], -3), {"dim": 0}, IndexError, "index -3 is out of bounds"),
    ("slice_scatter", (x, x, 0, 1, 1), {"dim": 0}, RuntimeError, "equal to the slice of self"),
    ("cat", (x, x[:, :1]), {"dim": 0}, RuntimeError, "Sizes of tensors must match except in dimension 0"),
    ("unfold", (x,), {"dim": 0, "size": 3, "step": 1}, RuntimeError, "maximum size for tensor at dimension 0 is 2 but size is 3"),
    ("item", (x,), {}, RuntimeError, "a Tensor with 24 elements cannot be converted to Scalar"),
    ("gather", (x, np.full((2, 3, 4), 2)), {"dim": 0}, IndexError, "index 2 is out of bounds"),
    ("gather", (x, np.full((2, 3, 4), -1)), {"dim": 0}, IndexError, "index -1 is out of bounds"),
    ("scatter", (x, np.full((2, 3, 4), 3), 1.0), {"dim": 1, "reduce": "none"}, IndexError, "index 3 is out of bounds"),
    ("index", (x, np.array([2])), {}, IndexError, "index 2 is out of bounds"),
    ("index", (x, np.array([-3])), {}, IndexError, "index -3 is out of bounds"),
    ("index", (x, np.array([True, False, True])), {}, IndexError, "shape of the mask"),
    ("index_select", (x, np.array([3])), {"dim": 1}, IndexError, "index 3 is out of bounds"),
    ("embedding", (x[0], np.array([3])), {"padding_idx": None}, IndexError, "index out of range in self"),
    ("take", (x, np.array([24])), {}, IndexError, "index 24 is out of bounds"),
    ("bincount", (np.array([-1]),), {"minlength": 0}, RuntimeError, "non-negative"),
    ("matmul", (x[0], x[0]), {}, RuntimeError, "mat1 and mat2 shapes cannot be multiplied"),
])
def test_what_is_wrong_only_with_the_values_raises_what_torch_raises(
        op: str, operands: tuple[Any, ...], attributes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        REFERENCES[op](*operands, **attributes)
