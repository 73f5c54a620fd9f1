"""Recurrent layers as commands: the inputs of all steps in one product, then for each step a product of the state and the gates."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cpu.dense import Dense, Epilogue, row_offsets
from scriptc_runtime.cpu.driver.native import In, Native, Out, Packed
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.cpu.tiles.geometry import FUNCTIONS, LANES
from scriptc_runtime.cpu.tiles.move_commands import copy

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
MOST_STEPS = 2048      # of all layers and directions: each is two commands of its own
_FLOAT = 4
_ARRAYS = 4            # packed for each direction of each layer: w_ih, b_ih, w_hh, b_hh

_ACTIVATIONS = {"tanh": Epilogue(function=FUNCTIONS.index("tanh")), "relu": Epilogue(limits=(0.0, np.inf))}


class NativeRecurrent(Native):
    """`lstm`, `gru` or `rnn` over `length` steps of [rows, features] with states of `width`; both sizes are whole vectors."""

    kernels = "product", "pack", "copy", "lstm_cell", "gru_cell"

    def __init__(self, name: str, attributes: Any, length: int, rows: int, features: int, width: int) -> None:
        self._name = name
        self._layers, self._directions = attributes["num_layers"], 2 if attributes["bidirectional"] else 1
        self._batch_first, self._per = attributes["batch_first"], 4 if attributes["bias"] else 2
        self._activation = _ACTIVATIONS[attributes.get("nonlinearity", "tanh") if name == "rnn" else "tanh"]
        self._length, self._rows, self._width, self._wide = length, rows, width, GATES[name] * width
        count = self._layers * self._directions
        self._first = 3 if name == "lstm" else 2        # operand with the first weight
        self.packs = tuple(range(self._first, self._first + count * self._per))
        depths = [features if layer == 0 else width * self._directions for layer in range(self._layers) for _ in range(self._directions)]
        self._inputs = [Dense(length * rows, depth, self._wide, None) for depth in depths]
        self._states = [Dense(rows, width, self._wide, None) for _ in depths]
        self.work = sum(length * rows * (depth + width) * self._wide for depth in depths)

    @staticmethod
    def serves(attributes: Any, length: int, features: int, width: int) -> bool:
        """True for sizes that the commands take."""
        steps = length * attributes["num_layers"] * (2 if attributes["bidirectional"] else 1)
        return features % LANES == 0 and width % LANES == 0 and steps <= MOST_STEPS

    def pack(self, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Panels and bias of the inputs' weight and of the state's, for each direction of each layer."""
        made: list[np.ndarray] = []
        for index, (of_inputs, of_state) in enumerate(zip(self._inputs, self._states, strict=True)):
            w_ih, w_hh, b_ih, b_hh = [*operands[index * self._per:(index + 1) * self._per], None, None][:4]
            assert w_ih is not None and w_hh is not None
            made += [*of_inputs.pack(w_ih, b_ih), *of_state.pack(w_hh, b_hh)]
        return tuple(made)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Layer by layer, each direction after the other."""
        made: list[Command] = []
        sequence = operands[0].swapaxes(0, 1) if self._batch_first else operands[0]
        source: Word = At(In(0))
        for layer in range(self._layers):
            if layer == self._layers - 1:
                target = results[0].swapaxes(0, 1) if self._batch_first else results[0]
            else:
                target = np.empty((self._length, self._rows, self._directions * self._width), np.float32)
            for direction in range(self._directions):
                here = target[..., direction * self._width:(direction + 1) * self._width]
                places: list[Word] = [here[t] for t in range(self._length)]
                if layer == self._layers - 1:
                    places = [At(Out(0), t * here.strides[0] + direction * self._width * _FLOAT) for t in range(self._length)]
                index = layer * self._directions + direction
                parts = np.empty((self._length, self._rows, self._wide), np.float32)
                made.append(self._inputs[index].product(source, At(Packed(_ARRAYS * index)), parts, At(Packed(_ARRAYS * index + 1)),
                                                        row_offsets(sequence), row_offsets(parts)))
                self._steps(made, index, parts, here, places)
                last = 0 if direction else self._length - 1
                kept = copy(here[last], results[1][index], places[last], At(Out(1), index * results[1].strides[0]))
                assert kept is not None
                made.append(kept)
            sequence = source = target
        return made

    def _steps(self, made: list[Command], index: int, parts: np.ndarray, here: np.ndarray, places: Sequence[Word]) -> None:
        """The commands of one direction of one layer; `here` [length, rows, width] lies like the outputs, which begin at `places`."""
        rows, width = self._rows, self._width
        gates, cell = np.empty((rows, self._wide), np.float32), np.empty((rows, width), np.float32)
        state_bytes = rows * width * _FLOAT
        h, h_step, h_rows = At(In(1), index * state_bytes), width * _FLOAT, np.arange(rows, dtype=np.int64) * (width * _FLOAT)
        c: Word = At(In(2), index * state_bytes)
        blocks, distance, out_step = width // LANES, width * _FLOAT, here.strides[1]
        out_rows, gate_rows = np.arange(rows, dtype=np.int64) * out_step, row_offsets(gates)
        order = range(self._length)[::-1] if index % self._directions else range(self._length)
        for t in order:
            made.append(self._states[index].product(
                h, At(Packed(_ARRAYS * index + 2)), gates, At(Packed(_ARRAYS * index + 3)), h_rows, gate_rows,
                added=None if self._name == "gru" else parts[t], epilogue=self._activation if self._name == "rnn" else None))
            if self._name == "lstm":
                new: Word = At(Out(2), index * state_bytes) if t == order[-1] else cell
                made.append(Command("lstm_cell", [gates, gates.strides[0], distance, c, distance, new, distance, places[t], out_step, rows, blocks]))
                c = new
            elif self._name == "gru":
                made.append(Command("gru_cell", [parts[t], parts.strides[1], gates, gates.strides[0], distance, h, h_step, places[t], out_step,
                                                 rows, blocks]))
            else:
                moved = copy(gates, here[t], gates, places[t])
                assert moved is not None
                made.append(moved)
            h, h_step, h_rows = places[t], out_step, out_rows    # type: ignore[assignment]
