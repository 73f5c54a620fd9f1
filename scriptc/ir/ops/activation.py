"""Activation functions, each one scalar formula."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.ops.elementwise import clamp, erf, exp, expm1, ge, gt, le, log1p, masked_fill, maximum, minimum, tanh, where
from scriptc.ir.registry import Elementwise, elementwise

E = Elementwise


@elementwise(accepts="real")
def relu(x: E) -> Any:
    """max(x, 0); nan stays, the gradient at 0 is 0."""
    return maximum(x, 0)


@elementwise(accepts="floating")
def sigmoid(x: E) -> Any:
    """1 / (1 + exp(-x))"""
    return 1.0 / (1.0 + exp(-x))


@elementwise(accepts="floating")
def silu(x: E) -> Any:
    """x * sigmoid(x) (Elfwing et al. 2018)"""
    return x / (1.0 + exp(-x))


@elementwise(accepts="floating")
def gelu(x: E, *, approximate: str = "none") -> Any:
    """x * Phi(x) (Hendrycks and Gimpel 2016); `approximate` is `none` (by erf) or `tanh`."""
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


@elementwise(accepts="floating")
def softplus(x: E, *, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    return where(gt(x * beta, threshold), x, log1p(exp(minimum(x * beta, threshold))) / beta)


@elementwise(accepts="floating")
def elu(x: E, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    """scale * (x if x > 0 else alpha * (exp(input_scale x) - 1)) (Clevert et al. 2015; selu and celu too)"""
    return where(gt(x, 0.0), x * scale, expm1(minimum(x, 0.0) * input_scale) * (alpha * scale))


@elementwise(accepts="floating")
def leaky_relu(x: E, *, negative_slope: float = 0.01) -> Any:
    """x if x > 0 else negative_slope * x"""
    return where(gt(x, 0.0), x, x * negative_slope)


@elementwise(accepts="floating")
def hardtanh(x: E, *, min_value: float = -1.0, max_value: float = 1.0) -> Any:
    """x limited to [min_value, max_value]; relu6 with 0 and 6."""
    return clamp(x, min_value, max_value)


@elementwise(accepts="floating")
def hardsigmoid(x: E) -> Any:
    """clamp(x + 3, 0, 6) / 6"""
    return clamp(x + 3.0, 0.0, 6.0) / 6.0


@elementwise(accepts="floating")
def hardswish(x: E) -> Any:
    """x * clamp(x + 3, 0, 6) / 6 (Howard et al. 2019)"""
    return x * clamp(x + 3.0, 0.0, 6.0) / 6.0


@elementwise(accepts="floating")
def mish(x: E) -> Any:
    """x * tanh(softplus(x)) (Misra 2019)"""
    return x * tanh(where(gt(x, 20.0), x, log1p(exp(minimum(x, 20.0)))))


@elementwise(accepts="floating")
def logsigmoid(x: E) -> Any:
    """log(sigmoid(x)) without overflow"""
    return minimum(x, 0.0) - log1p(exp(-maximum(x, -x)))


@elementwise(accepts="floating")
def softsign(x: E) -> Any:
    """x / (1 + |x|)"""
    return x / (1.0 + maximum(x, -x))


@elementwise(accepts="floating")
def hardshrink(x: E, *, lambd: float = 0.5) -> Any:
    """0 where |x| <= lambd, else x"""
    return where(le(maximum(x, -x), lambd), x * 0.0, x)


@elementwise(accepts="floating")
def softshrink(x: E, *, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd, 0 in between"""
    return maximum(x - lambd, 0.0) + minimum(x + lambd, 0.0)


@elementwise(accepts="real")
def threshold(x: E, *, threshold: float, value: float) -> Any:
    """value where x <= threshold, else x; nan stays"""
    return masked_fill(x, le(x, threshold), value)


@elementwise(accepts="floating")
def clamp_gradient(g: E, x: E, *, low: float, high: float | None = None) -> Any:
    """g where low < x < high, elsewhere 0; where x is nan, g. The gradient of `relu` and `hardtanh`, one op so that engines can recognise it."""
    kept = masked_fill(g, le(x, low), 0.0)
    return kept if high is None else masked_fill(kept, ge(x, high), 0.0)


clamp_gradient.gradient(lambda g, y, inner, x, **limits: (clamp_gradient(g, x, **limits), None))
# By the result, as the next layer keeps it anyway.
relu.gradient(lambda g, y, x: clamp_gradient(g, y, low=0.0))
sigmoid.gradient(lambda g, y, x: g * y * (1.0 - y))
softsign.gradient(lambda g, y, x: g / square_of(1.0 + maximum(x, -x)))
logsigmoid.gradient(lambda g, y, x: g * sigmoid(-x))


def square_of(x: Any) -> Any:
    return x * x


@silu.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * s * (1.0 + x * (1.0 - s))


@gelu.gradient
def _(g: Any, y: Any, x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
        t = tanh(inner)
        slope = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
    return g * (0.5 * (1.0 + erf(x * math.sqrt(0.5))) + x * exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi)))


@softplus.gradient
def _(g: Any, y: Any, x: Any, *, beta: float, threshold: float) -> Any:
    return where(gt(x * beta, threshold), g, g * sigmoid(x * beta))


@elu.gradient
def _(g: Any, y: Any, x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    return where(gt(x, 0.0), g * scale, g * exp(minimum(x, 0.0) * input_scale) * (alpha * scale * input_scale))


@leaky_relu.gradient
def _(g: Any, y: Any, x: Any, *, negative_slope: float) -> Any:
    return where(gt(x, 0.0), g, g * negative_slope)


@hardtanh.gradient
def _(g: Any, y: Any, x: Any, *, min_value: float, max_value: float) -> Any:
    return clamp_gradient(g, x, low=min_value, high=max_value)


@hardsigmoid.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return masked_fill(masked_fill(g, le(x, -3.0), 0.0), ge(x, 3.0), 0.0) / 6.0


@hardswish.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return where(le(x, -3.0), g * 0.0, where(ge(x, 3.0), g, g * (x / 3.0 + 0.5)))


@mish.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    t = tanh(softplus(x))
    return g * (t + x * (1.0 - t * t) * sigmoid(x))


@hardshrink.gradient
def _(g: Any, y: Any, x: Any, *, lambd: float) -> Any:
    return masked_fill(g, le(maximum(x, -x), lambd), 0.0)


@softshrink.gradient
def _(g: Any, y: Any, x: Any, *, lambd: float) -> Any:
    return masked_fill(g, le(maximum(x, -x), lambd), 0.0)


@threshold.gradient
def _(g: Any, y: Any, x: Any, *, threshold: float, value: float) -> Any:
    return masked_fill(g, le(x, threshold), 0.0)
