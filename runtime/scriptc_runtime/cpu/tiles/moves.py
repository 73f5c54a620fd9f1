"""Kernels that move data and run other compiled code: strided copies, and calls of printed loops inside a list of commands."""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.geometry import COPY_DIMS, LANES, MOST_ARGUMENTS, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import I32, I64, Tile, constant, load_vector, load_word, store_vector

I8 = ir.IntType(8)


def move_tile() -> Tile:
    """Copy neighbouring bytes. Arguments: source, target, their count; the two do not overlap."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, target, count = made.args
        entry = b.block
        wide, tail, last, rest, one, end = (made.append_basic_block(name) for name in ("wide", "tail", "last", "rest", "one", "end"))
        whole = b.and_(count, constant(-VECTOR_BYTES))
        b.cbranch(b.icmp_signed(">", whole, constant(0)), wide, rest)
        b = ir.IRBuilder(wide)
        place = b.phi(I64)
        place.add_incoming(constant(0), entry)
        store_vector(b, load_vector(b, b.add(source, place)), b.add(target, place))
        following = b.add(place, constant(VECTOR_BYTES))
        place.add_incoming(following, wide)
        b.cbranch(b.icmp_signed("<", following, whole), wide, tail)
        b = ir.IRBuilder(tail)
        b.cbranch(b.icmp_signed("!=", whole, count), last, end)
        b = ir.IRBuilder(last)      # the last vector again, up to the end
        place = b.sub(count, constant(VECTOR_BYTES))
        store_vector(b, load_vector(b, b.add(source, place)), b.add(target, place))
        b.branch(end)
        b = ir.IRBuilder(rest)
        b.cbranch(b.icmp_signed(">", count, constant(0)), one, end)
        b = ir.IRBuilder(one)
        index = b.phi(I64)
        index.add_incoming(constant(0), rest)
        value = b.load(b.inttoptr(b.add(source, index), I8.as_pointer()))
        b.store(value, b.inttoptr(b.add(target, index), I8.as_pointer()))
        following = b.add(index, constant(1))
        index.add_incoming(following, one)
        b.cbranch(b.icmp_signed("<", following, count), one, end)
        ir.IRBuilder(end).ret_void()

    return Tile("scriptc_move", 3, write)


def gather_tile(size: int) -> Tile:
    """Copy elements of `size` bytes. Arguments: source, its step in bytes, target, its step, count (not zero)."""
    kind = ir.IntType(8 * size)

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, source_step, target, target_step, count = made.args
        entry, loop, end = b.block, made.append_basic_block("loop"), made.append_basic_block("end")
        b.branch(loop)
        b = ir.IRBuilder(loop)
        left, read, written = b.phi(I64), b.phi(I64), b.phi(I64)
        for phi, value in ((left, count), (read, source), (written, target)):
            phi.add_incoming(value, entry)
        loaded = b.load(b.inttoptr(read, kind.as_pointer()))
        loaded.align = 1
        stored = b.store(loaded, b.inttoptr(written, kind.as_pointer()))
        stored.align = 1
        remaining = b.sub(left, constant(1))
        for phi, value in ((left, remaining), (read, b.add(read, source_step)), (written, b.add(written, target_step))):
            phi.add_incoming(value, loop)
        b.cbranch(b.icmp_signed("!=", remaining, constant(0)), loop, end)
        ir.IRBuilder(end).ret_void()

    return Tile(f"scriptc_gather_{size}", 5, write)


def weave_tile() -> Tile:
    """Pixels of three channels from three planes. Arguments: the first plane, bytes to the next, the pixels, their count in vectors (not zero)."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, distance, target, count = made.args
        entry, loop, end = b.block, made.append_basic_block("loop"), made.append_basic_block("end")
        b.branch(loop)
        b = ir.IRBuilder(loop)
        left, read, written = b.phi(I64), b.phi(I64), b.phi(I64)
        for phi, value in ((left, count), (read, source), (written, target)):
            phi.add_incoming(value, entry)
        second = b.add(read, distance)
        planes = [load_vector(b, place) for place in (read, second, b.add(second, distance))]
        lanes = ir.VectorType(I32, LANES)
        for part in range(3):
            pixel, channel = zip(*(divmod(part * LANES + lane, 3) for lane in range(LANES)), strict=True)
            two = [p + LANES * c if c < 2 else 0 for p, c in zip(pixel, channel, strict=True)]
            both = b.shuffle_vector(planes[0], planes[1], ir.Constant(lanes, two))
            last = [LANES + p if c == 2 else lane for lane, (p, c) in enumerate(zip(pixel, channel, strict=True))]
            store_vector(b, b.shuffle_vector(both, planes[2], ir.Constant(lanes, last)), written, part * VECTOR_BYTES)
        remaining = b.sub(left, constant(1))
        left.add_incoming(remaining, loop)
        read.add_incoming(b.add(read, constant(VECTOR_BYTES)), loop)
        written.add_incoming(b.add(written, constant(3 * VECTOR_BYTES)), loop)
        b.cbranch(b.icmp_signed("!=", remaining, constant(0)), loop, end)
        ir.IRBuilder(end).ret_void()

    return Tile("scriptc_weave", 4, write)


def invoke_tile() -> Tile:
    """Call a function of up to MOST_ARGUMENTS words. Arguments: its address, the address of the words, their count."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        function, table, count = made.args
        end = made.append_basic_block("end")
        choice = b.switch(count, end)
        for number in range(1, MOST_ARGUMENTS + 1):
            block = made.append_basic_block(f"with{number}")
            choice.add_case(constant(number), block)
            inner = ir.IRBuilder(block)
            kind = ir.FunctionType(ir.VoidType(), [I64] * number)
            inner.call(inner.inttoptr(function, kind.as_pointer()), [load_word(inner, table, index) for index in range(number)])
            inner.branch(end)
        ir.IRBuilder(end).ret_void()

    return Tile("scriptc_invoke", 3, write)


SIZES = (1, 2, 4, 8, 16)


def move_tiles() -> tuple[Tile, ...]:
    return (move_tile(), invoke_tile(), *map(gather_tile, SIZES))


def move_kernels(word: Any, intrinsic: Any, chain: Any) -> dict[str, Any]:
    """`copy` and `call` as numba functions (table, thread, threads)."""
    move, invoke = intrinsic("scriptc_move"), intrinsic("scriptc_invoke")
    gather = chain({size: f"scriptc_gather_{size}" for size in SIZES})
    dims = COPY_DIMS

    @compiled
    def copy(d: Any, t: Any, n: Any) -> None:
        """Runs of elements, at the places that the outer dimensions' sizes and byte steps say."""
        source, target, size, count, source_step, target_step = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5)
        n1, n2, n3, n4 = word(d, 7), word(d, 8), word(d, 9), word(d, 10)
        total = word(d, 6) * n1 * n2 * n3 * n4
        first, last = total * t // n, total * (t + 1) // n
        rest = first
        i4 = rest % n4
        rest //= n4
        i3 = rest % n3
        rest //= n3
        i2 = rest % n2
        rest //= n2
        i1 = rest % n1
        i0 = rest // n1
        sources, targets = 6 + dims, 6 + 2 * dims
        for _ in range(first, last):
            read = source + i0 * word(d, sources) + i1 * word(d, sources + 1) + i2 * word(d, sources + 2) + i3 * word(d, sources + 3) \
                + i4 * word(d, sources + 4)
            written = target + i0 * word(d, targets) + i1 * word(d, targets + 1) + i2 * word(d, targets + 2) + i3 * word(d, targets + 3) \
                + i4 * word(d, targets + 4)
            if source_step == size and target_step == size:
                move(read, written, count * size)
            else:
                gather(size, read, source_step, written, target_step, count)
            i4 += 1
            if i4 == n4:
                i4, i3 = 0, i3 + 1
            if i3 == n3:
                i3, i2 = 0, i2 + 1
            if i2 == n2:
                i2, i1 = 0, i1 + 1
            if i1 == n1:
                i1, i0 = 0, i0 + 1

    @compiled
    def call(d: Any, t: Any, n: Any) -> None:
        """A function once per part, each part with words of its own."""
        function, parts, count = word(d, 0), word(d, 1), word(d, 2)
        for part in range(parts * t // n, parts * (t + 1) // n):
            invoke(function, d + (3 + part * count) * 8, count)

    return {"copy": copy, "call": call}
