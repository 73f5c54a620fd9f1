"""The tile library: every kernel against numpy, on geometries that are no multiple of a tile."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu.tiles import commands, layouts, library
from scriptc_runtime.cpu.tiles.commands import Command, Operands, Window
from scriptc_runtime.cpu.tiles.geometry import COMBINATIONS, FUNCTIONS
from scriptc_runtime.cpu.tiles.layouts import Layout
from scriptc_runtime.cpu.tiles.parts import PARTS, TILES, symbols

from scriptc.interp.registry import REFERENCES


def randoms(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


def run(command: Command, arrays: dict[str, np.ndarray]) -> None:
    table = command.table({name: array.ctypes.data for name, array in arrays.items()})
    call = np.array([library.place(command.kernel), table.ctypes.data], np.int64)
    library.entry()(call.ctypes.data, 1, 0, 1, 0)


def through(x: np.ndarray, source: Layout, target: Layout, make: Any, **more: np.ndarray) -> np.ndarray:
    """x into its layout, one command, and the result as planes; memory starts as nan, so that nothing is read unwritten."""
    arrays = {"x": x, "blocked": np.full(source.nbytes // 4, np.nan, np.float32), "y": np.full(target.nbytes // 4, np.nan, np.float32),
              "out": np.full((target.images, target.channels, target.height, target.width), np.nan, np.float32), **more}
    run(commands.enter("x", "blocked", source), arrays)
    made = make()
    for command in made if isinstance(made, list) else [made]:
        run(command, arrays)
    if target.has_border:
        run(commands.border("y", target), arrays)
        inside = arrays["y"].reshape(target.images, target.blocks, target.lines, target.columns, 16)
        edge = inside.copy()
        edge[:, :, target.top:target.top + target.height, target.left:target.left + target.width] = 0
        assert not edge.any(), "the border is not zero"
    run(commands.leave("y", target, "out"), arrays)
    return arrays["out"]


# images, channels, out, size, kernel, stride, padding, dilation, groups, Winograd's m
CONVOLUTIONS = [
    (1, 16, 32, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1), 1, 0), (2, 20, 40, (13, 13), (3, 3), (2, 2), (2, 2), (2, 2), 1, 0),
    (1, 33, 17, (8, 8), (1, 1), (1, 1), (0, 0), (1, 1), 1, 0), (1, 64, 48, (7, 7), (1, 1), (2, 2), (0, 0), (1, 1), 1, 0),
    (1, 16, 16, (1, 40), (1, 5), (1, 3), (0, 2), (1, 1), 1, 0), (1, 1, 20, (12, 9), (5, 5), (1, 1), (2, 2), (1, 1), 1, 0),
    (2, 2, 16, (9, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1, 0), (1, 3, 48, (15, 17), (7, 7), (2, 2), (3, 3), (1, 1), 1, 0),
    (1, 4, 8, (6, 6), (4, 2), (1, 1), (0, 0), (1, 1), 1, 0), (2, 24, 24, (13, 10), (5, 5), (2, 1), (2, 2), (1, 1), 24, 0),
    (1, 33, 17, (9, 10), (3, 3), (1, 1), (1, 1), (1, 1), 1, 4), (2, 32, 32, (4, 4), (3, 3), (1, 1), (0, 0), (1, 1), 1, 4),
    (2, 33, 17, (10, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1, 2), (1, 16, 16, (30, 30), (3, 3), (1, 1), (2, 2), (1, 1), 1, 2),
    (1, 40, 100, (12, 30), (3, 3), (1, 1), (1, 1), (1, 1), 1, 4), (2, 130, 120, (14, 14), (3, 3), (1, 1), (1, 1), (1, 1), 1, 4),
]


@pytest.mark.parametrize(("n", "c", "o", "size", "kernel", "stride", "padding", "dilation", "groups", "m"), CONVOLUTIONS)
def test_convolution_with_bias_residual_and_limits(n: int, c: int, o: int, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any,
                                                   groups: int, m: int) -> None:
    x, bias = randoms(n, c, *size), randoms(o)
    weight = randoms(o, c // groups, *kernel) / np.sqrt(c // groups * kernel[0] * kernel[1], dtype=np.float32)
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    wanted = REFERENCES["convolution"](x, weight, bias, **attributes)
    added = randoms(*wanted.shape, seed=5)
    target = Layout(n, o, *wanted.shape[2:], 1, 2, 2, 1)
    narrow = layouts.narrow_channels(c) if groups == 1 and not m else 0
    below, right = commands.winograd_border(target, m, padding) if m else padding
    source = Layout(n, c, *size, padding[0] + 1, padding[1], below, right + 1, narrow)
    residual = np.zeros(target.nbytes // 4, np.float32)
    run(commands.enter("added", "residual", target), {"added": added, "residual": residual})
    window, operands = Window(kernel, stride, padding, dilation), Operands("blocked", "weight", "bias", "y", "residual", (0.0, 1.5))
    if groups > 1:
        packed = layouts.pack_depthwise(weight)
        made = [commands.depthwise(operands, source, target, window)]
    elif m:
        packed = layouts.pack_winograd(weight, m)
        made = commands.winograd(operands, source, target, window, m, "scratch")
    else:
        packed = layouts.pack_direct(weight, narrow)
        made = [commands.direct(operands, source, target, window, packed.nbytes)]
    scratch = np.zeros(commands.winograd_scratch(source, target, m, 1) if m else 1, np.uint8)
    found = through(x, source, target, lambda: made, weight=packed, bias=layouts.pack_bias(bias, o), residual=residual, scratch=scratch)
    np.testing.assert_allclose(found, np.clip(wanted + added, 0, 1.5), rtol=1e-4, atol=3e-5 if m == 4 else 5e-6)


@pytest.mark.parametrize(("groups", "channels", "out"), [(4, 64, 128), (16, 128, 128), (8, 32, 32), (4, 96, 96), (2, 16, 48)])
def test_grouped_convolution_takes_whole_blocks(groups: int, channels: int, out: int) -> None:
    from scriptc_runtime.cpu.blocked.support import unit_of

    x, weight = randoms(1, channels, 6, 5), randoms(out, channels // groups, 3, 3)
    unit = unit_of(groups, channels, out)
    source, target = Layout(1, channels, 6, 5, 1, 1, 1, 1), Layout(1, out, 6, 5)
    packed, units = layouts.pack_groups(weight, groups, unit), channels // unit
    arrays = {"x": x, "blocked": np.zeros(source.nbytes // 4, np.float32), "y": np.zeros(target.nbytes // 4, np.float32), "weight": packed,
              "bias": layouts.pack_bias(None, out), "out": np.zeros((1, out, 6, 5), np.float32)}
    run(commands.enter("x", "blocked", source), arrays)
    for u in range(units):
        part = commands.Part(u * unit // 16, unit // 16, u * (out // units) // 16, out // units // 16, u * packed[0].nbytes)
        run(commands.direct(Operands("blocked", "weight", "bias", "y"), source, target, Window((3, 3), padding=(1, 1)), packed[0].nbytes, part),
            arrays)
    run(commands.leave("y", target, "out"), arrays)
    wanted = REFERENCES["convolution"](x, weight, None, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=groups)
    np.testing.assert_allclose(arrays["out"], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), [(3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 2)])
def test_pooling_leaves_out_what_lies_outside(size: int, stride: int, padding: int, dilation: int) -> None:
    x = randoms(2, 20, 13, 11) - 3   # all negative: a border of zeros must not win
    x[0, 0, 0, 0] = np.nan
    attributes: dict[str, Any] = {"kernel_size": (size, size), "stride": (stride, stride), "padding": (padding, padding)}
    source = Layout(2, 20, 13, 11, 1, 1, 2, 2)
    window = Window((size, size), (stride, stride), (padding, padding), (dilation, dilation))
    wanted = REFERENCES["max_pool"](x, **attributes, dilation=(dilation, dilation), ceil_mode=False)
    target = Layout(2, 20, *wanted.shape[2:], 0, 1, 1, 0)
    np.testing.assert_array_equal(through(x, source, target, lambda: commands.pool("blocked", source, "y", target, window, False)), wanted)
    if dilation == 1:
        for counted in (True, False):
            wanted = REFERENCES["avg_pool"](x, **attributes, count_include_pad=counted, ceil_mode=False, divisor_override=None)
            found = through(x, source, target, lambda c=counted: commands.pool("blocked", source, "y", target, window, True, c))
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(1, 1), (5, 4), (13, 11), (20, 3)])
def test_adaptive_pooling(sizes: tuple[int, int]) -> None:
    x, source, target = randoms(2, 20, 13, 11), Layout(2, 20, 13, 11, 1, 1), Layout(2, 20, *sizes)
    found = through(x, source, target, lambda: commands.adaptive_pool("blocked", source, "y", target))
    np.testing.assert_allclose(found, REFERENCES["adaptive_avg_pool"](x, *sizes), rtol=1e-5, atol=1e-6)


def _exact(name: str, x: np.ndarray) -> np.ndarray:
    from math import erf

    sigmoid = 1 / (1 + np.exp(-x))
    if name.startswith("gelu"):
        inner = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if name == "gelu_tanh" else np.vectorize(erf)(x / np.sqrt(2))
        return 0.5 * x * (1 + inner)
    return {"clamp": np.clip(x, -1, 2), "sigmoid": sigmoid, "silu": x * sigmoid, "tanh": np.tanh(x),
            "hardsigmoid": np.clip(x + 3, 0, 6) / 6, "hardswish": x * np.clip(x + 3, 0, 6) / 6,
            "leaky_relu": np.where(x > 0, x, 0.1 * x), "elu": np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0)))}[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_within_their_error(name: str) -> None:
    """At most 8 units in the last place of the value, and of 1 where the formula cancels (gelu, elu near 0)."""
    parameters = {"clamp": (-1.0, 2.0), "leaky_relu": (0.1, 0.0), "elu": (0.7, 0.0)}.get(name, (0.0, 0.0))
    x = np.concatenate([np.linspace(-20, 20, 16 * 4000), [0.0, -0.0] * 8]).astype(np.float32).reshape(1, 16, 1, -1)
    layout = Layout(1, 16, 1, x.shape[3])
    found = through(x, layout, layout, lambda: commands.apply("blocked", layout, "y", layout, FUNCTIONS.index(name), parameters))
    wanted = _exact(name, x.astype(np.float64))
    size = np.abs(wanted) if name in ("clamp", "sigmoid", "silu", "tanh", "leaky_relu") else np.maximum(np.abs(wanted), 1)
    assert (np.abs(found - wanted) <= 8 * np.spacing(np.maximum(size, 1e-30).astype(np.float32))).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_special_numbers(name: str) -> None:
    parameters = {"clamp": (-1.0, 2.0), "leaky_relu": (0.1, 0.0), "elu": (0.7, 0.0)}.get(name, (0.0, 0.0))
    x = np.array([np.nan, np.inf, 88.0, -88.0, 200.0, 1e-38], np.float32).reshape(1, 1, 1, -1)
    layout = Layout(1, 1, 1, 6)
    found = through(x, layout, layout, lambda: commands.apply("blocked", layout, "y", layout, FUNCTIONS.index(name), parameters))[0, 0, 0]
    with np.errstate(all="ignore"):
        wanted = _exact(name, x.astype(np.float64))[0, 0, 0]
    assert np.isnan(found[0]), "nan is lost"
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("shape", [(2, 20, 7, 5), (2, 20, 1, 1), (1, 20, 1, 1)])
def test_combinations_repeat_single_places(name: str, shape: tuple[int, ...]) -> None:
    x, other = randoms(2, 20, 7, 5), randoms(*shape, seed=3)
    layout, second = Layout(2, 20, 7, 5, 1, 1, 1, 1), Layout(*shape)
    limits = (-0.5, 0.75) if name == "clamp_gradient" else commands.NO_LIMITS
    held = np.zeros(second.nbytes // 4, np.float32)
    run(commands.enter("other", "held", second), {"other": other, "held": held})
    found = through(x, layout, layout, lambda: commands.binary("blocked", layout, "held", second, "y", layout, COMBINATIONS.index(name),
                                                               limits), held=held)
    passed = np.where((other > -0.5) & (other < 0.75), x, np.float32(0))
    np.testing.assert_allclose(found, {"add": x + other, "sub": x - other, "mul": x * other, "clamp_gradient": passed}[name], rtol=1e-6)


@pytest.mark.parametrize("part", PARTS)
def test_object_needs_no_symbols(part: str) -> None:
    """The machine code is loaded in processes that have neither numba nor a linker."""
    code = library.built(part)
    assert b"NRT_" not in code
    assert b"Py" not in code.replace(b"Python", b"")


def test_no_kernel_has_the_name_of_a_tile() -> None:
    from scriptc_runtime.cpu.tiles.kernels import kernels, tiles

    names = {name for part in PARTS if part != TILES for name in symbols(part)}
    assert names.isdisjoint(tile.name for tile in tiles()) and {tile.name for tile in tiles()} >= set(symbols(TILES))
    assert sorted(kernels()) == sorted(kernel for part in PARTS.values() for kernel in part)
