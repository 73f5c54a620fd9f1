"""Scaled dot-product attention on the device, heads read where they lie."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda.kernels.attention import attention_kernel, form_for
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.movement import cast
from scriptc_runtime.cuda.printer import broadcast_strides, collapsed
from scriptc_runtime.cuda.products import expanded, unread
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

DTYPES = ("float32", "float16", "bfloat16")
MOST = 1 << 31


@emits("scaled_dot_product_attention")
def lower_attention(site: Site) -> Emit | str:
    """One pass over the keys for each block of rows; half types are computed in float32."""
    q, k, v = (static_shape(kind) for kind in site.operand_types[:3])
    if site.tensor(0).dtype.name not in DTYPES:
        return f"attention of {site.tensor(0).dtype.name}"
    if form_for(q[-1], v[-1], causal=False, mask="", vector=False) is None:
        return "more features than a block holds"
    if max(q[-2], k[-2]) >= MOST:
        return "2**31 rows or keys"
    causal, scale = site.attributes["causal"], site.attributes["scale"]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        y = results[0]
        if not y.size:
            return
        if not k[-2]:
            work.fill(y, 0)
            return
        q_, k_, v_ = (_single(work, a) for a in operands[:3])
        mask = None if operands[3] is None else operands[3] if operands[3].dtype == np.bool_ else _single(work, operands[3])
        out = y if y.dtype == np.float32 else work.empty(y.shape, np.dtype(np.float32))
        if mask is not None and mask.ndim < 2:
            mask = mask.view((1,) * (2 - mask.ndim) + mask.shape, (0,) * (2 - mask.ndim) + mask.strides)
        _attention(work, q_, k_, v_, mask, out, causal, q[-1] ** -0.5 if scale is None else scale)
        if out is not y:
            cast(work, out, y)
    return emit


def _single(work: Work, array: DeviceArray) -> DeviceArray:
    """The array in float32, its last dimension's elements neighbours."""
    if array.dtype != np.float32:
        made = work.empty(array.shape, np.dtype(np.float32))
        cast(work, work.contiguous(array), made)
        return made
    return array if array.strides[-1] == 1 or array.shape[-1] == 1 else work.contiguous(array)


def _attention(work: Work, q: DeviceArray, k: DeviceArray, v: DeviceArray, mask: DeviceArray | None, y: DeviceArray, causal: bool,
               scale: float) -> None:
    lead, (length, values), keys, features = y.shape[:-2], y.shape[-2:], k.shape[-2], q.shape[-1]
    arrays = [q, k, v, *([] if mask is None else [mask]), y]
    steps = [broadcast_strides(a.shape[:-2], a.strides[:-2], lead) for a in arrays]
    sizes, merged = collapsed(lead, steps)
    if len(sizes) > 2:
        arrays = [expanded(work, a, lead) if a is not y else a for a in arrays]
        sizes, merged = collapsed(lead, [a.strides[:-2] for a in arrays])
    if len(sizes) == 1:
        sizes, merged = [1, *sizes], [[0, *m] for m in merged]
    if sizes == [1, 1]:
        merged = [[0, 0] for _ in merged]
    q, k, v, *between = arrays
    bits = "" if mask is None else "bool" if mask.dtype == np.bool_ else "add"
    lines = [(a, [*m, a.strides[-2]]) for a, m in zip((q, k, v), merged, strict=False)]
    vector = features % 4 == 0 and values % 4 == 0 and all(a.address % 16 == 0 and not any(s % 4 for s in steps) for a, steps in lines)
    form = form_for(features, values, causal=causal, mask=bits, vector=vector)
    assert form is not None
    given, (mask_row, mask_key) = unread(work.engine, "float32"), (0, 0)
    if mask is not None:
        given = between[0]
        mask_row, mask_key = broadcast_strides(given.shape[-2:], given.strides[-2:], (length, keys))
    words = [w for _, strides in lines for w in (0, *strides)]
    words += [0, *(merged[3] if mask is not None else (0, 0)), mask_row, 0, *merged[-1], y.strides[-2], mask_key]
    work.launch(attention_kernel(form), -(-length // form.rows) * sizes[0] * sizes[1], form.threads, q, k, v, given, y,
                *map(np.int64, (length, keys, features, values, sizes[1])), np.float32(scale), *map(np.int64, words))
