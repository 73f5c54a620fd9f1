"""Runs one small program in eager PyTorch and compiled, and tells whether they agree.

A program is Python source that defines a function `f`, or a module `m`, and optionally `A`, a list of argument tuples. Every call is
compiled on its own, from the form of its arguments; agreement means the same values, types, dtypes and shapes, the same changes to the
arguments and to the module's state, the same printed text, or the same class and message of exception.
"""
from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import itertools
import math
import re
import sys
import warnings
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from scriptc_runtime.arguments import Binder, rebuild, wrap, write_back
from scriptc_runtime.runner import Runner
from scriptc_runtime.tensor import Tensor

from scriptc.compiler import optimized
from scriptc.errors import CompileError
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.interp.interpreter import Outcome, run_function
from scriptc.ir.graph import Fixed, Function
from scriptc.ir.verify import verify

PRELUDE = """import torch, math
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from typing import *
from enum import Enum
from collections import namedtuple, OrderedDict
"""
FUTURE = "from __future__ import annotations\n"
SCALARS = {bool: "bool", int: "int", float: "float", str: "str"}


@dataclass(frozen=True)
class Program:
    """One program: its name, what the header line says of it (`tier=1 refused=E0201`), its source."""

    name: str
    marks: Mapping[str, str]
    source: str


@dataclass
class Verdict:
    """`agree`, `refused` (a located compile error), `documented` (another exception or draw than eager's, which the program's mark
    names), `differ`, or `broken` (a traceback of our own); with what was seen."""

    status: str
    detail: str = ""
    code: str = ""


def programs(path: Path) -> Iterator[Program]:
    """The programs of one file: blocks that begin with `### name mark=value ...`."""
    for block in re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, source = block.partition("\n")
        name, *marks = head.split()
        yield Program(name, dict(m.partition("=")[::2] for m in marks), source)


def full_source(program: Program) -> str:
    return (FUTURE if program.source.startswith("#FUTURE") else "") + PRELUDE + program.source


def eager_module(program: Program, folder: Path) -> Any:
    """The program as a Python module, executed with torch."""
    path = folder / f"{program.name}.py"
    path.write_text(full_source(program), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"language_{program.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Event:
    """What one call did: its value or exception, its arguments and module state afterwards, its printed text."""

    value: Any = None
    error: BaseException | None = None
    arguments: tuple[Any, ...] = ()
    state: Mapping[str, Any] | None = None
    printed: str = ""


def spec_of(value: Any, sizes: Iterator[int] | None = None) -> str | None:
    """An argument as `--input` names its form; None if it can only be fixed. With `sizes` each size but 1 is a name of its own."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.requires_grad or str(value.dtype).startswith("torch.complex"):
            return None
        return f"{str(value.dtype).removeprefix('torch.')}[{','.join(str(n) if n == 1 or sizes is None else f'S{next(sizes)}' for n in value.shape)}]"
    if type(value) in SCALARS:
        return SCALARS[type(value)]
    if type(value) in (list, tuple):
        parts = [spec_of(v, sizes) for v in value]
        if None in parts:
            return None
        return ("[{}]" if isinstance(value, list) else "({})").format(", ".join(map(str, parts)))
    if type(value) is dict and all(type(k) in (str, int) for k in value):
        parts = [spec_of(v, sizes) for v in value.values()]
        if None in parts:
            return None
        return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(value, parts, strict=True)) + "}"
    return None


def names_of(target: Any) -> list[str]:
    import inspect

    import torch

    call = target.forward if isinstance(target, torch.nn.Module) else target
    try:
        return [p.name if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.POSITIONAL_ONLY else ""
                for p in inspect.signature(call).parameters.values()]
    except (TypeError, ValueError):
        return []


def eager_call(target: Any, arguments: tuple[Any, ...]) -> Event:
    import torch

    torch.manual_seed(0)
    event = Event(arguments=copy.deepcopy(arguments))
    if isinstance(target, torch.nn.Module):
        with contextlib.suppress(RuntimeError):     # a weight-normalised module cannot be copied; its state does not change either
            target = copy.deepcopy(target)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            event.value = target(*event.arguments)
        except Exception as error:
            event.error = error
    event.printed = out.getvalue()
    if isinstance(target, torch.nn.Module):
        event.state = target.state_dict()
    return event


def to_host(value: Any) -> Any:
    """Arguments with arrays in place of torch's tensors."""
    import torch

    if isinstance(value, torch.Tensor):
        return Tensor(value.detach().numpy().copy())
    if hasattr(value, "_fields"):
        return type(value)(*(to_host(v) for v in value))
    if type(value) in (list, tuple):
        return type(value)(to_host(v) for v in value)
    if type(value) is dict:
        return {k: to_host(v) for k, v in value.items()}
    return value


def compile_call(program: Program, target: Any, entry: str, index: int, arguments: tuple[Any, ...], folder: Path, named: bool) -> Compiled:
    names = names_of(target)
    inputs = []
    sizes = itertools.count() if named else None
    for position, argument in enumerate(arguments):
        spec = spec_of(argument, sizes)
        name = names[position] if position < len(names) else ""
        fixed = f"A[{index}][{position}]" if argument is not None else "None"
        inputs.append(f"{name}:{spec}" if name and spec else spec if spec else f"{name}={fixed}")
    path = folder / f"{program.name}.py"
    compiled = compile_source(path, entry=entry, inputs=inputs)
    verify(compiled.program)
    compiled = optimized(compiled, [])
    verify(compiled.program)
    return compiled


def interpreted(function: Function, leaves: Sequence[Any], tensors: Mapping[str, np.ndarray]) -> Outcome:
    """A call by the reference interpreter."""
    return run_function(function, leaves, tensors)


def planned(function: Function, leaves: Sequence[Any], tensors: Mapping[str, np.ndarray]) -> Outcome:
    """A call by the engine."""
    found = Runner(function).run([*leaves, *(tensors[name] for name in function.state)])
    results, rest = found[:len(function.results)], found[len(function.results):]
    return Outcome(results, dict(zip(function.updates, rest, strict=False)),
                   dict(zip(function.input_updates, rest[len(function.updates):], strict=True)))


def our_call(compiled: Compiled, arguments: tuple[Any, ...], training: bool,
             run: Callable[[Function, Sequence[Any], Mapping[str, np.ndarray]], Outcome] = interpreted) -> Event:
    """Run the compiled program through the argument binding that users meet."""
    functions = compiled.program.functions
    function = functions["forward:train" if training and "forward:train" in functions else "forward"]
    event = Event(arguments=tuple(to_host(a) for a in arguments))
    given = [p.structure.value if isinstance(p.structure, Fixed) else a for a, p in zip(event.arguments, function.parameters, strict=False)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            binder = Binder(function, "forward")
            keywords = {p.name: a for a, p in zip(given, function.parameters, strict=True) if p.keyword_only}
            binder.bind([a for a, p in zip(given, function.parameters, strict=True) if not p.keyword_only], keywords)
            outcome = run(function, binder.leaves, compiled.tensors)
            for i, content in outcome.input_updates.items():
                np.copyto(binder.leaves[i], content)
            results = [wrap(r) for r in outcome.results]
            write_back(function, binder.given, results)
            event.value = rebuild(function.structure, results)
            event.state = {**compiled.tensors, **outcome.updates}
        except Exception as error:
            event.error = error
    event.printed = out.getvalue()
    return event


def same(found: Any, wanted: Any) -> str:
    """'' if equal, else what differs."""
    import torch

    if isinstance(wanted, np.ndarray):
        wanted = torch.from_numpy(wanted)   # arrays of a program are tensors, which numpy reads
    if isinstance(wanted, torch.Tensor):
        if not isinstance(found, Tensor | np.ndarray):
            return f"{found!r} for a tensor"
        array = np.asarray(found)
        if str(array.dtype) != str(wanted.dtype).removeprefix("torch."):
            return f"dtype {array.dtype} for {wanted.dtype}"
        if array.shape != tuple(wanted.shape):
            return f"shape {array.shape} for {tuple(wanted.shape)}"
        expected = wanted.detach().numpy() if wanted.dtype != torch.bfloat16 else wanted.float().numpy()
        kind = np.complex128 if wanted.is_complex() else np.float64
        if not np.allclose(array.astype(kind), expected.astype(kind), rtol=1e-5, atol=1e-6, equal_nan=True):
            return f"{array} for {expected}"
        return ""
    if isinstance(wanted, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return "" if str(found) == str(wanted) else f"{found!r} for {wanted!r}"
    if hasattr(wanted, "_fields"):
        if list(getattr(found, "_fields", ())) != list(wanted._fields):
            return f"{found!r} for {wanted!r}"
        return next((d for a, b in zip(found, wanted, strict=True) if (d := same(a, b))), "")
    if isinstance(wanted, torch.Generator):
        return "" if isinstance(found, torch.Generator) else f"{found!r} for {wanted!r}"
    if isinstance(wanted, KeysView | ValuesView | ItemsView):
        wanted = list(wanted)       # the views of a dict come back as lists
    if isinstance(wanted, set | frozenset):     # and so do sets
        return "" if isinstance(found, list) and len(found) == len(wanted) and set(found) == wanted else f"{found!r} for {wanted!r}"
    if isinstance(wanted, Enum):    # a member comes back as a record of its name and value
        return "" if found is wanted else same(dict(found.items()), {"name": wanted.name, "value": wanted.value})
    if isinstance(wanted, list | tuple):
        kind = list if isinstance(wanted, list) else tuple
        if not isinstance(found, kind) or len(found) != len(wanted):
            return f"{found!r} for {wanted!r}"
        return next((d for a, b in zip(found, wanted, strict=True) if (d := same(a, b))), "")
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or list(found) != list(wanted):
            return f"{found!r} for {wanted!r}"
        return next((d for k in wanted if (d := same(found[k], wanted[k]))), "")
    if isinstance(wanted, float):
        equal = type(found) is float and (found == wanted or math.isclose(found, wanted, rel_tol=1e-12) or (found != found and wanted != wanted))
        return "" if equal else f"{found!r} for {wanted!r}"
    if type(wanted).__module__.startswith("language_"):
        held = vars(wanted) if hasattr(wanted, "__dict__") else {}
        if hasattr(found, "items"):
            return same(dict(found.items()), {k: v for k, v in held.items() if not k.startswith("_")})
        return "" if str(found) == str(wanted) else f"{found!r} for {wanted!r}"
    return "" if type(found) is type(wanted) and found == wanted else f"{found!r} for {wanted!r}"


def compare(ours: Event, eager: Event) -> str:
    """'' if both calls did the same, else the first difference."""
    if eager.error is not None:
        if ours.error is None:
            return f"gives {ours.value!r}, eager raises {type(eager.error).__name__}: {eager.error}"
        if type(ours.error).__name__ != type(eager.error).__name__:
            return f"raises {type(ours.error).__name__}: {ours.error}; eager {type(eager.error).__name__}: {eager.error}"
        return ""
    if ours.error is not None:
        return f"raises {type(ours.error).__name__}: {ours.error}"
    if found := same(ours.value, eager.value):
        return f"value: {found}"
    if found := same(ours.arguments, eager.arguments):
        return f"arguments afterwards: {found}"
    if ours.printed != eager.printed:
        return f"prints {ours.printed!r} for {eager.printed!r}"
    for name, wanted in (eager.state or {}).items():
        if name not in (ours.state or {}):
            return f"state: {name} is missing"
        if found := same((ours.state or {})[name], wanted):
            return f"state {name}: {found}"
    return ""


def judge(program: Program, folder: Path, named: bool = False) -> Verdict:
    """Run a program in eager torch, by the reference interpreter and by the engine. `named`: sizes are names, not numbers, when it is compiled."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.manual_seed(0)
            module = eager_module(program, folder)
        except Exception as error:
            return Verdict("broken", f"eager torch cannot load it: {type(error).__name__}: {error}")
        entry = "m" if hasattr(module, "m") else "f"
        target = getattr(module, entry)
        documented = False
        for index, arguments in enumerate(getattr(module, "A", [()])):
            arguments = tuple(arguments)
            eager = eager_call(target, arguments)
            try:
                compiled = compile_call(program, target, entry, index, arguments, folder, named)
            except CompileError as error:
                found = error.diagnostics[0]
                if eager.error is not None and found.code == "E0204":
                    if type(eager.error).__name__ in found.message:
                        continue
                    return Verdict("differ", f"compile error {found.message}; eager {type(eager.error).__name__}: {eager.error}")
                early = found.code in ("E0203", "E0233") or found.code.startswith("E04")
                if eager.error is not None and early and not {"refused", "status"} & {*program.marks}:
                    continue    # told before the program runs: a dtype that an op does not take, a name that is not defined
                if found.location is None or found.location.span is None:
                    return Verdict("broken", f"{found.code} without a place: {found.message}", found.code)
                return Verdict("refused", f"{found.code} {found.message}", found.code)
            except Exception as error:
                import traceback

                last = traceback.extract_tb(error.__traceback__)[-1]
                return Verdict("broken", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
            training = isinstance(target, torch.nn.Module) and target.training
            for run in (interpreted, planned):
                ours = our_call(compiled, arguments, training, run)
                if "random" in program.marks and ours.error is None and shapes(ours.value) == shapes(eager.value):
                    documented = True
                elif ours.error is not None and type(ours.error).__name__ == program.marks.get("raises"):
                    documented = True
                elif named and ours.error is not None and eager.error is not None:
                    continue    # told with the sizes that a call has, by whom they stop
                elif difference := compare(ours, eager):
                    return Verdict("differ", f"call {index}, {run.__name__}: {difference}")
    return Verdict("documented" if documented else "agree")


def shapes(value: Any) -> Any:
    """What is left of a result when the numbers in it are drawn."""
    if isinstance(value, tuple | list):
        return [shapes(v) for v in value]
    return (tuple(value.shape), str(value.dtype).removeprefix("torch.")) if hasattr(value, "shape") else type(value)
