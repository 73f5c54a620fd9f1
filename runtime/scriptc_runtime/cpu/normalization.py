"""Softmax and the normalisations over rows: commands of the tile library, and numpy in the buffer of their result while that is cold."""
from __future__ import annotations

import math

import numpy as np

from scriptc.ir.types import float32
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.rows import NativeNormalize, NativeSoftmax
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel


@lowers("softmax", "log_softmax", target="cpu")
def lower_softmax(site: Site) -> Kernel | None:
    """Along one dimension, shifted by its maximum."""
    if not is_native(site) or not site.tensor(0).rank or 0 in site.tensor(0).shape:  # type: ignore[operator]
        return None
    shape: tuple[int, ...] = site.tensor(0).shape  # type: ignore[assignment]
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

    by_rows = dim % len(shape) == len(shape) - 1 and site.tensor(0).dtype is float32
    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=NativeSoftmax(shape, logarithm=logarithm) if by_rows else None)


@lowers("layer_norm", "rms_norm", target="cpu")
def lower_layer_norm(site: Site) -> Kernel | None:
    """(x - mean) / sqrt(var + eps), or x / sqrt(mean square + eps), over rows; then the affine part."""
    if not is_native(site):
        return None
    shape: tuple[int, ...] = site.tensor(0).shape  # type: ignore[assignment]
    axes, centred, eps = site.attributes["axes"], site.op.name == "layer_norm", site.attributes["eps"]
    width = math.prod(shape[len(shape) - axes:])
    if not width:
        return None

    def run(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None = None, *, out: tuple[np.ndarray, ...]) -> None:
        _normalize(x.reshape(-1, width), out[0].reshape(-1, width), centred=centred, eps=eps)
        with np.errstate(all="ignore"):
            if weight is not None:
                np.multiply(out[0], weight, out=out[0])
            if bias is not None:
                np.add(out[0], bias, out=out[0])

    native = NativeNormalize(shape, axes, centred=centred, eps=eps) if site.tensor(0).dtype is float32 else None
    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=native)


@lowers("group_norm", target="cpu")
def lower_group_norm(site: Site) -> Kernel | None:
    """Normalisation over groups of channels, each with all their places; then a factor and a bias per channel."""
    if not is_native(site) or 0 in site.tensor(0).shape:  # type: ignore[operator]
        return None
    shape: tuple[int, ...] = site.tensor(0).shape  # type: ignore[assignment]
    groups, eps = site.attributes["groups"], site.attributes["eps"]
    columns = 1, -1, *(1,) * (len(shape) - 2)

    def run(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        _normalize(x.reshape(shape[0] * groups, -1), out[0].reshape(shape[0] * groups, -1), centred=True, eps=eps)
        with np.errstate(all="ignore"):
            if weight is not None:
                np.multiply(out[0], weight.reshape(columns), out=out[0])
            if bias is not None:
                np.add(out[0], bias.reshape(columns), out=out[0])

    native = NativeNormalize(shape, 1, centred=True, eps=eps, groups=groups) if site.tensor(0).dtype is float32 else None
    return Kernel("group_norm", run, writes_out=True, fresh=True, native=native)


def _normalize(rows: np.ndarray, result: np.ndarray, *, centred: bool, eps: float) -> None:
    with np.errstate(all="ignore"):
        if centred:
            np.subtract(rows, rows.mean(1, keepdims=True), out=result)
            rows = result
        scale = np.einsum("ij,ij->i", rows, rows)[:, None]
        np.multiply(rows, 1 / np.sqrt(scale / rows.dtype.type(rows.shape[1]) + rows.dtype.type(eps)), out=result)
