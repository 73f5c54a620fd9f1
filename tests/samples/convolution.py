"""Convolutions of 1 to 3 dimensions over strides, paddings, dilations, groups and dtypes."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.samples import Sample, functional, normal

# spatial sizes, kernel, channels in and out, groups, stride, padding, dilation
GEOMETRIES = [
    ((9,), (3,), 4, 6, 1, (1,), (0,), (1,)),
    ((9,), (3,), 4, 6, 2, (2,), (1,), (1,)),
    ((11,), (2,), 3, 3, 3, (3,), (2,), (4,)),
    ((6, 7), (3, 3), 4, 6, 1, (1, 1), (1, 1), (1, 1)),
    ((7, 6), (3, 2), 4, 8, 4, (2, 1), (1, 0), (1, 2)),
    ((5, 5), (1, 1), 4, 2, 2, (2, 2), (0, 0), (1, 1)),
    ((5, 6), (5, 6), 2, 3, 1, (1, 1), (0, 0), (1, 1)),
    ((4, 5, 6), (2, 3, 2), 2, 4, 2, (1, 2, 2), (0, 1, 1), (1, 1, 2)),
]


def gradient_of(part: str, window: dict[str, Any]) -> Callable[..., Any]:
    """torch.nn.grad's gradient of a convolution to its input or weight; the last operand gives the shape."""
    def call(g: Any, other: Any, like: Any) -> Any:
        import torch

        made = getattr(torch.nn.grad, f"conv{other.ndim - 2}d_{part}")
        return made(like.shape, other, g, **window) if part == "input" else made(other, like.shape, g, **window)
    return call


def samples() -> list[Sample]:
    found = []
    for sizes, kernel, inputs, outputs, groups, stride, padding, dilation in GEOMETRIES:
        x, weight, bias = normal(2, inputs, *sizes), normal(outputs, inputs // groups, *kernel), normal(outputs)
        window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        meaning = functional(f"conv{len(sizes)}d", **window)
        found += [Sample("convolution", (x, weight, bias), window, meaning, True),
                  Sample("convolution", (x, weight, None), window, meaning, True)]
        made = [(s + 2 * p - d * (k - 1) - 1) // t + 1 for s, k, t, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)]
        g = normal(2, outputs, *made)
        found += [Sample("convolution_input_gradient", (g, weight, x), window, gradient_of("input", window), True, wrt=(0, 1)),
                  Sample("convolution_weight_gradient", (g, x, weight), window, gradient_of("weight", window), True, wrt=(0, 1))]
        if max(made) > 1:       # what a transposed convolution with output padding asks for
            short = g[(slice(None), slice(None), *(slice(max(1, n - 1)) for n in made))].copy()
            found += [Sample("convolution_input_gradient", (short, weight, x), window, None, True, wrt=(0, 1)),
                      Sample("convolution_weight_gradient", (short, x, weight), window, None, True, wrt=(0, 1))]
        back = {**window, "output_padding": tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))}
        turned = normal(inputs, outputs // groups, *kernel)
        meaning = functional(f"conv_transpose{len(sizes)}d", **back)
        found += [Sample("conv_transpose", (x, turned, bias), back, meaning, True),
                  Sample("conv_transpose", (x, turned, None), back, meaning, True)]
    plain = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    for dtype in ("float32", "float16", "bfloat16"):
        operands = (normal(1, 3, 5, 5, dtype=dtype), normal(4, 3, 3, 3, dtype=dtype), normal(4, dtype=dtype))
        found.append(Sample("convolution", operands, plain, functional("conv2d", **plain)))
    found.append(Sample("convolution", (normal(0, 3, 5, 5), normal(4, 3, 3, 3), None), plain, functional("conv2d", **plain)))
    return found


SAMPLES = samples()
