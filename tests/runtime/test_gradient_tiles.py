"""The kernels of training against numpy, on geometries that are no multiple of a tile; memory starts as nan, so that nothing is read unwritten."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu.tiles import commands, gradient_commands, layouts
from scriptc_runtime.cpu.tiles.commands import At, Operands, Window
from scriptc_runtime.cpu.tiles.gradient_commands import Parameters, WeightShape
from scriptc_runtime.cpu.tiles.layouts import Layout

from scriptc.interp.registry import REFERENCES
from tests.runtime.test_tiles import randoms, run

# images, channels, out, size, kernel, stride, padding, dilation
CONVOLUTIONS = [
    (2, 16, 32, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1)), (3, 20, 40, (13, 13), (3, 3), (2, 2), (2, 2), (2, 2)),
    (1, 33, 17, (8, 8), (1, 1), (1, 1), (0, 0), (1, 1)), (2, 64, 48, (7, 7), (1, 1), (2, 2), (0, 0), (1, 1)),
    (1, 16, 16, (1, 40), (1, 5), (1, 3), (0, 2), (1, 1)), (5, 3, 20, (15, 17), (7, 7), (2, 2), (3, 3), (1, 1)),
    (2, 24, 24, (13, 10), (5, 5), (2, 1), (2, 2), (1, 1)), (2, 7, 70, (12, 12), (5, 5), (3, 3), (2, 2), (1, 1)),
    (1, 20, 18, (9, 9), (2, 2), (3, 3), (0, 0), (1, 1)), (1, 1, 3, (6, 6), (3, 3), (1, 1), (0, 0), (1, 1)),
]


def unwritten(size: int) -> np.ndarray:
    return np.full(size // 4 + 16, np.nan, np.float32)


@pytest.mark.parametrize(("groups", "geometry"), [*((1, g) for g in CONVOLUTIONS), *((g[1], g) for g in CONVOLUTIONS if g[1] == g[2])])
def test_gradients_of_a_convolution(groups: int, geometry: Any) -> None:
    n, c, o, size, kernel, stride, padding, dilation = geometry
    x, weight = randoms(n, c, *size), randoms(o, c // groups, *kernel)
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    g = randoms(*REFERENCES["convolution"](x, weight, None, **attributes).shape, seed=3)
    window, shape = Window(kernel, stride, padding, dilation), WeightShape(o, c // groups, kernel[0] * kernel[1])
    gradient = Layout(n, o, *g.shape[2:], *gradient_commands.gradient_border(size, g.shape[2:], window))
    made = Layout(n, c, *size, 1, 0, 0, 1)
    source = Layout(n, c, *size, *padding, padding[0] + 1, padding[1], layouts.narrow_channels(c) if groups == 1 else 0)
    arrays = {"g planes": g, "g": unwritten(gradient.nbytes), "weight": weight, "packed": unwritten(4 * (o + 16) * (c + 16) * shape.taps),
              "dx": unwritten(made.nbytes), "dx planes": np.empty_like(x), "x planes": x, "x": unwritten(source.nbytes),
              "dweight": np.full_like(weight, np.nan), "scratch": unwritten(gradient_commands.CORRELATION_BYTES)}
    if groups == 1:
        packing = gradient_commands.pack_input_gradient("weight", "packed", made, window, shape)
        running = gradient_commands.input_gradient(Operands("g", "packed", None, "dx"), gradient, made, window, shape)
        correlation = gradient_commands.weight_gradient("g", gradient, "x", source, "dweight", window, "scratch")
    else:
        packing, running = gradient_commands.depthwise_input_gradient(Operands("g", "weight", "packed", "dx"), gradient, made, window, c)
        correlation = gradient_commands.depthwise_weight_gradient("g", gradient, "x", source, "dweight", window, "scratch")
    for command in (commands.enter("g planes", "g", gradient), commands.enter("x planes", "x", source), *packing, *running,
                    commands.leave("dx", made, "dx planes"), correlation):
        run(command, arrays)
    dx = REFERENCES["convolution_input_gradient"](g, weight, x, **attributes)
    np.testing.assert_allclose(arrays["dx planes"], dx, rtol=1e-4, atol=1e-5 * float(np.abs(dx).max()))
    dweight = REFERENCES["convolution_weight_gradient"](g, x, weight, **attributes)
    np.testing.assert_allclose(arrays["dweight"], dweight, rtol=1e-4, atol=1e-5 * float(np.abs(dweight).max()))


@pytest.mark.parametrize(("out", "inputs", "kernel"), [(32, 16, 3), (48, 33, 3), (17, 3, 7), (70, 64, 1), (5, 1, 2)])
def test_weights_packed_in_a_plan_equal_those_packed_once(out: int, inputs: int, kernel: int) -> None:
    weight, shape = randoms(out, inputs, kernel, kernel), WeightShape(out, inputs, kernel * kernel)
    for narrow in {0, layouts.narrow_channels(inputs)}:
        packed = np.full(gradient_commands.packed_bytes(*shape, narrow or 16) // 4, np.nan, np.float32)
        for command in gradient_commands.pack_forward("weight", "packed", shape, narrow or 16):
            run(command, {"weight": weight, "packed": packed})
        np.testing.assert_array_equal(packed, layouts.pack_direct(weight, narrow))


@pytest.mark.parametrize("m", [2, 4])
def test_transformed_weights_packed_in_a_plan_equal_those_packed_once(m: int) -> None:
    weight, shape = randoms(48, 33, 3, 3), WeightShape(48, 33, 9)
    flipped = np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
    panels = unwritten(gradient_commands.packed_bytes(*shape))
    for backward, wanted in ((False, layouts.pack_winograd(weight, m)), (True, layouts.pack_winograd(flipped, m))):
        out, inputs = (33, 48) if backward else (48, 33)
        packed = np.zeros_like(wanted)
        packing = gradient_commands.pack_backward("weight", "panels", shape, range(9)) if backward else \
            gradient_commands.pack_forward("weight", "panels", shape)
        for command in (*packing, gradient_commands.transform_weights("panels", "packed", out, inputs, m, backward)):
            run(command, {"weight": weight, "panels": panels, "packed": packed})
        used = packed.shape[1] - 16
        np.testing.assert_allclose(packed[:, :used], wanted[:, :used], atol=1e-6)


@pytest.mark.parametrize("kind", ["max", "avg", "avg without padding", "adaptive"])
@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), [(3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 2)])
def test_gradients_of_pools(kind: str, size: int, stride: int, padding: int, dilation: int) -> None:
    if kind != "max" and dilation > 1:
        return
    x = np.round(randoms(2, 20, 13, 11))     # many equal maxima: the first counts
    x[0, 0, 3, 3], x[1, 1, 4, 5], x[1, 2, :6] = np.nan, -np.inf, -np.inf
    window = Window((size, size), (stride, stride), (padding, padding), (dilation, dilation))
    attributes: dict[str, Any] = {"kernel_size": window.size, "stride": window.stride, "padding": window.padding, "ceil_mode": False}
    if kind == "max":
        attributes["dilation"] = window.dilation
    elif kind != "adaptive":
        attributes |= {"count_include_pad": kind == "avg", "divisor_override": None}
    name, more = {"max": ("max_pool", ()), "adaptive": ("adaptive_avg_pool", (5, 4))}.get(kind, ("avg_pool", ()))
    attributes = {} if kind == "adaptive" else attributes
    g = randoms(*REFERENCES[name](x, *more, **attributes).shape, seed=1)
    source, target, gradient = Layout(2, 20, 13, 11, 1, 1, 2, 2), Layout(2, 20, 13, 11, 0, 1, 1, 0), Layout(2, 20, *g.shape[2:], 1, 0, 0, 0)
    ranges = commands.adaptive_ranges(target, gradient) if kind == "adaptive" else commands.pool_ranges(target, gradient, window)
    count = {"max": None, "avg": size * size}.get(kind, 0)
    arrays = {"x planes": x, "x": unwritten(source.nbytes), "g planes": g, "g": unwritten(gradient.nbytes), "dx": unwritten(target.nbytes),
              "out": np.empty_like(x)}
    for command in (commands.enter("x planes", "x", source), commands.enter("g planes", "g", gradient),
                    gradient_commands.unpool("g", gradient, "x", source, "dx", target, ranges, count), commands.leave("dx", target, "out")):
        run(command, arrays)
    np.testing.assert_allclose(arrays["out"], REFERENCES[f"{name}_gradient"](g, x, *more, **attributes), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 20, 9, 9), (1, 16, 5, 3), (2, 3, 1, 7)])
def test_batch_norm_of_its_own_statistics(affine: bool, shape: tuple[int, ...]) -> None:
    """With a residual and relu at its end, and the gradient masked by what relu let pass."""
    n, c, h, w = shape
    x, added, g, weight, bias = randoms(*shape) + 100, randoms(*shape, seed=1), randoms(*shape, seed=2), randoms(c, seed=3), randoms(c, seed=4)
    one, other = Layout(n, c, h, w, 1, 0, 0, 1), Layout(n, c, h, w, 2, 2, 2, 2)
    arrays = {name: unwritten(other.nbytes) for name in ("x", "y", "added", "g", "dx")} | {
        "x planes": x, "added planes": added, "g planes": g, "weight": weight, "bias": bias, "out": np.empty_like(x),
        "scratch": unwritten(gradient_commands.SCRATCH_BYTES)} | {name: np.zeros(c, np.float32) for name in ("mean", "var", "dweight", "dbias")}
    parameters = Parameters(At("weight") if affine else None, At("bias") if affine else None, At("mean"), At("var"))
    limits = (0.0, np.inf)
    for command in (commands.enter("x planes", "x", one), commands.enter("added planes", "added", other), commands.enter("g planes", "g", one),
                    gradient_commands.norm_train("x", one, "y", other, "added", parameters, 1e-3, limits, "scratch"),
                    commands.leave("y", other, "out")):
        run(command, arrays)
    own = (weight, bias) if affine else (None, None)
    y, mean, var = REFERENCES["batch_norm_train"](x, *own, eps=1e-3)
    np.testing.assert_allclose(arrays["out"], np.maximum(y + added, 0), atol=2e-4)
    np.testing.assert_allclose(arrays["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(arrays["var"], var, rtol=1e-5)
    for command in (gradient_commands.norm_gradient("g", one, "x", one, ("y", other), "dx", other, parameters, (At("dweight"), At("dbias")),
                                                    1e-3, limits, "scratch"), commands.leave("dx", other, "out")):
        run(command, arrays)
    passed = np.where(arrays_inside(arrays["y"], other) > 0, g, 0)
    dx, dweight, dbias = REFERENCES["batch_norm_gradient"](passed.astype(np.float64), x.astype(np.float64), arrays["mean"].astype(np.float64),
                                                           arrays["var"].astype(np.float64), own[0], eps=1e-3)
    np.testing.assert_allclose(arrays["out"], dx, atol=2e-4)
    np.testing.assert_allclose(arrays["dweight"], dweight, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(arrays["dbias"], dbias, rtol=1e-5, atol=1e-5)


def arrays_inside(blocked: np.ndarray, layout: Layout) -> np.ndarray:
    """The planes of an activation in blocks."""
    held = blocked[:layout.nbytes // 4].reshape(layout.images, layout.blocks, layout.lines, layout.columns, 16)
    inside = held[:, :, layout.top:layout.top + layout.height, layout.left:layout.left + layout.width]
    return inside.transpose(0, 1, 4, 2, 3).reshape(layout.images, -1, layout.height, layout.width)[:, :layout.channels]


def test_sums_of_channels() -> None:
    x = randoms(3, 20, 5, 7)
    layout = Layout(3, 20, 5, 7, 1, 1, 1, 1)
    arrays = {"planes": x, "x": unwritten(layout.nbytes), "out": np.zeros(20, np.float32), "scratch": unwritten(gradient_commands.SCRATCH_BYTES)}
    for command in (commands.enter("planes", "x", layout), gradient_commands.channel_sums("x", layout, At("out"), "scratch")):
        run(command, arrays)
    np.testing.assert_allclose(arrays["out"], x.sum((0, 2, 3)), rtol=1e-5, atol=1e-5)
