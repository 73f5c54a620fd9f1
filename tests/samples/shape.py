"""Reshaping, broadcasting, joining, padding and repeating: 0-d, empty and cropped tensors, sizes of -1, negative dims."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.samples import Sample, functional, normal


def method(name: str, **attributes: Any) -> Callable[..., Any]:
    """The method of torch.Tensor; sizes that follow are passed on."""
    return lambda x, *rest: getattr(x, name)(*rest, **attributes)


def joined(name: str, dim: int) -> Callable[..., Any]:
    def call(*xs: Any) -> Any:
        import torch

        return getattr(torch, name)(xs, dim)
    return call


def padding(mode: str) -> Callable[..., Any]:
    def call(x: Any, value: float, *amounts: int) -> Any:
        import torch

        if mode == "constant":
            return torch.nn.functional.pad(x, amounts, mode, value)
        # torch pads these modes only below one or two leading dimensions.
        return torch.nn.functional.pad(x, amounts, mode)
    return call


def samples() -> list[Sample]:
    x, image = normal(2, 3, 4), normal(1, 2, 4, 5)
    scalar, empty = np.array(2.5), np.zeros((2, 0, 3))
    integers = np.arange(6, dtype=np.int64).reshape(2, 3)
    flags = integers > 2
    found: list[Sample] = []

    def add(*parts: Any, **more: Any) -> None:
        found.append(Sample(*parts, **more))

    for value, sizes in ((x, (2, 12)), (x, (6, -1)), (x, (-1,)), (x, (1, 2, 1, 3, 4)), (scalar, (1, 1)), (normal(1), ()), (empty, (0, 7)),
                         (integers, (3, -1)), (flags, (6,))):
        add("reshape", (value, *sizes), {}, lambda x, *s: x.reshape(s), value.dtype.kind == "f")
    add("reshape_as", (x, normal(4, 6)), {}, lambda x, like: x.reshape_as(like), True)
    for dims in ((2, 0, 1), (0, 1, 2), (-1, -2, -3)):
        add("permute", (x,), {"dims": dims}, lambda x, dims=dims: x.permute(dims), True)
    for value, sizes in ((normal(2, 1, 4), (2, 3, 4)), (normal(3, 1), (2, 3, 5)), (normal(3, 1), (-1, 4)), (normal(2, 1), (7, -1, 3)),
                         (scalar, (2, 3)), (normal(1, 3), (0, 3))):
        add("expand", (value, *sizes), {}, method("expand"), True)
    add("expand_as", (normal(3, 1), x), {}, method("expand_as"), True)
    for small in ((3, 1), (1, 3, 4), (), (2, 3, 4)):
        add("sum_to", (x, normal(*small)), {}, lambda x, like: x.sum_to_size(like.shape), True)
    for dims in ((0,), (2,), (0, 2), (1,), (-1, 0)):
        add("squeeze", (normal(1, 3, 1),), {"dims": dims}, lambda x, dims=dims: x.squeeze(dims), True)
    for dim in (0, 1, 3, -1, -4):
        add("unsqueeze", (x,), {"dim": dim}, method("unsqueeze", dim=dim), True)
    add("unsqueeze", (scalar,), {"dim": 0}, method("unsqueeze", dim=0), True)
    for dim in (0, 1, -1):
        add("cat", (x, normal(2, 3, 4) + 1, x), {"dim": dim}, joined("cat", dim))
        add("stack", (x, x + 1), {"dim": dim}, joined("stack", dim))
    add("cat", (normal(2, 3), normal(2, 1), normal(2, 0), normal(2, 5)), {"dim": 1}, joined("cat", 1), True)
    add("cat", (np.zeros(0), normal(2, 3)), {"dim": 0}, joined("cat", 0))
    add("stack", (normal(2, 3), normal(3, 2).T), {"dim": 2}, joined("stack", 2), True)
    add("stack", (scalar, np.array(1.0)), {"dim": 0}, joined("stack", 0), True)
    for mode, amounts in (("constant", (1, 2)), ("constant", (1, 0, 2, 1)), ("constant", (-1, 2, 0, -1)), ("reflect", (3, 1, 2, 3)),
                          ("replicate", (2, 0, 1, 6)), ("circular", (5, 1, 4, 2))):
        add("pad", (image, 0.5, *amounts), {"mode": mode}, padding(mode), True)
    add("pad", (integers, 7, 1, 1), {"mode": "constant"}, padding("constant"))
    add("pad", (empty, 1.0, 1, 1, 1, 0), {"mode": "constant"}, padding("constant"), True)
    for dims in ((0,), (1, -1), ()):
        add("flip", (x,), {"dims": dims}, method("flip", dims=dims), True)
    for shifts, dims in (((1,), (0,)), ((-1, 5), (0, 2)), ((3,), ())):
        add("roll", (x, *shifts), {"dims": dims}, lambda x, *s, dims=dims: x.roll(s, dims), True)
    for sizes in ((2, 1, 3), (2, 1, 1, 2), (0, 1, 1)):
        add("repeat", (x, *sizes), {}, method("repeat"), True)
    for dim in (0, -1):
        add("repeat_interleave", (x, 3), {"dim": dim}, lambda x, n, dim=dim: x.repeat_interleave(n, dim), True)
    for factor in (1, 2):
        add("pixel_shuffle", (normal(2, 8, 3, 2),), {"factor": factor}, functional("pixel_shuffle", upscale_factor=factor), True)
        add("pixel_unshuffle", (normal(2, 6, 4),), {"factor": factor},
                            functional("pixel_unshuffle", downscale_factor=factor), True)
    for dim in (0, -1):
        add("size", (x,), {"dim": dim}, method("size", dim=dim))
    add("rank", (x,), {}, method("dim"))
    for value in (empty, scalar):
        add("numel", (value,), {}, method("numel"))
    for value in (scalar, np.array([[3]], np.int32), np.array(True), np.array([np.inf], np.float32)):
        add("item", (value,), {}, method("item"))
    return found


SAMPLES = samples()
