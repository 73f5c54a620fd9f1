"""Modes and other functions about the run rather than about numbers: no_grad, jit, cuda, Parameter."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.objects import class_of
from scriptc.frontend.evaluator.operators import truthy
from scriptc.frontend.pylib.builtin_classes import CONSTRUCTORS, builtin_class
from scriptc.frontend.storage import TensorValue, tensor_of
from scriptc.frontend.torchlib.bindings.creation import sizes, tensor_from
from scriptc.frontend.torchlib.bindings.register import TORCH, torch_function
from scriptc.frontend.values import WORLD, Builtin, Class, Dynamic, Function, PyDict, PyList
from scriptc.ir.types import DTYPES


def grad_context(name: str, enabled: bool | None) -> Class:
    """A context manager and decorator that sets whether gradients flow."""
    cls = Class(name, (builtin_class("object"),), {}, "torch")

    def init(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        target = arguments[0]
        if enabled is None:
            target.slots["mode"] = bool(arguments[1] if len(arguments) > 1 else keywords["mode"])
            target.slots["before"] = ev.grad_enabled
            ev.grad_enabled = target.slots["mode"]
        else:
            target.slots["mode"] = enabled
            if len(arguments) > 1 and isinstance(arguments[1], Function):
                target.slots["function"] = arguments[1]

    def enter(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        target = arguments[0]
        if "before" not in target.slots or enabled is not None:
            target.slots["before"] = ev.grad_enabled
        ev.grad_enabled = target.slots["mode"]

    def leave(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        ev.grad_enabled = arguments[0].slots["before"]

    def decorate(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        target = arguments[0]
        if "function" in target.slots:
            return under(ev, target.slots["mode"], target.slots["function"], arguments[1:], keywords)
        return decorated(target.slots["mode"], arguments[1])
    cls.slots.update({"__init__": Builtin("__init__", init, as_method=True), "__enter__": Builtin("__enter__", enter, as_method=True),
                      "__exit__": Builtin("__exit__", leave, as_method=True), "__call__": Builtin("__call__", decorate, as_method=True)})
    return cls


def decorated(mode: bool, function: Any) -> Builtin:
    """A function that runs under a gradient mode."""
    return Builtin(getattr(function, "name", "function"), lambda ev, a, k: under(ev, mode, function, a, k), as_method=True,
                   function=function)


def under(ev: Evaluator, mode: bool, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    before, ev.grad_enabled = ev.grad_enabled, mode
    try:
        return call(ev, function, arguments, keywords)
    finally:
        ev.grad_enabled = before


for _name, _mode in {"no_grad": False, "enable_grad": True, "inference_mode": False, "set_grad_enabled": None}.items():
    TORCH["torch"][_name] = grad_context(_name, _mode)


@torch_function("is_grad_enabled")
def is_grad_enabled(ev: Evaluator) -> bool:
    return ev.grad_enabled


@torch_function("_assert")
def assert_(ev: Evaluator, condition: Any, message: Any = "") -> None:
    """torch._assert: AssertionError unless the condition holds."""
    from scriptc.frontend.pylib.exceptions import make_exception
    from scriptc.frontend.values import LanguageError

    truth = truthy(ev, condition)
    if isinstance(truth, Dynamic):
        if isinstance(message, Dynamic):
            ev.builder.location = ev.location()
            ev.builder.emit("check", [truth.value, message.value], {"exception": "AssertionError", "message": "{}"})
            return
        ev.builder.location = ev.location()
        ev.builder.emit("check", [truth.value], {"exception": "AssertionError",
                                                 "message": str(message).replace("{", "{{").replace("}", "}}")})
    elif not truth:
        raise LanguageError(make_exception(ev, "AssertionError", message), ev.span())


def _answer(value: Any, *names: str, module: str = "torch") -> None:
    torch_function(*names, module=module)(lambda ev, *a, **k: value)


_answer(False, "is_available", module="torch.cuda")
_answer(False, "is_in_onnx_export", module="torch.onnx")
_answer(0, "device_count", module="torch.cuda")
_answer(False, "is_current_stream_capturing", "is_initialized", "is_bf16_supported", module="torch.cuda")
for _backend in ("xpu", "mps"):
    _answer(False, "is_available", "is_current_stream_capturing", module=f"torch.{_backend}")
    _answer(0, "device_count", module=f"torch.{_backend}")
_answer(False, "is_available", module="torch.backends.mps")
_answer(False, "are_deterministic_algorithms_enabled", "is_inference_mode_enabled")
_answer(False, "is_scripting", "is_tracing", module="torch.jit")
_answer(False, "is_compiling", "is_dynamo_compiling", "is_exporting", module="torch.compiler")
_answer(None, "_log_api_usage_once", module="torch._C")
_answer(None, "set_num_threads", "use_deterministic_algorithms", "set_float32_matmul_precision")
_answer(1, "get_num_threads")


def identity_decorator(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """A decorator that changes nothing, with or without arguments."""
    if len(arguments) == 1 and not keywords and not isinstance(arguments[0], str | bool):
        return arguments[0]
    return Builtin("decorator", lambda ev, a, k: a[0])


for _name in ("script", "ignore", "unused", "export", "script_method", "_overload_method", "_overload", "script_if_tracing", "interface"):
    TORCH.setdefault("torch.jit", {})[_name] = Builtin(_name, identity_decorator)
TORCH["torch.jit"].update({"Final": Class("Final", (builtin_class("object"),), {}, "typing"),
                           "annotate": Builtin("annotate", lambda ev, a, k: a[1]),
                           "isinstance": Builtin("isinstance", lambda ev, a, k: ev.importer.builtin("isinstance").call(ev, a, k))})
TORCH.setdefault("torch.fx", {})["wrap"] = Builtin("wrap", identity_decorator)
TORCH.setdefault("torch.compiler", {})["disable"] = Builtin("disable", identity_decorator)
TORCH["torch"]["compile"] = Builtin("compile", identity_decorator)
TORCH["torch"]["vmap"] = Builtin("vmap", lambda ev, a, k: ev.error("E0222", name="torch.vmap"))


def _decorating_nothing() -> Class:
    from scriptc.frontend.pylib.stdlib import null_context_class

    cls = null_context_class()
    cls.slots["__call__"] = Builtin("__call__", lambda ev, a, k: a[1], as_method=True)
    return cls


for _module in ("torch.cuda.amp", "torch.amp"):
    TORCH.setdefault(_module, {}).update({"custom_fwd": Builtin("custom_fwd", identity_decorator),
                                          "custom_bwd": Builtin("custom_bwd", identity_decorator)})
TORCH.setdefault("torch.profiler", {})["record_function"] = _decorating_nothing()
TORCH.setdefault("torch.autograd.profiler", {})["record_function"] = _decorating_nothing()
TORCH.setdefault("torch.hub", {})["load_state_dict_from_url"] = Builtin(
    "load_state_dict_from_url", lambda ev, a, k: ev.throw("RuntimeError", "weights are not downloaded while a model is compiled; pass --weights"))


@torch_function("load")
def load(ev: Evaluator, f: Any, map_location: Any = None, *arguments: Any, **keywords: Any) -> Any:
    """torch.load in a constructor: read without executing anything, from the search path only."""
    from scriptc.frontend.pylib.paths import text_of_path
    from scriptc.ir.weights import read_tree

    path = text_of_path(f)
    if not ev.importer.is_readable(path):
        ev.throw("FileNotFoundError", f"[Errno 2] No such file or directory: '{path}'")
    return tree_value(read_tree(Path(path)))


def tree_value(tree: Any) -> Any:
    """A nested plain tree of arrays as values of the language."""
    if isinstance(tree, np.ndarray):
        return tensor_of(tree)
    if isinstance(tree, dict):
        return PyDict({k: tree_value(v) for k, v in tree.items()})
    if isinstance(tree, list | tuple):
        return PyList([tree_value(v) for v in tree])
    return tree


def make_tensor(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """nn.Parameter(data, requires_grad=True), nn.Buffer, torch.Tensor(...) and the typed constructors."""
    if cls.name == "Parameter" or any(c.name == "Parameter" for c in cls.mro):
        data = arguments[0] if arguments else keywords.get("data")
        if data is None:
            data = ev.op("full", 0.0, 0, dtype=DTYPES["float32"])
        made = TensorValue(data.storage, data.path, data.slots["cached"])
        made.is_parameter = True
        made.cls = cls if cls is not ev.importer.parameter_class(ev) else None
        wanted = arguments[1] if len(arguments) > 1 else keywords.get("requires_grad", True)
        made.slots[("attribute", "requires_grad")] = bool(wanted)
        return made
    if len(arguments) == 1 and not isinstance(arguments[0], int):
        return tensor_from(ev, arguments[0], DTYPES["float32"])
    return ev.op("full", 0.0, *sizes(ev, tuple(arguments)), dtype=DTYPES["float32"])


CONSTRUCTORS["tensor"] = make_tensor


@torch_function("Buffer", module="torch.nn.parameter")
def buffer(ev: Evaluator, data: Any = None, *, persistent: Any = True) -> TensorValue:
    """nn.Buffer: a tensor that registers itself as a buffer when it is assigned to a module."""
    made = TensorValue(data.storage, data.path, data.slots["cached"])
    made.slots[("attribute", "is_buffer")] = True
    made.slots[("attribute", "persistent")] = persistent
    return made


@torch_function("permanently", module="__stage__")
def permanently(ev: Evaluator, function: Any, *arguments: Any) -> Any:
    """Call a function as construction does, also while a method is being recorded: what it changes stays."""
    if any(isinstance(a, Dynamic) for a in arguments):
        ev.error("E0211", what="a lazy module's input size that is only known at run time", hint="give the size with --input, as a number")
    journals, WORLD.journals = WORLD.journals, []
    recording, ev.recording = ev.recording, False
    try:
        return call(ev, function, list(arguments), {})
    finally:
        WORLD.journals = journals
        ev.recording = recording


@torch_function("mark_checkpoint", module="__stage__")
def mark_checkpoint(ev: Evaluator, begins: bool) -> None:
    """Where a call of torch.utils.checkpoint begins and ends."""
    if ev.recording:
        ev.builder.location = ev.location()
        ev.builder.emit("checkpoint", (), {"begins": begins})


@torch_function("typename")
def typename(ev: Evaluator, value: Any) -> str:
    """torch.typename: `torch.FloatTensor`, `int`, `models.vit.Block`."""
    if isinstance(value, TensorValue):
        from scriptc.frontend.torchlib.bindings.tensor import type_

        return str(type_(ev, value))
    cls = value if isinstance(value, Class) else class_of(ev, value)
    return cls.name if cls.module in ("", "builtins") else f"{cls.module}.{cls.name}"


