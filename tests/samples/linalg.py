"""Products of every rank, broadcast batches, empty and integer matrices, equations with ellipses and sums; distances."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, functional, normal


def by_name(name: str, *before: Any, **attributes: Any) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        import torch

        return getattr(torch, name)(*before, *operands, **attributes)
    return call


EQUATIONS: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("ij,jk->ik", ((2, 3), (3, 4))), ("bij,bjk->bik", ((2, 3, 4), (2, 4, 2))), ("ij,jk", ((2, 3), (3, 4))), ("i,j->ij", ((2,), (3,))),
    ("i,i->", ((3,), (3,))), ("...ij,...jk->...ik", ((2, 1, 2, 3), (5, 3, 4))), ("ij->ji", ((2, 3),)), ("ij->i", ((2, 3),)),
    ("ijk->j", ((2, 3, 4),)), ("...i->...", ((2, 3, 4),)), ("b h i d , b h j d -> b h i j", ((2, 1, 3, 4), (2, 1, 5, 4))),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))), ("ij,k->i", ((2, 3), (4,))), ("a...b,b->...a", ((2, 5, 3), (3,))),
)


def samples() -> list[Sample]:
    found: list[Sample] = []

    def add(*parts: Any, **more: Any) -> None:
        found.append(Sample(*parts, **more))

    for a, b in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)),
                 ((3,), (5, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3))):
        add("matmul", (normal(*a), normal(*b)), {}, by_name("matmul"), True)
    add("matmul", (np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2)), {}, by_name("matmul"))
    for dtype in ("float32", "float16", "bfloat16"):
        add("matmul", (normal(4, 3, dtype=dtype), normal(3, 2, dtype=dtype)), {}, by_name("matmul"))
    for shape in ((2, 3), (3,), (2, 5, 3), (0, 3)):
        add("linear", (normal(*shape), normal(4, 3), normal(4)), {}, functional("linear"), True)
        add("linear", (normal(*shape), normal(4, 3), None), {}, functional("linear"), True)
    add("linear", (normal(2, 3), normal(3), None), {}, functional("linear"), True)
    for equation, shapes in EQUATIONS:
        add("einsum", tuple(normal(*s) for s in shapes), {"equation": equation}, by_name("einsum", equation), True)
    for equation in ("ii->i", "ii"):
        add("einsum", (normal(3, 3),), {"equation": equation}, by_name("einsum", equation))
    for p in (0.5, 1.0, 2.0, 3.0, float("inf")):
        add("cdist", (normal(2, 3, 4), normal(5, 4)), {"p": p}, by_name("cdist", p=p), True)
    add("cdist", (normal(2, 3), np.concatenate([normal(2, 3)[:1], normal(1, 3)])), {}, by_name("cdist"), True, differences=False)
    return found


SAMPLES = samples()
