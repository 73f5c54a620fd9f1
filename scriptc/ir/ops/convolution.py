"""Convolutions of 1, 2 and 3 dimensions, transposed ones, and their gradients."""
from __future__ import annotations

from typing import Any

from scriptc.ir import dims as sizes_of
from scriptc.ir.dims import Dim
from scriptc.ir.registry import OpError, Tensor, not_negative, op, positive, rank_is, same_dtype, shape_text
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


@op
def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: tuple[int, ...], padding: tuple[int, ...],
                dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """Cross-correlation: x [N, C, *S], weight [O, C/groups, *K], bias [O] -> [N, O, *S'] (torch conv1d, 2d, 3d)."""
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
    return x.with_shape((x.shape[0], out, *sizes))


@op
def conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: tuple[int, ...], padding: tuple[int, ...],
                   output_padding: tuple[int, ...], dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The transposed convolution: x [N, C, *S], weight [C, O/groups, *K], bias [O] (torch conv_transpose1d, 2d, 3d)."""
    same_dtype(x=x, weight=weight, bias=bias)
    positive(groups, "groups")
    spatial = spatial_rank(x, weight, stride)
    check_windows(spatial, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)
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
    return x.with_shape((x.shape[0], sizes_of.multiply(weight.shape[1], groups), *sizes))


@op(no_gradient="second derivatives of convolutions are not needed by any model seen")
def convolution_input_gradient(g: Tensor, weight: Tensor, x: Tensor, *, stride: tuple[int, ...], padding: tuple[int, ...],
                               dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The gradient of `convolution` to x; of x only the shape is used."""
    check_windows(len(stride), stride=stride, padding=padding, dilation=dilation)
    positive(groups, "groups")
    return x


@op(no_gradient="second derivatives of convolutions are not needed by any model seen")
def convolution_weight_gradient(g: Tensor, x: Tensor, weight: Tensor, *, stride: tuple[int, ...], padding: tuple[int, ...],
                                dilation: tuple[int, ...], groups: int = 1) -> Tensor:
    """The gradient of `convolution` to its weight; of the weight only the shape is used."""
    check_windows(len(stride), stride=stride, padding=padding, dilation=dilation)
    positive(groups, "groups")
    return weight


def bias_gradient(g: Any) -> Any:
    return g.sum((0, *range(2, g.rank)))


@convolution.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, **attributes: Any) -> Any:
    return (convolution_input_gradient(g, weight, x, **attributes), convolution_weight_gradient(g, x, weight, **attributes),
            None if bias is None else bias_gradient(g))


@conv_transpose.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, output_padding: Any, dilation: Any,
      groups: int) -> Any:
    shared = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    # The transposed convolution is the input gradient of a convolution: its own gradients are that convolution's
    # forward, and its weight gradient with the roles of x and g exchanged.
    return (convolution(g, weight, None, **shared), convolution_weight_gradient(x, g, weight, **shared),
            None if bias is None else bias_gradient(g))
