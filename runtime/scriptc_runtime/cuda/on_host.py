"""Ops that the host does for the device, always, and why; what is not named here and has no kernel is a gap."""
from scriptc_runtime.cuda.lowering import on_host

on_host("the size of its result depends on elements", "nonzero", "masked_select", "unique", "bincount", "weighted_bincount", "repeated_positions")
on_host("it asks for an element", "item")
on_host("LAPACK does it", "cholesky", "inverse", "determinant", "log_determinant", "solve", "solve_triangular", "qr", "svd", "singular_values",
        "eigh", "pseudo_inverse", "lu_factor", "matrix_exp")
