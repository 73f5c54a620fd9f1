"""How a convolution, or its gradient to the input, is computed: by a model of what each way costs."""
from __future__ import annotations

import math
from typing import Any

from scriptc_runtime.cpu.blocked.nodes import Node, convolution_window
from scriptc_runtime.cpu.blocked.support import plane_shape
from scriptc_runtime.cpu.tiles.geometry import LANES

# Costs in multiplications of the product tile (128 a nanosecond where this was measured, with two 16-lane units).
TRANSFORM = {2: 7, 4: 15}       # to transform one float of an activation, there and back
REPACK = {2: 12, 4: 12}         # to make one float of a transformed weight, where weights change from call to call
SECOND_CACHE, THIRD_CACHE = 1 << 20, 16 << 20
FAR, FARTHER = 8, 20            # to read one float of a weight that the second cache, or the third, does not hold
GAIN = 0.95                     # of F(2x2, 3x3)'s cost that F(4x4, 3x3) must not exceed: the former is more accurate


def algorithm(node: Node, repacks: bool = False) -> str:
    """`depthwise`, `grouped`, `winograd4`, `winograd2` or `direct`.

    `repacks`: weights are packed in each call, as in training. There F(4x4, 3x3) is left out: its rounding, three times the direct way's, decides
    more signs at the kinks of activations, each of which changes a small batch's gradients by a percent.
    """
    if node.kind == "batch_norm":
        return "depthwise"
    attributes: Any = node.op.op.attributes
    weight, made = plane_shape(node.op.operand_types[1]), plane_shape(node.op.result_types[0])
    assert weight is not None
    assert made is not None
    if attributes["groups"] > 1:
        return "depthwise" if weight[1] == 1 and attributes["groups"] == weight[0] else "grouped"
    window = convolution_window(node.op)
    regular = window.size == (3, 3) and window.stride == (1, 1) and window.dilation == (1, 1) and max(window.padding) <= 2
    if not regular or min(weight[:2]) < 2 * LANES:
        return "direct"
    channels = math.prod(_whole(c) for c in weight[:2])
    places = made[0] * made[2] * made[3]
    direct = places * 9 * channels + _fetched(9 * channels)
    second = _winograd(2, made, weight[:2], repacks)
    fourth = math.inf if repacks else _winograd(4, made, weight[:2], repacks)
    if min(second, fourth) >= direct:
        return "direct"
    return "winograd4" if fourth < GAIN * second else "winograd2"


def _winograd(m: int, made: tuple[int, ...], channels: tuple[int, ...], repacks: bool) -> float:
    """The cost of F(m x m, 3x3)."""
    elements = (m + 2) ** 2
    tiles = made[0] * -(-made[2] // m) * -(-made[3] // m)
    weights = elements * math.prod(_whole(c) for c in channels)
    cost = tiles * weights + TRANSFORM[m] * tiles * elements * sum(_whole(c) for c in channels)
    return cost + _fetched(weights) + (REPACK[m] * weights if repacks else 0)


def _whole(channels: int) -> int:
    """Channels with those that fill the last block."""
    return -(-channels // LANES) * LANES


def _fetched(floats: int) -> int:
    """The cost of reading so many floats of a weight."""
    size = 4 * floats
    return 0 if size <= SECOND_CACHE else FAR * floats if size <= THIRD_CACHE else FARTHER * floats
