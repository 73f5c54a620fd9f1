"""The commands of training's nodes: weights packed in the plan, gradients of convolutions, pools and norms, batch statistics."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scriptc.ir.graph import Literal, Value
from scriptc_runtime.cpu.blocked.algorithms import algorithm
from scriptc_runtime.cpu.blocked.nodes import Node, convolution_window, pool_window
from scriptc_runtime.cpu.blocked.support import plane_shape
from scriptc_runtime.cpu.tiles import commands, gradient_commands
from scriptc_runtime.cpu.tiles.commands import Command, Operands, Window, Word
from scriptc_runtime.cpu.tiles.geometry import LANES
from scriptc_runtime.cpu.tiles.gradient_commands import Parameters, WeightShape

if TYPE_CHECKING:
    from scriptc_runtime.cpu.blocked.region import Region


def read_border(node: Node, shapes: dict[Value, tuple[int, int, int, int]]) -> tuple[Value, list[int]] | None:
    """The value of which a node of training reads places around the image, and how many: above, left, below, right."""
    if node.kind == "convolution_weight_gradient":
        window = convolution_window(node.op)
        return node.inputs[1], [*window.padding, *window.padding]
    if node.kind != "convolution_input_gradient":
        return None
    window, g = convolution_window(node.op), node.inputs[0]
    made = plane_shape(node.op.result_types[0])
    assert made is not None
    how = algorithm(node, repacks=True)
    if how.startswith("winograd"):
        padding = _flipped(window).padding
        below, right = commands.winograd_border(commands.Layout(*made), int(how[-1]), padding)
        return g, [*padding, below, right]
    return g, list(gradient_commands.gradient_border(made[2:], shapes[g][2:], window))


def commands_of(region: Region, index: int, node: Node) -> list[Command]:
    """The commands of one node of training."""
    return _MAKERS[node.kind](region, index, node)


def weight_shape(node: Node) -> WeightShape:
    """The weight of a convolution, or of the one whose gradient this is."""
    weight = plane_shape(node.op.operand_types[2 if node.kind == "convolution_weight_gradient" else 1])
    assert weight is not None
    return WeightShape(weight[0], weight[1], weight[2] * weight[3])


def packed_forward(region: Region, index: int, node: Node, how: str, lanes: int) -> list[Command]:
    """Pack the weight of a convolution within the plan."""
    weight, packed, shape = ("plain", node.op.operands[1]), ("packed", index), weight_shape(node)
    if how == "depthwise":
        region.sizes[packed] = lambda threads: gradient_commands.packed_bytes(shape.out, 1, shape.taps, 1)
        return gradient_commands.pack_lanes(weight, packed, shape.out, range(shape.taps))
    if how.startswith("winograd"):
        return _transformed(region, index, gradient_commands.pack_forward(weight, ("panels", index), shape), shape.out, shape.inputs, how,
                            backward=False)
    region.sizes[packed] = lambda threads: gradient_commands.packed_bytes(shape.out, shape.inputs, shape.taps, lanes)
    return gradient_commands.pack_forward(weight, packed, shape, lanes)


def _transformed(region: Region, index: int, packing: list[Command], out: int, inputs: int, how: str, backward: bool) -> list[Command]:
    """Panels, and from them the transformed weight."""
    m, panels, packed = int(how[-1]), ("panels", index), ("packed", index)
    region.sizes[panels] = lambda threads: gradient_commands.packed_bytes(out, inputs, 9)
    region.sizes[packed] = lambda threads: gradient_commands.transformed_bytes(out, inputs, m)
    return [*packing, gradient_commands.transform_weights(panels, packed, out, inputs, m, backward)]


def packed_bias(region: Region, index: int, node: Node) -> tuple[object, list[Command]]:
    """(the value that holds a convolution's bias in whole blocks, None without one; the commands that make it)."""
    bias = node.op.operands[2]
    if isinstance(bias, Literal):
        return None, []
    channels = weight_shape(node).out
    if channels % LANES == 0:
        return ("plain", bias), []
    held = ("bias in blocks", index)
    region.sizes[held] = lambda threads: gradient_commands.packed_bytes(channels, 1, 1, 1)
    return held, gradient_commands.pack_lanes(("plain", bias), held, channels, range(1))


def _scratch(region: Region, index: int, size: int) -> object:
    """Working memory of so many bytes for each thread, while the node runs."""
    region.sizes["scratch", index] = lambda threads: size * threads
    return "scratch", index


def _input_gradient(region: Region, index: int, node: Node) -> list[Command]:
    g, result, packed = node.inputs[0], node.result, ("packed", index)
    if result is None:
        return []
    window, shape = convolution_window(node.op), weight_shape(node)
    source, target, weight = region.layouts[g], region.layouts[result], ("plain", node.op.operands[1])
    how = algorithm(node, repacks=True)
    if how == "depthwise":
        region.sizes[packed] = lambda threads: gradient_commands.packed_bytes(shape.out, 1, shape.taps, 1)
        # The maker packs from `weight` to `bias`: a gradient has no bias of its own.
        operands = Operands(g, weight, packed, result, node.residual, node.limits)
        packing, running = gradient_commands.depthwise_input_gradient(operands, source, target, window, shape.out)
        return [*packing, *running]
    ends = Operands(g, packed, None, result, node.residual, node.limits)
    if how.startswith("winograd"):
        packing = _transformed(region, index, gradient_commands.pack_backward(weight, ("panels", index), shape, range(9)), shape.inputs,
                               shape.out, how, backward=True)
        m, scratch = int(how[-1]), ("scratch", index)
        region.sizes[scratch] = lambda threads: commands.winograd_scratch(source, target, m, threads)
        return [*packing, *commands.winograd(ends, source, target, _flipped(window), m, scratch)]
    region.sizes[packed] = lambda threads: gradient_commands.packed_bytes(shape.inputs, shape.out, shape.taps)
    return [*gradient_commands.pack_input_gradient(weight, packed, target, window, shape),
            *gradient_commands.input_gradient(ends, source, target, window, shape)]


def _flipped(window: Window) -> Window:
    """The window of the convolution that a 3x3 one with stride 1 is backwards."""
    return Window((3, 3), padding=(2 - window.padding[0], 2 - window.padding[1]))


def _weight_gradient(region: Region, index: int, node: Node) -> list[Command]:
    g, x = node.inputs
    gradient, source, window = region.layouts[g], region.layouts[x], convolution_window(node.op)
    out = region.plain(node.op.results[0])
    if out is None:
        return []
    if node.op.op.attributes["groups"] != 1:
        scratch = _scratch(region, index, gradient_commands.lanewise_scratch(window))
        return [gradient_commands.depthwise_weight_gradient(g, gradient, x, source, out.value, window, scratch)]
    scratch = _scratch(region, index, gradient_commands.CORRELATION_BYTES)
    return [gradient_commands.weight_gradient(g, gradient, x, source, out.value, window, scratch)]


def _parameter(region: Region, value: Value) -> Word:
    return None if isinstance(value, Literal) else region.plain(value)


def _eps(node: Node) -> float:
    attributes: Any = node.op.op.attributes
    return float(attributes["eps"])


def _norm_train(region: Region, index: int, node: Node) -> list[Command]:
    x, result = node.inputs[0], node.result
    _, weight, bias = node.op.operands
    assert result is not None
    parameters = Parameters(_parameter(region, weight), _parameter(region, bias), *(region.plain(v) for v in node.op.results[1:]))
    return [gradient_commands.norm_train(x, region.layouts[x], result, region.layouts[result], node.residual, parameters, _eps(node),
                                         node.limits, _scratch(region, index, gradient_commands.SCRATCH_BYTES))]


def _norm_gradient(region: Region, index: int, node: Node) -> list[Command]:
    g, x = node.inputs
    mean, var, weight = (_parameter(region, v) for v in node.op.operands[2:])
    mask = None if node.mask is None else (node.mask[0], region.layouts[node.mask[0]])
    limits = node.limits if node.mask is None else node.mask[1]
    _, dweight, dbias = node.op.results
    target = region.layouts[x if node.result is None else node.result]
    return [gradient_commands.norm_gradient(
        g, region.layouts[g], x, region.layouts[x], mask, node.result, target, Parameters(weight, None, mean, var),
        (region.plain(dweight), region.plain(dbias)), _eps(node), limits, _scratch(region, index, gradient_commands.SCRATCH_BYTES))]


def _pool_gradient(region: Region, index: int, node: Node) -> list[Command]:
    g, result = node.inputs[0], node.result
    if result is None:
        return []
    gradient, target = region.layouts[g], region.layouts[result]
    x = node.inputs[1] if node.kind == "max_pool_gradient" else result
    if node.kind == "adaptive_avg_pool_gradient":
        ranges, count = commands.adaptive_ranges(target, gradient), 0
    else:
        window = pool_window(node.op)
        ranges = commands.pool_ranges(target, gradient, window)
        count = window.size[0] * window.size[1] if node.op.op.attributes.get("count_include_pad", True) else 0
    return [gradient_commands.unpool(g, gradient, x, region.layouts[x], result, target, ranges,
                                     None if node.kind == "max_pool_gradient" else count)]


def _channel_sum(region: Region, index: int, node: Node) -> list[Command]:
    x, out = node.inputs[0], region.plain(node.op.results[0])
    return [gradient_commands.channel_sums(x, region.layouts[x], out, _scratch(region, index, gradient_commands.SCRATCH_BYTES))]


_MAKERS: dict[str, Callable[[Region, int, Node], list[Command]]] = {
    "convolution_input_gradient": _input_gradient, "convolution_weight_gradient": _weight_gradient, "batch_norm_train": _norm_train,
    "batch_norm_gradient": _norm_gradient, "max_pool_gradient": _pool_gradient, "avg_pool_gradient": _pool_gradient,
    "adaptive_avg_pool_gradient": _pool_gradient, "sum": _channel_sum,
}
KINDS = frozenset(_MAKERS)
