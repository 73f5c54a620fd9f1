"""The op families; importing this package declares every op.

In: nothing. Out: `scriptc.ir.registry.REGISTRY`, filled. The same family names stand in `interp/ops` and in the runtime.
"""
from scriptc.ir.ops import (
    activation,
    attention,
    container,
    control,
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
    "activation", "attention", "container", "control", "convolution", "creation", "decompositions", "elementwise", "indexing", "linalg",
    "loss", "mapping", "normalization", "pooling", "random", "recurrent", "reduction", "scalar", "search", "shape", "special", "statistics", "text",
    "views", "vision",
]
