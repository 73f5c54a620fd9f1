"""Each module input becomes a program of two lines; its results, buffers and gradients are compared with torch's."""
from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.compiler import optimized
from scriptc.errors import CompileError
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.interp.interpreter import run_function
from scriptc.ir.autodiff import differentiate
from scriptc.ir.graph import Function
from tests.language.harness import SCALARS, spec_of

TOLERANCES = {"float32": 2e-5, "float64": 1e-9}

# What is not tried, with the reason.
LEFT_OUT = {
    "nn.FractionalMaxPool2d": "windows at random places", "nn.FractionalMaxPool3d": "windows at random places",
}


class Untranslatable(Exception):
    """An argument that has no source text."""


@dataclass(frozen=True)
class Case:
    """One sample: the module's name, its place in the list, the entry expression, the call's arguments."""

    module: str
    index: int
    entry: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    make: Any     # () -> the torch module


@dataclass(frozen=True)
class Verdict:
    """`agree`, `refused`, `differ`, `broken`, or `left out`; with what was seen."""

    status: str
    detail: str = ""


def text_of(value: Any) -> str:
    """A constructor's argument as source. Untranslatable if it has none."""
    import torch

    if value is None or isinstance(value, bool | int | str):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else f"float('{value}')"
    if isinstance(value, tuple | list):
        inner = ", ".join(map(text_of, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.Tensor):
        return f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"
    if value is torch.nn.functional.relu or value is torch.relu:
        return "torch.relu"
    if value is torch.nn.functional.gelu:
        return "torch.nn.functional.gelu"
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        attention = value.self_attn
        return (f"torch.nn.TransformerEncoderLayer({attention.embed_dim}, {attention.num_heads}, {value.linear1.out_features}, "
                f"{value.dropout.p}, {text_of(value.activation)}, {value.norm1.eps}, {attention.batch_first}, {value.norm_first}, "
                f"{value.linear1.bias is not None})")
    if type(value).__name__ == "LinearCrossEntropyOptions":
        return "torch.nn.LinearCrossEntropyOptions()"
    raise Untranslatable(type(value).__name__)


def detached(value: Any) -> Any:
    """An argument without history."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return type(value)(detached(v) for v in value) if type(value) in (tuple, list) else value


def cases(dtype: str, training: bool, gradient: bool = False, limit: int | None = None) -> Iterator[Case | tuple[str, str]]:
    """The samples (the first `limit` a module) of the database in one dtype and mode; (module, why) where one cannot be made."""
    import torch
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        if info.name in LEFT_OUT:
            yield info.name, LEFT_OUT[info.name]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(1)
            samples = list(info.module_inputs_func(info, "cpu", getattr(torch, dtype), gradient, training=training))[:limit]
        for index, sample in enumerate(samples):
            given, call = sample.constructor_input, sample.forward_input
            try:
                parts = [*map(text_of, given.args), *(f"{k}={text_of(v)}" for k, v in given.kwargs.items())]
            except Untranslatable as error:
                yield info.name, f"a constructor's argument is a {error}"
                continue

            def make(info: Any = info, given: Any = given, training: bool = training) -> Any:
                return info.module_cls(*given.args, **given.kwargs).to(getattr(torch, dtype)).train(training)
            entry = f"torch.{info.name}({', '.join(parts)}).to(torch.{dtype})"
            yield Case(info.name, index, entry, tuple(map(detached, call.args)), {k: detached(v) for k, v in call.kwargs.items()}, make)


def named_arguments(module: Any, case: Case) -> dict[str, Any]:
    """The call's arguments by name, in the order of forward's signature."""
    import inspect

    names = list(inspect.signature(module.forward).parameters)
    given = {**dict(zip(names, case.arguments, strict=False)), **case.keywords}
    return {name: detached(given[name]) for name in names if name in given}


def input_specs(module: Any, case: Case) -> list[str]:
    """The call as `--input` options."""
    return [f"{name}:{spec}" if (spec := spec_of(value)) and type(value) not in SCALARS else f"{name}={text_of(value)}"
            for name, value in named_arguments(module, case).items()]


def dynamic_leaves(values: Any) -> list[Any]:
    """The tensors and numbers among the arguments that are not fixed, in order."""
    import torch

    found: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += dynamic_leaves(value) if any(isinstance(v, torch.Tensor) for v in value) else list(value)
    return found


def host(value: Any) -> Any:
    return value.detach().numpy().copy() if hasattr(value, "detach") else value


def compiled(case: Case, module: Any, folder: Path) -> Compiled:
    """The case's program with the torch module's own weights."""
    path = folder / "model.py"
    path.write_text("import torch\nfrom torch import *\n")
    state = {name: host(tensor) for name, tensor in module.state_dict().items()}
    return optimized(compile_source(path, entry=case.entry, inputs=input_specs(module, case),
                                    weights=lambda wanted: {n: state[n] for n in wanted if n in state}), [])


def flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in flat(item)]
    return [] if value is None else [value]


def difference(found: Any, wanted: Any, what: str) -> str:
    """'' if an array is a tensor's within the dtype's tolerance."""
    array, expected = np.asarray(found), wanted.detach().numpy()
    if array.shape != expected.shape or array.dtype != expected.dtype:
        return f"{what}: {array.dtype}{list(array.shape)} for {expected.dtype}{list(expected.shape)}"
    tolerance = TOLERANCES.get(str(expected.dtype), 0.0)
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=1.0)) if tolerance else 1.0
    if np.allclose(array, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
        return ""
    return f"{what}: {array.reshape(-1)[:4]} for {expected.reshape(-1)[:4]}"


def function_of(program: Compiled, training: bool) -> Function:
    functions = program.program.functions
    return functions["forward:train" if training and "forward:train" in functions else "forward"]


def forward(case: Case, module: Any, program: Compiled, training: bool) -> str:
    """'' if results and buffers afterwards are torch's."""
    import torch

    named = named_arguments(module, case)
    outcome = run_function(function_of(program, training), [host(v) for v in dynamic_leaves(named.values())], program.tensors)
    torch.manual_seed(0)
    wanted = flat(module(**named))
    if len(outcome.results) != len(wanted):
        return f"{len(outcome.results)} results for {len(wanted)}"
    for index, (a, b) in enumerate(zip(outcome.results, wanted, strict=True)):
        if seen := difference(a, b, f"result {index}"):
            return seen
    after = {**program.tensors, **dict(outcome.updates)}
    return next((d for n, t in module.state_dict().items() if (d := difference(after[n], t, f"state {n}"))), "")


def with_gradients(module: Any, named: dict[str, Any]) -> tuple[list[Any], list[int]]:
    """(results, the arguments that gradients reach): all floating ones, or only the first where a loss forbids one to its target."""
    import torch

    leaves = dynamic_leaves(named.values())
    floating = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
    for reached in (floating, floating[:1]):
        for index in floating:
            leaves[index].requires_grad_(index in reached)
        try:
            return flat(module(**named)), reached
        except (RuntimeError, NotImplementedError):
            if reached == floating[:1]:
                raise
    return [], []


def gradients(case: Case, module: Any, program: Compiled, training: bool) -> str:
    """'' if the results and the gradients to floating arguments and to parameters are torch's."""
    import torch

    function, named = function_of(program, training), named_arguments(module, case)
    results, reached = with_gradients(module, named)
    leaves = dynamic_leaves(named.values())
    parameters = {n: p for n, p in module.named_parameters() if n in function.state}
    gradient = differentiate(function, wrt_inputs=reached, wrt_state=list(parameters))
    ours = run_function(gradient.forward, [host(v) for v in leaves], program.tensors)
    count = len(function.results)
    for index, (a, b) in enumerate(zip(ours.results[:count], results, strict=True)):
        if seen := difference(a, b, f"result {index}"):
            return seen
    generator = np.random.default_rng(5)
    seeds = {i: np.asarray(generator.standard_normal(results[i].shape)) for i in range(count) if results[i].requires_grad}
    given = [np.asarray(seeds[i] if i in seeds else np.zeros(ours.results[i].shape), ours.results[i].dtype) for i in gradient.result_indices]
    found = run_function(gradient.backward, [*given, *ours.results[count:]], program.tensors).results
    order = [n for n in function.state if n in parameters]
    sources = [*(leaves[i] for i in reached), *(parameters[n] for n in order)]
    if not seeds or not sources:
        return ""
    wanted = torch.autograd.grad([results[i] for i in seeds], sources, [torch.from_numpy(s) for s in seeds.values()], allow_unused=True)
    for name, a, b, source in zip([*(f"argument {i}" for i in reached), *order], found, wanted, sources, strict=True):
        expected = torch.zeros_like(source) if b is None else b
        if seen := difference(np.zeros(source.shape) if a is None else a, expected, f"gradient to {name}"):
            return seen
    return ""


def judge(case: Case, training: bool, gradient: bool, folder: Path) -> Verdict:
    """Compile, run and compare one sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        torch.manual_seed(2)
        try:
            module = case.make()
            if case.module.startswith("nn.Lazy"):
                module(*map(detached, case.arguments), **case.keywords)      # the first call makes its parameters
        except Exception as error:
            return Verdict("left out", f"eager torch refuses the sample: {type(error).__name__}")
        try:
            program = compiled(case, module, folder)
            seen = (gradients if gradient else forward)(case, module, program, training)
        except CompileError as error:
            return Verdict("refused", f"{error.diagnostics[0].code} {error.diagnostics[0].message}")
        except Exception as error:
            import traceback

            last = traceback.extract_tb(error.__traceback__)[-1]
            return Verdict("broken", f"{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})")
    return Verdict("differ", seen) if seen else Verdict("agree")
