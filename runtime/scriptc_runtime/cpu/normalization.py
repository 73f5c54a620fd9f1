"""Softmax and the layer normalisations, in the buffer of their result."""
from __future__ import annotations

import numpy as np

from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel


@lowers("softmax", "log_softmax", target="cpu")
def lower_softmax(site: Site) -> Kernel | None:
    """Along one dimension, shifted by its maximum."""
    if not is_native(site) or not site.tensor(0).rank or 0 in site.tensor(0).shape:  # type: ignore[operator]
        return None
    dim, logarithm = site.attributes["dim"], site.op.name == "log_softmax"

    def run(x: np.ndarray, *, out: tuple[np.ndarray, ...]) -> None:
        result = out[0]
        with np.errstate(all="ignore"):
            np.subtract(x, x.max(dim, keepdims=True), out=result)
            if logarithm:
                np.subtract(result, np.log(np.exp(result).sum(dim, keepdims=True)), out=result)
            else:
                np.exp(result, out=result)
                np.divide(result, result.sum(dim, keepdims=True), out=result)

    return Kernel(site.op.name, run, writes_out=True, fresh=True)


@lowers("layer_norm", "rms_norm", target="cpu")
def lower_layer_norm(site: Site) -> Kernel | None:
    """(x - mean) / sqrt(var + eps), or x / sqrt(mean square + eps), over rows; then the affine part."""
    if not is_native(site):
        return None
    shape: tuple[int, ...] = site.tensor(0).shape  # type: ignore[assignment]
    width = int(np.prod(shape[len(shape) - site.attributes["axes"]:], dtype=np.int64))
    if not width:
        return None
    centred, eps = site.op.name == "layer_norm", site.attributes["eps"]

    def run(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None = None, *, out: tuple[np.ndarray, ...]) -> None:
        rows, result = x.reshape(-1, width), out[0].reshape(-1, width)
        with np.errstate(all="ignore"):
            if centred:
                np.subtract(rows, rows.mean(1, keepdims=True), out=result)
                rows = result
            scale = np.einsum("ij,ij->i", rows, rows)[:, None]
            scale = 1 / np.sqrt(scale / rows.dtype.type(width) + rows.dtype.type(eps))
            np.multiply(rows, scale, out=result)
            if weight is not None:
                np.multiply(result, weight.reshape(-1), out=result)
            if bias is not None:
                np.add(result, bias.reshape(-1), out=result)

    return Kernel(site.op.name, run, writes_out=True, fresh=True)
