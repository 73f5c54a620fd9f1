"""Recurrent layers, one step after another."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.registry import reference, widened


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


def run(x: np.ndarray, states: tuple[np.ndarray, ...], weights: tuple[np.ndarray, ...], num_layers: int, bidirectional: bool,
        bias: bool, batch_first: bool, cell: Callable[..., tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Outputs and final states; `cell(x, states, w_ih, w_hh, b_ih, b_hh)` gives the next states, the first one is the output."""
    directions = 2 if bidirectional else 1
    per = 4 if bias else 2
    sequence = x.swapaxes(0, 1) if batch_first else x
    finals: list[list[np.ndarray]] = [[] for _ in states]
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            w = [*weights[index * per:(index + 1) * per], None, None][:4]
            current = tuple(s[index] for s in states)
            steps = sequence if direction == 0 else sequence[::-1]
            out = np.empty((len(steps), *current[0].shape), x.dtype)
            for t, step in enumerate(steps):
                current = cell(step, current, *w)
                out[t] = current[0]
            outputs.append(out if direction == 0 else out[::-1])
            for final, state in zip(finals, current, strict=True):
                final.append(state)
        sequence = np.concatenate(outputs, -1)
    result = sequence.swapaxes(0, 1) if batch_first else sequence
    return (np.ascontiguousarray(result), *(np.stack(f).astype(x.dtype) for f in finals))


def product(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> Any:
    return x @ w.T if b is None else x @ w.T + b


def lstm_cell(x: np.ndarray, states: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[np.ndarray, ...]:
    h, c = states
    i, f, g, o = np.split(product(x, w_ih, b_ih) + product(h, w_hh, b_hh), 4, -1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def gru_cell(x: np.ndarray, states: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[np.ndarray, ...]:
    (h,) = states
    ir, iz, n_x = np.split(product(x, w_ih, b_ih), 3, -1)
    hr, hz, n_h = np.split(product(h, w_hh, b_hh), 3, -1)
    r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
    n = np.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,)


@reference
@widened
def lstm(x: np.ndarray, h: np.ndarray, c: np.ndarray, *weights: np.ndarray, num_layers: int, bidirectional: bool, bias: bool,
         batch_first: bool) -> tuple[np.ndarray, ...]:
    with np.errstate(over="ignore"):
        return run(x, (h, c), weights, num_layers, bidirectional, bias, batch_first, lstm_cell)


@reference
@widened
def gru(x: np.ndarray, h: np.ndarray, *weights: np.ndarray, num_layers: int, bidirectional: bool, bias: bool,
        batch_first: bool) -> tuple[np.ndarray, ...]:
    with np.errstate(over="ignore"):
        return run(x, (h,), weights, num_layers, bidirectional, bias, batch_first, gru_cell)


@reference
@widened
def rnn(x: np.ndarray, h: np.ndarray, *weights: np.ndarray, num_layers: int, nonlinearity: str, bidirectional: bool, bias: bool,
        batch_first: bool) -> tuple[np.ndarray, ...]:
    activate = np.tanh if nonlinearity == "tanh" else lambda v: np.maximum(v, 0)

    def cell(x: np.ndarray, states: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[np.ndarray, ...]:
        return (activate(product(x, w_ih, b_ih) + product(states[0], w_hh, b_hh)),)
    return run(x, (h,), weights, num_layers, bidirectional, bias, batch_first, cell)
