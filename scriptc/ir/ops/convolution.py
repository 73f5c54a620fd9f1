"""Convolutions of 1, 2 and 3 dimensions, transposed ones, and their gradients."""
from __future__ import annotations

from typing import Any

from scriptc.ir import dims as sizes_of
from scriptc.ir.dims import Dim
from scriptc.ir.registry import OpError, Tensor, not_negative, op, positive, rank_is, same_dtype, same_size, shape_text
from scriptc.ir.types import TensorType


def convolved(size: Dim, kernel: Dim, stride: int, padding: int, dilation: int) -> Dim:
    """(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1"""
    reach = sizes_of.add(sizes_of.multiply(sizes_of.subtract(kernel, 1), dilation), 1)
    return sizes_of.add(sizes_of.floor_divide(sizes_of.subtract(sizes_of.add(size, 2 * padding), reach), stride), 1)


def check_windows(spatial: int, **attributes: tuple[int, ...]) -> None:
    """OpError unless each attribute has one number per spatial dimension, strides and dilations positive."""
    for name, values in attributes.items():
        if len(values) != spatial:
            raise OpError("E0470", what=name, expected=spatial, found=len(values))
        (not_negative if "padding" in name else positive)(values, name)


def spatial_rank(x: TensorType, weight: TensorType, stride: tuple[int, ...]) -> int:
    """How many spatial dimensions; the input is [N, C, *S]."""
    rank_is(weight, "weight", 3, 4, 5)
    spatial = len(stride)
    rank_is(x, "x", spatial + 2)
    rank_is(weight, "weight", spatial + 2)
    return spatial


def check_bias(bias: TensorType | None, channels: Dim) -> None:
    """OpError unless the bias, where there is one, has one number per output channel."""
    if bias is not None:
        rank_is(bias, "bias", 1)
        if bias.shape is not None:
            same_size(bias.shape[0], channels, "bias and output channels")


def convolution_type(x: TensorType, weight: TensorType, bias: TensorType | None, stride: tuple[int, ...], padding: tuple[int, ...],
                     dilation: tuple[int, ...], groups: int) -> TensorType:
    """The type of `convolution`. OpError if operands and attributes do not fit each other."""
    same_dtype(x=x, weight=weight, bias=bias)
    positive(groups, "groups")
    spatial = spatial_rank(x, weight, stride)
    check_windows(spatial, stride=stride, padding=padding, dilation=dilation)
    if x.shape is None or weight.shape is None:
        return x.with_shape(None)
    channels, per_group, out = x.shape[1], weight.shape[1], weight.shape[0]
    if isinstance(channels, int) and isinstance(per_group, int) and channels != per_group * groups:
        raise OpError("E0471", expected=per_group * groups, found=channels, weight=shape_text(weight.shape), x=shape_text(x.shape))
    if isinstance(out, int) and out % groups:
        raise OpError("E0472", channels=out, groups=groups)
    sizes = tuple(convolved(*args) for args in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True))
    for index, size in enumerate(sizes):
        if isinstance(size, int) and size < 1:
            raise OpError("E0473", dim=index + 2, x=shape_text(x.shape), kernel=shape_text(weight.shape[2:]))
    check_bias(bias, out)
    return x.with_shape((x.shape[0], out, *sizes))


@op
def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: tuple[int, ...], padding: tuple[int, ...],
                dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """Cross-correlation: x [N, C, *S], weight [O, C/groups, *K], bias [O] -> [N, O, *S'] (torch conv1d, 2d, 3d).

    S' = (S + 2 padding - dilation (K - 1) - 1) // stride + 1; every window must fit (E0473).
    """
    return convolution_type(x, weight, bias, stride, padding, dilation, groups)


@op
def conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: tuple[int, ...], padding: tuple[int, ...],
                   output_padding: tuple[int, ...], dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The transposed convolution: x [N, C, *S], weight [C, O/groups, *K], bias [O] (torch conv_transpose1d, 2d, 3d)."""
    same_dtype(x=x, weight=weight, bias=bias)
    positive(groups, "groups")
    spatial = spatial_rank(x, weight, stride)
    check_windows(spatial, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        if extra >= max(s, d):
            raise OpError("E0420", message=f"output_padding {extra} must be smaller than stride {s} or dilation {d}")
    if x.shape is None or weight.shape is None:
        return x.with_shape(None)
    if isinstance(x.shape[1], int) and isinstance(weight.shape[0], int) and x.shape[1] != weight.shape[0]:
        raise OpError("E0471", expected=weight.shape[0], found=x.shape[1], weight=shape_text(weight.shape), x=shape_text(x.shape))
    if isinstance(x.shape[1], int) and x.shape[1] % groups:
        raise OpError("E0472", channels=x.shape[1], groups=groups)
    sizes = []  # type: ignore[var-annotated]
    for size, kernel, s, p, o, d in zip(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation, strict=True):
        full = sizes_of.add(sizes_of.multiply(sizes_of.subtract(size, 1), s), sizes_of.multiply(sizes_of.subtract(kernel, 1), d))
        grown = sizes_of.add(full, o + 1 - 2 * p)
        if isinstance(grown, int) and grown < 1:
            raise OpError("E0473", dim=len(sizes) + 2, x=shape_text(x.shape), kernel=shape_text(weight.shape[2:]))
        sizes.append(grown)
    channels = sizes_of.multiply(weight.shape[1], groups)
    check_bias(bias, channels)
    return x.with_shape((x.shape[0], channels, *sizes))


def check_result_gradient(g: TensorType, result: TensorType) -> None:
    """OpError unless g has the result's dtype, batch and channels, and no more places than it.

    Fewer are taken (the last ones then give nothing): what a transposed convolution with output padding needs.
    """
    same_dtype(g=g, x=result)
    if g.shape is None or result.shape is None:
        return
    rank_is(g, "g", len(result.shape))
    for index, (a, b) in enumerate(zip(g.shape, result.shape, strict=True)):
        if index < 2 or (isinstance(a, int) and isinstance(b, int) and a > b):
            same_size(a, b, f"size {index} of g {shape_text(g.shape)} and of the result {shape_text(result.shape)}")


@op
def convolution_input_gradient(g: Tensor, weight: Tensor, x: Tensor, *, stride: tuple[int, ...], padding: tuple[int, ...],
                               dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The gradient of `convolution` to x; of x only the shape is used. g may lack places at the ends."""
    check_result_gradient(g, convolution_type(x, weight, None, stride, padding, dilation, groups))
    return x


@op
def convolution_weight_gradient(g: Tensor, x: Tensor, weight: Tensor, *, stride: tuple[int, ...], padding: tuple[int, ...],
                                dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The gradient of `convolution` to its weight; of the weight only the shape is used. g may lack places at the ends."""
    check_result_gradient(g, convolution_type(x, weight, None, stride, padding, dilation, groups))
    return weight


def bias_gradient(g: Any) -> Any:
    return g.sum((0, *range(2, g.rank)))


@convolution.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, **attributes: Any) -> Any:
    return (convolution_input_gradient(g, weight, x, **attributes), convolution_weight_gradient(g, x, weight, **attributes),
            None if bias is None else bias_gradient(g))


@convolution_input_gradient.gradient
def _(v: Any, y: Any, g: Any, weight: Any, x: Any, **attributes: Any) -> Any:
    return _places_of(convolution(v, weight, None, **attributes), g), convolution_weight_gradient(g, v, weight, **attributes), None


@convolution_weight_gradient.gradient
def _(v: Any, y: Any, g: Any, x: Any, weight: Any, **attributes: Any) -> Any:
    return _places_of(convolution(x, v, None, **attributes), g), convolution_input_gradient(g, v, x, **attributes), None


def _places_of(made: Any, g: Any) -> Any:
    """A convolution's result without the places at the ends that g lacks."""
    from scriptc.ir.ops.shape import size
    from scriptc.ir.ops.views import slice_

    if made.shape == g.shape and made.shape is not None and None not in made.shape:
        return made
    for dim in range(2, g.rank):
        made = slice_(made, 0, size(g, dim=dim), 1, dim=dim)
    return made


@conv_transpose.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, output_padding: Any, dilation: Any,
      groups: int) -> Any:
    from scriptc.ir.ops.shape import size
    from scriptc.ir.ops.views import slice_

    shared = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    # The transposed convolution is the input gradient of a convolution: its own gradients are that convolution's
    # forward, and its weight gradient with the roles of x and g exchanged.
    dx = convolution(g, weight, None, **shared)
    for dim, (extra, step) in enumerate(zip(output_padding, stride, strict=True), 2):
        if extra >= step:   # g has room for windows that no element of x was spread over
            dx = slice_(dx, 0, size(x, dim=dim), 1, dim=dim)
    return (dx, convolution_weight_gradient(x, g, weight, **shared),
            None if bias is None else bias_gradient(g))
