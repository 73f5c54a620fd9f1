"""The cells of recurrent layers: what the gates of one step make of the state, for a number of whole vectors."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import Lanes
from scriptc_runtime.cpu.tiles.geometry import VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import I64, Tile, constant, load_vector, store_vector

Read = Callable[[Any], Any]
Body = Callable[[Lanes, Read, Sequence[Any]], Sequence[Any]]      # what to write, given how to read a vector at an address and the addresses


def cell_tile(name: str, given: Sequence[int], made_: int, body: Body) -> Tile:
    """A tile of arrays whose vectors stand at the same offsets.

    `given`: how many arrays each address stands for, `distance` bytes apart. Arguments: these addresses, the distance, the addresses of the
    `made_` arrays it writes, the vectors (one at least). An array may be written where it is read.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        *addresses, count = made.args
        distance = addresses[len(given)]
        sources = []
        for base, arrays in zip(addresses, given, strict=False):
            for _ in range(arrays):
                sources.append(base)
                base = b.add(base, distance)
        before, loop, end = b.block, made.append_basic_block("loop"), made.append_basic_block("end")
        b.branch(loop)
        b = ir.IRBuilder(loop)
        left, offset = b.phi(I64), b.phi(I64)
        left.add_incoming(count, before)
        offset.add_incoming(constant(0), before)
        values = body(Lanes(module, b), lambda base: load_vector(b, b.add(base, offset)), sources)
        for value, target in zip(values, addresses[len(given) + 1:], strict=True):
            store_vector(b, value, b.add(target, offset))
        remaining = b.sub(left, constant(1))
        left.add_incoming(remaining, loop)
        offset.add_incoming(b.add(offset, constant(VECTOR_BYTES)), loop)
        b.cbranch(b.icmp_signed("!=", remaining, constant(0)), loop, end)
        ir.IRBuilder(end).ret_void()

    return Tile(name, len(given) + made_ + 2, write)


def _lstm(lanes: Lanes, read: Read, sources: Sequence[Any]) -> list[Any]:
    """c = f c + i g, h = o tanh(c); the gates come in the order i, f, g, o."""
    b = lanes.b
    i, f, g, o, c = map(read, sources)
    new = b.call(lanes.fma, [lanes.sigmoid(f), c, b.fmul(lanes.sigmoid(i), lanes.tanh(g))])
    return [new, b.fmul(lanes.sigmoid(o), lanes.tanh(new))]


def _gru(lanes: Lanes, read: Read, sources: Sequence[Any]) -> list[Any]:
    """h = (1 - z) n + z h, where r and z are gates and n = tanh(x part + r (h part)); both parts come in the order r, z, n."""
    b = lanes.b
    r, z, n, inner_r, inner_z, inner_n, h = map(read, sources)
    reset, update = lanes.sigmoid(b.fadd(r, inner_r)), lanes.sigmoid(b.fadd(z, inner_z))
    new = lanes.tanh(b.call(lanes.fma, [reset, inner_n, n]))
    return [b.fadd(b.fmul(b.fsub(lanes.all(1.0), update), new), b.fmul(update, h))]


def cell_tiles() -> tuple[Tile, ...]:
    return cell_tile("scriptc_lstm_cell", (4, 1), 2, _lstm), cell_tile("scriptc_gru_cell", (3, 3, 1), 1, _gru)


def cell_kernels(word: Any, intrinsic: Any) -> dict[str, Any]:
    """`lstm_cell` and `gru_cell` as numba functions (table, thread, threads): the threads share out the columns of the state."""
    lstm, gru = intrinsic("scriptc_lstm_cell"), intrinsic("scriptc_gru_cell")
    vector = VECTOR_BYTES

    @compiled
    def lstm_cell(d: Any, t: Any, n: Any) -> None:
        gates, gates_step, distance, c, c_step = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        new, new_step, h, h_step, rows, blocks = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        first, last = blocks * t // n, blocks * (t + 1) // n
        shift = first * vector
        if last > first:
            for row in range(rows):
                lstm(gates + row * gates_step + shift, c + row * c_step + shift, distance, new + row * new_step + shift,
                     h + row * h_step + shift, last - first)

    @compiled
    def gru_cell(d: Any, t: Any, n: Any) -> None:
        part, part_step, inner, inner_step, distance = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        h, h_step, new, new_step, rows, blocks = word(d, 5), word(d, 6), word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        first, last = blocks * t // n, blocks * (t + 1) // n
        shift = first * vector
        if last > first:
            for row in range(rows):
                gru(part + row * part_step + shift, inner + row * inner_step + shift, h + row * h_step + shift, distance,
                    new + row * new_step + shift, last - first)

    return {"lstm_cell": lstm_cell, "gru_cell": gru_cell}
