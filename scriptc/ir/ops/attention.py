"""Scaled dot-product attention."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.ops.elementwise import add, gt, where
from scriptc.ir.ops.normalization import softmax
from scriptc.ir.registry import REGISTRY, OpError, Tensor, broadcast, floating, op, same_dtype, same_size, shape_text
from scriptc.ir.types import bool_


@op
def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False,
                                 scale: float | None = None) -> Tensor:
    """softmax(q kᵀ scale + mask) v (Vaswani et al. 2017): q [..., L, E], k [..., S, E], v [..., S, F] -> [..., L, F].

    `mask` broadcasts to [..., L, S]: bool (True takes part) or added; `causal` lets row i see columns up to i;
    scale None is 1/sqrt(E). A row that may see no column gives zeros, as in torch.
    """
    floating(q, "q")
    same_dtype(q=q, k=k, v=v)
    if mask is not None and mask.dtype is not bool_ and mask.dtype is not q.dtype:
        raise OpError("E0416", left=f"q is {q.dtype}", right=f"mask is {mask.dtype}")
    if q.shape is None or k.shape is None or v.shape is None:
        return q.with_shape(None)
    if min(len(q.shape), len(k.shape), len(v.shape)) < 2:
        raise OpError("E0463", left=shape_text(q.shape), right=shape_text(k.shape))
    same_size(q.shape[-1], k.shape[-1], "the last sizes of q and k")
    same_size(k.shape[-2], v.shape[-2], "the lengths of k and v")
    lead = broadcast(q.shape[:-2], k.shape[:-2], v.shape[:-2]) or ()
    if mask is not None:
        broadcast((*lead, q.shape[-2], k.shape[-2]), mask.shape)
    return q.with_shape((*lead, q.shape[-2], v.shape[-1]))


@scaled_dot_product_attention.gradient
def _(g: Any, y: Any, q: Any, k: Any, v: Any, mask: Any, *, causal: bool, scale: float | None) -> Any:
    from scriptc.ir.ops.creation import tril
    from scriptc.ir.ops.linalg import matmul
    from scriptc.ir.ops.reduction import amax
    from scriptc.ir.ops.shape import size, sum_to

    if scale is None:
        features = q.shape[-1] if q.shape is not None else None
        if not isinstance(features, int):
            raise OpError("E0420", message="attention has a gradient for a known number of features only")
        scale = 1.0 / math.sqrt(features)
    scores = matmul(q, k.transpose(-1, -2)) * scale
    if causal:
        ones = REGISTRY["full"]
        allowed = tril(q.__apply_op__(ones, (True, size(q, dim=-2), size(k, dim=-2)), {"dtype": bool_}), 0)
        scores = where(allowed, scores, float("-inf"))
    if mask is not None:
        scores = where(mask, scores, float("-inf")) if mask.dtype is bool_ else add(scores, mask)
    weights = softmax(scores, dim=-1)
    if mask is not None:   # only a mask can leave a row without a column
        weights = where(gt(amax(scores, dims=(-1,), keepdim=True), float("-inf")), weights, 0.0)
    dv = matmul(weights.transpose(-1, -2), g)
    dw = matmul(g, v.transpose(-1, -2))
    ds = weights * (dw - (weights * dw).sum(-1, keepdim=True))
    dmask = None if mask is None or mask.dtype is bool_ else sum_to(ds, mask)
    ds = ds * scale
    return sum_to(matmul(ds, k), q), sum_to(matmul(ds.transpose(-1, -2), q), k), sum_to(dv, v), dmask
