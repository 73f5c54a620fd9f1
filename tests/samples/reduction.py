"""Sums, extrema, orders and scans: one dimension, several, all; nan, ties, empty and 0-d tensors."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, normal

DIMS: tuple[tuple[int, ...] | None, ...] = (None, (1,), (0, -1))


def by_dims(name: str, op: str, attributes: dict[str, Any]) -> Callable[..., Any]:
    """The torch function, which takes `dim` where the op takes `dims`."""
    def call(x: Any, *rest: Any) -> Any:
        import torch

        function = torch.linalg.vector_norm if op == "norm" else getattr(torch, name)
        others = {{"dims": "dim", "p": "ord"}.get(k, k): v for k, v in attributes.items()}
        if others.get("dim", 0) is None and op in ("any", "all", "prod"):
            return function(x)
        if op == "prod":
            others["dim"] = others["dim"][0]
        return function(x, *rest, **others)
    return call


def samples() -> list[Sample]:
    found: list[Sample] = []

    def add(op: str, operands: tuple[Any, ...], attributes: dict[str, Any], gradient: bool = False) -> None:
        name = {"max_with_index": "max", "min_with_index": "min"}.get(op, op)
        found.append(Sample(op, operands, attributes, by_dims(name, op, attributes), gradient))

    x, small = normal(2, 3, 4), normal(3, 4).astype(np.float32)
    integers = np.array([[3, 1, 2], [0, 5, 5]])
    for op in ("sum", "mean", "amax", "amin", "var", "logsumexp", "norm", "prod"):
        for dims in DIMS:
            if (op == "logsumexp" and dims is None) or (op == "prod" and dims == (0, -1)) or (op in ("amax", "amin") and dims is None):
                continue
            for keepdim in (False, True) if dims else (False,):
                add(op, (x,), {"dims": dims, "keepdim": keepdim} if dims else {"dims": None}, True)
            add(op, (small,), {"dims": dims if dims else None})
    for p in (0.0, 0.5, 1.0, 3.0, np.inf, -np.inf):
        add("norm", (x,), {"p": p, "dims": (1,)}, p != 0)
    add("var", (x,), {"dims": (1,), "correction": 0.0}, True)
    for op in ("sum", "prod", "any", "all"):
        for dims in (None, (0,)):
            add(op, (integers,), {"dims": dims})
            add(op, (integers > 1,), {"dims": dims})
    add("sum", (np.zeros((0, 3)),), {"dims": (0,)})
    add("mean", (np.zeros((0, 3)),), {"dims": (0,)})
    nan = np.array([[1.0, np.nan, 3.0], [2.0, 2.0, 0.0]])
    for op in ("argmax", "argmin", "max_with_index", "min_with_index"):
        for keepdim in (False, True):
            add(op, (x,), {"dim": 1, "keepdim": keepdim}, "with" in op)
        add(op, (nan,), {"dim": 1})
        add(op, (integers,), {"dim": 0})
    add("argmax", (x,), {"dim": None})
    for op in ("cumsum", "cumprod"):
        add(op, (x,), {"dim": 1}, True)
        add(op, (integers,), {"dim": -1})
    for descending in (False, True):
        add("sort", (x,), {"dim": 1, "descending": descending}, True)
        add("sort", (nan,), {"dim": 1, "descending": descending, "stable": True})
        add("topk", (x, 2), {"dim": -1, "largest": descending}, True)
    zeros = np.array([[0.0, 2.0, 3.0], [0.0, -1.0, 0.0]])
    for op in ("cumprod", "prod"):
        add(op, (zeros,), {"dim": 1} if op == "cumprod" else {"dims": (1,)}, True)
    add("count_nonzero", (integers,), {"dims": (0,)})
    return found


SAMPLES = samples()
