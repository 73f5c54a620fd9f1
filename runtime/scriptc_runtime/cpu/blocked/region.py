"""A cluster as one kernel: layouts, memory, packed weights, and the list of commands that the tile library runs."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.ir.graph import Literal, Value
from scriptc.ir.types import TensorType
from scriptc.records import Record
from scriptc_runtime import versions
from scriptc_runtime.cpu import packs, team
from scriptc_runtime.cpu.blocked import training
from scriptc_runtime.cpu.blocked.algorithms import algorithm
from scriptc_runtime.cpu.blocked.bands import Bands, Chain, Stage, chains
from scriptc_runtime.cpu.blocked.nodes import (
    COMBINATION_PLACES,
    Node,
    convolution_window,
    function_of,
    nodes_of,
    ops_by_node,
    pool_window,
)
from scriptc_runtime.cpu.blocked.support import Supported, is_worth, plane_shape, unit_of, work_of
from scriptc_runtime.cpu.driver.native import In, Native, Out, Packed
from scriptc_runtime.cpu.packs import Pack
from scriptc_runtime.cpu.tiles import commands, gradient_commands, layouts, library
from scriptc_runtime.cpu.tiles.commands import At, Command, Operands, Part, Window, Word
from scriptc_runtime.cpu.tiles.geometry import LANES
from scriptc_runtime.cpu.tiles.layouts import Layout
from scriptc_runtime.cpu.tiles.parts import parts_of
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.clusters import Cluster
from scriptc_runtime.plan.lowering import lowers_clusters
from scriptc_runtime.plan.memory import Lifetime, plan_arena
from scriptc_runtime.plan.plan import Kernel, aligned_bytes


class Weights(Record):
    """The packed weights of one node: which inputs they are made of, and how; `way` tells it from other ways."""

    inputs: tuple[int, ...]
    pack: Callable[..., tuple[np.ndarray, np.ndarray]]
    way: Hashable


class Step(Record, frozen=False):
    """One command and the node it belongs to."""

    command: Command
    node: int


class Instance(Record, frozen=False):
    """Memory and tables of one running call."""

    arena: np.ndarray
    tables: list[np.ndarray]
    calls: np.ndarray
    packed: tuple[np.ndarray, ...] = ()


class Region:
    """Runs a cluster. `fallback` computes the same on plain arrays while the tile library is being compiled."""

    def __init__(self, cluster: Cluster, fallback: Callable[[], Callable[..., list[Any]]]) -> None:
        self.cluster = cluster
        self._make_fallback = fallback
        self._fallback: Callable[..., list[Any]] | None = None
        self._places = {value: index for index, value in enumerate(cluster.inputs)}
        self.nodes = nodes_of(cluster)
        # Where a cluster trains, weights change from call to call: they are packed by commands of the plan. An input gradient alone may be a
        # transposed convolution.
        self.trains = any(node.kind in training.KINDS and node.kind not in ("sum", "convolution_input_gradient") for node in self.nodes)
        self.sizes: dict[object, Callable[[int], int]] = {}     # bytes of working memory for so many threads
        self.layouts: dict[Value, Layout] = {}
        self.weights: dict[int, Weights] = {}
        self.steps: list[Step] = []
        self._free: list[Instance] = []
        self._packed: tuple[bool, tuple[np.ndarray, ...], tuple[np.ndarray, ...], tuple[int | None, ...]] | None = None
        self._plain_shapes = {value: kind.shape for bound in cluster.ops for value, kind in zip(bound.operands, bound.operand_types, strict=True)
                              if isinstance(kind, TensorType)}
        self._read = {value for bound in cluster.ops for value in bound.operands} | set(cluster.outputs)
        self.work = work_of(cluster)
        self.threads = team.get_num_threads() if self.work >= team.ENOUGH else 1
        self._choose_layouts()
        self._build()
        self._find_words()
        self.kernels = tuple(dict.fromkeys(step.command.kernel for step in self.steps))
        self.parts_needed = parts_of(*self.kernels)

    def _shape(self, value: Value) -> tuple[int, int, int, int]:
        for bound in self.cluster.ops:
            for values, kinds in ((bound.results, bound.result_types), (bound.operands, bound.operand_types)):
                for other, kind in zip(values, kinds, strict=True):
                    if other is value:
                        shape = plane_shape(kind)
                        assert shape is not None
                        return shape
        raise AssertionError

    def plain(self, value: Value) -> At | None:
        """Where a parameter, or a result that is no activation, lies; None if nobody reads it."""
        if value not in self._read:
            return None
        name = ("plain", value)
        if value not in self._places and value not in self.cluster.outputs:
            size = 4 * math.prod(self._plain_shapes[value])    # type: ignore[arg-type]
            self.sizes[name] = lambda threads: size
        return At(name)

    def _how(self, node: Node) -> str:
        return algorithm(node, self._packs_within(node))

    def _packs_within(self, node: Node) -> bool:
        """True if the weight of a convolution is packed by commands."""
        attributes: Any = node.op.op.attributes
        return self.trains and node.kind == "convolution" and not node.norms and attributes["groups"] in (1, self._shape(node.inputs[0])[1])

    def _choose_layouts(self) -> None:
        """The border of each value is the widest that one of its readers wants."""
        activations = dict.fromkeys(v for node in self.nodes for v in (*node.reads, node.result) if v is not None)
        shapes = {v: self._shape(v) for v in activations}
        borders: dict[Value, list[int]] = {v: [0, 0, 0, 0] for v in activations}
        blocked: set[Value] = {node.result for node in self.nodes if node.result is not None}

        def widen(value: Value, sides: Sequence[int]) -> None:
            borders[value] = [max(a, b) for a, b in zip(borders[value], sides, strict=True)]

        for node in self.nodes:
            around = training.read_border(node, shapes)
            if around is not None:
                widen(*around)
            if node.kind == "convolution_weight_gradient" and node.op.op.attributes["groups"] == 1:
                blocked.add(node.inputs[0])
                continue
            if node.kind == "conv_transpose":
                made, read = self._shape(node.op.results[0]), shapes[node.inputs[0]]
                widen(node.inputs[0], gradient_commands.gradient_border(made[2:], read[2:], convolution_window(node.op)))
            if node.kind != "convolution":
                blocked.update(node.reads)
                continue
            how = self._how(node)
            if how != "direct":
                blocked.update(node.inputs)
            blocked.update(node.reads[len(node.inputs):])
            window = convolution_window(node.op)
            n, c, h, w = self._shape(node.op.results[0])
            sides = [*window.padding, *window.padding]
            if how.startswith("winograd"):
                sides[2:] = commands.winograd_border(Layout(n, c, h, w), int(how[-1]), window.padding)
            widen(node.inputs[0], sides)
        # A residual is read with the offsets of the result: both get the same border.
        changed = True
        while changed:
            changed = False
            for node in self.nodes:
                if node.residual is not None and node.result is not None:
                    first, second = borders[node.residual], borders[node.result]
                    if first != second:
                        borders[node.residual] = borders[node.result] = [max(a, b) for a, b in zip(first, second, strict=True)]
                        changed = True
        for value, shape in shapes.items():
            narrow = layouts.narrow_channels(shape[1]) if value not in blocked else 0
            top, left, bottom, right = borders[value]
            self.layouts[value] = Layout(*shape, top, left, bottom, right, narrow)

    def _build(self) -> None:
        for value in self.cluster.inputs:
            if value in self.layouts:
                self.steps.append(Step(commands.enter(("plain", value), value, self.layouts[value]), -1))
        self._chains = self._found_chains()
        inside = {number for chain in self._chains.values() for number in chain.numbers[:-1]}
        for index, node in enumerate(self.nodes):
            if index in inside:
                continue
            for command in self._chain(index) if index in self._chains else self._commands(index, node):
                self.steps.append(Step(command, index))
            if node.result is not None and (layout := self.layouts[node.result]).has_border:
                self.steps.append(Step(commands.border(node.result, layout), index))
        for value in self.cluster.outputs:
            if value not in self.layouts:
                continue
            self.steps.append(Step(commands.leave(value, self.layouts[value], ("plain", value)), len(self.nodes)))
        self.offsets, self.arena_size = self._place_buffers(self.threads)

    def _found_chains(self) -> dict[int, Chain]:
        """The chains of nodes that run band by band, by their last node's number."""
        if self.trains:
            return {}
        found = chains(self.nodes, lambda node: self._how(node) if node.kind == "convolution" else None, self.layouts, set(self.cluster.outputs))
        return {chain.numbers[-1]: chain for chain in found}

    def _chain(self, index: int) -> list[Command]:
        """The commands of a chain."""
        nodes = {number: self.nodes[number] for number in self._chains[index].numbers}
        stages = []
        for number, node in nodes.items():
            self.weights[number] = self._packing(node, self._how(node), self.layouts[node.inputs[0]])
            weight = plane_shape(node.op.operand_types[1])
            assert weight is not None
            stages.append(Stage(_operands(number, node), convolution_window(node.op), 4 * math.prod(weight)))
        first, last = stages[0].operands, stages[-1].operands
        plan = Bands(tuple(stages), self.layouts[first.x], self.layouts[first.y], self.layouts[last.y], ("bands", index), self.threads)  # type: ignore[index]
        size = plan.parts * plan.part_bytes
        self.sizes["bands", index] = lambda threads: size
        return plan.commands()

    def _commands(self, index: int, node: Node) -> list[Command]:
        if node.kind in training.KINDS:
            return training.commands_of(self, index, node)
        assert node.result is not None
        target = self.layouts[node.result]
        x = node.inputs[0]
        source = self.layouts[x]
        if node.kind in ("convolution", "batch_norm"):
            return self._convolution(index, node, source, target)
        if node.kind == "conv_transpose":
            self.weights[index] = self._packing(node, "transposed", source)
            return gradient_commands.input_gradient(_operands(index, node), source, target, convolution_window(node.op), training.weight_shape(node))
        if node.kind in COMBINATION_PLACES:
            other = node.inputs[1]
            return [commands.binary(x, source, other, self.layouts[other], node.result, target, COMBINATION_PLACES[node.kind], node.limits)]
        if node.kind == "cat":
            return self._cat(node, target)
        if node.kind == "adaptive_avg_pool":
            return [commands.adaptive_pool(x, source, node.result, target)]
        if node.kind in ("max_pool", "avg_pool"):
            average = node.kind == "avg_pool"
            counts = bool(node.op.op.attributes.get("count_include_pad", True))
            return [commands.pool(x, source, node.result, target, pool_window(node.op), average, counts)]
        return [commands.apply(x, source, node.result, target, *function_of(node.op))]

    def _cat(self, node: Node, target: Layout) -> list[Command]:
        """A copy per operand, to its first block."""
        made, first = [], 0
        for value in node.inputs:
            source = self.layouts[value]
            part = Layout(source.images, source.channels, source.height, source.width, target.top, target.left, target.bottom, target.right)
            command = commands.apply(value, source, node.result, part, 0, commands.NO_LIMITS)
            words = list(command.words)
            words[4] = commands.At(node.result, target.inside + first * target.block_bytes)
            words[7] = target.image_bytes
            made.append(Command(command.kernel, words))
            first += source.blocks
        return made

    def _convolution(self, index: int, node: Node, source: Layout, target: Layout) -> list[Command]:
        how = self._how(node)
        packing: list[Command] = []
        operands = _operands(index, node)
        if self._packs_within(node):
            bias, packing = training.packed_bias(self, index, node)
            operands = operands._replace(weight=("packed", index), bias=bias)
            packing += training.packed_forward(self, index, node, how, source.narrow or LANES)
        else:
            self.weights[index] = self._packing(node, how, source)
        return packing + self._product(index, node, operands, how, source, target)

    def _product(self, index: int, node: Node, operands: Operands, how: str, source: Layout, target: Layout) -> list[Command]:
        if node.kind == "batch_norm":
            return [commands.depthwise(operands, source, target, Window((1, 1)))]
        window = convolution_window(node.op)
        if how == "depthwise":
            return [commands.depthwise(operands, source, target, window)]
        if how == "direct":
            shape = plane_shape(node.op.operand_types[1])
            assert shape is not None
            return [commands.direct(operands, source, target, window, int(np.prod(shape)) * 4)]
        if how == "grouped":
            return self._groups(node, operands, source, target, window)
        m = int(how[-1])
        self.sizes["scratch", index] = lambda threads: commands.winograd_scratch(source, target, m, threads)
        made = commands.winograd(operands, source, target, window, m, ("scratch", index))
        return made if node.function is None else [*made, commands.apply(node.result, target, node.result, target, *node.function)]

    def _groups(self, node: Node, operands: Operands, source: Layout, target: Layout, window: Window) -> list[Command]:
        """A command per unit of channels that belong together."""
        unit = unit_of(node.op.op.attributes["groups"], source.channels, target.channels)  # type: ignore[arg-type]
        units = source.channels // unit
        made = target.channels // units
        size = unit * window.size[0] * window.size[1] * made * 4
        return [commands.direct(operands, source, target, window, size,
                                Part(u * unit // LANES, unit // LANES, u * made // LANES, made // LANES, u * size)) for u in range(units)]

    def _packing(self, node: Node, how: str, source: Layout) -> Weights:
        """Which inputs the node's weights come from, and what is made of them: normalisations are folded in."""
        parameters: list[Value] = []

        def place(value: Value) -> int:
            if isinstance(value, Literal):
                return -1
            if value not in parameters:
                parameters.append(value)
            return parameters.index(value)

        base = (place(node.op.operands[1]), place(node.op.operands[2])) if node.kind != "batch_norm" else (-1, -1)
        norms = [(*map(place, norm.operands[1:]), float(norm.op.attributes["eps"])) for norm in node.norms]  # type: ignore[arg-type]
        channels = self._shape(node.op.results[0])[1]
        narrow = source.narrow
        taps = gradient_commands.taps_of(self._shape(node.op.results[0])[2:], convolution_window(node.op)) if how == "transposed" else []

        def pack(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            weight = arrays[base[0]] if base[0] >= 0 else np.ones((channels, 1, 1, 1), np.float32)
            bias = arrays[base[1]].astype(np.float64) if base[1] >= 0 else np.zeros(channels)
            scale = np.ones(channels)
            for mean, var, gamma, beta, eps in norms:
                factor = 1.0 / np.sqrt(arrays[int(var)].astype(np.float64) + eps)
                if gamma >= 0:
                    factor = factor * arrays[int(gamma)]
                bias = (bias - arrays[int(mean)]) * factor + (arrays[int(beta)] if beta >= 0 else 0.0)
                scale = scale * factor
            weight = weight.reshape(weight.shape[0], weight.shape[1], -1, weight.shape[-1])
            factors = scale if norms else None
            if how == "transposed":
                packed = layouts.pack_transposed(weight, taps, factors)
            elif how == "direct":
                packed = layouts.pack_direct(weight, narrow, factors)
            elif how.startswith("winograd"):
                packed = layouts.pack_winograd(weight, int(how[-1]), factors)
            else:
                scaled = weight if factors is None else (weight * factors[:, None, None, None]).astype(np.float32)
                groups = int(node.op.op.attributes.get("groups", 1))  # type: ignore[arg-type]
                packed = layouts.pack_depthwise(scaled) if how == "depthwise" else \
                    layouts.pack_groups(scaled, groups, unit_of(groups, source.channels, channels))
            return packed, layouts.pack_bias(bias.astype(np.float32), channels)

        way = "region", how, narrow, channels, source.channels, node.op.op.attributes.get("groups"), base, tuple(norms), \
            tuple(map(tuple, taps))
        return Weights(tuple(self._places[v] for v in parameters), pack, way)

    def _place_buffers(self, threads: int) -> tuple[dict[object, int], int]:
        """Offsets in an arena for so many threads, and its size; scratch memory lives for one step."""
        starts: dict[object, int] = {}
        ends: dict[object, int] = {}
        sizes: dict[object, int] = {}
        for number, step in enumerate(self.steps):
            for value in step.command.needs():
                if isinstance(value, tuple) and value not in self.sizes:
                    continue
                starts.setdefault(value, number)
                ends[value] = number
                sizes[value] = self.sizes[value](threads) if value in self.sizes else self.layouts[value].nbytes  # type: ignore[index]
        order = sorted(starts, key=lambda v: starts[v])
        offsets, size = plan_arena([Lifetime(sizes[v], starts[v], ends[v]) for v in order])
        return dict(zip(order, offsets, strict=True)), size

    # Running.

    def _instance(self) -> Instance:
        arena = aligned_bytes(self.arena_size)
        base = arena.ctypes.data
        addresses: dict[object, int] = {value: base + offset for value, offset in self.offsets.items()}
        for value in (*self.cluster.inputs, *self.cluster.outputs):
            addresses["plain", value] = 0
        for index in self.weights:
            addresses["weight", index] = addresses["bias", index] = 0
        tables = [step.command.table(addresses) for step in self.steps]
        calls = np.array([(library.place(s.command.kernel), t.ctypes.data) for s, t in zip(self.steps, tables, strict=True)], np.int64)
        return Instance(arena, tables, calls)

    def pack(self, operands: Sequence[np.ndarray] | Mapping[int, np.ndarray]) -> tuple[np.ndarray, ...]:
        """The packed weights and biases of every node for these parameters; the same tuple while they have not changed."""
        known = self._packed
        if known is not None and known[0] and all(operands[i] is array for i, array in zip(self.parameters, known[1], strict=True)):
            return known[2]
        counts = tuple(versions.version(operands[i]) for i in self.parameters)
        arrays = tuple(operands[i] for i in self.parameters)
        if known is not None and None not in counts and counts == known[3] and all(a is b for a, b in zip(arrays, known[1], strict=True)):
            return known[2]
        makers = [functools.partial(self._pack, weights, [operands[i] for i in weights.inputs]) for weights in self.weights.values()]
        self._packs = packs.together(makers, sum(a.nbytes for a in arrays), team.get_num_threads())
        packed = tuple(part for pack in self._packs for part in pack.made)
        frozen = all(map(versions.is_frozen, arrays))
        self._packed = frozen, arrays, packed, counts
        return packed

    def _pack(self, weights: Weights, arrays: Sequence[np.ndarray]) -> Pack:
        return packs.packed(weights.way, arrays, lambda: weights.pack(*arrays))

    def _fill(self, instance: Instance, operands: Sequence[np.ndarray], out: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Put the addresses of this call's arrays into the tables; answers with arrays to keep alive."""
        held: list[np.ndarray] = []
        for place, shape, words in self._entries:
            kept = np.ascontiguousarray(operands[place], np.float32)
            if kept.shape != shape:
                raise RuntimeError(f"a kernel for {shape} was called with {kept.shape}")
            held.append(kept)
            for step, word, offset in words:
                instance.tables[step][word] = kept.ctypes.data + offset
        for array, words in zip(out, self._exits, strict=True):
            for step, word, offset in words:
                instance.tables[step][word] = array.ctypes.data + offset
        packed = self.pack(operands)
        if packed is not instance.packed:
            for array, places in zip(packed, self._weight_words, strict=True):
                for step, word, offset in places:
                    instance.tables[step][word] = array.ctypes.data + offset
            instance.packed = packed
        return held

    def linked(self, threads: int) -> list[Command]:
        """The commands in memory of their own for so many threads, in terms of operands, results and packed arrays."""
        offsets, size = self._place_buffers(threads)
        arena = aligned_bytes(size)
        names: dict[object, object] = {("plain", value): In(place) for value, place in self._places.items()}
        names.update((("plain", value), Out(place)) for place, value in enumerate(self.cluster.outputs))
        for number, index in enumerate(self.weights):
            names["weight", index], names["bias", index] = Packed(2 * number), Packed(2 * number + 1)

        def place(word: Word) -> Word:
            if not isinstance(word, commands.At):
                return word
            start = offsets.get(word.value)
            return commands.At(names[word.value], word.offset) if start is None else arena[start + word.offset:]

        return [Command(step.command.kernel, [place(word) for word in step.command.words]) for step in self.steps]

    def _find_words(self) -> None:
        """Where in the tables the addresses of plain arrays and of weights stand."""
        found: dict[object, list[tuple[int, int, int]]] = {}
        for number, step in enumerate(self.steps):
            for place, word in enumerate(step.command.words):
                if isinstance(word, commands.At) and isinstance(word.value, tuple):
                    found.setdefault(word.value, []).append((number, place, word.offset))
        self._entries = [(index, value_shape, found["plain", value]) for index, value in enumerate(self.cluster.inputs)
                         if ("plain", value) in found and (value_shape := self._plain_shapes[value])]
        self._exits = [found["plain", value] for value in self.cluster.outputs]
        self._weight_words = [found[kind, index] for index in self.weights for kind in ("weight", "bias")]
        self.parameters = tuple(dict.fromkeys(i for weights in self.weights.values() for i in weights.inputs))
        self.unread = frozenset(self._places.values()) - {place for place, _, _ in self._entries} - set(self.parameters)

    def parts(self, *operands: np.ndarray, out: tuple[np.ndarray, ...]) -> Iterator[tuple[tuple[BoundOp, ...], Callable[[], None]]]:
        """The commands of each node, for a profile; first and last the changes of layout, which no op stands for."""
        entry, instance = library.entry(), self._instance()
        held = self._fill(instance, operands, out)
        threads = min(self.threads, team.get_num_threads())
        folded = ops_by_node(self.cluster, self.nodes)
        for index in range(-1, len(self.nodes) + 1):
            calls = np.ascontiguousarray(instance.calls[[number for number, step in enumerate(self.steps) if step.node == index]])
            if len(calls):
                chain = self._chains[index].numbers if index in self._chains else (index,)
                yield tuple(bound for number in chain for bound in folded.get(number, ())), functools.partial(team.run, entry, calls, threads)
        del held

    def __call__(self, *operands: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        entry = library.ready(self.work, self.parts_needed)
        if entry is None:
            if self._fallback is None:
                self._fallback = self._make_fallback()
            for buffer, result in zip(out, self._fallback(*operands), strict=True):
                np.copyto(buffer, result)
            return
        try:
            instance = self._free.pop()
        except IndexError:
            instance = self._instance()
        try:
            held = self._fill(instance, operands, out)
            team.run(entry, instance.calls, min(self.threads, team.get_num_threads()))
            del held
        finally:
            self._free.append(instance)


def _operands(index: int, node: Node) -> Operands:
    """Of a convolution whose weight has been packed."""
    return Operands(node.inputs[0], ("weight", index), ("bias", index), node.result, node.residual, node.limits, node.function)


class NativeRegion(Native):
    """A region as commands."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self.work = region.work
        self.kernels = region.kernels
        self.packs = region.parameters

    def takes(self, index: int, operand: np.ndarray) -> bool:
        """Planes and parameters; an operand that stands for a shape may lie as it likes."""
        return index in self._region.unread or super().takes(index, operand)

    def pack(self, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Weights and bias of each node."""
        whole = dict(zip(self.packs, operands, strict=True))
        return self._region.pack(whole)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """The region's commands: they read whole planes."""
        return self._region.linked(threads)


@lowers_clusters("cpu", supports=Supported, worth=is_worth)
def lower_cluster(cluster: Cluster, fallback: Callable[[], Callable[..., list[Any]]]) -> Kernel:
    """The kernel of a cluster: it fills one buffer per output."""
    region = Region(cluster, fallback)
    return Kernel("blocked", region, writes_out=True, fresh=True, native=NativeRegion(region))
