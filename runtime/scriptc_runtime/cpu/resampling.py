"""Interpolation as sparse combinations: a few taps per output row, then a few per output column.

The taps are the nonzeros of the reference's matrices, so that places and weights are defined once.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import float32
from scriptc.records import Record
from scriptc_runtime.cpu.addresses import address
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.printed import NO_FLOATS, Printed, shares
from scriptc_runtime.cpu.scratch import Scratch
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

ENOUGH = 16384      # multiplications that a thread must get for sharing to pay

# Planes z0 of z3 x z4 to z1 x z2, with k0 taps per row and k1 per column: their places in v1 and weights in v2, taps
# first. v3 holds one row between the two directions. The first tap is not added to zero: -0.0 stays what it is.
_SOURCE = """\
def kernel(v0, v1, v2, v3, o0, n, c):
    z0 = n[0]
    z1 = n[1]
    z2 = n[2]
    z3 = n[3]
    z4 = n[4]
    k0 = n[5]
    k1 = n[6]
    s0 = k0 * z1
    for d0 in range(z0):
        for d1 in range(z1):
            p0 = (d0 * z3 + v1[d1]) * z4
            x0 = v2[d1]
            for d2 in range(z4):
                v3[d2] = x0 * v0[p0 + d2]
            for d3 in range(1, k0):
                p1 = (d0 * z3 + v1[d3 * z1 + d1]) * z4
                x1 = v2[d3 * z1 + d1]
                for d2 in range(z4):
                    v3[d2] = v3[d2] + x1 * v0[p1 + d2]
            p2 = (d0 * z1 + d1) * z2
            for d2 in range(z2):
                o0[p2 + d2] = v2[s0 + d2] * v3[v1[s0 + d2]]
            for d3 in range(1, k1):
                s1 = s0 + d3 * z2
                for d2 in range(z2):
                    o0[p2 + d2] = o0[p2 + d2] + v2[s1 + d2] * v3[v1[s1 + d2]]
"""
_POINTERS = ("float32", "int64", "float32", "float32", "float32")


class Taps(Record):
    """One direction: [taps, outputs] places in `size` inputs, and their weights."""

    size: int
    places: np.ndarray
    weights: np.ndarray

    @property
    def outputs(self) -> int:
        return int(self.places.shape[1])


def taps_of(matrix: np.ndarray) -> Taps:
    """The nonzeros of each row, in order. Rows with fewer repeat their first place with weight 0."""
    is_tap = matrix != 0
    count = max(int(is_tap.sum(1).max()), 1)
    order = np.argsort(~is_tap, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(matrix, order, 1)
    places = np.where(np.take_along_axis(is_tap, order, 1), order, order[:, :1])
    return Taps(matrix.shape[1], np.ascontiguousarray(places.T, np.int64), np.ascontiguousarray(weights.T, np.float32))


class _Pass:
    """Resampling of the last two of [planes, rows, columns]."""

    def __init__(self, planes: int, rows: Taps, columns: Taps) -> None:
        self.shape = planes, rows.size, columns.size
        self.made = planes, rows.outputs, columns.outputs
        self.work = math.prod(self.made) * len(columns.places) + planes * rows.outputs * columns.size * len(rows.places)
        self.places = np.concatenate([rows.places.reshape(-1), columns.places.reshape(-1)])
        self.weights = np.concatenate([rows.weights.reshape(-1), columns.weights.reshape(-1)])
        self._row = Scratch((columns.size,), np.dtype(np.float32))
        self.integers = np.array([*self.made, rows.size, columns.size, len(rows.places), len(columns.places)], np.int64)

    def __call__(self, function: Any, x: np.ndarray, out: np.ndarray) -> None:
        if x.shape != self.shape or out.shape != self.made:   # must never reach raw memory
            raise RuntimeError(f"a kernel for {self.shape} was called with {x.shape}")
        with self._row.lend() as row:
            function(*map(address, (x, self.places, self.weights, row, out, self.integers, NO_FLOATS)))


@lowers("interpolate", target="cpu")
def lower_interpolate(site: Site) -> Kernel | None:
    """Every mode but `area` over float32: planes in one pass, volumes in two."""
    kind, attributes = site.tensor(0), site.attributes
    if not is_native(site) or kind.dtype is not float32 or not is_static(kind) or attributes["mode"] == "area":
        return None
    shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
    result: tuple[int, ...] = site.result_types[0].shape  # type: ignore[union-attr, assignment]
    code = code_for(_SOURCE, _POINTERS)
    if not all(shape) or not all(result) or code is None:
        return None
    from scriptc.interp.ops.vision import resampling_matrix, wide_matrix

    make = wide_matrix if attributes["antialias"] else resampling_matrix
    scales = attributes["scale_factors"] or (None,) * len(shape[2:])
    taps = [taps_of(make(size, count, attributes["mode"], scale, attributes["align_corners"]))
            for size, count, scale in zip(shape[2:], result[2:], scales, strict=True)]
    planes = shape[0] * shape[1]
    if len(taps) == 1:
        taps = [taps_of(np.eye(1)), *taps]
    passes = [_Pass(planes * (taps[0].size if len(taps) == 3 else 1), taps[-2], taps[-1])]
    if len(taps) == 3:
        passes.append(_Pass(planes, taps[0], taps_of(np.eye(taps[1].outputs * taps[2].outputs))))
    return Kernel("interpolate", _Interpolation(code, passes, functools.partial(REFERENCES["interpolate"], **attributes)),
                  writes_out=True, fresh=True, native=NativeInterpolation(code, passes[0]) if len(passes) == 1 else None)


class NativeInterpolation(Printed):
    """Planes in one pass, as a command; each thread has some of them."""

    def __init__(self, code: Code, only: _Pass) -> None:
        super().__init__(code, only.work)
        self._pass = only

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        (planes, rows, columns), made = self._pass.shape, self._pass.made
        parts: list[list[Word]] = []
        for first, last in shares(planes, threads, self.work, ENOUGH):
            integers = self._pass.integers.copy()
            integers[0] = last - first
            parts.append([At(In(0), 4 * first * rows * columns), self._pass.places, self._pass.weights, np.empty(columns, np.float32),
                          At(Out(0), 4 * first * made[1] * made[2]), integers, NO_FLOATS])
        command = self.calls(parts)
        return None if command is None else [command]


class _Interpolation:
    """The passes of one site; the reference answers until the loop is compiled."""

    def __init__(self, code: Code, passes: list[_Pass], reference: Any) -> None:
        self._code = code
        self._passes = passes
        self._reference = reference
        self._work = sum(p.work for p in passes)
        self._between = Scratch(passes[0].made, np.dtype(np.float32))

    def __call__(self, x: np.ndarray, *sizes: int, out: tuple[np.ndarray, ...]) -> None:
        function = self._code.ready(self._work)
        if function is None:
            np.copyto(out[0], self._reference(x, *sizes))
            return
        first, last = self._passes[0], self._passes[-1]
        x = np.ascontiguousarray(x).reshape(first.shape)
        result = out[0].reshape(last.made)
        if first is last:
            first(function, x, result)
            return
        with self._between.lend() as between:
            first(function, x, between)
            last(function, between.reshape(last.shape), result)
