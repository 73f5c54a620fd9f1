"""Convolutional parts of a program in blocked layout: one step of the plan, with no conversion between its ops.

In: a cluster of ops with concrete types. Out: a kernel over plain arrays. `support` says which ops take part, `nodes` folds them into the
kernels' terms (normalisation, residual and activation in a convolution's end), `region` lays out memory, packs weights and runs.
"""
from scriptc_runtime.cpu.blocked import region

__all__ = ["region"]
