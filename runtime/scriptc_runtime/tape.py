"""Reverse differentiation over calls: one node per call of a compiled function or eager op.

A node knows the tensors it read and how to turn gradients of its results into theirs. `backward` walks nodes from the
newest to the oldest, which is a topological order because a node only reads what existed before it.
"""
from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from scriptc.errors import CallError, diagnostic
from scriptc.records import Record

if TYPE_CHECKING:
    from scriptc_runtime.device import Array
    from scriptc_runtime.tensor import Tensor

_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_order = itertools.count()

Gradients = Sequence["Array | None"]
F = TypeVar("F", bound=Callable[..., Any])


class Node(Record, frozen=False, eq=False):
    """One recorded call. `pull` maps gradients of the results (None: no gradient came) to gradients of `inputs`."""

    name: str
    order: int
    inputs: tuple[Tensor, ...]
    count: int
    pull: Callable[[Gradients], Gradients] | None


def is_grad_enabled() -> bool:
    """True unless inside `no_grad()`."""
    return _enabled.get()


class set_grad_enabled:
    """Context manager and decorator: record calls for `backward`, or do not."""

    __slots__ = ("_mode", "_tokens")

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(_enabled.set(self._mode))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _enabled.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        mode = self._mode

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with set_grad_enabled(mode):
                return function(*args, **kwargs)
        return inside  # type: ignore[return-value]


class no_grad(set_grad_enabled):
    """Inside, calls are not recorded: `with no_grad(): ...` or `@no_grad()` (torch.no_grad)."""

    __slots__ = ()

    def __init__(self) -> None:
        self._mode = False      # not by `super`: it would take a good part of a small call
        self._tokens = []


class enable_grad(set_grad_enabled):
    """Inside, calls are recorded again (torch.enable_grad)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(True)


def record(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], pull: Callable[[Gradients], Gradients]) -> None:
    """Put a call on the tape: `outputs` now depend on `inputs`."""
    node = Node(name, next(_order), tuple(inputs), len(outputs), pull)
    for index, output in enumerate(outputs):
        if output.dtype.is_floating_point or output.dtype.is_complex:
            output._node = node
            output._index = index
            output._requires_grad = True


def backward(root: Tensor, gradient: Array, retain_graph: bool = False) -> None:
    """Add to `.grad` of every leaf that `root` depends on. CallError R0118 if there is none, R0119 on a second run."""
    if root._node is None:
        if not root.requires_grad:
            raise CallError(diagnostic("R0118"))
        root._accumulate(gradient)
        return
    pending: dict[Node, list[Any]] = {}
    heap: list[tuple[int, Node]] = []

    def arrive(tensor: Tensor, value: Array) -> None:
        node = tensor._node
        if node is None:
            if tensor.requires_grad:
                tensor._accumulate(value)
            return
        slots = pending.get(node)
        if slots is None:
            slots = pending[node] = [None] * node.count
            heapq.heappush(heap, (-node.order, node))
        known = slots[tensor._index]
        slots[tensor._index] = value if known is None else known + value
        if tensor._retains_grad:
            tensor._accumulate(value)

    arrive(root, gradient)
    while heap:
        _, node = heapq.heappop(heap)
        if node.pull is None:
            raise CallError(diagnostic("R0119", what=node.name))
        gradients = node.pull(pending.pop(node))
        if not retain_graph:
            node.pull = None
        for tensor, value in zip(node.inputs, gradients, strict=True):
            if value is not None:
                arrive(tensor, value)
