"""Lists whose length is only known at run time, tuples inside them, and optional values."""
from __future__ import annotations

from typing import Any

from scriptc.ir.ops.scalar import scalar_add, scalar_int, scalar_lt, scalar_max, scalar_min, scalar_mod, scalar_mul
from scriptc.ir.registry import AnyValue, Bool, Int, List, OpError, Optional, Tensor, axis, nondifferentiable, op
from scriptc.ir.type_text import parse_type
from scriptc.ir.types import BOOL, INT, NONE, ListType, OptionalType, TensorType, TupleType, Type, join


def parsed(text: str) -> Type:
    """A type attribute. OpError E0468 if it is not one."""
    try:
        return parse_type(text)
    except ValueError as error:
        raise OpError("E0468", text=text[:80], reason=error) from None


def fits(element: Type, kind: Type) -> None:
    """OpError E0469 unless a value of type `kind` may stand in a list of `element`."""
    if join(element, kind) != element:
        raise OpError("E0469", element=element, found=kind)


@op
def list_new(*items: AnyValue, element: str) -> List:
    """A list of the items; `element` is their common type in text form."""
    kind = parsed(element)
    for item in items:
        fits(kind, item)  # type: ignore[arg-type]
    return ListType(kind)


@op
def list_append(items: List, item: AnyValue) -> List:
    """The list with `item` at its end; its element type is joined with the item's."""
    element = item if items.element == NONE else join(items.element, item)  # type: ignore[arg-type]
    if element is None:
        raise OpError("E0469", element=items.element, found=item)
    return ListType(element)  # type: ignore[arg-type]


@op
def list_get(items: List, index: Int) -> AnyValue:
    """The item at `index`, negative from the end. IndexError out of range."""
    return items.element  # type: ignore[return-value]


@op
def list_set(items: List, index: Int, item: AnyValue) -> List:
    """The list with the item at `index` replaced."""
    element = join(items.element, item)  # type: ignore[arg-type]
    if element is None:
        raise OpError("E0469", element=items.element, found=item)
    return ListType(element)


@op
def list_length(items: List) -> Int:
    """len(list)"""
    return INT


@op
def list_extend(a: List, b: List) -> List:
    """a + b"""
    kind = join(a, b) if NONE not in (a.element, b.element) else (b if a.element == NONE else a)
    if not isinstance(kind, ListType):
        raise OpError("E0469", element=a.element, found=b.element)
    return kind


@op
def list_slice(items: List, start: Int, stop: Int, step: Int) -> List:
    """items[start:stop:step]"""
    return items


@op
def list_pop(items: List, index: Int) -> tuple[List, AnyValue]:
    """(the list without the item at `index`, that item). IndexError out of range."""
    return items, items.element  # type: ignore[return-value]


@op
def list_insert(items: List, index: Int, item: AnyValue) -> List:
    """The list with `item` before position `index`."""
    fits(items.element, item)  # type: ignore[arg-type]
    return items


@op
def list_reverse(items: List) -> List:
    """The list back to front."""
    return items


def element(xs: ListType) -> TensorType:
    """The type of the tensors in a list. OpError E0405 for a list of something else."""
    if not isinstance(xs.element, TensorType):
        raise OpError("E0405", op="stack_list", operand="xs", expected="List[Tensor]", found=str(xs))
    return xs.element


@op
def stack_list(xs: List, *, dim: int) -> Tensor:
    """The tensors of a list, all of one shape, along a new dimension. RuntimeError for an empty list."""
    item = element(xs)
    if item.shape is None:
        return item
    rank = len(item.shape) + 1
    if not -rank <= dim < rank:
        raise OpError("E0411", what="dim", dim=dim, rank=rank - 1)
    position = dim % rank
    return item.with_shape((*item.shape[:position], None, *item.shape[position:]))


@op
def cat_list(xs: List, *, dim: int) -> Tensor:
    """The tensors of a list one after another along `dim`. RuntimeError for an empty list."""
    item = element(xs)
    if item.shape is None:
        return item
    position = axis(dim, item)
    return item.with_shape(tuple(None if i == position else s for i, s in enumerate(item.shape)))


@op
def tuple_new(*items: AnyValue) -> AnyValue:
    """A tuple of the items."""
    return TupleType(tuple(items))  # type: ignore[arg-type, return-value]


@op
def tuple_get(items: AnyValue, *, index: int) -> AnyValue:
    """The item at a known index."""
    if not isinstance(items, TupleType) or not 0 <= index < len(items.elements):
        raise OpError("E0420", message=f"tuple_get: no item {index} in {items}")
    return items.elements[index]  # type: ignore[return-value]


@op
def optional_none(*, element: str) -> Optional:
    """None, as an optional of type `element` (in text form)."""
    return OptionalType(parsed(element))


@op
def optional_wrap(x: AnyValue) -> Optional:
    """A value as an optional."""
    return OptionalType(x)  # type: ignore[arg-type]


@op
def optional_is_none(x: Optional) -> Bool:
    """x is None"""
    return BOOL  # type: ignore[return-value]


@op
def optional_get(x: Optional) -> AnyValue:
    """The value of an optional. TypeError if it is None."""
    if not isinstance(x, OptionalType):
        raise OpError("E0420", message="optional_get of None")
    return x.element  # type: ignore[return-value]


# The driver takes the value out, and zeros where no gradient came.
optional_wrap.gradient(lambda g, y, x: g)


@optional_get.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return optional_wrap(g)


# The gradient of a list is a list of as many gradients.

@op(no_gradient="it stands for a gradient itself")
def list_zeros_like(items: List) -> List:
    """Zeros of the shape and dtype of each tensor of the list."""
    return items


@op(no_gradient="it stands for a gradient itself")
def list_add(a: List, b: List) -> List:
    """The sums of the tensors at the same place of two lists of one length: the sum of two gradients."""
    kind = join(a, b)
    if not isinstance(kind, ListType):
        raise OpError("E0469", element=a.element, found=b.element)
    return kind


@op(no_gradient="it stands for a gradient itself")
def unstack_list(x: Tensor, *, dim: int) -> List:
    """The slices of x along `dim` as a list: the inverse of stack_list."""
    position = axis(dim, x)
    shape = None if x.shape is None else tuple(s for i, s in enumerate(x.shape) if i != position)
    return ListType(x.with_shape(shape))


@op(no_gradient="it stands for a gradient itself")
def split_like(x: Tensor, like: List, *, dim: int) -> List:
    """x cut along `dim` into pieces of the sizes of the tensors of `like`: the inverse of cat_list."""
    axis(dim, x)
    return like


@op(no_gradient="it stands for a gradient itself")
def list_slice_set(items: List, part: List, start: Int, stop: Int, step: Int) -> List:
    """The list with items[start:stop:step] replaced by the equally many items of `part`. ValueError for another number."""
    kind = join(items, part)
    if not isinstance(kind, ListType):
        raise OpError("E0469", element=items.element, found=part.element)
    return kind


@list_new.gradient
def _(g: Any, y: Any, *items: Any, element: str) -> Any:
    return tuple(list_get(g, index) for index in range(len(items)))


@list_append.gradient
def _(g: Any, y: Any, items: Any, item: Any) -> Any:
    return list_pop(g, -1)


@list_get.gradient
def _(g: Any, y: Any, items: Any, index: Any) -> Any:
    return list_set(list_zeros_like(items), index, g), None


@list_set.gradient
def _(g: Any, y: Any, items: Any, index: Any, item: Any) -> Any:
    # The item that was replaced has no influence.
    return list_set(g, index, list_get(list_zeros_like(items), index)), None, list_get(g, index)


@list_extend.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    length = list_length(a)
    return list_slice(g, 0, length, 1), list_slice(g, length, list_length(g), 1)


@list_pop.gradient
def _(g: Any, y: Any, items: Any, index: Any) -> Any:
    # list.insert counts a negative index from the end of the shorter list.
    return list_insert(g[0], scalar_mod(index, list_length(items)), g[1]), None


@list_reverse.gradient
def _(g: Any, y: Any, items: Any) -> Any:
    return list_reverse(g)


@list_slice.gradient
def _(g: Any, y: Any, items: Any, start: Any, stop: Any, step: Any) -> Any:
    return list_slice_set(list_zeros_like(items), g, start, stop, step), None, None, None


@list_insert.gradient
def _(g: Any, y: Any, items: Any, index: Any, item: Any) -> Any:
    # Where list.insert puts the item: a negative index counts from the end of the shorter list, and both ends clamp.
    length = list_length(items)
    negative = int(index < 0) if isinstance(index, int) else scalar_int(scalar_lt(index, 0))
    from_front = scalar_add(scalar_mul(length, negative), index)
    rest, inserted = list_pop(g, scalar_min(length, scalar_max(from_front, 0)))
    return rest, None, inserted


@stack_list.gradient
def _(g: Any, y: Any, xs: Any, *, dim: int) -> Any:
    return unstack_list(g, dim=dim)


@cat_list.gradient
def _(g: Any, y: Any, xs: Any, *, dim: int) -> Any:
    return split_like(g, xs, dim=dim)


nondifferentiable("no front end makes a tuple that a gradient flows through", tuple_new, tuple_get)
nondifferentiable("it holds no tensor", optional_none)
nondifferentiable("its result is no tensor", list_length, optional_is_none)
