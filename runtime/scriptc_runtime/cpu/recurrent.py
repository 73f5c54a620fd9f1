"""LSTM, GRU and RNN layers: the inputs of all steps in one product, then one product of the state per step."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.blas import alone
from scriptc.ir.types import TensorType, float32
from scriptc.records import Record
from scriptc_runtime.cpu.jit import Code
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.recurrence import NativeRecurrent
from scriptc_runtime.cpu.steps import MOST_ROWS, Direction, steps_code
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

# A cell takes one step's input part (bias included), the states, w_hh transposed and b_hh; it answers the next states.
Cell = Callable[..., tuple[np.ndarray, ...]]


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


def _lstm(part: np.ndarray, states: tuple[np.ndarray, ...], weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, ...]:
    h, c = states
    gates = part + h @ weight
    if bias is not None:
        gates += bias
    width = h.shape[-1]
    squashed = _sigmoid(gates[..., :2 * width])
    c = squashed[..., width:] * c + squashed[..., :width] * np.tanh(gates[..., 2 * width:3 * width])
    return _sigmoid(gates[..., 3 * width:]) * np.tanh(c), c


def _gru(part: np.ndarray, states: tuple[np.ndarray, ...], weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, ...]:
    (h,) = states
    inner = h @ weight
    if bias is not None:
        inner += bias
    width = h.shape[-1]
    squashed = _sigmoid(part[..., :2 * width] + inner[..., :2 * width])
    reset, update = squashed[..., :width], squashed[..., width:]
    n = np.tanh(part[..., 2 * width:] + reset * inner[..., 2 * width:])
    return ((1 - update) * n + update * h,)


def _rnn(activate: Callable[[Any], Any]) -> Cell:
    def cell(part: np.ndarray, states: tuple[np.ndarray, ...], weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, ...]:
        inner = part + states[0] @ weight
        return (activate(inner if bias is None else inner + bias),)
    return cell


@lowers("lstm", "gru", "rnn", target="cpu")
def lower_recurrent(site: Site) -> Kernel | None:
    """A stack of layers, each in one or two directions."""
    if not is_native(site):
        return None
    attributes = site.attributes
    cells: dict[str, Cell] = {
        "lstm": _lstm, "gru": _gru,
        "rnn": _rnn(np.tanh if attributes.get("nonlinearity", "tanh") == "tanh" else lambda v: np.maximum(v, 0)),
    }
    cell, states = cells[site.op.name], 2 if site.op.name == "lstm" else 1
    directions, per = 2 if attributes["bidirectional"] else 1, 4 if attributes["bias"] else 2

    native = _steps(site, directions)

    @alone
    def run(x: np.ndarray, *rest: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        initial, weights = rest[:states], rest[states:]
        function = None if native is None else native.code.ready(native.work)
        sequence = x.swapaxes(0, 1) if attributes["batch_first"] else x
        with np.errstate(over="ignore"):
            for layer in range(attributes["num_layers"]):
                outputs = []
                for direction in range(directions):
                    index = layer * directions + direction
                    w = [*weights[index * per:(index + 1) * per], None, None][:4]
                    start = tuple(s[index] for s in initial)
                    if native is not None and function is not None:
                        output, last = native.directions[index](function, sequence, start, w, direction == 1)
                    else:
                        output, last = _direction(sequence, start, w, cell, direction == 1)
                    outputs.append(output)
                    for final, state in zip(out[1:], last, strict=True):
                        final[index] = state
                sequence = outputs[0] if directions == 1 else np.concatenate(outputs, -1)
        np.copyto(out[0], sequence.swapaxes(0, 1) if attributes["batch_first"] else sequence)

    return Kernel(site.op.name, run, writes_out=True, fresh=True, native=_commands(site))


def _commands(site: Site) -> NativeRecurrent | None:
    """The layers as commands of the driver, for float32 and sizes that are whole vectors."""
    sizes = _sizes(site)
    if sizes is None or not NativeRecurrent.serves(site.attributes, sizes[0], *sizes[2:]):
        return None
    return NativeRecurrent(site.op.name, site.attributes, *sizes)


def _sizes(site: Site) -> tuple[int, int, int, int] | None:
    """Steps, rows, features and the state's width, none of them 0, of layers over float32; None where something is not known."""
    attributes, kind = site.attributes, site.tensor(0)
    if kind.dtype is not float32 or not is_static(kind) or kind.rank != 3:
        return None
    length, rows, features = kind.shape if not attributes["batch_first"] else (kind.shape[1], kind.shape[0], kind.shape[2])  # type: ignore[index, misc]
    final = site.result_types[1]
    assert isinstance(final, TensorType) and final.shape is not None
    width = final.shape[-1]
    found = length, rows, features, width
    return found if isinstance(width, int) and all(found) else None     # type: ignore[return-value]


class _Native(Record):
    """Compiled steps for one site: the code, the multiplications of a call, and what runs each direction of each layer."""

    code: Code
    work: int
    directions: tuple[Direction, ...]


def _steps(site: Site, directions: int) -> _Native | None:
    """Compiled steps, for small batches of float32."""
    attributes, name, sizes = site.attributes, site.op.name, _sizes(site)
    if sizes is None or sizes[1] > MOST_ROWS or (name == "rnn" and attributes.get("nonlinearity", "tanh") != "tanh"):
        return None
    length, rows, features, width = sizes
    code = steps_code(name)
    if code is None:
        return None
    made = tuple(Direction(name, length, rows, features if layer == 0 else width * directions, width)
                 for layer in range(attributes["num_layers"]) for _ in range(directions))
    return _Native(code, length * rows * width * width * 4 * len(made), made)


def _direction(sequence: np.ndarray, states: tuple[np.ndarray, ...], weights: Any, cell: Cell,
               backward: bool) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The outputs of every step, in the order of `sequence`, and the last states."""
    w_ih, w_hh, b_ih, b_hh = weights
    parts = sequence @ w_ih.T
    if b_ih is not None:
        parts += b_ih
    transposed = np.ascontiguousarray(w_hh.T)
    outputs = np.empty((len(sequence), *states[0].shape), sequence.dtype)
    for step in range(len(sequence))[::-1] if backward else range(len(sequence)):
        states = cell(parts[step], states, transposed, b_hh)
        outputs[step] = states[0]
    return outputs, states
