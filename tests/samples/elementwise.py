"""Arithmetic, comparison, logic and mathematics: broadcasting, scalars, dtypes, infinities, nan and the ends of the integers."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES
from tests.samples import Sample, normal

# torch's name where it is not ours.
NAMES = {"shift_left": "bitwise_left_shift", "shift_right": "bitwise_right_shift", "div": "true_divide"}
STEPS = "sign floor ceil trunc round detach".split()  # no gradient flows through these
ANYWHERE = [*STEPS, *"neg abs exp exp2 expm1 sin cos tan atan sinh cosh tanh erf erfc frac square".split()]
POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal".split()
INSIDE = "asin acos erfinv".split()
PREDICATES = "isnan isinf isfinite logical_not".split()
ARITHMETIC = "add sub mul div floor_divide remainder fmod atan2 maximum minimum fmax fmin".split()
COMPARISONS = "eq ne lt le gt ge logical_and logical_or logical_xor".split()
BITS = "bitwise_and bitwise_or bitwise_xor".split()
EXTREMES = np.array([-np.inf, -1e30, -1.5, -0.0, 0.0, 0.5, 2.5, 1e30, np.inf, np.nan], np.float32)


def of_torch(name: str) -> Callable[..., Any]:
    """The torch function of an op; torch is imported when it is called."""
    def call(*operands: Any) -> Any:
        import torch

        return getattr(torch, NAMES.get(name, name))(*operands)
    return call


def unary() -> list[Sample]:
    found = []
    for domain, names in (("any", ANYWHERE), ("positive", POSITIVE), ("inside", INSIDE)):
        x = {"any": normal(3, 4), "positive": np.abs(normal(3, 4)) + 0.1, "inside": np.tanh(normal(3, 4))}[domain]
        for name in names:
            found.append(Sample(name, (x,), {}, of_torch(name), name not in STEPS))
            found += [Sample(name, (x.astype(DTYPES[d].numpy),), {}, of_torch(name)) for d in ("float32", "bfloat16")]
            found += [Sample(name, (y,), {}, of_torch(name)) for y in (EXTREMES[5:6].reshape(()), np.zeros((2, 0)))]
            if name not in ("sin", "cos", "tan"):
                found.append(Sample(name, (EXTREMES,), {}, of_torch(name)))
    found += [Sample(name, (x,), {}, of_torch(name)) for name in PREDICATES for x in (EXTREMES, np.arange(-2, 3), np.array([True, False]))]
    integers = np.array([-(2**63), -3, 0, 5, 2**63 - 1])
    found += [Sample(name, (integers,), {}, of_torch(name)) for name in ("neg", "abs", "sign", "bitwise_not")]
    found += [Sample("bitwise_not", (np.array([True, False]),), {}, of_torch("bitwise_not"))]
    return found


def binary() -> list[Sample]:
    found = []
    a, b = normal(3, 1, 4), np.where(normal(2, 4) < 0, -1.3, 0.7) + normal(2, 4) / 8
    left, right = (m.reshape(-1) for m in np.meshgrid(EXTREMES, EXTREMES))
    # What is huge beside a small divisor leaves a remainder that depends on how fmod is computed.
    ordinary = [name for name in ARITHMETIC if name not in ("remainder", "fmod", "floor_divide")]
    for name in ARITHMETIC:
        found.append(Sample(name, (a, b), {}, of_torch(name), name != "floor_divide"))
        found.append(Sample(name, (a.astype(np.float32), b.astype(np.float32)), {}, of_torch(name)))
        found.append(Sample(name, (np.zeros((0, 1)), b[0]), {}, of_torch(name)))
    found += [Sample(name, (left, right), {}, of_torch(name)) for name in (*ordinary, *COMPARISONS)]
    found += [Sample(name, (a, 0.7), {}, of_torch(name), True) for name in ("add", "sub", "mul", "div", "remainder", "fmod")]
    i, j = np.array([[-7], [0], [2**63 - 1]]), np.array([-3, 2, 5])
    names = ("add", "sub", "mul", "floor_divide", "remainder", "fmod", "maximum", "minimum", *COMPARISONS, *BITS)
    found += [Sample(name, (i, j), {}, of_torch(name)) for name in names]
    yes, no = np.array([[True], [False]]), np.array([True, False])
    found += [Sample(name, (yes, no), {}, of_torch(name)) for name in (*COMPARISONS, *BITS)]
    found += [Sample(name, (np.array([1, -9, 2**40]), np.array([0, 3, 62])), {}, of_torch(name)) for name in ("shift_left", "shift_right")]
    positive = np.abs(normal(3, 1, 4)) + 0.2
    found += [Sample("pow", operands, {}, of_torch("pow"), True) for operands in ((positive, b), (a, 2.0), (a, 3.0), (2.0, a), (positive, 0.5))]
    found.append(Sample("pow", (np.array([-2, 0, 3]), np.array([3, 0, 4])), {}, of_torch("pow")))
    return found


def selections() -> list[Sample]:
    a, b, mask = normal(3, 4), normal(4), normal(3, 1) > 0
    found = [Sample("where", operands, {}, of_torch("where"), True) for operands in ((mask, a, b), (a > 0, a, b))]
    found += [Sample("where", (a > 0, a, 0.5), {}, of_torch("where"), True)]
    found += [Sample("masked_fill", (a, a > 0.2, value), {}, of_torch("masked_fill"), value == 0.5) for value in (0.5, float("-inf"))]
    found += [Sample("clamp", (a, low, high), {}, of_torch("clamp"), True) for low, high in ((-0.5, 0.6), (None, 0.3), (-0.2, None), (b - 1, b + 1))]
    found += [Sample("clamp", (EXTREMES, -1.0, 1.0), {}, of_torch("clamp")), Sample("clamp", (np.arange(5), 1, 3), {}, of_torch("clamp"))]
    found += [Sample("lerp", (a, b, 0.3), {}, of_torch("lerp"), True), Sample("lerp", (a, b, normal(3, 4) / 4), {}, of_torch("lerp"), True)]
    return found


def casts() -> list[Sample]:
    def to(name: str) -> Callable[..., Any]:
        def call(x: Any) -> Any:
            import torch

            return x.to(getattr(torch, name))
        return call

    names = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
    found = [Sample("cast", (np.array([-3.7, -0.5, 0.0, 0.5, 100.2]).astype(DTYPES[a].numpy),), {"dtype": DTYPES[b]}, to(b))
             for a in names if a != "uint8" for b in names if a != b and b != "uint8"]
    found.append(Sample("cast", (normal(3),), {"dtype": DTYPES["float64"]}, to("float64"), True))
    return found


SAMPLES = [*unary(), *binary(), *selections(), *casts()]
