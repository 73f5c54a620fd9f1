"""Matrix products, and distances between points."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.dims import Dim
from scriptc.ir.ops.elementwise import abs_, eq, masked_fill, sign
from scriptc.ir.ops.shape import reshape, reshape_as, size, sum_to
from scriptc.ir.ops.views import zeros_for
from scriptc.ir.registry import OpError, Tensor, broadcast, op, rank_is, same_dtype, same_size, shape_text


@op
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """torch.matmul: dot, matrix-vector, matrix-matrix, batched with broadcasting."""
    same_dtype(a=a, b=b)
    if a.shape is None or b.shape is None:
        return a.with_shape(None)
    if not a.shape or not b.shape:
        raise OpError("E0463", left=shape_text(a.shape), right=shape_text(b.shape))
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    if isinstance(a.shape[-1], int) and isinstance(inner, int) and a.shape[-1] != inner:
        raise OpError("E0464", left=shape_text(a.shape), right=shape_text(b.shape), a=a.shape[-1], b=inner)
    lead = broadcast(a.shape[:-2], b.shape[:-2]) or ()
    rows: tuple[Dim, ...] = (a.shape[-2],) if len(a.shape) > 1 else ()
    columns: tuple[Dim, ...] = (b.shape[-1],) if len(b.shape) > 1 else ()
    return a.with_shape((*lead, *rows, *columns))


@op
def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias: x [..., in], weight [out, in] (or [in]), bias [out] (torch.nn.functional.linear)."""
    same_dtype(x=x, weight=weight, bias=bias)
    rank_is(weight, "weight", 1, 2)
    if x.shape is None or weight.shape is None:
        return x.with_shape(None)
    if not x.shape:
        raise OpError("E0463", left=shape_text(x.shape), right=shape_text(weight.shape))
    features = weight.shape[-1]
    if isinstance(features, int) and isinstance(x.shape[-1], int) and features != x.shape[-1]:
        raise OpError("E0465", expected=features, found=x.shape[-1], weight=shape_text(weight.shape), x=shape_text(x.shape))
    if len(weight.shape) == 1:
        return x.with_shape(x.shape[:-1])
    if bias is not None and bias.shape is not None and len(bias.shape) == 1:
        same_size(bias.shape[0], weight.shape[0], "bias and output features")
    return x.with_shape((*x.shape[:-1], weight.shape[0]))


def parse_equation(equation: str, ranks: list[int | None]) -> tuple[list[str], str]:
    """The subscripts of each operand and of the result; `...` is kept. OpError E0466 if it is not an equation."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks) or any(not c.isalpha() and c != "." for c in left.replace(",", "") + right):
        raise OpError("E0466", equation=equation)
    if not arrow:
        letters = [c for c in left if c.isalpha()]
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if any(c.isalpha() and c not in left for c in right):
        raise OpError("E0466", equation=equation)
    return inputs, right


@op
def einsum(*xs: Tensor, equation: str) -> Tensor:
    """Einstein summation (torch.einsum); one letter a dimension, `...` for broadcast ones."""
    if not xs:
        raise OpError("E0406", op="einsum")
    same_dtype(**{f"operand {i}": x for i, x in enumerate(xs)})
    inputs, output = parse_equation(equation, [x.rank for x in xs])
    sizes: dict[str, Dim] = {}
    ellipsis: tuple[Dim, ...] = ()
    for subscripts, x in zip(inputs, xs, strict=True):
        if x.shape is None:
            return x.with_shape(None)
        before, dots, after = subscripts.partition("...")
        if (not dots and len(before) != len(x.shape)) or len(before) + len(after) > len(x.shape):
            raise OpError("E0467", subscripts=subscripts, shape=shape_text(x.shape))
        pairs = [*zip(before, x.shape, strict=False)]
        if dots:
            pairs += [*zip(after, x.shape[len(x.shape) - len(after):], strict=True)]
            ellipsis = broadcast(ellipsis, x.shape[len(before):len(x.shape) - len(after)]) or ()
        for letter, extent in pairs:
            known = sizes.get(letter, 1)
            if isinstance(known, int) and isinstance(extent, int) and known != extent and 1 not in (known, extent):
                raise OpError("E0417", what=f"einsum subscript {letter}", left=known, right=extent)
            if letter not in sizes or known == 1 or (isinstance(extent, int) and extent != 1):
                sizes[letter] = extent
    before, dots, after = output.partition("...")
    return xs[0].with_shape((*(sizes[c] for c in before), *(ellipsis if dots else ()), *(sizes[c] for c in after)))


@op
def cdist(a: Tensor, b: Tensor, *, p: float = 2.0) -> Tensor:
    """The p-norm distances between the rows of a [..., M, K] and b [..., N, K]: [..., M, N]."""
    same_dtype(a=a, b=b)
    if a.shape is None or b.shape is None:
        return a.with_shape(None)
    same_size(a.shape[-1], b.shape[-1], "the last sizes")
    return a.with_shape((*(broadcast(a.shape[:-2], b.shape[:-2]) or ()), a.shape[-2], b.shape[-2]))


@matmul.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.rank == 1 and b.rank == 1:
        return g * b, g * a
    left = a.unsqueeze(0) if a.rank == 1 else a
    right = b.unsqueeze(1) if b.rank == 1 else b
    if a.rank == 1:
        g = g.unsqueeze(-2)
    if b.rank == 1:
        g = g.unsqueeze(-1)
    da = matmul(g, right.transpose(-1, -2))
    db = matmul(left.transpose(-1, -2), g)
    return reshape_as(sum_to(da, left), a), reshape_as(sum_to(db, right), b)


@linear.gradient
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    if weight.rank == 1:
        return g.unsqueeze(-1) * weight, sum_to(g.unsqueeze(-1) * x, weight), None if bias is None else sum_to(g, bias)
    dx = matmul(g, weight)
    out, features = size(weight, dim=0), size(weight, dim=1)
    flat = reshape(g, -1, out) if x.rank != 2 else g
    rows = reshape(x, -1, features) if x.rank != 2 else x
    dw = matmul(flat.transpose(0, 1), rows)
    return dx, dw, None if bias is None else sum_to(flat, bias)


@einsum.gradient
def _(g: Any, y: Any, *xs: Any, equation: str) -> Any:
    inputs, output = parse_equation(equation, [x.rank for x in xs])
    if "." not in output and "." in "".join(inputs):
        raise ValueError(f"{equation!r} sums over its ellipsis")
    gradients = []
    for index, x in enumerate(xs):
        wanted = inputs[index]
        letters = wanted.replace(".", "")
        if len(set(letters)) != len(letters):
            raise ValueError(f"{equation!r} takes a diagonal")
        others = [o for i, o in enumerate(xs) if i != index]
        subscripts = [s for i, s in enumerate(inputs) if i != index]
        have = set(output).union(*map(set, subscripts))
        # A subscript that only this operand has was summed: its gradient is the same all along that dimension.
        found = "".join(c for c in wanted if c in have)
        # Dimensions of an ellipsis that this operand lacks stay in front, where the driver sums them.
        spread = "..." if "." in have and "." not in wanted else ""
        back = einsum(g, *others, equation=",".join([output, *subscripts]) + "->" + spread + found)
        before, dots, after = wanted.partition("...")
        if not dots:
            before, after = "", wanted
        for place, letter in enumerate(before):
            back = back if letter in have else back.unsqueeze(place)
        for place, letter in enumerate(reversed(after)):
            back = back if letter in have else back.unsqueeze(-1 - place)
        gradients.append(back if found == wanted else back + zeros_for(x))
    return tuple(gradients)


@cdist.gradient
def _(g: Any, y: Any, a: Any, b: Any, *, p: float) -> Any:
    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    if p == 1.0:
        spread = g.unsqueeze(-1) * sign(difference)
    elif 1.0 < p < math.inf:
        # d y / d difference = sign(difference) * (|difference| / y) ** (p - 1), and 0 where the points are the same.
        apart = masked_fill(y, eq(y, 0.0), 1.0).unsqueeze(-1)
        spread = g.unsqueeze(-1) * sign(difference) * (abs_(difference) / apart) ** (p - 1.0)
    elif p == math.inf:
        spread = g.unsqueeze(-1) * sign(difference) * eq(abs_(difference), y.unsqueeze(-1)).cast(a.dtype)
    elif p == 0.0:
        spread = g.unsqueeze(-1) * difference * 0.0
    else:
        # Below 1 the powers of 0 are infinite: such coordinates get 0, as in torch.
        powers = masked_fill(abs_(difference) ** (p - 1.0), eq(difference, 0.0), 0.0)
        spread = g.unsqueeze(-1) * sign(difference) * powers * (masked_fill(y, eq(y, 0.0), 1.0) ** (1.0 - p)).unsqueeze(-1)
    return spread.sum(-2), -spread.sum(-3)
