"""Tensor ops of a routine, other than the elementwise ones: parts, shapes, reductions, products, lists."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scriptc.ir.types import IntType, ListType, TensorType
from scriptc_runtime.cpu.native.values import (
    TINY,
    Buffer,
    Cells,
    Items,
    Memory,
    Shape,
    Stacked,
    Tensor,
    contiguous,
    flat,
    numel,
    places,
)
from scriptc_runtime.cpu.native.writer import FULL, Writer, broadcast_strides
from scriptc_runtime.cpu.printer import Element, Unprintable
from scriptc_runtime.plan.bind import BoundOp, is_static

Operation = Callable[[Writer, BoundOp, Sequence[Any]], Any]
OPERATIONS: dict[str, Operation] = {}
_LANES = 8       # partial sums, as numpy keeps them


def _operation(*names: str) -> Callable[[Operation], Operation]:
    def register(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function
    return register


def shape_of(bound: BoundOp, index: int = 0) -> Shape:
    """The shape of a result. Unprintable if it is not known."""
    kind = bound.result_types[index]
    if not isinstance(kind, TensorType) or not is_static(kind):
        raise Unprintable("a size that only the data decides")
    return kind.shape  # type: ignore[return-value]


def _dim(bound: BoundOp, rank: int) -> int:
    dim: int = bound.op.attributes["dim"]  # type: ignore[assignment]
    return dim % rank if rank else 0


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Cells | Memory):
        raise Unprintable("not a tensor")
    return value


# Parts.

def _wrapped(w: Writer, index: Any, size: int) -> Any:
    """A position from the front. The routine gives up if there is none."""
    if size == 0:
        raise Unprintable("a part of nothing: it raises if it ever runs")
    if not isinstance(index, Element):
        if not -size <= index < size:
            raise Unprintable("a position out of range")
        return index % size
    name = w.convert(index, "int64").name
    w.give_up(f"({name} >= {size}) | ({name} < -{size})")
    return w.assign(f"{name} if {name} >= 0 else {name} + {size}", "int64")


def _picked(w: Writer, elements: Sequence[Element], index: Element) -> Element:
    """The element at a position known only at run time."""
    found = elements[0]
    for position in range(1, len(elements)):
        found = w.assign(f"{elements[position].name} if {index.name} == {position} else {found.name}", found.dtype)
    return found


@_operation("select")
def _select(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, dim = _tensor(operands[0]), _dim(bound, len(operands[0].shape))
    position = _wrapped(w, operands[1], x.shape[dim])
    shape = x.shape[:dim] + x.shape[dim + 1:]
    if isinstance(x, Memory):
        steps = x.strides[:dim] + x.strides[dim + 1:]
        part = Memory(x.dtype, shape, steps, x.pointer, f"{x.offset} + {w.index(position)} * {x.strides[dim]}", x.root, x.base)
        return w.settled(part)

    def element(index: Shape) -> Element:
        line = [x.elements[flat((*index[:dim], i, *index[dim:]), x.shape)] for i in range(x.shape[dim])]
        return _picked(w, line, position) if isinstance(position, Element) else line[position]
    return Cells(x.dtype, shape, tuple(map(element, places(shape))))


@_operation("slice")
def _slice(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, dim = _tensor(operands[0]), _dim(bound, len(operands[0].shape))
    if any(isinstance(o, Element) for o in operands[1:]) or operands[3] < 1:
        raise Unprintable("a part whose size only the data decides")
    chosen = range(x.shape[dim])[slice(*operands[1:])]
    shape = (*x.shape[:dim], len(chosen), *x.shape[dim + 1:])
    if isinstance(x, Memory):
        steps = (*x.strides[:dim], x.strides[dim] * chosen.step, *x.strides[dim + 1:])
        return w.settled(Memory(x.dtype, shape, steps, x.pointer, f"{x.offset} + {chosen.start * x.strides[dim]}", x.root, x.base))
    return _rearranged(x, shape, lambda index: (*index[:dim], chosen[index[dim]], *index[dim + 1:]))


def _rearranged(x: Cells, shape: Shape, source: Callable[[Shape], Sequence[int]]) -> Cells:
    return Cells(x.dtype, shape, tuple(x.elements[flat(source(index), x.shape)] for index in places(shape)))


@_operation("select_scatter", "slice_scatter")
def _scatter(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, source, dim = _tensor(operands[0]), _tensor(operands[1]), _dim(bound, len(operands[0].shape))
    size = x.shape[dim]
    if bound.name == "select_scatter":
        start, part = _wrapped(w, operands[2], size), (*x.shape[:dim], 1, *x.shape[dim + 1:])
        step = 1
    else:
        if any(isinstance(o, Element) for o in operands[2:]) or operands[4] < 1:
            raise Unprintable("a part whose size only the data decides")
        chosen = range(size)[slice(*operands[2:])]
        start, step, part = chosen.start, chosen.step, (*x.shape[:dim], len(chosen), *x.shape[dim + 1:])
    own = source.shape if bound.name == "slice_scatter" else (*source.shape[:dim], 1, *source.shape[dim:])
    if own != part or source.dtype != x.dtype:
        raise Unprintable("a source of another shape")
    if isinstance(x, Memory):
        made = w.allocate(x.dtype, x.shape)
        w.copy(made, x)
        steps = (*made.strides[:dim], made.strides[dim] * step, *made.strides[dim + 1:])
        target = Memory(x.dtype, part, steps, made.pointer, f"{made.offset} + {w.index(start)} * {made.strides[dim]}", made.root, made.base)
        w.copy(target, Cells(source.dtype, part, source.elements) if isinstance(source, Cells)
               else Memory(source.dtype, part, source.strides if bound.name == "slice_scatter" else
                           (*source.strides[:dim], 0, *source.strides[dim:]), source.pointer, source.offset, source.root, source.base))
        return made
    new = Cells(source.dtype, part, w.cells(source).elements)
    elements = []
    for index in places(x.shape):
        old = x.elements[flat(index, x.shape)]
        inner = (*index[:dim], 0, *index[dim + 1:])
        if isinstance(start, Element):
            value = new.elements[flat(inner, part)]
            old = w.assign(f"{value.name} if {start.name} == {index[dim]} else {old.name}", x.dtype)
        elif index[dim] >= start and (index[dim] - start) % step == 0 and (index[dim] - start) // step < part[dim]:
            old = new.elements[flat((*index[:dim], (index[dim] - start) // step, *index[dim + 1:]), part)]
        elements.append(old)
    return Cells(x.dtype, x.shape, tuple(elements))


# Shapes.

@_operation("permute")
def _permute(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x = _tensor(operands[0])
    named: Any = bound.op.attributes["dims"]
    dims: list[int] = [d % len(x.shape) for d in named]
    shape = tuple(x.shape[d] for d in dims)
    if isinstance(x, Memory):
        return Memory(x.dtype, shape, tuple(x.strides[d] for d in dims), x.pointer, x.offset, x.root, x.base)
    return _rearranged(x, shape, lambda index: [index[dims.index(d)] for d in range(len(dims))])


@_operation("reshape", "reshape_as", "squeeze", "unsqueeze", "detach", "checkpointed")
def _reshape(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, shape = w.row_major(_tensor(operands[0])), shape_of(bound)
    if isinstance(x, Cells):
        return Cells(x.dtype, shape, x.elements)
    return Memory(x.dtype, shape, contiguous(shape), x.pointer, x.offset, x.root, x.base)


@_operation("expand", "expand_as")
def _expand(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, shape = _tensor(operands[0]), shape_of(bound)
    if numel(shape) <= TINY:
        return Cells(x.dtype, shape, tuple(w.broadcast(x, index) for index in places(shape)))
    laid = w.laid_out(x)
    return Memory(x.dtype, shape, broadcast_strides(laid, shape), laid.pointer, laid.offset, laid.root, laid.base)


@_operation("size", "rank", "numel")
def _size(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> int:
    kind = bound.result_types[0]
    if isinstance(kind, IntType) and isinstance(kind.value, int):
        return kind.value
    raise Unprintable("a size that only the data decides")


@_operation("cat", "stack")
def _join(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    shape, parts = shape_of(bound), [_tensor(o) for o in operands]
    dim = _dim(bound, len(shape))
    dtype = parts[0].dtype
    if any(p.dtype != dtype for p in parts):
        raise Unprintable("parts of several dtypes")
    sizes = [1 if bound.name == "stack" else p.shape[dim] if len(p.shape) == len(shape) else 0 for p in parts]
    if numel(shape) <= TINY:
        found: dict[Shape, Element] = {}
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            own = (*shape[:dim], size, *shape[dim + 1:])
            for index, element in zip(places(own), w.cells(part).elements, strict=False):
                found[(*index[:dim], index[dim] + start, *index[dim + 1:])] = element
            start += size
        return Cells(dtype, shape, tuple(found[i] for i in places(shape)))
    made, start = w.allocate(dtype, shape), 0
    for part, size in zip(parts, sizes, strict=True):
        if size:
            own = (*shape[:dim], size, *shape[dim + 1:])
            target = Memory(dtype, own, made.strides, made.pointer, f"{made.offset} + {start * made.strides[dim]}", made.root, made.base)
            if isinstance(part, Cells):
                w.copy(target, Cells(dtype, own, part.elements))
            else:
                steps = part.strides if bound.name == "cat" else (*part.strides[:dim], 0, *part.strides[dim:])
                w.copy(target, Memory(dtype, own, steps, part.pointer, part.offset, part.root, part.base))
        start += size
    return made


@_operation("full")
def _full(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    kind, shape = bound.result_types[0], shape_of(bound)
    assert isinstance(kind, TensorType)
    dtype = kind.dtype.name
    value = operands[0]
    element = w.constant(value, dtype) if not isinstance(value, Element) else w.convert(value, dtype)
    return filled(w, dtype, shape, element)


def filled(w: Writer, dtype: str, shape: Shape, element: Element) -> Tensor:
    """A tensor of equal elements."""
    if numel(shape) <= TINY:
        return Cells(dtype, shape, (element,) * numel(shape))
    made = w.allocate(dtype, shape)
    w.loops(shape, (made.strides,), lambda at: w.store(made, at[0], element))
    return made


@_operation("from_scalars")
def _from_scalars(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    kind, shape = bound.result_types[0], shape_of(bound)
    assert isinstance(kind, TensorType)
    if numel(shape) > TINY or numel(shape) != len(operands):
        raise Unprintable("many scalars")
    dtype = kind.dtype.name
    return Cells(dtype, shape, tuple(
        w.convert(v, dtype) if isinstance(v, Element) else w.constant(v, dtype) for v in operands))


@_operation("item")
def _item(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Element:
    x = w.cells(_tensor(operands[0]))
    if len(x.elements) != 1:
        raise Unprintable("item of several elements")
    dtype = "float64" if x.dtype.startswith("float") else "bool" if x.dtype == "bool" else "int64"
    return w.convert(x.elements[0], dtype)


# Reductions.

@_operation("sum", "mean", "prod", "amax", "amin", "any", "all")
def _reduce(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    x, shape = _tensor(operands[0]), shape_of(bound)
    kind = bound.result_types[0]
    assert isinstance(kind, TensorType)
    dtype = kind.dtype.name
    rank = len(x.shape)
    wanted: Any = bound.op.attributes.get("dims")
    dims: list[int] = sorted({d % rank for d in wanted} if wanted and rank else range(rank))
    kept = [d for d in range(rank) if d not in dims]
    count = numel([x.shape[d] for d in dims])
    if count == 0 or (bound.name == "mean" and not dtype.startswith("float")) or (bound.name in ("sum", "prod", "mean") and dtype == "bool"):
        raise Unprintable(bound.name)

    def value(element: Element) -> Element:
        return w.convert(element, dtype)

    def finish(total: Element) -> Element:
        return w.assign(f"{total.name} / {w.constant(float(count), dtype).name}", dtype) if bound.name == "mean" else total

    if isinstance(x, Cells):
        elements = []
        for outer in places(tuple(x.shape[d] for d in kept)):
            line = []
            for inner in places(tuple(x.shape[d] for d in dims)):
                index = [0] * rank
                for d, i in (*zip(kept, outer, strict=True), *zip(dims, inner, strict=True)):
                    index[d] = i
                line.append(value(x.elements[flat(index, x.shape)]))
            elements.append(finish(_folded(w, bound.name, line)))
        return Cells(dtype, shape, tuple(elements))
    outer_shape = tuple(x.shape[d] for d in kept)
    made = w.allocate(dtype, outer_shape)

    def body(at: Sequence[str]) -> None:
        line = Memory(x.dtype, tuple(x.shape[d] for d in dims), tuple(x.strides[d] for d in dims), x.pointer,
                      f"{x.offset} + {at[0]}", x.root, x.base)
        w.store(made, at[1], finish(_reduced(w, bound.name, line, value)))
    w.loops(outer_shape, (tuple(x.strides[d] for d in kept), made.strides), body)
    return w.settled(Memory(dtype, shape, contiguous(shape), made.pointer, made.offset, made.root, made.base))


def _combined(w: Writer, name: str, a: Element, b: Element) -> Element:
    if name in ("sum", "mean"):
        return w.assign(f"{a.name} + {b.name}", a.dtype)
    if name == "prod":
        return w.assign(f"{a.name} * {b.name}", a.dtype)
    if name in ("any", "all"):
        return w.assign(f"{a.name} {'|' if name == 'any' else '&'} {b.name}", a.dtype)
    return w.apply_named("maximum" if name == "amax" else "minimum", a, b)


def _folded(w: Writer, name: str, line: Sequence[Element]) -> Element:
    """All of them, in the order in which numpy adds."""
    if name in ("sum", "mean") and len(line) >= _LANES:
        whole = len(line) // _LANES * _LANES
        lanes = list(line[:_LANES])
        for start in range(_LANES, whole, _LANES):
            lanes = [_combined(w, name, a, b) for a, b in zip(lanes, line[start:start + _LANES], strict=True)]
        return _tail(w, name, _tree(w, name, lanes), line[whole:])
    return _tail(w, name, line[0], line[1:])


def _tree(w: Writer, name: str, lanes: Sequence[Element]) -> Element:
    while len(lanes) > 1:
        lanes = [_combined(w, name, a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
    return lanes[0]


def _tail(w: Writer, name: str, total: Element, rest: Sequence[Element]) -> Element:
    for element in rest:
        total = _combined(w, name, total, element)
    return total


def _reduced(w: Writer, name: str, line: Memory, value: Callable[[Element], Element]) -> Element:
    """A loop over a larger part; sums go on in several lanes."""
    size = line.shape[-1]
    if len(line.shape) == 1 and name in ("sum", "mean") and size >= 2 * _LANES:
        step = line.strides[0]
        lanes = [value(w.load(line, str(i * step))) for i in range(_LANES)]
        names = [w.name("v") for _ in lanes]
        for target, lane in zip(names, lanes, strict=True):
            w.put(f"{target} = {lane.name}")
        index = w.name("i")

        def block() -> None:
            for i, target in enumerate(names):
                w.put(f"{target} = {target} + {value(w.load(line, f'({index} * {_LANES} + {i}) * {step}')).name}")
        w.inside(f"for {index} in range(1, {size // _LANES}):", block)
        total = _tree(w, name, [Element(n, lanes[0].dtype, w) for n in names])
        return _tail(w, name, total, [value(w.load(line, str(i * step))) for i in range(size // _LANES * _LANES, size)])
    first = value(w.load(line, "0"))
    total_name = w.name("v")
    w.put(f"{total_name} = {_start(w, name, first)}")
    total = Element(total_name, first.dtype, w)

    def body(at: Sequence[str]) -> None:
        w.put(f"{total_name} = {_combined(w, name, total, value(w.load(line, at[0]))).name}")
    w.loops(line.shape, (line.strides,), body)
    return total


def _start(w: Writer, name: str, first: Element) -> str:
    """What a fold over every element begins with: something that changes nothing."""
    if name in ("sum", "mean", "prod"):
        number = 0 if name != "prod" else 1
        return w.constant(float(number) if first.dtype.startswith("float") else number, first.dtype).name
    return first.name


# Products.

@_operation("linear", "matmul")
def _product(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Tensor:
    a, b, shape = _tensor(operands[0]), _tensor(operands[1]), shape_of(bound)
    bias = operands[2] if bound.name == "linear" else None
    if a.dtype != b.dtype or not a.dtype.startswith("float") or not a.shape or len(b.shape) not in (1, 2):
        raise Unprintable("a product of these shapes")
    depth = a.shape[-1]
    rows = numel(a.shape[:-1])
    if isinstance(b, Memory):
        steps = b.strides if len(b.shape) == 2 else ((b.strides[0], 0) if bound.name == "matmul" else (0, b.strides[0]))
    else:
        steps = (b.shape[-1], 1) if len(b.shape) == 2 else ((1, 0) if bound.name == "matmul" else (0, 1))
    sizes = b.shape if len(b.shape) == 2 else ((b.shape[0], 1) if bound.name == "matmul" else (1, b.shape[0]))
    columns = sizes[1] if bound.name == "matmul" else sizes[0]
    k_step, c_step = steps if bound.name == "matmul" else steps[::-1]
    if not depth or not columns or not rows:
        raise Unprintable("an empty product")
    x = w.row_major(a)
    if isinstance(x, Cells) and isinstance(b, Cells) and rows * columns <= TINY:
        return Cells(a.dtype, shape, tuple(
            _dot(w, [x.elements[r * depth + k] for k in range(depth)], [b.elements[k * k_step + c * c_step] for k in range(depth)],
                 None if bias is None else w.cells(bias).elements[c]) for r in range(rows) for c in range(columns)))
    left, right = w.laid_out(x), w.laid_out(b)
    made = w.allocate(a.dtype, (rows, columns))
    offset = w.laid_out(w.row_major(bias)) if bias is not None else None
    row = w.name("i")

    def one_row() -> None:
        if a.dtype == "float32" and 1 in (k_step, c_step):
            function, step = ("dots", c_step) if k_step == 1 else ("sums", k_step)
            w.put(f"{function}({w.address(made)} + {4 * columns} * {row}, {w.address(left)} + {4 * depth} * {row}, {w.address(right)}, "
                  f"{'i8(0)' if offset is None else w.address(offset)}, i8({columns}), i8({depth}), i8({step}))")
            return
        column, k, total = w.name("i"), w.name("i"), w.name("v")

        def one() -> None:
            start = w.constant(0.0, a.dtype) if offset is None else w.load(offset, column)
            w.put(f"{total} = {start.name}")
            w.put(f"for {k} in range({depth}):")
            w.depth += 1
            p, q = w.load(left, f"{row} * {depth} + {k}"), w.load(right, f"{k} * {k_step} + {column} * {c_step}")
            w.put(f"{total} = {total} + {p.name} * {q.name}")
            w.depth -= 1
            w.store(made, f"{row} * {columns} + {column}", Element(total, a.dtype, w))
        w.inside(f"for {column} in range({columns}):", one)
    w.inside(f"for {row} in range({rows}):", one_row)
    w.work += rows * columns * depth // 8
    return w.settled(Memory(a.dtype, shape, contiguous(shape), made.pointer, made.offset, made.root, made.base))


def _dot(w: Writer, x: Sequence[Element], y: Sequence[Element], bias: Element | None) -> Element:
    total = bias
    for a, b in zip(x, y, strict=True):
        term = w.assign(f"{a.name} * {b.name}", a.dtype)
        total = term if total is None else w.assign(f"{total.name} + {term.name}", a.dtype)
    assert total is not None
    return total


# Lists.

_DTYPES = {bool: "bool", int: "int64", float: "float64"}


def _buffer(w: Writer) -> Buffer:
    made = Buffer(len(w.buffers))
    w.buffers.append(made)
    w.rooms.append((w.word(), w.word()))
    return made


@_operation("list_new")
def _list_new(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Items:
    kind = bound.result_types[0]
    if not isinstance(kind, ListType):
        raise Unprintable("a list of unknown items")
    items = made_list(w, _buffer(w), 0)
    for item in operands:
        items = appended(w, items, item)
    return items


@_operation("list_append")
def _list_append(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Items:
    return appended(w, operands[0], operands[1])


def made_list(w: Writer, buffer: Buffer, length: Element | int) -> Items:
    """A list that the writer knows of."""
    made = Items(buffer, length)
    w.lists.append(made)
    return made


def spend(items: Items) -> None:
    """From now on other items may stand behind this list's last one: that works for one longer list only."""
    if items.spent:
        raise Unprintable("a list that grows in two ways")
    items.spent = True


def appended(w: Writer, items: Items, item: Any) -> Items:
    """The list with one more item, which stands behind the last: the shorter list is still there."""
    buffer = items.buffer
    scalar = not isinstance(item, Cells | Memory)
    dtype = item.dtype if isinstance(item, Cells | Memory | Element) else _DTYPES.get(type(item), "")
    shape = None if scalar else item.shape
    if not dtype or isinstance(item, Items | Stacked) or (buffer.known and (buffer.dtype, buffer.shape) != (dtype, shape)):
        raise Unprintable("a list of several kinds")
    buffer.dtype, buffer.shape, buffer.known = dtype, shape, True
    address, capacity = w.rooms[buffer.number]
    length = w.index(items.length)
    w.put(f"if {length} >= n[{capacity}]:")
    w.put(f"    n[{capacity}] = n[{capacity}] * 2")
    w.put(f"    return {FULL}")
    memory = w.memory(dtype, shape or (), f"n[{address}]")
    size = numel(shape or ())
    target = Memory(dtype, shape or (), memory.strides, memory.pointer, f"{length} * {size}", memory.root, memory.base)
    w.copy(target, Cells(dtype, (), (w.scalar(item, dtype),)) if scalar else item)
    spend(items)
    return made_list(w, buffer, items.length + 1 if isinstance(items.length, int) else w.assign(f"{length} + 1", "int64"))


@_operation("list_length")
def _list_length(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Any:
    return operands[0].length


@_operation("list_get")
def _list_get(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Any:
    items, index = operands
    buffer = items.buffer
    if not buffer.known:
        raise Unprintable("an item of an empty list")
    length, position = w.index(items.length), w.index(index)
    w.give_up(f"({position} >= {length}) | ({position} < -{length})")
    place = w.assign(f"{position} if {position} >= 0 else {position} + {length}", "int64")
    memory = w.memory(buffer.dtype, buffer.shape or (), f"n[{w.rooms[buffer.number][0]}]")
    part = Memory(memory.dtype, memory.shape, memory.strides, memory.pointer, f"{place.name} * {numel(memory.shape)}", memory.root, memory.base)
    return w.load(part, "0") if buffer.shape is None else w.settled(part)


@_operation("stack_list")
def _stack_list(w: Writer, bound: BoundOp, operands: Sequence[Any]) -> Stacked:
    items = operands[0]
    if not isinstance(items, Items) or bound.op.attributes["dim"] != 0:
        raise Unprintable("a stack along another dimension")
    w.give_up(f"{w.index(items.length)} == 0")
    return Stacked(items)
