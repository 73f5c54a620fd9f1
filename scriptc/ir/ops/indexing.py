"""Reading and writing at positions given by tensors; every index is checked when it is used."""
from __future__ import annotations

from typing import Any

from scriptc.ir.dims import Dim
from scriptc.ir.ops.elementwise import eq
from scriptc.ir.ops.views import position_in, replaced, zero_for, zeros_for
from scriptc.ir.registry import (
    Elementwise,
    OpError,
    Tensor,
    axis,
    broadcast,
    nondifferentiable,
    op,
    rank_is,
    same_dtype,
    same_size,
    shape_text,
)
from scriptc.ir.types import BOOL_CATEGORY, INT_CATEGORY, Shape, TensorType, bool_, int64

REDUCTIONS = ("none", "add", "multiply", "amax", "amin")


def index_tensor(x: TensorType, name: str = "index") -> None:
    """OpError E0414 unless the tensor can be an index."""
    if x.dtype.category != INT_CATEGORY:
        raise OpError("E0414", operand=name, found=x.dtype)


def inside(name: str, small: TensorType, other: str, large: TensorType, but: int | None = None) -> None:
    """OpError unless the ranks are equal (E0415) and no known size but that of one dimension is larger (E0417)."""
    if small.shape is None or large.shape is None:
        return
    if max(len(small.shape), 1) != max(len(large.shape), 1):
        rank_is(small, name, len(large.shape))
    for position, (a, b) in enumerate(zip(small.shape, large.shape, strict=False)):
        if position != but and isinstance(a, int) and isinstance(b, int) and a > b:
            raise OpError("E0417", what=f"{name} reaches beyond {other} in dimension {position}", left=a, right=b)


@op
def gather(x: Tensor, index: Tensor, *, dim: int) -> Tensor:
    """out[i][j][k] = x[index[i][j][k]][j][k] for dim 0 (torch.gather). IndexError out of range."""
    position = axis(dim, x)
    index_tensor(index)
    inside("index", index, "x", x, but=position)
    return x.with_shape(index.shape)


@op
def scatter(x: Tensor, index: Tensor, source: Elementwise, *, dim: int, reduce: str = "none") -> Tensor:
    """x with source written at index along `dim` (torch.scatter); reduce: none, add, multiply, amax, amin."""
    position = axis(dim, x)
    index_tensor(index)
    if reduce not in REDUCTIONS:
        raise OpError("E0420", message=f"scatter: reduce is {reduce!r}, expected one of {', '.join(REDUCTIONS)}")
    inside("index", index, "x", x, but=position)
    if isinstance(source, TensorType):
        same_dtype(x=x, source=source)
        inside("index", index, "source", source)
    return x


@op
def index_select(x: Tensor, index: Tensor, *, dim: int) -> Tensor:
    """The slices of x at the positions of the 1-d tensor `index` along `dim`."""
    position = axis(dim, x)
    index_tensor(index)
    rank_is(index, "index", 0, 1)
    if x.shape is None or index.shape is None:
        return x.with_shape(None if x.shape is None else tuple(None if i == position else s for i, s in enumerate(x.shape)))
    count: Dim = index.shape[0] if index.shape else 1
    return x.with_shape(tuple(count if i == position else s for i, s in enumerate(x.shape)))


@op
def index_add(x: Tensor, index: Tensor, source: Tensor, *, dim: int, alpha: float = 1.0) -> Tensor:
    """x with alpha * source added to the slices at `index` along `dim`."""
    position = position_in(x, dim)
    index_tensor(index)
    rank_is(index, "index", 0, 1)
    same_dtype(x=x, source=source)
    if x.rank is not None:
        rank_is(source, "source", x.rank)
    if x.shape is not None and source.shape is not None and index.shape is not None:
        expected = replaced(x.shape, position, index.shape[0] if index.shape else 1)
        for a, b in zip(source.shape, expected, strict=True):
            same_size(a, b, f"source {shape_text(source.shape)} and {shape_text(expected)}")
    return x


def indexed_shape(x: TensorType, indices: tuple[TensorType | None, ...]) -> Shape | None:
    """The shape of x[indices]: index shapes broadcast; they stand where they stood if adjacent, else first."""
    if x.shape is None:
        return None
    places: list[int] = []
    shapes: list[Shape | None] = []
    position = 0
    kept: list[Dim] = []
    where: int | None = None
    adjacent = True
    for index in indices:
        if index is None:
            if position >= len(x.shape):
                raise OpError("E0462", rank=len(x.shape))
            kept.append(x.shape[position])
            position += 1
            continue
        if places and places[-1] != position:
            adjacent = False
        if where is None:
            where = len(kept)
        if index.dtype.category == BOOL_CATEGORY:
            if index.rank is None:
                return None
            position += index.rank
            shapes.append((None,))
        else:
            index_tensor(index)
            position += 1
            shapes.append(index.shape)
        places.append(position)
        if position > len(x.shape):
            raise OpError("E0462", rank=len(x.shape))
    kept += x.shape[position:]
    merged = broadcast(*shapes)
    if merged is None:
        return None
    start = where if adjacent and where is not None else 0
    return (*kept[:start], *merged, *kept[start:])


@op
def index(x: Tensor, *indices: Tensor | None) -> Tensor:
    """x[i, j, ...] for integer or bool tensors, None meaning all of a dimension (numpy's advanced indexing).

    A bool tensor stands for as many dimensions as it has. IndexError out of range.
    """
    return x.with_shape(indexed_shape(x, indices))


@op
def index_put(x: Tensor, value: Tensor, *indices: Tensor | None, accumulate: bool = False) -> Tensor:
    """x with `value` (broadcast) written, or added with `accumulate`, at x[indices]."""
    same_dtype(x=x, value=value)
    indexed_shape(x, indices)
    return x


@op
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where `mask` (bool, broadcast) holds, 1-d; how many is known only at run time."""
    if mask.dtype is not bool_:
        raise OpError("E0408", op="masked_select", expected="bool masks", found=mask.dtype)
    broadcast(x.shape, mask.shape)
    return x.with_shape((None,))


@op
def nonzero(x: Tensor) -> Tensor:
    """int64[count, rank]: the positions of the elements that are not zero."""
    return TensorType(int64, (None, x.rank))


@op
def embedding(weight: Tensor, index: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """weight[index]: rows of a table. IndexError out of range; row padding_idx gets no gradient."""
    rank_is(weight, "weight", 2)
    index_tensor(index)
    if index.shape is None or weight.shape is None:
        return weight.with_shape(None)
    return weight.with_shape((*index.shape, weight.shape[1]))


@op
def take(x: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened x at `index`."""
    index_tensor(index)
    return x.with_shape(index.shape)


@op
def searchsorted(sorted_sequence: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """int64 positions at which `values` would be inserted into the last dimension."""
    return TensorType(int64, values.shape)


@op
def bincount(x: Tensor, *, minlength: int = 0) -> Tensor:
    """int64 counts of the values of a 1-d tensor of non-negative integers."""
    rank_is(x, "x", 1)
    index_tensor(x, "x")
    return TensorType(int64, (None,))


@op
def repeated_positions(repeats: Tensor) -> Tensor:
    """Each position of the 1-d integers `repeats` as often as it says: [2, 0, 1] gives [0, 0, 2], int64."""
    rank_is(repeats, "repeats", 1)
    index_tensor(repeats, "repeats")
    return TensorType(int64, (None,))


def _none(count: int) -> tuple[None, ...]:
    return (None,) * count


@gather.gradient
def _(g: Any, y: Any, x: Any, index: Any, *, dim: int) -> Any:
    return scatter(zeros_for(x), index, g, dim=dim, reduce="add"), None


@scatter.gradient
def _(g: Any, y: Any, x: Any, index: Any, source: Any, *, dim: int, reduce: str) -> Any:
    if reduce == "add":
        return g, None, (gather(g, index, dim=dim) if isinstance(getattr(source, "type", None), TensorType) else None)
    if reduce in ("amax", "amin") and isinstance(getattr(source, "type", None), TensorType):
        # Equal extremes share the gradient evenly, x's own element among them.
        own, theirs = eq(x, y).cast(x.dtype), eq(source, gather(y, index, dim=dim)).cast(x.dtype)
        share = g / scatter(own, index, theirs, dim=dim, reduce="add")
        return own * share, None, theirs * gather(share, index, dim=dim)
    if reduce != "none":
        raise ValueError(f"reduce is {reduce!r}")
    kept = scatter(g, index, 0.0, dim=dim, reduce="none")
    return kept, None, (gather(g, index, dim=dim) if isinstance(getattr(source, "type", None), TensorType) else None)


@index_select.gradient
def _(g: Any, y: Any, x: Any, index: Any, *, dim: int) -> Any:
    return index_add(zeros_for(x), index, g, dim=dim), None


@index_add.gradient
def _(g: Any, y: Any, x: Any, index: Any, source: Any, *, dim: int, alpha: float) -> Any:
    return g, None, index_select(g, index, dim=dim) * alpha


@index.gradient
def _(g: Any, y: Any, x: Any, *indices: Any) -> Any:
    return (index_put(zeros_for(x), g, *indices, accumulate=True), *_none(len(indices)))


@index_put.gradient
def _(g: Any, y: Any, x: Any, value: Any, *indices: Any, accumulate: bool) -> Any:
    picked = index(g, *indices)
    kept = g if accumulate else index_put(g, zero_for(g), *indices, accumulate=False)
    return (kept, picked, *_none(len(indices)))


@masked_select.gradient
def _(g: Any, y: Any, x: Any, mask: Any) -> Any:
    from scriptc.ir.ops.shape import expand_as

    # x and mask may broadcast each other; the driver sums what was spread.
    whole = zeros_for(x) + mask.cast(x.dtype) * 0.0
    return index_put(whole, g, expand_as(mask, whole), accumulate=True), None


@embedding.gradient
def _(g: Any, y: Any, weight: Any, index: Any, *, padding_idx: int | None) -> Any:
    return embedding_gradient(g, weight, index, padding_idx=padding_idx), None


@op(no_gradient="second derivatives of a table look-up are zero in practice")
def embedding_gradient(g: Tensor, weight: Tensor, index: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """Rows of g added up at `index`: the gradient of `embedding` to its table."""
    return weight


@take.gradient
def _(g: Any, y: Any, x: Any, index: Any) -> Any:
    from scriptc.ir.ops.shape import numel, reshape, reshape_as

    flat = reshape(zeros_for(x), numel(x))
    return reshape_as(index_put(flat, g, index, accumulate=True), x), None


nondifferentiable("its result is integer", nonzero, searchsorted, bincount, repeated_positions)

