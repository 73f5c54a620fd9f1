"""The CUDA engine: printed kernels for groups of elementwise ops, hand-written ones for the rest, memory from a pool.

In: ops with concrete types, from the planner. Out: kernels over arrays in device memory. Importing this package registers its lowerings;
`numba_cuda` is the only module that imports `numba.cuda`.
"""
