"""Activation functions on vectors, as LLVM IR. Polynomials of the Cephes library (Moshier 1989); errors are tested in ulps."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.registers import (
    I32,
    I64,
    LANES,
    VECTOR,
    Tile,
    broadcast,
    clamp,
    constant,
    load_vector,
    load_word,
    multiply_add,
    store_vector,
)

INTEGERS = ir.VectorType(I32, LANES)
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
       -2.4999993993e-1, 3.3333331174e-1)
TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
# Rational erf of Eigen on [-4, 4].
ERF_ABOVE = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
             -2.95459980854025e-03, -1.60960333262415e-02)
ERF_BELOW = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)
ROUND = 12582912.0       # 1.5 * 2**23: adding it rounds to an integer, kept in the low bits
ROUND_BITS = 0x4B400000


class Lanes:
    """Arithmetic on vectors, written like arithmetic."""

    def __init__(self, module: ir.Module, builder: ir.IRBuilder) -> None:
        self.b = builder
        self.fma = multiply_add(module)

    def all(self, value: float) -> ir.Constant:
        return ir.Constant(VECTOR, [float(value)] * LANES)

    def integers(self, value: int) -> ir.Constant:
        return ir.Constant(INTEGERS, [value] * LANES)

    def polynomial(self, x: Any, factors: tuple[float, ...]) -> Any:
        total: Any = self.all(factors[0])
        for factor in factors[1:]:
            total = self.b.call(self.fma, [total, x, self.all(factor)])
        return total

    def exp(self, x: Any) -> Any:
        b = self.b
        held = clamp(b, x, self.all(-105.0), self.all(89.0))
        rounded = b.call(self.fma, [held, self.all(1.44269504), self.all(ROUND)])
        n = b.sub(b.bitcast(rounded, INTEGERS), self.integers(ROUND_BITS))
        whole = b.fsub(rounded, self.all(ROUND))
        r = b.call(self.fma, [whole, self.all(-0.693359375), held])
        r = b.call(self.fma, [whole, self.all(2.12194440e-4), r])
        p = self.polynomial(r, EXP)
        value = b.fadd(b.call(self.fma, [p, b.fmul(r, r), r]), self.all(1.0))
        first = b.ashr(n, self.integers(1))     # in two factors: 2**n alone may be beyond float32 where the product is not
        return b.fmul(b.fmul(value, self.power_of_two(first)), self.power_of_two(b.sub(n, first)))

    def weight(self, x: Any) -> Any:
        """exp of what is not above 0, for a softmax: 0 below -87. Subnormal numbers, which would follow, cost a hundred times as much as others."""
        unseen = self.b.fcmp_ordered("<", x, self.all(-87.0))
        return self.b.select(unseen, self.all(0.0), self.exp(self.b.select(unseen, self.all(-87.0), x)))

    def log(self, x: Any) -> Any:
        """Of numbers from 1 on; nan stays nan."""
        b = self.b
        bits = b.bitcast(x, INTEGERS)
        exponent = b.sub(b.lshr(bits, self.integers(23)), self.integers(126))
        fraction = b.bitcast(b.or_(b.and_(bits, self.integers(0x007FFFFF)), self.integers(0x3F000000)), VECTOR)
        small = b.fcmp_ordered("<", fraction, self.all(0.707106781186547524))       # of [1/2, 1)
        e = b.sitofp(b.select(small, b.sub(exponent, self.integers(1)), exponent), VECTOR)
        r = b.fsub(b.select(small, b.fadd(fraction, fraction), fraction), self.all(1.0))
        square = b.fmul(r, r)
        value = b.fmul(b.fmul(self.polynomial(r, LOG), r), square)
        value = b.call(self.fma, [e, self.all(-2.12194440e-4), value])
        value = b.call(self.fma, [square, self.all(-0.5), value])
        value = b.call(self.fma, [e, self.all(0.693359375), b.fadd(value, r)])
        return b.select(b.fcmp_unordered("uno", x, x), x, value)

    def power_of_two(self, n: Any) -> Any:
        return self.b.bitcast(self.b.shl(self.b.add(n, self.integers(127)), self.integers(23)), VECTOR)

    def sigmoid(self, x: Any) -> Any:
        b = self.b
        return b.fdiv(self.all(1.0), b.fadd(self.all(1.0), self.exp(b.fneg(x))))

    def tanh(self, x: Any) -> Any:
        b = self.b
        size = b.select(b.fcmp_ordered("<", x, self.all(0.0)), b.fneg(x), x)
        square = b.fmul(x, x)
        small = b.call(self.fma, [b.fmul(self.polynomial(square, TANH), square), x, x])
        large = b.fsub(self.all(1.0), b.fdiv(self.all(2.0), b.fadd(self.exp(b.fadd(size, size)), self.all(1.0))))
        large = b.select(b.fcmp_ordered("<", x, self.all(0.0)), b.fneg(large), large)
        return b.select(b.fcmp_ordered("<", size, self.all(0.625)), small, large)

    def erf(self, x: Any) -> Any:
        b = self.b
        held = clamp(b, x, self.all(-4.0), self.all(4.0))
        square = b.fmul(held, held)
        return b.fdiv(b.fmul(held, self.polynomial(square, ERF_ABOVE)), self.polynomial(square, ERF_BELOW))


def _hardsigmoid(v: Lanes, x: Any, first: Any, second: Any) -> Any:
    return v.b.fdiv(clamp(v.b, v.b.fadd(x, v.all(3.0)), v.all(0.0), v.all(6.0)), v.all(6.0))


def _gelu(v: Lanes, x: Any, first: Any, second: Any) -> Any:
    inner = v.b.fadd(v.erf(v.b.fmul(x, v.all(0.70710678118654752))), v.all(1.0))
    return v.b.fmul(v.b.fmul(x, v.all(0.5)), inner)


def _gelu_tanh(v: Lanes, x: Any, first: Any, second: Any) -> Any:
    cube = v.b.fmul(v.b.fmul(x, x), x)
    inner = v.b.fmul(v.b.call(v.fma, [cube, v.all(0.044715), x]), v.all(0.79788456080286536))
    return v.b.fmul(v.b.fmul(x, v.all(0.5)), v.b.fadd(v.tanh(inner), v.all(1.0)))


# name -> (lanes, x, first parameter, second parameter) -> value
BODIES: dict[str, Callable[[Lanes, Any, Any, Any], Any]] = {
    "clamp": lambda v, x, low, high: clamp(v.b, x, low, high),
    "sigmoid": lambda v, x, first, second: v.sigmoid(x),
    "silu": lambda v, x, first, second: v.b.fmul(x, v.sigmoid(x)),
    "tanh": lambda v, x, first, second: v.tanh(x),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda v, x, first, second: v.b.fmul(x, _hardsigmoid(v, x, first, second)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": lambda v, x, slope, second: v.b.select(v.b.fcmp_ordered(">", x, v.all(0.0)), x, v.b.fmul(x, slope)),
    "elu": lambda v, x, alpha, second: v.b.select(v.b.fcmp_ordered(">", x, v.all(0.0)), x,
                                                  v.b.fmul(alpha, v.b.fsub(v.exp(x), v.all(1.0)))),
}
COMBINED: dict[str, Callable[[ir.IRBuilder, Any, Any], Any]] = {
    "add": lambda b, x, y: b.fadd(x, y),
    "sub": lambda b, x, y: b.fsub(x, y),
    "mul": lambda b, x, y: b.fmul(x, y),
}


def over_places(made: ir.Function, b: ir.IRBuilder, count: Any, body: Callable[[ir.IRBuilder, Any], None]) -> None:
    """`body` for each index below `count`, which is not zero."""
    before = b.block
    head, after = made.append_basic_block("loop"), made.append_basic_block("after")
    b.branch(head)
    b = ir.IRBuilder(head)
    index = b.phi(I64)
    index.add_incoming(constant(0), before)
    body(b, b.shl(index, constant(3)))
    following = b.add(index, constant(1))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, count), head, after)
    ir.IRBuilder(after).ret_void()


def place_of(b: ir.IRBuilder, base: Any, table: Any, shift: Any) -> Any:
    return b.add(base, b.load(b.inttoptr(b.add(table, shift), I64.as_pointer())))


def within(b: ir.IRBuilder, g: Any, y: Any, low: Any, high: Any) -> Any:
    """g where y lies between the limits, or is nan; else zero."""
    zero = ir.Constant(VECTOR, [0.0] * LANES)
    return b.select(b.fcmp_ordered(">=", y, high), zero, b.select(b.fcmp_ordered("<=", y, low), zero, g))


def function_tile(name: str) -> Tile:
    """C[row] = f(A[row]). Arguments: A, its offsets, C, its offsets, their count, the parameters (two floats)."""
    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, a_rows, c, c_rows, count, parameters = made.args
        first, second = broadcast(b, parameters), broadcast(b, parameters, 4)

        def body(b: ir.IRBuilder, shift: Any) -> None:
            value = BODIES[name](Lanes(module, b), load_vector(b, place_of(b, a, a_rows, shift)), first, second)
            store_vector(b, value, place_of(b, c, c_rows, shift))
        over_places(made, b, count, body)
    return Tile(f"scriptc_function_{name}", 6, write)


def combination_tile(name: str) -> Tile:
    """C[row] = clamp(A[row] op B[row]); of `clamp_gradient` A[row] where B[row] is within the limits, or nan, else 0.

    Arguments: A, its offsets, B, its offsets, C, its offsets, their count, limits.
    """
    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, a_rows, other, other_rows, c, c_rows, count, limits = made.args
        low, high = broadcast(b, limits), broadcast(b, limits, 4)

        def body(b: ir.IRBuilder, shift: Any) -> None:
            first, second = load_vector(b, place_of(b, a, a_rows, shift)), load_vector(b, place_of(b, other, other_rows, shift))
            value = within(b, first, second, low, high) if name == "clamp_gradient" else clamp(b, COMBINED[name](b, first, second), low, high)
            store_vector(b, value, place_of(b, c, c_rows, shift))
        over_places(made, b, count, body)
    return Tile(f"scriptc_combine_{name}", 8, write)


def accumulation_tile(name: str, rows: int) -> Tile:
    """C[row] = combination of A at its offsets: `sum` times a factor, or `maximum` (nan if one is nan).

    Arguments: A, the offsets of the first row, of the second and so on, their count for each, C, offsets of C's rows, the rows' factors.
    """
    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, offsets, count, c, c_rows, factors = made.args
        start = ir.Constant(VECTOR, [0.0 if name == "sum" else float("-inf")] * LANES)
        lists = [offsets]
        for _ in range(1, rows):
            lists.append(b.add(lists[-1], b.shl(count, constant(3))))
        before = b.block
        head, after = made.append_basic_block("loop"), made.append_basic_block("after")
        b.branch(head)
        b = ir.IRBuilder(head)
        index, held = b.phi(I64), [b.phi(VECTOR) for _ in range(rows)]
        index.add_incoming(constant(0), before)
        shift, totals = b.shl(index, constant(3)), []
        for phi, places in zip(held, lists, strict=True):
            phi.add_incoming(start, before)
            value = load_vector(b, place_of(b, a, places, shift))
            larger = None if name == "sum" else b.or_(b.fcmp_ordered(">", value, phi), b.fcmp_unordered("uno", value, value))
            totals.append(b.fadd(phi, value) if larger is None else b.select(larger, value, phi))
        following = b.add(index, constant(1))
        index.add_incoming(following, b.block)
        for phi, total in zip(held, totals, strict=True):
            phi.add_incoming(total, b.block)
        b.cbranch(b.icmp_signed("<", following, count), head, after)
        b = ir.IRBuilder(after)
        for row, total in enumerate(totals):
            store_vector(b, b.fmul(total, broadcast(b, factors, 4 * row)), b.add(c, load_word(b, c_rows, row)))
        b.ret_void()
    return Tile(f"scriptc_accumulate_{name}_{rows}", 6, write)
