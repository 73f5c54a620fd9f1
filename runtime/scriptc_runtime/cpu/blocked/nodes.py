"""A cluster in the kernels' terms: what follows a convolution is folded into it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scriptc.ir.graph import Value
from scriptc.records import Record, field
from scriptc_runtime.cpu.blocked.support import ACTIVATIONS, PLAIN_RESULTS, plane_shape
from scriptc_runtime.cpu.tiles.commands import NO_LIMITS, Function, Limits, Window
from scriptc_runtime.cpu.tiles.geometry import COMBINATIONS, FUNCTIONS
from scriptc_runtime.cpu.tiles.gradient_commands import has_gaps
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.clusters import Cluster

FUNCTION_PLACES = {name: place for place, name in enumerate(FUNCTIONS)}
COMBINATION_PLACES = {name: place for place, name in enumerate(COMBINATIONS)}


# Ops whose commands can add a residual and limit what they write.
ENDED = frozenset(("convolution", "conv_transpose", "batch_norm", "batch_norm_train", "convolution_input_gradient"))
FUNCTIONAL = frozenset(("convolution", "conv_transpose"))       # ... and apply a function of each element
TWO_ACTIVATIONS = frozenset(("convolution_weight_gradient", "batch_norm_gradient", "max_pool_gradient"))


class Node(Record, frozen=False):
    """One kernel call: an op, the values it reads from activations, what is folded into it, and the value it makes."""

    op: BoundOp
    inputs: list[Value]
    result: Value | None
    norms: list[BoundOp] = field(default_factory=list)
    residual: Value | None = None
    limits: Limits = NO_LIMITS
    function: Function | None = None
    mask: tuple[Value, Limits] | None = None      # an activation and the limits within which the gradient passes

    @property
    def kind(self) -> str:
        return self.op.name

    @property
    def is_open(self) -> bool:
        """True while nothing stands behind the product: another normalisation can be folded."""
        return self.residual is None and self.limits == NO_LIMITS and self.function is None

    @property
    def reads(self) -> list[Value]:
        return [*self.inputs, *([self.residual] if self.residual is not None else []), *([self.mask[0]] if self.mask is not None else [])]


def limits_of(bound: BoundOp) -> Limits | None:
    """The interval an activation limits its input to, if that is all it does."""
    if bound.name == "relu":
        return 0.0, float("inf")
    attributes: Mapping[str, Any] = bound.op.attributes
    if bound.name == "hardtanh":
        return float(attributes["min_value"]), float(attributes["max_value"])
    return None


def passing_limits(bound: BoundOp) -> Limits:
    """The interval within which a `clamp_gradient` lets the gradient pass."""
    attributes: Mapping[str, Any] = bound.op.attributes
    return float(attributes["low"]), float("inf") if attributes["high"] is None else float(attributes["high"])


def function_of(bound: BoundOp) -> Function:
    """The function of an activation, with its parameters."""
    attributes: Mapping[str, Any] = bound.op.attributes
    if bound.name == "gelu":
        return FUNCTION_PLACES["gelu_tanh" if attributes["approximate"] == "tanh" else "gelu"], (0.0, 0.0)
    limits = limits_of(bound)
    if limits is not None:
        return FUNCTION_PLACES["clamp"], limits
    first = attributes.get("negative_slope", attributes.get("alpha", 0.0))
    return FUNCTION_PLACES[bound.name], (float(first), 0.0)


def nodes_of(cluster: Cluster) -> list[Node]:
    """The cluster's ops as nodes, in order. A value that something else reads too stays a node's own result."""
    uses: dict[Value, int] = {}
    for bound in cluster.ops:
        for value in bound.operands:
            uses[value] = uses.get(value, 0) + 1
    for value in cluster.outputs:
        uses[value] = uses.get(value, 0) + 2
    makers: dict[Value, Node] = {}
    nodes: list[Node] = []

    def foldable(value: Value) -> Node | None:
        node = makers.get(value)
        return node if node is not None and uses[value] == 1 else None

    for bound in cluster.ops:
        result, x = bound.results[0], bound.operands[0]
        node = foldable(x)
        convolves = node is not None and node.kind in ("convolution", "conv_transpose", "batch_norm")
        if bound.name == "batch_norm" and node is not None and convolves and node.is_open:
            node.norms.append(bound)
        elif bound.name == "add" and (folded := _folded_sum(bound, foldable, nodes)) is not None:
            node = folded
        elif limits_of(bound) is not None and node is not None and node.limits == NO_LIMITS and node.function is None \
                and (node.kind in ENDED or node.kind in COMBINATION_PLACES):
            node.limits = limits_of(bound) or NO_LIMITS
        elif bound.name in ACTIVATIONS and node is not None and node.kind in FUNCTIONAL and node.limits == NO_LIMITS \
                and node.function is None:
            node.function = function_of(bound)
        else:
            masking = node if node is not None and node.kind == "clamp_gradient" and bound.name == "batch_norm_gradient" else None
            unread = bound.name == "batch_norm_gradient" and result not in uses
            node = Node(bound, _data(bound), None if bound.name in PLAIN_RESULTS or unread else result)
            if bound.name == "batch_norm":
                node.norms.append(bound)
            elif bound.name == "clamp_gradient":
                node.limits = passing_limits(bound)
            if masking is not None:
                nodes.remove(masking)
                node.inputs[0], node.mask = masking.inputs[0], (masking.inputs[1], masking.limits)
            nodes.append(node)
        if node.result is not None:
            node.result = result
            makers[result] = node
    return nodes


def _data(bound: BoundOp) -> list[Value]:
    """The operands that are activations."""
    if bound.name in COMBINATION_PLACES or bound.name == "cat":
        return list(bound.operands)
    return list(bound.operands[:2 if bound.name in TWO_ACTIVATIONS else 1])


def _has_gaps(node: Node) -> bool:
    """True for an input gradient that no product makes at some places."""
    return node.kind == "convolution_input_gradient" and has_gaps(convolution_window(node.op))


def convolution_window(bound: BoundOp) -> Window:
    """The window of a convolution, or of the convolution that this is a gradient of."""
    attributes: Any = bound.op.attributes
    weight = plane_shape(bound.operand_types[2 if bound.name == "convolution_weight_gradient" else 1])
    assert weight is not None
    return Window((weight[2], weight[3]), *(two(attributes[name], missing) for name, missing in
                                            (("stride", 1), ("padding", 0), ("dilation", 1))))


def pool_window(bound: BoundOp) -> Window:
    """The window of a pool, or of the pool that this is the gradient of."""
    attributes: Any = bound.op.attributes
    return Window(two(attributes["kernel_size"], 1), two(attributes["stride"], 1), two(attributes["padding"], 0),
                  two(attributes.get("dilation", (1,)), 1))


def two(sizes: Sequence[int], missing: int) -> tuple[int, int]:
    """Sizes for lines and columns; a sequence has one line."""
    return (missing, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _folded_sum(bound: BoundOp, foldable: Any, nodes: list[Node]) -> Node | None:
    """The convolution that can add the other operand at its end: the later one, of two of the same shape."""
    if bound.operand_types[0].shape != bound.operand_types[1].shape or bound.operands[0] is bound.operands[1]:  # type: ignore[union-attr]
        return None
    found: Node | None = None
    for value, other in (bound.operands, bound.operands[::-1]):
        node = foldable(value)
        if node is None or node.kind not in ENDED or not node.is_open or _has_gaps(node):
            continue
        maker = next((index for index, n in enumerate(nodes) if n.result is other), -1)
        if maker < nodes.index(node) and (found is None or nodes.index(node) > nodes.index(found)):
            node_other = other
            found = node
    if found is not None:
        found.residual = node_other
    return found


def ops_by_node(cluster: Cluster, nodes: Sequence[Node]) -> dict[int, tuple[BoundOp, ...]]:
    """For each node, by its number, its op and all that was folded into it."""
    owners = {node.result: number for number, node in enumerate(nodes)}
    found: dict[int, list[BoundOp]] = {}
    for bound in reversed(cluster.ops):     # what is folded into a node is read by something of the node
        number = next((owners[r] for r in bound.results if r in owners), None)
        if number is None:
            continue
        found.setdefault(number, []).append(bound)
        if bound is not nodes[number].op:
            for value in bound.operands:
                owners.setdefault(value, number)
    return {number: tuple(reversed(ops)) for number, ops in found.items()}
