"""Matrix products by BLAS, written straight into their buffers."""
from __future__ import annotations

import math

import numpy as np

from scriptc.interp.blas import alone
from scriptc.ir.types import TensorType, Type, float32
from scriptc_runtime.cpu.dense import Dense, NativeDense
from scriptc_runtime.cpu.matmul import NativeMatmul
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

NATIVE = ("float32", "float64")  # what BLAS takes; half types are widened by the references


def is_native(site: Site) -> bool:
    """True if every tensor result is one that BLAS computes and has a known shape."""
    return site.is_static and all(getattr(k, "dtype", None) is not None and k.dtype.name in NATIVE  # type: ignore[union-attr]
                                  for k in site.result_types)


@lowers("linear", target="cpu")
def lower_linear(site: Site) -> Kernel | None:
    """x @ weight.T + bias as one product of matrices, whatever x's rank."""
    if not is_native(site) or site.tensor(1).rank != 2:
        return None

    @alone
    def run(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        count = math.prod(x.shape[:-1])   # not -1: there may be no features
        rows = x.reshape(count, weight.shape[1])
        result = out[0].reshape(count, weight.shape[0])
        np.matmul(rows, weight.T, out=result)
        if bias is not None:
            np.add(result, bias, out=result)

    sizes = packed_sizes(site.tensor(0), site.tensor(1))
    if sizes is not None:
        dense = Dense(*sizes, run)
        return Kernel("linear.packed", dense, writes_out=True, fresh=True, native=NativeDense(dense))
    return Kernel("linear", run, writes_out=True, fresh=True)


def packed_sizes(x: Type, weight: Type) -> tuple[int, int, int] | None:
    """Rows, features and columns of a linear layer that is worth packing; None if it is not."""
    if not all(isinstance(kind, TensorType) and kind.dtype is float32 and is_static(kind) for kind in (x, weight)):
        return None
    given: tuple[int, ...] = x.shape  # type: ignore[union-attr, assignment]
    sizes: tuple[int, ...] = weight.shape  # type: ignore[union-attr, assignment]
    if len(sizes) != 2 or not given or not all(given) or not all(sizes):
        return None
    return math.prod(given[:-1]), given[-1], sizes[0]


@lowers("matmul", target="cpu")
def lower_matmul(site: Site) -> Kernel | None:
    """numpy's matmul into a buffer; several rows times one matrix become one product."""
    if not is_native(site):
        return None
    flat = site.tensor(1).rank == 2 and (site.tensor(0).rank or 0) > 2

    @alone
    def run(a: np.ndarray, b: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        if flat:
            rows = math.prod(a.shape[:-1])
            np.matmul(a.reshape(rows, a.shape[-1]), b, out=out[0].reshape(rows, b.shape[1]))
        else:
            np.matmul(a, b, out=out[0])

    native = None
    kinds = (*map(site.tensor, (0, 1)), site.result_types[0])
    if all(isinstance(k, TensorType) and k.dtype is float32 and is_static(k) and 0 not in (k.shape or ()) for k in kinds):
        native = NativeMatmul(math.prod(kinds[2].shape) * site.tensor(0).shape[-1])     # type: ignore[arg-type, index, operator, union-attr]
    return Kernel("matmul", run, writes_out=True, fresh=True, native=native)
