"""Which kernel serves an op: the table the engines fill, and the numpy reference where they have nothing better.

    @lowers("convolution", target="cpu")
    def _(site: Site) -> Kernel | None: ...

A lowering sees one op with concrete types and answers with a kernel, or with None for a case it does not serve.
"""
from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from scriptc.errors import CallError, diagnostic
from scriptc.interp.interpreter import placeholder
from scriptc.interp.ops.scalar import format_value
from scriptc.interp.registry import REFERENCES
from scriptc.ir.exceptions import exception_class
from scriptc.ir.graph import Op
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, Type
from scriptc.records import Record
from scriptc_runtime.plan.bind import BoundOp, is_static
from scriptc_runtime.plan.chains import Continues
from scriptc_runtime.plan.clusters import ClusterLowering, RoutineLowering, Supports, Worth
from scriptc_runtime.plan.fusion import Accepts, Group
from scriptc_runtime.plan.plan import Kernel, Linker, Memory


class Site(Record):
    """One op to be lowered: its attributes, and the concrete types around it."""

    op: Op
    operand_types: tuple[Type, ...]
    result_types: tuple[Type, ...]

    @property
    def attributes(self) -> Any:
        return self.op.attributes

    def tensor(self, index: int) -> TensorType:
        """The type of a tensor operand."""
        kind = self.operand_types[index]
        assert isinstance(kind, TensorType)
        return kind

    @property
    def is_static(self) -> bool:
        """True if every result is a tensor whose shape is known."""
        return all(map(is_static, self.result_types))


Lowering: TypeAlias = Callable[[Site], Kernel | None]
GroupLowering: TypeAlias = Callable[[Group], Kernel]

LOWERINGS: dict[tuple[str, str], Lowering] = {}
GROUP_LOWERINGS: dict[str, GroupLowering] = {}
ACCEPTS: dict[str, Accepts] = {}  # which elementwise ops an engine can put in a group
CLUSTERS: dict[str, tuple[Callable[[], Supports], Worth, ClusterLowering]] = {}
ROUTINES: dict[str, tuple[Callable[[], Supports], Worth, RoutineLowering]] = {}
CHAINS: dict[str, tuple[frozenset[str], Continues, ClusterLowering]] = {}
LINKERS: dict[str, Linker] = {}
MEMORIES: dict[str, Memory] = {}     # of engines whose arrays are not numpy's
FALLBACKS: dict[str, Callable[[BoundOp], Kernel]] = {}   # of engines that cannot call the reference as it is
_ENGINES = {"cpu": "scriptc_runtime.cpu", "cuda": "scriptc_runtime.cuda"}

# References of these families compute new arrays; those of the others may answer with views of their operands.
_FRESH_FAMILIES = frozenset(("convolution", "pooling", "linalg", "normalization", "attention", "loss"))


def lowers(*names: str, target: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering of the ops `names` for an engine."""
    def register(lowering: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[target, name] = lowering
        return lowering
    return register


def lowers_groups(target: str, accepts: Accepts) -> Callable[[GroupLowering], GroupLowering]:
    """Register how an engine makes one kernel of an elementwise group, and which ops it takes into one."""
    def register(lowering: GroupLowering) -> GroupLowering:
        GROUP_LOWERINGS[target] = lowering
        ACCEPTS[target] = accepts
        return lowering
    return register


def lowers_clusters(target: str, supports: Callable[[], Supports], worth: Worth) -> Callable[[ClusterLowering], ClusterLowering]:
    """Register how an engine makes one kernel of a cluster, and which ops it takes into one (`supports()`, for one program)."""
    def register(lowering: ClusterLowering) -> ClusterLowering:
        CLUSTERS[target] = supports, worth, lowering
        return lowering
    return register


def lowers_routines(target: str, supports: Callable[[], Supports], worth: Worth) -> Callable[[RoutineLowering], RoutineLowering]:
    """Register how an engine makes one kernel of a cluster with control flow, and which ops it takes into one."""
    def register(lowering: RoutineLowering) -> RoutineLowering:
        ROUTINES[target] = supports, worth, lowering
        return lowering
    return register


def lowers_chains(target: str, heads: frozenset[str], continues: Continues) -> Callable[[ClusterLowering], ClusterLowering]:
    """Register how an engine makes one kernel of an op of `heads` and those that `continue` it."""
    def register(lowering: ClusterLowering) -> ClusterLowering:
        CHAINS[target] = heads, continues, lowering
        return lowering
    return register


def links(target: str, linker: Linker) -> None:
    """Register how an engine runs several steps of a plan as one."""
    LINKERS[target] = linker


def load_engine(target: str) -> None:
    """Import the engine, which registers its lowerings."""
    importlib.import_module(_ENGINES[target])


def lower(bound: BoundOp, target: str) -> Kernel:
    """The kernel of one op."""
    lowering = LOWERINGS.get((target, bound.name))
    if lowering is not None:
        kernel = lowering(Site(bound.op, bound.operand_types, bound.result_types))
        if kernel is not None:
            return kernel
    return FALLBACKS.get(target, reference_kernel)(bound)


def reference_kernel(bound: BoundOp) -> Kernel:
    """The numpy meaning of an op as a kernel. CallError R0110 if there is none."""
    if bound.name == "undefined":
        return Kernel(bound.name, functools.partial(placeholder, bound.result_types[0]), fresh=True)
    if bound.name in _EFFECTS:
        return Kernel(bound.name, functools.partial(_EFFECTS[bound.name], **bound.op.attributes), fresh=True)
    function = REFERENCES.get(bound.name)
    if function is None:
        raise CallError(diagnostic("R0110", bound.op.location, op=bound.name))
    run = functools.partial(function, **bound.op.attributes) if bound.op.attributes else function
    return Kernel(bound.name, run, fresh=REGISTRY[bound.name].family in _FRESH_FAMILIES)


def _check(condition: bool, *values: Any, exception: str, message: str) -> None:
    if not condition:
        raise exception_class(exception)(message.format(*map(format_value, values)))


def _print(*values: Any, pattern: str) -> None:
    sys.stdout.write(pattern.format(*map(format_value, values)))


_EFFECTS: dict[str, Callable[..., Any]] = {"check": _check, "print": _print}
