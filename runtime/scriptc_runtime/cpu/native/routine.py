"""A cluster of ops with control flow as the text of one function, and what to put in its tables."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from scriptc.ir.graph import Literal, Op, Region, Value
from scriptc.ir.types import BOOL, FLOAT, INT, IntType, TensorType, Type
from scriptc.records import Record, field
from scriptc_runtime.cpu.native import arithmetic, tensors
from scriptc_runtime.cpu.native.values import TINY, Cells, Content, Items, Memory, Shape, Stacked, Tensor, numel, places
from scriptc_runtime.cpu.native.writer import BUDGET, FUEL, LIMIT, POLL, STOPPED, Writer, broadcast_strides
from scriptc_runtime.cpu.printer import Element, Late, Unprintable, operand_shape, printable, trace
from scriptc_runtime.cpu.scalars import CONVERSIONS
from scriptc_runtime.plan.bind import Binding, BoundOp, bind, is_static
from scriptc_runtime.plan.clusters import Cluster
from scriptc_runtime.plan.fusion import Group, fuse

WORDS = 4   # that begin the table

Place: TypeAlias = tuple[str, int]     # ("n" or "c", index)


class Given(Record):
    """An input: where its address or value goes; dtype and shape of an array (shape None: a Python scalar)."""

    place: Place
    dtype: str
    shape: Shape | None


class Answer(Record):
    """An output: a scalar (shape None), an array, or (`buffer`) the items of a list whose length stands at `place`."""

    place: Place
    dtype: str
    shape: Shape | None
    buffer: int | None = None
    stacked: bool = False


class Routine(Record):
    """A printed routine. `words` and `floats` are its tables, None where a call fills them in."""

    source: str
    words: list[int | None]
    floats: list[float | None]
    given: tuple[Given, ...]
    answers: tuple[Answer, ...]
    rooms: tuple[tuple[int, int, str, Shape], ...]   # per list: words of address and capacity, dtype and shape of an item
    scratch: int
    loops: tuple[Op, ...]


class _Scalar(Late):
    """A scalar of the routine among the elements of a group."""

    content: Element


class _Printer(Record, frozen=False, eq=False):
    writer: Writer
    values: dict[Value, Content] = field(default_factory=dict)
    loops: list[Op] = field(default_factory=list)

    # Values.

    def get(self, value: Value, constants: Mapping[Value, Any]) -> Any:
        if isinstance(value, Literal):
            return value.data
        if value in self.values:
            return self.values[value]
        return constants[value]

    # Ops.

    def region(self, binding: Binding) -> None:
        """Every op of a bound region, elementwise ones in groups."""
        for unit in fuse(_needed(binding), binding.results, printable):
            if isinstance(unit, Group):
                self.group(unit, binding)
            elif isinstance(unit, Cluster):
                raise Unprintable("a cluster")
            else:
                self.op(unit, binding)

    def op(self, bound: BoundOp, binding: Binding) -> None:
        w, name = self.writer, bound.name
        operands = [self.get(v, binding.constants) for v in bound.operands]
        if name == "if":
            return self.branch(bound, operands[0], binding)
        if name == "loop":
            return self.loop(bound, operands, binding)
        if name == "check":
            if not isinstance(operands[0], Element):
                operands[0] = w.scalar(operands[0], "bool")
            return w.give_up(f"{operands[0].name} == b1(0)")
        attributes = bound.op.attributes
        if name == "undefined":
            content = self.blank(bound.result_types[0])
        elif name in arithmetic.OPERATIONS:
            content = arithmetic.OPERATIONS[name](w, *operands, name=name, **attributes)
        elif name in tensors.OPERATIONS:
            content = tensors.OPERATIONS[name](w, bound, operands)
        else:
            raise Unprintable(name)
        self.values[bound.results[0]] = content
        return None

    def blank(self, kind: Type) -> Content:
        """A value that nobody reads."""
        if isinstance(kind, TensorType) and is_static(kind):
            dtype = kind.dtype.name
            zero = self.writer.constant(0.0 if dtype.startswith("float") else 0, dtype)
            return tensors.filled(self.writer, dtype, kind.shape, zero)  # type: ignore[arg-type]
        if kind == FLOAT:
            return 0.0
        if kind == BOOL or isinstance(kind, IntType):
            return False if kind == BOOL else 0
        raise Unprintable("a value without a form")

    def group(self, group: Group, binding: Binding) -> None:
        """Elementwise ops over one shape: element by element in variables, or as a loop."""
        w = self.writer
        contents: dict[Value, Any] = {}
        shapes: dict[Value, Shape] = {}
        for bound in group.ops:
            for index, value in enumerate(bound.operands):
                if value in group.inputs:
                    contents[value] = self.get(value, binding.constants)
                    if isinstance(contents[value], Cells | Memory):
                        shape = operand_shape(bound, index)
                        if shapes.setdefault(value, shape) != shape:
                            raise Unprintable("an operand with two shapes")
        kinds = {m.results[0]: m.result_types[0].dtype.name for m in group.ops}  # type: ignore[union-attr]
        names: dict[Value, Any] = {}
        for value, content in contents.items():
            if isinstance(content, Element):
                names[value] = _Scalar(0, content.dtype == "float64", content)
            elif not isinstance(content, Cells | Memory):
                names[value] = content
        tensor_inputs = {v: _shaped(c, shapes[v]) for v, c in contents.items() if isinstance(c, Cells | Memory)}
        if numel(group.shape) <= TINY:
            found: dict[Value, list[Element]] = {v: [] for v in group.outputs}
            for place_of in places(group.shape):
                names.update((v, w.broadcast(t, place_of)) for v, t in tensor_inputs.items())
                for bound in group.ops:
                    names[bound.results[0]] = trace(bound, names, w, self.late)
                for v in group.outputs:
                    found[v].append(names[v])
            for v, elements in found.items():
                self.values[v] = Cells(kinds[v], group.shape, tuple(elements))
            return
        memories: dict[Value, Memory] = {}
        for value, tensor in tensor_inputs.items():
            if numel(tensor.shape) == 1:
                names[value] = w.cells(tensor).elements[0]
            else:
                memories[value] = w.laid_out(tensor)
        made = {v: w.allocate(kinds[v], group.shape) for v in group.outputs}

        def body(at: Sequence[str]) -> None:
            for (value, memory), place in zip(memories.items(), at, strict=False):
                names[value] = w.load(memory, place)
            for bound in group.ops:
                names[bound.results[0]] = trace(bound, names, w, self.late)
            for (value, target), place in zip(made.items(), at[len(memories):], strict=True):
                w.store(target, place, names[value])
        w.loops(group.shape, [broadcast_strides(m, group.shape) for m in memories.values()] + [m.strides for m in made.values()], body)
        self.values.update(made)

    def late(self, element: Late, dtype: str) -> Element:
        """A scalar of the routine in the dtype of the tensors it meets."""
        assert isinstance(element, _Scalar)
        return self.writer.convert(element.content, dtype)

    # Control flow.

    def nested(self, region: Region, bound: BoundOp, params: Sequence[Type], binding: Binding) -> Binding:
        """A region of an op, bound to the types that its parameters and captured values have here."""
        types: dict[Value, Type] = dict(zip(region.params, params, strict=True))
        for name, outer in bound.captured:
            types[name] = binding.types[outer]
            self.values[name] = self.values[outer]
        return bind(region, types, binding.constants)

    def branch(self, bound: BoundOp, condition: Any, binding: Binding) -> None:
        w = self.writer
        targets: list[Any] = [None] * len(bound.results)
        test = w.scalar(condition, "bool")
        before = {items: items.spent for items in w.lists}
        spent: set[Items] = set()
        for number, region in enumerate(bound.op.regions):
            for items, was in before.items():
                items.spent = was

            def write(region: Region = region) -> None:
                inner = self.nested(region, bound, (), binding)
                self.region(inner)
                for position, (value, kind) in enumerate(zip(inner.results, bound.result_types, strict=True)):
                    content = self.get(value, inner.constants)
                    if targets[position] is None:
                        targets[position] = self.target(kind, content)
                    self.move(targets[position], content)
            w.inside(f"if {test.name}:" if number == 0 else "else:", write)
            spent |= {items for items in w.lists if items.spent}
        for items in spent:
            items.spent = True
        self.values.update(zip(bound.results, targets, strict=True))

    def target(self, kind: Type, content: Any) -> Content:
        """Variables, memory or a list that can hold any value of a type; `content` is one of them."""
        w = self.writer
        if isinstance(kind, TensorType) and is_static(kind) and isinstance(content, Cells | Memory):
            dtype, shape = kind.dtype.name, content.shape
            if kind.shape != shape or dtype != content.dtype:
                raise Unprintable("a value of several shapes")
            if numel(shape) <= TINY:
                return Cells(dtype, shape, tuple(Element(w.name("v"), dtype, w) for _ in range(numel(shape))))
            return w.allocate(dtype, shape)
        if isinstance(content, Items):
            return tensors.made_list(w, content.buffer, Element(w.name("v"), "int64", w))
        if kind in (FLOAT, BOOL) or isinstance(kind, IntType):
            return Element(w.name("v"), "float64" if kind == FLOAT else "bool" if kind == BOOL else "int64", w)
        raise Unprintable("a value without a form")

    def move(self, target: Any, content: Any) -> None:
        """Give a target its value."""
        w = self.writer
        if isinstance(target, Memory):
            if target is not content:
                if not isinstance(content, Cells | Memory) or content.shape != target.shape or content.dtype != target.dtype:
                    raise Unprintable("a value of several shapes")
                w.copy(target, content)
        elif isinstance(target, Cells):
            if not isinstance(content, Cells) or content.shape != target.shape or content.dtype != target.dtype:
                raise Unprintable("a value of several shapes")
            for to, element in zip(target.elements, content.elements, strict=True):
                if to.name != element.name:
                    w.put(f"{to.name} = {element.name}")
        elif isinstance(target, Items):
            if not isinstance(content, Items) or content.buffer is not target.buffer or not isinstance(target.length, Element):
                raise Unprintable("a list of several origins")
            if content is not target:
                tensors.spend(content)
                w.put(f"{target.length.name} = {w.scalar(content.length, 'int64').name}")
        else:
            element = w.scalar(content, target.dtype)
            if element.name != target.name:
                w.put(f"{target.name} = {element.name}")

    def loop(self, bound: BoundOp, operands: Sequence[Any], binding: Binding) -> None:
        w, region = self.writer, bound.op.regions[0]
        trips, go, *initial = operands
        self.loops.append(bound.op)
        number = len(self.loops) - 1
        targets = [self.target(kind, content) for kind, content in zip(bound.result_types, initial, strict=True)]
        for target, content in zip(targets, initial, strict=True):
            self.move(target, content)
        limit, turn, going = w.scalar(trips, "int64"), w.name("v"), w.name("v")
        w.put(f"{going} = {w.scalar(go, 'bool').name}")
        w.put(f"{turn} = i8(0)")
        outer_work, w.work = w.work, 8

        def body() -> None:
            w.put(f"if {turn} >= n[{LIMIT}]:")
            w.put(f"    return {BUDGET + number}")
            w.put("u0 = u0 - i8(1)")
            mark = len(w.lines) - 1
            w.put("if u0 < 0:")
            w.put(f"    if n[{POLL}] != 0:")
            w.put(f"        if poll(n[{POLL}]) != 0:")
            w.put(f"            return {STOPPED}")
            w.put(f"    u0 = n[{FUEL}]")
            self.values[region.params[0]] = w.assign(turn, "int64")
            self.values.update(zip(region.params[1:], targets, strict=True))
            inner = self.nested(region, bound, (INT, *bound.result_types), binding)
            self.region(inner)
            new = [self.get(v, inner.constants) for v in inner.results]
            self.turn(targets, new[1:])
            w.put(f"{going} = {w.scalar(new[0], 'bool').name}")
            w.put(f"{turn} = {turn} + i8(1)")
            w.lines[mark] = w.lines[mark].replace("i8(1)", f"i8({max(1, w.work)})")
        w.inside(f"while {going} & ({turn} < {limit.name}):", body)
        w.work += outer_work
        self.values.update(zip(bound.results, targets, strict=True))

    def turn(self, targets: Sequence[Any], contents: Sequence[Any]) -> None:
        """The values of the next turn, all at once: what another target still holds goes through a temporary first."""
        w = self.writer
        held = {e.name for t in targets for e in (t.elements if isinstance(t, Cells) else (t,) if isinstance(t, Element) else ())}
        roots = {t.root for t in targets if isinstance(t, Memory)}
        ready: list[Any] = []
        for target, content in zip(targets, contents, strict=True):
            new = content
            if isinstance(content, Cells) and isinstance(target, Cells) and content.elements != target.elements:
                new = Cells(content.dtype, content.shape, tuple(w.assign(e.name, e.dtype) if e.name in held else e for e in content.elements))
            elif isinstance(content, Memory) and content is not target and content.root in roots:
                new = w.allocate(content.dtype, content.shape)
                w.copy(new, content)
            elif isinstance(content, Element) and content.name in held and content is not target:
                new = w.assign(content.name, content.dtype)
            ready.append(new)
        for target, content in zip(targets, ready, strict=True):
            if isinstance(target, Items) and isinstance(content, Items) and content is not target:
                self.move(target, content)
                target.spent = False
            else:
                self.move(target, content)


def _shaped(content: Tensor, shape: Shape) -> Tensor:
    """A tensor with the shape in which it takes part in broadcasting: ones at its end."""
    if content.shape == shape:
        return content
    if isinstance(content, Cells):
        return Cells(content.dtype, shape, content.elements)
    more = len(shape) - len(content.shape)
    return Memory(content.dtype, shape, (*content.strides, *(0,) * more), content.pointer, content.offset, content.root, content.base)


def _needed(binding: Binding) -> list[BoundOp]:
    """The ops whose results somebody reads, or that may raise."""
    live: set[Value] = set(binding.results)
    kept: list[BoundOp] = []
    for bound in reversed(binding.ops):
        if bound.op.regions or bound.name == "check" or any(r in live for r in bound.results):
            kept.append(bound)
            live.update(bound.reads)
    return kept[::-1]


def print_routine(cluster: Cluster, types: Mapping[Value, Type], constants: Mapping[Value, Any]) -> Routine:
    """The routine of a cluster. Unprintable if something in it has no native form."""
    writer = Writer()
    writer.integers += [None] * WORDS
    printer = _Printer(writer)
    given: list[Given] = []
    for value in cluster.inputs:
        kind = types[value]
        if isinstance(kind, TensorType):
            if not is_static(kind) or kind.dtype.name not in CONVERSIONS:
                raise Unprintable("an input without a known size")
            shape: Shape = kind.shape  # type: ignore[assignment]
            word = writer.word()
            given.append(Given(("n", word), kind.dtype.name, shape))
            printer.values[value] = writer.settled(writer.memory(kind.dtype.name, shape, f"n[{word}]"))
        elif kind in (FLOAT, BOOL) or isinstance(kind, IntType):
            dtype = "float64" if kind == FLOAT else "bool" if kind == BOOL else "int64"
            if kind == FLOAT:
                writer.floats.append(None)
                place = "c", len(writer.floats) - 1
            else:
                place = "n", writer.word()
            given.append(Given(place, dtype, None))
            printer.values[value] = writer.from_table(*place, dtype)
        else:
            raise Unprintable("an input that is no number")
    printer.region(Binding(cluster.ops, types, constants, cluster.outputs))
    answers = tuple(_answer(writer, printer.values[value]) for value in cluster.outputs)
    writer.put("return 0")
    rooms = tuple((*room, b.dtype or "float32", b.shape or ()) for room, b in zip(writer.rooms, writer.buffers, strict=True))
    head = [f"u0 = n[{FUEL}]", *writer.head]
    source = "\n".join(["def kernel(n, c):", *(f"    {line}" for line in head), *writer.lines]) + "\n"
    return Routine(source, writer.integers, writer.floats, tuple(given), answers, rooms, writer.scratch, tuple(printer.loops))


def _answer(w: Writer, content: Any) -> Answer:
    """Write an output where the caller looks for it."""
    if isinstance(content, Stacked | Items):
        items = content.items if isinstance(content, Stacked) else content
        word = w.word()
        w.put(f"n[{word}] = {w.scalar(items.length, 'int64').name}")
        return Answer(("n", word), items.buffer.dtype, items.buffer.shape, items.buffer.number, isinstance(content, Stacked))
    if isinstance(content, Cells | Memory):
        word = w.word()
        target = w.memory(content.dtype, content.shape, f"n[{word}]")
        w.copy(target, content)
        return Answer(("n", word), content.dtype, content.shape)
    dtype = arithmetic.dtype_of(content)
    element = w.scalar(content, dtype)
    if dtype == "float64":
        w.floats.append(None)
        w.put(f"c[{len(w.floats) - 1}] = {element.name}")
        return Answer(("c", len(w.floats) - 1), dtype, None)
    word = w.word()
    w.put(f"n[{word}] = {w.convert(element, 'int64').name}")
    return Answer(("n", word), dtype, None)
