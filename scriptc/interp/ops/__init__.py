"""The numpy meaning of every op, one file a family; importing this package registers them all.

In: arrays, scalars and attributes. Out: arrays of exactly the dtype the op's type rule gives.
"""
from scriptc.interp.ops import (
    activation,
    attention,
    container,
    convolution,
    creation,
    decompositions,
    elementwise,
    indexing,
    linalg,
    loss,
    mapping,
    normalization,
    pooling,
    random,
    recurrent,
    reduction,
    scalar,
    search,
    shape,
    special,
    statistics,
    text,
    views,
    vision,
)

__all__ = [
    "activation", "attention", "container", "convolution", "creation", "decompositions", "elementwise", "indexing", "linalg", "loss",
    "mapping", "normalization", "pooling", "random", "recurrent", "reduction", "scalar", "search", "shape", "special", "statistics", "text",
    "views", "vision",
]
