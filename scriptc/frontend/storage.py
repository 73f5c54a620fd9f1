"""Tensors of the evaluator: a storage seen through a path of views, and in-place writes made functional.

A storage holds a numpy array while it is known (weights, constants, everything during construction) and an IR value
once it is not. A write through a view becomes a scatter into the storage's new content, so every other view of the
same storage reads it; the IR itself has no aliasing.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.frontend.values import Dynamic, Mutable
from scriptc.ir.graph import Value
from scriptc.ir.types import DType, Shape, TensorType, dtype_of


class Lazy:
    """An array that is computed when first read: initial weights that `--weights` will replace are never drawn."""

    __slots__ = ("_make", "type")

    def __init__(self, kind: TensorType, make: Callable[[], np.ndarray]) -> None:
        self.type = kind
        self._make: Callable[[], np.ndarray] | np.ndarray = make

    def array(self) -> np.ndarray:
        if not isinstance(self._make, np.ndarray):
            self._make = self._make()
        return self._make


Content = np.ndarray | Value | Lazy


class Storage(Mutable):
    """What views share. `name` is the state entry it is bound to after construction."""

    __slots__ = ("joined", "name")

    def __init__(self, content: Content) -> None:
        super().__init__()
        self.slots["content"] = content
        self.name = ""
        self.joined = False   # made by a join: it may stand for one of two older storages

    @property
    def content(self) -> Content:
        return self.slots["content"]

    @property
    def type(self) -> TensorType:
        return content_type(self.slots["content"])


def content_type(content: Any) -> TensorType:
    """The tensor type of an array, a lazy array or an IR value."""
    if isinstance(content, np.ndarray):
        return TensorType(dtype_of(content), content.shape)
    kind = content.type
    assert isinstance(kind, TensorType)
    return kind


@dataclass(frozen=True, slots=True, eq=False)
class ViewStep:
    """One view: an op over the base, its further operands and attributes."""

    op: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any]
    contiguous: bool     # a contiguous base stays contiguous through this step


class TensorValue(Mutable):
    """A tensor of the evaluated program: slots `storage`, `path` (a tuple of steps), and whatever the user attaches."""

    __slots__ = ("cls", "is_parameter")

    def __init__(self, storage: Storage, path: tuple[ViewStep, ...] = (), cached: tuple[Any, Any] | None = None) -> None:
        super().__init__()
        self.slots["storage"] = storage
        self.slots["path"] = path
        self.slots["cached"] = cached
        self.is_parameter = False
        self.cls: Any = None

    @property
    def storage(self) -> Storage:
        return self.slots["storage"]

    @property
    def path(self) -> tuple[ViewStep, ...]:
        return self.slots["path"]

    @property
    def is_contiguous(self) -> bool:
        return all(step.contiguous for step in self.path)

    def __repr__(self) -> str:
        return f"<tensor {self.storage.type}{' view' if self.path else ''}>"


def is_static(tensor: TensorValue) -> bool:
    """True while the tensor's elements are known to the compiler."""
    return not isinstance(tensor.storage.content, Value)


def tensor_of(content: Content) -> TensorValue:
    """A fresh tensor over its own storage."""
    return TensorValue(Storage(content))


# How a write through one view step changes the base: (evaluator, base, step, new content of the view) -> new base.

# Whether eager PyTorch would record gradients for a tensor: a leaf says so itself, a result has it from its operands.
REQUIRES_GRAD = ("attribute", "requires_grad")
GRAD_FN = ("attribute", "%grad_fn")


def is_leaf(tensor: TensorValue) -> bool:
    return GRAD_FN not in tensor.slots


def requires_grad(tensor: TensorValue) -> bool:
    """Tensor.requires_grad. Arguments of an exported method do not require gradients unless it says so."""
    return bool(tensor.slots.get(REQUIRES_GRAD, tensor.is_parameter or not is_leaf(tensor)))


def tracked(operand: Any) -> bool:
    """True if gradients would flow through an operand."""
    if isinstance(operand, list | tuple):
        return any(tracked(o) for o in operand)
    return isinstance(operand, TensorValue) and requires_grad(operand)


def mark_tracked(result: Any) -> None:
    """Note that a result was computed from a tensor that requires gradients."""
    if isinstance(result, TensorValue) and dtype(result).is_floating_point:
        result.slots[GRAD_FN] = True


def _write_reshape(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    return ev.raw("reshape_as", [new, base], {})


def _write_detach(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    return new


def _write_permute(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    order = step.attributes["dims"]
    inverse = [0] * len(order)
    for position, dim in enumerate(order):
        inverse[dim] = position
    return ev.raw("permute", [new], {"dims": tuple(inverse)})


def _write_slice(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    return ev.raw("slice_scatter", [base, new, *step.operands], step.attributes)


def _write_select(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    return ev.raw("select_scatter", [base, new, *step.operands], step.attributes)


def _write_diagonal(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    return ev.raw("diagonal_scatter", [base, new], step.attributes)


def _write_expand(ev: Any, base: Any, step: ViewStep, new: Any) -> Any:
    """Writing is allowed where nothing was repeated."""
    before, after = content_type(base).shape, content_type(new).shape
    if before is None or after is None:
        return ev.error("E0251", view=step.op)
    if any(size != 1 for size in after[:len(after) - len(before)]) or before != after[len(after) - len(before):]:
        ev.throw("RuntimeError", "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                                 "Please clone() the tensor before performing the operation.")
    return _write_reshape(ev, base, step, new)


WRITERS: dict[str, Callable[[Any, Any, ViewStep, Any], Any]] = {
    "reshape": _write_reshape, "squeeze": _write_reshape, "unsqueeze": _write_reshape,
    "detach": _write_detach, "permute": _write_permute, "slice": _write_slice, "select": _write_select, "diagonal": _write_diagonal,
    "expand": _write_expand,
}


def read(ev: Any, tensor: TensorValue) -> Any:
    """The tensor's elements now: an array, or an IR value."""
    base = ev.content(tensor.storage)
    if not tensor.path:
        return base
    cached = tensor.slots["cached"]
    if cached is not None and cached[0] is base:
        return cached[1]
    content = base
    for step in tensor.path:
        content = ev.raw(step.op, [content, *step.operands], step.attributes)
    tensor.write("cached", (base, content))
    return content


def unread(ev: Any, tensor: TensorValue) -> Any:
    """The tensor's elements now, left uncomputed if they are lazy: what another tensor's whole content is replaced by."""
    content = tensor.storage.content
    return content if isinstance(content, Lazy) and not (tensor.path or ev.recording) else read(ev, tensor)


def view(ev: Any, tensor: TensorValue, op: str, operands: tuple[Any, ...], attributes: dict[str, Any],
         contiguous: bool = True) -> TensorValue:
    """A tensor that shares `tensor`'s storage, seen through one more step (and a detach where gradients are off)."""
    if op != "detach" and ev.without_gradient and not is_static(tensor):
        tensor = view(ev, tensor, "detach", (), {})
    current = read(ev, tensor)
    seen = ev.raw(op, [current, *operands], attributes)
    step = ViewStep(op, operands, attributes, contiguous)
    made = TensorValue(tensor.storage, (*tensor.path, step), (ev.content(tensor.storage), seen))
    if op != "detach" and ev.grad_enabled and requires_grad(tensor):
        mark_tracked(made)
    return made


def write(ev: Any, tensor: TensorValue, new: Any) -> None:
    """Replace the tensor's elements by `new` (array or IR value of the same shape and dtype), through its views."""
    storage = tensor.storage
    if storage.joined:
        ev.error("E0250", what="an in-place operation")
    if ev.recording and ev.grad_enabled and requires_grad(tensor) and is_leaf(tensor) and not ev.stack[-1].source.name.startswith("<"):
        ev.throw("RuntimeError", "a leaf Variable that requires grad is being used in an in-place operation.")
    if not (tensor.path or ev.recording):
        storage.write("content", new)
        return
    base = ev.content(storage)
    new = new.array() if isinstance(new, Lazy) else new
    stages = [base]
    for step in tensor.path:
        stages.append(ev.raw(step.op, [stages[-1], *step.operands], step.attributes))
    content = new
    for step, stage in zip(reversed(tensor.path), reversed(stages[:-1]), strict=True):
        if step.op not in WRITERS:
            ev.error("E0251", view=step.op)
        content = WRITERS[step.op](ev, stage, step, content)
    storage.write("content", content)


def dtype(tensor: TensorValue) -> DType:
    return tensor.storage.type.dtype


def shape_of(ev: Any, tensor: TensorValue) -> Shape | None:
    """The (symbolic) shape; None if not even the rank is known."""
    return content_type(read(ev, tensor)).shape if tensor.path else tensor.storage.type.shape


def type_of(ev: Any, tensor: TensorValue) -> TensorType:
    """The tensor's type, and no op for it: it may belong to an arm of a branch that is not open."""
    if not tensor.path or not ev.recording:
        return content_type(read(ev, tensor))
    cached = tensor.slots["cached"]
    ev.builder.reopen([])
    kind = content_type(read(ev, tensor))
    ev.builder.suspend()
    if tensor.slots["cached"] is not cached:
        tensor.write("cached", cached)
    return kind


def is_dynamic(value: Any) -> bool:
    """True for a dynamic scalar or a tensor whose elements are not known."""
    return isinstance(value, Dynamic) or (isinstance(value, TensorValue) and not is_static(value))
