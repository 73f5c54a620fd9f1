"""Rows of any width as vectors: loops whose last vector is masked, and the kernels of normalisation and softmax."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import Lanes
from scriptc_runtime.cpu.tiles.geometry import LANES, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import F32, I32, I64, VECTOR, Tile, address, broadcast, clamp, constant

CHAINS = 4      # vectors of a row whose sums are kept apart: the additions of one would wait for each other
MASK = ir.VectorType(ir.IntType(1), LANES)
BYTES = ir.VectorType(ir.IntType(8), LANES)
LOWEST = float("-inf")


class Part(NamedTuple):
    """A vector of a row: bytes from the row's beginning, and which lanes there are (None: all)."""

    place: Any
    mask: Any


Body = Callable[[ir.IRBuilder, Part, Sequence[Any]], Sequence[Any]]


class Row:
    """Writes the loops over a row of a function."""

    def __init__(self, module: ir.Module, made: ir.Function) -> None:
        self._module, self._made = module, made

    def sweep(self, b: ir.IRBuilder, width: Any, begin: Sequence[Any], body: Body, chains: int = CHAINS) -> tuple[ir.IRBuilder, list[list[Any]]]:
        """`body` for each vector of a row of `width` bytes. What it carries on from vector to vector, in `chains` that do not wait for each other."""
        carried: list[list[Any]] = [list(begin) for _ in range(chains)]
        whole = b.and_(width, constant(-VECTOR_BYTES))
        place: Any = constant(0)
        loops = ((chains, b.and_(width, constant(-VECTOR_BYTES * chains))), (1, whole)) if chains > 1 else ((1, whole),)
        for count, end in loops:
            before = b.block
            head, inside, after = (self._made.append_basic_block(name) for name in ("head", "inside", "after"))
            b.branch(head)
            b = ir.IRBuilder(head)
            here = b.phi(I64)
            here.add_incoming(place, before)
            held = [[b.phi(value.type) for value in chain] for chain in carried[:count]]
            for phis, chain in zip(held, carried, strict=False):
                for phi, value in zip(phis, chain, strict=True):
                    phi.add_incoming(value, before)
            b.cbranch(b.icmp_signed("<", here, end), inside, after)
            b = ir.IRBuilder(inside)
            for index, phis in enumerate(held):
                made = body(b, Part(b.add(here, constant(index * VECTOR_BYTES)), None), phis)
                for phi, value in zip(phis, made, strict=True):
                    phi.add_incoming(value, inside)
            here.add_incoming(b.add(here, constant(count * VECTOR_BYTES)), inside)
            b.branch(head)
            b, place = ir.IRBuilder(after), here
            carried[:count] = held
        before, tail, end_ = b.block, self._made.append_basic_block("tail"), self._made.append_basic_block("end")
        b.cbranch(b.icmp_signed("!=", whole, width), tail, end_)
        b = ir.IRBuilder(tail)
        left = b.trunc(b.lshr(b.sub(width, whole), constant(2)), I32)
        lanes = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
        made = body(b, Part(place, b.icmp_unsigned("<", lanes, splat(b, left))), carried[0])
        b.branch(end_)
        b = ir.IRBuilder(end_)
        phis = [b.phi(value.type) for value in carried[0]]
        for phi, value, last in zip(phis, carried[0], made, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(last, tail)
        return b, [phis, *carried[1:]]

    def load(self, b: ir.IRBuilder, base: Any, part: Part, missing: float = 0.0) -> Any:
        """The vector; lanes that are not there hold `missing`."""
        place = address(b, b.add(base, part.place), 0, VECTOR)
        if part.mask is None:
            loaded = b.load(place)
            loaded.align = 4
            return loaded
        return self._masked(b, "load", VECTOR, [place, ir.Constant(I32, 4), part.mask, ir.Constant(VECTOR, [missing] * LANES)])

    def store(self, b: ir.IRBuilder, value: Any, base: Any, part: Part) -> None:
        """Write the lanes that are there."""
        place = address(b, b.add(base, part.place), 0, VECTOR)
        if part.mask is None:
            b.store(value, place).align = 4
        else:
            self._masked(b, "store", ir.VoidType(), [value, place, ir.Constant(I32, 4), part.mask])

    def flags(self, b: ir.IRBuilder, base: Any, part: Part) -> Any:
        """Which of a row of bools are True."""
        place = address(b, b.add(base, b.lshr(part.place, constant(2))), 0, BYTES)
        if part.mask is None:
            loaded = b.load(place)
            loaded.align = 1
        else:
            loaded = self._masked(b, "load", BYTES, [place, ir.Constant(I32, 1), part.mask, ir.Constant(BYTES, [0] * LANES)])
        return b.icmp_unsigned("!=", loaded, ir.Constant(BYTES, [0] * LANES))

    def _masked(self, b: ir.IRBuilder, what: str, result: ir.Type, operands: list[Any]) -> Any:
        kind = "f32" if BYTES not in (result, operands[0].type) else "i8"
        name = f"llvm.masked.{what}.v{LANES}{kind}.p0"
        found = self._module.globals.get(name)
        if found is None:
            found = ir.Function(self._module, ir.FunctionType(result, [o.type for o in operands]), name)
        return b.call(found, operands)


def splat(b: ir.IRBuilder, value: Any) -> Any:
    """A scalar in every lane."""
    kind = ir.VectorType(value.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first = b.insert_element(undefined, value, ir.Constant(I32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def select(b: ir.IRBuilder, part: Part, value: Any, missing: float) -> Any:
    """A vector whose lanes that are not there hold `missing`."""
    return value if part.mask is None else b.select(part.mask, value, ir.Constant(value.type, [missing] * LANES))


def larger(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """The larger one; y where x is nan."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def total(b: ir.IRBuilder, parts: Sequence[Any], combine: Callable[[ir.IRBuilder, Any, Any], Any]) -> Any:
    """All lanes of all vectors combined, in every lane."""
    values = list(parts)
    while len(values) > 1:
        values = [combine(b, values[i], values[i + 1]) if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)]
    value = values[0]
    distance = LANES // 2
    while distance:
        order = ir.Constant(ir.VectorType(I32, LANES), [lane ^ distance for lane in range(LANES)])
        value = combine(b, value, b.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order))
        distance //= 2
    return value


def add(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    return b.fadd(x, y)


def store_float(b: ir.IRBuilder, vector: Any, base: Any, offset: int = 0) -> None:
    """Write the first lane."""
    b.store(b.extract_element(vector, ir.Constant(I32, 0)), address(b, base, offset, F32)).align = 4


def moments_tile(centred: bool) -> Tile:
    """mean, and 1 / sqrt(variance + eps); uncentred: 0, and 1 / sqrt(mean square + eps).

    Two passes with the correction of Chan, Golub and LeVeque (1983): what is left of the sum of deviations is taken back from both.
    Arguments: the row, its bytes, eps's address, where the two floats go.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, width, eps, result = made.args
        row, lanes = Row(module, made), Lanes(module, b)
        zero = lanes.all(0.0)
        count = splat(b, b.uitofp(b.lshr(width, constant(2)), F32))
        mean: Any = zero
        if centred:
            b, sums = row.sweep(b, width, [zero], lambda b, part, held: [b.fadd(held[0], row.load(b, x, part))])
            mean = b.fdiv(total(b, [s[0] for s in sums], add), count)

        def deviations(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            away = row.load(b, x, part)
            if centred:
                away = b.fsub(away, mean)
                away = away if part.mask is None else b.select(part.mask, away, zero)
                return [b.fadd(held[0], away), b.call(lanes.fma, [away, away, held[1]])]
            return [b.call(lanes.fma, [away, away, held[0]])]

        b, sums = row.sweep(b, width, [zero] * (1 + centred), deviations)
        squares = total(b, [s[-1] for s in sums], add)
        if centred:
            rest = total(b, [s[0] for s in sums], add)
            shift = b.fdiv(rest, count)
            mean = b.fadd(mean, shift)
            squares = clamp(b, b.fsub(squares, b.fmul(rest, shift)), zero, lanes.all(float("inf")))
        variance = b.fadd(b.fdiv(squares, count), broadcast(b, eps))
        store_float(b, mean, result)
        store_float(b, b.fdiv(lanes.all(1.0), square_root(module, b, variance)), result, 4)
        b.ret_void()

    return Tile(f"scriptc_moments_{int(centred)}", 4, write)


def square_root(module: ir.Module, b: ir.IRBuilder, x: Any) -> Any:
    name = f"llvm.sqrt.v{LANES}f32"
    found = module.globals.get(name)
    return b.call(found if found is not None else ir.Function(module, ir.FunctionType(VECTOR, [VECTOR]), name), [x])


def affine_tile(by_element: bool) -> Tile:
    """y = (x - mean) * inverse * weight + bias, with a weight and a bias for each element, or one of both for all.

    Arguments: x, y, their bytes, the addresses of (mean, inverse), of the weight and of the bias.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, y, width, moments, weight, bias = made.args
        row, lanes = Row(module, made), Lanes(module, b)
        mean, inverse = broadcast(b, moments), broadcast(b, moments, 4)
        factor, shift = (None, None) if by_element else (broadcast(b, weight), broadcast(b, bias))

        def body(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            normal = b.fmul(b.fsub(row.load(b, x, part), mean), inverse)
            times = row.load(b, weight, part) if by_element else factor
            plus = row.load(b, bias, part) if by_element else shift
            row.store(b, b.call(lanes.fma, [normal, times, plus]), y, part)
            return []

        b, _ = row.sweep(b, width, [], body)
        b.ret_void()

    return Tile(f"scriptc_affine_{int(by_element)}", 6, write)


def softmax_tile(logarithm: bool) -> Tile:
    """y = exp(x - max) / sum, or x - max - log(sum). Arguments: x, y, their bytes (not none)."""

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        x, y, width = made.args
        row, lanes = Row(module, made), Lanes(module, b)
        b, found = row.sweep(b, width, [lanes.all(LOWEST)], lambda b, part, held: [larger(b, row.load(b, x, part, LOWEST), held[0])])
        most = total(b, [f[0] for f in found], larger)

        def powers(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            value = Lanes(module, b).weight(b.fsub(row.load(b, x, part, LOWEST), most))
            if not logarithm:
                row.store(b, value, y, part)
            return [b.fadd(held[0], value)]

        b, found = row.sweep(b, width, [lanes.all(0.0)], powers)
        whole = total(b, [f[0] for f in found], add)
        lanes = Lanes(module, b)
        last = lanes.log(whole) if logarithm else b.fdiv(lanes.all(1.0), whole)

        def finish(b: ir.IRBuilder, part: Part, held: Sequence[Any]) -> list[Any]:
            value = b.fsub(b.fsub(row.load(b, x, part), most), last) if logarithm else b.fmul(row.load(b, y, part), last)
            row.store(b, value, y, part)
            return []

        b, _ = row.sweep(b, width, [], finish)
        b.ret_void()

    return Tile(f"scriptc_softmax_{int(logarithm)}", 3, write)


def row_tiles() -> tuple[Tile, ...]:
    return tuple(make(which) for make in (moments_tile, affine_tile, softmax_tile) for which in (False, True))


def row_kernels(word: Any, intrinsic: Any, chain: Any) -> dict[str, Any]:
    """`normalize` and `softmax` as numba functions (table, thread, threads). Rows lie in two loops of equal steps."""
    moments = chain([f"scriptc_moments_{which}" for which in (0, 1)])
    whole, parts = intrinsic("scriptc_affine_1"), intrinsic("scriptc_affine_0")
    soft = chain([f"scriptc_softmax_{which}" for which in (0, 1)])

    @compiled
    def normalize(d: Any, t: Any, n: Any) -> None:
        """Rows by their own moments; then a weight and a bias per element, or per `run` bytes: rows of `groups` follow each other in these."""
        x, y, weight, bias, eps, scratch = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4), word(d, 5)
        which, width, run, groups = word(d, 6), word(d, 7), word(d, 8), word(d, 9)
        count, inner, x_outer, x_inner = word(d, 10), word(d, 11), word(d, 12), word(d, 13)
        held = scratch + t * 64
        for row in range(count * t // n, count * (t + 1) // n):
            outer = row // inner
            source, target = x + outer * x_outer + (row - outer * inner) * x_inner, y + row * width
            moments(which, source, width, eps, held)
            if run == 0:
                whole(source, target, width, held, weight, bias)
            else:
                place = (row % groups) * (width // run) * 4
                for part in range(width // run):
                    parts(source + part * run, target + part * run, run, held, weight + place + part * 4, bias + place + part * 4)

    @compiled
    def softmax(d: Any, t: Any, n: Any) -> None:
        x, y, which, width = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        count, inner, x_outer, x_inner = word(d, 4), word(d, 5), word(d, 6), word(d, 7)
        for row in range(count * t // n, count * (t + 1) // n):
            outer = row // inner
            soft(which, x + outer * x_outer + (row - outer * inner) * x_inner, y + row * width, width)

    return {"normalize": normalize, "softmax": softmax}
