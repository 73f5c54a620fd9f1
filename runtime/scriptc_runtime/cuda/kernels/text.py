"""Printed kernels: numba's Python as text with its loops unrolled, because only named scalars are sure to stay in registers."""
from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc_runtime.cuda import intrinsics
from scriptc_runtime.cuda.numba_cuda import cuda
from scriptc_runtime.plan.plan import debugging

REGISTERS = 255     # of a thread at most

FLOAT, HALF, INDEX, BYTES = "float32[::1]", "uint16[::1]", "int32[::1]", "uint8[::1]"


class Text:
    """Lines under growth, each block four spaces further in."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, lines: str | Iterable[str], level: int = 1) -> None:
        """Lines at a level of indentation."""
        for line in [lines] if isinstance(lines, str) else lines:
            self.lines.append("    " * level + line)

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def namespace() -> dict[str, Any]:
    """The names that printed kernels may use."""
    return {"cuda": cuda, "math": math, "np": np, "float32": np.float32, "uint32": np.uint32, "int32": np.int32, "int64": np.int64,
            **{name: getattr(intrinsics, name) for name in intrinsics.__all__}}


def compiled(name: str, arguments: Mapping[str, str], body: Text, extra: Mapping[str, Any] | None = None, *,
             about: str = "", max_registers: int | None = None) -> Any:
    """The kernel `name` with typed arguments (name -> numba type) and this body. `about` tells what the text alone does not: its functions."""
    source = f"# {about}\ndef {name}({', '.join(arguments)}):\n{body}"
    if debugging("kernels"):
        print(source, file=sys.stderr)
    names = {**namespace(), **(extra or {})}
    file = f"<scriptc {name} {len(linecache.cache)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)   # the text is ours alone: sizes and names of this package, nothing that a file said
    signature = f"void({', '.join(arguments.values())})"
    return cuda.jit(signature, fastmath=False, **({"max_registers": max_registers} if max_registers else {}))(names[name])
