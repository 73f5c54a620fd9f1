"""Surgery on loaded models (`scriptc.surgery`): other heads, LoRA adapters, fresh weights, other storage, gradient checkpointing.

    model = scriptc.load("resnet.pt")
    scriptc.surgery.replace_head(model, "fc", out_features=5)
    scriptc.surgery.add_lora(model, ["layer4.*.conv1"], rank=8, trainable=["fc.*"])
    ...train, save, load...
    scriptc.surgery.merge_lora(model)

Each function changes the model in place, as assigning a submodule does in torch, and returns it. It rewrites the program, which is
verified, and is written down in `model.history`, which archives keep. Make optimizers and training steps after it: those made before
go on with the tensors they know. CallError R0160, R0161 or R0162, and a model as it was, where something does not fit.
"""
from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from scriptc.errors import CallError, CompileError, Diagnostic, diagnostic
from scriptc.interp.generators import TorchGenerator
from scriptc.ir.graph import StateEntry
from scriptc.ir.history import Change
from scriptc.ir.passes.recompute import marked
from scriptc.ir.surgery import adapters as lora
from scriptc.ir.surgery.heads import LAYERS, Head, with_head
from scriptc.ir.surgery.storage import stored_as
from scriptc.ir.surgery.surgeon import readers
from scriptc.ir.types import DTYPES, DType, TensorType
from scriptc.records import replace
from scriptc_runtime.device import host
from scriptc_runtime.initialization import INITIALIZERS, bias_bound, kaiming_uniform, of_type, uniform
from scriptc_runtime.module import Module

Patterns = str | Iterable[str]
T = TypeVar("T")


def replace_head(model: Module, path: str, out_features: int, *, bias: bool | None = None, keep: bool = False, seed: int = 0) -> Module:
    """Give the linear layer or convolution at `path` another number of outputs, with fresh weights as torch draws them after manual_seed.

    bias: with or without one; None as it was. keep: the first outputs keep their weights, only those beyond are fresh.
    """
    operation = "replace_head"
    weight, old_bias = _entry(model, f"{path}.weight"), _entry(model, f"{path}.bias")
    if weight is None or weight.type.shape is None:
        raise CallError(diagnostic("R0160", operation=operation, pattern=repr(path), known=_shown(_paths(model))))
    shape = weight.type.shape
    read = readers(model.program, weight.name)
    tied = weight.alias is not None or any(e.alias == weight.name for e in model.program.state)
    if tied or not read or any(r.op is None or r.op.name not in LAYERS or r.place != 1 for r in read):
        problem = "shares its weight with another layer" if tied else "is no linear layer or convolution whose weight nothing else reads"
        raise CallError(diagnostic("R0161", operation=operation, name=path, problem=problem))
    if out_features < 1:
        raise CallError(diagnostic("R0161", operation=operation, name=path, problem=f"cannot have {out_features} outputs"))
    new_weight = replace(weight, type=TensorType(weight.type.dtype, (out_features, *shape[1:])))
    wanted = bias if bias is not None else old_bias is not None
    new_bias = None
    if wanted:
        like = old_bias or StateEntry(f"{path}.bias", weight.type, "parameter", weight.requires_grad)
        new_bias = replace(like, type=TensorType(like.type.dtype, (out_features,)))
    head = Head(path, new_weight, new_bias, old_bias)
    program = _operated(lambda: with_head(model.program, head), operation)
    generator = TorchGenerator(seed)
    drawn = {weight.name: of_type(kaiming_uniform(generator, (out_features, *_sizes(shape[1:]))), weight.type.dtype)}
    if new_bias is not None:
        bound = bias_bound(_sizes(shape))
        drawn[new_bias.name] = of_type(uniform(generator, (out_features,), bound), new_bias.type.dtype)
    if keep:
        for name, array in drawn.items():
            if (old := _entry(model, name)) is not None:
                count = min(out_features, _sizes(old.type.shape)[0])
                array[:count] = host(model._state[name]._array)[:count]
    model._changed(program, drawn, Change(operation, (path,), {"out_features": out_features, "bias": wanted, "keep": keep, "seed": seed}))
    return model


def add_lora(model: Module, patterns: Patterns, *, rank: int = 8, alpha: float | None = None, dropout: float = 0.0,
             trainable: Patterns = (), seed: int = 0) -> Module:
    """Put low-rank adapters beside the linear layers and convolutions whose path matches, and freeze everything else.

    Beside weight W go A [rank, in], drawn like a linear layer's weight, and B [out, rank], zero at first; the layer gives
    W x + alpha / rank B A x. alpha: None for `rank`. dropout: of the adapters' inputs in train mode. patterns: of paths, shell style
    (`encoder.*.query`); one without a dot matches the last part too (`query`). trainable: parameters that stay so, by name (`head.*`).
    """
    operation = "add_lora"
    if rank < 1 or not 0 <= dropout < 1:
        raise CallError(diagnostic("R0161", operation=operation, name="an adapter", problem=f"cannot have rank {rank} and dropout {dropout}"))
    scale = (rank if alpha is None else alpha) / rank
    present = {a.weight for a in lora.adapters_of(model.program)}
    layers = {lora.base_of(e.name): (e, op) for e in model.program.state if (op := lora.host(model.program, e)) is not None}
    chosen = _matching(list(layers), patterns, operation)
    generator = TorchGenerator(seed)
    made: list[lora.Adapter] = []
    drawn: dict[str, np.ndarray] = {}
    for path in chosen:
        weight, op = layers[path]
        if weight.name in present:
            raise CallError(diagnostic("R0161", operation=operation, name=path, problem="has an adapter already"))
        shape = _sizes(weight.type.shape)
        out, inner = (shape[1], shape[:1]) if op.name == "matmul" else (shape[0], shape[1:])
        computed = op.operands[1].type
        assert isinstance(computed, TensorType)
        a = StateEntry(path + lora.A, TensorType(computed.dtype, (rank, *inner)), "parameter", True)
        b = StateEntry(path + lora.B, TensorType(a.type.dtype, (out, rank, *(1,) * (len(inner) - 1))), "parameter", True)
        made.append(lora.Adapter(weight.name, a, b, scale, dropout))
        drawn[a.name] = of_type(kaiming_uniform(generator, (rank, *inner)), a.type.dtype)
        drawn[b.name] = np.zeros(_sizes(b.type.shape), b.type.dtype.numpy)
    program = _operated(lambda: lora.adapted(model.program, made), operation)
    if _entry(model, lora.GENERATOR) is None:
        drawn |= {e.name: np.array([seed % 2**64, 0], np.uint64) for e in program.state if e.name == lora.GENERATOR}
    model._changed(program, drawn, Change(operation, tuple(chosen), {"rank": rank, "alpha": scale * rank, "dropout": dropout, "seed": seed}))
    kept = [trainable] if isinstance(trainable, str) else list(trainable)
    for name, parameter in model.named_parameters():
        if name not in drawn and not any(fnmatch.fnmatchcase(name, p) for p in kept):
            parameter.requires_grad_(False)
    return model


def merge_lora(model: Module, patterns: Patterns = "*") -> Module:
    """Add what adapters have learned to the weights they stand beside, and take them out: the same results without their cost."""
    chosen = _adapters(model, patterns, "merge_lora")
    program = _operated(lambda: lora.without(model.program, chosen), "merge_lora")
    merged = {}
    for adapter in chosen:
        array = host(model._state[adapter.weight]._array)
        a, b = (host(model._state[e.name]._array).astype(np.float64) for e in (adapter.a, adapter.b))
        delta = adapter.scale * (b.reshape(b.shape[0], -1) @ a.reshape(a.shape[0], -1))
        if any(r.op is not None and r.op.name == "matmul" for r in readers(model.program, adapter.weight)):
            delta = delta.T
        merged[adapter.weight] = (array + delta.reshape(array.shape)).astype(array.dtype)
    model._changed(program, merged, Change("merge_lora", tuple(lora.base_of(a.weight) for a in chosen)))
    return model


def unload_lora(model: Module, patterns: Patterns = "*") -> Module:
    """Take adapters out and forget what they have learned: the model as it was before them."""
    chosen = _adapters(model, patterns, "unload_lora")
    program = _operated(lambda: lora.without(model.program, chosen), "unload_lora")
    model._changed(program, {}, Change("unload_lora", tuple(lora.base_of(a.weight) for a in chosen)))
    return model


def reinitialize(model: Module, patterns: Patterns, *, seed: int = 0) -> Module:
    """Draw the weights of the layers whose path matches anew, as torch's `reset_parameters` does, one after another after manual_seed(seed)."""
    operation = "reinitialize"
    known = {m.path: m for m in model.program.modules if m.class_name in INITIALIZERS}
    chosen = _matching(list(known), patterns, operation)
    generator = TorchGenerator(seed)
    for path in chosen:
        own = {n.removeprefix(path + "."): model._state[n] for n in model._state if n.rpartition(".")[0] == path}
        fresh = INITIALIZERS[known[path].class_name](generator, {n: t.shape for n, t in own.items()}, known[path].description)
        for name, tensor in own.items():
            if name in fresh:
                tensor.copy_(of_type(fresh[name], tensor.dtype))
    model.history = (*model.history, Change(operation, tuple(chosen), {"seed": seed}))
    return model


def checkpoint(model: Module, patterns: Patterns) -> Module:
    """Let backward compute the ops of the modules whose path matches again instead of keeping what they made: less memory, one forward more.

    No patterns: none, not even those that the source asks for by torch.utils.checkpoint.
    """
    listed = [patterns] if isinstance(patterns, str) else list(patterns)
    chosen = set(_matching([m.path for m in model.program.modules if m.path], listed, "checkpoint"))

    def part_of(scope: str) -> str | None:
        """The outermost chosen module that this one lies in."""
        parts = scope.split(".")
        return next((path for i in range(len(parts)) if (path := ".".join(parts[:i + 1])) in chosen), None)

    functions = {key: marked(function, part_of) for key, function in model.program.functions.items()}
    model._changed(replace(model.program, functions=functions), {}, Change("checkpoint", tuple(listed), {}))
    return model


def store_as(model: Module, dtype: DType | str) -> Module:
    """Keep the parameters in `float32`, `bfloat16` or `float16`, computing as before; gradients have the dtype of the parameters."""
    wanted = DTYPES[dtype] if isinstance(dtype, str) else dtype
    if wanted.name not in ("float32", "bfloat16", "float16"):
        raise CallError(diagnostic("R0161", operation="to", name="a parameter", problem=f"is not stored as {wanted}: compile the model in it"))
    program = stored_as(model.program, wanted)
    changed = {e.name: host(model._state[e.name]._array).astype(wanted.numpy) for e in program.state
               if e.alias is None and model._state[e.name].dtype is not e.type.dtype}
    if changed:
        flags = {name: model._state[name].requires_grad for name in changed}
        model._changed(program, changed, Change("store_as", (), {"dtype": wanted.name}))
        for name, flag in flags.items():
            model._state[name].requires_grad_(flag)
    return model


def _operated(operation: Callable[[], T], name: str) -> T:
    """What `operation` gives; its CompileError as the CallError that says what was being done."""
    try:
        return operation()
    except CompileError as error:
        first = error.diagnostics[0]
        told = Diagnostic(first.code, f"{name}: {first.message}", first.location, first.notes, first.hint)
        raise CallError(told, *error.diagnostics[1:]) from None


def _entry(model: Module, name: str) -> StateEntry | None:
    return next((e for e in model.program.state if e.name == name), None)


def _sizes(shape: Sequence[object] | None) -> tuple[int, ...]:
    """The sizes of a state entry, which are all known."""
    return tuple(d for d in shape or () if isinstance(d, int))


def _paths(model: Module) -> list[str]:
    return [e.name.removesuffix(".weight") for e in model.program.state if e.name.endswith(".weight") and len(e.type.shape or ()) > 1]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


def _matching(names: Sequence[str], patterns: Patterns, operation: str) -> list[str]:
    """The names that match, in the order of the model. CallError R0160 for a pattern that matches none."""
    listed = [patterns] if isinstance(patterns, str) else list(patterns)

    def matches(name: str, pattern: str) -> bool:
        return fnmatch.fnmatchcase(name, pattern) or ("." not in pattern and fnmatch.fnmatchcase(name.rpartition(".")[2], pattern))

    for pattern in listed:
        if not any(matches(n, pattern) for n in names):
            raise CallError(diagnostic("R0160", operation=operation, pattern=repr(pattern), known=_shown(names)))
    return [n for n in names if any(matches(n, p) for p in listed)]


def _adapters(model: Module, patterns: Patterns, operation: str) -> list[lora.Adapter]:
    found = {lora.base_of(a.weight): a for a in lora.adapters_of(model.program)}
    return [found[path] for path in _matching(list(found), patterns, operation)]
