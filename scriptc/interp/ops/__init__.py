"""The numpy meaning of every op, one file a family, under the family's name in `ir/ops`.

In: arrays, scalars and attributes. Out: arrays of exactly the dtype the op's type rule gives. `interp.registry.REFERENCES` imports a
family's file when one of its ops is first looked up.
"""
FAMILIES = (
    "activation", "attention", "container", "convolution", "creation", "decompositions", "elementwise", "indexing", "linalg", "loss",
    "mapping", "normalization", "pooling", "random", "recurrent", "reduction", "scalar", "search", "shape", "special", "statistics", "text",
    "views", "vision",
)
