"""Softmax and the normalisations."""
from __future__ import annotations

from typing import Any

from scriptc.ir.ops.elementwise import exp, rsqrt
from scriptc.ir.ops.reduction import real
from scriptc.ir.registry import OpError, Tensor, axis, floating, op, positive, same_dtype, same_size, same_type, shape_text
from scriptc.ir.types import TensorType


@op
def softmax(x: Tensor, *, dim: int) -> Tensor:
    """exp(x - max) / sum along `dim`; a row of -inf gives nan, as in torch."""
    real(x, "softmax")
    floating(x, "x")
    axis(dim, x)
    return x


@op
def log_softmax(x: Tensor, *, dim: int) -> Tensor:
    """x - max - log(sum(exp(x - max))) along `dim`."""
    real(x, "log_softmax")
    floating(x, "x")
    axis(dim, x)
    return x


def trailing(x: TensorType, axes: int, **parameters: TensorType | None) -> None:
    """OpError unless each parameter has the sizes of x's last `axes` dimensions."""
    floating(x, "x")
    same_dtype(x=x, **parameters)
    positive(axes, "axes")
    if x.shape is None:
        return
    if axes > len(x.shape):
        raise OpError("E0480", axes=axes, shape=shape_text(x.shape))
    for name, parameter in parameters.items():
        if parameter is not None and parameter.shape is not None:
            if len(parameter.shape) != axes:
                raise OpError("E0481", what=name, expected=shape_text(x.shape[-axes:]), found=shape_text(parameter.shape))
            for a, b in zip(parameter.shape, x.shape[-axes:], strict=True):
                if isinstance(a, int) and isinstance(b, int) and a != b:
                    raise OpError("E0481", what=name, expected=shape_text(x.shape[-axes:]), found=shape_text(parameter.shape))


@op
def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, axes: int, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last `axes` dimensions, var biased (Ba et al. 2016)."""
    trailing(x, axes, weight=weight, bias=bias)
    return x


@op
def rms_norm(x: Tensor, weight: Tensor | None, *, axes: int, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) * weight over the last `axes` dimensions (Zhang and Sennrich 2019)."""
    trailing(x, axes, weight=weight)
    return x


def per_channel(x: TensorType, **parameters: TensorType | None) -> None:
    """OpError unless each parameter is [C] for x [N, C, *]."""
    floating(x, "x")
    same_dtype(x=x, **parameters)
    if x.shape is None:
        return
    if len(x.shape) < 2:
        raise OpError("E0482", shape=shape_text(x.shape))
    for name, parameter in parameters.items():
        if parameter is not None and parameter.shape is not None:
            if len(parameter.shape) != 1:
                raise OpError("E0481", what=name, expected=f"[{x.shape[1]}]", found=shape_text(parameter.shape))
            same_size(parameter.shape[0], x.shape[1], f"{name} and channels")


@op
def batch_norm(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias per channel, with the given statistics [C]; x [N, C, *]."""
    per_channel(x, mean=mean, var=var, weight=weight, bias=bias)
    return x


@op
def batch_norm_train(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(batch_norm by the batch's own statistics, its mean [C], its biased variance [C]) (Ioffe and Szegedy 2015).

    ValueError when there is only one value per channel. Gradients flow through the first result only: the statistics are
    what running averages are made of.
    """
    per_channel(x, weight=weight, bias=bias)
    channels = None if x.shape is None else x.shape[1]
    return x, x.with_shape((channels,)), x.with_shape((channels,))


@op(no_gradient="second derivatives of batch normalisation are not needed by any model seen")
def batch_norm_gradient(g: Tensor, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, *,
                        eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `batch_norm_train` to x, weight [C] and bias [C]; mean and var are the batch's own statistics, as it gave them."""
    per_channel(x, mean=mean, var=var, weight=weight)
    same_type(g, x, "g")
    return x, mean, mean


@op
def group_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, groups: int, eps: float) -> Tensor:
    """Normalisation over each of `groups` groups of channels of x [N, C, *] (Wu and He 2018); groups = C: instance norm."""
    per_channel(x, weight=weight, bias=bias)
    positive(groups, "groups")
    if x.shape is not None and isinstance(x.shape[1], int) and x.shape[1] % groups:
        raise OpError("E0483", channels=x.shape[1], groups=groups)
    return x


@softmax.gradient
def _(g: Any, y: Any, x: Any, *, dim: int) -> Any:
    return y * (g - (y * g).sum(dim, keepdim=True))


@log_softmax.gradient
def _(g: Any, y: Any, x: Any, *, dim: int) -> Any:
    return g - exp(y) * g.sum(dim, keepdim=True)


def _last(count: int) -> tuple[int, ...]:
    return tuple(range(-count, 0))


@layer_norm.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, *, axes: int, eps: float) -> Any:
    from scriptc.ir.ops.shape import sum_to

    dims = _last(axes)
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    inverse = rsqrt((centred * centred).mean(dims, keepdim=True) + eps)
    normal = centred * inverse
    inner = g if weight is None else g * weight
    dx = inverse * (inner - inner.mean(dims, keepdim=True) - normal * (inner * normal).mean(dims, keepdim=True))
    return (dx, None if weight is None else sum_to(g * normal, weight), None if bias is None else sum_to(g, bias))


@rms_norm.gradient
def _(g: Any, y: Any, x: Any, weight: Any, *, axes: int, eps: float) -> Any:
    from scriptc.ir.ops.shape import sum_to

    dims = _last(axes)
    inverse = rsqrt((x * x).mean(dims, keepdim=True) + eps)
    normal = x * inverse
    inner = g if weight is None else g * weight
    dx = inverse * (inner - normal * (inner * normal).mean(dims, keepdim=True))
    return dx, None if weight is None else sum_to(g * normal, weight)


def channelwise(parameter: Any, x: Any) -> Any:
    """A [C] parameter shaped to broadcast over x [N, C, *]."""
    for _ in range(x.rank - 2):
        parameter = parameter.unsqueeze(-1)
    return parameter


def _over(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.rank))


@batch_norm.gradient
def _(g: Any, y: Any, x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    over = _over(x)
    inverse = channelwise(rsqrt(var + eps), x)
    normal = (x - channelwise(mean, x)) * inverse
    inner = g if weight is None else g * channelwise(weight, x)
    dx = inner * inverse
    dvar = (inner * normal).sum(over) * rsqrt(var + eps) * rsqrt(var + eps) * -0.5
    return (dx, -dx.sum(over), dvar, None if weight is None else (g * normal).sum(over), None if bias is None else g.sum(over))


@batch_norm_train.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    dx, dweight, dbias = batch_norm_gradient(g[0], x, y[1], y[2], weight, eps=eps)
    return dx, None if weight is None else dweight, None if bias is None else dbias


@group_norm.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
    from scriptc.ir.ops.shape import reshape, reshape_as, size

    over = _over(x)
    grouped = reshape(x, size(x, dim=0), groups, -1)
    mean = grouped.mean(2, keepdim=True)
    centred = grouped - mean
    inverse = rsqrt((centred * centred).mean(2, keepdim=True) + eps)
    normal = centred * inverse
    inner = reshape_as(g if weight is None else g * channelwise(weight, x), grouped)
    dx = inverse * (inner - inner.mean(2, keepdim=True) - normal * (inner * normal).mean(2, keepdim=True))
    return (reshape_as(dx, x), None if weight is None else (g * reshape_as(normal, x)).sum(over),
            None if bias is None else g.sum(over))
