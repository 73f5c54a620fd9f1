"""Machine code of a part of the library, by numba and LLVM."""
from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir

from scriptc_runtime.cpu import objects
from scriptc_runtime.cpu.emission import Function, object_code, object_of_text
from scriptc_runtime.cpu.tiles.kernels import kernels, tile_named, tiles
from scriptc_runtime.cpu.tiles.meetings import entry
from scriptc_runtime.cpu.tiles.parts import CORE, ENTRY, PARTS, TILES, known, symbol, symbols


def compiled(part: str) -> bytes:
    """The object code of a part: its kernels, and the tiles that they call."""
    if part == TILES:
        return object_of_text(_written(list(symbols(TILES))), objects.target_machine())
    machine = _machine()
    functions = [Function(_made(entry(), 5), ENTRY, ("i64",) * 5)] if part == CORE else []
    functions += [Function(_made(kernels()[kernel], 3), symbol(kernel), ("i64",) * 3) for kernel in PARTS[part]]
    return object_code(functions, machine, _written, known(part))


@functools.cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    machine = objects.target_machine()      # LLVM's parts that numba leaves asleep, and the tiles need
    for tile in tiles():
        # numba resolves every name when it has compiled the kernels, whose first copy nobody calls.
        llvm.add_symbol(tile.name, 1)
    return machine


def _made(function: Any, words: int) -> Any:
    from numba import types

    function.compile((types.int64,) * words)
    return function


def _written(names: list[str]) -> str:
    """The tiles of these names as text."""
    module = ir.Module("tiles")
    for name in names:
        tile_named(name).emit(module)
    return str(module)
