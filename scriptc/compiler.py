"""Source to a runnable model: the one module that sees the front end, the passes and the runtime."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scriptc.errors import CompileError, WeightsError, diagnostic
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.interp.interpreter import evaluate
from scriptc.ir.graph import Program
from scriptc.ir.passes.pipeline import optimize_program
from scriptc.ir.types import TensorType

if TYPE_CHECKING:
    from scriptc_runtime.module import Module

StrPath = str | PathLike[str]


def compile_program(path: StrPath, *, entry: str | None = None, inputs: Sequence[str] = (), weights: StrPath | None = None,
                    search: Sequence[StrPath] = (), methods: Sequence[str] = ("forward",), seed: int = 0,
                    strict: bool = True) -> Compiled:
    """Parse, stage and optimise; see `compile`. The result's notes say what was done with the weights."""
    source = Path(path)
    if not source.is_file():
        raise CompileError(diagnostic("E0234", path=str(path)))
    notes: list[str] = []

    def replace(wanted: Mapping[str, TensorType]) -> Mapping[str, np.ndarray]:
        from scriptc.ir.weights import match_names, read_weights

        assert weights is not None
        expected = {name: (kind.shape, kind.dtype) for name, kind in wanted.items()}
        matched = match_names(read_weights(Path(weights)), expected, strict=strict)
        notes.extend(matched.notes)
        return matched.tensors

    if weights is not None and not Path(weights).is_file():
        raise WeightsError(diagnostic("W0101", path=str(weights)))
    compiled = compile_source(source, entry=entry, inputs=inputs, search=[Path(p) for p in search], methods=methods, seed=seed,
                              weights=replace if weights is not None else None)
    return optimized(compiled, notes)


def optimized(compiled: Compiled, notes: Sequence[str]) -> Compiled:
    """The program after the passes, without state that nothing reads any more."""
    program: Program = optimize_program(compiled.program, evaluate)
    read = {name for function in program.functions.values() for name in (*function.state, *function.updates)}
    state = tuple(e for e in program.state if e.kind != "constant" or e.name in read)
    kept = {entry.name for entry in state}
    slim = Program(program.functions, state, program.modules, program.sources, program.entry)
    return Compiled(slim, {n: t for n, t in compiled.tensors.items() if n in kept}, [*compiled.notes, *notes])


def compile(path: StrPath, *, entry: str | None = None, inputs: Sequence[str] = (), weights: StrPath | None = None,
            search: Sequence[StrPath] = (), methods: Sequence[str] = ("forward",), seed: int = 0, strict: bool = True) -> Module:
    """Compile the model that `entry` constructs in the source file `path`; the file is read, never executed.

    entry: an expression over the file's names, `resnet18(num_classes=10)`; None takes the file's last nn.Module class.
    inputs: what the method is called with, `x:float32[N,3,224,224]` (see the command line's --input).
    weights: a safetensors, npz or PyTorch checkpoint file. search: folders in which imports are looked up.
    CompileError if the source is refused, WeightsError if the weights are.
    """
    from scriptc_runtime.module import Module
    from scriptc_runtime.versions import frozen

    compiled = compile_program(path, entry=entry, inputs=inputs, weights=weights, search=search, methods=methods, seed=seed, strict=strict)
    return Module(compiled.program, {name: frozen(array) for name, array in compiled.tensors.items()})


def check(path: StrPath, *, entry: str | None = None, inputs: Sequence[str] = (), search: Sequence[StrPath] = (),
          methods: Sequence[str] = ("forward",)) -> None:
    """Compile without result: CompileError with every diagnostic found, or nothing."""
    compile_program(path, entry=entry, inputs=inputs, search=search, methods=methods)
