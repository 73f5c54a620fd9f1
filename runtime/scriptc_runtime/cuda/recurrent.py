"""Recurrent layers: the input's products for all steps at once, then a product and a cell's kernel for each step, and back again."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc_runtime.cpu.scalars import CONVERSIONS
from scriptc_runtime.cuda import access, movement
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.cuda.lowering import emits, static_shape
from scriptc_runtime.cuda.plain_products import multiply
from scriptc_runtime.cuda.printer import Formula
from scriptc_runtime.cuda.products import Result, matrix, product
from scriptc_runtime.cuda.reductions import reduce
from scriptc_runtime.device import DeviceArray
from scriptc_runtime.plan.lowering import Site

GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def _sigmoid(text: str, number: str) -> str:
    return f"{number}({number}(1) / ({number}(1) + exp(-({text}))))"


def _gates(cell: str, number: str) -> list[str]:
    """t0, ...: the gates of x0, ... (from the input) and x{n}, ... (from the state)."""
    n = GATES[cell]
    both = [f"{number}(x{k} + x{n + k})" for k in range(n)]
    if cell == "lstm":
        return [f"t{k} = {f'tanh({text})' if k == 2 else _sigmoid(text, number)}" for k, text in enumerate(both)]
    if cell == "gru":
        return [f"t0 = {_sigmoid(both[0], number)}", f"t1 = {_sigmoid(both[1], number)}", f"t2 = tanh({number}(x2 + t0 * x5))"]
    return [f"t0 = tanh({both[0]})"] if cell == "tanh" else [f"t1 = {both[0]}", f"t0 = (t1 if t1 > 0 or t1 != t1 else {number}(0))"]


@functools.cache
def step_formula(cell: str, dtype: str, copies: int) -> Formula:
    """(h, `copies` times, and of an LSTM c) of the gates' parts and the state before: c of an LSTM, h of a GRU."""
    number, n = CONVERSIONS[dtype], 2 * GATES[cell]
    lines, inputs, outputs = _gates(cell, number), n, ["t0"] * copies
    if cell == "lstm":
        lines += [f"t4 = {number}(t1 * x{n} + t0 * t2)", f"t5 = {number}(t3 * tanh(t4))"]
        inputs, outputs = n + 1, [*["t5"] * copies, "t4"]
    elif cell == "gru":
        lines.append(f"t3 = {number}(({number}(1) - t1) * t2 + t1 * x{n})")
        inputs, outputs = n + 1, ["t3"] * copies
    return Formula(tuple(lines), (dtype,) * inputs, tuple((name, dtype) for name in outputs))


@functools.cache
def back_formula(cell: str, dtype: str) -> Formula:
    """The gradients of the gates' parts from the input, of a GRU also those from the state, and what reaches the state before directly.

    Inputs: the gates' parts, the state before (c of an LSTM, h of a GRU), the gradient of h as the next step's product gives it, what arrives
    from outside, and the gradient of c of an LSTM, or what reaches h directly of a GRU.
    """
    number, n = CONVERSIONS[dtype], 2 * GATES[cell]
    lines = _gates(cell, number)
    one = f"{number}(1)"
    if cell == "lstm":
        lines += [f"t4 = tanh({number}(t1 * x8 + t0 * t2))", f"t5 = {number}(x9 + x10)", f"t6 = {number}(x11 + t5 * t3 * ({one} - t4 * t4))",
                  f"t7 = {number}(t6 * t2 * t0 * ({one} - t0))", f"t8 = {number}(t6 * x8 * t1 * ({one} - t1))",
                  f"t9 = {number}(t6 * t0 * ({one} - t2 * t2))", f"t10 = {number}(t5 * t4 * t3 * ({one} - t3))", f"t11 = {number}(t6 * t1)"]
        names, inputs = ["t7", "t8", "t9", "t10", "t11"], 12
    elif cell == "gru":
        lines += [f"t3 = {number}(x7 + x8 + x9)", f"t4 = {number}(t3 * ({one} - t1) * ({one} - t2 * t2))",
                  f"t5 = {number}(t3 * (x6 - t2) * t1 * ({one} - t1))", f"t6 = {number}(t4 * x5 * t0 * ({one} - t0))", f"t7 = {number}(t4 * t0)",
                  f"t8 = {number}(t3 * t1)"]
        names, inputs = ["t6", "t5", "t4", "t6", "t5", "t7", "t8"], 10
    else:
        slope = f"({one} - t0 * t0)" if cell == "tanh" else f"({one} if t0 > 0 else {number}(0))"
        lines.append(f"t2 = {number}((x2 + x3) * {slope})")
        names, inputs = ["t2"], n + 2
    return Formula(tuple(lines), (dtype,) * inputs, tuple((name, dtype) for name in names))


def times(work: Work, a: DeviceArray, b: DeviceArray, bias: DeviceArray | None, c: DeviceArray) -> None:
    """c [M, N] (rows may be further apart) = a [M, K] @ b [K, N] + bias; one dimension of a and of b has neighbours."""
    (rows, depth), columns = a.shape, b.shape[1]
    if c.dtype == np.float32:
        product(work, matrix(a, (0, 0), a.strides[0], a.strides[1], rows, depth), matrix(b, (0, 0), b.strides[1], b.strides[0], columns, depth),
                Result(c, c.strides[0]), rows, columns, depth, bias=bias)
    else:
        multiply(work, a, b, bias, c)


def turned(array: DeviceArray) -> DeviceArray:
    """A matrix transposed, in the same memory."""
    return array.view(array.shape[::-1], array.strides[::-1])


def part(array: DeviceArray, *places: int) -> DeviceArray:
    """array[places]"""
    return array.view(array.shape[len(places):], array.strides[len(places):], sum(p * s for p, s in zip(places, array.strides, strict=False)))


def columns_of(array: DeviceArray, start: int, count: int) -> DeviceArray:
    """array[..., start : start + count]"""
    return array.view((*array.shape[:-1], count), array.strides, start)


def rows_of(array: DeviceArray) -> DeviceArray:
    """A contiguous [T, N, C] as [T * N, C]."""
    return array.reshape((array.shape[0] * array.shape[1], array.shape[2]))


@dataclass(slots=True)
class _Record:
    """One direction of one layer: its input, products, and the states before each step; all in the order of time."""

    weights: list[Any]
    from_input: DeviceArray
    from_state: DeviceArray
    before: tuple[DeviceArray, ...]


class _Layers:
    """The layers of one call, in `dtype`."""

    def __init__(self, work: Work, site: Site, cell: str, x: DeviceArray, states: Sequence[DeviceArray], weights: Sequence[DeviceArray]) -> None:
        attributes = site.attributes
        self.work, self.cell, self.gates = work, cell, GATES[cell]
        self.dtype = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
        self.directions, self.per, self.layers = 1 + attributes["bidirectional"], 4 if attributes["bias"] else 2, attributes["num_layers"]
        self.batch_first = attributes["batch_first"]
        self.states, self.weights = [self.held(s) for s in states], [self.held(w) for w in weights]
        self.x = self.held(self.swapped(x))
        self.hidden = self.states[0].shape[2]
        self.steps, self.batch = self.x.shape[:2]

    def held(self, array: DeviceArray) -> DeviceArray:
        """The array contiguous and in the dtype that is computed in."""
        if array.dtype == self.dtype:
            return self.work.contiguous(array)
        made = self.work.empty(array.shape, self.dtype)
        movement.cast(self.work, array, made)
        return made

    def swapped(self, array: DeviceArray) -> DeviceArray:
        """Time first, or back again."""
        if not self.batch_first:
            return array
        return array.view((array.shape[1], array.shape[0], *array.shape[2:]), (array.strides[1], array.strides[0], *array.strides[2:]))

    def written(self, target: DeviceArray, source: DeviceArray) -> None:
        """target = source, in its own dtype."""
        (movement.copy if target.dtype == source.dtype else _cast)(self.work, target, source)

    def empty(self, *shape: int) -> DeviceArray:
        return self.work.empty(shape, self.dtype)

    def parts(self, gates: DeviceArray) -> list[DeviceArray]:
        return [columns_of(gates, k * self.hidden, self.hidden) for k in range(self.gates)]

    def own(self, index: int) -> list[Any]:
        """w_ih, w_hh, b_ih, b_hh of one direction of one layer."""
        return [*self.weights[index * self.per:(index + 1) * self.per], None, None][:4]

    def times_of(self, index: int) -> list[int]:
        """The steps of a direction in the order in which they are taken."""
        return list(range(self.steps))[::-1 if index % self.directions else 1]

    def run(self, index: int, sequence: DeviceArray, out: DeviceArray, record: bool) -> tuple[tuple[DeviceArray, ...], _Record]:
        """One direction of one layer into its columns of `out`: the final states, and what its gradient needs."""
        work, hidden = self.work, self.hidden
        w_ih, w_hh, b_ih, b_hh = self.own(index)
        size = self.gates * hidden
        from_input = self.empty(self.steps, self.batch, size)
        times(work, rows_of(sequence), turned(w_ih), b_ih, rows_of(from_input))
        from_state = self.empty(self.steps if record else 1, self.batch, size)
        before = tuple(self.empty(self.steps if record else 1, self.batch, hidden) for _ in self.states)
        h, c = part(self.states[0], index), part(self.states[-1], index)
        final_c = self.empty(self.batch, hidden)
        formula = step_formula(self.cell, self.dtype.name, 1)
        for t in self.times_of(index):
            here = t if record else 0
            if record:
                for kept, state in zip(before, (h, c), strict=False):
                    work.copy(part(kept, here), state)
            gates = part(from_state, here)
            times(work, h, turned(w_hh), b_hh, gates)
            made = columns_of(part(out, t), index % self.directions * hidden, hidden)
            inputs = [*self.parts(part(from_input, t)), *self.parts(gates)]
            if self.cell == "lstm":
                movement.apply(work, formula, [*inputs, c], [made, final_c])
                c = final_c
            else:
                movement.apply(work, formula, [*inputs, h] if self.cell == "gru" else inputs, [made])
            h = made
        return (h, c)[:len(self.states)], _Record([w_ih, w_hh, b_ih, b_hh], from_input, from_state, before)

    def forward(self, results: Sequence[DeviceArray]) -> None:
        sequence = self.x
        for layer in range(self.layers):
            out = self.empty(self.steps, self.batch, self.directions * self.hidden)
            for index in range(layer * self.directions, (layer + 1) * self.directions):
                states, _ = self.run(index, sequence, out, False)
                for target, state in zip(results[1:], states, strict=True):
                    self.written(part(target, index), state)
            sequence = out
        self.written(self.swapped(results[0]), sequence)

    def backward(self, given: Sequence[DeviceArray], results: Sequence[DeviceArray]) -> None:
        """The gradients of x, the states and the weights into `results`."""
        inputs, records = [], []
        sequence = self.x
        for layer in range(self.layers):
            inputs.append(sequence)
            out = self.empty(self.steps, self.batch, self.directions * self.hidden)
            records += [self.run(index, sequence, out, True)[1] for index in range(layer * self.directions, (layer + 1) * self.directions)]
            sequence = out
        flowing = self.held(self.swapped(given[0]))
        arriving = [self.held(g) for g in given[1:]]
        dstates, dweights = results[1:1 + len(self.states)], results[1 + len(self.states):]
        for layer in reversed(range(self.layers)):
            below: DeviceArray | None = None
            for index in range(layer * self.directions, (layer + 1) * self.directions):
                made = self.empty(*inputs[layer].shape)
                self.back(index, records[index], inputs[layer], flowing, [part(g, index) for g in arriving], [part(d, index) for d in dstates],
                          dweights[index * self.per:(index + 1) * self.per], made)
                if below is None:
                    below = made
                else:
                    movement.add(self.work, below, made, below)
            assert below is not None
            flowing = below
        self.written(self.swapped(results[0]), flowing)

    def back(self, index: int, record: _Record, sequence: DeviceArray, flowing: DeviceArray, given: Sequence[DeviceArray],
             dstates: Sequence[DeviceArray], dweights: Sequence[DeviceArray], below: DeviceArray) -> None:
        """One direction of one layer: the steps from the last to the first, then the weights."""
        work, hidden = self.work, self.hidden
        w_ih, w_hh = record.weights[:2]
        size = self.gates * hidden
        to_input = self.empty(self.steps, self.batch, size)
        to_state = self.empty(self.steps, self.batch, size) if self.cell == "gru" else to_input
        dh, other = self.empty(self.batch, hidden), self.empty(self.batch, hidden)
        work.copy(dh, given[0])
        if self.cell == "lstm":
            work.copy(other, given[1])
        else:
            work.fill(other, 0)
        formula = back_formula(self.cell, self.dtype.name)
        for t in reversed(self.times_of(index)):
            outside = columns_of(part(flowing, t), index % self.directions * hidden, hidden)
            gates = [*self.parts(part(record.from_input, t)), *self.parts(part(record.from_state, t))]
            targets = self.parts(part(to_input, t))
            if self.cell == "lstm":
                movement.apply(work, formula, [*gates, part(record.before[1], t), dh, outside, other], [*targets, other])
            elif self.cell == "gru":
                targets += [*self.parts(part(to_state, t)), other]
                movement.apply(work, formula, [*gates, part(record.before[0], t), dh, other, outside], targets)
            else:
                movement.apply(work, formula, [*gates, dh, outside], targets)
            times(work, part(to_state, t), w_hh, None, dh)
        if self.cell == "gru":
            movement.add(work, dh, other, dh)
        for target, found in zip(dstates, (dh, other), strict=False):
            self.written(target, found)
        if self.steps * self.batch:
            times(work, rows_of(to_input), w_ih, None, rows_of(below))
        for k, (gates_of, source) in enumerate(((to_input, sequence), (to_state, record.before[0]))):
            self.product_of_steps(gates_of, source, dweights[k])
            if self.per == 4:
                self.sum_of_steps(gates_of, dweights[2 + k])

    def product_of_steps(self, gates: DeviceArray, source: DeviceArray, target: DeviceArray) -> None:
        made = target if target.dtype == self.dtype else self.empty(*target.shape)
        times(self.work, turned(rows_of(gates)), rows_of(source), None, made)
        if made is not target:
            self.written(target, made)

    def sum_of_steps(self, gates: DeviceArray, target: DeviceArray) -> None:
        reduce(self.work, "sum", rows_of(gates), (0,), target)


def _cast(work: Work, target: DeviceArray, source: DeviceArray) -> None:
    movement.cast(work, source, target)


def _cell(site: Site) -> str:
    name: str = site.op.name.removesuffix("_gradient")
    return site.attributes["nonlinearity"] if name == "rnn" else name


def _refused(site: Site, first: int) -> str | None:
    kind = site.tensor(first)
    if kind.dtype.name not in access.FLOATS:
        return f"no {kind.dtype}"
    if any(math.prod(static_shape(k)) == 0 for k in site.operand_types):
        return "an empty tensor"
    return None


@emits("lstm", "gru", "rnn")
def lower_recurrent(site: Site) -> Emit | str:
    """Outputs and final states."""
    states = 2 if site.op.name == "lstm" else 1

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        _Layers(work, site, _cell(site), operands[0], operands[1:1 + states], operands[1 + states:]).forward(results)
    return _refused(site, 0) or emit


@emits("lstm_gradient", "gru_gradient", "rnn_gradient")
def lower_recurrent_gradient(site: Site) -> Emit | str:
    """Backpropagation through time: the forward steps once more, then back."""
    states = 2 if site.op.name == "lstm_gradient" else 1
    first = 1 + states

    def emit(work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        layers = _Layers(work, site, _cell(site), operands[first], operands[first + 1:first + 1 + states], operands[first + 1 + states:])
        layers.backward(operands[:first], results)
    return _refused(site, first) or emit
