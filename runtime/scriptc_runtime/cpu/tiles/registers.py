"""Register tiles as LLVM IR: the vector code of every heavy kernel.

A vector holds LANES float32 values: 16 channels of one pixel, or 16 features of one row. Activations are blocked, `[C/16][places][16]`, so a
place of a block is one vector. Which places a tile works on is said by tables of byte offsets, so that one tile serves every stride,
dilation, image size and matrix. LLVM splits the vectors on machines whose registers are narrower.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from scriptc.records import Record
from scriptc_runtime.cpu.tiles.geometry import LANES, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.parts import product_name

F32 = ir.FloatType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)
VECTOR = ir.VectorType(F32, LANES)
Matrix = Sequence[Sequence[float]]

# Words of the table that a product tile reads: three nested counts with the byte steps of A, the byte distance of C's (and the
# residual's) blocks. B is read from front to back.
COUNTS, STEPS, BLOCK_STEP, TABLE_WORDS = (0, 2, 4), (1, 3, 5), 6, 7
UNROLLED = 4      # steps of k in the body of a product's loop: longer ones are read from memory at half the speed, and decoded so on some CPUs



class Tile(Record):
    """One tile: its name, how many addresses it takes, and what writes its body."""

    name: str
    count: int
    write: Callable[[ir.Module, ir.Function, ir.IRBuilder], None]

    def emit(self, module: ir.Module) -> None:
        """Define the tile in a module."""
        made = self.declare(module)
        self.write(module, made, ir.IRBuilder(made.append_basic_block("entry")))

    def declare(self, module: ir.Module) -> ir.Function:
        """The tile as a function of a module."""
        found = module.globals.get(self.name)
        return found if found is not None else ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * self.count), self.name)



def constant(number: int) -> ir.Constant:
    return ir.Constant(I64, number)


def address(builder: ir.IRBuilder, base: Any, offset: int, kind: ir.Type) -> Any:
    where = builder.add(base, constant(offset)) if offset else base
    return builder.inttoptr(where, kind.as_pointer())


def load_vector(builder: ir.IRBuilder, base: Any, offset: int = 0) -> Any:
    loaded = builder.load(address(builder, base, offset, VECTOR))
    loaded.align = 4
    return loaded


def store_vector(builder: ir.IRBuilder, value: Any, base: Any, offset: int = 0) -> None:
    stored = builder.store(value, address(builder, base, offset, VECTOR))
    stored.align = 4


def load_word(builder: ir.IRBuilder, base: Any, index: int) -> Any:
    return builder.load(address(builder, base, 8 * index, I64))


def broadcast(builder: ir.IRBuilder, base: Any, offset: int = 0) -> Any:
    """The float at an address in every lane."""
    value = builder.load(address(builder, base, offset, F32))
    value.align = 4
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def multiply_add(module: ir.Module) -> ir.Function:
    """llvm.fma on vectors; llvmlite's own declaration knows scalars only."""
    name = f"llvm.fma.v{LANES}f32"
    found = module.globals.get(name)
    return found if found is not None else ir.Function(module, ir.FunctionType(VECTOR, [VECTOR] * 3), name)


def fetch(module: ir.Module, builder: ir.IRBuilder, place: Any) -> None:
    """Have the line of an address brought to the second cache. It need not exist."""
    pointer = address(builder, place, 0, ir.IntType(8))
    name = "llvm.prefetch.p0"
    made = module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32]), name)
    builder.call(made, [pointer, ir.Constant(I32, 0), ir.Constant(I32, 2), ir.Constant(I32, 1)])


def clamp(builder: ir.IRBuilder, value: Any, low: Any, high: Any) -> Any:
    """min(max(value, low), high); nan stays nan."""
    value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
    return builder.select(builder.fcmp_ordered(">", value, high), high, value)


def product_tile(rows: int, blocks: int, run: int = LANES, panels: int = 1) -> Tile:
    """C[row][block] = clamp(bias[block] + sum over k of A[row][k] * B[k][block] + residual[row][block]).

    Arguments: A, B, C, bias, residual (or 0), offsets of A's rows, offsets of C's rows (the residual's too), table, limits, and of one panel
    memory that will be read soon, of several the bytes from one to the next. k runs over three counts of the table times `run` neighbouring
    floats, a few of them to a turn of the innermost loop. `blocks` are those of all panels.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, weights, c, bias, residual, a_rows, c_rows, table, limits, ahead = made.args
        fma = multiply_add(module)
        width = blocks // panels
        apart = [constant(0), *(b.mul(ahead, constant(index)) for index in range(1, panels))]
        starts = [b.add(a, load_word(b, a_rows, row)) for row in range(rows)]
        zero = ir.Constant(VECTOR, [0.0] * LANES)
        sums: list[Any] = [zero] * (rows * blocks)
        counts = [load_word(b, table, word) for word in COUNTS]
        steps = [load_word(b, table, word) for word in STEPS]
        body = UNROLLED if run % UNROLLED == 0 else run
        if body < run:
            counts.append(constant(run // body))
            steps.append(constant(4 * body))
        turn = body * blocks * VECTOR_BYTES
        fetches = panels == 1 and turn & (turn - 1) == 0
        soon = b.sub(ahead, b.lshr(weights, constant(turn.bit_length() - 8))) if fetches else None

        def nest(b: ir.IRBuilder, level: int, offset: Any, panel: Any, sums: list[Any]) -> tuple[ir.IRBuilder, Any, list[Any]]:
            if level == len(counts):
                places = [b.add(start, offset) for start in starts]
                if fetches:     # two lines in each turn: as many turns as there are pairs of lines to a panel's quarter (of two blocks, four steps)
                    line = b.add(soon, b.lshr(panel, constant(turn.bit_length() - 8)))
                    fetch(module, b, line)
                    fetch(module, b, b.add(line, constant(VECTOR_BYTES)))
                bases = [b.add(panel, place) if index else panel for index, place in enumerate(apart)]
                for k in range(body):
                    loaded = [load_vector(b, base, (k * width + block) * VECTOR_BYTES) for base in bases for block in range(width)]
                    for row in range(rows):
                        value = broadcast(b, places[row], 4 * k)
                        for block in range(blocks):
                            index = row * blocks + block
                            sums[index] = b.call(fma, [value, loaded[block], sums[index]])
                return b, b.add(panel, constant(body * width * VECTOR_BYTES)), sums
            before = b.block
            head, after = made.append_basic_block(f"loop{level}"), made.append_basic_block(f"after{level}")
            b.branch(head)
            b = ir.IRBuilder(head)
            left, place, front = b.phi(I64), b.phi(I64), b.phi(I64)
            carried = [b.phi(VECTOR) for _ in sums]
            for phi, value in zip((left, place, front, *carried), (counts[level], offset, panel, *sums), strict=True):
                phi.add_incoming(value, before)
            b, reached, inner = nest(b, level + 1, place, front, list(carried))
            remaining = b.sub(left, constant(1))
            moved = b.add(place, steps[level])
            for phi, value in zip((left, place, front, *carried), (remaining, moved, reached, *inner), strict=True):
                phi.add_incoming(value, b.block)
            b.cbranch(b.icmp_signed("!=", remaining, constant(0)), head, after)
            return ir.IRBuilder(after), reached, inner

        b, _, sums = nest(b, 0, constant(0), weights, sums)
        # Added last: beside a bias that is far larger than the terms, most of their bits would be lost one by one.
        last = [load_vector(b, bias, block * VECTOR_BYTES) for block in range(blocks)]
        sums = [b.fadd(total, last[index % blocks]) for index, total in enumerate(sums)]
        finish(made, b, sums, rows, blocks, c, residual, c_rows, load_word(b, table, BLOCK_STEP), limits)

    return Tile(product_name(rows, blocks, run), 10, write)


def finish(made: ir.Function, b: ir.IRBuilder, sums: list[Any], rows: int, blocks: int, c: Any, residual: Any, c_rows: Any, step: Any,
           limits: Any) -> None:
    """Add the residual if there is one, clamp, store."""
    low, high = broadcast(b, limits), broadcast(b, limits, 4)
    places = [load_word(b, c_rows, row) for row in range(rows)]
    offsets = [places]
    for _ in range(1, blocks):
        offsets.append([b.add(place, step) for place in offsets[-1]])
    plain, adding, store = (made.append_basic_block(name) for name in ("plain", "adding", "store"))
    b.cbranch(b.icmp_signed("!=", residual, constant(0)), adding, plain)
    ir.IRBuilder(plain).branch(store)
    adder = ir.IRBuilder(adding)
    added = [adder.fadd(sums[row * blocks + block], load_vector(adder, adder.add(residual, offsets[block][row])))
             for row in range(rows) for block in range(blocks)]
    adder.branch(store)
    b = ir.IRBuilder(store)
    merged = []
    for before, after in zip(sums, added, strict=True):
        phi = b.phi(VECTOR)
        phi.add_incoming(before, plain)
        phi.add_incoming(after, adding)
        merged.append(phi)
    for row in range(rows):
        for block in range(blocks):
            value = clamp(b, merged[row * blocks + block], low, high)
            store_vector(b, value, b.add(c, offsets[block][row]))
    b.ret_void()


def lanewise_tile(rows: int, step: int = 0) -> Tile:
    """C[row] = clamp(bias + sum over taps of A[row + tap] * B[tap] + residual[row]): a depthwise convolution.

    `step`: A's rows are so many vectors apart, and need one address together; 0: they lie anywhere. Arguments: A, B, C, bias, residual (or 0),
    offsets of A's rows, offsets of C's rows, offsets of the taps, their count, limits.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, weights, c, bias, residual, a_rows, c_rows, taps, count, limits = made.args
        fma = multiply_add(module)
        starts = [b.add(a, load_word(b, a_rows, row)) for row in range(1 if step else rows)]
        begin = load_vector(b, bias)
        before = b.block
        head, after = made.append_basic_block("loop"), made.append_basic_block("after")
        b.branch(head)
        b = ir.IRBuilder(head)
        index, front = b.phi(I64), b.phi(I64)
        carried = [b.phi(VECTOR) for _ in range(rows)]
        for phi, value in zip((index, front, *carried), (constant(0), weights, *[begin] * rows), strict=True):
            phi.add_incoming(value, before)
        offset = b.load(b.inttoptr(b.add(taps, b.shl(index, constant(3))), I64.as_pointer()))
        places = [b.add(start, offset) for start in starts]
        values = [load_vector(b, places[0], row * step * VECTOR_BYTES) if step else load_vector(b, places[row]) for row in range(rows)]
        weight = load_vector(b, front)
        sums = [b.call(fma, [value, weight, held]) for value, held in zip(values, carried, strict=True)]
        following = b.add(index, constant(1))
        for phi, value in zip((index, front, *carried), (following, b.add(front, constant(VECTOR_BYTES)), *sums), strict=True):
            phi.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", following, count), head, after)
        b = ir.IRBuilder(after)
        finish(made, b, sums, rows, 1, c, residual, c_rows, constant(0), limits)

    return Tile(f"scriptc_weighted_{rows}x{step}", 10, write)


def winograd_input(matrix: Matrix) -> Tile:
    """V = M X M^T of a square of vectors. Arguments: X, byte distance of X's lines, V, byte distance of V's elements."""
    size = len(matrix)

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, pitch, target, distance = made.args
        lines = [source]
        for _ in range(size - 1):
            lines.append(b.add(lines[-1], pitch))
        fma = multiply_add(module)
        columns = [combination(b, fma, matrix, [load_vector(b, line, j * VECTOR_BYTES) for line in lines]) for j in range(size)]
        where = target
        for i in range(size):
            for value in combination(b, fma, matrix, [column[i] for column in columns]):
                store_vector(b, value, where)
                where = b.add(where, distance)
        b.ret_void()

    return Tile(f"scriptc_winograd_in_{size}", 4, write)


def winograd_output(matrix: Matrix) -> Tile:
    """Y = clamp(M X M^T + bias + residual), of which `lines` x `columns` places are kept.

    Arguments: X, byte distance of X's elements, Y, byte distance of Y's lines, bias, residual (or 0), lines, columns, limits.
    """
    kept, size = len(matrix), len(matrix[0])

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        source, distance, target, pitch, bias, residual, lines, columns, limits = made.args
        fma = multiply_add(module)
        places = [source]
        for _ in range(size * size - 1):
            places.append(b.add(places[-1], distance))
        half = [combination(b, fma, matrix, [load_vector(b, places[i * size + j]) for i in range(size)]) for j in range(size)]
        start, low, high = load_vector(b, bias), broadcast(b, limits), broadcast(b, limits, 4)
        rows = [[b.fadd(value, start) for value in combination(b, fma, matrix, [column[i] for column in half])] for i in range(kept)]
        has_residual = b.icmp_signed("!=", residual, constant(0))
        end, whole, adding, plain, partial = (made.append_basic_block(name) for name in ("end", "whole", "adding", "plain", "partial"))
        b.cbranch(b.and_(b.icmp_signed("==", lines, constant(kept)), b.icmp_signed("==", columns, constant(kept))), whole, partial)
        ir.IRBuilder(whole).cbranch(has_residual, adding, plain)
        for block in (adding, plain):
            w, line = ir.IRBuilder(block), constant(0)
            for values in rows:
                for j, value in enumerate(values):
                    where = w.add(line, constant(j * VECTOR_BYTES))
                    total = value if block is plain else w.fadd(value, load_vector(w, w.add(residual, where)))
                    store_vector(w, clamp(w, total, low, high), w.add(target, where))
                line = w.add(line, pitch)
            w.branch(end)
        b = ir.IRBuilder(partial)
        offset: Any = constant(0)
        for i in range(kept):
            for j in range(kept):
                inside = made.append_basic_block(f"place{i}{j}")
                following = made.append_basic_block(f"next{i}{j}")
                b.cbranch(b.and_(b.icmp_signed("<", constant(i), lines), b.icmp_signed("<", constant(j), columns)), inside, following)
                p = ir.IRBuilder(inside)
                where = p.add(offset, constant(j * VECTOR_BYTES))
                add, store = made.append_basic_block(f"add{i}{j}"), made.append_basic_block(f"store{i}{j}")
                p.cbranch(has_residual, add, store)
                q = ir.IRBuilder(add)
                more = q.fadd(rows[i][j], load_vector(q, q.add(residual, where)))
                q.branch(store)
                q = ir.IRBuilder(store)
                value = q.phi(VECTOR)
                value.add_incoming(rows[i][j], inside)
                value.add_incoming(more, add)
                store_vector(q, clamp(q, value, low, high), q.add(target, where))
                q.branch(following)
                b = ir.IRBuilder(following)
            offset = b.add(offset, pitch)
        b.branch(end)
        ir.IRBuilder(end).ret_void()

    return Tile(f"scriptc_winograd_out_{size}", 9, write)


def combination(b: ir.IRBuilder, fma: ir.Function, matrix: Matrix, values: list[Any]) -> list[Any]:
    """Each row of `matrix` times `values`; what rows have in common up to a sign is computed once."""
    columns = [list(column) for column in zip(*matrix, strict=True)]
    values = list(values)
    for first in range(len(columns) - 1):       # of two columns that differ in signs only, rows take the sum or the difference
        left, right = columns[first:first + 2]
        alike = [x == y for x, y in zip(left, right, strict=True)]
        if all(x in (y, -y) for x, y in zip(left, right, strict=True)) and all(left[1:]) and not all(alike):
            values[first:first + 2] = [b.fadd(*values[first:first + 2]), b.fsub(*values[first:first + 2])]
            columns[first:first + 2] = [[x * same for x, same in zip(left, alike, strict=True)],
                                        [x * (not same) for x, same in zip(left, alike, strict=True)]]
    rows = list(zip(*columns, strict=True))
    made: list[Any] = []
    for index, row in enumerate(rows):
        before = rows[index - 1] if index % 2 == 0 and index else None      # rows 1 and 2, 3 and 4, ... may differ in signs only
        if before is not None and len(rows) % 2 == 0 and all(x in (y, -y) for x, y in zip(row, before, strict=True)):
            same = _weighted(b, fma, [x if x == y else 0 for x, y in zip(row, before, strict=True)], values)
            other = _weighted(b, fma, [y if x != y else 0 for x, y in zip(row, before, strict=True)], values)
            made[-1:] = [b.fadd(same, other), b.fsub(same, other)]
        else:
            made.append(_weighted(b, fma, row, values))
    return made


def _weighted(b: ir.IRBuilder, fma: ir.Function, row: Sequence[float], values: list[Any]) -> Any:
    """The sum of values times factors; a factor 1 comes first, for it costs nothing."""
    total: Any = None
    for factor, value in sorted(((f, v) for f, v in zip(row, values, strict=True) if f), key=lambda pair: pair[0] != 1):
        if total is None:
            total = value if factor == 1 else b.fmul(value, ir.Constant(VECTOR, [float(factor)] * LANES))
        elif factor == 1:
            total = b.fadd(total, value)
        elif factor == -1:
            total = b.fsub(total, value)
        else:
            total = b.call(fma, [value, ir.Constant(VECTOR, [float(factor)] * LANES), total])
    return total
