"""Positions given by tensors: repeated, negative, none at all, masks; half precision; infinite neighbours."""
from __future__ import annotations

from typing import Any

import numpy as np

from tests.samples import Sample, functional, normal


def indexed(x: Any, *indices: Any) -> Any:
    return x[tuple(slice(None) if i is None else i for i in indices)]


def put(accumulate: bool) -> Any:
    def call(x: Any, value: Any, *indices: Any) -> Any:
        result = x.clone()
        if accumulate:
            import torch

            places = torch.arange(x.numel()).reshape(x.shape)
            chosen = indexed(places, *indices)
            return result.reshape(-1).index_add(0, chosen.reshape(-1), value.expand(chosen.shape).reshape(-1)).reshape(x.shape)
        result[tuple(slice(None) if i is None else i for i in indices)] = value
        return result
    return call


def samples() -> list[Sample]:
    x, table = normal(2, 3, 4), normal(5, 3)
    found: list[Sample] = []

    def add(*parts: Any, **more: Any) -> None:
        found.append(Sample(*parts, **more))

    index = np.array([[[0, 2, 1, 1]], [[2, 2, 0, 1]]])
    add("gather", (x, index), {"dim": 1}, lambda x, i: x.gather(1, i), True)
    add("gather", (x, index[:, :, :2] % 2), {"dim": 0}, lambda x, i: x.gather(0, i), True)
    add("gather", (np.array(3.0), np.array(0)), {"dim": 0}, lambda x, i: x.gather(0, i))
    add("gather", (np.where(x > 1, -np.inf, x), index), {"dim": 1}, lambda x, i: x.gather(1, i), True, differences=False)
    unique = np.array([[[0, 2, 1, 0]], [[2, 1, 0, 1]]])
    for reduce in ("none", "add"):
        name = "scatter" if reduce == "none" else "scatter_add"
        add("scatter", (x, unique, normal(2, 1, 4)), {"dim": 1, "reduce": reduce},
                            lambda x, i, s, name=name: getattr(x, name)(1, i, s), True)
    add("scatter", (x, unique, 2.5), {"dim": 1}, lambda x, i, s: x.scatter(1, i, s), True)
    for reduce, torch_name in (("multiply", "prod"), ("amax", "amax"), ("amin", "amin"), ("add", "sum")):
        add("scatter", (x, index, normal(2, 2, 4)), {"dim": 1, "reduce": reduce},
                            lambda x, i, s, r=torch_name: x.scatter_reduce(1, i, s, r), reduce in ("amax", "amin"))
    rows = np.array([2, 0, 2])
    add("index_select", (x, rows), {"dim": 1}, lambda x, i: x.index_select(1, i), True)
    add("index_select", (x, np.zeros(0, np.int64)), {"dim": -1}, lambda x, i: x.index_select(-1, i), True)
    add("index_add", (x, rows, normal(2, 3, 4)), {"dim": 1, "alpha": 0.5}, lambda x, i, s: x.index_add(1, i, s, alpha=0.5), True)
    grid = np.array([[0, -1], [1, 0]])
    masks = np.array([[True, False, True], [False, False, True]])
    cases: list[tuple[np.ndarray | None, ...]] = [
        (grid,), (None, grid), (grid, None, grid), (np.array([0, 1]), np.array([[2], [-1]])), (None, np.array([0, 1]), np.array([3, 3])),
        (masks,), (None, np.array([True, False, True])), (masks, np.array([3, 0, -4])), (np.array(1),), (np.zeros(0, np.int64),)]
    for case in cases:
        add("index", (x, *case), {}, indexed, True)
        shape = x[tuple(slice(None) if i is None else i for i in case)].shape
        add("index_put", (x, normal(*shape), *case), {"accumulate": True}, put(True), True)
    for case in ((np.array([1, 0]),), (None, np.array([2, 0])), (masks,)):
        shape = x[tuple(slice(None) if i is None else i for i in case)].shape
        add("index_put", (x, normal(*shape), *case), {}, put(False), True)
        add("index_put", (x, np.array(1.5), *case), {}, put(False), True)
    for mask in (x > 0, np.array([True, False, True, True]), np.zeros((3, 4), bool)):
        add("masked_select", (x, mask), {}, lambda x, m: x.masked_select(m), True)
    add("masked_select", (normal(4), x > 0), {}, lambda x, m: x.masked_select(m), True)
    for value in (x > 0, np.array([[0, 3], [2, 0]]), np.array(1.0), np.zeros((0, 2))):
        add("nonzero", (value,), {}, lambda x: x.nonzero())
    tokens = np.array([[1, 4, 1], [0, 2, 4]])
    for padding in (None, 1, -1):
        add("embedding", (table, tokens), {"padding_idx": padding},
                            lambda w, i, p=padding: functional("embedding", padding_idx=p)(i, w), True, differences=padding is None)
    add("embedding", (table.astype(np.float32), np.zeros((0, 2), np.int32)), {}, lambda w, i: functional("embedding")(i, w))
    add("take", (x, np.array([[0, 23], [-1, 5]])), {}, lambda x, i: x.take(i), True)
    edges = np.array([1.0, 2.0, 2.0, 5.0])
    for right in (False, True):
        add("searchsorted", (edges, np.array([[0.0, 2.0], [5.0, np.inf]])), {"right": right},
                            lambda e, v, right=right: __import__("torch").searchsorted(e, v, right=right))
        add("searchsorted", (np.stack([edges, edges + 1]), np.array([[2.0], [2.0]])), {"right": right},
                            lambda e, v, right=right: __import__("torch").searchsorted(e, v, right=right))
    add("bincount", (np.array([1, 3, 1]),), {"minlength": 6}, lambda x: x.bincount(minlength=6))
    add("bincount", (np.zeros(0, np.int64),), {}, lambda x: x.bincount())
    return found


SAMPLES = samples()
