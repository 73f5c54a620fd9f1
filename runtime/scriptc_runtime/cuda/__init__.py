"""The CUDA engine: printed kernels for groups of elementwise ops, hand-written ones for the rest, memory from a pool.

In: ops with concrete types, from the planner. Out: kernels over arrays in device memory. Importing this package registers its lowerings;
`numba_cuda` is the only module that imports `numba.cuda`.
"""
from scriptc_runtime.cuda.numba_cuda import require_packages

require_packages()      # the modules below import what it asks for

from scriptc_runtime.cuda import (  # noqa: E402
    assembly,
    attention,
    convolutions,
    einsum,
    elementwise,
    formulas,
    indexing,
    loss_formulas,
    losses,
    on_host,
    plain_products,
    pooling,
    products,
    randomness,
    recurrent,
    reductions,
    resampling,
    rows,
    sampling,
    scans,
    scattering,
    search,
    sorting,
    views,
)
from scriptc_runtime.cuda.engine import device, memory_of  # noqa: E402
from scriptc_runtime.cuda.graphs import LINKER  # noqa: E402
from scriptc_runtime.plan.lowering import MEMORIES, links  # noqa: E402

MEMORIES["cuda"] = memory_of(device)
links("cuda", LINKER)

__all__ = [
    "assembly", "attention", "convolutions", "einsum", "elementwise", "formulas", "indexing", "loss_formulas", "losses", "on_host", "plain_products",
    "pooling", "products", "randomness", "recurrent", "reductions",
    "resampling", "rows", "sampling", "scans", "scattering", "search", "sorting", "views",
]
