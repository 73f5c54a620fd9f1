"""Batch normalisation by the batch's own statistics, and its gradient: sums of blocks in double precision, then one pass over them."""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu.tiles.functions import over_places, place_of, within
from scriptc_runtime.cpu.tiles.geometry import LANES, VECTOR_BYTES
from scriptc_runtime.cpu.tiles.loops import compiled
from scriptc_runtime.cpu.tiles.registers import (
    I64,
    Tile,
    address,
    broadcast,
    clamp,
    constant,
    load_vector,
    multiply_add,
    store_vector,
)

F64 = ir.DoubleType()
DOUBLES = ir.VectorType(F64, LANES)
SUM_BYTES = 8 * LANES       # one vector of doubles


def sums_tile(name: str) -> Tile:
    """Two sums per lane, added to what stands there: x and x * x; or of a gradient g and g * (x - mean), `masked` by `within`.

    Arguments of `moments`: x, its offsets, their count, the sums. Of the others: g, its offsets, x, its offsets, y, its offsets, their count
    (not zero), the mean, limits, the sums.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        if name == "moments":
            x, x_rows, count, totals = made.args
            masked, low, high, mean = False, None, None, None
        else:
            g, g_rows, x, x_rows, y, y_rows, count, average, limits, totals = made.args
            masked, low, high, mean = name == "masked_gradient", broadcast(b, limits), broadcast(b, limits, 4), load_vector(b, average)
        loads = [b.load(address(b, totals, offset, DOUBLES)) for offset in (0, SUM_BYTES)]
        for load in loads:
            load.align = 8
        entry = b.block
        loop, after = made.append_basic_block("loop"), made.append_basic_block("after")
        b.branch(loop)
        b = ir.IRBuilder(loop)
        index, first, second = b.phi(I64), b.phi(DOUBLES), b.phi(DOUBLES)
        for phi, value in ((index, constant(0)), (first, loads[0]), (second, loads[1])):
            phi.add_incoming(value, entry)
        shift = b.shl(index, constant(3))
        seen = load_vector(b, place_of(b, x, x_rows, shift))
        if name == "moments":
            one = two = b.fpext(seen, DOUBLES)
        else:
            gradient = load_vector(b, place_of(b, g, g_rows, shift))
            if masked:
                gradient = within(b, gradient, load_vector(b, place_of(b, y, y_rows, shift)), low, high)
            one, two = b.fpext(gradient, DOUBLES), b.fpext(b.fsub(seen, mean), DOUBLES)
        total, product = b.fadd(first, one), b.fadd(second, b.fmul(one, two))
        following = b.add(index, constant(1))
        for phi, value in ((index, following), (first, total), (second, product)):
            phi.add_incoming(value, loop)
        b.cbranch(b.icmp_signed("<", following, count), loop, after)
        b = ir.IRBuilder(after)
        for value, offset in ((total, 0), (product, SUM_BYTES)):
            stored = b.store(value, address(b, totals, offset, DOUBLES))
            stored.align = 8
        b.ret_void()

    return Tile(f"scriptc_sums_{name}", 4 if name == "moments" else 10, write)


def normalising_tile() -> Tile:
    """C[row] = clamp((A[row] - mean) * factor + shift + residual[row]).

    Arguments: A, its offsets, C, its offsets (the residual's too), their count, mean, factor and shift (neighbouring vectors), residual (or
    0), limits.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        a, a_rows, c, c_rows, count, terms, residual, limits = made.args
        fma = multiply_add(module)
        mean, factor, shift = (load_vector(b, terms, i * VECTOR_BYTES) for i in range(3))
        low, high = broadcast(b, limits), broadcast(b, limits, 4)
        adding, plain = made.append_basic_block("adding"), made.append_basic_block("plain")
        b.cbranch(b.icmp_signed("!=", residual, constant(0)), adding, plain)
        for block, has_residual in ((adding, True), (plain, False)):
            def body(b: ir.IRBuilder, place: Any, has_residual: bool = has_residual) -> None:
                value = b.call(fma, [b.fsub(load_vector(b, place_of(b, a, a_rows, place)), mean), factor, shift])
                if has_residual:
                    value = b.fadd(value, load_vector(b, place_of(b, residual, c_rows, place)))
                store_vector(b, clamp(b, value, low, high), place_of(b, c, c_rows, place))
            over_places(made, ir.IRBuilder(block), count, body)

    return Tile("scriptc_normalise", 8, write)


def norm_gradient_tile(masked: bool) -> Tile:
    """C[row] = (G[row] - shift) * factor - (X[row] - mean) * slope, G masked by `within` of Y.

    Arguments: G, its offsets, X, its offsets, Y, its offsets, C, its offsets, their count, mean, factor, shift and slope (neighbouring
    vectors), limits.
    """

    def write(module: ir.Module, made: ir.Function, b: ir.IRBuilder) -> None:
        g, g_rows, x, x_rows, y, y_rows, c, c_rows, count, terms, limits = made.args
        fma = multiply_add(module)
        mean, factor, shift, slope = (load_vector(b, terms, i * VECTOR_BYTES) for i in range(4))
        low, high = broadcast(b, limits), broadcast(b, limits, 4)

        def body(b: ir.IRBuilder, place: Any) -> None:
            gradient = load_vector(b, place_of(b, g, g_rows, place))
            if masked:
                gradient = within(b, gradient, load_vector(b, place_of(b, y, y_rows, place)), low, high)
            away = b.fsub(mean, load_vector(b, place_of(b, x, x_rows, place)))
            value = b.call(fma, [b.fsub(gradient, shift), factor, b.fmul(away, slope)])
            store_vector(b, value, place_of(b, c, c_rows, place))
        over_places(made, b, count, body)

    return Tile(f"scriptc_norm_gradient_{int(masked)}", 11, write)


def batch_norm_tiles() -> tuple[Tile, ...]:
    return (*map(sums_tile, ("moments", "gradient", "masked_gradient")), normalising_tile(), *map(norm_gradient_tile, (False, True)))


def batch_norm_kernels(words: tuple[Any, Any, Any, Any], intrinsic: Any) -> dict[str, Any]:
    """`norm_train`, `norm_gradient` and `channel_sums` as numba functions (table, thread, threads)."""
    import numpy as np
    from numba import types
    from numba.extending import intrinsic as declare_typed

    declare: Any = declare_typed
    word, number, put, _ = words

    @declare
    def sum_at(context: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], F64.as_pointer()))
        return types.float64(types.int64), generate

    moments, sums, masked_sums = (intrinsic(f"scriptc_sums_{name}") for name in ("moments", "gradient", "masked_gradient"))
    normalise = intrinsic("scriptc_normalise")
    gradient, masked_gradient = intrinsic("scriptc_norm_gradient_0"), intrinsic("scriptc_norm_gradient_1")
    zeros = intrinsic("scriptc_clear")
    lanes, vector, second_sum = LANES, VECTOR_BYTES, SUM_BYTES

    @compiled
    def norm_train(d: Any, t: Any, n: Any) -> None:
        """Per block of channels: the statistics over all images, then (x - mean) * weight / sqrt(var + eps) + bias."""
        x, x_rows, x_block, x_image = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        y, y_rows, y_block, y_image, residual = word(d, 4), word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        weight, bias, mean_out, var_out = word(d, 9), word(d, 10), word(d, 11), word(d, 12)
        places, blocks, images, channels, eps, limits = word(d, 13), word(d, 14), word(d, 15), word(d, 16), word(d, 17), word(d, 18)
        memory = word(d, 19) + t * word(d, 20)
        terms = memory + 4 * vector
        count = types.float64(places * images)
        for block in range(blocks * t // n, blocks * (t + 1) // n):
            zeros(memory, 8)
            for image in range(images):
                moments(x + image * x_image + block * x_block, x_rows, places, memory)
            for lane in range(lanes):
                channel = block * lanes + lane
                mean = sum_at(memory + 8 * lane) / count
                var = sum_at(memory + second_sum + 8 * lane) / count - mean * mean
                if var < 0.0:       # by rounding; nan stays
                    var = 0.0
                factor, shift = 0.0, 0.0
                if channel < channels:
                    factor = 1.0 / np.sqrt(var + number(eps))
                    if weight:
                        factor *= number(weight + 4 * channel)
                    if bias:
                        shift = types.float64(number(bias + 4 * channel))
                    if mean_out:
                        put(mean_out + 4 * channel, types.float32(mean))
                    if var_out:
                        put(var_out + 4 * channel, types.float32(var))
                put(terms + 4 * lane, types.float32(mean))
                put(terms + vector + 4 * lane, types.float32(factor))
                put(terms + 2 * vector + 4 * lane, types.float32(shift))
            for image in range(images):
                shift_c = image * y_image + block * y_block
                normalise(x + image * x_image + block * x_block, x_rows, y + shift_c, y_rows, places, terms,
                          residual + shift_c if residual else 0, limits)

    @compiled
    def norm_gradient(d: Any, t: Any, n: Any) -> None:
        """Per block of channels: the sums of g and g * (x - mean), which are the parameters' gradients, then the gradient of x."""
        g, g_rows, g_block, g_image = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
        x, x_rows, x_block, x_image = word(d, 4), word(d, 5), word(d, 6), word(d, 7)
        y, y_rows, y_block, y_image = word(d, 8), word(d, 9), word(d, 10), word(d, 11)
        c, c_rows, c_block, c_image = word(d, 12), word(d, 13), word(d, 14), word(d, 15)
        mean_in, var_in, weight, weight_out, bias_out = word(d, 16), word(d, 17), word(d, 18), word(d, 19), word(d, 20)
        places, blocks, images, channels, eps, limits = word(d, 21), word(d, 22), word(d, 23), word(d, 24), word(d, 25), word(d, 26)
        memory = word(d, 27) + t * word(d, 28)
        terms = memory + 4 * vector
        count = types.float64(places * images)
        for block in range(blocks * t // n, blocks * (t + 1) // n):
            zeros(memory, 8)
            held = min(lanes, channels - block * lanes)
            for lane in range(held):
                put(terms + 4 * lane, number(mean_in + 4 * (block * lanes + lane)))
            for image in range(images):
                first, second = g + image * g_image + block * g_block, x + image * x_image + block * x_block
                if y:
                    masked_sums(first, g_rows, second, x_rows, y + image * y_image + block * y_block, y_rows, places, terms, limits, memory)
                else:
                    sums(first, g_rows, second, x_rows, 0, 0, places, terms, limits, memory)
            for lane in range(held):
                channel = block * lanes + lane
                inverse = 1.0 / np.sqrt(types.float64(number(var_in + 4 * channel)) + number(eps))
                total, product = sum_at(memory + 8 * lane), sum_at(memory + second_sum + 8 * lane) * inverse
                if weight_out:
                    put(weight_out + 4 * channel, types.float32(product))
                if bias_out:
                    put(bias_out + 4 * channel, types.float32(total))
                factor = inverse * number(weight + 4 * channel) if weight else inverse
                put(terms + vector + 4 * lane, types.float32(factor))
                put(terms + 2 * vector + 4 * lane, types.float32(total / count))
                put(terms + 3 * vector + 4 * lane, types.float32(factor * inverse * product / count))
            if c == 0:
                continue
            for image in range(images):
                first, second = g + image * g_image + block * g_block, x + image * x_image + block * x_block
                made = c + image * c_image + block * c_block
                if y:
                    masked_gradient(first, g_rows, second, x_rows, y + image * y_image + block * y_block, y_rows, made, c_rows, places, terms,
                                    limits)
                else:
                    gradient(first, g_rows, second, x_rows, 0, 0, made, c_rows, places, terms, limits)

    @compiled
    def channel_sums(d: Any, t: Any, n: Any) -> None:
        """The sum over images and places of each channel."""
        x, x_rows, x_block, x_image, out = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
        places, blocks, images, channels = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
        memory = word(d, 9) + t * word(d, 10)
        for block in range(blocks * t // n, blocks * (t + 1) // n):
            zeros(memory, 4)
            for image in range(images):
                moments(x + image * x_image + block * x_block, x_rows, places, memory)
            for lane in range(min(lanes, channels - block * lanes)):
                put(out + 4 * (block * lanes + lane), types.float32(sum_at(memory + 8 * lane)))

    return {"norm_train": norm_train, "norm_gradient": norm_gradient, "channel_sums": channel_sums}
