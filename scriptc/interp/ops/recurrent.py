"""Recurrent layers, one step after another, and back again."""
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


def rnn_cell(nonlinearity: str) -> Callable[..., tuple[np.ndarray, ...]]:
    """The step of a plain recurrent layer."""
    def cell(x: np.ndarray, states: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[np.ndarray, ...]:
        total = product(x, w_ih, b_ih) + product(states[0], w_hh, b_hh)
        return (np.tanh(total) if nonlinearity == "tanh" else np.maximum(total, 0),)
    return cell


@reference
@widened
def rnn(x: np.ndarray, h: np.ndarray, *weights: np.ndarray, num_layers: int, nonlinearity: str, bidirectional: bool, bias: bool,
        batch_first: bool) -> tuple[np.ndarray, ...]:
    return run(x, (h,), weights, num_layers, bidirectional, bias, batch_first, rnn_cell(nonlinearity))


# Backpropagation through time. A cell's backward takes one step's input, the states before it and the gradients of the states
# after it; it answers the gradients of the two products, and what reaches the states before the step directly.

def lstm_cell_back(x: np.ndarray, states: tuple[np.ndarray, ...], given: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any,
                   b_hh: Any) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    (h, c), (dh, dc) = states, given
    i, f, g, o = np.split(product(x, w_ih, b_ih) + product(h, w_hh, b_hh), 4, -1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    t = np.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - t * t)
    gates = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)], -1)
    return gates, gates, (np.zeros_like(h), dc * f)


def gru_cell_back(x: np.ndarray, states: tuple[np.ndarray, ...], given: tuple[np.ndarray, ...], w_ih: Any, w_hh: Any, b_ih: Any,
                  b_hh: Any) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    (h,), (dh,) = states, given
    ir, iz, n_x = np.split(product(x, w_ih, b_ih), 3, -1)
    hr, hz, n_h = np.split(product(h, w_hh, b_hh), 3, -1)
    r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
    n = np.tanh(n_x + r * n_h)
    dn, dz = dh * (1 - z) * (1 - n * n), dh * (h - n) * z * (1 - z)
    dr = dn * n_h * r * (1 - r)
    return np.concatenate([dr, dz, dn], -1), np.concatenate([dr, dz, dn * r], -1), (dh * z,)


def recorded(x: np.ndarray, states: tuple[np.ndarray, ...], w: list[Any], cell: Callable[..., tuple[np.ndarray, ...]]
             ) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
    """(the states before each step, the outputs) of one direction of one layer."""
    before, outputs = [], np.empty((len(x), *states[0].shape), x.dtype)
    for t, step in enumerate(x):
        before.append(states)
        states = cell(step, states, *w)
        outputs[t] = states[0]
    return before, outputs


def run_back(given: tuple[np.ndarray, ...], x: np.ndarray, states: tuple[np.ndarray, ...], weights: tuple[np.ndarray, ...],
             num_layers: int, bidirectional: bool, bias: bool, batch_first: bool, cell: Callable[..., Any],
             cell_back: Callable[..., Any]) -> tuple[np.ndarray, ...]:
    """The gradients of `run` to x, the states and the weights; `given` are those of the outputs and of the final states."""
    directions, per, hidden = 2 if bidirectional else 1, 4 if bias else 2, states[0].shape[-1]
    sequence = x.swapaxes(0, 1) if batch_first else x
    inputs: list[np.ndarray] = []
    records: list[tuple[list[Any], slice, list[tuple[np.ndarray, ...]]]] = []
    for layer in range(num_layers):
        inputs.append(sequence)
        runs = []
        for index in range(layer * directions, (layer + 1) * directions):
            w: list[Any] = [*weights[index * per:(index + 1) * per], None, None][:4]
            turn = slice(None, None, -1 if index % directions else 1)
            before, outputs = recorded(sequence[turn], tuple(s[index] for s in states), w, cell)
            records.append((w, turn, before))
            runs.append(outputs[turn])
        sequence = np.concatenate(runs, -1)

    flowing = given[0].swapaxes(0, 1) if batch_first else given[0]
    state_gradients = [np.empty_like(s) for s in states]
    weight_gradients: list[Any] = [None] * len(weights)
    for layer in reversed(range(num_layers)):
        below = np.zeros_like(inputs[layer])
        for direction in range(directions):
            index = layer * directions + direction
            w, turn, before = records[index]
            w_ih, w_hh = w[0], w[1]
            steps, arriving = inputs[layer][turn], flowing[..., direction * hidden:(direction + 1) * hidden][turn]
            current = tuple(g[index] for g in given[1:])
            from_input = np.empty((len(steps), steps.shape[1], w_ih.shape[0]), x.dtype)
            from_state = np.empty_like(from_input)
            for t in reversed(range(len(steps))):
                current = (current[0] + arriving[t], *current[1:])
                from_input[t], from_state[t], direct = cell_back(steps[t], before[t], current, *w)
                current = (direct[0] + from_state[t] @ w_hh, *direct[1:])
            below[turn] += from_input @ w_ih
            for total, state in zip(state_gradients, current, strict=True):
                total[index] = state
            held = np.stack([s[0] for s in before]) if before else np.empty((0, *states[0].shape[1:]), x.dtype)
            found = [np.einsum("tng,tni->gi", from_input, steps, optimize=True), np.einsum("tng,tnh->gh", from_state, held, optimize=True),
                     from_input.sum((0, 1)), from_state.sum((0, 1))]
            weight_gradients[index * per:(index + 1) * per] = found[:per]
        flowing = below
    dx = flowing.swapaxes(0, 1) if batch_first else flowing
    return (np.ascontiguousarray(dx), *state_gradients, *(np.asarray(w, x.dtype) for w in weight_gradients))


@reference
@widened
def lstm_gradient(g: np.ndarray, gh: np.ndarray, gc: np.ndarray, x: np.ndarray, h: np.ndarray, c: np.ndarray, *weights: np.ndarray,
                  num_layers: int, bidirectional: bool, bias: bool, batch_first: bool) -> tuple[np.ndarray, ...]:
    with np.errstate(over="ignore"):
        return run_back((g, gh, gc), x, (h, c), weights, num_layers, bidirectional, bias, batch_first, lstm_cell, lstm_cell_back)


@reference
@widened
def gru_gradient(g: np.ndarray, gh: np.ndarray, x: np.ndarray, h: np.ndarray, *weights: np.ndarray, num_layers: int,
                 bidirectional: bool, bias: bool, batch_first: bool) -> tuple[np.ndarray, ...]:
    with np.errstate(over="ignore"):
        return run_back((g, gh), x, (h,), weights, num_layers, bidirectional, bias, batch_first, gru_cell, gru_cell_back)


@reference
@widened
def rnn_gradient(g: np.ndarray, gh: np.ndarray, x: np.ndarray, h: np.ndarray, *weights: np.ndarray, num_layers: int,
                 nonlinearity: str, bidirectional: bool, bias: bool, batch_first: bool) -> tuple[np.ndarray, ...]:
    cell = rnn_cell(nonlinearity)

    def cell_back(x: np.ndarray, states: tuple[np.ndarray, ...], given: tuple[np.ndarray, ...], *w: Any) -> Any:
        (after,) = cell(x, states, *w)
        gates = given[0] * (1 - after * after if nonlinearity == "tanh" else after > 0)
        return gates, gates, (np.zeros_like(states[0]),)
    return run_back((g, gh), x, (h,), weights, num_layers, bidirectional, bias, batch_first, cell, cell_back)
