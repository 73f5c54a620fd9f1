"""How an op becomes work on the device: lowerings that emit launches, views that only compute strides, and the host for the rest.

    @emits("cat", "stack")
    def lower_cat(site: Site) -> Emit | str: ...

A lowering sees one op with concrete types and answers with an `Emit`, or with the reason why the host has to do it. Where shapes are known
when a plan is made, the results have buffers and the step can be part of a graph; where they depend on data, types are found anew at each call.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Literal
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import TensorType, Type, dtype_of
from scriptc_runtime.cuda.engine import Engine, device
from scriptc_runtime.cuda.launches import Emit, Work
from scriptc_runtime.device import ARRAYS, DeviceArray, host, placed
from scriptc_runtime.plan.bind import BoundOp, is_static, type_of_value
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.fusion import POINTWISE
from scriptc_runtime.plan.lowering import FALLBACKS, LOWERINGS, Site, reference_kernel
from scriptc_runtime.plan.plan import Kernel

Lowering: TypeAlias = Callable[[Site], "Emit | str"]
View: TypeAlias = Callable[..., DeviceArray]

EMITS: dict[str, Lowering] = {}        # ops with kernels
VIEWS: dict[str, View] = {}            # ops whose result lies in their first operand
READS_SHAPES: dict[str, Callable[..., Any]] = {}    # ops that look at a tensor's sizes only
HOST_REASONS: dict[str, str] = {}      # ops that the host does, always, and why


SECOND: dict[str, Lowering] = {}       # what serves the cases that the first lowering refuses


def emits(*names: str, second: bool = False) -> Callable[[Lowering], Lowering]:
    """Register the lowering of the ops `names`; a `second` one is asked where the first gives a reason."""
    def register(lowering: Lowering) -> Lowering:
        for name in names:
            (SECOND if second else EMITS)[name] = lowering
            LOWERINGS["cuda", name] = functools.partial(_kernel, functools.partial(_chosen, name))
        return lowering
    return register


def _chosen(name: str, site: Site) -> Emit | str:
    """What the first lowering that serves a site gives, or the reason of the last."""
    found: Emit | str = "no kernel"
    for table in (EMITS, SECOND):
        lowering = table.get(name)
        if lowering is not None:
            found = lowering(site)
            if not isinstance(found, str):
                return found
    return found


def views(name: str, *, in_order: bool = False) -> Callable[[View], View]:
    """Register an op whose result shares its first operand's memory: `function(x, *operands, **attributes)`.

    `in_order`: it takes the elements in order, so x is copied first unless it is contiguous.
    """
    def register(function: View) -> View:
        VIEWS[name] = function
        LOWERINGS["cuda", name] = lambda site: _view_kernel(function, site, in_order)
        return function
    return register


def reads_shapes(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an op that reads no element."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        READS_SHAPES[name] = function
        LOWERINGS["cuda", name] = lambda site: Kernel(name, functools.partial(function, **site.attributes))
        return function
    return register


def on_host(reason: str, *names: str) -> None:
    """State why the host does these ops."""
    for name in names:
        HOST_REASONS[name] = reason


class Emitted:
    """A step's launches: done at once when it is called, put into a longer work when a graph is made."""

    def __init__(self, emit: Emit, site: Site | None = None) -> None:
        self.emit = emit
        self._op = None if site is None else site.op

    def __call__(self, *operands: Any, out: Sequence[DeviceArray]) -> None:
        work = Work(device())
        self.put(work, operands, out)
        work.run()

    def put(self, work: Work, operands: Sequence[Any], results: Sequence[DeviceArray]) -> None:
        """Add the launches to a work."""
        work.op = self._op
        self.emit(work, [placed(o, work.engine) for o in operands], results)


class Viewing:
    """A step that answers with a view of an operand; with `in_order`, of a copy unless the operand is contiguous."""

    def __init__(self, function: View, site: Site, in_order: bool) -> None:
        self._function = functools.partial(function, **site.attributes)
        self.in_order = in_order

    def __call__(self, *operands: Any) -> DeviceArray:
        x = placed(operands[0], device())
        return self._function(x.copy() if self.in_order and not x.is_contiguous else x, *operands[1:])

    def put(self, work: Work, operands: Sequence[Any]) -> DeviceArray:
        """The view, after a copy in the work where one is needed."""
        x = placed(operands[0], work.engine)
        return self._function(work.contiguous(x) if self.in_order else x, *operands[1:])


def _kernel(lowering: Lowering, site: Site) -> Kernel | None:
    if not site.is_static:
        return Kernel(f"{site.op.name}.late", Late(lowering, site), fresh=True)
    emit = lowering(site)
    if isinstance(emit, str):
        return None
    step = Emitted(emit, site)
    return Kernel(site.op.name, step, writes_out=True, fresh=True, native=step)


def _view_kernel(function: View, site: Site, in_order: bool) -> Kernel:
    step = Viewing(function, site, in_order)
    return Kernel(site.op.name, step, native=step)


class Late:
    """An op whose shapes are known when it is called: lowered then, once for each."""

    def __init__(self, lowering: Lowering, site: Site) -> None:
        self._lowering = lowering
        self._site = site
        self._made: PlanCache[tuple[Emitted, tuple[TensorType, ...]] | None] = PlanCache()

    def __call__(self, *operands: Any) -> Any:
        kinds = tuple(self._kind(o, k) for o, k in zip(operands, self._site.operand_types, strict=True))
        found = self._made.get(tuple(map(str, kinds)), lambda: self._lowered(kinds))
        if found is None:
            return OnHost(self._site.op.name, self._site.attributes)(*operands)
        step, results = found
        engine = device()
        out = [engine.empty(k.shape, k.dtype.numpy) for k in results]  # type: ignore[arg-type]
        step(*operands, out=out)
        return out[0] if len(out) == 1 else tuple(out)

    def _kind(self, operand: Any, declared: Type) -> Type:
        from scriptc.ir.types import IntType

        return IntType(operand) if type(operand) is int else type_of_value(operand, declared)

    def _lowered(self, kinds: tuple[Type, ...]) -> tuple[Emitted, tuple[TensorType, ...]] | None:
        op = self._site.op
        results = REGISTRY[op.name].infer(kinds, op.attributes)
        if not all(map(is_static, results)):
            return None
        site = Site(op, kinds, results)
        emit = self._lowering(site)
        return None if isinstance(emit, str) else (Emitted(emit, site), results)  # type: ignore[return-value]


class OnHost:
    """An op that the host's reference does: operands come to the host, results go back. It is counted."""

    def __init__(self, name: str, attributes: Any, run: Callable[..., Any] | None = None) -> None:
        self._name = name
        self._run = functools.partial(REFERENCES[name], **attributes) if run is None else run

    def __call__(self, *operands: Any) -> Any:
        engine = device()
        if any(_has_arrays(o) for o in operands):
            engine.called_host(self._name)
        result = self._run(*[host(o) for o in operands])
        return self._back(result, engine)

    def _back(self, result: Any, engine: Engine) -> Any:
        return placed(np.asarray(result), engine) if isinstance(result, np.generic) else placed(result, engine)


def _has_arrays(value: Any) -> bool:
    return isinstance(value, ARRAYS) or (isinstance(value, list | tuple) and any(map(_has_arrays, value)))


def host_kernel(bound: BoundOp) -> Kernel:
    """The kernel of an op without one of its own."""
    plain = reference_kernel(bound)
    if not any(isinstance(k, TensorType) for k in (*bound.operand_types, *bound.result_types)) and REGISTRY[bound.name].family != "container":
        return plain
    if REGISTRY[bound.name].family in _KEEPS_ARRAYS:
        return plain
    return Kernel(f"{bound.name}.host", OnHost(bound.name, {}, plain.run), fresh=True)


# References of these families pass tensors on without looking into them.
_KEEPS_ARRAYS = frozenset(("container", "mapping", "control"))

FALLBACKS["cuda"] = host_kernel


def on_device(name: str) -> str:
    """What the table of ops says: `kernel`, `view`, `host: reason`."""
    definition = REGISTRY[name]
    if name in EMITS or name in SECOND or definition.kind == "elementwise" or name in POINTWISE:
        return "kernel"
    if name in VIEWS or name in READS_SHAPES:
        return "view"
    if definition.family in _KEEPS_ARRAYS or definition.family in ("scalar", "text"):
        return "host: no tensor is read"
    return f"host: {HOST_REASONS.get(name, 'no kernel yet')}"


def static_shape(kind: Type) -> tuple[int, ...]:
    """The sizes of a tensor whose shape is known."""
    assert isinstance(kind, TensorType) and kind.shape is not None
    return kind.shape  # type: ignore[return-value]


def literal_data(value: Any) -> Any:
    """The content of a literal operand; None for another value."""
    return value.data if isinstance(value, Literal) else None


def dtype_name(array: DeviceArray) -> str:
    """The name of an array's dtype."""
    return dtype_of(array.dtype).name
