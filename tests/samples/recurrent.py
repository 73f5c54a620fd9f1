"""Recurrent layers: one and two deep, one and two directions, with and without bias, either order of time and batch."""
from __future__ import annotations

import itertools
from typing import Any

from tests.samples import Sample, normal

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def meaning(kind: str, layers: int, bidirectional: bool, bias: bool, batch_first: bool) -> Any:
    def call(x: Any, *operands: Any) -> Any:
        import torch

        states, weights = (operands[:2], operands[2:]) if kind == "lstm" else (operands[0], operands[1:])
        return getattr(torch._VF, kind)(x, states, list(weights), bias, layers, 0.0, False, bidirectional, batch_first)  # type: ignore[attr-defined]
    return call


def sample(kind: str, layers: int, bidirectional: bool, bias: bool, batch_first: bool, steps: int = 4, dtype: str = "float64") -> Sample:
    directions, hidden, gates = 2 if bidirectional else 1, 3, GATES[kind]
    weights: list[Any] = []
    for layer in range(layers):
        width = 5 if layer == 0 else hidden * directions
        for _ in range(directions):
            weights += [normal(gates * hidden, width, dtype=dtype), normal(gates * hidden, hidden, dtype=dtype)]
            weights += [normal(gates * hidden, dtype=dtype), normal(1, gates * hidden, dtype=dtype)[0]] if bias else []
    x = normal(2, steps, 5, dtype=dtype) if batch_first else normal(steps, 2, 5, dtype=dtype)
    states = [normal(layers * directions, 2, hidden, dtype=dtype)] * (2 if kind == "lstm" else 1)
    attributes: dict[str, Any] = {"num_layers": layers, "bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    if kind.startswith("rnn"):
        attributes["nonlinearity"] = kind.removeprefix("rnn_")
    return Sample(kind.split("_")[0], (x, *states, *weights), attributes, meaning(kind, layers, bidirectional, bias, batch_first),
                  dtype == "float64")


SAMPLES = [sample(kind, *form) for kind in GATES
           for form in ((1, False, True, False), (2, True, True, False), (2, False, False, True), (1, True, True, True))]
SAMPLES += [sample(kind, 1, False, True, False, steps, dtype)
            for kind, (steps, dtype) in itertools.product(GATES, ((1, "float64"), (4, "float32")))]
