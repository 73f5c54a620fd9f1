"""Shape and size: reshaping, broadcasting, joins, padding, repetition. What reads or writes a part is in `views`."""
from __future__ import annotations

from typing import Any

from scriptc.ir import dims as sizes_of
from scriptc.ir.dims import Dim
from scriptc.ir.ops.creation import sizes_shape
from scriptc.ir.ops.views import position_in, select, slice_
from scriptc.ir.registry import (
    Int,
    OpError,
    Scalar,
    Tensor,
    axes,
    axis,
    broadcast,
    nondifferentiable,
    op,
    positive,
    rank_is,
    same_dtype,
    same_size,
    same_type,
    shape_text,
)
from scriptc.ir.types import (
    BOOL,
    BOOL_CATEGORY,
    FLOAT,
    FLOAT_CATEGORY,
    INT_CATEGORY,
    IntType,
    TensorType,
    Type,
)

MODES = ("constant", "reflect", "replicate", "circular")


@op
def reshape(x: Tensor, *sizes: Int) -> Tensor:
    """The elements in C order under new sizes, one of which may be -1 (torch.reshape)."""
    wanted: list[Dim] = [s.value for s in sizes]
    free = [i for i, s in enumerate(wanted) if s == -1]
    if len(free) > 1:
        raise OpError("E0450", sizes=shape_text(tuple(wanted)))
    total = sizes_of.product(x.shape) if x.shape is not None else None
    if free:
        known = sizes_of.product(tuple(s for i, s in enumerate(wanted) if i not in free))
        if known == 0:
            raise OpError("E0451", shape=shape_text(x.shape), sizes=shape_text(tuple(wanted)))
        wanted[free[0]] = sizes_of.floor_divide(total, known)
        if isinstance(total, int) and isinstance(known, int) and total % known:
            raise OpError("E0451", shape=shape_text(x.shape), sizes=shape_text(tuple(s.value for s in sizes)))
    for size in wanted:
        if isinstance(size, int) and size < 0:
            raise OpError("E0451", shape=shape_text(x.shape), sizes=shape_text(tuple(wanted)))
    if x.shape is not None and free == []:
        unknown = [i for i, s in enumerate(wanted) if s is None]
        if len(unknown) == 1:
            known = sizes_of.product(tuple(s for s in wanted if s is not None))
            if known != 0:
                wanted[unknown[0]] = sizes_of.floor_divide(total, known)
    new = sizes_of.product(tuple(wanted))
    if isinstance(total, int) and isinstance(new, int) and total != new:
        raise OpError("E0451", shape=shape_text(x.shape), sizes=shape_text(tuple(wanted)))
    return x.with_shape(tuple(wanted))


@op
def reshape_as(x: Tensor, like: Tensor) -> Tensor:
    """x with the sizes of `like`, which has as many elements."""
    if x.shape is not None and like.shape is not None:
        same_size(sizes_of.product(x.shape), sizes_of.product(like.shape), "the number of elements")
    return x.with_shape(like.shape)


@op
def permute(x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    """Dimension i of the result is dimension dims[i] of x."""
    if x.shape is None:
        x = x.with_shape((None,) * len(dims))
    assert x.shape is not None
    if len(dims) != len(x.shape):
        raise OpError("E0452", dims=dims, rank=len(x.shape))
    order = axes(dims, x) if dims else ()
    return x.with_shape(tuple(x.shape[d] for d in order))


@op
def expand(x: Tensor, *sizes: Int) -> Tensor:
    """x broadcast to `sizes`; -1 keeps a dimension (torch.expand)."""
    if x.shape is None:
        return x.with_shape(tuple(None if s.value == -1 else s.value for s in sizes))
    added = len(sizes) - len(x.shape)
    if added < 0:
        raise OpError("E0453", shape=shape_text(x.shape), sizes=shape_text(tuple(s.value for s in sizes)))
    result: list[Dim] = []
    for index, size in enumerate(sizes):
        old = x.shape[index - added] if index >= added else 1
        new = old if size.value == -1 else size.value
        if isinstance(old, int) and isinstance(new, int) and old not in (1, new):
            raise OpError("E0453", shape=shape_text(x.shape), sizes=shape_text(tuple(s.value for s in sizes)))
        # Beside an unknown size, only a number other than 1 is kept: a named size may be 1 in one call, and grow.
        result.append(old if new is None and isinstance(old, int) and old != 1 else new)
    return x.with_shape(tuple(result))


@op
def expand_as(x: Tensor, like: Tensor) -> Tensor:
    """x broadcast to the sizes of `like`."""
    broadcast(x.shape, like.shape)
    return x.with_shape(like.shape)


@op
def sum_to(x: Tensor, like: Tensor) -> Tensor:
    """x summed over the dimensions along which `like` would broadcast to it: the gradient of broadcasting."""
    broadcast(x.shape, like.shape)
    return x.with_shape(like.shape)


@op
def squeeze(x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    """x without those of `dims` that have size 1; of unknown rank where one of them may or may not be 1."""
    chosen = axes(dims, x)
    if x.shape is None or any(not isinstance(x.shape[d], int) for d in chosen if x.shape):
        return x.with_shape(None)
    return x.with_shape(tuple(s for i, s in enumerate(x.shape) if i not in chosen or s != 1))


@op
def unsqueeze(x: Tensor, *, dim: int) -> Tensor:
    """x with a dimension of size 1 inserted at `dim`."""
    if x.shape is None:
        return x
    rank = len(x.shape) + 1
    if not -rank <= dim < rank:
        raise OpError("E0411", what="dim", dim=dim, rank=len(x.shape))
    position = dim % rank
    return x.with_shape((*x.shape[:position], 1, *x.shape[position:]))


def joined(tensors: tuple[TensorType, ...], dim: int) -> TensorType:
    """The type of the concatenation; shape-(0,) tensors are skipped as torch does."""
    same_dtype(**{f"tensor {i}": t for i, t in enumerate(tensors)})
    if any(t.shape is None for t in tensors):
        return tensors[0].with_shape(None)
    if len({t.rank for t in tensors}) > 1:
        # One of a size that is not known may turn out to be empty.
        tensors = tuple(t for t in tensors if t.rank != 1 or (isinstance(t.shape[0], int) and t.shape[0] > 0))  # type: ignore[index]
    first = tensors[0]
    position = axis(dim, first)
    assert first.shape is not None
    total: Dim = 0
    shape: list[Dim] = list(first.shape)
    for tensor in tensors:
        assert tensor.shape is not None
        if len(tensor.shape) != len(shape):
            raise OpError("E0456", shapes=", ".join(shape_text(t.shape) for t in tensors))
        for index, size in enumerate(tensor.shape):
            if index != position:
                if isinstance(size, int) and isinstance(shape[index], int) and size != shape[index]:
                    raise OpError("E0456", shapes=", ".join(shape_text(t.shape) for t in tensors))
                if isinstance(size, int) or shape[index] is None:
                    shape[index] = size if shape[index] is None or isinstance(size, int) else shape[index]
        total = sizes_of.add(total, tensor.shape[position])
    shape[position] = total
    return first.with_shape(tuple(shape))


@op
def cat(*xs: Tensor, dim: int) -> Tensor:
    """The tensors one after another along `dim`; other sizes agree."""
    if not xs:
        raise OpError("E0406", op="cat")
    return joined(xs, dim)


@op
def stack(*xs: Tensor, dim: int) -> Tensor:
    """The tensors, all of one shape, along a new dimension `dim`."""
    if not xs:
        raise OpError("E0406", op="stack")
    first = xs[0]
    same_dtype(**{f"tensor {i}": t for i, t in enumerate(xs)})
    if any(t.shape is None for t in xs) or first.shape is None:
        return first.with_shape(None)
    for other in xs:
        if other.shape is None or len(other.shape) != len(first.shape) or any(
                isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(first.shape, other.shape, strict=True)):
            raise OpError("E0456", shapes=", ".join(shape_text(t.shape) for t in xs))
    rank = len(first.shape) + 1
    if not -rank <= dim < rank:
        raise OpError("E0411", what="dim", dim=dim, rank=rank - 1)
    position = dim % rank
    merged = list(first.shape)
    for other in xs[1:]:
        assert other.shape is not None
        merged = [b if isinstance(b, int) else a for a, b in zip(merged, other.shape, strict=True)]
    return first.with_shape((*merged[:position], len(xs), *merged[position:]))


@op
def pad(x: Tensor, value: Scalar, *amounts: Int, mode: str = "constant") -> Tensor:
    """x padded (negative: cropped) by `amounts`: before and after the last dimension, then the one before it (F.pad).

    `mode`: constant (with `value`), reflect, replicate, circular.
    """
    return padded(x, amounts, mode)


def padded(x: TensorType, amounts: tuple[IntType, ...], mode: str) -> TensorType:
    """The type of x after padding. OpErrors E0457 to E0460 for what does not fit."""
    if mode not in MODES:
        raise OpError("E0457", mode=mode, known=", ".join(MODES))
    if len(amounts) % 2 or (x.rank is not None and len(amounts) > 2 * x.rank):
        raise OpError("E0458", count=len(amounts), rank=x.rank)
    if x.shape is None:
        return x
    shape = list(x.shape)
    for index in range(len(amounts) // 2):
        around = (amounts[2 * index].value, amounts[2 * index + 1].value)
        before = shape[-1 - index]
        grown = sizes_of.add(before, sizes_of.add(*around))
        if isinstance(grown, int) and grown < 0:
            raise OpError("E0459", dim=len(shape) - 1 - index, size=grown)
        # Reflection leaves out the edge itself; a circle is walked at most once.
        room = {"reflect": -1, "circular": 0}.get(mode)
        if room is not None and isinstance(before, int):
            for amount in around:
                if isinstance(amount, int) and amount > before + room:
                    raise OpError("E0460", mode=mode, amount=amount, size=before)
        shape[-1 - index] = grown
    return x.with_shape(tuple(shape))


@op
def flip(x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    """x with the order of elements reversed along `dims`."""
    axes(dims, x)
    return x


@op
def roll(x: Tensor, *shifts: Int, dims: tuple[int, ...]) -> Tensor:
    """x moved circularly by `shifts` along `dims`; no dims: the flattened tensor."""
    if dims:
        axes(dims, x)
    if len(shifts) != (len(dims) or 1):
        raise OpError("E0420", message=f"roll: {len(shifts)} shifts for {len(dims)} dims")
    return x


@op
def repeat(x: Tensor, *repeats: Int) -> Tensor:
    """x tiled `repeats` times along each dimension, new ones first (torch.Tensor.repeat)."""
    if x.shape is None:
        return x
    added = len(repeats) - len(x.shape)
    if added < 0:
        raise OpError("E0420", message=f"repeat: {len(repeats)} numbers for a tensor of rank {len(x.shape)}")
    sizes_shape(repeats)
    old = (*((1,) * added), *x.shape)
    return x.with_shape(tuple(sizes_of.multiply(s, r.value) for s, r in zip(old, repeats, strict=True)))


@op
def repeat_interleave(x: Tensor, repeats: Int, *, dim: int) -> Tensor:
    """Each slice along `dim` repeated `repeats` times in a row."""
    sizes_shape((repeats,))
    position = position_in(x, dim)
    if x.shape is None:
        return x
    return x.with_shape(tuple(sizes_of.multiply(s, repeats.value) if i == position else s for i, s in enumerate(x.shape)))


def has_planes(x: TensorType, factor: int) -> None:
    """OpErrors E0418, E0415 unless the factor is at least 1 and x has channels, rows and columns."""
    positive(factor, "factor")
    if x.rank is not None and x.rank < 3:
        rank_is(x, "x", 3, 4)


@op
def pixel_shuffle(x: Tensor, *, factor: int) -> Tensor:
    """[..., C*r*r, H, W] to [..., C, H*r, W*r] (Shi et al. 2016)."""
    has_planes(x, factor)
    if x.shape is None:
        return x
    *lead, c, h, w = x.shape
    if isinstance(c, int) and c % (factor * factor):
        raise OpError("E0420", message=f"pixel_shuffle: {c} channels are no multiple of {factor * factor}")
    return x.with_shape((*lead, sizes_of.floor_divide(c, factor * factor), sizes_of.multiply(h, factor), sizes_of.multiply(w, factor)))


@op
def pixel_unshuffle(x: Tensor, *, factor: int) -> Tensor:
    """[..., C, H*r, W*r] to [..., C*r*r, H, W]: the inverse of pixel_shuffle."""
    has_planes(x, factor)
    if x.shape is None:
        return x
    *lead, c, h, w = x.shape
    if any(isinstance(s, int) and s % factor for s in (h, w)):
        raise OpError("E0420", message=f"pixel_unshuffle: {shape_text(x.shape)} has no planes that {factor} divides")
    return x.with_shape((*lead, sizes_of.multiply(c, factor * factor), sizes_of.floor_divide(h, factor), sizes_of.floor_divide(w, factor)))


@op
def size(x: Tensor, *, dim: int) -> Int:
    """The size of dimension `dim`."""
    position = position_in(x, dim)
    return IntType(None if x.shape is None else x.shape[position])


@op
def rank(x: Tensor) -> Int:
    """The number of dimensions."""
    return IntType(x.rank)


@op
def numel(x: Tensor) -> Int:
    """The number of elements."""
    return IntType(None if x.shape is None else sizes_of.product(x.shape))


@op
def item(x: Tensor) -> Scalar:
    """The only element as a number of its category. RuntimeError for another number of elements."""
    if x.shape is not None:
        count = sizes_of.product(x.shape)
        if isinstance(count, int) and count != 1:
            raise OpError("E0461", count=count)
    kinds: dict[int, Type] = {BOOL_CATEGORY: BOOL, INT_CATEGORY: IntType(), FLOAT_CATEGORY: FLOAT}
    if x.dtype.category not in kinds:
        raise OpError("E0408", op="item", expected="real", found=x.dtype)
    return kinds[x.dtype.category]  # type: ignore[return-value]


# Gradients.

reshape.gradient(lambda g, y, x, *sizes: (reshape_as(g, x), *(None,) * len(sizes)))
reshape_as.gradient(lambda g, y, x, like: (reshape_as(g, x), None))
expand.gradient(lambda g, y, x, *sizes: (sum_to(g, x), *(None,) * len(sizes)))
expand_as.gradient(lambda g, y, x, like: (sum_to(g, x), None))
sum_to.gradient(lambda g, y, x, like: (expand_as(g, x), None))


@squeeze.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any) -> Any:
    return reshape_as(g, x)


@unsqueeze.gradient
def _(g: Any, y: Any, x: Any, *, dim: int) -> Any:
    return reshape_as(g, x)


@permute.gradient
def _(g: Any, y: Any, x: Any, *, dims: Any) -> Any:
    inverse = [0] * len(dims)
    for position, dim in enumerate(dims):
        inverse[dim % len(dims)] = position
    return permute(g, dims=tuple(inverse))


@cat.gradient
def _(g: Any, y: Any, *xs: Any, dim: int) -> Any:
    from scriptc.ir.ops.scalar import scalar_add

    start: Any = 0
    parts: list[Any] = []
    for x in xs:
        if x.rank == 1 and g.rank != 1:   # an empty one, which was skipped
            parts.append(None)
            continue
        stop = scalar_add(size(x, dim=dim), start)
        parts.append(slice_(g, start, stop, 1, dim=dim))
        start = stop
    return tuple(parts)


@stack.gradient
def _(g: Any, y: Any, *xs: Any, dim: int) -> Any:
    return tuple(select(g, index, dim=dim) for index in range(len(xs)))


@pad.gradient
def _(g: Any, y: Any, x: Any, value: Any, *amounts: Any, mode: str) -> Any:
    from scriptc.ir.ops.scalar import scalar_neg

    if mode != "constant":
        return (pad_gradient(g, x, *amounts, mode=mode), None, *(None,) * len(amounts))
    return (pad(g, 0.0, *(-a if isinstance(a, int) else scalar_neg(a) for a in amounts), mode="constant"), None,
            *(None,) * len(amounts))


@op(no_gradient="second derivatives through non-constant padding are not needed by any model seen")
def pad_gradient(g: Tensor, x: Tensor, *amounts: Int, mode: str) -> Tensor:
    """The gradient of `pad` (not constant) to x: padded places add to the elements they copied."""
    same_type(g, padded(x, amounts, mode), "g")
    return x


flip.gradient(lambda g, y, x, dims: flip(g, dims=dims))


@roll.gradient
def _(g: Any, y: Any, x: Any, *shifts: Any, dims: Any) -> Any:
    from scriptc.ir.ops.scalar import scalar_neg

    return (roll(g, *(-s if isinstance(s, int) else scalar_neg(s) for s in shifts), dims=dims), *(None,) * len(shifts))


@repeat.gradient
def _(g: Any, y: Any, x: Any, *repeats: Any) -> Any:
    added = len(repeats) - x.rank
    shape: list[Any] = []
    for index, times in enumerate(repeats):
        shape += [times, 1 if index < added else size(x, dim=index - added)]
    split = reshape(g, *shape)
    return (reshape_as(split.sum(tuple(range(0, 2 * len(repeats), 2))), x), *(None,) * len(repeats))


@repeat_interleave.gradient
def _(g: Any, y: Any, x: Any, repeats: Any, *, dim: int) -> Any:
    position = dim % x.rank
    shape = [size(x, dim=i) for i in range(x.rank)]
    return reshape(g, *shape[:position + 1], repeats, *shape[position + 1:]).sum(position + 1), None


pixel_shuffle.gradient(lambda g, y, x, factor: pixel_unshuffle(g, factor=factor))
pixel_unshuffle.gradient(lambda g, y, x, factor: pixel_shuffle(g, factor=factor))


nondifferentiable("sizes carry no gradient", size, rank, numel)
nondifferentiable("scalars carry no gradient", item)
