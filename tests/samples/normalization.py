"""Softmax and the normalisations, with and without parameters, on extreme rows and half types."""
from __future__ import annotations

from typing import Any

import numpy as np

from tests.samples import Sample, functional, normal


def softmaxes() -> list[Sample]:
    extreme = np.array([[1e4, -1e4, 0.0], [-np.inf, 0.0, 1.0], [-np.inf, -np.inf, -np.inf], [np.inf, 0.0, 1.0], [np.nan, 0.0, 1.0]])
    found = []
    for op in ("softmax", "log_softmax"):
        for shape, dim in (((3, 4), 1), ((3, 4), -2), ((2, 3, 4), 1), ((5,), 0), ((0, 3), 1), ((3, 0), 1), ((), 0)):
            found.append(Sample(op, (normal(*shape),), {"dim": dim}, functional(op, dim=dim), bool(shape)))
        found.append(Sample(op, (extreme,), {"dim": 1}, functional(op, dim=1)))
        found += [Sample(op, (normal(3, 5, dtype=d),), {"dim": 1}, functional(op, dim=1)) for d in ("float32", "float16", "bfloat16")]
    return found


def trailing() -> list[Sample]:
    found = []
    for shape, axes in (((3, 4), 1), ((2, 3, 4), 2), ((2, 0, 4), 1), ((4,), 1)):
        x, weight, bias, sizes = normal(*shape), normal(*shape[-axes:]) + 0.5, normal(*shape[-axes:]), shape[-axes:]
        attributes = {"axes": axes, "eps": 1e-5}

        def layer(t: Any, w: Any, b: Any, n: Any = sizes) -> Any:
            return functional("layer_norm", normalized_shape=n, eps=1e-5)(t, weight=w, bias=b)

        def root(t: Any, w: Any, n: Any = sizes) -> Any:
            return functional("rms_norm", normalized_shape=n, eps=1e-5)(t, weight=w)

        found += [Sample("layer_norm", (x, w, b), attributes, layer, 0 not in shape) for w, b in ((weight, bias), (weight, None), (None, None))]
        found += [Sample("rms_norm", (x, w), attributes, root, 0 not in shape) for w in (weight, None)]
        halves = (x.astype("float16"), weight.astype("float16"))
        found += [Sample("layer_norm", (*halves, bias.astype("float16")), attributes, layer), Sample("rms_norm", halves, attributes, root)]
    return found


def batch(x: Any, mean: Any, var: Any, weight: Any, bias: Any) -> Any:
    return functional("batch_norm", training=False, eps=1e-3)(x, mean, var, weight, bias)


def batch_train(x: Any, weight: Any, bias: Any) -> Any:
    """torch's result, with the statistics that its running averages are made of."""
    over = (0, *range(2, x.dim()))
    result = functional("batch_norm", training=True, eps=1e-3)(x, None, None, weight, bias)
    return result, x.detach().mean(over), x.detach().var(over, unbiased=False)


def batch_train_gradient(g: Any, x: Any, mean: Any, var: Any, weight: Any) -> Any:
    """torch's gradients of a batch normalised by its own statistics, which it computes itself."""
    import torch

    x, weight = x.detach().requires_grad_(), (torch.ones_like(mean) if weight is None else weight.detach()).requires_grad_()
    bias = torch.zeros_like(mean).requires_grad_()
    return torch.autograd.grad(functional("batch_norm", training=True, eps=1e-3)(x, None, None, weight, bias), (x, weight, bias), g)


def channels() -> list[Sample]:
    found = []
    eps = {"eps": 1e-3}
    for shape in ((5, 4), (2, 4, 3), (2, 4, 3, 5), (2, 4, 2, 3, 2)):
        x, weight, bias = normal(*shape), normal(4) + 0.5, normal(4)
        mean, var = normal(4) * 0.3, np.abs(normal(4)) + 0.2
        for w, b in ((weight, bias), (None, None)):
            # The gradients to the statistics are not torch's business; differences check them.
            found += [Sample("batch_norm", (x, mean, var, w, b), eps, None, True),
                      Sample("batch_norm", (x, mean, var, w, b), eps, batch, True, (0, 3, 4)),
                      Sample("batch_norm_train", (x, w, b), eps, batch_train, True, differences=False)]
            own = x.mean((0, *range(2, x.ndim))), x.var((0, *range(2, x.ndim)))
            found.append(Sample("batch_norm_gradient", (normal(*shape)[::-1].copy(), x, *own, w), eps, batch_train_gradient))
            found += [Sample("group_norm", (x, w, b), {"groups": g, **eps},
                             lambda t, u, v, n=g: functional("group_norm", num_groups=n, eps=1e-3)(t, weight=u, bias=v), True)
                      for g in (1, 2, 4)]
    return found


SAMPLES = softmaxes() + trailing() + channels()
