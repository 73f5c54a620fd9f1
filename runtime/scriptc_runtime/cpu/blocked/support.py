"""Which ops can run on blocked activations, and when that pays."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from scriptc.ir.graph import Literal, Value
from scriptc.ir.types import TensorType, float32
from scriptc_runtime.cpu.tiles.geometry import LANES
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.clusters import Cluster

ENOUGH = 200_000      # multiplications of its convolutions that pay for a cluster's conversions
ACTIVATIONS = frozenset(("relu", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "silu", "tanh", "gelu", "leaky_relu", "elu"))
BINARY = frozenset(("add", "sub", "mul", "clamp_gradient"))
PER_ELEMENT = 4       # multiplications that pay for the conversion of one element: without blocks each op would pass over it in memory


def plane_shape(kind: object) -> tuple[int, int, int, int] | None:
    """[N, C, H, W] of a float32 activation without empty dimensions, [N, C, L] as [N, C, 1, L]; None for anything else."""
    if not isinstance(kind, TensorType) or kind.dtype is not float32 or not is_static(kind) or kind.rank not in (3, 4):
        return None
    shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
    return (*shape[:2], *((1,) * (4 - len(shape))), *shape[2:]) if all(shape) else None  # type: ignore[return-value]


def unit_of(groups: int, channels: int, out: int) -> int:
    """How many input channels a grouped convolution takes at a time: of as few groups as make whole blocks, 0 if none do.

    Of the weights between the groups of a unit, which are zero, most are multiplied all the same.
    """
    inside, made = channels // groups, out // groups
    together = math.lcm(LANES // math.gcd(inside, LANES), LANES // math.gcd(made, LANES))
    return inside * together if groups % together == 0 else 0


def is_activation(bound: BoundOp) -> bool:
    """True for an activation that the kernels know, with these attributes."""
    attributes = bound.op.attributes
    return bound.name in ACTIVATIONS and (bound.name != "elu" or (attributes["scale"] == 1.0 and attributes["input_scale"] == 1.0))


class Supported:
    """The `supports` of one program: elementwise ops take part where they continue what a convolution began."""

    def __init__(self) -> None:
        self.activations: dict[Value, bool] = {}

    def __call__(self, bound: BoundOp) -> bool:
        accepted = self._accepts(bound)
        if accepted and bound.name not in PLAIN_RESULTS:
            self.activations[bound.results[0]] = True
        return accepted

    def _accepts(self, bound: BoundOp) -> bool:
        if bound.name in _TRAINING:
            return _TRAINING[bound.name](self, bound)
        if len(bound.results) != 1 or plane_shape(bound.result_types[0]) is None or plane_shape(bound.operand_types[0]) is None:
            return False
        if bound.result_types[0].rank != bound.operand_types[0].rank:  # type: ignore[union-attr]
            return False
        if bound.name == "convolution":
            return self._convolution(bound)
        if bound.name == "conv_transpose":
            return self._transposed(bound)
        inside = bound.operands[0] in self.activations
        if bound.name in BINARY:
            return self._binary(bound)
        if bound.name == "cat":
            return self._cat(bound)
        if not inside:
            return False
        if bound.name == "batch_norm":
            return self._plain(bound.operands[1:]) and all(is_static(k) for k, v in zip(bound.operand_types, bound.operands, strict=True)
                                                           if not isinstance(v, Literal))
        if bound.name == "avg_pool":
            return not bound.op.attributes["ceil_mode"] and bound.op.attributes["divisor_override"] is None
        return is_activation(bound) or bound.name in ("max_pool", "adaptive_avg_pool")

    def _plain(self, values: tuple[Value, ...]) -> bool:
        """True for parameters: values that no blocked op made."""
        return not any(v in self.activations for v in values)

    def _convolution(self, bound: BoundOp) -> bool:
        x, weight = plane_shape(bound.operand_types[0]), plane_shape(bound.operand_types[1])
        groups = bound.op.attributes["groups"]
        if x is None or weight is None or not self._plain(bound.operands[1:]):
            return False
        return groups == 1 or groups == x[1] == weight[0] or unit_of(groups, x[1], weight[0]) > 0  # type: ignore[arg-type]

    def _transposed(self, bound: BoundOp) -> bool:
        """One group, and no place of the result between the windows."""
        attributes: Any = bound.op.attributes
        weight: Any = plane_shape(bound.operand_types[1])
        if weight is None or attributes["groups"] != 1 or not self._plain(bound.operands[1:]):
            return False
        sizes = weight[4 - len(attributes["stride"]):]
        return all(len({k * d % s for k in range(size)}) == s for size, s, d in
                   zip(sizes, attributes["stride"], attributes["dilation"], strict=True))

    def _binary(self, bound: BoundOp) -> bool:
        result = plane_shape(bound.result_types[0])
        assert result is not None
        shapes = [plane_shape(k) for k in bound.operand_types]
        if not any(v in self.activations and s == result for v, s in zip(bound.operands, shapes, strict=True)):
            return False
        n, c, _, _ = result
        return all(s is not None and (s == result or s in ((n, c, 1, 1), (1, c, 1, 1))) for s in shapes)

    def _convolution_gradient(self, bound: BoundOp) -> bool:
        """To the input (g, weight, x) or the weight (g, x, weight): one group, or as many as channels."""
        shapes = [plane_shape(k) for k in bound.operand_types]
        to_input = bound.name == "convolution_input_gradient"
        weight = bound.operands[1 if to_input else 2]
        if None in shapes or len({k.rank for k in bound.operand_types}) > 1 or weight in self.activations:  # type: ignore[union-attr]
            return False
        x, filters = (shapes[2], shapes[1]) if to_input else (shapes[1], shapes[2])
        groups = bound.op.attributes["groups"]
        return groups == 1 or groups == x[1] == filters[0]  # type: ignore[index]

    def _norm_train(self, bound: BoundOp) -> bool:
        x = plane_shape(bound.operand_types[0])
        if x is None or bound.operands[0] not in self.activations or x[0] * x[2] * x[3] < 2:
            return False
        return self._vectors(bound, 1)

    def _norm_gradient(self, bound: BoundOp) -> bool:
        return None not in [plane_shape(k) for k in bound.operand_types[:2]] and self._vectors(bound, 2)

    def _vectors(self, bound: BoundOp, first: int) -> bool:
        """True if the operands from `first` on are parameters or statistics whose sizes are known."""
        return all(isinstance(v, Literal) or is_static(k) for v, k in zip(bound.operands[first:], bound.operand_types[first:], strict=True))

    def _pool_gradient(self, bound: BoundOp) -> bool:
        attributes = bound.op.attributes
        if bound.operands[0] not in self.activations or None in [plane_shape(k) for k in bound.operand_types[:2]]:
            return False
        return bound.name != "avg_pool_gradient" or not (attributes["ceil_mode"] or attributes["divisor_override"] is not None)

    def _channel_sum(self, bound: BoundOp) -> bool:
        """A sum that leaves only channels."""
        x = plane_shape(bound.operand_types[0])
        if x is None or bound.operands[0] not in self.activations or bound.op.attributes["keepdim"]:
            return False
        rank: int = bound.operand_types[0].rank  # type: ignore[assignment, union-attr]
        dims = bound.op.attributes["dims"]
        return dims is not None and sorted(d % rank for d in dims) == [0, *range(2, rank)]  # type: ignore[union-attr, operator]

    def _cat(self, bound: BoundOp) -> bool:
        shapes = [plane_shape(k) for k in bound.operand_types]
        if bound.op.attributes["dim"] not in (1, -3) or None in shapes or not any(v in self.activations for v in bound.operands):
            return False
        return all(s is not None and s[1] % LANES == 0 for s in shapes[:-1])


_TRAINING: dict[str, Callable[[Supported, BoundOp], bool]] = {
    "convolution_input_gradient": Supported._convolution_gradient, "convolution_weight_gradient": Supported._convolution_gradient,
    "batch_norm_train": Supported._norm_train, "batch_norm_gradient": Supported._norm_gradient,
    "max_pool_gradient": Supported._pool_gradient, "avg_pool_gradient": Supported._pool_gradient,
    "adaptive_avg_pool_gradient": Supported._pool_gradient, "sum": Supported._channel_sum,
}
PLAIN_RESULTS = frozenset(("convolution_weight_gradient", "sum"))      # of these no result is an activation


def work_of(cluster: Cluster) -> int:
    """The multiplications of its convolutions."""
    work = 0
    for bound in cluster.ops:
        if bound.name in _MADE_OF:
            made, weights = _MADE_OF[bound.name]
            out = plane_shape(bound.result_types[0] if made is None else bound.operand_types[made])
            weight = plane_shape(bound.operand_types[weights])
            assert out is not None
            assert weight is not None
            work += math.prod(out) * math.prod(weight[1:])
    return work


# Of each kind of convolution the operand that is like its result (None: the result), and the weight.
_MADE_OF = {"convolution": (None, 1), "conv_transpose": (0, 1), "convolution_input_gradient": (0, 1), "convolution_weight_gradient": (0, 2)}


def is_worth(cluster: Cluster) -> bool:
    """True if the cluster's convolutions are work enough, also for the conversion of what is read outside."""
    work = work_of(cluster)
    if work < ENOUGH:
        return False
    return len(cluster.outputs) * 4 <= len(cluster.ops) + 4 or converted_elements(cluster) * PER_ELEMENT <= work


def converted_elements(cluster: Cluster) -> int:
    """Elements of the cluster's inputs and outputs, as far as they are activations or larger than that."""
    kinds = {v: k for bound in cluster.ops for values, types in ((bound.operands, bound.operand_types), (bound.results, bound.result_types))
             for v, k in zip(values, types, strict=True)}
    shapes = [plane_shape(kinds[v]) for v in (*cluster.inputs, *cluster.outputs)]
    return sum(math.prod(shape) for shape in shapes if shape is not None)
