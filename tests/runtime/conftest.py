"""Small programs built by hand, and compiled loops kept out of the user's cache."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu.jit import Code

import scriptc.ir.ops  # noqa: F401
from scriptc.ir.builder import Builder
from scriptc.ir.expressions import Expr
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Program, StateEntry, Structure, Value
from scriptc.ir.types import TensorType, Type, dtype_of


@pytest.fixture(autouse=True)
def compiled_loops_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.getbasetemp() / "loops"
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", str(folder))


@pytest.fixture(autouse=True)
def every_loop_compiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loop that the compiler refuses is answered for by numpy, so nobody would notice it in the results."""
    refused: list[str] = []
    compile_ = Code.compile

    def compile(code: Code) -> None:
        compile_(code)
        if code.function is None:
            refused.append(code.source)

    monkeypatch.setattr(Code, "compile", compile)
    yield
    assert not refused, refused[0]


Body = Callable[..., Any]


@pytest.fixture
def function_of() -> Callable[..., Function]:
    """`_function_of`, as a fixture because test modules cannot import each other."""
    return _function_of


@pytest.fixture
def program_of() -> Callable[..., Program]:
    """`_program_of`."""
    return _program_of


def _function_of(body: Body, inputs: Mapping[str, Type], state: Mapping[str, TensorType] | None = None,
                name: str = "forward", structure: Structure | None = None, optional: Sequence[str] = ()) -> Function:
    """The function that `body` emits over expressions for its inputs and state; it returns an Expr or a tuple of them.

    A dict in second place of a returned pair is the state updates.
    """
    builder = Builder()
    values = {n: Value(kind, n) for n, kind in inputs.items()}
    entries = {n: Value(kind, n) for n, kind in (state or {}).items()}
    returned = body(*(Expr(v, builder) for v in (*values.values(), *entries.values())))
    updates: dict[str, Value] = {}
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict):
        returned, changed = returned
        updates = {n: e.value for n, e in changed.items()}
    results = returned if isinstance(returned, tuple) else (returned,)
    shape = structure or (Leaf(0) if len(results) == 1 else Group("tuple", tuple(Leaf(i) for i in range(len(results)))))
    parameters = tuple(Parameter(n, Leaf(i), optional=n in optional) for i, n in enumerate(values))
    return Function(name, parameters, tuple(values.values()), entries, builder.take(), tuple(r.value for r in results), shape,
                    updates)


def _program_of(tensors: Mapping[str, np.ndarray], *functions: Function, buffers: Sequence[str] = ()) -> Program:
    """A program with these functions; `tensors` are its parameters, but for those named in `buffers`."""
    entries = tuple(
        StateEntry(n, TensorType(dtype_of(a), a.shape), "buffer" if n in buffers else "parameter", n not in buffers)
        for n, a in tensors.items())
    return Program({f.name: f for f in functions}, entries, entry="Net()")
