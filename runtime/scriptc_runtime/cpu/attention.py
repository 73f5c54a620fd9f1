"""Scaled dot-product attention: a command of the tile library, and numpy head by head while that is cold."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.blas import alone
from scriptc.ir.registry import broadcast
from scriptc.ir.types import TensorType, Type, bool_, float32
from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.tiles import attention_commands
from scriptc_runtime.cpu.tiles.attention_commands import Operand
from scriptc_runtime.cpu.tiles.commands import At, Command
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel


@lowers("scaled_dot_product_attention", target="cpu")
def lower_attention(site: Site) -> Kernel | None:
    """softmax(q k^T) v with one score matrix per batch row and head, never one for all of them."""
    if not is_native(site):
        return None
    shape: tuple[int, ...] = site.result_types[0].shape  # type: ignore[union-attr, assignment]
    q_shape, k_shape, v_shape = (site.tensor(i).shape for i in range(3))
    assert q_shape is not None and k_shape is not None and v_shape is not None
    lead = broadcast(q_shape[:-2], k_shape[:-2], v_shape[:-2])
    if lead != shape[:-2] or any(not isinstance(d, int) for s in (q_shape, k_shape, v_shape) for d in s):
        return None
    causal, features = site.attributes["causal"], q_shape[-1]
    if not features and site.attributes["scale"] is None:
        return None
    scale = features ** -0.5 if site.attributes["scale"] is None else site.attributes["scale"]     # type: ignore[operator]

    @alone
    def run(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        factor = q.dtype.type(scale)
        length, keys = q.shape[-2], k.shape[-2]
        hidden = ~np.tri(length, keys, dtype=bool) if causal else None
        q, k, v = (np.broadcast_to(array, (*shape[:-2], *array.shape[-2:])) for array in (q, k, v))
        masks = None if mask is None else np.broadcast_to(mask, (*shape[:-2], length, keys))
        scores = np.empty((length, keys), q.dtype)
        for place in np.ndindex(*shape[:-2]):
            np.matmul(q[place] * factor, k[place].T, out=scores)
            if hidden is not None:
                scores[hidden] = -np.inf
            if masks is not None:
                if masks.dtype == bool:
                    scores[~masks[place]] = -np.inf
                else:
                    np.add(scores, masks[place], out=scores)
            unseen = None if masks is None or not keys else scores.max(-1) == -np.inf
            softmax_rows(scores)
            if unseen is not None:
                scores[unseen] = 0   # a row that sees no column gives zeros
            np.matmul(scores, v[place], out=out[0][place])

    native = None
    if site.tensor(0).dtype is float32 and 0 not in (*shape, features, k_shape[-2]) and _is_plain(site.operand_types[3], (*shape[:-1], k_shape[-2])):
        native = NativeAttention(math.prod(shape[:-1]) * k_shape[-2] * (features + shape[-1]), causal=causal, scale=scale)  # type: ignore[operator]
    return Kernel("attention", run, writes_out=True, fresh=True, native=native)


def _is_plain(mask: Type, scores: tuple[object, ...]) -> bool:
    """True if a mask is none, or one of float32 or bool that broadcasts to the scores."""
    if not isinstance(mask, TensorType):
        return True
    return mask.dtype in (float32, bool_) and mask.shape is not None and broadcast(mask.shape, scores) == scores     # type: ignore[arg-type]


def softmax_rows(scores: np.ndarray) -> None:
    """softmax over the last dimension, in place."""
    with np.errstate(all="ignore"):
        np.subtract(scores, scores.max(-1, keepdims=True), out=scores)
        np.exp(scores, out=scores)
        np.divide(scores, scores.sum(-1, keepdims=True), out=scores)


class NativeAttention(Native):
    """Attention as one command; its result lies as q does, so that heads next to each other stay so."""

    kernels = "attention", "copy"
    strided = True

    def __init__(self, work: int, *, causal: bool, scale: float) -> None:
        self.work, self._causal, self._scale = work, causal, scale

    def order(self, operands: Sequence[Any]) -> tuple[int, ...] | None:
        """That of q's dimensions, but for the last."""
        q = operands[0]
        lead = sorted(range(q.ndim - 1), key=lambda dim: -abs(q.strides[dim]) if q.shape[dim] != 1 else 0)
        return (*lead, q.ndim - 1)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command, after a copy of a mask whose rows are one element."""
        q, k, v = (Operand(array, At(In(index))) for index, array in enumerate(operands[:3]))
        y, mask = Operand(results[0], At(Out(0))), operands[3]
        made: list[Command | None] = []
        given = None
        if mask is not None:
            given = Operand(mask.reshape((1,) * (2 - mask.ndim) + mask.shape), At(In(3)))
            if given.array.shape[-1] != k.array.shape[-2]:
                wide = np.broadcast_to(given.array, (*given.array.shape[:-1], k.array.shape[-2]))
                whole: np.ndarray = np.empty(wide.shape, wide.dtype)
                made.append(copy(wide, whole, given.place, whole))
                given = Operand(whole, whole)
        made.append(attention_commands.attention(q, k, v, given, y, causal=self._causal, scale=self._scale, threads=threads))
        return None if None in made else made   # type: ignore[return-value]
