"""The steps of a recurrent layer for small batches as one native call: a product of the state and the gates, again and again."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.dense import Dense
from scriptc_runtime.cpu.jit import ROUTINE, Code, code_for

MOST_ROWS = 4      # of a batch: from there on BLAS makes more of a weight that it has read

# Words of the table: addresses of the steps' input parts, of w_hh, b_hh (or 0), h, c, the outputs and the gates; steps, rows, width, backwards.
_LOOP = """def kernel(n, c):
    z0 = n[7]
    z1 = n[8]
    z2 = n[9]
    p0 = f4at(n[0])
    p3 = f4at(n[3])
    p4 = f4at(n[4])
    p5 = f4at(n[5])
    p6 = f4at(n[6])
    k0 = f4(1)
    for d0 in range(z0):
        t0 = z0 - 1 - d0 if n[10] != 0 else d0
        for d1 in range(z1):
            dots(n[6], n[3] + 4 * z2 * d1, n[1], n[2], {gates} * z2, z2, z2)
            b0 = (t0 * z1 + d1) * {gates} * z2
            s0 = d1 * z2
            o0 = (t0 * z1 + d1) * z2
            for d2 in range(z2):
{cell}
                p3[s0 + d2] = t1
                p5[o0 + d2] = t1
    return 0
"""
_LSTM = """
x1 = k0 / (k0 + exp4(-(p6[d2] + p0[b0 + d2])))
x2 = k0 / (k0 + exp4(-(p6[z2 + d2] + p0[b0 + z2 + d2])))
x3 = tanh4(p6[2 * z2 + d2] + p0[b0 + 2 * z2 + d2])
x4 = k0 / (k0 + exp4(-(p6[3 * z2 + d2] + p0[b0 + 3 * z2 + d2])))
x5 = x2 * p4[s0 + d2] + x1 * x3
p4[s0 + d2] = x5
t1 = x4 * tanh4(x5)
"""
_GRU = """
x1 = k0 / (k0 + exp4(-(p6[d2] + p0[b0 + d2])))
x2 = k0 / (k0 + exp4(-(p6[z2 + d2] + p0[b0 + z2 + d2])))
x3 = tanh4(p0[b0 + 2 * z2 + d2] + x1 * p6[2 * z2 + d2])
t1 = (k0 - x2) * x3 + x2 * p3[s0 + d2]
"""
_RNN = """
t1 = tanh4(p6[d2] + p0[b0 + d2])
"""
_CELLS = {"lstm": (4, _LSTM), "gru": (3, _GRU), "rnn": (1, _RNN)}


def steps_code(name: str) -> Code | None:
    """The compiled steps of `lstm`, `gru` or (tanh) `rnn`: one for all sizes."""
    gates, cell = _CELLS[name]
    text = "\n".join(" " * 16 + line for line in cell.strip().splitlines())
    return code_for(_LOOP.format(gates=gates, cell=text), ROUTINE)


class Direction:
    """One direction of one layer over `steps` inputs of [rows, features]: outputs in the order of the inputs, and the last states."""

    def __init__(self, name: str, steps: int, rows: int, features: int, width: int) -> None:
        self._gates = _CELLS[name][0]
        self._shape = steps, rows, width
        self._input = Dense(steps * rows, features, self._gates * width, _plain)

    def __call__(self, function: Callable[..., Any], sequence: np.ndarray, states: tuple[np.ndarray, ...], weights: Any,
                 backward: bool) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        steps, rows, width = self._shape
        w_ih, w_hh, b_ih, b_hh = weights
        parts = np.empty((steps, rows, self._gates * width), np.float32)
        self._input(sequence, w_ih, b_ih, out=(parts,))
        last = tuple(np.array(s, order="C") for s in states)
        outputs = np.empty((steps, rows, width), np.float32)
        gates = np.empty(self._gates * width, np.float32)
        recurrent = np.ascontiguousarray(w_hh)
        bias = None if b_hh is None else np.ascontiguousarray(b_hh)
        table = np.array([address(parts), address(recurrent), 0 if bias is None else address(bias), address(last[0]), address(last[-1]),
                          address(outputs), address(gates), steps, rows, width, backward], np.int64)
        function(address(table), address(table))
        return outputs, last


def _plain(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
    np.matmul(x.reshape(-1, weight.shape[1]), weight.T, out=out[0].reshape(-1, weight.shape[0]))
    if bias is not None:
        np.add(out[0], bias, out=out[0])
