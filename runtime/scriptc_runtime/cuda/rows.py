"""Softmax and the norms over rows on the device."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda.kernels.rows import form_for, row_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

DTYPES = ("float32", "float16", "bfloat16")


def _rows(work: Work, name: str, x: DeviceArray, y: DeviceArray, width: int, *, weight: DeviceArray | None = None, bias: DeviceArray | None = None,
          eps: float = 0.0) -> None:
    """Rows of `width` elements of contiguous arrays."""
    given = [a for a in (x, y, weight, bias) if a is not None]
    form = form_for(name, x.dtype.name, width, aligned=all(a.address % 16 == 0 for a in given), weight=weight is not None, bias=bias is not None)
    rows = x.size // width
    work.launch(row_kernel(form), -(-rows // form.rows), form.rows * form.threads, x, x if weight is None else weight, x if bias is None else bias, y,
                np.int64(rows), np.int64(width), np.float32(eps))


@emits("softmax", "log_softmax")
def lower_softmax(site: Site) -> Emit | str:
    """Along the last dimension in place; another one is moved there and back."""
    shape = static_shape(site.operand_types[0])
    if site.tensor(0).dtype.name not in DTYPES:
        return f"rows of {site.tensor(0).dtype.name}"
    name = site.op.name

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, y = operands[0], results[0]
        if not y.size:
            return
        if not shape:
            _rows(work, name, work.contiguous(x), y, 1)
            return
        dim = site.attributes["dim"] % len(shape)
        if dim == len(shape) - 1:
            _rows(work, name, work.contiguous(x), y, shape[-1])
            return
        order = [*(d for d in range(len(shape)) if d != dim), dim]
        moved, made = (a.view([a.shape[d] for d in order], [a.strides[d] for d in order]) for a in (x, y))
        rows = work.contiguous(moved)
        scratch = work.empty(rows.shape, rows.dtype)
        _rows(work, name, rows, scratch, shape[dim])
        work.copy(made, scratch)
    return emit


@emits("layer_norm", "rms_norm")
def lower_norm(site: Site) -> Emit | str:
    """Over the last `axes` dimensions."""
    shape = static_shape(site.operand_types[0])
    if site.tensor(0).dtype.name not in DTYPES:
        return f"rows of {site.tensor(0).dtype.name}"
    width = math.prod(shape[len(shape) - site.attributes["axes"]:])

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        if results[0].size:
            x, *affine = (None if o is None else work.contiguous(o) for o in operands)
            assert x is not None
            _rows(work, site.op.name, x, results[0], width, **dict(zip(("weight", "bias"), affine, strict=False)), eps=site.attributes["eps"])
    return emit
