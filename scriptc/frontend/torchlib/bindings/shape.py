"""Views and other rearrangements: which share memory, and which copy, as in torch."""
from __future__ import annotations

import itertools
from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import binary, compare, truthy
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.creation import shape_sizes, sizes, tensor_from
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.promotion import converted, result_dtype
from scriptc.frontend.torchlib.bindings.reduction import dims_of
from scriptc.frontend.torchlib.bindings.register import both, tensor_method, torch_function
from scriptc.frontend.values import Dynamic, PyList
from scriptc.ir import dims as dim_algebra
from scriptc.ir.types import DType, int64


def rank_of(ev: Evaluator, tensor: TensorValue, what: str = "this operation") -> int:
    """The rank, which must be known."""
    shape = storage.shape_of(ev, tensor)
    if shape is None:
        ev.error("E0253", what=what, hint="pass --input with the argument's rank, for example 'x:float32[N,C]'")
    return len(shape)


def axis(ev: Evaluator, tensor: TensorValue, dim: Any, extra: int = 0) -> int:
    """`dim` counted from the front. IndexError of the language if it is out of range."""
    rank = max(rank_of(ev, tensor) + extra, 1)
    if not isinstance(dim, int):
        ev.error("E0211", what="a dimension number that is only known at run time")
    if not -rank <= dim < rank:
        ev.throw("IndexError", f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim % rank


@tensor_method("view")
def view(ev: Evaluator, input: Any, *shape: Any, dtype: Any = None) -> TensorValue:
    if dtype is not None or (shape and isinstance(shape[0], DType)):
        ev.error("E0222", name="Tensor.view(dtype)")
    return reshape_view(ev, input, sizes(ev, shape), "view")


@tensor_method("reshape")
def reshape_method(ev: Evaluator, input: Any, *shape: Any) -> TensorValue:
    return reshape_view(ev, input, sizes(ev, shape), "reshape")


@torch_function("reshape")
def reshape(ev: Evaluator, input: Any, shape: Any) -> TensorValue:
    return reshape_view(ev, input, sizes(ev, (shape,)), "reshape")


def reshape_view(ev: Evaluator, input: TensorValue, wanted: list[Any], what: str) -> TensorValue:
    """A view of a contiguous tensor; of another, `reshape` copies."""
    if not input.is_contiguous:
        return ev.op("reshape", input, *wanted)
    return storage.view(ev, input, "reshape", tuple(wanted), {})


@tensor_method("view_as", "reshape_as")
def view_as(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    return reshape_view(ev, input, shape_sizes(ev, other), "view")


@both("flatten")
def flatten(ev: Evaluator, input: Any, start_dim: int = 0, end_dim: int = -1) -> TensorValue:
    rank = rank_of(ev, input, "flatten")
    if rank == 0:
        return reshape_view(ev, input, [1], "reshape")
    first, last = axis(ev, input, start_dim), axis(ev, input, end_dim)
    if first > last:
        ev.throw("RuntimeError", "flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return input
    all_sizes = shape_sizes(ev, input)
    middle: Any = 1
    for size in all_sizes[first:last + 1]:
        middle = binary(ev, "Mult", middle, size)
    return reshape_view(ev, input, [*all_sizes[:first], middle, *all_sizes[last + 1:]], "reshape")


@both("unflatten")
def unflatten(ev: Evaluator, input: Any, dim: Any, sizes: Any) -> TensorValue:
    position = axis(ev, input, dim)
    all_sizes = shape_sizes(ev, input)
    return reshape_view(ev, input, [*all_sizes[:position], *items_of(ev, sizes), *all_sizes[position + 1:]], "reshape")


@both("ravel")
def ravel(ev: Evaluator, input: Any) -> TensorValue:
    return reshape_view(ev, input, [-1], "reshape")


@both("permute")
def permute(ev: Evaluator, input: Any, *axes: Any, dims: Any = None) -> TensorValue:
    order = tuple(axis(ev, input, d) for d in sizes(ev, axes if dims is None else (dims,)))
    if sorted(order) != list(range(rank_of(ev, input))):
        if len(order) == rank_of(ev, input):
            ev.throw("RuntimeError", "permute(): duplicate dims are not allowed.")
        ev.throw("RuntimeError", "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the "
                                 f"desired ordering of dimensions i.e. input.dim() = {rank_of(ev, input)} is not equal to len(dims) = {len(order)}")
    if order == tuple(range(len(order))):
        return input
    shape = storage.shape_of(ev, input) or ()
    moved = [d for d in order if shape[d] != 1]
    return storage.view(ev, input, "permute", (), {"dims": order}, contiguous=moved == sorted(moved))


@both("transpose", "swapaxes", "swapdims")
def transpose(ev: Evaluator, input: Any, dim0: Any, dim1: Any) -> TensorValue:
    order = list(range(rank_of(ev, input)))
    if not order:
        return input
    a, b = axis(ev, input, dim0), axis(ev, input, dim1)
    order[a], order[b] = order[b], order[a]
    return permute(ev, input, *order)


@both("t")
def t(ev: Evaluator, input: Any) -> TensorValue:
    return input if rank_of(ev, input) < 2 else transpose(ev, input, 0, 1)


@both("movedim", "moveaxis")
def movedim(ev: Evaluator, input: Any, source: Any, destination: Any) -> TensorValue:
    rank = rank_of(ev, input)
    origin = [axis(ev, input, d) for d in (dims_of(ev, source) or ())]
    target = [axis(ev, input, d) for d in (dims_of(ev, destination) or ())]
    order = [-1] * rank
    for a, b in zip(origin, target, strict=True):
        order[b] = a
    rest = iter(d for d in range(rank) if d not in origin)
    return permute(ev, input, *[next(rest) if d < 0 else d for d in order])


@both("unsqueeze")
def unsqueeze(ev: Evaluator, input: Any, dim: Any) -> TensorValue:
    return storage.view(ev, input, "unsqueeze", (), {"dim": axis(ev, input, dim, 1)})


@both("squeeze")
def squeeze(ev: Evaluator, input: Any, dim: Any = None) -> TensorValue:
    shape = storage.shape_of(ev, input)
    rank = rank_of(ev, input, "squeeze")
    assert shape is not None
    if dim is None:
        chosen = [i for i in range(rank) if isinstance(shape[i], int)]
        if len(chosen) < rank:
            ev.error("E0454", shape=str([dim_algebra.dim_text(s) for s in shape]), dims="all")
    else:
        chosen = [axis(ev, input, d) for d in (dims_of(ev, dim) or ())] if rank else []
        if any(not isinstance(shape[d], int) for d in chosen):
            # A size that may vary from call to call is not 1: keeping the dimension is eager's result for all but one size.
            for d in chosen:
                if not isinstance(shape[d], int):
                    size = ev.size(shape[d], input, d)
                    guard_not_one(ev, size)
            chosen = [d for d in chosen if isinstance(shape[d], int)]
    chosen = [d for d in chosen if shape[d] == 1]
    if not chosen:
        return input
    return storage.view(ev, input, "squeeze", (), {"dims": tuple(chosen)})


def guard_not_one(ev: Evaluator, size: Any) -> None:
    """A check that a varying size is not 1 where the program was staged for the other case."""
    differs = truthy(ev, compare(ev, "NotEq", size, 1))
    if isinstance(differs, Dynamic):
        ev.builder.location = ev.location()
        ev.builder.emit("check", [differs.value], {"exception": "RuntimeError",
                        "message": "squeeze() of a dimension that was compiled as varying was called with size 1; compile with that size fixed"})


@tensor_method("expand")
def expand(ev: Evaluator, input: Any, *shape: Any, implicit: Any = False) -> TensorValue:
    return storage.view(ev, input, "expand", tuple(sizes(ev, shape)), {}, contiguous=False)


@tensor_method("expand_as")
def expand_as(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    return storage.view(ev, input, "expand", tuple(shape_sizes(ev, other)), {}, contiguous=False)


@torch_function("broadcast_to")
def broadcast_to(ev: Evaluator, input: Any, size: Any) -> TensorValue:
    return expand(ev, input, size)


tensor_method("broadcast_to")(broadcast_to)


@torch_function("broadcast_tensors")
def broadcast_tensors(ev: Evaluator, *tensors: Any) -> tuple[TensorValue, ...]:
    total = tensors[0]
    for other in tensors[1:]:
        total = ev.op("add", ev.op("mul", converted(ev, total, int64), 0), ev.op("mul", converted(ev, other, int64), 0))
    return tuple(ev.op("expand_as", t, total) for t in tensors)


@both("contiguous")
def contiguous(ev: Evaluator, input: Any, memory_format: Any = None) -> TensorValue:
    return input if input.is_contiguous else storage.tensor_of(storage.read(ev, input))


@both("clone")
def clone(ev: Evaluator, input: Any, *, memory_format: Any = None) -> TensorValue:
    return storage.tensor_of(storage.read(ev, input))


@both("narrow")
def narrow(ev: Evaluator, input: Any, dim: Any, start: Any, length: Any) -> TensorValue:
    position = axis(ev, input, dim)
    if isinstance(start, TensorValue):
        start = ev.op("item", start)
    return storage.view(ev, input, "slice", (start, binary(ev, "Add", start, length), 1), {"dim": position}, contiguous=position == 0)


@both("select")
def select(ev: Evaluator, input: Any, dim: Any, index: Any) -> TensorValue:
    position = axis(ev, input, dim)
    return storage.view(ev, input, "select", (index,), {"dim": position}, contiguous=position == 0)


@both("diagonal")
def diagonal(ev: Evaluator, input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> TensorValue:
    return storage.view(ev, input, "diagonal", (), {"offset": offset, "dim1": axis(ev, input, dim1), "dim2": axis(ev, input, dim2)},
                        contiguous=False)


@both("diag")
def diag(ev: Evaluator, input: Any, diagonal: int = 0) -> TensorValue:
    if rank_of(ev, input) == 2:
        return ev.op("diagonal", input, offset=diagonal, dim1=0, dim2=1)
    return diag_embed(ev, input, diagonal)


@both("diag_embed")
def diag_embed(ev: Evaluator, input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> TensorValue:
    all_sizes = shape_sizes(ev, input)
    first, second = axis(ev, input, dim1, 1), axis(ev, input, dim2, 1)
    if first == second:
        ev.throw("RuntimeError", f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    side = binary(ev, "Add", all_sizes[-1], abs(offset))
    lead = iter(all_sizes[:-1])
    base = ev.op("full", 0.0, *[side if i in (first, second) else next(lead) for i in range(len(all_sizes) + 1)], dtype=storage.dtype(input))
    return ev.op("diagonal_scatter", base, input, offset=offset, dim1=first, dim2=second)


@both("unbind")
def unbind(ev: Evaluator, input: Any, dim: Any = 0) -> Any:
    position = axis(ev, input, dim)
    size = (storage.shape_of(ev, input) or (None,))[position]
    if not isinstance(size, int):
        ev.error("E0211", what="unbind() along a dimension whose size is only known at run time", hint="iterate over the tensor instead")
    return tuple(storage.view(ev, input, "select", (i,), {"dim": position}, contiguous=position == 0) for i in range(size))


@both("split", "split_with_sizes")
def split(ev: Evaluator, input: Any, split_size_or_sections: Any = None, dim: Any = 0, *, split_size: Any = None,
          split_sizes: Any = None) -> Any:
    position = axis(ev, input, dim)
    pieces = next(p for p in (split_size_or_sections, split_size, split_sizes) if p is not None)
    size = (storage.shape_of(ev, input) or (None,))[position]
    if isinstance(pieces, PyList | tuple):
        lengths = items_of(ev, pieces)
        if isinstance(size, int) and all(isinstance(n, int) for n in lengths) and sum(lengths) != size:
            ev.throw("RuntimeError", f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                                     f"{position}), but got split_sizes={lengths}")
    elif isinstance(pieces, int) and isinstance(size, int):
        if pieces <= 0:
            ev.throw("RuntimeError", f"split expects split_size be non-negative, but got split_size={pieces}")
        lengths = [min(pieces, size - i) for i in range(0, max(size, 1), pieces)]
    else:
        lengths = symbolic_pieces(ev, pieces, size, "split()")
    return cut(ev, input, position, lengths)


def symbolic_pieces(ev: Evaluator, piece: Any, size: Any, what: str) -> list[Any]:
    """The lengths of the pieces of a varying dimension, if how many there are is known all the same."""
    from scriptc.ir.types import IntType

    length = piece.type.value if isinstance(piece, Dynamic) and isinstance(piece.type, IntType) else piece
    count = dim_algebra.floor_divide(size, length)
    if isinstance(count, int) and dim_algebra.multiply(length, count) == size:
        return [piece] * count
    return ev.error("E0211", what=f"{what} into a number of pieces that is only known at run time")


def cut(ev: Evaluator, input: TensorValue, position: int, lengths: list[Any]) -> tuple[TensorValue, ...]:
    out, start = [], 0
    for length in lengths:
        stop = binary(ev, "Add", start, length)
        out.append(storage.view(ev, input, "slice", (start, stop, 1), {"dim": position}, contiguous=position == 0))
        start = stop
    return tuple(out)


@both("chunk")
def chunk(ev: Evaluator, input: Any, chunks: Any, dim: Any = 0) -> Any:
    if not isinstance(chunks, int):
        return ev.error("E0211", what="chunk() into a number of pieces that is only known at run time")
    if chunks <= 0:
        ev.throw("RuntimeError", f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    position = axis(ev, input, dim)
    size = (storage.shape_of(ev, input) or (None,))[position]
    if not isinstance(size, int):
        if size is not None and dim_algebra.modulo(size, chunks) == 0:
            piece = binary(ev, "FloorDiv", ev.size(size, input, position), chunks)
            return cut(ev, input, position, [piece] * chunks)
        return cut(ev, input, position, checked_pieces(ev, ev.size(size, input, position), chunks))
    return split(ev, input, max(1, -(-size // chunks)), position)


def checked_pieces(ev: Evaluator, size: Any, chunks: int) -> list[Any]:
    """The lengths of the `chunks` pieces of any size; sizes that torch cuts into fewer (3 into 4 gives 2 and 1) raise when it runs."""
    piece = binary(ev, "FloorDiv", binary(ev, "Add", size, chunks - 1), chunks)
    last = binary(ev, "Sub", size, binary(ev, "Mult", piece, chunks - 1))
    enough = ev.op("scalar_or", ev.op("scalar_gt", last, 0), ev.op("scalar_eq", size, 0))
    if isinstance(enough, Dynamic):
        ev.builder.emit("check", [enough.value, size.value],
                        {"exception": "RuntimeError", "message": f"chunk() gives fewer than {chunks} pieces of a dimension of size {{}}"})
    return [piece] * (chunks - 1) + [last]


@both("tensor_split")
def tensor_split(ev: Evaluator, input: Any, indices_or_sections: Any = None, dim: Any = 0, *, indices: Any = None,
                 sections: Any = None) -> Any:
    """torch.tensor_split, with the keyword names of both its signatures."""
    position = axis(ev, input, dim)
    places = next((p for p in (indices_or_sections, indices, sections) if p is not None), None)
    if places is None:
        ev.throw("TypeError", "tensor_split() missing a required argument: 'indices_or_sections'")
    size = (storage.shape_of(ev, input) or (None,))[position]
    if isinstance(places, TensorValue):
        return ev.error("E0211", what="tensor_split() at places held by a tensor", hint="pass the places as a tuple of ints")
    if not isinstance(size, int):
        known = [] if isinstance(places, int) else items_of(ev, places)
        if not known or any(not isinstance(i, int) or i < 0 for i in known):
            return ev.error("E0211", what="tensor_split() along a dimension whose size is only known at run time")
        return tuple(storage.view(ev, input, "slice", (a, b, 1), {"dim": position}, contiguous=position == 0)
                     for a, b in itertools.pairwise([0, *known, 2**63 - 1]))
    if isinstance(places, int):
        base, more = divmod(size, places)
        return cut(ev, input, position, [base + (i < more) for i in range(places)])
    bounds = [min(max(i + size if i < 0 else i, 0), size) for i in items_of(ev, places)]
    return tuple(storage.view(ev, input, "slice", (a, max(a, b), 1), {"dim": position}, contiguous=position == 0)
                 for a, b in itertools.pairwise([0, *bounds, size]))


def tensors_of(ev: Evaluator, tensors: Any, what: str) -> list[TensorValue] | Dynamic:
    """The tensors of a sequence; a dynamic list as it is."""
    if isinstance(tensors, PyList) and isinstance(tensors.content, Dynamic):
        return tensors.content
    items = items_of(ev, tensors)
    for item in items:
        if not isinstance(item, TensorValue):
            from scriptc.frontend.evaluator.operators import type_name

            ev.throw("TypeError", f"expected Tensor as element of argument 0, but got {type_name(item)}")
    if not items:
        ev.throw("RuntimeError", f"{what} expects a non-empty TensorList")
    return items


@torch_function("cat", "concat", "concatenate")
def cat(ev: Evaluator, tensors: Any, dim: Any = 0) -> TensorValue:
    if isinstance(tensors, TensorValue):
        ev.throw("TypeError", "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    items = tensors_of(ev, tensors, "torch.cat()")
    if isinstance(items, Dynamic):
        return ev.op("cat_list", items, dim=dim)
    dtype = result_dtype(ev, *items)
    return ev.op("cat", *[converted(ev, t, dtype) for t in items], dim=dim)


@torch_function("stack")
def stack(ev: Evaluator, tensors: Any, dim: Any = 0) -> TensorValue:
    items = tensors_of(ev, tensors, "stack")
    if isinstance(items, Dynamic):
        return ev.op("stack_list", items, dim=dim)
    dtype = result_dtype(ev, *items)
    return ev.op("stack", *[converted(ev, t, dtype) for t in items], dim=dim)


def _joiner(name: str, dim: int, minimum: int) -> None:
    def function(ev: Evaluator, tensors: Any) -> TensorValue:
        items = items_of(ev, tensors)
        return cat(ev, tuple(unsqueeze(ev, t, 0) if rank_of(ev, t) < minimum else t for t in items), dim)
    torch_function(name)(function)


_joiner("vstack", 0, 2)


@torch_function("hstack")
def hstack(ev: Evaluator, tensors: Any) -> TensorValue:
    items = items_of(ev, tensors)
    return cat(ev, tensors, 0 if rank_of(ev, items[0]) < 2 else 1)


@both("flip")
def flip(ev: Evaluator, input: Any, *axes: Any, dims: Any = None) -> TensorValue:
    return ev.op("flip", input, dims=tuple(axis(ev, input, d) for d in sizes(ev, axes if dims is None else (dims,))))


@both("roll")
def roll(ev: Evaluator, input: Any, shifts: Any, dims: Any = None) -> TensorValue:
    amounts = [shifts] if isinstance(shifts, int | Dynamic) else items_of(ev, shifts)
    chosen = () if dims is None else tuple(axis(ev, input, d) for d in (dims_of(ev, dims) or ()))
    return ev.op("roll", input, *amounts, dims=chosen)


@tensor_method("repeat")
def repeat(ev: Evaluator, input: Any, *repeats: Any) -> TensorValue:
    return ev.op("repeat", input, *sizes(ev, repeats))


@both("tile")
def tile(ev: Evaluator, input: Any, *dims: Any) -> TensorValue:
    times = sizes(ev, dims)
    return ev.op("repeat", input, *[1] * (rank_of(ev, input) - len(times)), *times)


@both("repeat_interleave")
def repeat_interleave(ev: Evaluator, input: Any, repeats: Any, dim: Any = None, *, output_size: Any = None) -> TensorValue:
    if dim is None:
        input, dim = ravel(ev, input), 0
    if not isinstance(repeats, TensorValue | int | Dynamic):
        repeats = tensor_from(ev, repeats)
    if isinstance(repeats, TensorValue):
        if storage.shape_of(ev, repeats) not in ((), (1,)):
            return ev.op("index_select", input, ev.op("repeated_positions", repeats), dim=axis(ev, input, dim))
        repeats = ev.op("item", repeats if storage.shape_of(ev, repeats) == () else ev.op("reshape", repeats))
    if not rank_of(ev, input):
        input = ev.op("unsqueeze", input, dim=0)
    return ev.op("repeat_interleave", input, repeats, dim=axis(ev, input, dim))


@both("tril")
def tril(ev: Evaluator, input: Any, diagonal: Any = 0) -> TensorValue:
    return ev.op("tril", input, diagonal)


@both("triu")
def triu(ev: Evaluator, input: Any, diagonal: Any = 0) -> TensorValue:
    return ev.op("triu", input, diagonal)


inplace("tril", tril)
inplace("triu", triu)


@both("as_strided")
def as_strided(ev: Evaluator, input: Any, size: Any, stride: Any, storage_offset: Any = None) -> TensorValue:
    """Reads elements of the storage at the strides; writing through it is refused."""
    if any(step.op not in ("reshape", "squeeze", "unsqueeze", "permute", "detach") or not step.contiguous for step in input.path):
        ev.error("E0222", name="as_strided of a view", hint="call contiguous() on the tensor first")
    lengths, steps = items_of(ev, size), items_of(ev, stride)
    if len(lengths) != len(steps):
        ev.throw("RuntimeError", "mismatch in length of strides and shape")
    return storage.view(ev, input, "as_strided", (storage_offset or 0, *lengths, *steps), {}, contiguous=False)


@tensor_method("unfold")
def unfold(ev: Evaluator, input: Any, dimension: Any, size: Any, step: Any) -> TensorValue:
    if not rank_of(ev, input):
        return storage.view(ev, input, "expand", (size,), {}, contiguous=False)
    return storage.view(ev, input, "unfold", (), {"dim": axis(ev, input, dimension), "size": size, "step": step}, contiguous=False)


@both("pixel_shuffle")
def pixel_shuffle(ev: Evaluator, input: Any, upscale_factor: int) -> TensorValue:
    return ev.op("pixel_shuffle", input, factor=upscale_factor)


def _in_place_view(name: str, function: Any) -> None:
    def method(ev: Evaluator, input: Any, *arguments: Any) -> TensorValue:
        seen = function(ev, input, *arguments)
        for slot in ("storage", "path", "cached"):
            input.write(slot, seen.slots[slot])
        return input
    tensor_method(name)(method)


for _name, _function in {"unsqueeze_": unsqueeze, "squeeze_": squeeze, "transpose_": transpose, "t_": t}.items():
    _in_place_view(_name, _function)
