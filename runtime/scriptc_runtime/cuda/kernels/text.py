"""Hand-written kernels as text: numba's Python with its loops unrolled where names must stay in registers.

The text is ours alone: numbers and names of this package, nothing that a file said.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scriptc_runtime.cuda import intrinsics
from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.numba_cuda import cuda

_NUMBERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOAT, HALF, INDEX, BYTES = "float32[]", "uint16[]", "int32[]", "uint8[]"


class Lines:
    """Lines under growth, each block four spaces further in."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, lines: str | Iterable[str], level: int = 1) -> None:
        """Lines at a level of indentation."""
        for line in [lines] if isinstance(lines, str) else lines:
            self._lines.append("    " * level + line)

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def word_type(itemsize: int) -> Any:
    """numba's type of the elements of a shared array: float32, or the bits of a half type."""
    import numba

    return numba.float32 if itemsize == 4 else numba.uint16


def _names(extra: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The names that the texts may use."""
    return {"cuda": cuda, "math": math, "np": np, **{name: getattr(np, name) for name in _NUMBERS},
            **{name: getattr(intrinsics, name) for name in intrinsics.__all__}, **dict(extra)}


def compiled(arguments: Mapping[str, str], body: Lines, extra: Mapping[str, Any] | None = None, *, about: str, threads: int = 0,
             blocks: int = 1) -> Text:
    """The kernel with these arguments (name -> type) and this body, over the names of `extra` besides ours.

    `about` tells what the text alone does not: which functions `extra` holds. A block has at most `threads` threads, and registers are dealt
    out so that `blocks` of them fit on a multiprocessor.
    """
    source = f"# {about}\ndef kernel({', '.join(arguments)}):\n{body}"
    names = functools.partial(_names, tuple((extra or {}).items()))
    return Text(source, names, audited=False, launch_bounds=(threads, blocks) if threads else None)
