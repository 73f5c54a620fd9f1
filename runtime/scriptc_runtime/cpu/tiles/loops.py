"""What the loops around the tiles are written with: numba's Python, and a few operations on memory and tiles that it does not have."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from scriptc_runtime.cpu.tiles import registers


def compiled(function: Any) -> Any:
    """A loop in numba's Python that only other compiled code calls."""
    import numba

    decorate: Any = numba.njit      # its stub knows not all options
    return decorate(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def instruction(count: int, generate: Callable[[Any, Any], Any]) -> Any:
    """A numba function of `count` words and no result, whose instructions `generate(builder, words)` writes."""
    from numba import types
    from numba.extending import intrinsic

    def typed(context: Any, *arguments: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            generate(builder, arguments)
            return context.get_dummy_value()
        return types.void(*[types.int64] * count), write

    names = ", ".join(f"a{i}" for i in range(count))
    scope: dict[str, Any] = {"typed": typed}
    exec(f"def instruction(context, {names}):\n    return typed(context, {names})", scope)
    declare: Any = intrinsic
    return declare(scope["instruction"])


@functools.cache
def words() -> tuple[Any, Any, Any, Any]:
    """(read a word, read a float, write a float, write a vector of zeros) as numba functions."""
    from numba import types
    from numba.extending import intrinsic as declare_typed

    declare: Any = declare_typed

    @declare
    def word(context: Any, table: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.add(arguments[0], builder.shl(arguments[1], registers.constant(3)))
            return builder.load(builder.inttoptr(place, registers.I64.as_pointer()))
        return types.int64(types.int64, types.int64), generate

    @declare
    def number(context: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], registers.F32.as_pointer()))
        return types.float32(types.int64), generate

    @declare
    def put(context: Any, place: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[1], builder.inttoptr(arguments[0], registers.F32.as_pointer()))
            return context.get_dummy_value()
        return types.void(types.int64, types.float32), generate

    @declare
    def clear(context: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero = registers.ir.Constant(registers.VECTOR, [0.0] * registers.LANES)
            registers.store_vector(builder, zero, arguments[0])
            return context.get_dummy_value()
        return types.void(types.int64), generate

    return word, number, put, clear


