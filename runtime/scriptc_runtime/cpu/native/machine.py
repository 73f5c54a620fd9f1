"""What the names in a printed routine mean to numba, beyond those of a loop: pointers, the look at the clock, and products of rows."""
from __future__ import annotations

import functools
from typing import Any

from scriptc_runtime.cpu.tiles.geometry import LANES

POINTERS = {"float32": "f4at", "float64": "f8at", "int8": "i1at", "int16": "i2at", "int32": "i4at", "int64": "i8at", "uint8": "u1at", "bool": "u1at"}
ROWS = 8      # rows of a matrix that one pass over the vector serves
_FLOAT = 4


@functools.cache
def namespace() -> dict[str, Any]:
    """The intrinsics by name."""
    from llvmlite import ir
    from numba import extending, types

    intrinsic: Any = extending.intrinsic
    made: dict[str, Any] = {}

    def pointer(kind: Any) -> Any:
        @intrinsic
        def at(context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(kind)))
            return types.CPointer(kind)(types.int64), generate
        return at

    for dtype, name in POINTERS.items():
        made[name] = pointer(types.uint8 if dtype == "bool" else getattr(types, dtype))

    @intrinsic
    def poll(context: Any, table: Any) -> Any:
        """1 if a signal's handler raised: the table holds four functions of the interpreter and room for the exception."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, short = ir.IntType(64), ir.IntType(32)

            def address(index: int) -> Any:
                return builder.add(arguments[0], ir.Constant(word, 8 * index))

            def call(index: int, kind: Any, *given: Any) -> Any:
                function = ir.FunctionType(kind, [g.type for g in given]).as_pointer()
                target = builder.load(builder.inttoptr(address(index), word.as_pointer()))
                return builder.call(builder.inttoptr(target, function), given)

            held = call(0, short)
            raised = builder.icmp_signed("!=", call(1, short), ir.Constant(short, 0))
            with builder.if_then(raised):
                call(2, ir.VoidType(), address(4), address(5), address(6))
            call(3, ir.VoidType(), held)
            return builder.zext(raised, word)
        return types.int64(types.int64), generate

    def product(emit: Any) -> Any:
        @intrinsic
        def run(context: Any, y: Any, x: Any, w: Any, bias: Any, columns: Any, depth: Any, step: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                builder.call(emit(builder.module), arguments)
                return context.get_dummy_value()
            return types.void(*[types.int64] * 7), generate
        return run

    def overflow(name: str) -> Any:
        @intrinsic
        def test(context: Any, a: Any, b: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return builder.extract_value(getattr(builder, f"s{name}_with_overflow")(*arguments), 1)
            return types.boolean(types.int64, types.int64), generate
        return test

    for name in ("add", "sub", "mul"):
        made[f"{name}o"] = overflow(name)
    made["poll"] = poll
    made["dots"] = product(dots)
    made["sums"] = product(sums)
    return made


def _declare(module: Any, name: str) -> tuple[Any, bool]:
    """(a function of seven words, whether it has its body already)."""
    from llvmlite import ir

    found = module.globals.get(name)
    if found is not None:
        return found, True
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 7), name)
    made.linkage = "internal"
    return made, False


class _Loop:
    """A counted loop in LLVM's terms: `with` its body; values carried from turn to turn are phis."""

    def __init__(self, function: Any, builder: Any, start: Any, stop: Any, step: int, carried: Any = ()) -> None:
        from llvmlite import ir

        word = ir.IntType(64)
        self.builder = builder
        self._step, self._stop = step, stop
        before = builder.block
        self._head, self._body, self._after = (function.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(self._head)
        builder.position_at_end(self._head)
        self.index = builder.phi(word)
        self.index.add_incoming(start, before)
        self.carried = [builder.phi(v.type) for v in carried]
        for phi, value in zip(self.carried, carried, strict=True):
            phi.add_incoming(value, before)
        reached = builder.add(self.index, ir.Constant(word, step))
        builder.cbranch(builder.icmp_signed("<=", reached, stop), self._body, self._after)
        builder.position_at_end(self._body)
        self._reached = reached

    def end(self, carried: Any = ()) -> None:
        """Close the body; the builder goes on behind the loop, where `index` and `carried` hold what they came to."""
        builder = self.builder
        self.index.add_incoming(self._reached, builder.block)
        for phi, value in zip(self.carried, carried, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(self._head)
        builder.position_at_end(self._after)


def dots(module: Any) -> Any:
    """y[r] = bias[r] + sum over k of w[r, k] x[k]: a matrix whose rows lie one after another, `step` floats apart."""
    from llvmlite import ir

    from scriptc_runtime.cpu.tiles.registers import F32, I32, I64, VECTOR, load_vector, multiply_add

    function, there = _declare(module, "scriptc_dots")
    if there:
        return function
    y, x, w, bias, columns, depth, step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    zero, one, fma = ir.Constant(I64, 0), ir.Constant(I64, 1), multiply_add(module)
    zeros = ir.Constant(VECTOR, [0.0] * LANES)
    pitch = b.mul(step, ir.Constant(I64, _FLOAT))

    def at(base: Any, index: Any) -> Any:
        return b.add(base, b.mul(index, ir.Constant(I64, _FLOAT)))

    def read(address: Any) -> Any:
        loaded = b.load(b.inttoptr(address, F32.as_pointer()))
        loaded.align = _FLOAT
        return loaded

    def tail(row: Any, total: Any, start: Any) -> Any:
        """The last floats of a row, where the depth is no multiple of a vector's length."""
        loop = _Loop(function, b, start, depth, 1, [total])
        added = b.fadd(loop.carried[0], b.fmul(read(at(row, loop.index)), read(at(x, loop.index))))
        loop.end([added])
        return loop.carried[0]

    def finish(index: Any, total: Any) -> None:
        has_bias = b.icmp_signed("!=", bias, zero)
        with b.if_then(has_bias):
            with_bias = b.fadd(total, read(at(bias, index)))
            stored = b.store(with_bias, b.inttoptr(at(y, index), F32.as_pointer()))
            stored.align = _FLOAT
        with b.if_then(b.not_(has_bias)):
            stored = b.store(total, b.inttoptr(at(y, index), F32.as_pointer()))
            stored.align = _FLOAT

    def block(outer: Any, rows: int) -> None:
        starts = [b.add(w, b.mul(b.add(outer.index, ir.Constant(I64, r)), pitch)) for r in range(rows)]
        inner = _Loop(function, b, zero, depth, LANES, [zeros] * rows)
        offset = b.mul(inner.index, ir.Constant(I64, _FLOAT))
        vector = load_vector(b, b.add(x, offset))
        inner.end([b.call(fma, [load_vector(b, b.add(s, offset)), vector, total]) for s, total in zip(starts, inner.carried, strict=True)])
        totals, width = list(inner.carried), LANES
        while len(totals) > 1:   # two vectors become one that holds half as many partial sums of each
            width //= 2
            low = [i for i in range(2 * LANES) if i // width % 2 == 0]
            high = [i for i in range(2 * LANES) if i // width % 2 == 1]
            totals = [b.fadd(*(b.shuffle_vector(p, q, ir.Constant(ir.VectorType(I32, LANES), half)) for half in (low, high)))
                      for p, q in zip(totals[::2], totals[1::2], strict=True)]
        total = totals[0]
        while width > 1:
            width //= 2
            lanes = total.type.count
            low = [i for i in range(lanes) if i // width % 2 == 0]
            high = [i for i in range(lanes) if i // width % 2 == 1]
            total = b.fadd(*(b.shuffle_vector(total, total, ir.Constant(ir.VectorType(I32, lanes // 2), half)) for half in (low, high)))
        for r in range(rows):
            index = b.add(outer.index, ir.Constant(I64, r))
            finish(index, tail(starts[r], b.extract_element(total, ir.Constant(I32, r)), inner.index))

    many = _Loop(function, b, zero, columns, ROWS)
    block(many, ROWS)
    many.end()
    single = _Loop(function, b, many.index, columns, 1)
    block(single, 1)
    single.end()
    del one
    b.ret_void()
    return function


def sums(module: Any) -> Any:
    """y[c] = bias[c] + sum over k of x[k] w[k, c]: a matrix of which row k belongs to x[k], `step` floats apart."""
    from llvmlite import ir

    from scriptc_runtime.cpu.tiles.registers import F32, I64, VECTOR, VECTOR_BYTES, broadcast, load_vector, multiply_add, store_vector

    function, there = _declare(module, "scriptc_sums")
    if there:
        return function
    y, x, w, bias, columns, depth, step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    zero, size, fma = ir.Constant(I64, 0), ir.Constant(I64, _FLOAT), multiply_add(module)
    zeros = ir.Constant(VECTOR, [0.0] * LANES)
    pitch = b.mul(step, size)
    has_bias = b.icmp_signed("!=", bias, zero)

    def block(outer: Any, vectors: int) -> None:
        column = b.mul(outer.index, size)
        inner = _Loop(function, b, zero, depth, 1, [zeros] * vectors)
        value = broadcast(b, b.add(x, b.mul(inner.index, size)))
        row = b.add(b.add(w, column), b.mul(inner.index, pitch))
        inner.end([b.call(fma, [load_vector(b, row, i * VECTOR_BYTES), value, total]) for i, total in enumerate(inner.carried)])
        target = b.add(y, column)
        for i, total in enumerate(inner.carried):
            store_vector(b, total, target, i * VECTOR_BYTES)
        with b.if_then(has_bias):
            for i, total in enumerate(inner.carried):
                store_vector(b, b.fadd(total, load_vector(b, b.add(bias, column), i * VECTOR_BYTES)), target, i * VECTOR_BYTES)

    wide = _Loop(function, b, zero, columns, ROWS * LANES)
    block(wide, ROWS)
    wide.end()
    narrow = _Loop(function, b, wide.index, columns, LANES)
    block(narrow, 1)
    narrow.end()
    single = _Loop(function, b, narrow.index, columns, 1)
    inner = _Loop(function, b, zero, depth, 1, [ir.Constant(F32, 0.0)])
    place = b.add(b.add(w, b.mul(single.index, size)), b.mul(inner.index, pitch))
    pair = [b.load(b.inttoptr(a, F32.as_pointer())) for a in (place, b.add(x, b.mul(inner.index, size)))]
    inner.end([b.fadd(inner.carried[0], b.fmul(*pair))])
    target = b.inttoptr(b.add(y, b.mul(single.index, size)), F32.as_pointer())
    b.store(inner.carried[0], target)
    with b.if_then(has_bias):
        b.store(b.fadd(inner.carried[0], b.load(b.inttoptr(b.add(bias, b.mul(single.index, size)), F32.as_pointer()))), target)
    single.end()
    b.ret_void()
    return function
