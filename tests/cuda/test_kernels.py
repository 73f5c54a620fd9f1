"""Kernels that no sample of the registry reaches: gradients of pooling and embedding, random numbers, refused indices."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.cuda.agreement import assert_op_agrees


def randoms(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


WINDOW = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
STATE = np.array([7, 5], np.uint64)
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("max_pool_gradient", [randoms(2, 2, 4, 4), randoms(2, 2, 7, 5)], {**WINDOW, "dilation": (1, 1), "ceil_mode": False}),
    ("avg_pool_gradient", [randoms(2, 2, 4, 4), randoms(2, 2, 7, 5)],
     {**WINDOW, "ceil_mode": False, "count_include_pad": True, "divisor_override": None}),
    ("avg_pool_gradient", [randoms(2, 2, 4, 4), randoms(2, 2, 7, 5)],
     {**WINDOW, "ceil_mode": False, "count_include_pad": False, "divisor_override": None}),
    ("adaptive_avg_pool_gradient", [randoms(2, 3, 3, 2), randoms(2, 3, 7, 5), 3, 2], {}),
    ("embedding_gradient", [randoms(7, 4), randoms(5, 4), np.array([0, 3, 0, 1, 3, 3, 2])], {"padding_idx": None}),
    ("embedding_gradient", [randoms(7, 4), randoms(5, 4), np.array([0, 3, 0, 1, 3, 3, 2])], {"padding_idx": 3}),
    ("embedding", [randoms(5, 4), np.array([[0, 4], [5, 1]])], {"padding_idx": None}),
    ("index_select", [randoms(3, 5), np.array([0, -1])], {"dim": 1}),
    ("gather", [randoms(3, 5), np.array([[0, 9]])], {"dim": 1}),
    ("dropout", [randoms(3, 5), STATE], {"p": 0.4, "feature": 0}),
    ("dropout", [randoms(2, 3, 4), STATE], {"p": 0.4, "feature": 1}),
    ("dropout_mask", [randoms(3, 5), STATE], {"p": 0.4, "feature": 0}),
    ("bernoulli", [np.full((3, 7), 0.3, np.float32), STATE], {}),
    ("cross_entropy", [randoms(5, 4), np.array([0, 3, 1, -100, 2]), randoms(4) ** 2],
     {"ignore_index": -100, "label_smoothing": 0.1, "reduction": "mean"}),
    ("cross_entropy_gradient", [np.array(1.5, np.float32), randoms(5, 4), np.array([0, 3, 1, -100, 2]), None],
     {"ignore_index": -100, "label_smoothing": 0.1, "reduction": "mean"}),
    ("cross_entropy_gradient", [randoms(2, 3), randoms(2, 4, 3), np.array([[0, 3, 1], [1, 1, 2]]), randoms(4) ** 2],
     {"ignore_index": 1, "label_smoothing": 0.0, "reduction": "none"}),
    ("nll_loss_gradient", [np.array(2.0, np.float32), randoms(5, 4), np.array([0, 3, 1, 1, 2]), None], {"ignore_index": 1, "reduction": "mean"}),
    ("rnn", [randoms(1, 1, 3), randoms(1, 1, 2), randoms(2, 3), randoms(2, 2)], {"num_layers": 1, "bias": False}),     # by the products' kernels
    ("tril", [randoms(4, 5), 1], {}),
    ("triu", [randoms(2, 3, 4), -1], {}),
    ("sum", [randoms(2, 70)], {"dims": (1,), "keepdim": False}),
    ("amax", [randoms(130)], {"dims": None, "keepdim": False}),
    ("sum", [randoms(3, 40, 5)], {"dims": (1,), "keepdim": True}),
]


@pytest.mark.parametrize(("name", "operands", "attributes"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_the_device_gives_what_the_reference_gives(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    assert_op_agrees(name, operands, attributes)
