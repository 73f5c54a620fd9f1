"""The CPU engine: one compiled loop per group of elementwise ops, BLAS for products, numpy for the rest.

In: ops with concrete types, from the planner. Out: kernels over numpy arrays. Importing this package registers its
lowerings; numba is imported only when a loop is compiled, never when one is loaded from the cache.
"""
from scriptc_runtime.cpu import (
    attention,
    blocked,
    contraction,
    convolution,
    elementwise,
    epilogues,
    formulas,
    indexing,
    joining,
    linalg,
    native,
    normalization,
    ordering,
    pooling,
    randomness,
    recurrent,
    reductions,
    resampling,
)
from scriptc_runtime.cpu.driver import linker

__all__ = ["attention", "blocked", "contraction", "convolution", "elementwise", "epilogues", "formulas", "indexing", "joining", "linalg",
           "linker", "native", "normalization", "ordering", "pooling", "randomness", "recurrent", "reductions", "resampling"]
