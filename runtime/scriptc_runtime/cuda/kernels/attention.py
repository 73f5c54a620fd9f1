"""Attention in one pass (Dao et al. 2022): softmax(q kT scale + mask) v by blocks of keys, the scores never leave the registers.

float32 on the tensor cores at the accuracy of float32, as in `products`. A warp has sixteen rows of q; q and a block of k and v lie in shared
memory. Rows are scaled by their largest score so far; a row that sees no key gives zeros.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc_runtime.cuda.kernels.text import BYTES, FLOAT, Lines, compiled
from scriptc_runtime.cuda.numba_cuda import SIMULATED

SHARED_FLOATS = 12288      # of the 48 KiB that a kernel may have without asking


@dataclass(frozen=True, slots=True)
class Form:
    """What a kernel is compiled for: rows of q and keys in a block, features of q and k and of v (multiples of 32), the mask (``, `add`, `bool`).

    `vector`: lines of q, k and v begin at multiples of 16 bytes and their features are a multiple of 4.
    """

    rows: int
    keys: int
    features: int
    values: int
    causal: bool
    mask: str
    vector: bool

    @property
    def threads(self) -> int:
        return 2 * self.rows


def form_for(features: int, values: int, *, causal: bool, mask: str, vector: bool) -> Form | None:
    """The form that fits these features into shared memory; None if none does."""
    wide, deep = -(-values // 32) * 32, -(-features // 32) * 32
    for rows, keys in ((64, 64), (64, 32), (32, 32), (16, 16)):
        if rows * deep + keys * (deep + wide) <= SHARED_FLOATS and keys * wide // 2 <= 4096:
            return Form(rows, keys, deep, wide, causal, mask, vector)
    return None


ARGUMENTS = {
    "q": FLOAT, "k": FLOAT, "v": FLOAT, "mask": FLOAT, "out": FLOAT,
    "length": "int64", "keys": "int64", "features": "int64", "values": "int64", "heads": "int64", "scale": "float32",
    # where each begins, and the elements from one batch, head and row to the next; of the mask from one key to the next too
    **{f"{n}_{what}": "int64" for n in ("q", "k", "v", "mask", "out") for what in ("start", "batch", "head", "row")}, "mask_key": "int64",
}


@functools.cache
def attention_kernel(form: Form) -> Any:
    """The compiled kernel: a grid of (blocks of rows) x batches x heads blocks of `form.threads` threads."""
    text = Lines()
    for name, lines, width in (("q", form.rows, form.features), ("k", form.keys, form.features), ("v", form.keys, form.values)):
        text.add(f"{name}_shared = cuda.shared.array({lines * width}, float32)")
    text.add(["t = int64(cuda.threadIdx.x)", "lane = t & 31", "warp = t >> 5", f"blocks = divide(length + {form.rows - 1}, {form.rows})",
              "z = divide(int64(cuda.blockIdx.x), blocks)", "batch = divide(z, heads)", "head = z - batch * heads",
              f"row0 = (int64(cuda.blockIdx.x) - z * blocks) * {form.rows}"])
    text.add(f"{n}_at = {n}_start + batch * {n}_batch + head * {n}_head" for n in ("q", "k", "v", "mask", "out"))
    text.add(_copies("q", form.rows, form.features, "row0", "length", "features", form))
    text.add(["state = start()", "last = keys"])
    if form.causal:
        text.add(f"last = min(keys, row0 + {form.rows})")
    text.add(f"for key0 in range(0, last, {form.keys}):")
    text.add("cuda.syncthreads()", 2)
    text.add(_copies("k", form.keys, form.features, "key0", "keys", "features", form), 2)
    text.add(_copies("v", form.keys, form.values, "key0", "keys", "values", form), 2)
    text.add(["copy_commit()", "copy_wait_0()", "cuda.syncthreads()",
              "state = attend(state, q_shared, k_shared, v_shared, mask, mask_at, mask_row, mask_key, row0, key0, length, keys, scale, "
              "warp, lane)"], 2)
    text.add("finish(state, out, out_at, out_row, row0, length, values, warp, lane)")
    start, attend, finish = functions(form)
    arguments = {**ARGUMENTS, "mask": BYTES} if form.mask == "bool" else ARGUMENTS
    return compiled(arguments, text, {"start": start, "attend": attend, "finish": finish}, about=repr(form), threads=form.threads)


def _copies(name: str, lines: int, width: int, first: str, end: str, features: str, form: Form) -> Iterator[str]:
    """A block of `lines` lines from `first` on into shared memory, zeros where there is nothing."""
    piece = 4 if form.vector else 1
    count, pieces = lines * width // piece, width // piece
    yield f"for e in range(t, {count}, {form.threads}):"
    yield f"    line = e // {pieces}"
    yield f"    part = (e - line * {pieces}) * {piece}"
    swizzle = "((part >> 2) ^ (line & 7)) * 4 + (part & 3)" if name != "v" else "part ^ (8 * ((line >> 1) & 3))"
    copy = "copy_async_16" if form.vector else "copy_async_4"
    yield (f"    {copy}({name}_shared, line * {width} + ({swizzle}), {name}, {name}_at + ({first} + line) * {name}_row + part, "
           f"({first} + line < {end}) & (part < {features}))")


@functools.cache
def functions(form: Form) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """start() -> state; attend(state, ...) -> state with a block of keys taken in; finish(state, ...) writes the rows.

    The state of a lane: its sums (two rows, two columns of every eight), the largest score and the sum of weights of its two rows.
    """
    return _simulated(form) if SIMULATED else _generated(form)


def _simulated(form: Form) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    columns = form.values // 8

    def start() -> tuple[np.float32, ...]:
        return (np.float32(0),) * (4 * columns) + (np.float32(-np.inf),) * 2 + (np.float32(0),) * 2

    def attend(state: tuple[Any, ...], q: Any, k: Any, v: Any, mask: Any, mask_at: int, mask_row: int, mask_key: int, row0: int, key0: int,
               length: int, keys: int, scale: Any, warp: int, lane: int) -> tuple[Any, ...]:
        g, p = int(lane) // 4, int(lane) % 4
        sums, largest, weight = list(state[:4 * columns]), list(state[4 * columns:4 * columns + 2]), list(state[4 * columns + 2:])

        def deep(array: Any, line: int) -> np.ndarray:
            places = [line * form.features + ((d >> 2) ^ (line & 7)) * 4 + (d & 3) for d in range(form.features)]
            return np.asarray(array)[places].astype(np.float64)
        for h in range(2):
            line = 16 * int(warp) + g + 8 * h
            row = int(row0) + line
            scores = np.full(form.keys, -np.inf)
            for j in range(form.keys):
                key = int(key0) + j
                if key >= keys or (form.causal and key > row):
                    continue
                scores[j] = np.float32(deep(q, line) @ deep(k, j)) * scale
                if form.mask and row < length:
                    m = mask[mask_at + row * mask_row + key * mask_key]
                    scores[j] = scores[j] + m if form.mask == "add" else (scores[j] if m else -np.inf)
            with np.errstate(all="ignore"):
                most = np.fmax(largest[h], np.fmax.reduce(scores))
                held = most if most > -np.inf else 0.0
                shrink, parts = np.exp(largest[h] - held), np.exp(scores - held)
                weight[h] = weight[h] * shrink + parts.sum()
                largest[h] = most
                for j in range(columns):
                    for e in range(2):
                        d = 8 * j + 2 * p + e
                        taken = np.array([v[key * form.values + (d ^ 8 * (key >> 1 & 3))] for key in range(form.keys)], np.float64)
                        at = 4 * j + 2 * h + e
                        sums[at] = sums[at] * shrink + parts @ taken
        return (*sums, *largest, *weight)

    def finish(state: tuple[Any, ...], out: Any, out_at: int, out_row: int, row0: int, length: int, values: int, warp: int, lane: int) -> None:
        g, p = int(lane) // 4, int(lane) % 4
        for h in range(2):
            row, weight = int(row0) + 16 * int(warp) + g + 8 * h, state[4 * columns + 2 + h]
            for j in range(columns):
                for e in range(2):
                    d = 8 * j + 2 * p + e
                    if row < length and d < values:
                        out[out_at + row * out_row + d] = 0 if weight == 0 else state[4 * j + 2 * h + e] / weight
    return start, attend, finish


def _generated(form: Form) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    from llvmlite import ir

    from scriptc_runtime.cuda.intrinsics import F32, intrinsic, place_of, types

    columns = form.values // 8
    kind = types.UniTuple(types.float32, 4 * columns + 4)

    @intrinsic
    def start(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values = [0.0] * (4 * columns) + [float("-inf")] * 2 + [0.0] * 2
            return context.make_tuple(builder, kind, [ir.Constant(F32, v) for v in values])
        return kind(), generate

    @intrinsic
    def attend(typing: Any, state: Any, q: Any, k: Any, v: Any, mask: Any, mask_at: Any, mask_row: Any, mask_key: Any, row0: Any, key0: Any,
               length: Any, keys: Any, scale: Any, warp: Any, lane: Any) -> Any:
        signature = kind(kind, q, k, v, mask, *[types.int64] * 7, types.float32, types.int64, types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            from scriptc_runtime.cuda.kernels.attention_block import Attend

            return context.make_tuple(builder, kind, Attend(form, context, builder, signature, arguments).state())
        return signature, generate

    @intrinsic
    def finish(typing: Any, state: Any, out: Any, out_at: Any, out_row: Any, row0: Any, length: Any, values: Any, warp: Any, lane: Any) -> Any:
        signature = types.void(kind, out, *[types.int64] * 7)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            state, out, out_at, out_row, row0, length, values, warp, lane = arguments
            b, whole = builder, row0.type
            g, p = b.lshr(lane, ir.Constant(whole, 2)), b.and_(lane, ir.Constant(whole, 3))
            first = b.add(b.add(row0, b.mul(warp, ir.Constant(whole, 16))), g)
            for h in range(2):
                row = b.add(first, ir.Constant(whole, 8 * h))
                weight = b.extract_value(state, 4 * columns + 2 + h)
                nothing = b.fcmp_ordered("==", weight, ir.Constant(F32, 0.0))
                line = b.add(out_at, b.mul(row, out_row))
                with b.if_then(b.icmp_signed("<", row, length)):
                    for j in range(columns):
                        for e in range(2):
                            d = b.add(b.shl(p, ir.Constant(whole, 1)), ir.Constant(whole, 8 * j + e))
                            value = b.fdiv(b.extract_value(state, 4 * j + 2 * h + e), weight)
                            with b.if_then(b.icmp_signed("<", d, values)):
                                b.store(b.select(nothing, ir.Constant(F32, 0.0), value), place_of(context, b, signature.args[1], out, b.add(line, d)))
            return context.get_dummy_value()
        return signature, generate

    return start, attend, finish
