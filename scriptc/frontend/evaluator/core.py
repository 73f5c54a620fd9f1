"""The staged walk: `Evaluator` holds the state of one compilation and dispatches on the kind of node.

One evaluator serves module-level code, constructors and `forward` alike: an operation on static values happens now,
one with a dynamic operand is recorded through the builder.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from scriptc.errors import CompileError, diagnostic
from scriptc.frontend.storage import (
    Content,
    Lazy,
    Storage,
    TensorValue,
    content_type,
    mark_tracked,
    read,
    tensor_of,
    tracked,
    unread,
)
from scriptc.frontend.values import MISSING, Class, Dynamic, Frame, Instance, LanguageError
from scriptc.interp.registry import REFERENCES
from scriptc.ir import dims
from scriptc.ir.builder import Builder, located
from scriptc.ir.graph import Literal, Value
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import IntType, TensorType, Type
from scriptc.location import CallSite, Location, Source, Span

MAX_STEPS = 200_000_000      # evaluated nodes
MAX_DEPTH = 220              # nested calls: five host frames each, safely below the host's own limit
FOLD_ELEMENTS = 65_536       # larger constants are cheaper to compute at run time than to store

OPERANDS = (Value, np.ndarray, np.generic, int, float, complex, str, type(None), list)   # what an op takes

EXPRESSIONS: dict[str, Callable[[Evaluator, Any, Frame], Any]] = {}
STATEMENTS: dict[str, Callable[..., Any]] = {}


def expression(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the evaluation of expression nodes: (evaluator, node, frame) -> value."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            EXPRESSIONS[kind] = function
        return function
    return register


def statement(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the execution of statement nodes: (evaluator, node, frame, rest) -> Completion."""
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            STATEMENTS[kind] = function
        return function
    return register


class Call:
    """One entry of the evaluator's call stack."""

    __slots__ = ("chain", "function", "node", "scope", "source")

    def __init__(self, source: Source, function: str, scope: str, chain: tuple[CallSite, ...]) -> None:
        self.source = source
        self.function = function
        self.scope = scope
        self.chain = chain
        self.node: Any = None


class Evaluator:
    """The state of one compilation."""

    def __init__(self, importer: Any) -> None:
        self.builder = Builder()
        self.importer = importer
        self.recording = False                  # True while an exported method is staged
        self.training = False
        self.grad_enabled = True
        self.autocast: Callable[..., Any] | None = None     # what ops are under torch.autocast, NotImplemented for those that stay
        self.constants_of_gradient: set[Value] = set()   # made under no_grad: no need to detach them again
        self.default_dtype_name = "float32"
        self.stack: list[Call] = []
        self.scopes: dict[int, str] = {}        # id of a module instance -> its path
        self.state_values: dict[str, Value] = {}
        self.bound: list[tuple[Storage, Any]] = []   # state storages that hold a value of this method
        self.constants: dict[bytes, tuple[str, np.ndarray]] = {}
        self.steps = 0
        self.generator: Any = None              # torch's CPU random stream, for construction
        self.random_state: Storage | None = None
        self.assumptions: list[tuple[Value, bool]] = []   # conditions decided by the branches around
        self.none_tests: dict[Value, tuple[Value, bool]] = {}   # condition -> the optional it tests, and what it is if that is None
        self.handling: list[LanguageError] = []   # exceptions whose except clause is running
        self.keepalive: list[Any] = []
        self.joined_since = -1                  # tensors born until then are known elsewhere too, where two paths meet
        self.arguments: Sequence[Value] = ()    # of the method that is staged
        self.recovery: Any = None               # where a second walk keeps the errors it goes on after

    # Places and errors.

    def span(self) -> Span | None:
        """Where the evaluator is, in the user's own source if it has come through our library."""
        for call in reversed(self.stack):
            if call.node is not None and not call.source.name.startswith("<"):
                return Span(call.source, call.node.start, call.node.end)
        call_ = self.stack[-1] if self.stack else None
        return Span(call_.source, call_.node.start, call_.node.end) if call_ and call_.node is not None else None

    def location(self) -> Location:
        """The current span, module scope and call chain."""
        scope = self.stack[-1].scope if self.stack else ""
        for call in reversed(self.stack):
            if call.node is not None and not call.source.name.startswith("<"):
                return Location(Span(call.source, call.node.start, call.node.end), scope, call.chain)
        return Location(self.span(), scope, self.stack[-1].chain if self.stack else ())

    def error(self, code: str, *, notes: Sequence[str] = (), hint: str | None = None, **values: object) -> NoReturn:
        """Refuse the program here."""
        raise CompileError(diagnostic(code, self.location(), notes=notes, hint=hint, **values))

    def throw(self, kind: str, message: str, hint: str | None = None) -> NoReturn:
        """Raise a builtin exception of the language; the hint is for the user, should nothing catch it."""
        from scriptc.frontend.pylib.exceptions import make_exception

        raise LanguageError(make_exception(self, kind, message), self.span(), hint)

    # Dispatch.

    def eval(self, node: Any, frame: Frame) -> Any:
        """The value of an expression."""
        kind = node.__class__.__name__
        if kind == "Constant":
            return node.value
        self.steps += 1
        if self.steps > MAX_STEPS:
            self.error("E0201", what="evaluation steps", limit=MAX_STEPS)
        handler = EXPRESSIONS.get(kind)
        if handler is None:
            self.stack[-1].node = node
            self.error("E0202", construct=kind)
        return handler(self, node, frame)

    def at(self, node: Any) -> None:
        """Remember the node under evaluation: errors and ops take their place from it."""
        self.stack[-1].node = node

    # Ops.

    def content(self, storage: Storage) -> Any:
        """A storage's content, made ready to be read: drawn if lazy, a state read if it belongs to the model."""
        content = storage.slots["content"]
        if self.recording and storage.name and not isinstance(content, Value):
            value = self.state_value(storage.name, content_type(content))
            # Not journaled: that a weight has been read is no change of it.
            self.bound.append((storage, content))
            storage.slots["content"] = value
            return value
        if isinstance(content, Lazy):
            array = content.array()
            storage.slots["content"] = array
            return array
        return content

    def state_value(self, name: str, kind: TensorType) -> Value:
        """The value that stands for state entry `name` when the method begins."""
        value = self.state_values.get(name)
        if value is None:
            value = self.state_values[name] = Value(kind, name)
        return value

    def constant(self, array: np.ndarray) -> Value:
        """An array known now, as a state entry of kind `constant`."""
        from hashlib import sha256

        array = np.ascontiguousarray(array) if array.ndim else array
        key = sha256(repr((array.dtype.str, array.dtype.name, array.shape)).encode() + array.tobytes()).digest()
        entry = self.constants.get(key)
        if entry is None:
            entry = self.constants[key] = (f"constants.{len(self.constants)}", array)
        return self.state_value(entry[0], content_type(array))

    def raw(self, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """Apply an op to arrays, IR values, scalars, None or lists of these; fold it now if everything is known."""
        results = self._apply(name, operands, attributes)
        return results[0] if len(results) == 1 else results

    def _apply(self, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Any, ...]:
        plain = [o.value if isinstance(o, Dynamic) else float(o) if isinstance(o, np.float64) else o for o in operands]
        for o in plain:
            if not isinstance(o, OPERANDS):
                from scriptc.frontend.evaluator.operators import type_name

                self.throw("TypeError", f"{name}(): an argument must be a tensor or a number, not {type_name(o)}")
        if not any(isinstance(o, Value) and not isinstance(o, Literal) for o in plain):
            folded = self._fold(name, plain, attributes)
            if folded is not None:
                return folded
        values = [self.constant(o) if isinstance(o, np.ndarray) else o for o in plain]
        self.builder.location = self.location()
        return self.builder.emit(name, values, attributes)

    def _fold(self, name: str, operands: list[Any], attributes: dict[str, Any]) -> tuple[Any, ...] | None:
        definition = REGISTRY[name]
        if definition.effects and self.recording:
            return None
        kinds = [operand_type(o) for o in operands]
        try:
            checked = definition.check_attributes(attributes)
            results = definition.infer(kinds, checked)
        except OpError as error:
            raise CompileError(located(error, self.location(), name, kinds)) from None
        if self.recording and any(too_large(r) for r in results):
            return None
        data = [o.data if isinstance(o, Literal) else o for o in operands]
        try:
            with np.errstate(all="ignore"):
                values = REFERENCES[name](*data, **checked)
        except (IndexError, ValueError, RuntimeError, ZeroDivisionError, OverflowError, TypeError) as error:
            self.throw(type(error).__name__, str(error))
        return values if type(values) is tuple else (values,)

    def _put_off(self, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Lazy | None:
        """An elementwise result of a lazy operand, lazy itself: initial weights are scaled and shifted after they are drawn."""
        definition = REGISTRY[name]
        if definition.kind != "elementwise" or not any(isinstance(o, TensorValue) and isinstance(o.storage.content, Lazy) for o in operands):
            return None
        contents = [unread(self, o) if isinstance(o, TensorValue) else o for o in operands]
        if any(isinstance(c, Value | Dynamic) for c in contents):
            return None
        try:
            checked = definition.check_attributes(attributes)
            kind, = definition.infer([operand_type(c) for c in contents], checked)
        except OpError:
            return None   # told with its place when it is computed
        assert isinstance(kind, TensorType)

        def compute() -> np.ndarray:
            with np.errstate(all="ignore"):
                return REFERENCES[name](*(c.array() if isinstance(c, Lazy) else c for c in contents), **checked)
        return Lazy(kind, compute)

    def op(self, name: str, *operands: Any, **attributes: Any) -> Any:
        """Apply an op to values of the language and wrap its result(s): tensors are read, results are fresh tensors."""
        if self.autocast is not None and (found := self.autocast(self, name, operands, attributes)) is not NotImplemented:
            return found
        if not self.recording:
            lazy = self._put_off(name, operands, attributes)
            if lazy is not None:
                return tensor_of(lazy)
        contents = [read(self, o) if isinstance(o, TensorValue) else o for o in operands]
        if self.without_gradient:
            contents = [self.detached(c) for c in contents]
        results = self._apply(name, contents, attributes)
        if self.without_gradient:
            self.constants_of_gradient.update(r for r in results if isinstance(r, Value))
        wrapped = tuple(self.wrap(r) for r in results)
        if self.grad_enabled and not REGISTRY[name].no_gradient and name != "detach" and any(tracked(o) for o in operands):
            for result in wrapped:
                mark_tracked(result)
        return wrapped[0] if len(wrapped) == 1 else wrapped

    @property
    def without_gradient(self) -> bool:
        """True while a method is staged under torch.no_grad."""
        return self.recording and not self.grad_enabled

    def detached(self, content: Any) -> Any:
        """An operand as torch.no_grad sees it: no gradient passes."""
        if isinstance(content, (list, tuple)):
            return type(content)(self.detached(c) for c in content)
        if not isinstance(content, Value) or content in self.constants_of_gradient or not isinstance(content.type, TensorType) \
                or not content.type.dtype.is_floating_point:
            return content
        return self.raw("detach", [content], {})

    def wrap(self, content: Any) -> Any:
        """An op's result as a value of the language."""
        if isinstance(content, np.ndarray):
            return tensor_of(content)
        if isinstance(content, Value):
            if isinstance(content, Literal):
                return content.data
            if isinstance(content.type, TensorType):
                return tensor_of(content)
            if isinstance(content.type, IntType) and isinstance(content.type.value, int):
                return content.type.value
            return Dynamic(content)
        if isinstance(content, np.generic):
            return content.item()
        return content

    def tensor(self, content: Content) -> TensorValue:
        return tensor_of(content)

    def size(self, dim: Any, tensor: TensorValue, index: int) -> Any:
        """The size `dim` of a tensor's dimension as a value: an int, or a dynamic int."""
        return dim if isinstance(dim, int) else self.op("size", tensor, dim=index)

    # Modules.

    def scope_of(self, instance: Instance) -> str | None:
        return self.scopes.get(id(instance))

    def isinstance(self, value: Any, cls: Class) -> bool:
        from scriptc.frontend.evaluator.objects import class_of

        return class_of(self, value).is_subclass(cls)


def did_you_mean(wrong: str, known: Iterable[Any]) -> str | None:
    """The hint for a name that is not there, if one that is there is near: `pading` and padding, `Relu` and ReLU."""
    from difflib import get_close_matches

    names = {k for k in known if isinstance(k, str) and k.isidentifier()}
    if not wrong.startswith("_"):
        names = {n for n in names if not n.startswith("_")}
    near = [n for n in sorted(names) if n.lower() == wrong.lower()] or get_close_matches(wrong, sorted(names), 1, 0.7)
    return f"did you mean {near[0]!r}?" if near else None


def operand_type(operand: Any) -> Type:
    """The IR type of an operand that is known now."""
    from scriptc.ir.graph import literal

    if isinstance(operand, np.ndarray | Lazy):
        return content_type(operand)
    if isinstance(operand, Value):
        return operand.type
    return literal(operand).type


def too_large(kind: Type) -> bool:
    if not isinstance(kind, TensorType):
        return False
    count = dims.product(kind.shape or ())
    return not isinstance(count, int) or count > FOLD_ELEMENTS


__all__ = ["EXPRESSIONS", "MISSING", "STATEMENTS", "Call", "Evaluator", "expression", "statement"]
