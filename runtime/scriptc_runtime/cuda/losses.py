"""Classification losses by class numbers on the device; class probabilities are left to the host."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.ir.types import TensorType
from scriptc_runtime.cuda.kernels.classes import TOTAL_THREADS, WARPS, backward_kernel, forward_kernel, total_kernel
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.products import unread
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site


class _Rows:
    """The rows of scores [N, C, *] or [C]."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.classes = shape[0] if len(shape) == 1 else shape[1]
        self.inner = math.prod(shape[2:])
        self.count = 1 if len(shape) == 1 else shape[0] * self.inner


def _out_of_bounds(value: int, limit: int) -> Exception:
    return IndexError(f"Target {value} is out of bounds.")


def _refused(site: Site, first: int) -> str:
    x, target = site.tensor(first), site.tensor(first + 1)
    if x.dtype.name != "float32":
        return f"losses of {x.dtype.name}"
    if target.dtype.name != "int64":
        return f"targets of {target.dtype.name}"
    if 0 in static_shape(x) or not all(not isinstance(k, TensorType) or k.dtype.name == "float32" for k in site.operand_types[first + 2:]):
        return "nothing to take a loss of"
    return ""


def _settings(work: Work, site: Site, rows: _Rows, weight: DeviceArray | None) -> list[Any]:
    return [np.int64(rows.count), np.int64(rows.classes), np.int64(rows.inner), np.int64(site.attributes["ignore_index"]),
            np.int64(weight is not None), np.float32(site.attributes.get("label_smoothing", 0.0))]


def _losses(work: Work, site: Site, x: DeviceArray, target: DeviceArray, weight: DeviceArray | None, rows: _Rows) -> tuple[DeviceArray, DeviceArray]:
    """(loss, weight) of each row."""
    losses, weights = (work.empty((rows.count,), np.dtype(np.float32)) for _ in range(2))
    given = unread(work.engine, "float32") if weight is None else weight
    work.launch(forward_kernel(logarithms=site.op.name.startswith("nll")), -(-rows.count // WARPS), 32 * WARPS, x, target, given, losses, weights,
                *work.refusals(_out_of_bounds), *_settings(work, site, rows, weight))
    return losses, weights


def _totals(work: Work, losses: DeviceArray, weights: DeviceArray, result: DeviceArray, total: DeviceArray, mean: bool) -> None:
    threads = 32 if work.engine.driver.simulated else TOTAL_THREADS
    work.launch(total_kernel(), 1, threads, losses, weights, result, total, np.int64(losses.size), np.int64(mean))


@emits("cross_entropy", "nll_loss")
def lower_loss(site: Site) -> Emit | str:
    """A loss a row, then their sum or mean."""
    refusal = _refused(site, 0)
    if refusal:
        return refusal
    rows, reduction = _Rows(static_shape(site.operand_types[0])), site.attributes["reduction"]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        x, target, weight = (None if o is None else work.contiguous(o) for o in operands)
        assert x is not None and target is not None
        losses, weights = _losses(work, site, x, target, weight, rows)
        if reduction == "none":
            work.copy(results[0], losses.reshape(results[0].shape))
        else:
            _totals(work, losses, weights, results[0], work.empty((1,), np.dtype(np.float32)), reduction == "mean")
    return emit


@emits("cross_entropy_gradient", "nll_loss_gradient")
def lower_gradient(site: Site) -> Emit | str:
    """probabilities - wanted, times what reaches each row."""
    refusal = _refused(site, 1)
    if refusal:
        return refusal
    rows, reduction = _Rows(static_shape(site.operand_types[1])), site.attributes["reduction"]

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        g, x, target, weight = (None if o is None else work.contiguous(o) for o in operands)
        assert g is not None and x is not None and target is not None
        total = work.empty((1,), np.dtype(np.float32))
        losses, weights = _losses(work, site, x, target, weight, rows)
        _totals(work, losses, weights, work.empty((1,), np.dtype(np.float32)), total, False)
        given = unread(work.engine, "float32") if weight is None else weight
        work.launch(backward_kernel(logarithms=site.op.name.startswith("nll")), -(-rows.count // WARPS), 32 * WARPS, g, x, target, given, total,
                    results[0], np.int64(reduction == "none"), np.int64(reduction == "mean"), *_settings(work, site, rows, weight))
    return emit
