"""The CUDA engine against the references, in numba's simulator where there is no GPU."""
