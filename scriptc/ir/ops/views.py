"""Parts of a tensor at regular places: reading them, and writing into them."""
from __future__ import annotations

from typing import Any

from scriptc.ir import dims as sizes_of
from scriptc.ir.dims import Dim, Division, Symbol
from scriptc.ir.registry import Int, OpError, Tensor, axes, axis, broadcast, op, positive, same_dtype, shape_text
from scriptc.ir.types import Shape, TensorType

# A literal `stop` from here on means "to the end": no dimension is that long.
FAR = 2**62


def zeros_for(x: Any) -> Any:
    """In gradient rules: zeros of the shape and dtype of `x`, without reading its elements (0 * nan is nan)."""
    from scriptc.ir.ops.creation import full
    from scriptc.ir.ops.shape import expand_as

    zero = x.__apply_op__(full, (0.0,), {"dtype": x.dtype})
    return expand_as(zero, x)


def zero_for(x: Any) -> Any:
    """In gradient rules: a 0-d zero of the dtype of `x`."""
    from scriptc.ir.ops.creation import full

    return x.__apply_op__(full, (0.0,), {"dtype": x.dtype})


def never_negative(dim: Dim) -> bool:
    """True where `dim` is provably at least 0: symbols are sizes of tensors, and no term is subtracted."""
    if dim is None or isinstance(dim, int):
        return dim is not None and dim >= 0
    return all(coefficient >= 0 and all(map(_atom_never_negative, monomial)) for monomial, coefficient in dim.terms)


def _atom_never_negative(atom: Symbol | Division) -> bool:
    return isinstance(atom, Symbol) or (never_negative(atom.numerator) and never_negative(atom.denominator))


def bound(size: Dim, place: Dim) -> Dim:
    """Where a slice's `start` or `stop` falls in a dimension of `size`, after Python's clamping; None if that is open."""
    if place is None or size is None:
        return 0 if place == 0 else None
    if isinstance(place, int) and place < 0:
        place = sizes_of.add(size, place)
        if never_negative(sizes_of.multiply(place, -1)):
            return 0
    elif isinstance(place, int) and place >= FAR:
        return size
    if never_negative(sizes_of.subtract(place, size)):
        return size
    return place if never_negative(place) and never_negative(sizes_of.subtract(size, place)) else None


def sliced(size: Dim, start: Dim, stop: Dim, step: Dim) -> Dim:
    """The number of elements of [start:stop:step] of a dimension, as far as it can be proved.

        N+1, 1, end, 1 -> N        3*C, C, 2*C, 1 -> C        N, 0, end, 2 -> (N+1)//2        N, 1, end, 1 -> None (N may be 0)
    """
    if isinstance(step, int):
        positive(step, "step")
    if isinstance(size, int) and isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return len(range(*slice(start, stop, step).indices(size)))
    if start == 0 and isinstance(stop, int) and stop >= FAR and step == 1:
        return size
    first, last = bound(size, start), bound(size, stop)
    length = sizes_of.subtract(last, first)
    if never_negative(sizes_of.multiply(length, -1)):
        return 0
    if not isinstance(step, int) or not never_negative(length):
        return None
    return sizes_of.floor_divide(sizes_of.add(length, step - 1), step)


def replaced(shape: Shape, position: int, *sizes: Dim) -> Shape:
    """`shape` with the size at `position` replaced by `sizes`: one, or none."""
    return (*shape[:position], *sizes, *shape[position + 1:])


def position_in(x: TensorType, dim: int) -> int:
    """`dim` counted from the front. OpError E0411 out of range, and for every dim of a 0-d tensor."""
    if x.shape == ():
        raise OpError("E0411", what="dim", dim=dim, rank=0)
    return axis(dim, x)


@op
def slice_(x: Tensor, start: Int, stop: Int, step: Int, *, dim: int) -> Tensor:
    """x[start:stop:step] along `dim`, with Python's clamping; step >= 1."""
    position = position_in(x, dim)
    if x.shape is None:
        return x
    return x.with_shape(replaced(x.shape, position, sliced(x.shape[position], start.value, stop.value, step.value)))


@op
def select(x: Tensor, index: Int, *, dim: int) -> Tensor:
    """x[index] along `dim`, which disappears; a negative index counts from the end. IndexError out of range."""
    position = position_in(x, dim)
    if x.shape is None:
        return x
    size = x.shape[position]
    if isinstance(size, int) and isinstance(index.value, int) and not -size <= index.value < size:
        raise OpError("E0455", index=index.value, dim=position, size=size)
    return x.with_shape(replaced(x.shape, position))


@op
def diagonal(x: Tensor, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of dimensions dim1 and dim2, `offset` above the main one, as a new last dimension (torch.diagonal)."""
    first, second = axes((dim1, dim2), x)
    if x.shape is None:
        return x
    if len(x.shape) < 2:
        raise OpError("E0411", what="dim2", dim=dim2, rank=len(x.shape))
    rows, columns = x.shape[first], x.shape[second]
    length: Dim = None
    if isinstance(rows, int) and isinstance(columns, int):
        length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    elif rows == columns and offset == 0:
        length = rows
    return x.with_shape((*(s for i, s in enumerate(x.shape) if i not in (first, second)), length))


@op
def unfold(x: Tensor, *, dim: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along `dim`, `step` apart, as a new last dimension (torch.Tensor.unfold)."""
    positive((size, step), "size and step")
    position = position_in(x, dim)
    if x.shape is None:
        return x
    old = x.shape[position]
    if isinstance(old, int) and old < size:
        raise OpError("E0420", message=f"unfold: windows of {size} in a dimension of size {old}")
    count = sizes_of.add(sizes_of.floor_divide(sizes_of.subtract(old, size), step), 1)
    return x.with_shape((*replaced(x.shape, position, count), size))


def written(x: TensorType, source: TensorType, part: TensorType) -> TensorType:
    """The type of x with `part` of it replaced by `source`, which must broadcast to it."""
    same_dtype(x=x, source=source)
    if source.rank is not None and part.rank is not None:
        if source.rank > part.rank:
            raise OpError("E0415", operand="source", expected=part.rank, found=source.rank, shape=shape_text(source.shape))
        whole = broadcast(source.shape, part.shape)
        assert whole is not None and part.shape is not None
        if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(whole, part.shape, strict=True)):
            raise OpError("E0417", what="the source and the part it replaces", left=shape_text(source.shape), right=shape_text(part.shape))
    return x


@op
def as_strided(x: Tensor, offset: Int, *sizes_and_strides: Int) -> Tensor:
    """The elements of the flattened x at offset + sum of position * stride; first all sizes, then all strides (torch.as_strided).

    RuntimeError where that reaches beyond x.
    """
    if len(sizes_and_strides) % 2:
        raise OpError("E0470", what="as_strided", expected="as many strides as sizes", found=len(sizes_and_strides))
    return x.with_shape(tuple(s.value for s in sizes_and_strides[:len(sizes_and_strides) // 2]))


@op(no_gradient="second derivatives of an indexing are zero")
def as_strided_gradient(g: Tensor, x: Tensor, offset: Int, *sizes_and_strides: Int) -> Tensor:
    """The gradient of `as_strided`: elements of g added up where they were read from."""
    return x


@op
def slice_scatter(x: Tensor, source: Tensor, start: Int, stop: Int, step: Int, *, dim: int) -> Tensor:
    """x with x[start:stop:step] along `dim` replaced by `source` (torch.slice_scatter)."""
    return written(x, source, slice_.rule(x, start, stop, step, dim=dim))


@as_strided.gradient
def _(g: Any, y: Any, x: Any, offset: Any, *sizes_and_strides: Any) -> Any:
    return (as_strided_gradient(g, x, offset, *sizes_and_strides), None, *([None] * len(sizes_and_strides)))


@op
def select_scatter(x: Tensor, source: Tensor, index: Int, *, dim: int) -> Tensor:
    """x with x[index] along `dim` replaced by `source` (torch.select_scatter)."""
    return written(x, source, select.rule(x, index, dim=dim))


@op
def diagonal_scatter(x: Tensor, source: Tensor, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """x with its diagonal replaced by `source` (torch.diagonal_scatter)."""
    return written(x, source, diagonal.rule(x, offset=offset, dim1=dim1, dim2=dim2))


@op(no_gradient="second derivatives of unfold are not needed by any model seen")
def unfold_gradient(g: Tensor, x: Tensor, *, dim: int, size: int, step: int) -> Tensor:
    """The gradient of `unfold` to x: windows add up where they overlap."""
    written(x, g, unfold.rule(x, dim=dim, size=size, step=step))
    return x


@op
def checkpointed(x: Tensor, after: Tensor) -> Tensor:
    """x, for ops that are to run once `after` is there: what is computed again for a backward begins with it.

    No op behind it is the same as one that reads x itself, so that nothing computed before is kept in its place.
    """
    return x


# Gradients: reading a part spreads into zeros, writing one cuts it out.

@slice_.gradient
def _(g: Any, y: Any, x: Any, start: Any, stop: Any, step: Any, *, dim: int) -> Any:
    return slice_scatter(zeros_for(x), g, start, stop, step, dim=dim), None, None, None


@select.gradient
def _(g: Any, y: Any, x: Any, index: Any, *, dim: int) -> Any:
    return select_scatter(zeros_for(x), g, index, dim=dim), None


@diagonal.gradient
def _(g: Any, y: Any, x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    return diagonal_scatter(zeros_for(x), g, offset=offset, dim1=dim1, dim2=dim2)


@unfold.gradient
def _(g: Any, y: Any, x: Any, *, dim: int, size: int, step: int) -> Any:
    return unfold_gradient(g, x, dim=dim, size=size, step=step)


@slice_scatter.gradient
def _(g: Any, y: Any, x: Any, source: Any, start: Any, stop: Any, step: Any, *, dim: int) -> Any:
    inner = slice_(g, start, stop, step, dim=dim)
    return slice_scatter(g, zero_for(g), start, stop, step, dim=dim), inner, None, None, None


@select_scatter.gradient
def _(g: Any, y: Any, x: Any, source: Any, index: Any, *, dim: int) -> Any:
    return select_scatter(g, zero_for(g), index, dim=dim), select(g, index, dim=dim), None


@diagonal_scatter.gradient
def _(g: Any, y: Any, x: Any, source: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    kept = diagonal_scatter(g, zero_for(g), offset=offset, dim1=dim1, dim2=dim2)
    return kept, diagonal(g, offset=offset, dim1=dim1, dim2=dim2)


@checkpointed.gradient
def _(g: Any, y: Any, x: Any, after: Any) -> Any:
    return g, None
